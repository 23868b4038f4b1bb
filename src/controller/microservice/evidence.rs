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

/// The gravest reason, if one shows. Until the Deployment's controller has seen the newest spec, what there is of pods and
/// conditions is of an earlier one.
pub fn trouble(spec: &MicroserviceSpec, rollout: &Rollout, pods: &[Pod]) -> Option<Trouble> {
    if !rollout.current {
        return None;
    }
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

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "a case reads better with the value itself")]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixtures::spec;
    use super::*;

    /// Its Deployment's controller has seen the newest spec.
    const CURRENT: Rollout = Rollout {
        current: true,
        wanted: 1,
        replicas: 1,
        updated: 0,
        available: 0,
        refused: None,
        stuck: false,
    };

    fn pod(revision: &str, second: u8, status: Value) -> Pod {
        let created = format!("2026-01-01T00:00:{second:02}Z");
        let pod = json!({
            "metadata": {"labels": {REVISION: revision}, "creationTimestamp": created},
            "spec": {"containers": [{"name": "shop", "image": "r/shop:1"}]},
            "status": status,
        });
        serde_json::from_value(pod).unwrap()
    }

    fn container(state: Value, last: Value) -> Value {
        json!({"containerStatuses": [{"name": "shop", "image": "other", "imageID": "", "ready": false,
            "restartCount": 3, "state": state, "lastState": last}]})
    }

    fn waiting(reason: &str, message: &str) -> Value {
        container(json!({"waiting": {"reason": reason, "message": message}}), json!({}))
    }

    /// Reason and message of what shows on these pods.
    fn says(pods: &[Pod]) -> Option<(&'static str, String)> {
        let trouble = trouble(&spec(json!({"image": "r/shop:1"})), &CURRENT, pods)?;
        Some((trouble.reason, trouble.message()))
    }

    fn one(status: Value) -> Option<(&'static str, String)> {
        says(&[pod("a", 1, status)])
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_named_with_its_field_and_the_cause() {
        let expected = "spec.image: image r/shop:1 cannot be pulled: r/shop:1: not found; correct spec.image or see to the registry";
        let expected = Some(("ImagePullFailed", expected.to_owned()));
        assert_eq!(one(waiting("ErrImagePull", "r/shop:1: not found")), expected);
        let backing_off = "Back-off pulling image \"r/shop:1\": ErrImagePull: r/shop:1: not found";
        assert_eq!(
            one(waiting("ImagePullBackOff", backing_off)),
            expected,
            "it reads the same in both phases"
        );
        let silent = one(waiting("ImagePullBackOff", "Back-off pulling image \"r/shop:1\""));
        let message =
            "spec.image: image r/shop:1 cannot be pulled; correct spec.image or see to the registry";
        assert_eq!(silent, Some(("ImagePullFailed", message.into())));
        let malformed = one(waiting("InvalidImageName", "Failed to apply default image tag"));
        let message = "spec.image: image r/shop:1 is not the name of an image; correct spec.image";
        assert_eq!(malformed, Some(("ImagePullFailed", message.into())));
    }

    #[test]
    fn a_container_that_ends_again_and_again_tells_how() {
        let ended = json!({"terminated": {"exitCode": 3, "reason": "Error", "message": "no\n  database"}});
        let advice = "read its log: kubectl logs --previous";
        let message = format!(
            "the container ends with exit code 3 and is started again and again: no database; {advice}"
        );
        let expected = Some(("CrashLoopBackOff", message));
        let back_off =
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting"}});
        assert_eq!(one(container(back_off, ended.clone())), expected);
        assert_eq!(
            one(container(json!({"running": {}}), ended.clone())),
            expected,
            "it reads the same between two ends"
        );
        assert_eq!(one(container(ended, json!({}))), expected);
        let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let message = "the container ends with exit code 137 (OOMKilled) and is started again and again; raise spec.resources.limits.memory";
        assert_eq!(one(container(killed, json!({}))), Some(("CrashLoopBackOff", message.into())));
    }

    #[test]
    fn a_container_that_may_not_start_and_a_pod_without_node_are_told() {
        let root = "container has runAsNonRoot and image will run as root";
        let (reason, message) = one(waiting("CreateContainerConfigError", root)).unwrap();
        assert_eq!(reason, "CreateContainerConfigError");
        assert!(message.starts_with(&format!("the container cannot be started: {root}; ")), "{message}");
        let nowhere = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient cpu."}]});
        let message = "no node can take a pod: 0/1 nodes are available: 1 Insufficient cpu.; lower spec.resources.requests or add nodes";
        assert_eq!(one(nowhere), Some(("Unschedulable", message.into())));
    }

    #[test]
    fn only_pods_of_the_newest_revision_count_and_ready_ones_do_not() {
        let failing = waiting("ImagePullBackOff", "");
        let starting = json!({"conditions": []});
        assert_eq!(says(&[pod("old", 1, failing.clone()), pod("new", 2, starting)]), None);
        let mut served = container(json!({"running": {}}), json!({"terminated": {"exitCode": 1}}));
        served["conditions"] = json!([{"type": "Ready", "status": "True"}]);
        assert_eq!(says(&[pod("new", 2, served)]), None);
        let mut leaving = pod("new", 3, failing.clone());
        leaving.metadata.deletion_timestamp = leaving.metadata.creation_timestamp.clone();
        assert_eq!(says(&[leaving]), None);
        assert_eq!(says(&[pod("old", 1, json!({})), pod("new", 2, failing)]).unwrap().0, "ImagePullFailed");
    }

    fn refusal(message: &str) -> (&'static str, Option<String>, bool) {
        let rollout = Rollout { refused: Some(message.into()), ..CURRENT };
        let trouble = trouble(&spec(json!({"image": "a:1"})), &rollout, &[]).unwrap();
        (trouble.reason, trouble.detail, trouble.stalled)
    }

    #[test]
    fn pods_that_admission_refuses_are_told_without_their_made_up_names() {
        let quota = "exceeded quota: tenantry, requested: pods=1, used: pods=2, limited: pods=2";
        let message = format!("pods \"shop-5d9-x7k2p\" is forbidden: {quota}");
        assert_eq!(refusal(&message), ("QuotaExceeded", Some(quota.into()), false));
        let security = "violates PodSecurity \"restricted:latest\": unrestricted capabilities";
        let message = format!("pods \"shop-5d9-x7k2p\" is forbidden: {security}");
        assert_eq!(refusal(&message), ("Forbidden", Some(security.into()), false));
        let message =
            "Pod \"shop-5d9-x7k2p\" is invalid: spec.containers[0].resources.requests: Invalid value: \"1\"";
        let expected = "is invalid: spec.containers[0].resources.requests: Invalid value: \"1\"";
        assert_eq!(refusal(message), ("InvalidSpec", Some(expected.into()), true));
    }

    #[test]
    fn a_rollout_without_progress_is_told_when_nothing_else_shows() {
        let rollout = Rollout { stuck: true, ..CURRENT };
        let stuck = trouble(&spec(json!({"image": "a:1"})), &rollout, &[]).unwrap();
        assert_eq!(stuck.reason, "ReconcileFailed");
        assert_eq!(trouble(&spec(json!({"image": "a:1"})), &CURRENT, &[]), None);
    }

    #[test]
    fn a_corrected_spec_is_not_blamed_for_the_one_before() {
        let rollout =
            Rollout { current: false, refused: Some("x is forbidden".into()), stuck: true, ..CURRENT };
        let failing = [pod("a", 1, waiting("ErrImagePull", "r/shop:1: not found"))];
        assert_eq!(trouble(&spec(json!({"image": "r/shop:2"})), &rollout, &failing), None);
    }
}
