//! Tenant: one customer, with a namespace, databases and services of its own.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::deletion::DeletionPolicy;
use super::schema::{self, NameRef};
use super::step::Step;

/// What a tenant is asked to be.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "Tenant",
    plural = "tenants",
    shortname = "tn",
    category = "tenantry",
    status = "TenantStatus",
    derive = "PartialEq",
    doc = "A Tenant is one customer: it gets a namespace of its own, PostgreSQL databases and services, as its plan and its blueprints say.",
    selectable = ".spec.planRef.name",
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be a DNS label of at most 40 characters that starts with a letter: the namespace tenant-NAME is made from it"),
    validation = Rule::new("!(self.metadata.name in ['system', 'servers', 'platform', 'control', 'default'])")
        .message("metadata.name is reserved: choose another name than system, servers, platform, control or default"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether the tenant is as its spec asks"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Reason of the Ready condition"),
    printcolumn(name = "Plan", type_ = "string", json_path = ".spec.planRef.name", description = "Plan of the tenant"),
    printcolumn(name = "State", type_ = "string", json_path = ".spec.state", description = "Active or Suspended; empty means Active"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".status.namespace", description = "Namespace of the tenant", priority = "1"),
    printcolumn(name = "Id", type_ = "string", json_path = ".status.id", description = "Id in the names of its databases", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since the tenant was created")
)]
#[serde(rename_all = "camelCase")]
pub struct TenantSpec {
    /// Name of the customer, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub display_name: Option<String>,
    /// Plan that sets the tenant's limits and where its databases are placed.
    pub plan_ref: NameRef,
    /// Blueprints that say which databases and services the tenant gets. Names must not overlap between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub blueprints: Option<Vec<NameRef>>,
    /// Active runs the tenant. Suspended keeps every object and all data, scales workloads to zero and refuses
    /// logins. Absent means Active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<TenantState>,
    /// Who may work in the tenant's namespace: RBAC subjects, bound to the ClusterRole `tenantry-tenant-owner`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub owners: Option<Vec<Owner>>,
    /// What becomes of the tenant's databases when nobody claims them any more, with the tenant or without. Absent means Retain.
    /// A claim may keep more and never less. A released database goes by what was in force when it was released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Whether the tenant, its namespace and its ServerDatabases may not be deleted and its databases not be purged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,
}

/// Whether a tenant runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TenantState {
    /// Runs.
    #[default]
    Active,
    /// Workloads at zero, logins refused, data kept.
    Suspended,
}

/// An RBAC subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.kind == 'ServiceAccount') == has(self.namespace)")
    .message("namespace is required for a ServiceAccount and not allowed for a User or Group"))]
#[x_kube(validation = Rule::new("self.kind != 'ServiceAccount' || self.name.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
    .message("name of a ServiceAccount must be a lowercase RFC 1123 subdomain; that of a User or Group is whatever the API server says"))]
pub struct Owner {
    /// Kind of the subject.
    pub kind: OwnerKind,
    /// Name of the user, group or service account.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of a service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
}

/// Kind of an RBAC subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OwnerKind {
    /// A user, as the API server names it.
    User,
    /// A group, as the API server names it.
    Group,
    /// A service account.
    ServiceAccount,
}

/// What a tenant is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled and Suspended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Id of the tenant: the first 10 characters of base32(SHA-256(UID)), in the names of its databases.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10))]
    pub id: Option<String>,
    /// Namespace of the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// Steps on the way to Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::steps")]
    pub steps: Vec<Step>,
}

impl TenantSpec {
    /// Whether the tenant is suspended.
    pub fn is_suspended(&self) -> bool {
        self.state == Some(TenantState::Suspended)
    }

    /// Whether the tenant is protected from deletion.
    pub fn is_protected(&self) -> bool {
        self.deletion_protection == Some(true)
    }
}
