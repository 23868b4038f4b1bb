//! A suspended tenant: what it says is so when it says it, and nothing that a tenant does keeps its logins open.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::{Executor, PgConnection};
use tenantry::controller::object::{Key, Kind};

use super::claims::{binding, code, phase, rows, server_database, session, write_row};
use super::scene::{A_MINUTE, condition};
use super::servers::put;
use super::shop;
use super::site::{Site, Stage};
use crate::support::{Operator, wait_until};

/// Has the tenant suspended or resumed, and waits until it says that it is.
async fn set_state(scene: &Stage<'_>, state: &str) -> Value {
    let tenant = scene.cluster("acme");
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"state": state}})).await;
    scene.ready(Kind::Tenant, &tenant).await
}

/// A claim of the tenant's own, beside its blueprints', whose database is there.
async fn extra(scene: &Stage<'_>) -> Key {
    let extra = scene.inside("acme", "extra");
    scene.create(Kind::TenantDatabase, &extra, json!({})).await;
    scene.ready(Kind::TenantDatabase, &extra).await;
    extra
}

fn ready_message(object: &Value) -> &Value {
    &condition(object, "Ready").unwrap()["message"]
}

/// SQLSTATEs with which a login that is closed is refused.
const CLOSED: [&str; 2] = ["28000", "55000"];

#[tokio::test]
async fn a_suspended_tenants_logins_are_refused_until_it_resumes() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    extra(&scene).await;
    write_row(&scene, "orders-app", "kept").await;
    let bound = [binding(&scene, "orders-app").await, binding(&scene, "extra-app").await];
    let mut held = session(&scene, &bound[0]).await.unwrap();

    set_state(&scene, "Suspended").await;
    for bound in &bound {
        let refusal = code(session(&scene, bound).await);
        assert!(CLOSED.contains(&refusal.as_str()), "{refusal}");
    }
    assert!(held.execute("select 1").await.is_err(), "a session outlived the suspension");
    for claim in ["orders", "users", "extra"] {
        let claim = scene.get(Kind::TenantDatabase, &scene.inside("acme", claim)).await.unwrap();
        assert_eq!(ready_message(&claim), "suspended: logins are refused, everything is kept");
        assert_eq!(condition(&claim, "Suspended").unwrap()["status"], "True");
    }

    set_state(&scene, "Active").await;
    let claim = scene.get(Kind::TenantDatabase, &scene.inside("acme", "orders")).await.unwrap();
    assert_eq!(condition(&claim, "Suspended"), None);
    assert_eq!(rows(&scene, "orders-app").await, ["kept"]);
}

#[tokio::test]
async fn a_claim_that_has_become_invalid_is_closed_with_the_rest() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let extra = extra(&scene).await;
    let bound = binding(&scene, "extra-app").await;
    let elsewhere = json!({"spec": {"serverRef": {"name": "elsewhere"}}});
    scene.patch(Kind::TenantDatabase, &extra, elsewhere).await;
    scene.refused(Kind::TenantDatabase, &extra, "ServerChangeNotSupported").await;
    session(&scene, &bound).await.unwrap();

    set_state(&scene, "Suspended").await;
    let refusal = code(session(&scene, &bound).await);
    assert!(CLOSED.contains(&refusal.as_str()), "{refusal}");
    let claim = scene.get(Kind::TenantDatabase, &extra).await.unwrap();
    assert_eq!(condition(&claim, "Suspended").unwrap()["status"], "True");

    set_state(&scene, "Active").await;
    let refusal = code(session(&scene, &bound).await);
    assert!(CLOSED.contains(&refusal.as_str()), "nobody opens what is invalid: {refusal}");
    scene.patch(Kind::TenantDatabase, &extra, json!({"spec": {"serverRef": null}})).await;
    scene.ready(Kind::TenantDatabase, &extra).await;
    session(&scene, &bound).await.unwrap();
}

/// Waits until the login is refused: half a minute until a suspension ends what still runs.
async fn closes(scene: &Stage<'_>, bound: &BTreeMap<String, String>) {
    wait_until(A_MINUTE, "the login is refused", async || {
        let refused = session(scene, bound).await;
        let refusal = if refused.is_ok() { "it is let in".into() } else { code(refused) };
        if CLOSED.contains(&refusal.as_str()) { Ok(()) } else { Err(refusal) }
    })
    .await;
}

#[tokio::test]
async fn a_missing_plan_keeps_no_logins_open() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let bound = [binding(&scene, "orders-app").await, binding(&scene, "users-app").await];
    scene.delete(Kind::Plan, &scene.cluster("small")).await;
    scene.refused(Kind::Tenant, &scene.cluster("acme"), "PlanNotFound").await;

    let suspended = json!({"spec": {"state": "Suspended"}});
    scene.patch(Kind::Tenant, &scene.cluster("acme"), suspended).await;
    for bound in &bound {
        closes(&scene, bound).await;
    }
}

