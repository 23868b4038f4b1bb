//! What a plan's schema cannot say. Pure.

use crate::api::condition::{Summary, reason};
use crate::api::plan::PlanSpec;

/// Labels as Kubernetes has them: a selector that no label can match is a mistake.
pub fn validate(spec: &PlanSpec) -> Result<(), Summary> {
    for (name, value) in spec.server_selector.iter().flat_map(|selector| &selector.match_labels) {
        let label = name.rsplit('/').next().unwrap_or_default();
        if label.is_empty() || label.len() > 63 || value.len() > 63 {
            let message = format!(
                "spec.serverSelector.matchLabels: {name:?}: {value:?} can be no label: names and values have at most 63 characters"
            );
            return Err(Summary::Stalled { reason: reason::INVALID_SPEC, message });
        }
    }
    Ok(())
}
