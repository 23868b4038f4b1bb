//! The tenant that most tests start with: `acme`, with owners and two services, one of which says all that a
//! service can say.

use serde_json::{Value, json};
use tenantry::controller::object::Kind;

use super::scene::Scene;
use crate::support::ControlPlane;

/// Every kind of object that the operator makes in the tenant's namespace.
pub const CHILDREN: [Kind; 9] = [
    Kind::ResourceQuota,
    Kind::LimitRange,
    Kind::NetworkPolicy,
    Kind::RoleBinding,
    Kind::Microservice,
    Kind::ServiceAccount,
    Kind::Service,
    Kind::PodDisruptionBudget,
    Kind::Deployment,
];

/// The Plan `small`.
pub fn plan() -> Value {
    json!({"quota": {"cpu": "4", "memory": "4Gi", "pods": 20}, "limits": {"connections": 10}})
}

/// The Blueprint `shop`.
pub fn blueprint() -> Value {
    json!({"services": [
        {"name": "web", "spec": {"image": "app.test/web:1"}},
        {"name": "orders", "spec": {
            "image": "app.test/orders", "version": "1.2.3", "replicas": 2,
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
            "env": [{"name": "MODE", "value": "test"}],
            "endpoints": [{"name": "http", "port": 8000, "healthPath": "/health"}, {"name": "rpc", "port": 9000}],
        }},
    ]})
}

/// The Tenant `acme`.
pub fn tenant(scene: &Scene<'_>) -> Value {
    json!({
        "displayName": "ACME", "planRef": {"name": scene.name("small")},
        "blueprints": [{"name": scene.name("shop")}],
        "owners": [{"kind": "User", "name": "ada"}, {"kind": "ServiceAccount", "name": "ci", "namespace": "default"}],
    })
}

/// A scene with plan, blueprint and tenant, all of them Ready.
pub async fn open(plane: &ControlPlane) -> Scene<'_> {
    let scene = Scene::new(plane).await;
    scene.create(Kind::Plan, &scene.cluster("small"), plan()).await;
    scene.create(Kind::Blueprint, &scene.cluster("shop"), blueprint()).await;
    scene.create(Kind::Tenant, &scene.cluster("acme"), tenant(&scene)).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    scene
}
