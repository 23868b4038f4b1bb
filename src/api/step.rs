//! Steps: what a reconcile still has to do, as a user reads it in status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One step on the way to Ready. Written only when its phase or its error changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Name of the step, for example `database` or `services`.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Where the step is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<StepPhase>,
    /// How often the step has failed since it last succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub attempts: Option<i32>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_error: Option<String>,
}

/// Where a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StepPhase {
    /// An earlier step has to succeed first.
    Pending,
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// The last attempt failed; `lastError` says why. It is tried again.
    Failed,
}

impl Step {
    /// A step in `phase` that has never failed.
    pub fn new(name: &str, phase: StepPhase) -> Self {
        Self { name: name.to_owned(), phase: Some(phase), attempts: None, last_error: None }
    }

    /// A failed step; `attempts` counts on from `before`, if the same step had failed already.
    pub fn failed(name: &str, error: &str, before: &[Self]) -> Self {
        let error: String = error.chars().take(1024).collect();
        let earlier = before.iter().find(|step| step.name == name);
        let same = earlier.is_some_and(|step| step.last_error.as_deref() == Some(&*error));
        let attempts = earlier.and_then(|step| step.attempts).unwrap_or(0);
        Self {
            name: name.to_owned(),
            phase: Some(StepPhase::Failed),
            // The same error again is not news: counting it would write status at every retry.
            attempts: Some(if same { attempts.max(1) } else { attempts + 1 }),
            last_error: Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_cut_where_the_schema_would_refuse_it() {
        let step = Step::failed("database", &"ü".repeat(1025), &[]);
        assert_eq!(step.last_error, Some("ü".repeat(1024)));
    }
}
