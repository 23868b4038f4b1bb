//! TenantDatabase: the claim to a database, in the tenant's namespace.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::deletion::DeletionPolicy;
use super::names::Group;
use super::plan::DatabaseLimits;
use super::reconcile::Reconciled;
use super::schema::{self, NameRef};
use super::step::Step;

/// What a claim asks for.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "TenantDatabase",
    plural = "tenantdatabases",
    shortname = "tdb",
    category = "tenantry",
    namespaced,
    status = "TenantDatabaseStatus",
    derive = "PartialEq",
    doc = "A TenantDatabase claims a PostgreSQL database, as a PersistentVolumeClaim claims a volume. The database itself is a ServerDatabase; it stays when the claim goes.",
    validation = Rule::new("size(self.metadata.name) <= 24 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be a DNS label of at most 24 characters that starts with a letter: the database's name is made from it"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether the database can be used"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Reason of the Ready condition"),
    printcolumn(name = "Server", type_ = "string", json_path = ".status.server", description = "Database server"),
    printcolumn(name = "Database", type_ = "string", json_path = ".status.serverDatabase", description = "Bound ServerDatabase"),
    printcolumn(name = "Binding", type_ = "string", json_path = ".status.binding.name", description = "Binding Secret", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since the claim was created")
)]
#[serde(rename_all = "camelCase")]
pub struct TenantDatabaseSpec {
    /// Database server. Absent means one that the tenant's plan selects. Once bound it cannot change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_ref: Option<NameRef>,
    /// Credentials, each with a binding Secret of its own. Absent means one named `app` in the Secret NAME-app.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub credentials: Option<Vec<Credential>>,
    /// Extensions of PostgreSQL that the database has: those that PostgreSQL trusts everybody with, and those that
    /// spec.allowedExtensions of the DatabaseServer names. One that is not there is made in the version that the server
    /// offers, in the schema `extensions`, which sessions look into after `public`. One that is no longer listed stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub extensions: Option<Vec<Extension>>,
    /// Limits of the database. What is absent comes from the tenant's plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<DatabaseLimits>,
    /// What becomes of the database when the claim goes. Absent means what the Tenant says; where both say something, the one that
    /// keeps more holds: Snapshot before Retain before Delete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Asks for an empty database where a released one of an earlier tenant has the same namespace and name.
    /// Without it such a claim waits (ReleasedDatabaseExists).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// An extension of PostgreSQL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Extension {
    /// Its name, as `pg_available_extensions` has it, for example `pg_trgm`.
    #[schemars(length(min = 1, max = 63), pattern("^[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*$"))]
    pub name: String,
}

/// A credential: who may log in, and with which rights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// Name of the credential, part of the login's name.
    #[schemars(length(min = 1, max = 16), pattern("^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Name of the binding Secret. Absent means CLAIM-CREDENTIAL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,
    /// What it may do in the database. Absent means Owner. A change ends the sessions of its login, so that every session
    /// has what is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// When its login is replaced. Absent means on demand: whenever the value of the claim's annotation
    /// `rotate.tenantry.dev/NAME` changes (the time, by custom). A change of `compromised.tenantry.dev/NAME` refuses the
    /// credential's logins at once and issues a new one without a grace period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
}

/// When a credential's login is replaced. The next of its two logins is issued with a new password, the binding Secret names
/// it, and the pods of every Microservice that binds the Secret roll.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// How long a login is used, for example `720h`, and at least `1m`. The next one is issued up to a tenth sooner, at another
    /// time for each credential. Absent means until a rotation is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::interval")]
    pub interval: Option<String>,
    /// How long the earlier login still works after the rollout of every Microservice that binds the Secret is complete. It is
    /// refused sooner when nobody has used it for some time. Absent means `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub grace_period: Option<String>,
}

/// What a credential may do in its database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Access {
    /// Everything inside the database: what one owner makes, every owner can change.
    #[default]
    Owner,
    /// Reads and writes what owners make. It makes nothing of its own but temporary tables.
    ReadWrite,
    /// Reads what owners make.
    ReadOnly,
}

impl Access {
    /// The group role whose rights these are.
    pub const fn group(self) -> Group {
        match self {
            Self::Owner => Group::Owner,
            Self::ReadWrite => Group::ReadWrite,
            Self::ReadOnly => Group::ReadOnly,
        }
    }
}

impl Credential {
    /// Name of the binding Secret of this credential of `claim`.
    pub fn secret_name(&self, claim: &str) -> String {
        self.secret_name.clone().unwrap_or_else(|| format!("{claim}-{}", self.name))
    }
}

impl TenantDatabaseSpec {
    /// The credentials, one named `app` if absent.
    pub fn credentials(&self) -> Vec<Credential> {
        self.credentials
            .clone()
            .unwrap_or_else(|| vec![Credential { name: "app".into(), ..Credential::default() }])
    }
}

/// What a claim has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantDatabaseStatus {
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled, ServerReachable, Suspended, Drifted, Rotating and SharedServer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Database server that the database is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub server: Option<String>,
    /// Name of the bound ServerDatabase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub server_database: Option<String>,
    /// Binding Secret of the first credential (Service Binding Specification: Provisioned Service).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<NameRef>,
    /// Hash of what was declared when the database was last brought there. While it is the same, whatever differs on
    /// the server is drift.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub declared: Option<String>,
    /// The last comparison that somebody asked for by the annotation `tenantry.dev/reconcile-requested-at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reconcile: Option<Reconciled>,
    /// Steps on the way to Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::steps")]
    pub steps: Vec<Step>,
}
