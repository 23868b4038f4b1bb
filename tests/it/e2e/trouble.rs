//! What goes wrong on a real node is told, and mended by mending the spec.

use serde_json::{Value, json};
use tenantry::controller::object::Kind;

use crate::controller::scene::Scene;
use crate::support::FullCluster;

fn blueprint(program: &str, name: &str) -> Value {
    json!({
        "databases": [{"name": "app"}],
        "services": [{"name": "user", "spec": {
            (program): name, "databases": [{"name": "app"}],
            "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": "250m", "memory": "128Mi"}},
        }}],
    })
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_named_and_another_one_recovers() {
    let _calm = super::CALM.read().await;
    let cluster = FullCluster::shared().await;
    let scene = Scene::new(&cluster.plane).await;
    let (tenant, key) = (scene.cluster("acme"), scene.cluster("shop"));
    scene.create(Kind::Blueprint, &key, blueprint("image", "registry.invalid/user:1")).await;
    let spec = json!({"planRef": {"name": "small"}, "blueprints": [{"name": key.name}]});
    scene.create(Kind::Tenant, &tenant, spec).await;
    let said = scene.refused(Kind::Tenant, &tenant, "ImagePullFailed").await;
    assert!(said.starts_with("Microservice user: ") && said.contains("registry.invalid/user:1"), "{said}");
    let (code, printed) = cluster.tenantry(&["status", &tenant.name]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("ImagePullFailed"), "{printed}");

    scene.patch(Kind::Blueprint, &key, json!({"spec": blueprint("builtin", "user")})).await;
    scene.ready(Kind::Tenant, &tenant).await;
    let (code, printed) = cluster.tenantry(&["status", &tenant.name]);
    assert_eq!(code, Some(0), "{printed}");
}
