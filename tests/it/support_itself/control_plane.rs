//! The control plane as tests get it.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tenantry::api::{Plan, Tenant, labels};

use crate::support::{CRASHING, ControlPlane, PENDING, Prefix, UNPULLABLE, UNSCHEDULABLE, Write, wait_until};

const SOON: Duration = Duration::from_mins(1);

#[tokio::test]
async fn the_shared_control_plane_serves_our_kinds() {
    let plane = ControlPlane::shared().await;
    let client = plane.client().await;
    let name = Prefix::new().name("small");
    let plan = Plan::new(&name, tenantry::api::plan::PlanSpec::default());
    let created = Api::all(client.clone()).create(&PostParams::default(), &plan).await.unwrap();
    assert_eq!(created.status.unwrap().observed_generation, Some(-1));
    Api::<Plan>::all(client).delete(&name, &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn writes_are_counted_but_not_those_of_tests() {
    let plane = ControlPlane::own().await;
    let foreign = crate::support::client(plane.kubeconfig(), "somebody").await;
    let mark = plane.mark().await;
    let map = |name: &str| ConfigMap {
        metadata: kube::api::ObjectMeta { name: Some(name.into()), ..kube::api::ObjectMeta::default() },
        ..ConfigMap::default()
    };
    let by = |client: Client| Api::<ConfigMap>::namespaced(client, "default");
    by(plane.client().await).create(&PostParams::default(), &map("ours")).await.unwrap();
    by(foreign.clone()).create(&PostParams::default(), &map("theirs")).await.unwrap();
    by(foreign.clone()).list(&ListParams::default()).await.unwrap();
    by(foreign).delete("absent", &DeleteParams::default()).await.unwrap_err();

    let mut writes = plane.writes_since(mark).await;
    writes.retain(|write| write.user_agent == "somebody");
    let write = |verb: &str, name: &str, code| Write {
        verb: verb.into(),
        resource: "configmaps".into(),
        namespace: "default".into(),
        name: name.into(),
        subresource: String::new(),
        user: "admin".into(),
        user_agent: "somebody".into(),
        code,
    };
    assert_eq!(writes, [write("create", "theirs", 201), write("delete", "absent", 404)]);
}

#[tokio::test]
async fn a_control_plane_of_ones_own_is_empty_again() {
    for _ in 0..2 {
        let plane = ControlPlane::own().await;
        let client = plane.client().await;
        let tenants: Api<Tenant> = Api::all(client.clone());
        assert_eq!(tenants.list(&ListParams::default()).await.unwrap().items, []);
        let namespaces: Api<Namespace> = Api::all(client.clone());
        assert!(namespaces.get_opt("tenant-acme").await.unwrap().is_none());

        let tenant = json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant",
            "metadata": {"name": "acme", "finalizers": [labels::TENANT_FINALIZER]},
            "spec": {"planRef": {"name": "none"}},
        });
        tenants.create(&PostParams::default(), &serde_json::from_value(tenant).unwrap()).await.unwrap();
        create_namespace(&client, "tenant-acme").await;
    }
}

#[tokio::test]
async fn workloads_get_the_status_that_nodes_would_give_them() {
    let client = ControlPlane::shared().await.client().await;
    let namespace = Prefix::new().name("nodes");
    create_namespace(&client, &namespace).await;
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), &namespace);
    let set = workload("StatefulSet", "db", "postgres:15", 1);
    sets.create(&PostParams::default(), &serde_json::from_value(set).unwrap()).await.unwrap();
    wait_until(SOON, "the StatefulSet is ready", async || {
        let status = sets.get("db").await.unwrap().status.unwrap();
        if status.ready_replicas == Some(1) { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;

    let cases = [
        ("app:1", None),
        (UNPULLABLE, Some("ImagePullBackOff")),
        (CRASHING, Some("CrashLoopBackOff")),
        (UNSCHEDULABLE, Some("Unschedulable")),
        (PENDING, Some("nothing")),
        ("app:1", None),
    ];
    for (image, evidence) in cases {
        let image = if evidence.is_some() { format!("{image}app:1") } else { image.into() };
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
        let deployment = workload("Deployment", "app", &image, 2);
        let patch = PatchParams::apply("test").force();
        deployments.patch("app", &patch, &Patch::Apply(&deployment)).await.unwrap();
        wait_until(SOON, &format!("{image} shows"), async || {
            let deployment = deployments.get("app").await.unwrap();
            let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
            let seen = (reported(&deployment), why(pods.get_opt("app-evidence").await.unwrap().as_ref()));
            let failing = evidence.map(|_| 1);
            let wanted = (Some((Some(2), failing)), evidence.map(str::to_owned));
            if seen == wanted { Ok(()) } else { Err(format!("{seen:?}, not {wanted:?}")) }
        })
        .await;
    }
}

/// Available and failing pods, once the status is about the spec.
fn reported(deployment: &Deployment) -> Option<(Option<i32>, Option<i32>)> {
    let status: &DeploymentStatus = deployment.status.as_ref()?;
    (status.observed_generation == deployment.metadata.generation)
        .then_some((status.available_replicas, status.unavailable_replicas))
}

fn why(pod: Option<&Pod>) -> Option<String> {
    let status = pod?.status.as_ref()?;
    let container = status.container_statuses.as_ref().and_then(|containers| containers.first());
    let waiting = container.and_then(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone());
    let scheduled = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled")?;
    waiting.or(scheduled.reason.clone()).filter(|reason| !reason.is_empty()).or(Some("nothing".into()))
}

fn workload(kind: &str, name: &str, image: &str, replicas: i32) -> serde_json::Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "labels": {labels::MANAGED_BY: labels::MANAGER}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    })
}

async fn create_namespace(client: &Client, name: &str) {
    let metadata = kube::api::ObjectMeta { name: Some(name.into()), ..kube::api::ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
}
