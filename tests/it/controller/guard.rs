//! The operator's guard: a tenant that is in everybody's way loses its session, and is told why.

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use sqlx::Executor;
use tenantry::controller::object::Kind;

use super::claims::{binding, session};
use super::scene::A_MINUTE;
use super::shop;
use super::site::Site;
use crate::support::{Operator, wait_until};

#[tokio::test]
async fn a_session_that_freezes_the_server_is_ended_counted_and_told_on_its_claim() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let mut session = session(&scene, &binding(&scene, "orders-app").await).await.unwrap();
    // Nobody could log in any more, and the statement would wait for as long as the guard is there.
    let freeze = "create rule frozen as on insert to pg_catalog.pg_database do nothing";
    let ended = tokio::time::timeout(A_MINUTE, session.execute(freeze)).await.unwrap().unwrap_err();
    assert_eq!(ended.as_database_error().unwrap().code().unwrap(), "57P01");

    let events: Api<Event> = Api::namespaced(scene.client.clone(), &scene.namespace("acme"));
    let told = wait_until(A_MINUTE, "the claim's owner is told", async || {
        let all = events.list(&ListParams::default()).await.unwrap().items;
        let ended = all.into_iter().find(|event| event.reason.as_deref() == Some("SessionEnded"));
        ended.ok_or_else(|| "no Event".to_owned())
    })
    .await;
    let about = told.regarding.unwrap();
    assert_eq!((about.kind.as_deref(), about.name.as_deref()), (Some("TenantDatabase"), Some("orders")));
    let login = &binding(&scene, "orders-app").await["username"];
    assert_eq!(
        told.note.unwrap(),
        format!(
            "ended a session of login {login} on DatabaseServer {}: it locked pg_database, which every login to the server reads",
            site.server
        )
    );
    let operator = Operator::shared().await;
    let labels = format!("{{server=\"{}\",reason=\"LocksSharedCatalog\"}}", site.server);
    assert!(operator.sample(&format!("tenantry_guard_ended_sessions_total{labels}")) >= 1);
    assert_eq!(operator.sample(&format!("tenantry_guard_watching{{server=\"{}\"}}", site.server)), 1);
    // The tenant itself goes on.
    scene.ready(Kind::TenantDatabase, &scene.inside("acme", "orders")).await;
}
