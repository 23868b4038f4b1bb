//! Who has to look again when something changed. Only hints: a turn never knows why it was called.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::core::object::HasStatus;

use super::child::Child;
use super::context::Context;
use super::database::rivals;
use super::object::{Key, Kind};
use super::own::{Own, OwnKind, Status};
use super::queue::Lane;
use super::store::Change;
use crate::api::condition::{self, READY, reason};
use crate::api::server_database::DatabasePhase;
use crate::api::{DatabaseServer, Microservice, ServerDatabase, Tenant, TenantDatabase};
use crate::api::{labels, names};

/// An object of ours changed.
pub fn own_changed<K: OwnKind>(context: &Context, change: &Change<Own<K>>) {
    let (key, lane) = match change {
        Change::Removed { key, .. } => (key, Lane::Urgent),
        Change::Upserted { key, before, after } => (key, lane_of(before.as_deref(), after)),
    };
    context.enqueue(K::KIND, key, lane);
    match K::KIND {
        // What a person did to a tenant or a claim is as urgent for what has to be done to its databases and services.
        Kind::Tenant => tenant_changed(context, key, lane),
        Kind::Plan => tenants_changed(context, |tenant| tenant.spec.plan_ref.name == *key.name),
        Kind::Blueprint => tenants_changed(context, |tenant| {
            tenant.spec.blueprints.iter().flatten().any(|blueprint| blueprint.name == *key.name)
        }),
        Kind::DatabaseServer => server_changed(context, &key.name),
        Kind::ServerDatabase => {
            server_database_changed(context, key, matches!(change, Change::Upserted { before: None, .. }));
            if lane == Lane::Urgent {
                adoptions_changed(context, key);
            }
            room_made(context, key);
        }
        Kind::TenantDatabase => {
            claim_changed(context, key, lane);
            if matches!(change, Change::Removed { .. }) {
                quotas_changed(context, |claim| claim.namespace().as_deref() == Some(&*key.namespace));
            }
        }
        Kind::Microservice => microservice_changed(context, key),
        _ => {}
    }
}

/// All objects of a kind of ours are known. A claim that went while its CRD was not served could not be told to be gone, and its end
/// is no change any more.
pub fn own_listed(context: &Context, kind: Kind) {
    if kind == Kind::TenantDatabase {
        each::<ServerDatabase>(context, |database| {
            let claim = &database.spec.claim_ref;
            let claim = Key::namespaced(&claim.namespace, &claim.name);
            context.stores.tenant_databases.get(&claim).is_none()
        });
    }
}

/// A new object, a changed spec, a request and a deletion are what people wait for. Of those that a start finds, most were seen to
/// before it.
fn lane_of<K: OwnKind>(before: Option<&Own<K>>, after: &Own<K>) -> Lane {
    let request = |own: &Own<K>| {
        let annotations = own.meta().annotations.as_ref();
        annotations.and_then(|all| all.get(labels::RECONCILE_REQUESTED_AT)).cloned()
    };
    let seen = |own: &Own<K>| (own.meta().generation, own.meta().deletion_timestamp.is_some(), request(own));
    let news = if let Some(before) = before {
        seen(before) != seen(after) || requests(before) != requests(after)
    } else {
        let observed = after.valid().and_then(HasStatus::status).and_then(Status::observed_generation);
        observed != after.meta().generation || after.meta().deletion_timestamp.is_some()
    };
    if news { Lane::Urgent } else { Lane::Background }
}

/// What people ask for without a change of the spec.
fn requests<K: OwnKind>(own: &Own<K>) -> BTreeMap<&String, &String> {
    let whole = [labels::DELETION_BRAKE, labels::FORCE_RELEASE, labels::TAKE_OVER];
    let asks = |name: &String| {
        whole.contains(&name.as_str())
            || name.starts_with(labels::ROTATE)
            || name.starts_with(labels::COMPROMISED)
    };
    own.meta().annotations.iter().flatten().filter(|(name, _)| asks(name)).collect()
}

/// The object that `child` of that kind belongs to.
pub fn owner_of(context: &Context, kind: Kind, child: &Child) {
    let Some((owner, key)) = &child.owner else { return };
    context.enqueue(*owner, key, Lane::Background);
    // A namespace that becomes the tenant's, or is it no longer, has claims and microservices that are.
    if kind == Kind::Namespace {
        tenant_changed(context, key, Lane::Background);
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
        tenant_changed(context, &key, Lane::Background);
    }
}

fn tenant_changed(context: &Context, tenant: &Key, lane: Lane) {
    let namespace = names::tenant_namespace(&tenant.name);
    for (key, _) in context.stores.tenant_databases.in_namespace(&namespace) {
        context.enqueue(Kind::TenantDatabase, &key, lane);
    }
    for (key, _) in context.stores.microservices.in_namespace(&namespace) {
        context.enqueue(Kind::Microservice, &key, lane);
    }
    // A claim that went before its tenant did is confirmed absent only now.
    for (key, own) in context.stores.server_databases.all() {
        if own.valid().is_some_and(|database| database.spec.claim_ref.namespace == namespace) {
            context.enqueue(Kind::ServerDatabase, &key, lane);
        }
    }
}

/// An admin Secret changed: the servers that name it may be reached by it now.
pub fn admin_secret_changed(context: &Context, secret: &str) {
    for (key, own) in context.stores.database_servers.all() {
        let external = own.valid().and_then(|server| server.spec.external.as_ref());
        if external.is_some_and(|external| external.admin_secret_name == secret) {
            context.enqueue(Kind::DatabaseServer, &key, Lane::Urgent);
        }
    }
}

