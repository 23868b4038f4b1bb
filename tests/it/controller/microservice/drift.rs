//! Every field that we own is brought back, whoever changed it, also while no operator ran.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tenantry::controller::object::Kind;

use super::{A_MINUTE, Home, declared};
use crate::support::{ControlPlane, Operator, wait_until};

/// Changes of metadata that any kind bears.
fn of_metadata() -> Vec<Value> {
    let labels = [
        "app.kubernetes.io/component",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/managed-by",
        "app.kubernetes.io/name",
        "app.kubernetes.io/part-of",
        "app.kubernetes.io/version",
        "tenantry.dev/microservice",
        "tenantry.dev/tenant",
    ];
    let mut drifts: Vec<Value> =
        labels.map(|label| json!({"metadata": {"labels": {label: "drifted"}}})).into();
    drifts.extend(labels.map(|label| json!({"metadata": {"labels": {label: null}}})));
    drifts.push(json!({"metadata": {"labels": null}}));
    drifts.push(json!({"metadata": {"ownerReferences": null}}));
    drifts.push(json!({"metadata": {"annotations": {"tenantry.dev/owner-uid": null}}}));
    drifts.push(json!({"metadata": {"annotations": {"tenantry.dev/owner-uid": "another"}}}));
    drifts.push(json!({"metadata": {"annotations": {"tenantry.dev/applied-hash": null}}}));
    drifts
}

/// Changes of what a kind is for, each of one field that we declare.
fn of_kind(kind: Kind) -> Vec<Value> {
    match kind {
        Kind::ServiceAccount => {
            vec![json!({"automountServiceAccountToken": true}), json!({"automountServiceAccountToken": null})]
        }
        Kind::Service => vec![
            json!({"spec": {"type": "NodePort"}}),
            json!({"spec": {"selector": {"tenantry.dev/microservice": "other"}}}),
            json!({"spec": {"ports": [{"name": "http", "port": 81, "targetPort": "http"}]}}),
            json!({"spec": {"ports": [{"name": "web", "port": 80, "targetPort": "http"}]}}),
            json!({"spec": {"ports": [{"name": "http", "port": 80, "targetPort": "web"}]}}),
            json!({"spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "UDP"}]}}),
            json!({"spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "more", "port": 82}]}}),
        ],
        Kind::PodDisruptionBudget => vec![
            json!({"spec": {"maxUnavailable": 2}}),
            json!({"spec": {"maxUnavailable": null, "minAvailable": 1}}),
            json!({"spec": {"selector": {"matchLabels": {"tenantry.dev/microservice": "other"}}}}),
        ],
        Kind::NetworkPolicy => vec![
            json!({"spec": {"podSelector": {"matchLabels": {"tenantry.dev/microservice": "other"}}}}),
            json!({"spec": {"policyTypes": ["Ingress"]}}),
            json!({"spec": {"ingress": [{}]}}),
            json!({"spec": {"ingress": []}}),
            json!({"spec": {"egress": [{}]}}),
            json!({"spec": {"egress": []}}),
        ],
        _ => of_deployment(),
    }
}

fn of_deployment() -> Vec<Value> {
    let pod = |pod: Value| json!({"spec": {"template": {"spec": pod}}});
    let mut drifts: Vec<Value> = vec![
        json!({"spec": {"replicas": 5}}),
        json!({"spec": {"revisionHistoryLimit": 9}}),
        json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 2}}}}),
        json!({"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": 1}}}}),
        json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}),
        json!({"spec": {"template": {"metadata": {"labels": {"tenantry.dev/tenant": "other"}}}}}),
    ];
    drifts.extend(
        [
            json!({"serviceAccountName": "default", "serviceAccount": "default"}),
            json!({"automountServiceAccountToken": true}),
            json!({"enableServiceLinks": true}),
            json!({"terminationGracePeriodSeconds": 60}),
            json!({"securityContext": {"runAsNonRoot": false}}),
            json!({"securityContext": {"fsGroup": 1}}),
            json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
            json!({"topologySpreadConstraints": null}),
            json!({"initContainers": [{"name": "first", "image": "evil:1"}]}),
            json!({"volumes": [{"name": "tmp", "emptyDir": {}}]}),
        ]
        .map(pod),
    );
    drifts
}

