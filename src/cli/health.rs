//! Reads an object's conditions as kstatus does. Pure.

use serde_json::Value;

use crate::api::condition::{READY, STALLED};

/// How an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// As its spec asks.
    Ready,
    /// On its way, or not seen by the operator yet.
    Progressing,
    /// Somebody has to change something.
    Stalled,
    /// Being deleted.
    Terminating,
}

impl Health {
    /// Judges an object.
    pub(super) fn of(object: &Value) -> Self {
        if object["metadata"]["deletionTimestamp"].is_string() {
            return Self::Terminating;
        }
        if object["status"]["observedGeneration"] != object["metadata"]["generation"] {
            return Self::Progressing;
        }
        if is_true(object, STALLED) {
            return Self::Stalled;
        }
        if is_true(object, READY) { Self::Ready } else { Self::Progressing }
    }

    /// As one word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::Stalled => "Stalled",
            Self::Terminating => "Terminating",
        }
    }
}

/// The condition of that type; as with kubectl the case of letters does not matter.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"].as_str().is_some_and(|text| text.eq_ignore_ascii_case(kind)))
}

/// Whether the condition is True.
pub(super) fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
}

/// Reason and message of Ready: what an object says of itself.
pub(super) fn explanation(object: &Value) -> Option<String> {
    let ready = condition(object, READY)?;
    Some(format!("{}: {}", ready["reason"].as_str()?, ready["message"].as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(observed: i64, conditions: &Value) -> Value {
        json!({"metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": conditions}})
    }

    #[test]
    fn an_old_status_says_nothing() {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        assert_eq!(Health::of(&object(1, &ready)), Health::Progressing);
        assert_eq!(Health::of(&object(2, &ready)), Health::Ready);
        assert_eq!(Health::of(&json!({"metadata": {"generation": 1}})), Health::Progressing);
    }

    #[test]
    fn stalled_and_terminating_are_told_apart_from_progress() {
        let stalled = json!([{"type": "Ready", "status": "False"}, {"type": "Stalled", "status": "True"}]);
        assert_eq!(Health::of(&object(2, &stalled)), Health::Stalled);
        let mut going = object(2, &stalled);
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(Health::of(&going), Health::Terminating);
        assert_eq!(Health::of(&object(2, &json!([]))), Health::Progressing);
    }
}
