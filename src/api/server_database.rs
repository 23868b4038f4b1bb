//! ServerDatabase: the thing claimed, a database on a server, whether or not it has a claim.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::deletion::DeletionPolicy;
use super::schema::{self, NameRef};

/// Which database this is, and who claims it.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "ServerDatabase",
    plural = "serverdatabases",
    shortname = "sdb",
    category = "tenantry",
    status = "ServerDatabaseStatus",
    derive = "PartialEq",
    doc = "A ServerDatabase is a database on a server. It is projected from the server's own marker table: deleting the object does nothing to the database, the object comes back.",
    validation = Rule::new("self.spec.serverRef == oldSelf.spec.serverRef && self.spec.physicalName == oldSelf.spec.physicalName")
        .message("serverRef and physicalName cannot change"),
    validation = Rule::new("has(self.spec.management) && self.spec.management != 'Full' ? !self.spec.physicalName.matches('^(t_|tenantry_|tombstone_|template|tenantry$|postgres$)') : self.spec.physicalName.startsWith('t_')")
        .message("spec.physicalName: a database that is adopted or observed is one that Tenantry did not make and PostgreSQL does not need (none of t_, tenantry, tombstone_, template, postgres), and every other one begins with t_"),
    validation = Rule::new("(has(self.spec.management) ? self.spec.management : 'Full') == (has(oldSelf.spec.management) ? oldSelf.spec.management : 'Full') || (has(self.spec.management) && self.spec.management == 'Adopt' && has(oldSelf.spec.management) && oldSelf.spec.management == 'Observe')")
        .message("spec.management: only Observe can become Adopt"),
    selectable = ".spec.serverRef.name",
    selectable = ".spec.claimRef.namespace",
    selectable = ".spec.claimRef.name",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "Bound, Released, Tombstoned or Dropping"),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".metadata.labels.tenantry\\.dev/tenant", description = "Tenant in whose namespace the claim is, or was"),
    printcolumn(name = "Claim", type_ = "string", json_path = ".spec.claimRef.name", description = "Claim that the database is bound to, or was last"),
    printcolumn(name = "Server", type_ = "string", json_path = ".spec.serverRef.name", description = "Database server"),
    printcolumn(name = "Management", type_ = "string", json_path = ".spec.management", description = "Adopt or Observe; empty for a database that Tenantry made"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Reason of the Ready condition"),
    printcolumn(name = "Archived", type_ = "date", json_path = ".status.archive.verifiedAt", description = "Time since an archive of it was verified"),
    printcolumn(name = "Archive", type_ = "string", json_path = ".status.archive.object", description = "Where that archive is kept", priority = "1"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.claimRef.namespace", description = "Namespace of the claim", priority = "1"),
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.physicalName", description = "Name of the database on the server", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since the object was created")
)]
#[serde(rename_all = "camelCase")]
pub struct ServerDatabaseSpec {
    /// Database server that the database is on.
    pub server_ref: NameRef,
    /// Claim that the database is bound to, or was last. To give a Released database to a new claim of the same
    /// namespace and name, set `uid` to the new claim's UID, or remove it.
    pub claim_ref: ClaimRef,
    /// Name of the database on the server. One that is adopted or observed may have ASCII letters, digits, `_`, `-` and `.`: its
    /// name stands in binding Secrets and their URIs as it is.
    #[schemars(length(min = 1, max = 63), pattern("^[A-Za-z0-9_][A-Za-z0-9_.-]*$"))]
    pub physical_name: String,
    /// How much of the database is Tenantry's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management: Option<Management>,
    /// Asks for the end of a Released database: it is renamed out of the way and kept for seven days as a tombstone. After
    /// that it is dropped if an archive of it is verified, which takes `spec.archive` of its DatabaseServer, and never without.
    /// Removing the field brings it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purge: Option<Purge>,
}

/// How much of a database is Tenantry's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Management {
    /// All of it: Tenantry made it.
    #[default]
    Full,
    /// Only what the claim's credentials need: their logins, the three group roles and what these are granted on the
    /// database. Owner, limits, other roles' rights and everything inside stay as they are, and the database is never renamed,
    /// closed or dropped.
    Adopt,
    /// Nothing. It is looked at and never written to, and its claim has no credentials.
    Observe,
}

