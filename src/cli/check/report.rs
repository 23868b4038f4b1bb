//! The outcome of checks, as text and as JSON. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::failure::Failure;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Sound.
    Passed,
    /// Works, but somebody should look.
    Warned,
    /// Not sound.
    Failed,
}

impl Verdict {
    const fn sign(self) -> &'static str {
        match self {
            Self::Passed => "√",
            Self::Warned => "‼",
            Self::Failed => "×",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Passed => "success",
            Self::Warned => "warning",
            Self::Failed => "error",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    id: &'static str,
    text: String,
    verdict: Verdict,
    hint: Option<String>,
}

impl Check {
    /// It is so.
    pub(super) fn ok(id: &'static str, text: impl Into<String>) -> Self {
        Self { id, text: text.into(), verdict: Verdict::Passed, hint: None }
    }

    /// It is not so, and nothing is broken by it.
    pub(super) fn warned(id: &'static str, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { id, text: text.into(), verdict: Verdict::Warned, hint: Some(hint.into()) }
    }

    /// It is not so.
    pub(super) fn broken(id: &'static str, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { id, text: text.into(), verdict: Verdict::Failed, hint: Some(hint.into()) }
    }

    /// It could not be found out, or is not so: the failure says why.
    pub(super) fn failed(id: &'static str, text: &str, failure: &Failure) -> Self {
        let cause = failure.lines.join(" ");
        let text = format!("{text}: {}", cause.trim_start_matches("error: "));
        Self { id, text, verdict: Verdict::Failed, hint: failure.hint.clone() }
    }
}

/// All checks, by category.
#[derive(Debug, Default)]
pub(super) struct Report {
    categories: Vec<(&'static str, Vec<Check>)>,
}

impl Report {
    /// Adds checks to a category.
    pub(super) fn add(&mut self, category: &'static str, mut checks: Vec<Check>) {
        match self.categories.iter_mut().find(|(name, _)| *name == category) {
            Some((_, known)) => known.append(&mut checks),
            None => self.categories.push((category, checks)),
        }
    }

    /// The worst verdict.
    pub(super) fn verdict(&self) -> Verdict {
        let verdicts = self.categories.iter().flat_map(|(_, checks)| checks).map(|check| check.verdict);
        verdicts.max().unwrap_or(Verdict::Passed)
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (category, checks) in &self.categories {
            _ = writeln!(text, "{category}");
            for Check { id, text: what, verdict, hint } in checks {
                _ = writeln!(text, "  {} {what} [{id}]", verdict.sign());
                if let Some(hint) = hint {
                    _ = writeln!(text, "      hint: {hint}");
                }
            }
            text.push('\n');
        }
        _ = writeln!(text, "Status check results are {}", self.verdict().sign());
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let check = |Check { id, text, verdict, hint }: &Check| {
            let mut value = json!({"id": id, "description": text, "result": verdict.word()});
            if let Some(hint) = hint {
                value["hint"] = json!(hint);
            }
            value
        };
        let categories: Vec<Value> = self
            .categories
            .iter()
            .map(|(name, checks)| json!({"name": name, "checks": checks.iter().map(check).collect::<Vec<_>>()}))
            .collect();
        json!({"success": self.verdict() != Verdict::Failed, "categories": categories})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_check_is_the_result() {
        let mut report = Report::default();
        report.add("a", vec![Check::ok("A-01", "one")]);
        assert_eq!(report.verdict(), Verdict::Passed);
        report.add("b", vec![Check::warned("B-01", "two", "look")]);
        report.add("a", vec![Check::broken("A-02", "three", "mend")]);
        assert_eq!(
            report.text(),
            "a\n  √ one [A-01]\n  × three [A-02]\n      hint: mend\n\nb\n  ‼ two [B-01]\n      hint: look\n\nStatus check results are ×\n"
        );
        assert_eq!(report.json()["success"], false);
        assert_eq!(
            report.json()["categories"][1]["checks"][0],
            json!({"id": "B-01", "description": "two", "result": "warning", "hint": "look"})
        );
    }
}
