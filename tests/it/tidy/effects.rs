//! Every effect of the operator passes one gate per external system.

use super::source::{assert_none, sources};

/// Kubernetes is written by the gate and, for the Lease, by leadership; nobody else can say what a write needs.
/// Events are written where status is published.
#[test]
fn only_the_gate_writes_to_kubernetes() {
    let gates = ["src/controller/apply", "src/controller/lease.rs"];
    let needed = ["PostParams", "PatchParams", "DeleteParams", "EvictParams", "finalizer("];
    let raw = ["Request::post", "Request::put", "Request::patch", "Request::delete"];
    let offenders: Vec<String> = sources("src/controller")
        .iter()
        .filter(|source| !gates.iter().any(|gate| source.path.starts_with(gate)))
        .flat_map(|source| source.code_with(&[&needed[..], &raw].concat()))
        .collect();
    assert_none("controller/apply.rs writes (lease.rs is the named exception)", &offenders);
    let offenders: Vec<String> = sources("src/controller")
        .iter()
        .filter(|source| source.path != "src/controller/publish.rs")
        .flat_map(|source| source.code_with(&["recorder.publish", "Event {"]))
        .collect();
    assert_none("controller/publish.rs records Events, where status changes", &offenders);
}

/// A connection can execute; only the gate asks it to.
#[test]
fn only_the_gate_changes_a_database_server() {
    let gates = ["src/postgres/execute", "src/postgres/connect"];
    let offenders: Vec<String> = ["src/postgres", "src/controller"]
        .into_iter()
        .flat_map(sources)
        .filter(|source| !gates.iter().any(|gate| source.path.starts_with(gate)))
        .flat_map(|source| source.code_with(&[".execute(", "execute_many(", "raw_sql("]))
        .collect();
    assert_none("postgres/execute.rs is the only SQL mutation gate of the operator", &offenders);
}
