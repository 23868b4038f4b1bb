//! Runs the containers of Jobs for real: as child processes, with the volumes that their pods mount as folders.
//!
//! What a Job's controller and a node would write is written here: one Pod that belongs to the Job, with what its container
//! left behind, and then the Job's own end.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Secret, SecretProjection};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use super::status::{self, Fate};
use crate::support::wait::wait_until;

/// Where the PostgreSQL client is, as an image has it by PATH.
const TOOLS: &str = "/usr/lib/postgresql/15/bin";

/// Runs every Job of ours once, each beside the others.
pub async fn jobs(client: Client) {
    let (mut events, mut seen) = (super::events::<Job>(client.clone()), HashSet::new());
    let mut running = FuturesUnordered::new();
    loop {
        let job = tokio::select! {
            job = events.next() => job,
            Some(()) = running.next() => continue,
        };
        let Some(job) = job else { break };
        let over = job.status.as_ref().is_some_and(|status| status.conditions.is_some());
        if !over && job.metadata.deletion_timestamp.is_none() && seen.insert(job.uid().unwrap()) {
            running.push(Box::pin(run(client.clone(), job)));
        }
    }
}

/// Folder of the volume of that claim. It outlasts the pods that mount it.
pub fn volume(claim: &str) -> PathBuf {
    let folder = std::env::temp_dir().join("tenantry-test-volumes").join(claim);
    fs::create_dir_all(&folder).unwrap();
    folder
}

async fn run(client: Client, job: Job) {
    let namespace = job.namespace().unwrap();
    let template = job.spec.as_ref().unwrap().template.clone();
    let spec = template.spec.unwrap();
    let Some(root) = mounted(&client, &namespace, &job, &spec).await else { return };
    let container = &spec.containers[0];
    let fate = status::fate(Some(&spec));
    let (status, code) = if fate == Fate::Running {
        let ended = start(root.path(), container).wait_with_output().await.unwrap();
        let message = fs::read_to_string(root.path().join("report")).unwrap_or_default();
        let code = ended.status.code().unwrap_or(137);
        (ended_pod(container, code, &message), Some(code))
    } else {
        (status::of_pod(fate, &spec), None)
    };
    let labels = template.metadata.and_then(|it| it.labels).unwrap_or_default().into_iter();
    let name = format!("{}-pod", job.name_any());
    let metadata = ObjectMeta {
        name: Some(name.clone()),
        labels: Some(labels.chain([("batch.kubernetes.io/job-name".into(), job.name_any())]).collect()),
        owner_references: job.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let pod = Pod { metadata, spec: Some(spec.clone()), status: None };
    // The Job, or its namespace, may be gone by now.
    if pods.create(&PostParams::default(), &pod).await.is_err() {
        return;
    }
    let status = Patch::Merge(json!({"status": status}));
    pods.patch_status(&name, &PatchParams::default(), &status).await.unwrap();
    let Some(code) = code else { return };
    let jobs: Api<Job> = Api::namespaced(client, &namespace);
    let end = Patch::Merge(json!({"status": ended_job(code == 0)}));
    _ = jobs.patch_status(&job.name_any(), &PatchParams::default(), &end).await.unwrap();
}

fn ended_pod(container: &Container, code: i32, message: &str) -> Value {
    let terminated = json!({"exitCode": code, "message": message, "reason": "Completed"});
    json!({
        "phase": if code == 0 { "Succeeded" } else { "Failed" },
        "containerStatuses": [{
            "name": container.name, "image": container.image, "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": terminated},
        }],
    })
}

fn ended_job(succeeded: bool) -> Value {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let condition =
        |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now, "lastProbeTime": now});
    if succeeded {
        json!({"startTime": now, "completionTime": now, "succeeded": 1, "ready": 0, "uncountedTerminatedPods": {},
               "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]})
    } else {
        json!({"startTime": now, "failed": 1, "ready": 0, "uncountedTerminatedPods": {},
               "conditions": [condition("FailureTarget"), condition("Failed")]})
    }
}

/// A folder with everything where the container mounts it. A pod waits until its Secrets are there.
async fn mounted(client: &Client, namespace: &str, job: &Job, spec: &PodSpec) -> Option<TempDir> {
    let root = tempfile::tempdir().unwrap();
    for mount in spec.containers[0].volume_mounts.iter().flatten() {
        let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name).unwrap();
        let place = root.path().join(mount.mount_path.trim_start_matches('/'));
        if let Some(claim) = &volume.persistent_volume_claim {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(self::volume(&claim.claim_name), &place).unwrap();
            continue;
        }
        fs::create_dir_all(&place).unwrap();
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            project(client, namespace, source.secret.as_ref().unwrap(), &place).await;
        }
        let Some(source) = &volume.secret else { continue };
        let secret = secret(client, namespace, job, source.secret_name.as_deref().unwrap()).await?;
        for (key, ByteString(value)) in secret.data.unwrap_or_default() {
            fs::write(place.join(key), value).unwrap();
        }
    }
    Some(root)
}

/// What a projected volume shows of a Secret. Who makes such a Job has seen that it is there.
async fn project(client: &Client, namespace: &str, source: &SecretProjection, place: &Path) {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let data = secrets.get(&source.name).await.unwrap().data.unwrap_or_default();
    for item in source.items.iter().flatten() {
        match data.get(&item.key) {
            Some(ByteString(value)) => fs::write(place.join(&item.path), value).unwrap(),
            None => assert_eq!(source.optional, Some(true), "{item:?}"),
        }
    }
}

/// The Secret, once it is there. `None` if the Job goes before.
async fn secret(client: &Client, namespace: &str, job: &Job, name: &str) -> Option<Secret> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    wait_until(Duration::from_mins(1), "the pod's Secret is there", async || {
        let found = secrets.get_opt(name).await.map_err(|error| error.to_string())?;
        let own = found.filter(|secret| {
            let mut owners = secret.metadata.owner_references.iter().flatten();
            owners.any(|owner| Some(&owner.uid) == job.metadata.uid.as_ref())
        });
        if own.is_some() {
            return Ok(own);
        }
        let live = jobs.get_opt(&job.name_any()).await.map_err(|error| error.to_string())?;
        let gone = live.is_none_or(|live| live.metadata.uid != job.metadata.uid);
        if gone { Ok(None) } else { Err("it is not".to_owned()) }
    })
    .await
}

fn start(root: &Path, container: &Container) -> tokio::process::Child {
    let inside = |value: &str| match value.strip_prefix("file://") {
        Some(path) => format!("file://{}{path}", root.display()),
        None if value.starts_with('/') => format!("{}{value}", root.display()),
        None => value.to_owned(),
    };
    let variables =
        container.env.iter().flatten().filter_map(|it| Some((&it.name, inside(it.value.as_deref()?))));
    Command::new(env!("CARGO_BIN_EXE_tenantry"))
        .args(container.args.iter().flatten())
        .env_clear()
        .envs(variables)
        .env("TENANTRY_ARCHIVE_TOOLS", TOOLS)
        .env("TENANTRY_ARCHIVE_REPORT", root.join("report"))
        .env("TMPDIR", root.join("tmp"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
