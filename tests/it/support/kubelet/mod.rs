//! Plays the nodes of a control plane that has none.
//!
//! Where no Deployment controller and no kubelet run, this writes the status that they would: everything starts at
//! once and is ready. An image says by its registry how its pods fare, so that tests which share a control plane
//! need nothing shared to say it, and a corrected image recovers by itself:
//!
//! | image starts with | its pods |
//! |---|---|
//! | [`UNPULLABLE`] | wait with ImagePullBackOff |
//! | [`CRASHING`] | wait with CrashLoopBackOff |
//! | [`UNSCHEDULABLE`] | find no node |
//! | [`PENDING`] | are not ready, for no reason that shows |
//!
//! A failing Deployment gets one Pod object, as evidence for who looks why.

mod status;

use std::path::Path;
use std::sync::LazyLock;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tenantry::api::labels::{MANAGED_BY, MANAGER};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use status::Fate;

use super::control_plane::client;

/// What it calls itself.
pub const AGENT: &str = "tenantry-tests-kubelet";
/// Registry of images that cannot be pulled.
pub const UNPULLABLE: &str = "unpullable.test/";
/// Registry of images whose containers end again and again.
pub const CRASHING: &str = "crashing.test/";
/// Registry of images whose pods fit on no node.
pub const UNSCHEDULABLE: &str = "unschedulable.test/";
/// Registry of images whose pods stay pending.
pub const PENDING: &str = "pending.test/";

/// Runs what outlives a test: each test has a runtime of its own, which ends with it.
pub static BACKGROUND: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// The nodes of one control plane, until dropped.
#[derive(Debug)]
pub struct Kubelet {
    tasks: [JoinHandle<()>; 2],
}

impl Kubelet {
    /// Starts to play.
    pub fn start(kubeconfig: &Path) -> Self {
        let (first, second) = (kubeconfig.to_owned(), kubeconfig.to_owned());
        Self {
            tasks: [
                BACKGROUND.spawn(async move { Box::pin(deployments(client(&first, AGENT).await)).await }),
                BACKGROUND.spawn(async move { Box::pin(stateful_sets(client(&second, AGENT).await)).await }),
            ],
        }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

// What an object's turn could not do, because the object went meanwhile or the API server was away, the next event
// of the object repeats: so errors are let go.

async fn deployments(client: Client) {
    let mut events = events::<Deployment>(client.clone());
    while let Some(deployment) = events.next().await {
        let namespace = deployment.namespace().unwrap();
        let next = Some(status::of_deployment(&deployment));
        if deployment.status != next {
            let api: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
            let changed = Deployment { status: next, ..deployment.clone() };
            let _ = api.replace_status(&deployment.name_any(), &PostParams::default(), &changed).await;
        }
        let _ = show_evidence(&Api::namespaced(client.clone(), &namespace), &deployment).await;
    }
}

async fn stateful_sets(client: Client) {
    let mut events = events::<StatefulSet>(client.clone());
    while let Some(set) = events.next().await {
        let next = Some(status::of_stateful_set(&set));
        if set.status != next {
            let api: Api<StatefulSet> = Api::namespaced(client.clone(), &set.namespace().unwrap());
            let changed = StatefulSet { status: next, ..set.clone() };
            let _ = api.replace_status(&set.name_any(), &PostParams::default(), &changed).await;
        }
    }
}

/// Each object of ours, now and whenever one changes.
fn events<K>(client: Client) -> BoxStream<'static, K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let ours = watcher::Config::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
    let events = watcher(Api::<K>::all(client), ours).default_backoff().applied_objects();
    events.filter_map(|event| std::future::ready(event.ok())).boxed()
}

/// Has one Pod show why the Deployment's pods fail, or none if they do not.
async fn show_evidence(pods: &Api<Pod>, deployment: &Deployment) -> kube::Result<()> {
    let spec = deployment.spec.as_ref().unwrap();
    let fate = status::fate(spec.template.spec.as_ref());
    let fails = fate != Fate::Running && spec.replicas != Some(0);
    let name = format!("{}-evidence", deployment.name_any());
    let template = spec.template.spec.clone().unwrap_or_default();
    if let Some(pod) = pods.get_opt(&name).await? {
        let image = |spec: &PodSpec| spec.containers.first().and_then(|container| container.image.clone());
        if fails && pod.spec.as_ref().and_then(image) == image(&template) {
            return Ok(());
        }
        pods.delete(&name, &DeleteParams::default().grace_period(0)).await?;
    }
    if fails {
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            labels: spec.template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()),
            owner_references: deployment.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        };
        let status = Patch::Merge(json!({"status": status::of_pod(fate, &template)}));
        let pod = Pod { metadata, spec: Some(template), status: None };
        pods.create(&PostParams::default(), &pod).await?;
        pods.patch_status(&name, &PatchParams::default(), &status).await?;
    }
    Ok(())
}
