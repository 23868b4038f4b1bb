//! Empties a control plane of the pool: what an earlier test left must not reach the next one.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tenantry::api::{self, labels};

use crate::support::wait::wait_until;

/// Namespaces that a control plane cannot be without.
const BUILT_IN: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Removes every object of ours and every namespace but the built-in ones; CRDs stay and are installed over.
pub async fn reset(client: &Client) {
    remove_policies(client).await;
    for crd in api::crds() {
        let kind = ApiResource {
            group: api::GROUP.into(),
            version: api::VERSION.into(),
            api_version: format!("{}/{}", api::GROUP, api::VERSION),
            kind: crd.spec.names.kind.clone(),
            plural: crd.spec.names.plural.clone(),
        };
        remove_all(client, &kind).await;
    }
    remove_namespaces(client).await;
}

/// Policies go first: they would protect what is removed next.
async fn remove_policies(client: &Client) {
    let (bindings, policies) = (
        Api::<ValidatingAdmissionPolicyBinding>::all(client.clone()),
        Api::<ValidatingAdmissionPolicy>::all(client.clone()),
    );
    for binding in bindings.list(&ListParams::default()).await.unwrap() {
        bindings.delete(&binding.name_any(), &DeleteParams::default()).await.unwrap();
    }
    for policy in policies.list(&ListParams::default()).await.unwrap() {
        policies.delete(&policy.name_any(), &DeleteParams::default()).await.unwrap();
    }
}

async fn remove_all(client: &Client, kind: &ApiResource) {
    let all: Api<DynamicObject> = Api::all_with(client.clone(), kind);
    wait_until(Duration::from_mins(1), "an earlier test's objects are gone", async || {
        let objects = match all.list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            objects => objects.unwrap().items,
        };
        for object in &objects {
            remove(client, kind, object).await?;
        }
        if objects.is_empty() { Ok(()) } else { Err(format!("{} {}", objects.len(), kind.plural)) }
    })
    .await;
}

/// The label that marks a server as in use would have admission refuse its deletion.
async fn remove(client: &Client, kind: &ApiResource, object: &DynamicObject) -> Result<(), String> {
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, kind),
        None => Api::all_with(client.clone(), kind),
    };
    let unguarded = json!({"metadata": {"finalizers": null, "labels": {labels::IN_USE: null}}});
    let name = object.name_any();
    gone_is_fine(api.patch(&name, &PatchParams::default(), &Patch::Merge(&unguarded)).await.map(drop))?;
    gone_is_fine(api.delete(&name, &DeleteParams::default()).await.map(drop))
}

async fn remove_namespaces(client: &Client) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    wait_until(Duration::from_mins(1), "an earlier test's namespaces are gone", async || {
        let mut left = vec![];
        for namespace in namespaces.list(&ListParams::default()).await.unwrap() {
            let name = namespace.name_any();
            if BUILT_IN.contains(&name.as_str()) {
                continue;
            }
            if namespace.metadata.deletion_timestamp.is_none() {
                gone_is_fine(namespaces.delete(&name, &DeleteParams::default()).await.map(drop))?;
            }
            left.push(name);
        }
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    })
    .await;
}

fn gone_is_fine(answer: kube::Result<()>) -> Result<(), String> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        answer => answer.map_err(|error| error.to_string()),
    }
}
