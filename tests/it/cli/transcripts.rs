//! Sessions at a terminal, as they are documented: each command with all that it prints.
//!
//! `golden/*.txt` are the expected transcripts. `TENANTRY_UPDATE_GOLDEN=1` writes them again; review the difference.

use std::fmt::Write;
use std::path::Path;

use crate::support::ControlPlane;

use super::{Outcome, Shell, without_ages};

#[tokio::test]
async fn a_day_with_tenants_reads_as_documented() {
    let plane = ControlPlane::own().await;
    let shell = Shell::new(&plane);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli/golden/tenants.txt");
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    let mut transcript = String::new();
    for command in expected.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let words: Vec<&str> = command.split(' ').collect();
        let outcome = match words[0] {
            "kubectl" => shell.kubectl(&words[1..]).await,
            _ => shell.tenantry(&words[1..]).await,
        };
        transcript.push_str(&written(command, &outcome));
    }
    assert_golden("tenants.txt", &transcript);
}

/// The transcript is that of `golden/NAME`.
pub fn assert_golden(name: &str, transcript: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli/golden").join(name);
    if std::env::var_os("TENANTRY_UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, transcript).unwrap();
    }
    assert_eq!(transcript, std::fs::read_to_string(&golden).unwrap_or_default(), "{name}");
}

/// stdout, then stderr, then the exit code if it is not 0.
pub fn written(command: &str, outcome: &Outcome) -> String {
    assert!(!outcome.stdout.contains('\u{1b}') && !outcome.stderr.contains('\u{1b}'), "{outcome:?}");
    let mut text = format!("$ {command}\n{}{}", without_ages(&outcome.stdout), outcome.stderr);
    if outcome.code != Some(0) {
        writeln!(text, "[exit code {}]", outcome.code.unwrap_or(-1)).unwrap();
    }
    text + "\n"
}
