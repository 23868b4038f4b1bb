//! The tenant that most tests start with: `acme`, with owners, two databases and three services, one of which says all
//! that a service of people's own can say.

use serde_json::{Value, json};
use tenantry::api::labels::IN_USE;
use tenantry::controller::object::{Key, Kind};

use super::site::{Site, Stage};
use crate::support::postgres::SERVER;

/// Every kind of object that the operator makes in the tenant's namespace.
pub const CHILDREN: [Kind; 11] = [
    Kind::ResourceQuota,
    Kind::LimitRange,
    Kind::NetworkPolicy,
    Kind::RoleBinding,
    Kind::TenantDatabase,
    Kind::Microservice,
    Kind::Secret,
    Kind::ServiceAccount,
    Kind::Service,
    Kind::PodDisruptionBudget,
    Kind::Deployment,
];

/// The services of [`blueprint`].
pub const SERVICES: [&str; 3] = ["orders", "users", "web"];
/// The databases of [`blueprint`].
pub const DATABASES: [&str; 2] = ["orders", "users"];

/// The Plan `small`, whose databases are placed on the site's server.
pub fn plan(scene: &Stage<'_>) -> Value {
    json!({
        "quota": {"cpu": "4", "memory": "4Gi", "pods": 20},
        "limits": {"connections": 10},
        "serverSelector": {"matchLabels": {SERVER: scene.site.server}},
    })
}

/// The Blueprint `shop`.
pub fn blueprint() -> Value {
    json!({
        "databases": [{"name": "orders"}, {"name": "users"}],
        "services": [
            {"name": "web", "spec": {"image": "app.test/web:1"}},
            {"name": "users", "spec": {"builtin": "user", "databases": [{"name": "users"}]}},
            {"name": "orders", "spec": {
                "image": "app.test/orders", "version": "1.2.3", "replicas": 2,
                "resources": {
                    "requests": {"cpu": "50m", "memory": "64Mi"},
                    "limits": {"cpu": "1", "memory": "128Mi"},
                },
                "env": [{"name": "MODE", "value": "test"}],
                "databases": [{"name": "orders", "credential": "app"}],
                "endpoints": [
                    {"name": "http", "port": 8000, "healthPath": "/health"},
                    {"name": "rpc", "port": 9000},
                ],
            }},
        ],
    })
}

/// The Tenant `acme`.
pub fn tenant(scene: &Stage<'_>) -> Value {
    json!({
        "displayName": "ACME",
        "planRef": {"name": scene.name("small")},
        "blueprints": [{"name": scene.name("shop")}],
        "owners": [
            {"kind": "User", "name": "ada"},
            {"kind": "ServiceAccount", "name": "ci", "namespace": "default"},
        ],
    })
}

/// A scene with plan and blueprint, Ready.
pub async fn furnish(site: &Site) -> Stage<'_> {
    let scene = Stage::new(site).await;
    scene.create(Kind::Plan, &scene.cluster("small"), plan(&scene)).await;
    scene.create(Kind::Blueprint, &scene.cluster("shop"), blueprint()).await;
    scene.ready(Kind::Plan, &scene.cluster("small")).await;
    scene.ready(Kind::Blueprint, &scene.cluster("shop")).await;
    scene
}

/// A scene with plan, blueprint and tenant, all of them Ready.
pub async fn open(site: &Site) -> Stage<'_> {
    let scene = furnish(site).await;
    scene.create(Kind::Tenant, &scene.cluster("acme"), tenant(&scene)).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    settle(&scene).await;
    scene
}

/// Waits for the databases' own objects and for the server: a tenant is Ready as soon as its claims are, and these are written a
/// moment later.
async fn settle(scene: &Stage<'_>) {
    for name in DATABASES {
        let claim = scene.get(Kind::TenantDatabase, &scene.inside("acme", name)).await.unwrap();
        let database = claim["status"]["serverDatabase"].as_str().unwrap();
        scene.ready(Kind::ServerDatabase, &Key::cluster(database)).await;
    }
    in_use(scene, &scene.site.server).await;
}

/// Waits until the server says that databases are on it, which is in a turn of its own.
pub async fn in_use(scene: &Stage<'_>, server: &str) {
    let marked = |server: &Value| (server["metadata"]["labels"][IN_USE] == "true").then_some(());
    scene.until(Kind::DatabaseServer, &Key::cluster(server), "is in use", marked).await;
}