/// A server can be used from now on, or no longer, or has another spec: whoever is on it looks again.
pub fn server_changed(context: &Context, server: &str) {
    let rows = context.inventory.rows();
    each::<ServerDatabase>(context, |database| {
        let is_on = |on: &str| on == server;
        // A copy there has to be released with the claim.
        is_on(&database.spec.server_ref.name)
            || rows.servers_of(&database.spec.physical_name).any(|on| is_on(on))
    });
    // One whose deletion a brake of the server held up goes on when it is let go.
    each::<Tenant>(context, |tenant| tenant.metadata.deletion_timestamp.is_some());
    each::<TenantDatabase>(context, |claim| {
        let status = claim.status.as_ref();
        let on = status.and_then(|status| status.server.as_deref());
        // A claim without a database may find its place now, or what it had before.
        claim.spec.server_ref.as_ref().is_some_and(|asked| asked.name == server)
            || status.is_none_or(|status| status.server_database.is_none())
            || on == Some(server)
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

/// What an admin gives may be given twice. Those for the same database or the same claim look again, and those that were, when
/// one of them is given to somebody else or gone.
fn adoptions_changed(context: &Context, key: &Key) {
    let changed = context.stores.server_databases.get(key);
    let changed = changed.as_ref().and_then(|own| own.valid());
    let ours = changed.is_some_and(|database| database.spec.adoption().is_none());
    each::<ServerDatabase>(context, |other| {
        let status = other.status.as_ref();
        let ready = status.and_then(|status| condition::find(&status.conditions, READY));
        let torn = ready.is_some_and(|ready| ready.reason == reason::CLAIM_CONFLICT);
        changed.is_some_and(|database| rivals::are(database, other)) || (!ours && torn)
    });
    if !ours {
        // Whoever it was given to, or may be now, is not as it could be.
        each::<TenantDatabase>(context, |claim| {
            let status = claim.status.as_ref();
            !status.is_some_and(|status| condition::is_true(&status.conditions, READY, None))
        });
    }
}

/// A database that is gone, or on its way out, counts in no quota any more.
fn room_made(context: &Context, key: &Key) {
    let Some(own) = context.stores.server_databases.get(key) else {
        return quotas_changed(context, |_| true);
    };
    let Some(database) = own.valid() else { return };
    let phase = database.status.as_ref().and_then(|status| status.phase);
    if phase.is_some_and(DatabasePhase::is_leaving) {
        let namespace = Some(&*database.spec.claim_ref.namespace);
        quotas_changed(context, |claim| claim.namespace().as_deref() == namespace);
    }
}

/// Those claims, as far as a quota keeps them from their databases.
fn quotas_changed(context: &Context, concerned: impl Fn(&TenantDatabase) -> bool) {
    each::<TenantDatabase>(context, |claim| {
        let status = claim.status.as_ref();
        let ready = status.and_then(|status| condition::find(&status.conditions, READY));
        ready.is_some_and(|ready| ready.reason == reason::QUOTA_EXCEEDED) && concerned(claim)
    });
}

fn claim_changed(context: &Context, key: &Key, lane: Lane) {
    if let Some(tenant) = names::tenant_of_namespace(&key.namespace) {
        context.enqueue(Kind::Tenant, &Key::cluster(tenant), Lane::Background);
    }
    for (database, own) in context.stores.server_databases.all() {
        let claim = own.valid().map(|database| &database.spec.claim_ref);
        if claim.is_some_and(|claim| claim.namespace == *key.namespace && claim.name == *key.name) {
            context.enqueue(Kind::ServerDatabase, &database, lane);
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

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::api::database_server::{DatabaseServerSpec, DatabaseServerStatus};

    #[test]
    fn what_a_person_did_is_urgent_and_what_a_start_finds_in_order_is_not() {
        let server = |generation: i64, observed: Option<i64>, deleted: bool| {
            let mut server = DatabaseServer::new("main", DatabaseServerSpec::default());
            server.metadata.generation = Some(generation);
            server.metadata.deletion_timestamp = deleted.then_some(Time(Timestamp::UNIX_EPOCH));
            server.status = observed.map(|observed| DatabaseServerStatus {
                observed_generation: Some(observed),
                ..DatabaseServerStatus::default()
            });
            Own::Valid(server)
        };
        let settled = server(1, Some(1), false);
        let mut requested = DatabaseServer::new("main", DatabaseServerSpec::default());
        requested.metadata = settled.meta().clone();
        let annotation = (labels::RECONCILE_REQUESTED_AT.to_owned(), "now".to_owned());
        requested.metadata.annotations = Some([annotation].into());
        let requested = Own::Valid(requested);
        let cases = [
            ("created", None, server(1, Some(-1), false), Lane::Urgent),
            ("found in order by a start", None, server(1, Some(1), false), Lane::Background),
            ("changed while no operator ran", None, server(2, Some(1), false), Lane::Urgent),
            ("deleted while no operator ran", None, server(1, Some(1), true), Lane::Urgent),
            ("its status changed", Some(&settled), server(1, Some(1), false), Lane::Background),
            ("its spec changed", Some(&settled), server(2, Some(1), false), Lane::Urgent),
            ("deleted", Some(&settled), server(1, Some(1), true), Lane::Urgent),
            ("asked to be compared", Some(&settled), requested, Lane::Urgent),
        ];
        for (what, before, after, expected) in cases {
            assert_eq!(lane_of(before, &after), expected, "{what}");
        }
    }
}
