//! Who has to look again when something changed. Only hints: a turn never knows why it was called.

use kube::ResourceExt;

use super::child::Child;
use super::context::Context;
use super::object::{Key, Kind};
use super::own::{Own, OwnKind};
use super::queue::Lane;
use super::store::Change;
use crate::api::names;
use crate::api::{DatabaseServer, Microservice, Tenant, TenantDatabase};

/// An object of ours changed.
pub fn own_changed<K: OwnKind>(context: &Context, change: &Change<Own<K>>) {
    let (key, lane) = match change {
        Change::Removed { key, .. } => (key, Lane::Urgent),
        Change::Upserted { key, before, after } => (key, lane_of(before.as_deref(), after)),
    };
    context.enqueue(K::KIND, key, lane);
    match K::KIND {
        Kind::Tenant => tenant_changed(context, key),
        Kind::Plan => tenants_changed(context, |tenant| tenant.spec.plan_ref.name == *key.name),
        Kind::Blueprint => tenants_changed(context, |tenant| {
            tenant.spec.blueprints.iter().flatten().any(|blueprint| blueprint.name == *key.name)
        }),
        Kind::DatabaseServer => server_changed(context, &key.name),
        Kind::ServerDatabase => {
            server_database_changed(context, key, matches!(change, Change::Upserted { before: None, .. }));
        }
        Kind::TenantDatabase => claim_changed(context, key),
        Kind::Microservice => microservice_changed(context, key),
        _ => {}
    }
}

/// A new object, a changed spec and a deletion are what people wait for.
fn lane_of<K: OwnKind>(before: Option<&Own<K>>, after: &Own<K>) -> Lane {
    let seen = |own: &Own<K>| (own.meta().generation, own.meta().deletion_timestamp.is_some());
    match before {
        Some(before) if seen(before) == seen(after) => Lane::Background,
        _ => Lane::Urgent,
    }
}

/// The object that `child` belongs to.
pub fn owner_of(context: &Context, child: &Child) {
    if let Some((kind, key)) = &child.owner {
        context.enqueue(*kind, key, Lane::Background);
    }
}

/// A binding Secret is new or has new content.
pub fn binding_changed(context: &Context, kind: Kind, key: &Key) {
    if kind == Kind::Secret {
        for (microservice, _) in context.stores.microservices.in_namespace(&key.namespace) {
            context.enqueue(Kind::Microservice, &microservice, Lane::Background);
        }
    }
}

fn each<K: OwnKind>(context: &Context, concerned: impl Fn(&K) -> bool)
where
    super::context::Stores: super::context::StoreOf<K>,
{
    use super::context::StoreOf;
    for (key, own) in context.stores.store().all() {
        if own.valid().is_some_and(&concerned) {
            context.enqueue(K::KIND, &key, Lane::Background);
        }
    }
}

/// Those tenants and all that depends on them: limits of databases come from the plan, and what a blueprint no longer
/// asks for is released.
fn tenants_changed(context: &Context, concerned: impl Fn(&Tenant) -> bool) {
    for tenant in context.valid_all::<Tenant>().into_iter().filter(concerned) {
        let key = Key::cluster(&tenant.name_any());
        context.enqueue(Kind::Tenant, &key, Lane::Background);
        tenant_changed(context, &key);
    }
}

fn tenant_changed(context: &Context, tenant: &Key) {
    let namespace = names::tenant_namespace(&tenant.name);
    for (key, _) in context.stores.tenant_databases.in_namespace(&namespace) {
        context.enqueue(Kind::TenantDatabase, &key, Lane::Background);
    }
    for (key, _) in context.stores.microservices.in_namespace(&namespace) {
        context.enqueue(Kind::Microservice, &key, Lane::Background);
    }
    // A claim that went before its tenant did is confirmed absent only now.
    for (key, own) in context.stores.server_databases.all() {
        if own.valid().is_some_and(|database| database.spec.claim_ref.namespace == namespace) {
            context.enqueue(Kind::ServerDatabase, &key, Lane::Background);
        }
    }
}

/// A server can be used from now on, or no longer, or has another spec: whoever is on it looks again.
pub fn server_changed(context: &Context, server: &str) {
    for (key, own) in context.stores.server_databases.all() {
        if own.valid().is_some_and(|database| database.spec.server_ref.name == server) {
            context.enqueue(Kind::ServerDatabase, &key, Lane::Background);
        }
    }
    each::<TenantDatabase>(context, |claim| {
        let on = claim.status.as_ref().and_then(|status| status.server.as_deref());
        // A claim without a server may find one now.
        claim.spec.server_ref.as_ref().is_some_and(|asked| asked.name == server)
            || on.is_none_or(|on| on == server)
    });
}

fn server_database_changed(context: &Context, key: &Key, new: bool) {
    let Some(own) = context.stores.server_databases.get(key) else {
        // Projected again from the marker table.
        return each::<DatabaseServer>(context, |_| true);
    };
    let Some(database) = own.valid() else { return };
    let claim = &database.spec.claim_ref;
    context.enqueue(Kind::TenantDatabase, &Key::namespaced(&claim.namespace, &claim.name), Lane::Background);
    if new {
        // The server is in use now.
        context.enqueue(
            Kind::DatabaseServer,
            &Key::cluster(&database.spec.server_ref.name),
            Lane::Background,
        );
    }
}

fn claim_changed(context: &Context, key: &Key) {
    if let Some(tenant) = names::tenant_of_namespace(&key.namespace) {
        context.enqueue(Kind::Tenant, &Key::cluster(tenant), Lane::Background);
    }
    for (database, own) in context.stores.server_databases.all() {
        let claim = own.valid().map(|database| &database.spec.claim_ref);
        if claim.is_some_and(|claim| claim.namespace == *key.namespace && claim.name == *key.name) {
            context.enqueue(Kind::ServerDatabase, &database, Lane::Background);
        }
    }
    each_in_namespace(context, key);
}

fn each_in_namespace(context: &Context, claim: &Key) {
    for microservice in context.valid_in::<Microservice>(&claim.namespace) {
        if microservice.spec.databases().iter().any(|binding| binding.name == *claim.name) {
            let key = Key::namespaced(&claim.namespace, &microservice.name_any());
            context.enqueue(Kind::Microservice, &key, Lane::Background);
        }
    }
}

fn microservice_changed(context: &Context, key: &Key) {
    if let Some(tenant) = names::tenant_of_namespace(&key.namespace) {
        context.enqueue(Kind::Tenant, &Key::cluster(tenant), Lane::Background);
    }
    // Claims of a suspended tenant wait for its workloads to end.
    for (claim, _) in context.stores.tenant_databases.in_namespace(&key.namespace) {
        context.enqueue(Kind::TenantDatabase, &claim, Lane::Background);
    }
}
