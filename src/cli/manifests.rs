//! What `tenantry install` applies, in order: CRDs, namespaces, RBAC, policies and the operator's Deployment.
//!
//! The YAML of `manifests/operator` is compiled in, so the binary and a GitOps repository install the same thing.
//! Only the images and the version are filled in.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::kinds::Resource;
use crate::api;

/// Image of the operator unless another is named.
pub const DEFAULT_IMAGE: &str = "localhost/tenantry/tenantry:dev";
/// Image of managed PostgreSQL 15 servers unless another is named.
pub const DEFAULT_POSTGRES_IMAGE: &str = "localhost/tenantry/postgres:15";
/// Image of the pods that make archives unless another is named.
pub const DEFAULT_ARCHIVE_IMAGE: &str = "localhost/tenantry/archive:15";

/// What is filled in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Images<'a> {
    /// Image of the operator and of builtin microservices.
    pub tenantry: &'a str,
    /// Image of managed PostgreSQL 15 servers.
    pub postgres: &'a str,
    /// Image of the pods that make archives.
    pub archive: &'a str,
}

impl Default for Images<'_> {
    fn default() -> Self {
        Self { tenantry: DEFAULT_IMAGE, postgres: DEFAULT_POSTGRES_IMAGE, archive: DEFAULT_ARCHIVE_IMAGE }
    }
}

/// The documents in `manifests/operator`, in the order in which they are applied.
const DOCUMENTS: [&str; 5] = [
    include_str!("../../manifests/operator/namespaces.yaml"),
    include_str!("../../manifests/operator/rbac.yaml"),
    include_str!("../../manifests/operator/user-roles.yaml"),
    include_str!("../../manifests/operator/policies.yaml"),
    include_str!("../../manifests/operator/deployment.yaml"),
];

/// Why the manifests could not be built: a mistake in this program.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A document of `manifests/operator` is not YAML.
    #[error("failed to parse a built-in manifest")]
    Parse(#[source] serde_saphyr::Error),
    /// An object has another shape than the API server takes.
    #[error("failed to convert a built-in manifest")]
    Convert(#[source] serde_json::Error),
    /// An object is of a kind that the installer does not know.
    #[error("a built-in manifest is of the unknown kind {0}")]
    UnknownKind(String),
}

/// Everything that an installation consists of, with `image` filled in, in the order in which it is applied.
pub fn objects(image: &str) -> Result<Vec<DynamicObject>, ManifestError> {
    values(Images { tenantry: image, ..Images::default() })?
        .into_iter()
        .map(|value| serde_json::from_value(value).map_err(ManifestError::Convert))
        .collect()
}

/// The same as JSON values.
pub(super) fn values(images: Images<'_>) -> Result<Vec<Value>, ManifestError> {
    let mut values = Vec::new();
    for crd in api::crds() {
        values.push(serde_json::to_value(&crd).map_err(ManifestError::Convert)?);
    }
    for document in DOCUMENTS {
        values.extend(serde_saphyr::from_multiple::<Value>(document).map_err(ManifestError::Parse)?);
    }
    for value in &mut values {
        if value["kind"] == "Deployment" {
            fill_in(value, images);
        }
        Resource::of_object(value).ok_or_else(|| ManifestError::UnknownKind(value["kind"].to_string()))?;
    }
    Ok(values)
}

fn fill_in(deployment: &mut Value, images: Images<'_>) {
    deployment["metadata"]["labels"][api::labels::APP_VERSION] = json!(env!("CARGO_PKG_VERSION"));
    let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
    container["image"] = json!(images.tenantry);
    for variable in container["env"].as_array_mut().into_iter().flatten() {
        match variable["name"].as_str() {
            Some("TENANTRY_IMAGE") => variable["value"] = json!(images.tenantry),
            Some("TENANTRY_POSTGRES_IMAGE") => variable["value"] = json!(images.postgres),
            Some("TENANTRY_ARCHIVE_IMAGE") => variable["value"] = json!(images.archive),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_kind(kind: &str) -> Vec<Value> {
        let archive = "example.org/archive:1";
        values(Images { tenantry: "example.org/tenantry:1", postgres: "example.org/postgres:1", archive })
            .unwrap()
            .into_iter()
            .filter(|value| value["kind"] == kind)
            .collect()
    }

    #[test]
    fn crds_come_first_and_the_operator_last() {
        let kinds: Vec<String> =
            objects("x").unwrap().iter().map(|object| object.types.clone().unwrap().kind).collect();
        assert!(kinds[..7].iter().all(|kind| kind == "CustomResourceDefinition"), "{kinds:?}");
        assert_eq!(kinds.last().map(String::as_str), Some("Deployment"));
    }

    #[test]
    fn the_image_is_filled_in_everywhere() {
        let deployment = of_kind("Deployment").remove(0);
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "example.org/tenantry:1");
        assert_eq!(container["env"][2], json!({"name": "TENANTRY_IMAGE", "value": "example.org/tenantry:1"}));
        let postgres = json!({"name": "TENANTRY_POSTGRES_IMAGE", "value": "example.org/postgres:1"});
        assert_eq!(container["env"][3], postgres);
        let archive = json!({"name": "TENANTRY_ARCHIVE_IMAGE", "value": "example.org/archive:1"});
        assert_eq!(container["env"][4], archive);
    }

    #[test]
    fn no_role_has_a_wildcard_or_escalates_and_bind_names_its_roles() {
        for role in of_kind("ClusterRole").into_iter().chain(of_kind("Role")) {
            for rule in role["rules"].as_array().unwrap() {
                assert!(!rule.to_string().contains('*'), "{rule}");
                let verbs = rule["verbs"].as_array().unwrap();
                assert!(
                    !verbs.contains(&json!("escalate")) && !verbs.contains(&json!("impersonate")),
                    "{rule}"
                );
                if verbs.contains(&json!("bind")) {
                    assert_eq!(rule["resourceNames"], json!(["tenantry-tenant-owner"]));
                }
                if rule["resources"].as_array().unwrap().contains(&json!("secrets")) {
                    assert!(!verbs.iter().any(|verb| verb.as_str().unwrap().starts_with("delete")), "{rule}");
                }
            }
        }
    }
}
