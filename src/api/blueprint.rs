//! Blueprint: the databases and services that a tenant gets.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::microservice::MicroserviceSpec;
use super::schema;
use super::tenant_database::{Credential, Extension, TenantDatabaseSpec};

/// What every tenant of the blueprint gets.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "Blueprint",
    plural = "blueprints",
    shortname = "bp",
    category = "tenantry",
    status = "BlueprintStatus",
    derive = "PartialEq",
    doc = "A Blueprint lists the databases and services that a tenant gets. An edit reaches the blueprint's tenants through the operator's queue.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the blueprint can be used"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Reason of the Ready condition"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since the blueprint was created"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct BlueprintSpec {
    /// Databases of the tenant; each becomes a TenantDatabase of that name in the tenant's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub databases: Option<Vec<BlueprintDatabase>>,
    /// Services of the tenant; each becomes a Microservice of that name in the tenant's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub services: Option<Vec<BlueprintService>>,
}

/// A database of every tenant of the blueprint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlueprintDatabase {
    /// Name of the TenantDatabase.
    #[schemars(length(min = 1, max = 24), pattern("^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Extensions of PostgreSQL that it has, as `spec.extensions` of the TenantDatabase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub extensions: Option<Vec<Extension>>,
    /// Its credentials, as `spec.credentials` of the TenantDatabase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub credentials: Option<Vec<Credential>>,
}

/// A service of every tenant of the blueprint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlueprintService {
    /// Name of the Microservice and of its Service.
    #[schemars(length(min = 1, max = 40), pattern("^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Spec of the Microservice.
    pub spec: MicroserviceSpec,
}

/// What the operator says of a blueprint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlueprintStatus {
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

impl BlueprintDatabase {
    /// The TenantDatabase that each tenant gets.
    pub fn claim(&self) -> TenantDatabaseSpec {
        let Self { name: _, extensions, credentials } = self.clone();
        TenantDatabaseSpec { credentials, extensions, ..TenantDatabaseSpec::default() }
    }
}

impl BlueprintSpec {
    /// The databases, none if absent.
    pub fn databases(&self) -> &[BlueprintDatabase] {
        self.databases.as_deref().unwrap_or_default()
    }

    /// The services, none if absent.
    pub fn services(&self) -> &[BlueprintService] {
        self.services.as_deref().unwrap_or_default()
    }
}
