//! Installing, installing again, GitOps, and taking the operator away.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tenantry::api::labels::SYSTEM_NAMESPACE;
use tenantry::cli::manifests;

use crate::support::{ControlPlane, wait_until};

use super::Shell;

#[tokio::test]
async fn installing_twice_changes_nothing_and_uninstalling_keeps_what_holds_data() {
    let plane = ControlPlane::own().await;
    let (shell, client) = (Shell::new(&plane), plane.client().await);
    let first = shell.ok(&["install", "--no-wait"]).await;
    assert!(first.ends_with("deployment.apps/operator created\n"), "{first}");
    settled(&client).await;
    let before = versions(&client).await;
    let second = shell.ok(&["install", "--no-wait"]).await;
    assert!(second.lines().all(|line| line.ends_with(" unchanged")), "{second}");
    assert_eq!(versions(&client).await, before);

    let other = shell.ok(&["install", "--no-wait", "--image", "example.org/other:2"]).await;
    let changed: Vec<&str> = other.lines().filter(|line| !line.ends_with(" unchanged")).collect();
    assert_eq!(changed, ["deployment.apps/operator configured"]);

    let tenant = "apiVersion: tenantry.dev/v1alpha1\nkind: Tenant\nmetadata: {name: kept}\nspec: {planRef: {name: p}}\n";
    shell.apply(tenant).await;
    let secret = ["create", "secret", "generic", "kept", "-n", "tenantry-servers", "--from-literal=a=b"];
    assert_eq!(shell.kubectl(&secret).await.code, Some(0));
    let gone = shell.tenantry(&["uninstall", "--yes"]).await;
    assert_eq!(gone.code, Some(0), "{gone:?}");
    assert!(gone.stderr.contains("Kept: the CRDs with every object"), "{gone:?}");
    let left: Vec<String> = versions(&client).await.into_keys().collect();
    let kept =
        |name: &String| name.starts_with("CustomResourceDefinition/") || name.starts_with("Namespace/");
    assert_eq!(left, before.into_keys().filter(kept).collect::<Vec<_>>());
    shell.ok(&["get", "tenant", "kept"]).await;
    assert_eq!(shell.kubectl(&["get", "secret", "kept", "-n", "tenantry-servers"]).await.code, Some(0));
    assert_eq!(shell.tenantry(&["uninstall", "--yes"]).await.stdout, "");
}

#[tokio::test]
async fn install_waits_for_the_operator() {
    let plane = ControlPlane::own().await;
    let (shell, client) = (Shell::new(&plane), plane.client().await);
    let late = shell.tenantry(&["install", "--timeout=1s"]).await;
    assert_eq!(late.code, Some(124), "{late:?}");
    assert_eq!(
        late.stderr,
        "error: timed out waiting for the condition on deployments/operator\nhint: look at: kubectl -n tenantry-system describe pods\n"
    );
    let deployments: Api<Deployment> = Api::namespaced(client, SYSTEM_NAMESPACE);
    let deployment = deployments.get("operator").await.unwrap();
    // No node runs pods here: this is what a Deployment controller would write.
    let status = json!({"status": {
        "observedGeneration": deployment.metadata.generation, "replicas": 1, "updatedReplicas": 1,
        "conditions": [{"type": "Available", "status": "True"}]}});
    deployments.patch_status("operator", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    shell.ok(&["install", "--timeout=20s"]).await;
    let checked = shell.tenantry(&["check"]).await;
    assert!(checked.stdout.contains("√ the operator is available [OPERATOR-01]"), "{checked:?}");
    assert!(checked.stdout.contains("× no operator has taken the lease [OPERATOR-03]"), "{checked:?}");
    assert_eq!(checked.code, Some(1));
    shell.ok(&["uninstall", "--yes"]).await;
}

#[tokio::test]
async fn what_is_printed_is_what_kubectl_applies() {
    let plane = ControlPlane::own().await;
    let shell = Shell::new(&plane);
    let printed = shell.ok(&["install", "--print"]).await;
    assert_eq!(printed, shell.ok(&["install", "--print"]).await);
    let applied = shell.feed(&["apply", "--dry-run=server", "-f", "-"], &printed).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(applied.stdout.lines().count(), manifests::objects("x").unwrap().len());
}

#[tokio::test]
async fn somebody_elses_field_is_taken_over_only_by_force() {
    let plane = ControlPlane::own().await;
    let shell = Shell::new(&plane);
    shell.ok(&["install", "--no-wait"]).await;
    let patch = r#"{"spec":{"replicas":3}}"#;
    let scaled = ["patch", "deployment", "operator", "-n", SYSTEM_NAMESPACE, "--type=merge", "-p", patch];
    assert_eq!(shell.kubectl(&scaled).await.code, Some(0));
    let refused = shell.tenantry(&["install", "--no-wait"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("\"kubectl-patch\"") && refused.stderr.contains(".spec.replicas"),
        "{refused:?}"
    );
    assert!(refused.stderr.ends_with("hint: take these fields over with --force-conflicts\n"), "{refused:?}");
    let taken = shell.ok(&["install", "--no-wait", "--force-conflicts"]).await;
    assert!(taken.ends_with("deployment.apps/operator configured\n"), "{taken}");
    shell.ok(&["uninstall", "--yes"]).await;
}

/// Controllers write status after an object is made; from then on only we write.
async fn settled(client: &Client) {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    wait_until(Duration::from_secs(30), "the policies are type-checked", async || {
        let unseen: Vec<String> = policies
            .list(&kube::api::ListParams::default())
            .await
            .unwrap()
            .into_iter()
            .filter(|policy| {
                policy.status.as_ref().and_then(|status| status.observed_generation)
                    != policy.metadata.generation
            })
            .map(|policy| policy.name_any())
            .collect();
        if unseen.is_empty() { Ok(()) } else { Err(unseen.join(", ")) }
    })
    .await;
}

/// resourceVersion of every installed object that exists.
async fn versions(client: &Client) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    for object in manifests::objects("x").unwrap() {
        let types = object.types.clone().unwrap();
        let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types).unwrap());
        let api: Api<DynamicObject> = match object.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        if let Some(live) = api.get_opt(&object.name_any()).await.unwrap() {
            versions
                .insert(format!("{}/{}", types.kind, object.name_any()), live.resource_version().unwrap());
        }
    }
    versions
}