/// Changes of the one container, which a JSON merge patch cannot reach into.
fn of_container(container: &Value) -> Vec<Value> {
    let fields = [
        ("image", json!("evil:1")),
        ("env", json!([{"name": "MODE", "value": "slow"}])),
        ("ports", json!([{"name": "http", "containerPort": 8081}])),
        ("resources", json!({"limits": {"cpu": "1", "memory": "2Gi"}})),
        ("readinessProbe", Value::Null),
        ("lifecycle", Value::Null),
        ("volumeMounts", Value::Null),
        ("securityContext", json!({"privileged": true})),
        ("command", json!(["sh"])),
        ("args", json!(["sh"])),
        ("envFrom", json!([{"secretRef": {"name": "other"}}])),
    ];
    let changed = fields.into_iter().map(|(field, value)| {
        let mut container = container.clone();
        container[field] = value;
        json!({"spec": {"template": {"spec": {"containers": [container]}}}})
    });
    changed.collect()
}

fn spec() -> Value {
    json!({"image": "shop:1", "version": "1.0.0", "env": [{"name": "MODE", "value": "fast"}],
        "resources": {"limits": {"cpu": "1", "memory": "128Mi"}}})
}

async fn drift(home: &Home, kind: Kind, drift: &Value) {
    let patch = Patch::Merge(drift);
    let before = declared(&home.child(kind, "shop").await);
    let drifted = home.api(kind).patch("shop", &PatchParams::default(), &patch).await;
    let drifted = drifted.unwrap_or_else(|error| panic!("{kind} {drift}: {error}"));
    assert_ne!(declared(&drifted), before, "{kind} {drift} changes nothing");
}

async fn is_restored(home: &Home, kind: Kind, before: &Value, drift: &Value) {
    wait_until(A_MINUTE, &format!("{kind} is restored from {drift}"), async || {
        let now = declared(&home.child(kind, "shop").await);
        if now == *before { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
}

async fn every_drift_is_restored(kind: Kind) {
    let plane = ControlPlane::shared().await;
    Operator::shared().await;
    let home = Home::new(plane.client().await).await;
    home.create("shop", spec()).await;
    home.serves("shop").await;
    let before = declared(&home.child(kind, "shop").await);
    let mut drifts = [of_metadata(), of_kind(kind)].concat();
    if kind == Kind::Deployment {
        drifts.extend(of_container(&before["spec"]["template"]["spec"]["containers"][0]));
    }
    for one in &drifts {
        drift(&home, kind, one).await;
        is_restored(&home, kind, &before, one).await;
    }
    home.serves("shop").await;
}

#[tokio::test]
async fn a_service_account_is_restored() {
    every_drift_is_restored(Kind::ServiceAccount).await;
}

#[tokio::test]
async fn a_service_is_restored() {
    every_drift_is_restored(Kind::Service).await;
}

#[tokio::test]
async fn a_disruption_budget_is_restored() {
    every_drift_is_restored(Kind::PodDisruptionBudget).await;
}

#[tokio::test]
async fn a_network_policy_is_restored() {
    every_drift_is_restored(Kind::NetworkPolicy).await;
}

#[tokio::test]
async fn a_deployment_is_restored() {
    every_drift_is_restored(Kind::Deployment).await;
}

#[tokio::test]
async fn what_drifted_while_no_operator_ran_is_restored() {
    let plane = ControlPlane::own().await;
    let operator = Operator::start(&plane).await;
    let home = Home::new(plane.client().await).await;
    home.create("shop", spec()).await;
    home.serves("shop").await;
    operator.stop().await;
    let mut all = vec![];
    for kind in super::CHILDREN {
        let before = declared(&home.child(kind, "shop").await);
        let one = of_kind(kind).remove(0);
        drift(&home, kind, &one).await;
        all.push((kind, before, one));
    }
    let _operator = Operator::start(&plane).await;
    for (kind, before, one) in all {
        is_restored(&home, kind, &before, &one).await;
    }
}
