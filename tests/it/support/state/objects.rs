//! Every object of ours that mentions the prefix.

use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use serde_json::Value;
use tenantry::api::labels::{MANAGED_BY, MANAGER};
use tenantry::controller::object::Kind;

use crate::support::Prefix;

/// Our kinds, and of Kubernetes' kinds what is labelled as managed by us.
pub async fn all(client: &Client, prefix: &Prefix) -> Vec<Value> {
    let ours = ListParams::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
    let mut found = vec![];
    for (kinds, params) in [(&Kind::OWN[..], ListParams::default()), (&Kind::CHILDREN[..], ours)] {
        for kind in kinds {
            let resource = kind.api_resource();
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            for object in api.list(&params).await.unwrap() {
                let mut object = serde_json::to_value(object).unwrap();
                object["kind"] = kind.as_str().into();
                found.push(object);
            }
        }
    }
    // A ServerDatabase names the claim's namespace, which has the prefix; its own name has not.
    found.retain(|object| object.to_string().contains(prefix.as_str()));
    found
}

/// `Kind namespace/name`.
pub fn title(object: &Value) -> String {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap();
    let kind = object["kind"].as_str().unwrap();
    match metadata["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}
