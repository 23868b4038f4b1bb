//! Step 1: what a claim's turn needs, all of it from the stores.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use tokio::time::Instant;

use super::tenancy::Tenancy;
use crate::api::condition::{self, READY};
use crate::api::database_server::DatabaseServerSpec;
use crate::api::names::{DatabaseName, PhysicalName, TenantId};
use crate::api::{DatabaseServer, Microservice, Plan, ServerDatabase, Tenant, TenantDatabase, names};
use crate::controller::child::Child;
use crate::controller::context::Context;
use crate::controller::database::rivals;
use crate::controller::database_server::finalize;
use crate::controller::database_server::inventory::Rows;
use crate::controller::object::{Key, Kind};
use crate::controller::worker::key_of;

/// Logins of a suspended tenant are refused when its workloads are at zero, and at the latest after so long.
pub const SUSPEND_LIMIT: Duration = Duration::from_secs(30);

/// What a claim's turn needs.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The claim.
    pub claim: TenantDatabase,
    /// The tenant that its namespace belongs to.
    pub tenant: Option<Tenant>,
    /// Its namespace, if the watch knows one of ours.
    pub namespace: Option<Arc<Child>>,
    /// The tenant's plan, if it exists.
    pub plan: Option<Plan>,
    /// Whether claim, namespace or tenant is being deleted.
    pub leaving: bool,
    /// Every server.
    pub servers: Vec<KnownServer>,
    /// The server databases that may be the claim's: those that name it, its tenant's of its name, and the one with the
    /// physical name that it would be given; and those that an admin made beside one that names it.
    pub databases: Vec<ServerDatabase>,
    /// What the servers' marker rows name.
    pub rows: Arc<Rows>,
    /// Pods of the tenant's microservices.
    pub workloads: i32,
    /// How long the tenant has been suspended while workloads were still there, as far as this process saw.
    pub suspended_since: Option<Duration>,
}

/// A server, as placement sees it.
#[derive(Clone, Debug, Default)]
pub struct KnownServer {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Spec.
    pub spec: DatabaseServerSpec,
    /// Whether it is being deleted.
    pub leaving: bool,
    /// How many databases it has.
    pub databases: usize,
    /// Whose they are, as the claim's tenant sees it.
    pub tenancy: Tenancy,
    /// Whether it can be used now.
    pub open: bool,
    /// Whether this process knows that yet.
    pub looked_at: bool,
    /// What its own Ready says, if it is not True.
    pub trouble: Option<String>,
}

impl Fetched {
    /// How long it is until the logins of a suspended tenant are refused, whether or not its workloads have ended.
    pub fn until_closed(&self) -> Option<Duration> {
        self.suspended_since.and_then(|since| SUSPEND_LIMIT.checked_sub(since))
    }
}

/// Reads it.
pub fn fetch(context: &Context, claim: TenantDatabase) -> Fetched {
    let key = key_of(&claim);
    let tenant = names::tenant_of_namespace(&key.namespace);
    let tenant: Option<Tenant> = tenant.and_then(|name| context.valid(&Key::cluster(name)));
    let namespace = context.gate.child(Kind::Namespace, &Key::cluster(&key.namespace));
    let owner = namespace.as_ref().and_then(|namespace| namespace.owner_uid.as_deref());
    // A namespace of that name may be somebody else's.
    let tenant = tenant.filter(|tenant| owner.is_some() && owner == tenant.metadata.uid.as_deref());
    let microservices: Vec<Microservice> = context.valid_in(&key.namespace);
    let workloads = microservices.iter().filter_map(|it| it.status.as_ref()?.replicas).sum();
    let suspended = tenant.as_ref().is_some_and(|tenant| tenant.spec.is_suspended());
    let databases = Databases::of(context, &key, tenant.as_ref());
    let (rows, uid) = (context.inventory.rows(), tenant.as_ref().and_then(ResourceExt::uid));
    let since = suspended.then(|| context.progress.elapsed(&suspension(&key), "suspended", Instant::now()));
    if !suspended {
        context.progress.clear(&suspension(&key));
    }
    Fetched {
        leaving: claim.metadata.deletion_timestamp.is_some()
            || namespace.as_ref().is_some_and(|namespace| namespace.deleting)
            || tenant.as_ref().is_some_and(|tenant| tenant.metadata.deletion_timestamp.is_some()),
        plan: tenant.as_ref().and_then(|tenant| context.valid(&Key::cluster(&tenant.spec.plan_ref.name))),
        servers: context
            .valid_all::<DatabaseServer>()
            .iter()
            .map(|server| {
                known(context, server, databases.on.get(&server.name_any()), (&rows, uid.as_deref()))
            })
            .collect(),
        databases: databases.near,
        rows,
        workloads,
        suspended_since: since,
        tenant,
        namespace,
        claim,
    }
}

