//! What creating costs, and that doing it again costs nothing.

use std::time::Instant;

use serde_json::json;
use tenantry::controller::object::Kind;

use super::scene::Scene;
use super::shop::{self, blueprint, plan, tenant};
use crate::support::{ControlPlane, Operator, Write};

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

#[tokio::test]
async fn a_tenant_and_a_microservice_cost_their_children_and_three_writes() {
    let plane = ControlPlane::own().await;
    let operator = Operator::start(&plane).await;
    let scene = Scene::new(&plane).await;
    scene.create(Kind::Plan, &scene.cluster("small"), plan()).await;
    scene.create(Kind::Blueprint, &scene.cluster("shop"), blueprint()).await;
    scene.ready(Kind::Plan, &scene.cluster("small")).await;
    scene.ready(Kind::Blueprint, &scene.cluster("shop")).await;

    let (mark, began) = (plane.mark().await, Instant::now());
    scene.create(Kind::Tenant, &scene.cluster("acme"), tenant(&scene)).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    let writes = plane.operator_writes_since(mark).await;

    let name = scene.name("acme");
    let of_tenant = |write: &Write| {
        let inside = ["web", "orders"].contains(&write.name.as_str()) && write.resource != "microservices";
        !inside && write.subresource.is_empty()
    };
    let mut expected: Vec<String> = [
        format!("create namespaces tenant-{name} 201"),
        "create limitranges tenantry 201".into(),
        "create microservices orders 201".into(),
        "create microservices web 201".into(),
        "create networkpolicies allow-dns 201".into(),
        "create networkpolicies default-deny 201".into(),
        "create resourcequotas tenantry 201".into(),
        "create rolebindings tenantry-owners 201".into(),
        format!("patch tenants {name} 200"),
    ]
    .into();
    expected.sort();
    assert_eq!(shown(&writes, of_tenant), expected);

    // A step that outlasts two seconds may be told, and a busy machine can make any of them do so.
    let seconds = began.elapsed().as_secs();
    let steps = |steps: usize| if seconds < 2 { 0 } else { steps };
    let statuses = |resource: &str, name: &str| {
        shown(&writes, |w| w.subresource == "status" && w.resource == resource && w.name == name).len()
    };
    assert!(statuses("tenants", &name) <= 2 + steps(3), "{writes:?}");

    for service in ["web", "orders"] {
        let made = shown(&writes, |w| {
            w.name == service && w.subresource.is_empty() && w.resource != "microservices"
        });
        let kinds = ["deployments", "networkpolicies", "poddisruptionbudgets", "serviceaccounts", "services"];
        let expected: Vec<String> = kinds.iter().map(|kind| format!("create {kind} {service} 201")).collect();
        assert_eq!(made, expected);
        assert!(statuses("microservices", service) <= 2 + steps(3), "{writes:?}");
    }
    operator.stop().await;
}

#[tokio::test]
async fn a_second_turn_and_a_restart_write_nothing() {
    let plane = ControlPlane::own().await;
    let operator = Operator::start(&plane).await;
    let scene = shop::open(&plane).await;

    // An annotation of somebody's changes nothing that we declare, and still asks for a turn.
    let mark = plane.mark().await;
    let turns = operator.turns(Kind::Tenant);
    let annotation = json!({"metadata": {"annotations": {"example.org/note": "hello"}}});
    scene.patch(Kind::Tenant, &scene.cluster("acme"), annotation).await;
    operator.took_turns(&[(Kind::Tenant, turns + 1)]).await;
    assert_eq!(plane.operator_writes_since(mark).await, []);

    operator.stop().await;
    let mark = plane.mark().await;
    let operator = Operator::start(&plane).await;
    let all = [(Kind::Tenant, 1), (Kind::Plan, 1), (Kind::Blueprint, 1), (Kind::Microservice, 2)];
    operator.took_turns(&all).await;
    operator.stop().await;
    assert_eq!(plane.operator_writes_since(mark).await, []);
}
