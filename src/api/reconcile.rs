//! Reconciling on demand: what a person asks for by an annotation, and what the operator found. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many findings a status holds.
pub const MOST_FINDINGS: usize = 32;
/// Characters of one finding.
pub const LONGEST_FINDING: usize = 512;

/// A comparison that somebody asked for, and what it found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reconciled {
    /// Value of the annotation `tenantry.dev/reconcile-requested-at` that this answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub requested_at: Option<String>,
    /// What was not as declared, one finding each; empty if everything was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 512)))]
    pub found: Vec<String>,
    /// Whether it was brought back. Absent if nothing was found, or if others do that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrected: Option<bool>,
}

impl Reconciled {
    /// The answer to `requested_at`. What does not fit into a status is counted.
    pub fn new(requested_at: &str, found: &[String], corrected: Option<bool>) -> Self {
        let shown = if found.len() > MOST_FINDINGS { MOST_FINDINGS - 1 } else { found.len() };
        let mut all: Vec<String> =
            found[..shown].iter().map(|finding| finding.chars().take(LONGEST_FINDING).collect()).collect();
        if shown < found.len() {
            all.push(format!("and {} more", found.len() - shown));
        }
        Self { requested_at: Some(requested_at.to_owned()), found: all, corrected }
    }
}

/// The request of an annotation, if it was not answered yet. One that is longer than an answer can repeat is none.
pub fn open_request<'a>(annotation: Option<&'a String>, answered: Option<&Reconciled>) -> Option<&'a str> {
    let answered = answered.and_then(|answer| answer.requested_at.as_deref());
    annotation
        .map(String::as_str)
        .filter(|asked| !asked.is_empty() && asked.chars().count() <= 64 && Some(*asked) != answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_open_until_it_is_answered() {
        let asked = "2026-11-21T20:00:00Z".to_owned();
        assert_eq!(open_request(Some(&asked), None), Some(&*asked));
        let answer = Reconciled::new(&asked, &[], None);
        assert_eq!(open_request(Some(&asked), Some(&answer)), None);
        assert_eq!(open_request(Some(&"later".to_owned()), Some(&answer)), Some("later"));
        assert_eq!(open_request(None, Some(&answer)), None);
        // It could never be answered, and would be worked on for ever.
        assert_eq!(open_request(Some(&"x".repeat(65)), None), None);
        assert_eq!(open_request(Some(&String::new()), None), None);
    }

    #[test]
    fn an_answer_fits_into_a_status() {
        let found = vec!["ü".repeat(600); 40];
        let answer = Reconciled::new("now", &found, Some(true));
        assert_eq!(answer.found.len(), MOST_FINDINGS);
        assert_eq!(answer.found[0].chars().count(), LONGEST_FINDING);
        assert_eq!(answer.found[31], "and 9 more");
    }
}
