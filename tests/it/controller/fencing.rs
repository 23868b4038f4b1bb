//! A server that is not what it was is not written to: restored to an earlier state, or read-only.

use serde_json::json;
use sqlx::Executor;
use tenantry::controller::object::Kind;

use super::shop;
use super::site::{Site, Stage};
use crate::support::Operator;

/// Runs a statement in the operator database.
async fn run(site: &Site, sql: &'static str) {
    site.postgres.admin("tenantry").await.execute(sql).await.unwrap();
}

/// Names of the ServerDatabases, in order, with what `field` of their status says.
async fn said(scene: &Stage<'_>, field: &str) -> Vec<(String, serde_json::Value)> {
    let all = scene.all(Kind::ServerDatabase).await;
    let mut all: Vec<_> = all
        .iter()
        .map(|it| (it["metadata"]["name"].as_str().unwrap().to_owned(), it["status"][field].clone()))
        .collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all
}

#[tokio::test]
async fn a_server_that_was_restored_to_the_past_is_not_written_to_until_people_decide() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    operator.stop().await;
    run(&site, "UPDATE tenantry.marker SET generation = 5").await;
    let operator = Operator::start(&site).await;
    let five = |all: &[(String, serde_json::Value)]| all.iter().all(|(_, it)| *it == json!(5));
    crate::support::wait_until(super::scene::A_MINUTE, "the generation is shown", async || {
        let all = said(&scene, "generation").await;
        if all.len() == 2 && five(&all) { Ok(()) } else { Err(format!("{all:?}")) }
    })
    .await;
    operator.stop().await;

    run(&site, "UPDATE tenantry.marker SET generation = 4").await;
    let operator = Operator::start(&site).await;
    let server = tenantry::controller::object::Key::cluster(&site.server);
    let message = scene.refused(Kind::DatabaseServer, &server, "TimeTravel").await;
    let names: Vec<String> = said(&scene, "generation").await.into_iter().map(|(name, _)| name).collect();
    for name in &names {
        assert!(message.contains(&format!("{name} (generation 4, known 5)")), "{message}");
    }
    // What is asked for now has to wait, and says for what.
    let claim = scene.inside("acme", "more");
    scene.create(Kind::TenantDatabase, &claim, json!({"serverRef": {"name": site.server}})).await;
    let waits = scene.refused(Kind::TenantDatabase, &claim, "ServerUnreachable").await;
    assert!(waits.contains("is not ready"), "{waits}");
    assert_eq!(said(&scene, "generation").await.len(), 2);

    // The admin accepts what the server has, database by database.
    for name in &names {
        scene.delete(Kind::ServerDatabase, &tenantry::controller::object::Key::cluster(name)).await;
    }
    scene.ready(Kind::DatabaseServer, &server).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    operator.stop().await;
}
