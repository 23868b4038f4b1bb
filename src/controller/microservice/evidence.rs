//! Why a rollout takes its time: read from the Deployment's conditions and from its newest pods. Pure.
//!
//! What is said must not change while nothing changes: pods' names, counts of restarts and growing waits are left
//! out, and what a registry or a container says about itself is kept apart as the detail.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::rollout::Rollout;
use crate::api::condition::reason;
use crate::api::microservice::MicroserviceSpec;

/// Longest detail.
const DETAIL: usize = 300;
/// Label of a Deployment's pods that tells their revision.
const REVISION: &str = "pod-template-hash";

/// Why a rollout takes its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// CamelCase reason.
    pub reason: &'static str,
    /// The culprit.
    pub head: String,
    /// In the words of whoever found it; may differ each time.
    pub detail: Option<String>,
    /// The next step.
    pub advice: String,
    /// Whether only a person can end it.
    pub stalled: bool,
}

impl Trouble {
    /// What a status says.
    pub fn message(&self) -> String {
        let detail = self.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        format!("{}{detail}; {}", self.head, self.advice)
    }
}

/// The gravest reason, if one shows.
pub fn trouble(spec: &MicroserviceSpec, rollout: &Rollout, pods: &[Pod]) -> Option<Trouble> {
    let refused = rollout.refused.as_deref().map(refused);
    let seen = newest(pods).into_iter().filter(|pod| !is_ready(pod)).flat_map(|pod| of_pod(spec, pod));
    let gravest = seen.min_by(|a, b| (a.0, &a.1.head).cmp(&(b.0, &b.1.head))).map(|(_, trouble)| trouble);
    refused.or(gravest).or_else(|| rollout.stuck.then(stuck))
}

/// Pods of the newest revision: an older one fails for a reason that may have been corrected.
fn newest(pods: &[Pod]) -> Vec<&Pod> {
    let living = || pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let revision = |pod: &Pod| pod.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION)).cloned();
    let newest = living().max_by_key(|pod| pod.metadata.creation_timestamp.clone()).map(revision);
    living().filter(|pod| Some(revision(pod)) == newest).collect()
}

fn is_ready(pod: &Pod) -> bool {
    has_condition(pod, "Ready", "True").is_some()
}

fn has_condition<'a>(
    pod: &'a Pod,
    kind: &str,
    status: &str,
) -> Option<&'a k8s_openapi::api::core::v1::PodCondition> {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().find(|condition| condition.type_ == kind && condition.status == status)
}

/// What keeps one pod back, each with its rank: the lower, the graver.
fn of_pod(spec: &MicroserviceSpec, pod: &Pod) -> Vec<(u8, Trouble)> {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let mut found: Vec<_> = containers.filter_map(|container| of_container(spec, pod, container)).collect();
    let unscheduled = has_condition(pod, "PodScheduled", "False");
    if let Some(condition) = unscheduled.filter(|found| found.reason.as_deref() == Some("Unschedulable")) {
        found.push((
            3,
            Trouble {
                reason: reason::UNSCHEDULABLE,
                head: "no node can take a pod".into(),
                detail: condition.message.as_deref().and_then(detail),
                advice: "lower spec.resources.requests or add nodes".into(),
                stalled: false,
            },
        ));
    }
    found
}

fn of_container(spec: &MicroserviceSpec, pod: &Pod, container: &ContainerStatus) -> Option<(u8, Trouble)> {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let message = waiting.and_then(|waiting| waiting.message.as_deref()).unwrap_or_default();
    match waiting.and_then(|waiting| waiting.reason.as_deref()) {
        Some("InvalidImageName") => Some((0, image(spec, &asked_image(pod, container), None, true))),
        Some(
            "ErrImagePull"
            | "ImagePullBackOff"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable",
        ) => Some((0, image(spec, &asked_image(pod, container), pull_error(message), false))),
        Some("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => Some((
            1,
            Trouble {
                reason: reason::CONTAINER_CONFIG,
                head: "the container cannot be started".into(),
                detail: detail(message),
                advice:
                    "images must run as a numeric user other than 0, without privileges, on a read-only root"
                        .into(),
                stalled: false,
            },
        )),
        _ => crash(container).map(|trouble| (2, trouble)),
    }
}