/// Reads it again after the writes of this turn.
pub fn again(context: &Context, before: Fetched) -> Fetched {
    let newest: Option<TenantDatabase> = context.valid(&key_of(&before.claim));
    let same = newest.filter(|newest| newest.metadata.uid == before.claim.metadata.uid);
    match same {
        // The spec of this turn stays: a newer one has its own turn.
        Some(newest) => {
            Fetched { claim: TenantDatabase { status: newest.status, ..before.claim.clone() }, ..before }
        }
        None => before,
    }
}

/// Under which name [`Context::progress`] knows since when a claim's tenant has been suspended.
pub fn suspension(claim: &Key) -> String {
    format!("{claim}/suspended")
}

/// The server databases, as far as a turn needs them: dozens of turns at once copy only what may be their claim's.
struct Databases {
    near: Vec<ServerDatabase>,
    /// Those of each server.
    on: HashMap<String, OnServer>,
}

/// The server databases of one server.
#[derive(Clone, Copy, Debug, Default)]
struct OnServer {
    count: usize,
    /// Whether some are the claim's tenant's.
    own: bool,
    /// Whether some are others'.
    others: bool,
}

impl Databases {
    fn of(context: &Context, claim: &Key, tenant: Option<&Tenant>) -> Self {
        let tenant = tenant.and_then(|tenant| tenant.metadata.uid.as_deref());
        let own = tenant.zip(DatabaseName::parse(&claim.name).ok());
        let own = own.map(|(tenant, name)| PhysicalName::new(&TenantId::of_uid(tenant), &name));
        let is_near = |database: &ServerDatabase| {
            let of = database.status.as_ref().and_then(|status| status.tenant_uid.as_deref());
            let ours =
                database.spec.claim_ref.namespace == *claim.namespace || (of.is_some() && of == tenant);
            (ours && database.spec.claim_ref.name == *claim.name)
                || own.as_ref().is_some_and(|own| database.spec.physical_name == own.as_str())
        };
        // A new one says by its claim whose it is, before it has a status.
        let is_of_tenant = |database: &ServerDatabase| {
            let of = database.status.as_ref().and_then(|status| status.tenant_uid.as_deref());
            of.map_or(database.spec.claim_ref.namespace == *claim.namespace, |of| Some(of) == tenant)
        };
        let (mut near, mut on) = (Vec::new(), HashMap::<String, OnServer>::new());
        context.stores.server_databases.each(|own| {
            let Some(database) = own.valid() else { return };
            let server = &database.spec.server_ref.name;
            if !on.contains_key(server) {
                on.insert(server.clone(), OnServer::default());
            }
            if let Some(on) = on.get_mut(server) {
                on.count += 1;
                let own = is_of_tenant(database);
                (on.own, on.others) = (on.own || own, on.others || !own);
            }
            if is_near(database) {
                near.push(database.clone());
            }
        });
        if near.iter().any(|database| database.spec.adoption().is_some()) {
            let given = near.clone();
            context.stores.server_databases.each(|own| {
                let Some(database) = own.valid() else { return };
                let known = given.iter().any(|it| it.metadata.name == database.metadata.name);
                if !known && given.iter().any(|it| rivals::are(it, database)) {
                    near.push(database.clone());
                }
            });
        }
        Self { near, on }
    }
}

fn known(
    context: &Context,
    server: &DatabaseServer,
    on: Option<&OnServer>,
    (rows, tenant): (&Rows, Option<&str>),
) -> KnownServer {
    let (name, on) = (server.name_any(), on.copied().unwrap_or_default());
    let (own, others) = rows.tenants(&name, tenant);
    let leaving = server.metadata.deletion_timestamp.is_some();
    let ready = server.status.as_ref().and_then(|status| condition::find(&status.conditions, READY));
    KnownServer {
        labels: server.labels().clone(),
        spec: server.spec.clone(),
        leaving,
        databases: on.count,
        tenancy: match (on.own || own, on.others || others) {
            _ if rows.is_own_of_another(&name, tenant) => Tenancy::Others,
            (_, true) => Tenancy::Shared,
            (true, false) => Tenancy::Alone,
            (false, false) => Tenancy::Free,
        },
        open: context.servers.is_usable(&name),
        // One that we have let go of is not looked at any more, however long somebody else holds its object.
        looked_at: context.servers.is_looked_at(&name) || leaving && finalize::is_unguarded(server),
        trouble: ready.filter(|ready| ready.status != "True").map(|ready| ready.message.clone()),
        name,
    }
}