#[tokio::test]
async fn a_claim_in_conflict_with_anothers_secret_is_closed_with_the_rest() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let extra = extra(&scene).await;
    let bound = binding(&scene, "extra-app").await;
    let swapped = json!({"spec": {"credentials": [{"name": "app", "secretName": "users-app"}]}});
    scene.patch(Kind::TenantDatabase, &extra, swapped).await;
    scene.refused(Kind::TenantDatabase, &extra, "NameConflict").await;
    scene.patch(Kind::Tenant, &scene.cluster("acme"), json!({"spec": {"state": "Suspended"}})).await;
    closes(&scene, &bound).await;
}

#[tokio::test]
async fn what_somebody_holds_on_its_way_out_is_suspended_with_the_rest() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let (claim, service) = (scene.inside("acme", "orders"), scene.inside("acme", "web"));
    let bound = binding(&scene, "orders-app").await;
    let held_by = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
    for (kind, key) in [(Kind::TenantDatabase, &claim), (Kind::Microservice, &service)] {
        scene.patch(kind, key, held_by(json!(["tests.tenantry.dev/held"]))).await;
        scene.delete(kind, key).await;
    }
    session(&scene, &bound).await.unwrap();

    scene.patch(Kind::Tenant, &scene.cluster("acme"), json!({"spec": {"state": "Suspended"}})).await;
    closes(&scene, &bound).await;
    let says_so = |claim: &Value| (condition(claim, "Suspended")?["status"] == "True").then_some(());
    scene.until(Kind::TenantDatabase, &claim, "says that it is suspended", says_so).await;
    let halted = |deployment: &Value| (deployment["spec"]["replicas"] == 0).then_some(());
    scene.until(Kind::Deployment, &service, "is at zero", halted).await;
    let told = |service: &Value| (service["status"]["replicas"] == 0).then_some(());
    scene.until(Kind::Microservice, &service, "says so", told).await;

    for (kind, key) in [(Kind::TenantDatabase, &claim), (Kind::Microservice, &service)] {
        scene.patch(kind, key, held_by(Value::Null)).await;
    }
    set_state(&scene, "Active").await;
    wait_until(A_MINUTE, "the database is open again", async || {
        let bound = binding(&scene, "orders-app").await;
        session(&scene, &bound).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

/// All `limit` sessions that are to be had. The operator's own, which end by themselves, count while they last.
async fn exhaust(scene: &Stage<'_>, secret: &str, limit: usize) -> Vec<PgConnection> {
    let (bound, mut sessions) = (binding(scene, secret).await, vec![]);
    wait_until(A_MINUTE, "every session is the tenant's", async || {
        while sessions.len() < limit {
            match session(scene, &bound).await {
                Ok(session) => sessions.push(session),
                refused => return Err(code(refused)),
            }
        }
        Ok(())
    })
    .await;
    assert_eq!(code(session(scene, &bound).await), "53300");
    sessions
}

/// Gives the server an admin that is no superuser: limits hold for it, too.
pub async fn limit_admin(site: &Site, scene: &Stage<'_>) {
    let mut superuser = site.postgres.admin("postgres").await;
    let statements = "create role limited login createdb createrole password 'limited';
        alter database postgres owner to limited;
        alter database template1 owner to limited";
    for statement in statements.split(';') {
        superuser.execute(statement).await.unwrap();
    }
    put(scene, &site.server, "username", "limited").await;
    put(scene, &site.server, "password", "limited").await;
}

#[tokio::test]
async fn a_tenant_that_holds_all_its_connections_keeps_nobody_from_closing_its_logins() {
    let site = Site::own().await;
    limit_admin(&site, &Stage::new(&site).await).await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let extra = scene.inside("acme", "extra");
    scene.create(Kind::TenantDatabase, &extra, json!({"limits": {"connections": 3}})).await;
    let database = server_database(&scene, "extra").await;
    let (held, other) = (exhaust(&scene, "extra-app", 3).await, exhaust(&scene, "orders-app", 10).await);

    // To use what it has is no trouble.
    scene.patch(Kind::TenantDatabase, &extra, json!({"spec": {"limits": {"connections": 2}}})).await;
    scene.ready(Kind::TenantDatabase, &extra).await;

    scene.delete(Kind::TenantDatabase, &extra).await;
    phase(&scene, &database, "Released").await;
    set_state(&scene, "Suspended").await;
    for mut session in held.into_iter().chain(other) {
        assert!(session.execute("select 1").await.is_err(), "a session outlived its login");
    }
    set_state(&scene, "Active").await;
    session(&scene, &binding(&scene, "orders-app").await).await.unwrap();
    let server = scene.get(Kind::DatabaseServer, &Key::cluster(&site.server)).await.unwrap();
    assert_eq!(condition(&server, "Ready").unwrap()["status"], "True");
    operator.stop().await;
}
