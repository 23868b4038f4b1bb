//! Rust compiles only files that a `mod` line mentions: a forgotten test file would pass by never running.

use std::collections::BTreeSet;

use super::source::{Source, assert_none, sources};

#[test]
fn every_file_is_part_of_its_crate() {
    let all: Vec<Source> = ["src", "tests"].into_iter().flat_map(sources).collect();
    let roots = ["src/lib.rs", "src/main.rs", "tests/it/main.rs"];
    let mentioned: BTreeSet<String> = all.iter().flat_map(modules).collect();
    let offenders: Vec<String> = all
        .into_iter()
        .map(|source| source.path)
        .filter(|path| !roots.contains(&path.as_str()) && !mentioned.contains(module_path(path)))
        .collect();
    assert_none("a file is mentioned by a `mod` line of the module above it", &offenders);
}

/// The modules that a file mentions, as paths without `.rs` and `/mod.rs`.
fn modules(source: &Source) -> Vec<String> {
    let folder = match source.file_name() {
        "mod.rs" | "main.rs" | "lib.rs" => source.path.rsplit_once('/').unwrap().0,
        _ => source.path.strip_suffix(".rs").unwrap(),
    };
    let names = source.text.lines().filter_map(|line| {
        let declaration = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        declaration.strip_prefix("mod ")?.strip_suffix(';')
    });
    names.map(|name| format!("{folder}/{name}")).collect()
}

/// Path of the module that a file is, from the root of the repository.
pub fn module_path(path: &str) -> &str {
    path.strip_suffix("/mod.rs").or_else(|| path.strip_suffix(".rs")).unwrap()
}
