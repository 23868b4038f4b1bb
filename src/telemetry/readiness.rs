//! Readiness: named gates. A process is ready when every gate is, and otherwise says which is not and why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// The gates of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Option<String>>>>);

/// One condition of being ready. Clones share its state.
#[derive(Clone, Debug)]
pub struct Gate {
    readiness: Readiness,
    name: &'static str,
}

/// What `/readyz` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadinessReport {
    /// Whether every gate is ready.
    pub ready: bool,
    /// Every gate, by name.
    pub gates: Vec<GateReport>,
}

/// State of one gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GateReport {
    /// Name of the gate.
    pub name: &'static str,
    /// Whether it is ready.
    pub ready: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Readiness {
    /// A gate of that name, not ready until told otherwise. The same name gives the same gate.
    pub fn gate(&self, name: &'static str) -> Gate {
        self.lock().entry(name).or_insert_with(|| Some("not checked yet".to_owned()));
        Gate { readiness: self.clone(), name }
    }

    /// The state of every gate at this moment. Without gates a process is ready.
    pub fn report(&self) -> ReadinessReport {
        let gates: Vec<GateReport> = self
            .lock()
            .iter()
            .map(|(name, message)| GateReport { name, ready: message.is_none(), message: message.clone() })
            .collect();
        ReadinessReport { ready: gates.iter().all(|gate| gate.ready), gates }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// What the gate stands for is there.
    pub fn ready(&self) {
        self.readiness.lock().insert(self.name, None);
    }

    /// What the gate stands for is missing. The message names it; it is shown to anyone who may reach the port,
    /// so it holds no secret.
    pub fn not_ready(&self, message: impl Into<String>) {
        self.readiness.lock().insert(self.name, Some(message.into()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_process_without_gates_is_ready() {
        assert_eq!(Readiness::default().report(), ReadinessReport { ready: true, gates: Vec::new() });
    }

    #[test]
    fn one_gate_that_is_not_ready_keeps_the_process_from_being_ready() {
        let readiness = Readiness::default();
        let crds = readiness.gate("crds");
        readiness.gate("leader").ready();
        assert_eq!(
            serde_json::to_value(readiness.report()).unwrap(),
            json!({"ready": false, "gates": [
                {"name": "crds", "ready": false, "message": "not checked yet"},
                {"name": "leader", "ready": true},
            ]})
        );
        crds.not_ready("CRD tenants.tenantry.dev is missing");
        assert_eq!(
            serde_json::to_value(readiness.report()).unwrap(),
            json!({"ready": false, "gates": [
                {"name": "crds", "ready": false, "message": "CRD tenants.tenantry.dev is missing"},
                {"name": "leader", "ready": true},
            ]})
        );
        readiness.gate("crds").ready();
        assert_eq!(
            serde_json::to_value(readiness.report()).unwrap(),
            json!({"ready": true, "gates": [
                {"name": "crds", "ready": true},
                {"name": "leader", "ready": true},
            ]})
        );
    }

    #[test]
    fn asking_for_a_gate_again_does_not_reset_it() {
        let readiness = Readiness::default();
        readiness.gate("crds").ready();
        readiness.gate("crds");
        assert!(readiness.report().ready);
    }
}