impl Management {
    /// The word of the schema.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "Full",
            Self::Adopt => "Adopt",
            Self::Observe => "Observe",
        }
    }

    /// The management of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Full, Self::Adopt, Self::Observe].into_iter().find(|it| it.as_str() == word)
    }
}

impl ServerDatabaseSpec {
    /// How an admin gave us a database that we did not make; `None` for one that we made.
    pub fn adoption(&self) -> Option<Management> {
        self.management.filter(|management| *management != Management::Full)
    }
}

/// The end of a database in exactly the state that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Purge {
    /// Generation of the database, from its status. A database that was bound or released since then is not purged
    /// (TimeTravel).
    #[schemars(range(min = 1))]
    pub generation: i64,
}

/// A claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRef {
    /// Namespace of the claim.
    #[schemars(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: String,
    /// Name of the claim.
    #[schemars(length(min = 1, max = 24), pattern("^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// UID of the claim. Absent on a Released database: the next claim of that namespace and name gets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub uid: Option<String>,
}

/// What the server says of the database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerDatabaseStatus {
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled, Archived and Exposed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Bound: a claim uses it. Released: nobody does, logins are refused, everything is kept.
    /// Tombstoned: renamed out of the way by a purge. Dropping: archived, its grace has ended, and it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<DatabasePhase>,
    /// Generation of the database's marker row on the server, which grows at every bind and release. A server that
    /// shows a smaller one, or no row, was restored to an earlier state: nothing is written to it (TimeTravel).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub generation: Option<i64>,
    /// When the grace of a tombstone ends, by the server's clock. It is dropped after that and never without a verified
    /// archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub droppable_when: Option<Time>,
    /// Role that owns a database that is adopted or observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub owner: Option<String>,
    /// What becomes of the database when its claim goes, or becomes of it since. One that was brought back from a purge is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Archive of the database as it was when it was released or purged: one that was restored and compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveStatus>,
    /// UID of the tenant that the database belongs to.
    #[serde(rename = "tenantUID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub tenant_uid: Option<String>,
}

/// A verified archive.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveStatus {
    /// Where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub object: Option<String>,
    /// SHA-256 of what is kept there, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sha256: Option<String>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub bytes: Option<i64>,
    /// Rows of all tables in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub rows: Option<i64>,
    /// Time of the snapshot that it was made from, by the server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub taken_at: Option<Time>,
    /// When it was found equal to the database, by the server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub verified_at: Option<Time>,
    /// PersistentVolumeClaim in the namespace tenantry-servers that it was written to. Nothing is dropped unless it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<ArchivedTo>,
    /// Bucket that it was written to. Nothing is dropped unless it can be read there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<ArchivedIn>,
}

/// The volume of an archive. A claim that is made again under the same name is another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchivedTo {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub claim_name: Option<String>,
    /// Its UID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
}

/// The bucket of an archive, and how it was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchivedIn {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub bucket: Option<String>,
    /// The store's server; AWS's own if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 280))]
    pub endpoint: Option<String>,
    /// Its region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub region: Option<String>,
    /// Secret with the credentials, in the namespace tenantry-servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub credentials_secret_name: Option<String>,
    /// Secret with the authorities of the server's certificate, in the namespace tenantry-servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub ca_secret_name: Option<String>,
}

/// Phase of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DatabasePhase {
    /// A claim uses the database.
    Bound,
    /// Nobody uses it; logins are refused, everything is kept.
    Released,
    /// Renamed out of the way by a purge; everything is kept, and comes back when the purge is taken back.
    Tombstoned,
    /// An archive is verified, the grace has ended, and the database is being dropped. The object goes when it is gone.
    Dropping,
}

impl DatabasePhase {
    /// Whether it is on its way out: renamed by a purge, whether or not it is being dropped by now.
    pub const fn is_leaving(self) -> bool {
        matches!(self, Self::Tombstoned | Self::Dropping)
    }
}
