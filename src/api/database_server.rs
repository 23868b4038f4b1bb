//! DatabaseServer: a PostgreSQL server that databases are placed on.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reconcile::Reconciled;
use super::schema;
use super::step::Step;

/// Where a PostgreSQL server is, or how it is run.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "DatabaseServer",
    plural = "databaseservers",
    shortname = "dbs",
    category = "tenantry",
    status = "DatabaseServerStatus",
    derive = "PartialEq",
    doc = "A DatabaseServer is a PostgreSQL server that tenants' databases are placed on: one that exists already (external), or one that the operator runs (managed).",
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be a DNS label of at most 40 characters that starts with a letter: a managed server's Service has the same name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether databases can be placed on the server"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Reason of the Ready condition"),
    printcolumn(name = "Scheduling", type_ = "string", json_path = ".spec.scheduling", description = "Whether new databases are placed on the server; empty means Active"),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".status.tenant", description = "Tenant that has the server for its own; empty for a server that tenants share"),
    printcolumn(name = "Circuit", type_ = "string", json_path = ".status.circuit", description = "Closed while the server answers, Open while it is not asked"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", description = "Version that the server reports"),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.external.host", description = "Host of an external server", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since the server was created")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.external) != has(self.managed)").message("exactly one of external and managed is required"))]
#[x_kube(validation = Rule::new("has(self.managed) == has(oldSelf.managed)").message("a server cannot change between external and managed: create another one"))]
pub struct DatabaseServerSpec {
    /// A server that exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalServer>,
    /// A single-instance server that the operator runs in the namespace tenantry-servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedServer>,
    /// Namespaces whose claims may use the server: names, or a prefix followed by `*`. Absent means every
    /// tenant's namespace; an empty list means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 256),
        inner(
            length(min = 1, max = 63),
            pattern(r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?|[a-z0-9][-a-z0-9]*\*|\*)$")
        )
    )]
    pub allowed_namespaces: Option<Vec<String>>,
    /// How much the server takes. Absent means that nothing limits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// Whether new databases are placed on the server. Absent means Active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// Databases that are made before anybody asks for them, so that a claim gets one in milliseconds. Absent means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_pool: Option<WarmPool>,
    /// Where the verified archive goes without which no purged database of the server is dropped. Absent means none is made,
    /// and nothing is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveStore>,
    /// What becomes of a database on the server that somebody changed there, past the operator. Correct (if absent too):
    /// it is brought back to what is declared. Warn: the claim's condition Drifted says what differs, until what is
    /// declared changes, which is then done as a whole. A tenant's login can change some things of its own, its
    /// password and its settings for one: under Warn that stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_policy: Option<DriftPolicy>,
    /// What becomes of what tenants' sessions have the server log. Discard (if absent too): nothing of it gets there, by
    /// `log_min_messages = panic` on every database that is made here, so that no tenant can fill the server's disk with
    /// RAISE LOG or with what fails. That goes for all that a session in such a database would log, autovacuum's too: errors,
    /// durations, lock waits, and the lines of extensions like pgaudit. Keep: the server's own settings hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_log: Option<TenantLog>,
    /// Roles on the server that may have elevated rights: SUPERUSER, CREATEROLE, CREATEDB, REPLICATION, BYPASSRLS, or a
    /// membership in a predefined role. Any other that has some is named by the condition Drifted; it is left as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub privileged_roles: Option<Vec<String>>,
    /// Extensions that claims may ask for beside those that PostgreSQL trusts everybody with
    /// (`pg_available_extension_versions.trusted`). Whoever names one vouches for it: some read files of the server or connect
    /// to others. A database that has one of these cannot be archived, since the archive's login may not make it to compare what it has
    /// restored: one that is purged is never dropped. One that is no longer named stays where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 63), pattern("^[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_extensions: Option<Vec<String>>,
}

