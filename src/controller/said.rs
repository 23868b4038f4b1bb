//! Who has set an annotation, and when, as the API server's record of managed fields has it. Pure.
//!
//! The record names a field manager, not the user behind it. It is in no store: it is as large as the object that it is of, so whoever
//! asks reads the object live.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use k8s_openapi::jiff::Timestamp;

/// What is known of whoever set an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The field manager.
    pub by: String,
    /// When, by the API server's clock, if it says so.
    pub at: Option<Timestamp>,
}

/// Who has set that annotation of the object with that metadata. Of several managers that agree on it, the first.
pub fn of(meta: &ObjectMeta, annotation: &str) -> Said {
    let pointer = format!("/f:metadata/f:annotations/f:{}", annotation.replace('~', "~0").replace('/', "~1"));
    let sets = |entry: &&ManagedFieldsEntry| {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(&pointer).is_some())
    };
    let at = |entry: &ManagedFieldsEntry| entry.time.as_ref().map(|time| time.0);
    let entries = meta.managed_fields.iter().flatten().filter(sets);
    // Nothing is earlier than no time at all.
    let first = entries.min_by_key(|entry| (at(entry).is_none(), at(entry)));
    let manager = first.and_then(|entry| entry.manager.as_deref()).unwrap_or("somebody");
    Said { by: format!("{manager} (unattributed)"), at: first.and_then(at) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ANNOTATION: &str = "tenantry.dev/deletion-brake";

    fn entry(manager: &str, annotation: &str, time: Option<&str>) -> Value {
        let field = format!("f:{annotation}");
        json!({
            "manager": manager, "time": time, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, field: {}}}},
        })
    }

    fn said(entries: &[Value]) -> Said {
        of(&serde_json::from_value(json!({"managedFields": entries})).unwrap(), ANNOTATION)
    }

    #[test]
    fn the_first_manager_of_that_very_annotation_has_set_it() {
        let (early, late) = ("2026-11-22T10:00:00Z", "2026-11-22T10:00:01Z");
        let by = |manager: &str, at: Option<&str>| Said {
            by: format!("{manager} (unattributed)"),
            at: at.map(|at| at.parse().unwrap()),
        };
        let other = entry("kubectl-label", "tenantry.dev/deletion", Some(early));
        let kubectl = entry("kubectl-annotate", ANNOTATION, Some(late));
        assert_eq!(said(&[other.clone(), kubectl.clone()]), by("kubectl-annotate", Some(late)));
        assert_eq!(said(&[kubectl.clone(), entry("flux", ANNOTATION, Some(early))]), by("flux", Some(early)));
        assert_eq!(said(&[entry("old", ANNOTATION, None), kubectl]), by("kubectl-annotate", Some(late)));
        assert_eq!(said(&[entry("old", ANNOTATION, None)]), by("old", None));
        assert_eq!(said(&[other]), by("somebody", None));
        assert_eq!(said(&[]), by("somebody", None));
    }
}
