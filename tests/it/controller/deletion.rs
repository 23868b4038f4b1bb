//! Deletion, by whomever, of whatever, in any order, with and without an operator: what was deleted by mistake comes
//! back, and what was meant to go goes.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};
use sqlx::Executor;
use tenantry::controller::object::{Key, Kind};

use super::claims::{binding, phase, server_database, session};
use super::scene::condition;
use super::shop;
use super::site::{Site, Stage};
use crate::support::Operator;

/// The tenant's children in an order that `seed` gives.
async fn children(scene: &Stage<'_>, seed: u64) -> Vec<(Kind, Key)> {
    let mut children = vec![];
    for kind in shop::CHILDREN {
        for object in scene.children(kind, "acme").await {
            children.push((kind, scene.inside("acme", object["metadata"]["name"].as_str().unwrap())));
        }
    }
    children.shuffle(&mut StdRng::seed_from_u64(seed));
    children
}

fn uid(object: Option<Value>) -> Option<String> {
    object.map(|object| object["metadata"]["uid"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn children_deleted_in_any_order_come_back() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let expected = scene.state().await;
    for seed in 0..3 {
        for (kind, key) in children(&scene, seed).await {
            // Whoever had a Secret that is gone goes on with its login, and another one takes over (see `databases`).
            if kind != Kind::Secret {
                // A Microservice that went before has taken its children along.
                scene.delete(kind, &key).await;
            }
        }
        scene.returns_to(&expected).await;
    }
}

#[tokio::test]
async fn children_deleted_while_no_operator_ran_come_back_with_the_next() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let expected = scene.state().await;
    operator.stop().await;
    for (kind, key) in children(&scene, 7).await {
        scene.delete(kind, &key).await;
        scene.gone(kind, &key).await;
    }
    let operator = Operator::start(&site).await;
    scene.returns_to(&expected).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_namespace_deleted_behind_the_operators_back_goes_at_once_and_comes_back() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let expected = scene.state().await;
    let namespace = Key::cluster(&scene.namespace("acme"));
    let before = uid(scene.get(Kind::Namespace, &namespace).await);

    scene.delete(Kind::Namespace, &namespace).await;
    scene
        .until(Kind::Tenant, &scene.cluster("acme"), "is not ready while its namespace goes", |tenant| {
            let conditions = tenant["status"]["conditions"].as_array()?;
            conditions.iter().find(|c| c["type"] == "Ready" && c["status"] == "False").map(drop)
        })
        .await;
    scene.returns_to(&expected).await;
    let after = uid(scene.get(Kind::Namespace, &namespace).await);
    assert!(after.is_some() && after != before, "{before:?} {after:?}");

    // Nothing in it waits for an operator that does not run.
    operator.stop().await;
    scene.delete(Kind::Namespace, &namespace).await;
    scene.gone(Kind::Namespace, &namespace).await;
    let operator = Operator::start(&site).await;
    scene.returns_to(&expected).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_deleted_tenant_takes_its_namespace_along_and_nothing_else() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let (scene, other) = (shop::open(&site).await, shop::open(&site).await);
    let expected = other.state().await;
    scene.delete(Kind::Tenant, &scene.cluster("acme")).await;
    scene.gone(Kind::Tenant, &scene.cluster("acme")).await;
    scene.gone(Kind::Namespace, &Key::cluster(&scene.namespace("acme"))).await;
    other.state().await.assert_equals(&expected);
    operator.stop().await;
}

#[tokio::test]
async fn a_tenant_deleted_while_no_operator_ran_goes_with_the_next() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    operator.stop().await;
    let (tenant, namespace) = (scene.cluster("acme"), Key::cluster(&scene.namespace("acme")));
    scene.delete(Kind::Tenant, &tenant).await;
    let waits = scene.get(Kind::Tenant, &tenant).await.unwrap();
    assert!(waits["metadata"]["deletionTimestamp"].is_string(), "{waits}");
    assert!(scene.get(Kind::Namespace, &namespace).await.unwrap()["metadata"]["deletionTimestamp"].is_null());

    let operator = Operator::start(&site).await;
    scene.gone(Kind::Tenant, &tenant).await;
    scene.gone(Kind::Namespace, &namespace).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_release_that_was_cut_short_ends_who_is_still_connected_before_it_says_that_it_is_done() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    scene.create(Kind::TenantDatabase, &scene.inside("acme", "extra"), json!({})).await;
    let database = server_database(&scene, "extra").await;
    phase(&scene, &database, "Bound").await;
    let binding = binding(&scene, "extra-app").await;
    let mut left = session(&scene, &binding).await.unwrap();
    operator.stop().await;

    // What is there when an operator dies after the first effect of the release, which is one transaction.
    scene.delete(Kind::TenantDatabase, &scene.inside("acme", "extra")).await;
    let mut admin = site.postgres.admin("tenantry").await;
    let first = format!(
        "update tenantry.marker set phase = 'Released', generation = generation + 1 where physical_name = '{}'; \
         alter role {} nologin",
        binding["database"], binding["username"]
    );
    admin.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(first))).await.unwrap();
    left.execute("select 1").await.unwrap();

    let operator = Operator::start(&site).await;
    phase(&scene, &database, "Released").await;
    let ended = left.execute("select 1").await.map(drop);
    assert!(ended.is_err(), "a session outlasted the release");
    operator.stop().await;
}

#[tokio::test]
async fn a_tenant_that_is_deleted_says_what_keeps_its_namespace() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let kept = Key::namespaced(&scene.namespace("acme"), "keeps");
    let held = json!({"metadata": {"finalizers": ["example.com/theirs"]}});
    scene.create(Kind::ServiceAccount, &kept, json!({})).await;
    scene.patch(Kind::ServiceAccount, &kept, held).await;
    scene.delete(Kind::Tenant, &scene.cluster("acme")).await;
    scene
        .until(Kind::Tenant, &scene.cluster("acme"), "names the finalizer", |tenant| {
            let said = condition(tenant, "Ready")?["message"].as_str()?;
            said.contains("example.com/theirs").then_some(())
        })
        .await;
    // Who cannot wait for that ends it, and it alone: the namespace goes when it can.
    let tenant = scene.get(Kind::Tenant, &scene.cluster("acme")).await.unwrap();
    let said = condition(&tenant, "Ready").unwrap()["message"].as_str().unwrap().to_owned();
    let uid = tenant["metadata"]["uid"].as_str().unwrap();
    assert!(
        said.ends_with(&format!("tenantry.dev/force-release={uid}, which touches no database")),
        "{said}"
    );
    let force = json!({"metadata": {"annotations": {"tenantry.dev/force-release": uid}}});
    scene.patch(Kind::Tenant, &scene.cluster("acme"), force).await;
    scene.gone(Kind::Tenant, &scene.cluster("acme")).await;
    let namespace = Key::cluster(&scene.namespace("acme"));
    let left = scene.get(Kind::Namespace, &namespace).await.unwrap();
    assert_eq!(left["status"]["phase"], "Terminating");
    scene.patch(Kind::ServiceAccount, &kept, json!({"metadata": {"finalizers": null}})).await;
    scene.gone(Kind::Namespace, &namespace).await;
}