/// Where verified archives of databases are kept before they are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.volume) != has(self.s3)").message("exactly one of volume and s3 is required: archives are kept in one place"))]
pub struct ArchiveStore {
    /// A volume that archives are written to, as files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<ArchiveVolume>,
    /// A bucket of an S3-compatible store that archives are written to, as objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<ArchiveBucket>,
}

/// A volume for archives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveVolume {
    /// PersistentVolumeClaim in the namespace tenantry-servers.
    #[schemars(length(min = 1, max = 253), pattern("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub claim_name: String,
}

/// A bucket for archives. It is spoken to by HTTPS only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.endpoint) || has(self.region)").message("endpoint or region is required: name the store's endpoint, or the region of AWS that the bucket is in"))]
pub struct ArchiveBucket {
    /// Name of the bucket, which has to be there already.
    #[schemars(length(min = 3, max = 63), pattern(r"^[a-z0-9]([-a-z0-9]|\.[a-z0-9])*$"))]
    pub bucket: String,
    /// Folder in the bucket that archives go to: words with slashes between them. Absent means the bucket itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), pattern("^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$"))]
    pub prefix: Option<String>,
    /// The store's server, for example `https://s3.example.com:9000`. The bucket's name is the first part of the path there. Absent means
    /// AWS's own server of the region.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 280),
        pattern(r"^https://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[1-9][0-9]{0,4})?$")
    )]
    pub endpoint: Option<String>,
    /// Region of the bucket. Absent means `us-east-1`, which is what most stores say that know no regions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub region: Option<String>,
    /// Secret in the namespace tenantry-servers with the keys `accessKeyId` and `secretAccessKey`, and `sessionToken` for credentials that
    /// end. It is mounted by the pods that make and read archives, and is needed until what was archived with it is dropped.
    #[schemars(length(min = 1, max = 253), pattern("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub credentials_secret_name: String,
    /// Secret in the namespace tenantry-servers with the key `ca.crt` (PEM): the authorities that the server's certificate may be signed by.
    /// Absent means the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), pattern("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub ca_secret_name: Option<String>,
}

impl ArchiveBucket {
    /// URL of the folder that archives go to.
    pub fn url(&self) -> String {
        let prefix = self.prefix.iter().map(|prefix| format!("/{prefix}"));
        format!("s3://{}{}", self.bucket, prefix.collect::<String>())
    }
}

/// How much a server takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// Greatest number of databases, released ones included. Fewer than there are changes nothing for those.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub databases: Option<i32>,
}

/// Whether new databases are placed on a server. Those that are on it are served in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Scheduling {
    /// They are.
    #[default]
    Active,
    /// They are not for now; the warm pool stays as it is.
    Paused,
    /// They are not any more, since the server is to be emptied; the warm pool is dropped.
    Draining,
}

/// Databases that are made before anybody asks for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WarmPool {
    /// How many are kept ready. Each takes about 8 MB of the server's disk.
    #[schemars(range(min = 0, max = 64))]
    pub size: i32,
}

/// What becomes of a difference between a server and what is declared, that somebody made on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DriftPolicy {
    /// It is brought back.
    #[default]
    Correct,
    /// It is told and left.
    Warn,
}

/// What becomes of what tenants' sessions have a server log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TenantLog {
    /// It does not get there.
    #[default]
    Discard,
    /// It does.
    Keep,
}

/// A server that exists already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalServer {
    /// Host name or address; the server's certificate must be valid for it.
    #[schemars(length(min = 1, max = 253), pattern(r"^[A-Za-z0-9]([-A-Za-z0-9.:]*[A-Za-z0-9])?$"))]
    pub host: String,
    /// Port. Absent means 5432.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Secret in the namespace tenantry-servers with the keys `username`, `password` and `ca.crt` (PEM). The
    /// connection is always encrypted and the certificate always verified, name included.
    #[schemars(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub admin_secret_name: String,
}

/// A single-instance server that the operator runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.version == oldSelf.version && self.storage == oldSelf.storage && has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
    .message("version, storage and storageClassName of a managed server cannot change"))]
