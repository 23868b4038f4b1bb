//! Plan: the limits that a tenant gets, and where its databases are placed.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// What every tenant of the plan may use.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "Plan",
    plural = "plans",
    category = "tenantry",
    status = "PlanStatus",
    derive = "PartialEq",
    doc = "A Plan sets what a tenant may use and on which database servers its databases are placed. An edit reaches the plan's tenants through the operator's queue.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the plan can be used"
    ),
    printcolumn(
        name = "Cpu",
        type_ = "string",
        json_path = ".spec.quota.cpu",
        description = "CPU of all pods of a tenant"
    ),
    printcolumn(
        name = "Memory",
        type_ = "string",
        json_path = ".spec.quota.memory",
        description = "Memory of all pods of a tenant"
    ),
    printcolumn(
        name = "Pods",
        type_ = "integer",
        json_path = ".spec.quota.pods",
        description = "Pods of a tenant"
    ),
    printcolumn(
        name = "Databases",
        type_ = "integer",
        json_path = ".spec.quota.databases",
        description = "Databases of a tenant"
    ),
    printcolumn(
        name = "Connections",
        type_ = "integer",
        json_path = ".spec.limits.connections",
        description = "Connections to each database"
    ),
    printcolumn(
        name = "Isolation",
        type_ = "string",
        json_path = ".spec.isolation",
        description = "Server for a plan whose tenants have servers of their own; empty means Database"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since the plan was created"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct PlanSpec {
    /// What a tenant may have: of what its pods use together the namespace's ResourceQuota is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<PlanQuota>,
    /// Limits of each database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<DatabaseLimits>,
    /// Which database servers a tenant's databases may be placed on. Absent means any server that admits the
    /// tenant's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_selector: Option<ServerSelector>,
    /// What a tenant has for itself. Absent means Database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

/// What a tenant has for itself. Database (if absent too): its databases, on servers that other tenants' are on too. Server: a
/// server. Its first database goes to a selected one that has none of another tenant, released ones and tombstones
/// included; all later ones go there too, and nobody else's does, until its last one there is dropped. An edit moves nothing:
/// a database that shares its server stays there, and its claim says so by the condition SharedServer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Isolation {
    /// Its databases.
    #[default]
    Database,
    /// A server.
    Server,
}

impl PlanSpec {
    /// What a tenant has for itself.
    pub fn isolation(&self) -> Isolation {
        self.isolation.unwrap_or_default()
    }
}

/// What a tenant may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanQuota {
    /// CPU, as requests and as limits, for example `2` or `500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::quantity")]
    pub cpu: Option<String>,
    /// Memory, as requests and as limits, for example `2Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::quantity")]
    pub memory: Option<String>,
    /// Number of pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub pods: Option<i32>,
    /// Number of databases, Bound and Released. A claim that comes when there are as many gets none (QuotaExceeded); fewer than there
    /// are changes nothing for those.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub databases: Option<i32>,
}

/// Limits of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseLimits {
    /// Connections to the database and of each of its logins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub connections: Option<i32>,
    /// How long a statement may run, from `1s` to `576h`, for example `30s`. PostgreSQL cancels one that runs longer. A second
    /// later the session ends: one that lifted the limit for itself, as migrations and pg_dump do, one from before the limit, or
    /// one whose message of several statements takes longer as a whole. An adopted database keeps its own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timeout")]
    pub statement_timeout: Option<String>,
    /// How long a session may do nothing in an open transaction, from `1s` to `576h`. It ends then, a second later if it lifted
    /// the limit for itself or is from before the limit. An adopted database keeps its own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timeout")]
    pub idle_in_transaction_timeout: Option<String>,
    /// What the temporary files of each session may take together, at most `1Ti`, for example `1Gi`. A statement that needs more
    /// fails. To set it, the server's admin login has to be a superuser or to have been granted SET on the parameter
    /// temp_file_limit. An adopted database keeps its own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::file_size")]
    pub temp_files: Option<String>,
}

/// Selects database servers by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerSelector {
    /// Labels that a server must carry, all of them.
    #[schemars(schema_with = "schema::match_labels")]
    pub match_labels: BTreeMap<String, String>,
}

/// What the operator says of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
