//! Step 1: what a tenant's turn needs, all of it from the stores, but for a namespace that they lack.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::ResourceExt;

use crate::api::{Blueprint, DatabaseServer, Microservice, Plan, Tenant, TenantDatabase, labels, names};
use crate::controller::apply::ApplyError;
use crate::controller::child::Child;
use crate::controller::context::Context;
use crate::controller::object::{Key, Kind, dynamic_api};

/// What a tenant's turn needs.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The tenant.
    pub tenant: Tenant,
    /// Its plan, if it exists.
    pub plan: Option<Plan>,
    /// Its blueprints in the order of the spec, each if it exists.
    pub blueprints: Vec<(String, Option<Blueprint>)>,
    /// Claims in its namespace.
    pub claims: Vec<TenantDatabase>,
    /// Microservices in its namespace.
    pub microservices: Vec<Microservice>,
    /// Managed servers that its claims were placed on.
    pub managed_servers: BTreeSet<String>,
    /// Its namespace, if the watch knows one of ours.
    pub namespace: Option<Arc<Child>>,
}

/// Reads it.
pub fn fetch(context: &Context, tenant: Tenant) -> Fetched {
    let namespace = names::tenant_namespace(&tenant.name_any());
    let blueprints = tenant.spec.blueprints.iter().flatten();
    let claims: Vec<TenantDatabase> = context.valid_in(&namespace);
    let servers: BTreeSet<&String> =
        claims.iter().filter_map(|it| it.status.as_ref()?.server.as_ref()).collect();
    let is_managed = |name: &&String| {
        let server: Option<DatabaseServer> = context.valid(&Key::cluster(name));
        server.is_some_and(|server| server.spec.managed.is_some())
    };
    Fetched {
        managed_servers: servers.into_iter().filter(is_managed).cloned().collect(),
        plan: context.valid(&Key::cluster(&tenant.spec.plan_ref.name)),
        blueprints: blueprints.map(|b| (b.name.clone(), context.valid(&Key::cluster(&b.name)))).collect(),
        claims,
        microservices: context.valid_in(&namespace),
        namespace: context.gate.child(Kind::Namespace, &Key::cluster(&namespace)),
        tenant,
    }
}

/// The namespace of a tenant that has had one, or asks for that of another, by a live read where no watch knows it: somebody may have
/// taken the label off by which we watch it, and only what it says tells whose it was.
pub async fn unwatched(context: &Context, fetched: &Fetched) -> Result<Option<Arc<Child>>, ApplyError> {
    let tenant = &fetched.tenant;
    let had = tenant.status.as_ref().is_some_and(|status| status.namespace.is_some());
    if fetched.namespace.is_some() || !(had || tenant.annotations().contains_key(labels::TAKE_OVER)) {
        return Ok(fetched.namespace.clone());
    }
    let key = Key::cluster(&names::tenant_namespace(&tenant.name_any()));
    let live = dynamic_api(&context.client, Kind::Namespace, &key).get_opt(&key.name).await;
    let live = live.map_err(|source| ApplyError::Api { verb: "get", kind: Kind::Namespace, key, source })?;
    Ok(live.map(|live| Arc::new(Child::new(Kind::Namespace, &live.metadata))))
}

/// Reads it again after the writes of this turn.
pub fn again(context: &Context, before: Fetched) -> Fetched {
    let newest =
        context.valid(&Key::cluster(&before.tenant.name_any())).unwrap_or_else(|| before.tenant.clone());
    // The spec of this turn stays: a newer one has its own turn.
    let tenant = Tenant { status: newest.status, ..before.tenant };
    fetch(context, tenant)
}
