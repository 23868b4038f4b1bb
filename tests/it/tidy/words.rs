//! Headers, sizes, purity, and words that have no place in the tree.

use super::source::{Source, assert_none, sources};

fn everything() -> Vec<Source> {
    ["src", "tests", "benches"].into_iter().flat_map(sources).collect()
}

/// Files that neither wait nor ask the world: they can be tested with values alone.
fn is_pure(source: &Source) -> bool {
    let pure_names = ["validate.rs", "build.rs", "status.rs", "plan.rs", "logic.rs", "rotation.rs"];
    pure_names.contains(&source.file_name())
        || source.path.starts_with("src/api/")
        || source.path.starts_with("src/audit/")
        || source.path.starts_with("src/resilience/")
}

#[test]
fn every_file_starts_by_saying_what_it_is_for() {
    let offenders: Vec<String> =
        everything().into_iter().filter(|source| !source.text.starts_with("//! ")).map(|s| s.path).collect();
    assert_none("a file starts with `//!`", &offenders);
}

#[test]
fn source_files_have_at_most_400_lines_before_their_tests() {
    let offenders: Vec<String> = sources("src")
        .into_iter()
        .filter(|source| source.lines() > 400)
        .map(|source| format!("{}: {} lines", source.path, source.lines()))
        .collect();
    assert_none("a file is small enough to hold in the head: split it", &offenders);
}

#[test]
fn pure_files_neither_wait_nor_ask_the_world() {
    let impure = [
        "async",
        ".await",
        "Client",
        "Api<",
        "Api::",
        "Timestamp::now",
        "Zoned::now",
        "SystemTime",
        "Instant::now",
        "std::env",
        "env::var",
        "std::fs",
        "rand",
        "tokio",
        "sqlx",
    ];
    let offenders: Vec<String> =
        sources("src").iter().filter(|s| is_pure(s)).flat_map(|source| source.code_with(&impure)).collect();
    assert_none("time, randomness, environment and network come into pure files as parameters", &offenders);
}

#[test]
fn only_the_cli_reads_the_environment() {
    let offenders: Vec<String> = sources("src")
        .iter()
        .filter(|source| !source.path.starts_with("src/cli/") && source.path != "src/main.rs")
        .flat_map(|source| source.code_with(&["std::env", "env::var", "env::var_os", "env::args"]))
        .collect();
    assert_none("configuration is read once, in src/cli, and handed down", &offenders);
}

#[test]
fn nothing_is_left_for_later() {
    // Written in two parts so that this file does not offend.
    let markers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let stubs = ["todo!(", "unimplemented!(", "dbg!("];
    let offenders: Vec<String> = everything()
        .iter()
        .flat_map(|source| [source.text_with(&markers), source.code_with(&stubs)].concat())
        .collect();
    assert_none("unfinished work does not land", &offenders);
}

#[test]
fn no_lint_is_allowed_away() {
    let offenders: Vec<String> =
        everything().iter().flat_map(|source| source.code_with(&["#[allow", "#![allow"])).collect();
    assert_none("`#[expect(lint, reason = …)]` says why and goes when it is not needed", &offenders);
}

#[test]
fn no_test_is_ignored_and_only_the_waiter_sleeps() {
    let offenders: Vec<String> = sources("tests")
        .iter()
        .flat_map(|source| {
            let words: &[&str] = if source.path == "tests/it/support/wait.rs" {
                &["#[ignore"]
            } else {
                &["#[ignore", "sleep("]
            };
            source.code_with(words)
        })
        .collect();
    assert_none("tests wait for conditions (support::wait_until) and all of them run", &offenders);
}
