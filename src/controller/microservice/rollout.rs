//! How far a Deployment is, and the memory of it: what a read showed stays true until the watch knows of a newer
//! version.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::apps::v1::Deployment;

use crate::controller::object::Key;

/// How far a Deployment is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Whether the counts below are about the newest spec.
    pub current: bool,
    /// Pods that the spec asks for.
    pub wanted: i32,
    /// Pods, whatever their revision and state.
    pub replicas: i32,
    /// Pods of the newest revision.
    pub updated: i32,
    /// Pods that serve, whatever their revision.
    pub available: i32,
    /// Why pods cannot even be made.
    pub refused: Option<String>,
    /// Whether the Deployment controller has given up waiting for progress.
    pub stuck: bool,
}

impl Rollout {
    /// What the Deployment's spec and status say.
    pub fn of(deployment: &Deployment) -> Self {
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let Some(status) = &deployment.status else { return Self { wanted, ..Self::default() } };
        let condition = |kind: &str, status_is: &str| {
            let conditions = status.conditions.iter().flatten();
            conditions.into_iter().find(|condition| condition.type_ == kind && condition.status == status_is)
        };
        Self {
            current: status.observed_generation == deployment.metadata.generation,
            wanted,
            replicas: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            refused: condition("ReplicaFailure", "True")
                .map(|found| found.message.clone().unwrap_or_default()),
            stuck: condition("Progressing", "False").is_some(),
        }
    }

    /// Whether all pods that are asked for serve in the newest revision, and no other pods are left.
    pub fn is_complete(&self) -> bool {
        self.current
            && [self.replicas, self.updated, self.available].iter().all(|count| *count == self.wanted)
    }
}

/// What the last reads showed.
#[derive(Debug, Default)]
pub struct Rollouts(Mutex<HashMap<Key, (u64, Rollout)>>);

impl Rollouts {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (u64, Rollout)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a read of exactly that version showed.
    pub fn at(&self, key: &Key, version: u64) -> Option<Rollout> {
        self.lock().get(key).filter(|(seen, _)| *seen == version).map(|(_, rollout)| rollout.clone())
    }

    /// A read showed this.
    pub fn remember(&self, key: Key, version: u64, rollout: Rollout) {
        self.lock().insert(key, (version, rollout));
    }

    /// The microservice is gone.
    pub fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "a case reads better with the value itself")]
mod tests {
    use serde_json::json;

    use super::*;

    fn rollout(status: serde_json::Value) -> Rollout {
        let deployment = json!({
            "metadata": {"generation": 3},
            "spec": {"replicas": 2, "selector": {}, "template": {}},
            "status": status,
        });
        Rollout::of(&serde_json::from_value(deployment).unwrap())
    }

    #[test]
    fn a_rollout_is_complete_when_every_pod_asked_for_serves_and_none_is_left_over() {
        let status = |generation: i64, replicas: i32, updated: i32, available: i32| json!({"observedGeneration": generation, "replicas": replicas, "updatedReplicas": updated, "availableReplicas": available});
        assert!(rollout(status(3, 2, 2, 2)).is_complete());
        for incomplete in
            [status(2, 2, 2, 2), status(3, 3, 2, 2), status(3, 2, 1, 2), status(3, 2, 2, 1), json!({})]
        {
            assert!(!rollout(incomplete.clone()).is_complete(), "{incomplete}");
        }
    }

    #[test]
    fn a_deployment_says_why_it_has_no_pods() {
        let conditions = json!([
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "no"},
        ]);
        assert_eq!(
            rollout(json!({"observedGeneration": 3, "conditions": conditions})),
            Rollout {
                current: true,
                wanted: 2,
                refused: Some("no".into()),
                stuck: true,
                ..Rollout::default()
            }
        );
    }

    #[test]
    fn a_read_is_remembered_for_its_version_only() {
        let (rollouts, key) = (Rollouts::default(), Key::namespaced("n", "a"));
        let seen = Rollout { wanted: 1, ..Rollout::default() };
        rollouts.remember(key.clone(), 7, seen.clone());
        assert_eq!(rollouts.at(&key, 7), Some(seen));
        assert_eq!(rollouts.at(&key, 8), None);
        rollouts.forget(&key);
        assert_eq!(rollouts.at(&key, 7), None);
    }
}
