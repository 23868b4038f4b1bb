//! Protection from deletion: a tenant's word, mirrored to all that would go with it.

use serde_json::{Value, json};
use tenantry::controller::object::{Key, Kind};

use super::claims::server_database;
use super::shop;
use super::site::{Site, Stage};

const PROTECTED: &str = "tenantry.dev/protected";

/// Waits until the namespace and every database of the tenant are labelled, or none is.
async fn mirrored(scene: &Stage<'_>, databases: &[Key], wanted: Option<&str>) {
    let namespace = Key::cluster(&scene.namespace("acme"));
    let labelled = |object: &Value| {
        let label = object["metadata"]["labels"].get(PROTECTED);
        (label.and_then(Value::as_str) == wanted).then_some(())
    };
    let what = format!("has the label {wanted:?}");
    scene.until(Kind::Namespace, &namespace, &what, labelled).await;
    for database in databases {
        scene.until(Kind::ServerDatabase, database, &what, labelled).await;
    }
}

fn refused(answer: kube::Result<Value>) -> String {
    match answer {
        Err(kube::Error::Api(status)) if status.is_forbidden() => status.message,
        answer => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn protection_reaches_the_namespace_and_the_databases_and_goes_when_it_is_lifted() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let (tenant, namespace) = (scene.cluster("acme"), Key::cluster(&scene.namespace("acme")));
    let (orders, users) = (server_database(&scene, "orders").await, server_database(&scene, "users").await);
    // One of them is nobody's at the moment.
    let less = json!({"spec": {"databases": [{"name": "orders"}], "services": []}});
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), less).await;
    super::claims::phase(&scene, &users, "Released").await;

    let protection = |on: bool| json!({"spec": {"deletionProtection": on}});
    scene.patch(Kind::Tenant, &tenant, protection(true)).await;
    mirrored(&scene, &[orders.clone(), users.clone()], Some("true")).await;
    for (kind, key) in
        [(Kind::Tenant, &tenant), (Kind::Namespace, &namespace), (Kind::ServerDatabase, &orders)]
    {
        let said = refused(scene.try_delete(kind, key).await);
        let lift = format!("kubectl patch tenant {}", tenant.name);
        assert!(said.contains("protected from deletion") && said.contains(&lift), "{said}");
    }

    scene.patch(Kind::Tenant, &tenant, protection(false)).await;
    mirrored(&scene, &[orders, users], None).await;
    scene.delete(Kind::Tenant, &tenant).await;
    scene.gone(Kind::Tenant, &tenant).await;
    scene.gone(Kind::Namespace, &namespace).await;
}

#[tokio::test]
async fn a_tenant_that_is_protected_while_it_is_being_deleted_keeps_everything_until_that_is_lifted() {
    let site = Site::own().await;
    let operator = crate::support::Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let (tenant, namespace) = (scene.cluster("acme"), Key::cluster(&scene.namespace("acme")));
    let database = server_database(&scene, "orders").await;
    operator.stop().await;
    scene.delete(Kind::Tenant, &tenant).await;
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"deletionProtection": true}})).await;

    let operator = crate::support::Operator::start(&site).await;
    let said = scene.refused(Kind::Tenant, &tenant, "DeletionProtected").await;
    assert!(said.contains("nothing is removed; to let it go: kubectl patch tenant"), "{said}");
    let kept = scene.get(Kind::Namespace, &namespace).await.unwrap();
    assert!(kept["metadata"]["deletionTimestamp"].is_null(), "{kept}");
    super::claims::phase(&scene, &database, "Bound").await;

    // The label may be there still when the protection is lifted, and must not hold up the end.
    scene.patch(Kind::Namespace, &namespace, json!({"metadata": {"labels": {PROTECTED: "true"}}})).await;
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"deletionProtection": false}})).await;
    scene.gone(Kind::Tenant, &tenant).await;
    scene.gone(Kind::Namespace, &namespace).await;
    super::claims::phase(&scene, &database, "Released").await;
    operator.stop().await;
}
