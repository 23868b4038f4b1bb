//! A changed spec reaches everything that follows from it, and what it no longer asks for goes.

use serde_json::{Value, json};
use tenantry::controller::object::Kind;

use super::scene::condition;
use super::shop;
use super::site::{Site, Stage};

/// Waits until the Deployment's field at `pointer` is `value`.
async fn deployed(scene: &Stage<'_>, service: &str, pointer: &str, value: Value) {
    let key = scene.inside("acme", service);
    scene
        .until(Kind::Deployment, &key, &format!("has {value} at {pointer}"), |deployment| {
            (deployment.pointer(pointer) == Some(&value)).then_some(())
        })
        .await;
}

const IMAGE: &str = "/spec/template/spec/containers/0/image";

#[tokio::test]
async fn a_plan_reaches_its_tenants() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let quota = scene.inside("acme", "tenantry");
    scene
        .patch(Kind::Plan, &scene.cluster("small"), json!({"spec": {"quota": {"cpu": "8", "pods": null}}}))
        .await;
    let hard =
        json!({"limits.cpu": "8", "requests.cpu": "8", "limits.memory": "4Gi", "requests.memory": "4Gi"});
    scene
        .until(Kind::ResourceQuota, &quota, "has the plan's new limits", |quota| {
            (quota["spec"]["hard"] == hard).then_some(())
        })
        .await;
    scene.patch(Kind::Plan, &scene.cluster("small"), json!({"spec": {"quota": null}})).await;
    scene.gone(Kind::ResourceQuota, &quota).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
}

#[tokio::test]
async fn a_blueprint_reaches_its_tenants() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let blueprint = scene.cluster("shop");
    let services = |web: &str| {
        json!({"spec": {"services": [
            {"name": "web", "spec": {"image": web, "replicas": 3}},
            {"name": "search", "spec": {"image": "app.test/search:1"}},
        ]}})
    };
    scene.patch(Kind::Blueprint, &blueprint, services("app.test/web:2")).await;
    deployed(&scene, "web", IMAGE, json!("app.test/web:2")).await;
    deployed(&scene, "web", "/spec/replicas", json!(3)).await;
    deployed(&scene, "search", IMAGE, json!("app.test/search:1")).await;
    for kind in [Kind::Microservice, Kind::Deployment, Kind::Service, Kind::NetworkPolicy] {
        scene.gone(kind, &scene.inside("acme", "orders")).await;
    }
    scene
        .until(Kind::Tenant, &scene.cluster("acme"), "counts what is left", |tenant| {
            (condition(tenant, "Ready")?["message"] == "2 databases and 2 services are ready").then_some(())
        })
        .await;
}

#[tokio::test]
async fn owners_come_and_go() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let (tenant, binding) = (scene.cluster("acme"), scene.inside("acme", "tenantry-owners"));
    let owners = json!({"spec": {"owners": [{"kind": "Group", "name": "acme-admins"}]}});
    scene.patch(Kind::Tenant, &tenant, owners).await;
    let subjects = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "acme-admins"}]);
    scene
        .until(Kind::RoleBinding, &binding, "binds the new owners", |binding| {
            (binding["subjects"] == subjects).then_some(())
        })
        .await;
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"owners": null}})).await;
    scene.gone(Kind::RoleBinding, &binding).await;
}

#[tokio::test]
async fn a_suspended_tenant_runs_nothing_and_resumes_as_it_was() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let (tenant, before) = (scene.cluster("acme"), scene.state().await);
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"state": "Suspended"}})).await;
    let suspended = scene.ready(Kind::Tenant, &tenant).await;
    let message = "suspended: workloads are at zero, logins are refused, 2 databases are kept";
    assert_eq!(condition(&suspended, "Ready").unwrap()["message"], message);
    assert_eq!(condition(&suspended, "Suspended").unwrap()["status"], "True");
    for service in shop::SERVICES {
        deployed(&scene, service, "/spec/replicas", json!(0)).await;
        scene.ready(Kind::Microservice, &scene.inside("acme", service)).await;
    }
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"state": null}})).await;
    scene.returns_to(&before).await;
}
