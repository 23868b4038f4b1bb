//! Puts what every installation has into a control plane: CRDs and namespaces.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use tenantry::api;
use tenantry::api::labels::{SERVERS_NAMESPACE, SYSTEM_NAMESPACE};

use crate::support::wait::wait_until;

/// Installs, over what an earlier run may have left.
pub async fn install(client: &Client) {
    let patch = PatchParams::apply(api::FIELD_MANAGER).force();
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in api::crds() {
        crds.patch(&crd.name_any(), &patch, &Patch::Apply(&crd)).await.unwrap();
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in [SYSTEM_NAMESPACE, SERVERS_NAMESPACE] {
        let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        namespaces.patch(name, &patch, &Patch::Apply(&namespace)).await.unwrap();
    }
    for crd in api::crds() {
        wait_until(Duration::from_secs(30), "a CRD is served", async || served(client, &crd).await).await;
    }
}

/// Established comes before the API server has the kind's storage: only an answered list is proof.
async fn served(client: &Client, crd: &CustomResourceDefinition) -> Result<(), String> {
    let path = format!("/apis/{}/{}/{}?limit=1", api::GROUP, api::VERSION, crd.spec.names.plural);
    let request = http::Request::get(path).body(vec![]).unwrap();
    client.request_text(request).await.map(drop).map_err(|error| format!("{}: {error}", crd.name_any()))
}
