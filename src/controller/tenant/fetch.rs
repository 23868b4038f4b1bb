//! Step 1: what a tenant's turn needs, all of it from the stores.

use std::sync::Arc;

use kube::ResourceExt;

use crate::api::{Blueprint, Microservice, Plan, Tenant, TenantDatabase, names};
use crate::controller::child::Child;
use crate::controller::context::Context;
use crate::controller::object::{Key, Kind};

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
    /// Its namespace, if the watch knows one of ours.
    pub namespace: Option<Arc<Child>>,
}

/// Reads it.
pub fn fetch(context: &Context, tenant: Tenant) -> Fetched {
    let namespace = names::tenant_namespace(&tenant.name_any());
    let blueprints = tenant.spec.blueprints.iter().flatten();
    Fetched {
        plan: context.valid(&Key::cluster(&tenant.spec.plan_ref.name)),
        blueprints: blueprints.map(|b| (b.name.clone(), context.valid(&Key::cluster(&b.name)))).collect(),
        claims: context.valid_in(&namespace),
        microservices: context.valid_in(&namespace),
        namespace: context.gate.child(Kind::Namespace, &Key::cluster(&namespace)),
        tenant,
    }
}

/// Reads it again after the writes of this turn.
pub fn again(context: &Context, before: Fetched) -> Fetched {
    let newest =
        context.valid(&Key::cluster(&before.tenant.name_any())).unwrap_or_else(|| before.tenant.clone());
    // The spec of this turn stays: a newer one has its own turn.
    let tenant = Tenant { status: newest.status, ..before.tenant };
    fetch(context, tenant)
}
