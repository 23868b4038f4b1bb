//! From creation to deletion: what it costs, and that nothing more is ever written than has to be.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::{A_MINUTE, CHILDREN, Home, declared};
use crate::support::{ControlPlane, Operator, Write, wait_until};

/// What was written in that namespace: `verb resource/subresource name`, sorted.
fn writes_of(writes: &[Write], namespace: &str) -> Vec<String> {
    let own = writes.iter().filter(|write| write.namespace == namespace);
    let mut text: Vec<String> = own
        .map(|write| format!("{} {}/{} {}", write.verb, write.resource, write.subresource, write.name))
        .collect();
    text.sort();
    text
}

#[tokio::test]
async fn a_new_microservice_costs_its_children_and_two_statuses_and_then_nothing() {
    let plane = ControlPlane::own().await;
    let operator = Operator::start(&plane).await;
    let home = Home::new(plane.client().await).await;
    let mark = plane.mark().await;
    home.create("shop", json!({"image": "shop:1"})).await;
    home.serves("shop").await;
    let writes = writes_of(&plane.operator_writes_since(mark).await, &home.namespace);
    let created = |resource: &str| format!("create {resource}/ shop");
    let children: Vec<String> =
        ["deployments", "networkpolicies", "poddisruptionbudgets", "serviceaccounts", "services"]
            .map(created)
            .into();
    assert_eq!(writes[..5], children);
    let statuses = &writes[5..];
    assert!(statuses.iter().all(|write| write == "patch microservices/status shop"), "{statuses:?}");
    assert!((1..=2).contains(&statuses.len()), "{statuses:?}");

    // A second turn: other people's annotations are nothing to us.
    let mark = plane.mark().await;
    let note = Patch::Merge(json!({"metadata": {"annotations": {"example.com/note": "look again"}}}));
    home.microservices().patch("shop", &PatchParams::default(), &note).await.unwrap();
    home.create("after", json!({"image": "shop:1"})).await;
    home.serves("after").await;
    let about_shop =
        |writes: Vec<String>| writes.into_iter().filter(|write| write.ends_with(" shop")).collect::<Vec<_>>();
    assert_eq!(
        about_shop(writes_of(&plane.operator_writes_since(mark).await, &home.namespace)),
        Vec::<String>::new()
    );

    operator.stop().await;
    let mark = plane.mark().await;
    let _operator = Operator::start(&plane).await;
    home.create("restarted", json!({"image": "shop:1"})).await;
    home.serves("restarted").await;
    let mut writes = writes_of(&plane.operator_writes_since(mark).await, &home.namespace);
    writes.retain(|write| !write.ends_with(" restarted"));
    assert_eq!(writes, Vec::<String>::new());
}

#[tokio::test]
async fn a_changed_spec_reaches_the_pods_and_the_scale_subresource_works() {
    let plane = ControlPlane::shared().await;
    Operator::shared().await;
    let home = Home::new(plane.client().await).await;
    home.create("shop", json!({"image": "shop:1"})).await;
    home.serves("shop").await;
    home.change("shop", json!({"image": "shop:2", "env": [{"name": "MODE", "value": "fast"}]})).await;
    home.serves("shop").await;
    let deployments: Api<Deployment> = Api::namespaced(home.client.clone(), &home.namespace);
    let pod = deployments.get("shop").await.unwrap().spec.unwrap().template.spec.unwrap();
    let container = serde_json::to_value(&pod.containers[0]).unwrap();
    assert_eq!(
        (&container["image"], &container["env"]),
        (&json!("shop:2"), &json!([{"name": "MODE", "value": "fast"}]))
    );

    let scale = Patch::Merge(json!({"spec": {"replicas": 3}}));
    home.microservices().patch_scale("shop", &PatchParams::default(), &scale).await.unwrap();
    home.says("shop", "Reconciled", "3 pods serve").await;
    let scale = home.microservices().get_scale("shop").await.unwrap().status.unwrap();
    assert_eq!((scale.replicas, scale.selector.as_deref()), (3, Some("tenantry.dev/microservice=shop")));
}

#[tokio::test]
async fn a_suspended_tenant_runs_nothing_and_a_resumed_one_runs_as_before() {
    let plane = ControlPlane::shared().await;
    Operator::shared().await;
    let home = Home::new(plane.client().await).await;
    home.create("shop", json!({"image": "shop:1", "replicas": 2})).await;
    home.create("broken", json!({"image": "shop:1"})).await;
    home.says("shop", "Reconciled", "2 pods serve").await;
    home.serves("broken").await;
    // What cannot be declared any more has to end too.
    home.change("broken", json!({"image": "shop"})).await;
    let refusal = "spec.image: shop has neither tag nor digest, and spec.version is absent: add one of them";
    home.says("broken", "InvalidSpec", refusal).await;
    let replicas = async |name: &str| home.child(CHILDREN[4], name).await.data["spec"]["replicas"].clone();
    assert_eq!(replicas("broken").await, json!(1), "a bad spec breaks nothing that runs");

    home.set_state("Suspended").await;
    home.says("shop", "Reconciled", "suspended: 0 replicas").await;
    assert_eq!(replicas("shop").await, json!(0));
    wait_until(A_MINUTE, "the broken one ends", async || {
        let replicas = replicas("broken").await;
        if replicas == json!(0) { Ok(()) } else { Err(replicas.to_string()) }
    })
    .await;
    home.change("broken", json!({"image": "shop:2"})).await;
    home.says("broken", "Reconciled", "suspended: 0 replicas").await;

    home.set_state("Active").await;
    home.says("shop", "Reconciled", "2 pods serve").await;
    home.serves("broken").await;
}

#[tokio::test]
async fn a_deleted_child_is_made_again_and_a_deleted_microservice_leaves_none() {
    let plane = ControlPlane::shared().await;
    Operator::shared().await;
    let home = Home::new(plane.client().await).await;
    home.create("shop", json!({"image": "shop:1"})).await;
    home.serves("shop").await;
    for kind in CHILDREN {
        let before = home.child(kind, "shop").await;
        home.api(kind).delete("shop", &DeleteParams::default()).await.unwrap();
        wait_until(A_MINUTE, &format!("the {kind} is made again"), async || {
            let after = home.api(kind).get_opt("shop").await.unwrap().ok_or("gone")?;
            let again = after.metadata.uid != before.metadata.uid;
            if again { Ok(()) } else { Err("the old one is still there".to_owned()) }
        })
        .await;
        let (mut before, mut after) = (declared(&before), declared(&home.child(kind, "shop").await));
        // An address is given anew.
        for spec in [&mut before, &mut after].into_iter().filter_map(|value| value["spec"].as_object_mut()) {
            spec.retain(|name, _| !name.starts_with("clusterIP"));
        }
        assert_eq!(after, before);
    }
    home.serves("shop").await;
    home.microservices().delete("shop", &DeleteParams::default()).await.unwrap();
    wait_until(A_MINUTE, "no child is left", async || {
        let left = home.children("shop").await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}
