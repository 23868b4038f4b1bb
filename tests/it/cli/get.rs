//! `tenantry get` prints what `kubectl get` prints, byte for byte.

use crate::support::ControlPlane;

use super::{Outcome, Shell, without_ages};

const OBJECTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: tenant-acme}
---
apiVersion: tenantry.dev/v1alpha1
kind: Plan
metadata: {name: small, labels: {tier: "1", app.kubernetes.io/name: x}}
spec: {quota: {cpu: "2", memory: 2Gi, pods: 10}, limits: {connections: 20}}
---
apiVersion: tenantry.dev/v1alpha1
kind: Plan
metadata: {name: a-very-long-plan-name-indeed}
spec: {}
---
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata:
  name: acme
  annotations:
    note: "a: b & <c> a very long annotation that goes on and on, well beyond the eightieth column of any line, to be folded"
    plain: "a very long plain annotation that goes on and on, well beyond the eightieth column of any line, to be folded twice, because it is longer than two lines are wide"
    "10": "true"
    a10: "0x1F"
    a2: "1_000"
    multi: "line one\n  line two\n\nline four\n"
    open: "no line end\nat all"
    empty: ""
    tab: "a\tb, and so long that it has to be folded inside its double quotes because no line may be so wide"
    date: "2026-11-21"
    uni: "ünïcode — ok 😀"
spec: {planRef: {name: small}, displayName: "Acme: \"Inc\" 1.0", owners: [{kind: User, name: alice}]}
---
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {name: globex}
spec: {planRef: {name: nope}}
---
apiVersion: tenantry.dev/v1alpha1
kind: Microservice
metadata: {name: web, namespace: tenant-acme}
spec: {image: "example.org/web:1", version: 1.2.3, replicas: 2, env: [{name: A, value: "yes"}, {name: B, value: "~"}]}
---
apiVersion: tenantry.dev/v1alpha1
kind: TenantDatabase
metadata: {name: main, namespace: tenant-acme}
spec: {}
---
apiVersion: tenantry.dev/v1alpha1
kind: DatabaseServer
metadata: {name: pg}
spec: {managed: {version: "15", storage: 1Gi}}
"#;

/// What is asked of both programs.
const QUESTIONS: &[&str] = &[
    "tenants",
    "tn",
    "Tenant",
    "tenants.tenantry.dev",
    "tenants -o wide",
    "tenants -o json",
    "tenants -o yaml",
    "tenants -o name",
    "tenant acme",
    "tenant acme -o json",
    "tenant acme -o yaml",
    "tenant acme -o yaml --show-managed-fields",
    "tenant acme -o name",
    "tenant acme -o wide",
    "tenant/acme",
    "tenant/acme plan/small",
    "tenant acme globex",
    "tenant acme globex -o yaml",
    "tenant acme missing globex",
    "tenant acme missing -o json",
    "tenant missing",
    "tenant missing -o yaml",
    "tenant missing --ignore-not-found",
    "tenants,plans",
    "tenants,plans,msvc -A",
    "tenants,plans --no-headers",
    "tenants --no-headers",
    "tenants --show-kind",
    "plans --show-labels",
    "plans -l tier=1",
    "plans -l tier=2",
    "plans -l tier=2 -o json",
    "plans -l tier=2 -o yaml",
    "plans -l tier=2 -o name",
    "plans -l tier=2 --ignore-not-found",
    "tenants --field-selector spec.planRef.name=nope",
    "tenants --field-selector metadata.name=acme -o yaml",
    "tenants -l a=b,c",
    "tenants -l a==(",
    "msvc",
    "msvc -n tenant-acme",
    "msvc -n tenant-acme -o wide",
    "msvc -A",
    "msvc -A -o wide",
    "msvc -A --show-labels",
    "msvc -A -o json",
    "msvc -A -o yaml",
    "msvc -A -o name",
    "tdb,msvc -n tenant-acme",
    "tdb,msvc,tn -n tenant-acme",
    "tdb,msvc -n empty",
    "tdb -A",
    "sdb",
    "sdb,tdb",
    "dbs",
    "dbs pg -o yaml",
    "pods.example.org",
];

#[tokio::test]
async fn get_prints_what_kubectl_prints() {
    let plane = ControlPlane::own().await;
    let shell = Shell::new(&plane);
    shell.apply(OBJECTS).await;
    let mut differences = vec![];
    for question in QUESTIONS {
        let args: Vec<&str> = std::iter::once("get").chain(question.split(' ')).collect();
        let (ours, theirs) =
            (comparable(shell.tenantry(&args).await), comparable(shell.kubectl(&args).await));
        if ours != theirs {
            differences.push(format!("$ get {question}\n--- tenantry\n{ours:#?}\n--- kubectl\n{theirs:#?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Hints are ours alone.
fn comparable(outcome: Outcome) -> Outcome {
    let stderr: Vec<&str> = outcome.stderr.lines().filter(|line| !line.starts_with("hint: ")).collect();
    let stdout = if outcome.stdout.starts_with(['{', 'a']) && outcome.stdout.contains("apiVersion") {
        outcome.stdout
    } else {
        without_ages(&outcome.stdout)
    };
    Outcome { stdout, stderr: stderr.join("\n"), code: outcome.code }
}
