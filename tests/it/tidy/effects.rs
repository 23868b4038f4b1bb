//! Every effect of the operator passes one gate per external system.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use tenantry::cli::manifests;
use tenantry::controller::object::Kind;

use super::source::{assert_none, sources};

/// Kubernetes is written by the gate and, for the Lease, by leadership; nobody else can say what a write needs.
/// Events are written where status is published.
#[test]
fn only_the_gate_writes_to_kubernetes() {
    // A review of a token is a POST by form; nothing is kept of it.
    let gates = ["src/controller/apply", "src/controller/lease.rs", "src/controller/preview/caller.rs"];
    let needed = ["PostParams", "PatchParams", "DeleteParams", "EvictParams", "finalizer("];
    let raw = ["Request::post", "Request::put", "Request::patch", "Request::delete"];
    let offenders: Vec<String> = sources("src/controller")
        .iter()
        .filter(|source| !gates.iter().any(|gate| source.path.starts_with(gate)))
        .flat_map(|source| source.code_with(&[&needed[..], &raw].concat()))
        .collect();
    assert_none(
        "controller/apply.rs writes (lease.rs and preview/caller.rs are the named exceptions)",
        &offenders,
    );
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

/// Every kind that the operator watches or writes is one that its ClusterRole lets it watch and write.
#[test]
fn the_operators_role_covers_every_kind_that_it_touches() {
    let rules = rules_of("tenantry-operator");
    let needed = |kind: &Kind| -> &[&str] {
        match kind {
            Kind::Tenant | Kind::Plan | Kind::Blueprint | Kind::DatabaseServer => {
                &["get", "list", "watch", "patch"]
            }
            // A Secret may hold the only copy of a password: nothing of ours deletes one.
            Kind::Secret => &["get", "list", "watch", "create", "update"],
            // What an attempt came to is noted on it.
            Kind::Job => &["get", "list", "watch", "create", "update", "patch", "delete"],
            _ => &["get", "list", "watch", "create", "update", "delete"],
        }
    };
    let mut offenders = vec![];
    for kind in Kind::OWN.iter().chain(&Kind::CHILDREN) {
        let resource = kind.api_resource();
        for verb in needed(kind) {
            if !allowed(&rules, &resource.group, &resource.plural, verb) {
                offenders.push(format!("{verb} {}.{}", resource.plural, resource.group));
            }
        }
    }
    for kind in Kind::OWN {
        let status = format!("{}/status", kind.api_resource().plural);
        if !allowed(&rules, tenantry::api::GROUP, &status, "patch") {
            offenders.push(format!("patch {status}"));
        }
    }
    assert_none("manifests/operator/rbac.yaml lets the operator do what it does", &offenders);
}

fn rules_of(role: &str) -> Vec<PolicyRule> {
    let roles = manifests::objects("image").unwrap().into_iter().filter_map(|object| {
        let object = serde_json::to_value(object).unwrap();
        (object["kind"] == "ClusterRole").then(|| serde_json::from_value::<ClusterRole>(object).unwrap())
    });
    let named = roles.filter(|candidate| candidate.metadata.name.as_deref() == Some(role));
    named.flat_map(|role| role.rules.unwrap_or_default()).collect()
}

fn allowed(rules: &[PolicyRule], group: &str, resource: &str, verb: &str) -> bool {
    let has =
        |list: Option<&Vec<String>>, word: &str| list.is_some_and(|list| list.iter().any(|w| w == word));
    rules.iter().any(|rule| {
        rule.resource_names.is_none()
            && has(rule.api_groups.as_ref(), group)
            && has(rule.resources.as_ref(), resource)
            && has(Some(&rule.verbs), verb)
    })
}
