//! What creating costs, and that doing it again costs nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;
use tenantry::api::names::TenantId;
use tenantry::controller::object::{Key, Kind};

use super::shop;
use super::site::Site;
use crate::support::{Operator, Write};

/// `verb resource namespace/name`, sorted, so that what is written compares as a value.
fn shown(writes: &[Write], of: impl Fn(&Write) -> bool) -> Vec<String> {
    let mut shown: Vec<String> = writes
        .iter()
        .filter(|write| of(write))
        .map(|write| {
            let part =
                if write.subresource.is_empty() { String::new() } else { format!("/{}", write.subresource) };
            format!("{} {}{part} {} {}", write.verb, write.resource, write.name, write.code)
        })
        .collect();
    shown.sort();
    shown
}

/// Everything but status that a new tenant of the shop makes the operator write.
fn creation(tenant: &str, server: &str) -> Vec<String> {
    let mut expected = vec![
        format!("create namespaces tenant-{tenant} 201"),
        "create limitranges tenantry 201".into(),
        "create networkpolicies allow-dns 201".into(),
        "create networkpolicies default-deny 201".into(),
        "create resourcequotas tenantry 201".into(),
        "create rolebindings tenantry-owners 201".into(),
        // The finalizer.
        format!("patch tenants {tenant} 200"),
        // The label by which admission protects a server in use.
        format!("patch databaseservers {server} 200"),
    ];
    for database in shop::DATABASES {
        expected.push(format!("create tenantdatabases {database} 201"));
        expected.push(format!("create serverdatabases t-ID-{database} 201"));
        expected.push(format!("create secrets {database}-app 201"));
    }
    for service in shop::SERVICES {
        let kinds = ["deployments", "networkpolicies", "poddisruptionbudgets", "serviceaccounts", "services"];
        expected.extend(kinds.iter().map(|kind| format!("create {kind} {service} 201")));
        expected.push(format!("create microservices {service} 201"));
    }
    expected.sort();
    expected
}

#[tokio::test]
async fn a_tenant_a_claim_and_a_microservice_cost_their_children_and_three_writes_each() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::furnish(&site).await;
    scene.ready(Kind::DatabaseServer, &Key::cluster(&site.server)).await;

    let (mark, began) = (site.mark().await, Instant::now());
    let created = scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(&scene)).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    let seconds = began.elapsed().as_secs();
    shop::in_use(&scene, &site.server).await;
    let mut writes = site.operator_writes_since(mark).await;
    let id = TenantId::of_uid(created["metadata"]["uid"].as_str().unwrap());
    for write in &mut writes {
        write.name = write.name.replace(id.as_str(), "ID");
    }
    assert_eq!(shown(&writes, |w| w.subresource.is_empty()), creation(&scene.name("acme"), &site.server));

    // A step that outlasts two seconds may be told, and a busy machine can make any of them do so.
    let budget = |steps: usize| 2 + if seconds < 2 { 0 } else { steps };
    let mut statuses: BTreeMap<(String, String), usize> = BTreeMap::new();
    for write in writes.into_iter().filter(|write| write.subresource == "status") {
        *statuses.entry((write.resource, write.name)).or_default() += 1;
    }
    for ((resource, name), count) in &statuses {
        let steps = match resource.as_str() {
            "tenants" | "microservices" => 3,
            "tenantdatabases" => 1,
            _ => 0,
        };
        assert!(*count <= budget(steps), "{count} statuses of {resource} {name} in {seconds} s");
    }
    operator.stop().await;
}

#[tokio::test]
async fn a_second_turn_and_a_restart_write_nothing() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;

    // An annotation of somebody's changes nothing that we declare, and still asks for a turn.
    operator.took_turns(&[]).await;
    let mark = site.mark().await;
    let turns = operator.turns(Kind::Tenant);
    let annotation = json!({"metadata": {"annotations": {"example.org/note": "hello"}}});
    scene.patch(Kind::Tenant, &scene.cluster("acme"), annotation).await;
    operator.took_turns(&[(Kind::Tenant, turns + 1)]).await;
    assert_eq!(site.operator_writes_since(mark).await, []);

    operator.stop().await;
    let mark = site.mark().await;
    let operator = Operator::start(&site).await;
    let all = [
        (Kind::Tenant, 1),
        (Kind::Plan, 1),
        (Kind::Blueprint, 1),
        (Kind::DatabaseServer, 1),
        (Kind::TenantDatabase, 2),
        (Kind::ServerDatabase, 2),
        (Kind::Microservice, 3),
    ];
    operator.took_turns(&all).await;
    operator.stop().await;
    assert_eq!(site.operator_writes_since(mark).await, []);
}