fn asked_image(pod: &Pod, container: &ContainerStatus) -> String {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let asked = containers.into_iter().find(|asked| asked.name == container.name);
    asked.and_then(|asked| asked.image.clone()).unwrap_or_else(|| container.image.clone())
}

fn image(spec: &MicroserviceSpec, image: &str, detail: Option<String>, malformed: bool) -> Trouble {
    let (field, advice) = match (&spec.image, malformed) {
        (Some(_), true) => ("spec.image: ", "correct spec.image"),
        (Some(_), false) => ("spec.image: ", "correct spec.image or see to the registry"),
        (None, _) => {
            ("", "it is the operator's own image: see to its registry and to the operator's --image")
        }
    };
    let fault = if malformed { "is not the name of an image" } else { "cannot be pulled" };
    Trouble {
        reason: reason::IMAGE_PULL_FAILED,
        head: format!("{field}image {image} {fault}"),
        detail,
        advice: advice.into(),
        stalled: malformed,
    }
}

/// The kubelet says the cause while it pulls and repeats it, behind other words, while it backs off.
fn pull_error(message: &str) -> Option<String> {
    let cause = message.rsplit_once("ErrImagePull: ").map_or(message, |(_, cause)| cause);
    if cause.starts_with("Back-off pulling image") { None } else { detail(cause) }
}

/// The container ended, and it is started again or will be.
fn crash(container: &ContainerStatus) -> Option<Trouble> {
    let ended =
        |state: &Option<k8s_openapi::api::core::v1::ContainerState>| state.as_ref()?.terminated.clone();
    let waits = container.state.as_ref().and_then(|state| state.waiting.as_ref()?.reason.as_deref());
    let last = ended(&container.state).or_else(|| ended(&container.last_state));
    if last.is_none() && waits != Some("CrashLoopBackOff") {
        return None;
    }
    let how = last.as_ref().map(|last| match last.reason.as_deref() {
        Some(why @ ("OOMKilled" | "DeadlineExceeded" | "ContainerCannotRun")) => {
            format!(" with exit code {} ({why})", last.exit_code)
        }
        _ => format!(" with exit code {}", last.exit_code),
    });
    let killed = last.as_ref().is_some_and(|last| last.reason.as_deref() == Some("OOMKilled"));
    Some(Trouble {
        reason: reason::CRASH_LOOP,
        head: format!("the container ends{} and is started again and again", how.unwrap_or_default()),
        detail: last.and_then(|last| detail(last.message.as_deref()?)),
        advice: if killed {
            "raise spec.resources.limits.memory"
        } else {
            "read its log: kubectl logs --previous"
        }
        .into(),
        stalled: false,
    })
}

/// Pods are refused by admission. The message begins with a name that is made up anew for each attempt.
fn refused(message: &str) -> Trouble {
    let from = |words: &str| message.find(words).and_then(|at| detail(&message[at..]));
    if let Some(quota) = from("exceeded quota") {
        return Trouble {
            reason: reason::QUOTA_EXCEEDED,
            head: "the quota of the tenant's plan leaves no room for a pod".into(),
            detail: Some(quota),
            advice: "lower spec.resources or spec.replicas, or give the tenant a larger plan; an update needs room for one pod more".into(),
            stalled: false,
        };
    }
    let invalid = from("is invalid");
    let stalled = invalid.is_some();
    Trouble {
        reason: if stalled { reason::INVALID_SPEC } else { reason::FORBIDDEN },
        head: "the API server refuses the pods".into(),
        detail: invalid
            .or_else(|| from("violates"))
            .or_else(|| from("is forbidden"))
            .or_else(|| detail(message)),
        advice: "correct the spec or what refuses them".into(),
        stalled,
    }
}

fn stuck() -> Trouble {
    Trouble {
        reason: reason::FAILED,
        head: "the pods run but do not become ready".into(),
        detail: None,
        advice: "see to spec.endpoints and read the pods' logs".into(),
        stalled: false,
    }
}

/// One line of bounded length; `None` if there is nothing in it.
fn detail(text: &str) -> Option<String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(DETAIL).collect();
    (!cut.is_empty()).then_some(cut)
}
