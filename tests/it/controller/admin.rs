//! The admin login of a server changes, in the Secret first or on the server first, and the operator goes on.

use serde_json::{Value, json};
use sqlx::{Executor, PgConnection};
use tenantry::controller::object::{Key, Kind};

use super::scene::condition;
use super::servers::put;
use super::shop;
use super::site::{Site, Stage};
use crate::support::{Operator, Postgres, Relay, Relaying};

/// Waits until ServerReachable is True for that reason, and returns its message.
async fn reachable(scene: &Stage<'_>, server: &Key, reason: &str) -> String {
    scene
        .until(Kind::DatabaseServer, server, &format!("is reachable, {reason}"), |server| {
            let reachable = condition(server, "ServerReachable")?;
            let is = reachable["status"] == "True" && reachable["reason"] == reason;
            is.then(|| reachable["message"].as_str().unwrap().to_owned())
        })
        .await
}

/// Registers the server, on which the operator is the superuser `boss` with the password `one`, and returns another superuser.
async fn hire(scene: &Stage<'_>, name: &str, server: &Postgres) -> PgConnection {
    scene.patch(Kind::Plan, &scene.cluster("small"), json!({"spec": {"serverSelector": null}})).await;
    let mut root = server.admin("postgres").await;
    root.execute("create role boss superuser login password 'one'").await.unwrap();
    server.register(&scene.client, name).await;
    put(scene, name, "username", "boss").await;
    put(scene, name, "password", "one").await;
    root
}

/// Has a database made there.
async fn works(scene: &Stage<'_>, server: &str, claim: &str) {
    let claim = scene.inside("acme", claim);
    scene.create(Kind::TenantDatabase, &claim, json!({"serverRef": {"name": server}})).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
}

#[tokio::test]
async fn an_admin_login_that_works_outlasts_silence_while_the_secret_has_another() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let (scene, second) = (shop::open(&site).await, Postgres::own());
    let (relay, name) = (Relay::start(&second), scene.name("second"));
    let server = Key::cluster(&name);
    drop(hire(&scene, &name, &relay.postgres()).await);
    works(&scene, &name, "first").await;
    reachable(&scene, &server, "Reconciled").await;
    put(&scene, &name, "password", "two").await;
    reachable(&scene, &server, "AuthenticationFailed").await;

    relay.set(Relaying::Refuse);
    let look = json!({"metadata": {"labels": {"tests.tenantry.dev/look": "now"}}});
    scene.patch(Kind::DatabaseServer, &server, look).await;
    let open = |server: &Value| (server["status"]["circuit"] == "Open").then_some(());
    scene.until(Kind::DatabaseServer, &server, "has its circuit open", open).await;
    relay.set(Relaying::Forward);
    works(&scene, &name, "second").await;
    reachable(&scene, &server, "AuthenticationFailed").await;
    operator.stop().await;
}

#[tokio::test]
async fn an_admin_login_that_changes_never_locks_the_operator_out() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let (scene, second) = (shop::open(&site).await, Postgres::own());
    let name = scene.name("second");
    let server = Key::cluster(&name);
    let mut root = hire(&scene, &name, &second).await;
    let works = async |claim: &str| works(&scene, &name, claim).await;
    works("first").await;
    reachable(&scene, &server, "Reconciled").await;

    // The Secret first: what it has is refused, and what worked before goes on.
    put(&scene, &name, "password", "two").await;
    let said = reachable(&scene, &server, "AuthenticationFailed").await;
    assert!(said.contains("\"boss\"") && said.contains("correct username and password"), "{said}");
    scene.ready(Kind::DatabaseServer, &server).await;
    works("second").await;
    root.execute("alter role boss password 'two'").await.unwrap();
    works("third").await;
    reachable(&scene, &server, "Reconciled").await;

    // The server first, with all that was open ended.
    root.execute("alter role boss password 'three'").await.unwrap();
    root.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'boss'")
        .await
        .unwrap();
    put(&scene, &name, "password", "three").await;
    works("fourth").await;
    reachable(&scene, &server, "Reconciled").await;

    // And another login altogether.
    root.execute("create role chief superuser login password 'four'").await.unwrap();
    put(&scene, &name, "password", "four").await;
    put(&scene, &name, "username", "chief").await;
    reachable(&scene, &server, "Reconciled").await;
    root.execute("alter role boss nologin").await.unwrap();
    works("fifth").await;
    operator.stop().await;
}