pub struct ManagedServer {
    /// Major version of PostgreSQL.
    pub version: PostgresVersion,
    /// Size of the volume, for example `10Gi`.
    #[schemars(schema_with = "schema::quantity")]
    pub storage: String,
    /// Storage class of the volume. Absent means the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub storage_class_name: Option<String>,
}

/// A major version of PostgreSQL that a managed server can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PostgresVersion {
    /// PostgreSQL 15.
    #[serde(rename = "15")]
    V15,
}

/// What a database server is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseServerStatus {
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled, ServerReachable, DeletionBrake, Drifted and Exposed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Version that the server reports, for example `15.18`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub version: Option<String>,
    /// System identifier of the cluster (`pg_control_system()`); another one at the same address stops all work.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub system_identifier: Option<String>,
    /// Tenant that has the server for its own, since its plan says `isolation: Server`: no database of another tenant is
    /// placed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub tenant: Option<String>,
    /// Circuit of the server: Closed while it answers, Open while it is not asked since it did not answer, HalfOpen
    /// while a probe is to decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit: Option<CircuitState>,
    /// Nonce of the deletion brake, while it is engaged: nothing is released or removed on the server until its annotation
    /// tenantry.dev/deletion-brake says proceed-NONCE or cancel-NONCE.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub deletion_brake: Option<String>,
    /// The last comparison that somebody asked for by the annotation `tenantry.dev/reconcile-requested-at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reconcile: Option<Reconciled>,
    /// Steps on the way to Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::steps")]
    pub steps: Vec<Step>,
}

/// What becomes of a wish to use the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CircuitState {
    /// Healthy: the server is used.
    Closed,
    /// The server did not answer several times in a row: nobody asks it until its wait is over.
    Open,
    /// One probe decides whether the server is used again.
    HalfOpen,
}

impl DatabaseServerSpec {
    /// Whether new databases are placed on the server.
    pub fn scheduling(&self) -> Scheduling {
        self.scheduling.unwrap_or_default()
    }

    /// Greatest number of databases.
    pub fn capacity(&self) -> Option<u32> {
        self.capacity.as_ref()?.databases.and_then(|databases| u32::try_from(databases).ok())
    }

    /// Why the server takes no new database when it has so many, as the end of a sentence about it.
    pub fn closed_to_new(&self, databases: usize) -> Option<String> {
        match self.scheduling() {
            Scheduling::Paused => Some("takes no new databases: its spec.scheduling is Paused".to_owned()),
            Scheduling::Draining => {
                Some("takes no new databases: its spec.scheduling is Draining".to_owned())
            }
            Scheduling::Active => {
                let capacity = self.capacity()?;
                let full = usize::try_from(capacity).is_ok_and(|capacity| databases >= capacity);
                full.then(|| format!("is full: its spec.capacity.databases is {capacity}"))
            }
        }
    }

    /// Whether claims in `namespace` may use the server.
    pub fn allows(&self, namespace: &str) -> bool {
        let Some(allowed) = &self.allowed_namespaces else { return true };
        allowed.iter().any(|entry| match entry.strip_suffix('*') {
            Some(prefix) => namespace.starts_with(prefix),
            None => entry == namespace,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_namespaces_are_names_or_prefixes() {
        let spec = |allowed: Option<&[&str]>| DatabaseServerSpec {
            allowed_namespaces: allowed.map(|list| list.iter().map(ToString::to_string).collect()),
            ..DatabaseServerSpec::default()
        };
        assert!(spec(None).allows("tenant-acme"));
        assert!(!spec(Some(&[])).allows("tenant-acme"));
        assert!(spec(Some(&["tenant-acme"])).allows("tenant-acme"));
        assert!(!spec(Some(&["tenant-acme"])).allows("tenant-acme-2"));
        assert!(spec(Some(&["tenant-a*"])).allows("tenant-acme"));
        assert!(!spec(Some(&["tenant-b*"])).allows("tenant-acme"));
    }
}
