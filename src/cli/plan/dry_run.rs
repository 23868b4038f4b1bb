//! What an apply would make of an object: asked of the API server by dry runs, as the user.
//!
//! The object is applied the way it was before: by server-side apply under the name of whoever applied it so, else as
//! `kubectl apply` does it, by a merge patch that also removes what the last applied version had and this one has not.

use serde_json::{Map, Value};

use super::files::Manifest;
use crate::api::FIELD_MANAGER;
use crate::api::names;
use crate::cli::client::Client;
use crate::cli::kinds::TENANT;
use crate::cli::{Failure, write};

/// Annotation in which kubectl keeps what it applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object as it would be. `all` are the objects that are applied with it.
pub(super) async fn applied(
    client: &Client,
    manifest: &Manifest,
    all: &[Manifest],
) -> Result<Value, Failure> {
    let Manifest { source, resource, namespace, name, object } = manifest;
    let namespace = namespace.as_deref();
    let answer = match client.find(resource, namespace, name).await? {
        None => match write::create(client, resource, namespace, object, true).await {
            // Its namespace is made for a tenant of the same files. Nobody can check it before that.
            Err(error) if error.is_not_found() && is_coming(namespace, all) => Ok(object.clone()),
            answer => answer.map(|mut made| {
                // A dry run makes up a UID.
                made["metadata"].as_object_mut().map(|metadata| metadata.remove("uid"));
                made
            }),
        },
        Some(live) => match applier(&live) {
            Some(manager) => write::try_apply(client, resource, namespace, name, object, manager).await,
            None => write::try_merge(client, resource, namespace, name, &patch(&live, object)).await,
        },
    };
    let mut answer = answer.map_err(|error| {
        let failure = Failure::from(error);
        if failure.hint.is_some() { failure } else { failure.hint(format!("the object is in {source}")) }
    })?;
    answer["apiVersion"] = resource.api_version().into();
    answer["kind"] = resource.kind.into();
    answer["metadata"].as_object_mut().map(|metadata| metadata.remove("managedFields"));
    Ok(answer)
}

fn is_coming(namespace: Option<&str>, all: &[Manifest]) -> bool {
    let tenant = namespace.and_then(names::tenant_of_namespace);
    tenant.is_some_and(|tenant| all.iter().any(|it| it.resource == TENANT && it.name == tenant))
}

/// Who applies the object by server-side apply.
fn applier(live: &Value) -> Option<&str> {
    let entries = live["metadata"]["managedFields"].as_array()?;
    let applied =
        entries.iter().filter(|entry| entry["operation"] == "Apply" && entry["subresource"].is_null());
    applied.filter_map(|entry| entry["manager"].as_str()).find(|manager| *manager != FIELD_MANAGER)
}

/// The merge patch of `kubectl apply`: everything that the file says, and null for what it said last and says no more.
fn patch(live: &Value, object: &Value) -> Value {
    let last = live["metadata"]["annotations"][LAST_APPLIED].as_str();
    let last: Value = last.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut patch = object.clone();
    if let (Some(last), Some(patch)) = (last.as_object(), patch.as_object_mut()) {
        remove(last, patch);
        patch.remove("status");
    }
    patch
}

fn remove(last: &Map<String, Value>, patch: &mut Map<String, Value>) {
    for (key, before) in last {
        match (before, patch.get_mut(key)) {
            (Value::Object(before), Some(Value::Object(now))) => remove(before, now),
            (_, Some(_)) => {}
            // kubectl writes it for every object, and nobody means it.
            (_, None) if key == "annotations" => {}
            (_, None) => {
                patch.insert(key.clone(), Value::Null);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_removes_what_was_applied_last_and_is_not_in_the_file() {
        let last = json!({"spec": {"planRef": {"name": "a"}, "state": "Suspended", "gone": {"x": 1}}});
        let live = json!({
            "metadata": {"annotations": {LAST_APPLIED: last.to_string()}},
            "spec": {"planRef": {"name": "a"}, "state": "Suspended", "theirs": true},
        });
        let file = json!({"metadata": {"name": "acme"}, "spec": {"planRef": {"name": "b"}}});
        assert_eq!(
            patch(&live, &file),
            json!({"metadata": {"name": "acme"}, "spec": {"planRef": {"name": "b"}, "state": null, "gone": null}})
        );
        assert_eq!(patch(&json!({}), &file), file);
    }

    #[test]
    fn whoever_applies_on_the_server_goes_on_doing_so() {
        let by = |manager: &str, operation: &str| json!({"manager": manager, "operation": operation});
        let live = |entries: Vec<Value>| json!({"metadata": {"managedFields": entries}});
        assert_eq!(applier(&live(vec![by("kubectl-client-side-apply", "Update")])), None);
        let flux = live(vec![by("tenantry", "Apply"), by("kustomize-controller", "Apply")]);
        assert_eq!(applier(&flux), Some("kustomize-controller"));
    }
}
