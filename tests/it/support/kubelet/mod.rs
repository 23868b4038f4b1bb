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
//! A failing Deployment or Job gets one Pod object, as evidence for who looks why. Jobs whose image runs run for real.

mod job;
mod status;

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tenantry::api::labels::{MANAGED_BY, MANAGER};
use tokio::runtime;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use job::volume;
use status::Fate;

use super::control_plane::client;
use super::wait::wait_until;

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

/// The nodes of one control plane, until dropped.
#[derive(Debug)]
pub struct Kubelet {
    _stop: DropGuard,
}

impl Kubelet {
    /// Starts to play, on a thread of its own: a test's runtime ends with the test.
    pub fn start(kubeconfig: &Path) -> Self {
        let (kubeconfig, stop) = (kubeconfig.to_owned(), CancellationToken::new());
        let stopped = stop.clone();
        std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(stopped.run_until_cancelled(async {
                let client = client(&kubeconfig, AGENT).await;
                tokio::join!(
                    Box::pin(deployments(client.clone())),
                    Box::pin(stateful_sets(client.clone())),
                    Box::pin(job::jobs(client))
                );
            }));
        });
        Self { _stop: stop.drop_guard() }
    }
}

async fn deployments(client: Client) {
    let mut events = events::<Deployment>(client.clone());
    while let Some(deployment) = events.next().await {
        let api = Api::namespaced(client.clone(), &deployment.namespace().unwrap());
        let pods: Api<Pod> = Api::namespaced(client.clone(), &deployment.namespace().unwrap());
        Box::pin(insist(&api, deployment, async |deployment: Deployment| {
            let next = Some(status::of_deployment(&deployment));
            if deployment.status != next {
                let changed = Deployment { status: next, ..deployment.clone() };
                api.replace_status(&deployment.name_any(), &PostParams::default(), &changed).await?;
            }
            show_evidence(&pods, &deployment).await
        }))
        .await;
    }
}

async fn stateful_sets(client: Client) {
    let mut events = events::<StatefulSet>(client.clone());
    while let Some(set) = events.next().await {
        let api = Api::namespaced(client.clone(), &set.namespace().unwrap());
        Box::pin(insist(&api, set, async |set: StatefulSet| {
            let next = Some(status::of_stateful_set(&set));
            if set.status == next {
                return Ok(());
            }
            let changed = StatefulSet { status: next, ..set.clone() };
            api.replace_status(&set.name_any(), &PostParams::default(), &changed).await.map(drop)
        }))
        .await;
    }
}

/// Acts on the object until that succeeds or the object is gone: it may change meanwhile, and the API server may be
/// too busy.
async fn insist<K>(api: &Api<K>, object: K, mut act: impl AsyncFnMut(K) -> kube::Result<()>)
where
    K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let name = object.name_any();
    let mut newest = Some(object);
    wait_until(Duration::from_mins(1), "the nodes' report is written", async || {
        let Some(object) = newest.take() else { return Ok(()) };
        let result = act(object).await;
        if result.is_err() {
            newest = api.get_opt(&name).await.map_err(|error| error.to_string())?;
        }
        result.map_err(|error| error.to_string())
    })
    .await;
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
