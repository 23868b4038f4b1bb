//! What goes wrong is named with its next step, the rest goes on, and a fix recovers.

use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tenantry::controller::object::Kind;

use super::{CHILDREN, Home};
use crate::support::{CRASHING, ControlPlane, Operator, UNPULLABLE, UNSCHEDULABLE};

async fn home() -> Home {
    let plane = ControlPlane::shared().await;
    Operator::shared().await;
    Home::new(plane.client().await).await
}

#[tokio::test]
async fn pods_that_do_not_start_say_why_and_a_corrected_image_recovers() {
    let home = home().await;
    let (unpullable, crashing, unschedulable) =
        (format!("{UNPULLABLE}shop:1"), format!("{CRASHING}shop:1"), format!("{UNSCHEDULABLE}shop:1"));
    let pull = format!(
        "spec.image: image {unpullable} cannot be pulled: failed to resolve reference \"{unpullable}\"; correct spec.image or see to the registry"
    );
    let crash = "the container ends and is started again and again; read its log: kubectl logs --previous";
    let nowhere = "no node can take a pod: 0/1 nodes are available: 1 Insufficient memory.; lower spec.resources.requests or add nodes";
    home.create("healthy", json!({"image": "shop:1"})).await;
    home.create("shop", json!({"image": unpullable})).await;
    home.says("shop", "ImagePullFailed", &pull).await;
    home.change("shop", json!({"image": crashing})).await;
    home.says("shop", "CrashLoopBackOff", crash).await;
    home.change("shop", json!({"image": unschedulable})).await;
    home.says("shop", "Unschedulable", nowhere).await;
    home.serves("healthy").await;
    home.change("shop", json!({"image": "shop:1"})).await;
    home.serves("shop").await;
}

#[tokio::test]
async fn what_pods_say_again_and_again_is_written_once() {
    let plane = ControlPlane::own().await;
    let _operator = Operator::start(&plane).await;
    let home = Home::new(plane.client().await).await;
    home.create("shop", json!({"image": format!("{CRASHING}shop:1")})).await;
    let crash = "the container ends and is started again and again; read its log: kubectl logs --previous";
    home.says("shop", "CrashLoopBackOff", crash).await;
    let mark = plane.mark().await;
    let note = Patch::Merge(json!({"metadata": {"annotations": {"example.com/note": "look again"}}}));
    home.microservices().patch("shop", &PatchParams::default(), &note).await.unwrap();
    home.create("after", json!({"image": "shop:1"})).await;
    home.serves("after").await;
    let mut writes = plane.writes_since(mark).await;
    writes.retain(|write| write.namespace == home.namespace && write.name == "shop");
    assert_eq!(writes, []);
}

#[tokio::test]
async fn an_object_of_somebody_else_is_named_and_left_alone_while_the_rest_is_made() {
    let home = home().await;
    for (kind, body) in [
        (Kind::Service, json!({"spec": {"ports": [{"name": "own", "port": 9}]}})),
        (
            Kind::Deployment,
            json!({"spec": {"replicas": 0, "selector": {"matchLabels": {"app": "own"}}, "template": {
                "metadata": {"labels": {"app": "own"}}, "spec": {"containers": [{"name": "own", "image": "own:1"}]}}}}),
        ),
    ] {
        let name = kind.as_str().to_lowercase();
        let mut object = kube::api::DynamicObject::new(&name, &kind.api_resource()).data(body);
        object.metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let foreign = home.api(kind).create(&PostParams::default(), &object).await.unwrap();
        home.create(&name, json!({"image": "shop:1"})).await;
        let message = format!("{kind} {}/{name} exists and is not ours: rename or remove it", home.namespace);
        home.says(&name, "NameConflict", &message).await;
        let rest: Vec<Kind> = CHILDREN.into_iter().filter(|child| *child != kind).collect();
        assert_eq!(home.children(&name).await, rest);
        let now = home.child(kind, &name).await;
        assert_eq!(now.metadata.resource_version, foreign.metadata.resource_version);

        home.api(kind).delete(&name, &DeleteParams::default()).await.unwrap();
        home.serves(&name).await;
    }
}

#[tokio::test]
async fn pods_wait_for_a_database_that_does_not_exist() {
    let home = home().await;
    home.create("shop", json!({"image": "shop:1", "databases": [{"name": "absent"}]})).await;
    let message = "spec.databases: TenantDatabase absent does not exist: create it or remove it here";
    home.says("shop", "DatabaseNotFound", message).await;
    assert_eq!(home.children("shop").await, [Kind::ServiceAccount, Kind::Service, Kind::PodDisruptionBudget]);
    home.change("shop", json!({"databases": null})).await;
    home.serves("shop").await;
}

#[tokio::test]
async fn a_microservice_outside_of_a_tenants_namespace_is_refused() {
    let mut home = home().await;
    home.namespace = "default".into();
    let name = home.tenant.clone();
    home.create(&name, json!({"image": "shop:1"})).await;
    let message = "Namespace default belongs to no tenant: create the microservice in a tenant's namespace";
    home.says(&name, "NotATenantNamespace", message).await;
    assert_eq!(home.children(&name).await, []);
    home.microservices().delete(&name, &DeleteParams::default()).await.unwrap();
}
