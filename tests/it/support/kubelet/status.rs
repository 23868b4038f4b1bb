//! The status that controllers and kubelets would write, as far as anybody reads it. Pure.
//!
//! Times are the object's creation: a status that is written twice stays equal.

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentStatus, StatefulSet, StatefulSetStatus,
};
use k8s_openapi::api::core::v1::PodSpec;
use kube::Resource;
use serde_json::{Value, json};

use super::{CRASHING, PENDING, UNPULLABLE, UNSCHEDULABLE};

/// How the pods of an image fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Running,
    /// A container waits, for this reason.
    Waiting(&'static str),
    Unschedulable,
    Pending,
}

/// The fate of the pods of `spec`: that of the first container that does not run.
pub fn fate(spec: Option<&PodSpec>) -> Fate {
    let images = spec.iter().flat_map(|spec| &spec.containers).filter_map(|c| c.image.as_deref());
    images.map(fate_of_image).find(|fate| *fate != Fate::Running).unwrap_or(Fate::Running)
}

fn fate_of_image(image: &str) -> Fate {
    match image {
        _ if image.starts_with(UNPULLABLE) => Fate::Waiting("ImagePullBackOff"),
        _ if image.starts_with(CRASHING) => Fate::Waiting("CrashLoopBackOff"),
        _ if image.starts_with(UNSCHEDULABLE) => Fate::Unschedulable,
        _ if image.starts_with(PENDING) => Fate::Pending,
        _ => Fate::Running,
    }
}

/// Zero is absent, as the API server would drop it.
fn count(number: i32) -> Option<i32> {
    (number != 0).then_some(number)
}

/// A rollout that cannot finish keeps the old pods running, beside one that fails.
pub fn of_deployment(deployment: &Deployment) -> DeploymentStatus {
    let spec = deployment.spec.as_ref().unwrap();
    let wanted = spec.replicas.unwrap_or(1);
    let ran = deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
    let runs = fate(spec.template.spec.as_ref()) == Fate::Running;
    let available = if runs { wanted } else { ran.min(wanted) };
    let failing = match (runs, available) {
        (true, _) => 0,
        (false, 0) => wanted,
        (false, _) => 1,
    };
    let condition = |type_: &str, holds: bool, reason: &str| DeploymentCondition {
        type_: type_.into(),
        status: if holds { "True" } else { "False" }.into(),
        reason: Some(reason.into()),
        last_transition_time: deployment.meta().creation_timestamp.clone(),
        last_update_time: deployment.meta().creation_timestamp.clone(),
        ..DeploymentCondition::default()
    };
    let enough = available >= wanted;
    let minimum = if enough { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" };
    let progress = if runs { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" };
    DeploymentStatus {
        observed_generation: deployment.meta().generation,
        replicas: count(available + failing),
        updated_replicas: count(if runs { wanted } else { failing }),
        ready_replicas: count(available),
        available_replicas: count(available),
        unavailable_replicas: count(failing),
        conditions: Some(vec![
            condition("Available", enough, minimum),
            condition("Progressing", true, progress),
        ]),
        ..DeploymentStatus::default()
    }
}

/// All of a StatefulSet's pods, ready or not.
pub fn of_stateful_set(set: &StatefulSet) -> StatefulSetStatus {
    let spec = set.spec.as_ref().unwrap();
    let wanted = spec.replicas.unwrap_or(1);
    let ready = if fate(spec.template.spec.as_ref()) == Fate::Running { wanted } else { 0 };
    let revision = format!("{}-{}", set.meta().name.as_deref().unwrap(), set.meta().generation.unwrap());
    StatefulSetStatus {
        observed_generation: set.meta().generation,
        replicas: wanted,
        ready_replicas: count(ready),
        available_replicas: Some(ready),
        current_replicas: count(wanted),
        updated_replicas: count(wanted),
        current_revision: Some(revision.clone()),
        update_revision: Some(revision),
        collision_count: Some(0),
        ..StatefulSetStatus::default()
    }
}

/// The status of a pod with that fate, as kubectl and operators read it.
pub fn of_pod(fate: Fate, spec: &PodSpec) -> Value {
    let condition = |type_: &str, status: &str, reason: &str, message: &str| json!({"type": type_, "status": status, "reason": reason, "message": message});
    let unscheduled = "0/1 nodes are available: 1 Insufficient memory.";
    let conditions = match fate {
        Fate::Unschedulable => vec![condition("PodScheduled", "False", "Unschedulable", unscheduled)],
        Fate::Running | Fate::Waiting(_) | Fate::Pending => vec![
            condition("PodScheduled", "True", "", ""),
            condition("Ready", "False", "ContainersNotReady", "containers are not ready"),
        ],
    };
    let containers = match fate {
        Fate::Waiting(reason) => spec.containers.iter().map(|container| waiting(container, reason)).collect(),
        Fate::Running | Fate::Unschedulable | Fate::Pending => vec![],
    };
    json!({"phase": "Pending", "conditions": conditions, "containerStatuses": containers})
}

fn waiting(container: &k8s_openapi::api::core::v1::Container, reason: &str) -> Value {
    let image = container.image.as_deref().unwrap_or_default();
    let message = match reason {
        "ImagePullBackOff" => {
            format!(
                "Back-off pulling image \"{image}\": ErrImagePull: failed to resolve reference \"{image}\""
            )
        }
        _ => format!("back-off 10s restarting failed container={}", container.name),
    };
    json!({
        "name": container.name,
        "image": image,
        "imageID": "",
        "ready": false,
        "started": false,
        "restartCount": i32::from(reason == "CrashLoopBackOff"),
        "state": {"waiting": {"reason": reason, "message": message}},
    })
}
