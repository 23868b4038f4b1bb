//! Two operators at once: the old one stands still past its lease, in front of a statement, and goes on when another one
//! has long led. A Lease does not keep it from that; the fence does.

use super::api::Api;
use super::sql::Sql;
use super::trap::{Effect, Position, Trap};
use super::{A_MINUTE, QUIET};
use crate::controller::claims::server_database;
use crate::controller::shop;
use crate::controller::site::Site;
use crate::support::{ControlPlane, OperatorProcess, Postgres, wait_until};
use serde_json::json;
use tenantry::controller::object::Kind;

async fn quiet(trap: &Trap) {
    wait_until(A_MINUTE, "nothing is written any more", async || {
        let quiet = trap.quiet();
        if quiet >= QUIET { Ok(()) } else { Err(format!("something was, {quiet:?} ago")) }
    })
    .await;
}

#[tokio::test]
async fn an_operator_that_stood_still_past_its_lease_changes_nothing_when_it_goes_on() {
    let (plane, direct) = (ControlPlane::own().await, Postgres::own());
    let (requests, statements) = (Trap::new(), Trap::new());
    let (api, sql) = (Api::before(&plane, requests.clone()), Sql::before(&direct, statements.clone()));
    let site = Site::of(plane, sql.postgres()).await;
    let old = OperatorProcess::start_with(&site, api.operator_kubeconfig(&site).await).await;
    let scene = shop::open(&site).await;
    quiet(&statements).await;

    let name = "CREATE DATABASE \"t_ID_extra\" TEMPLATE template0 ENCODING  AT tenantry".to_owned();
    let at = (Effect { name, index: 1 }, Position::Halted);
    statements.set(&scene.prefix, Some(at), old.id());
    let extra = scene.inside("acme", "extra");
    scene.create(Kind::TenantDatabase, &extra, json!({})).await;
    wait_until(A_MINUTE, "the old operator stands still", async || {
        if statements.sprung() { Ok(()) } else { Err(format!("{:?}", statements.effects())) }
    })
    .await;

    // The other one waits for the lease, ends the old one's session, and does what was asked for.
    let new = OperatorProcess::start(&site).await;
    scene.ready(Kind::TenantDatabase, &extra).await;
    quiet(&statements).await;
    let database = server_database(&scene, "extra").await;
    scene.ready(Kind::ServerDatabase, &database).await;
    let state = scene.state().await;
    requests.set(&scene.prefix, None, old.id());
    statements.set(&scene.prefix, None, old.id());
    old.signal("CONT");
    statements.release();
    let (status, log) = old.ended();
    assert!(!status.success(), "{log}");
    let nothing: Vec<Effect> = vec![];
    assert_eq!((requests.effects(), statements.effects()), (nothing.clone(), nothing), "{log}");
    scene.state().await.assert_equals(&state);
    drop(new.terminate());
}
