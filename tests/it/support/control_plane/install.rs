//! Puts what `tenantry install` applies into a control plane, but for the operator's own Deployment.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use tenantry::api;
use tenantry::cli::manifests;

use crate::support::wait::wait_until;

const LONG: Duration = Duration::from_mins(1);

/// Installs, over what an earlier test may have left.
pub async fn install(client: &Client) {
    for object in manifests::objects("tenantry.test/tenantry:1").unwrap() {
        let kind = &object.types.as_ref().unwrap().kind;
        if kind != "Deployment" {
            apply(client, &object).await;
        }
    }
    for crd in api::crds() {
        wait_until(LONG, "a CRD is served", async || served(client, &crd).await).await;
    }
    wait_until(LONG, "the admission policies are in force", async || in_force(client).await).await;
}

/// The API server compiles policies in the background: only a refusal is proof.
async fn in_force(client: &Client) -> Result<(), String> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    match crds.delete(&api::crds()[0].name_any(), &DeleteParams::default().dry_run()).await {
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(()),
        answer => Err(format!("{answer:?}")),
    }
}

async fn apply(client: &Client, object: &DynamicObject) {
    let kind = GroupVersionKind::try_from(object.types.as_ref().unwrap()).unwrap();
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams::apply(api::FIELD_MANAGER).force();
    api.patch(&object.name_any(), &params, &Patch::Apply(object)).await.unwrap();
}

/// Established comes before the API server has the kind's storage: only an answered list is proof.
async fn served(client: &Client, crd: &CustomResourceDefinition) -> Result<(), String> {
    let path = format!("/apis/{}/{}/{}?limit=1", api::GROUP, api::VERSION, crd.spec.names.plural);
    let request = http::Request::get(path).body(vec![]).unwrap();
    client.request_text(request).await.map(drop).map_err(|error| format!("{}: {error}", crd.name_any()))
}
