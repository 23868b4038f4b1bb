//! `api ← {postgres, resilience, audit, telemetry} ← {controller, services} ← cli ← main`.
//!
//! A module may use what stands left of it and itself; controller and services never use each other, and a service
//! never uses another: they meet in CRDs, in PostgreSQL and over HTTP.

use super::source::{Source, assert_none, sources};

const TOOLS: [&str; 4] = ["postgres", "resilience", "audit", "telemetry"];

/// The top-level modules that `module` may use besides itself, or none if it may use all.
fn may_use(module: &str) -> Option<Vec<&'static str>> {
    match module {
        "api" => Some(vec![]),
        tool if TOOLS.contains(&tool) => Some(vec!["api"]),
        "controller" | "services" => Some([&["api"], &TOOLS[..]].concat()),
        "cli" => Some([&["api", "controller", "services"], &TOOLS[..]].concat()),
        "main" | "lib" => None,
        unknown => panic!("src/{unknown} is not on the map: give it a place in ARCHITECTURE.md and here"),
    }
}

#[test]
fn modules_use_only_what_stands_left_of_them() {
    let sources = sources("src");
    let offenders: Vec<String> = sources.iter().flat_map(crossings).collect();
    assert_none(
        "api ← {postgres, resilience, audit, telemetry} ← {controller, services} ← cli ← main",
        &offenders,
    );
}

#[test]
fn a_service_never_uses_another() {
    let sources = sources("src/services");
    let folders: Vec<String> = sources.iter().filter_map(|source| role(&source.path)).collect();
    let mut offenders = vec![];
    for source in &sources {
        let Some(own) = role(&source.path) else { continue };
        for used in used_paths(source) {
            let other = used.get(1).filter(|other| used[0] == "services" && folders.contains(other));
            offenders
                .extend(other.filter(|other| **other != own).map(|_| format!("{}: {used:?}", source.path)));
        }
    }
    assert_none("services meet over HTTP", &offenders);
}

/// The service that a file belongs to: one folder a role. What lies beside the folders is shared by all, and so is
/// the folders `http` and `database`.
fn role(path: &str) -> Option<String> {
    let (folder, _) = path.strip_prefix("src/services/")?.split_once('/')?;
    (!["http", "database"].contains(&folder)).then(|| folder.to_owned())
}

fn crossings(source: &Source) -> Vec<String> {
    let own = source.path["src/".len()..].split(['/', '.']).next().unwrap();
    let Some(allowed) = may_use(own) else { return vec![] };
    let used = used_paths(source).into_iter().map(|path| path[0].clone());
    let crossing = used.filter(|module| module != own && !allowed.contains(&module.as_str()));
    crossing.map(|module| format!("{} uses {module}", source.path)).collect()
}

/// Each path into our own crate, from its root: `crate::a::{b, c}` is `[a, b]` and `[a, c]`, and `super::d` of
/// `src/a/b.rs` is `[a, d]`.
fn used_paths(source: &Source) -> Vec<Vec<String>> {
    let module: Vec<String> =
        super::forgotten::module_path(&source.path)["src/".len()..].split('/').map(str::to_owned).collect();
    let mut paths = vec![];
    for (keyword, start) in [("crate::", 0), ("super::", module.len() - 1)] {
        for (at, _) in source.code.match_indices(keyword) {
            // `super::super::x` is read once, from its first word.
            if source.code[..at].ends_with("super::") {
                continue;
            }
            let mut rest = &source.code[at + keyword.len()..];
            let mut depth = start;
            while let Some(further) = rest.strip_prefix("super::") {
                (rest, depth) = (further, depth.saturating_sub(1));
            }
            expand(&module[..depth], rest, &mut paths);
        }
    }
    paths.retain(|path| !path.is_empty());
    paths
}

/// Reads a use tree, `a::{b, c::d}`, and returns what follows it.
fn expand<'a>(prefix: &[String], text: &'a str, paths: &mut Vec<Vec<String>>) -> &'a str {
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = expand(prefix, rest.trim_start(), paths).trim_start();
            match rest.strip_prefix(',') {
                Some(further) => rest = further.trim_start(),
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
            if let Some(end) = rest.strip_prefix('}') {
                return end;
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let path = [prefix, &[text[..end].to_owned()]].concat();
    match text[end..].strip_prefix("::") {
        Some(rest) if end > 0 => expand(&path, rest, paths),
        _ => {
            paths.push(path);
            let rest = &text[end..];
            rest.strip_prefix(" as ").map_or(rest, |rest| rest.trim_start_matches(char::is_alphanumeric))
        }
    }
}

#[test]
fn paths_are_read_out_of_use_trees() {
    let source = Source {
        path: "src/services/user/store.rs".into(),
        text: String::new(),
        code: "use crate::{api::{self, Tenant}, postgres::connect};\nsuper::logic::check(); super::super::http::x()".into(),
    };
    let expected: [&[&str]; 5] = [
        &["api", "self"],
        &["api", "Tenant"],
        &["postgres", "connect"],
        &["services", "user", "logic", "check"],
        &["services", "http", "x"],
    ];
    assert_eq!(used_paths(&source), expected);
}
