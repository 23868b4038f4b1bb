//! Deletion, by whomever, of whatever, in any order, with and without an operator: what was deleted by mistake comes
//! back, and what was meant to go goes.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::Value;
use tenantry::controller::object::{Key, Kind};

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
            // A Microservice that went before has taken its children along.
            scene.delete(kind, &key).await;
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
