//! What we keep of an object that we made: not its body, only what tells whether it changed and whose it is.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::object::{Key, Kind};
use crate::api::{labels, names};

/// An object that we made, in some 150 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// UID.
    pub uid: Box<str>,
    /// Changes whenever something changes that we may have declared.
    pub token: u64,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// UID of the object that it belongs to.
    pub owner_uid: Option<Box<str>>,
    /// When it was made, in seconds since 1970, if the API server says so.
    pub made: Option<i64>,
    /// Value of [`labels::FORMER_TENANTS`].
    pub former_tenants: Option<Box<str>>,
    /// Whom to tell when it changes.
    pub owner: Option<(Kind, Key)>,
    /// Value of [`labels::BINDING_HASH`].
    pub binding_hash: Option<Box<str>>,
}

impl Child {
    /// What to keep of the object of `kind` with that metadata.
    pub fn new(kind: Kind, meta: &ObjectMeta) -> Self {
        let annotation = |name: &str| meta.annotations.as_ref().and_then(|all| all.get(name));
        Self {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            token: token(kind, meta),
            deleting: meta.deletion_timestamp.is_some(),
            owner_uid: owner_uid(meta).map(Into::into),
            made: meta.creation_timestamp.as_ref().map(|made| made.0.as_second()),
            former_tenants: annotation(labels::FORMER_TENANTS).map(|former| former.as_str().into()),
            owner: owner(kind, meta),
            binding_hash: annotation(labels::BINDING_HASH).map(|hash| hash.as_str().into()),
        }
    }
}

/// UID of the object that this one belongs to: its controller, or what our annotation says.
pub fn owner_uid(meta: &ObjectMeta) -> Option<&str> {
    let controller = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    controller
        .map(|owner| owner.uid.as_str())
        .or_else(|| meta.annotations.as_ref()?.get(labels::OWNER_UID).map(String::as_str))
}

/// Whom a change of the object concerns, by its labels, the narrowest first.
fn owner(kind: Kind, meta: &ObjectMeta) -> Option<(Kind, Key)> {
    // A server database has a turn of its own; nobody else's depends on how its object looks.
    if kind == Kind::ServerDatabase {
        return None;
    }
    let label = |name: &str| meta.labels.as_ref().and_then(|all| all.get(name)).map(String::as_str);
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    // Databases and services of a tenant carry their own name too; what concerns them is the tenant.
    let narrow = !matches!(kind, Kind::TenantDatabase | Kind::Microservice);
    if let Some(name) = label(labels::MICROSERVICE).filter(|_| narrow) {
        return Some((Kind::Microservice, Key::namespaced(namespace, name)));
    }
    if let Some(name) = label(labels::TENANT_DATABASE).filter(|_| narrow) {
        return Some((Kind::TenantDatabase, Key::namespaced(namespace, name)));
    }
    // Whoever writes labels somewhere wakes nobody elsewhere.
    if let Some(name) = label(labels::SERVER_DATABASE).filter(|_| namespace == labels::SERVERS_NAMESPACE) {
        return Some((Kind::ServerDatabase, Key::cluster(name)));
    }
    if let Some(name) = label(labels::DATABASE_SERVER).filter(|_| namespace == labels::SERVERS_NAMESPACE) {
        return Some((Kind::DatabaseServer, Key::cluster(name)));
    }
    let home = if kind == Kind::Namespace { meta.name.as_deref().unwrap_or_default() } else { namespace };
    let tenant = label(labels::TENANT).filter(|name| names::tenant_namespace(name) == home);
    tenant.map(|name| (Kind::Tenant, Key::cluster(name)))
}

/// The generation counts changes of a spec only, so the metadata that we declare is hashed beside it.
pub fn token(kind: Kind, meta: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    meta.uid.hash(&mut hasher);
    meta.deletion_timestamp.is_some().hash(&mut hasher);
    if kind.has_generation() {
        meta.generation.hash(&mut hasher);
        meta.labels.hash(&mut hasher);
        meta.annotations.hash(&mut hasher);
        meta.finalizers.hash(&mut hasher);
        for owner in meta.owner_references.iter().flatten() {
            (&owner.uid, owner.controller).hash(&mut hasher);
        }
    } else {
        meta.resource_version.hash(&mut hasher);
    }
    hasher.finish()
}
