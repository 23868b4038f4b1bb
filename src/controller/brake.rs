//! The deletion brake of each server: what would be released or removed beyond what people do on purpose waits for a word.
//!
//! Releases are counted from the marker rows, by the server's own clock, and tenants by the objects that are being deleted:
//! neither a restart nor a new leader forgets any. Whoever finds too many engages the brake of the server ([`Brakes`]);
//! its own turn writes condition and nonce into its status, which holds for later processes, and lets it go when it was
//! answered and things are calm. Tenants' namespaces wait with their databases: it all still runs.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Api;
use kube::{Resource, ResourceExt};
use rand::RngExt;
use tokio::sync::OwnedMutexGuard;

use super::apply::ApplyError;
use super::context::Context;
use super::database::refusal;
use super::object::{Key, Kind};
use super::publish;
use super::queue::Lane;
use crate::api::condition::{Summary, reason};
use crate::api::server_database::DatabasePhase;
use crate::api::{DatabaseServer, ServerDatabase, Tenant, TenantDatabase, labels, names};
use crate::postgres::execute::Session;
use crate::postgres::observe;
use crate::resilience::brake::{self, Pace, Standing, Verdict};

/// Deletions count for so long.
pub const WINDOW: Duration = Duration::from_mins(10);
/// What an answer begins with, before the nonce.
const PROCEED: &str = "proceed-";

/// An engaged brake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engaged {
    /// Its nonce.
    pub nonce: String,
    /// What it stopped, and how to go on.
    pub message: String,
}

/// The brakes that this process engaged.
#[derive(Debug, Default)]
pub struct Brakes {
    engaged: Mutex<HashMap<String, Engaged>>,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// What the server's status says of its brake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    /// What it said before.
    AsBefore,
    /// This.
    Engaged(Engaged),
    /// Nothing any more.
    Over,
}

impl Brakes {
    /// Releases on one server are counted one after the other: two at once would both see room for one.
    pub async fn turn(&self, server: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(server.to_owned()).or_default())
        };
        turn.lock_owned().await
    }

    fn engaged(&self, server: &str) -> Option<Engaged> {
        self.engaged.lock().unwrap_or_else(PoisonError::into_inner).get(server).cloned()
    }

    fn engage(&self, server: &str, engaged: Engaged) {
        self.engaged.lock().unwrap_or_else(PoisonError::into_inner).insert(server.to_owned(), engaged);
    }

    /// The brake is over, or the server gone.
    pub fn forget(&self, server: &str) {
        self.engaged.lock().unwrap_or_else(PoisonError::into_inner).remove(server);
    }
}

/// Whether one database more may be released or removed on the server, in the session that is to do it.
pub async fn admits(context: &Context, server: &str, session: &mut Session<'_>) -> Result<(), Summary> {
    let read = observe::pace(session.reader(), WINDOW).await;
    let (recent, all) = read.map_err(|error| refusal::of_observe(&error))?;
    let next = Pace { recent: recent.saturating_add(1), all };
    let why =
        || format!("{} of {all} databases on the server would have been released or removed", next.recent);
    check(context, server, next, why).await
}

/// Whether the tenant's namespace may be deleted. One that has no database waits for nobody.
pub async fn admits_tenant(context: &Context, tenant: &Tenant) -> Result<Result<(), Summary>, ApplyError> {
    let namespace = names::tenant_namespace(&tenant.name_any());
    // One that has no status yet may be in use as well as any.
    let bound =
        |database: &ServerDatabase| database.spec.claim_ref.namespace == namespace && is_bound(database);
    let databases: Vec<ServerDatabase> = context.valid_all();
    let servers = databases.into_iter().filter(bound).map(|database| database.spec.server_ref.name);
    let servers: BTreeSet<String> = servers.collect();
    if servers.is_empty() {
        return Ok(Ok(()));
    }
    let going = terminating_crd(context).await?;
    let (pace, why) = if let Some(crd) = going {
        // As good as all of them are deleted.
        (Pace { recent: u32::MAX, all: 0 }, format!("CRD {crd} is being deleted"))
    } else {
        let pace = tenants(context);
        (pace, format!("{} of {} tenants are being deleted", pace.recent, pace.all))
    };
    for server in servers {
        if let Err(summary) = check(context, &server, pace, || why.clone()).await {
            return Ok(Err(summary));
        }
    }
    Ok(Ok(()))
}

/// How many tenants are being deleted, of how many.
fn tenants(context: &Context) -> Pace {
    let all: Vec<Tenant> = context.valid_all();
    let times =
        all.iter().filter_map(|tenant| Some(tenant.metadata.deletion_timestamp.as_ref()?.0.as_second()));
    let recent = brake::recent(times, context.now().as_second(), WINDOW);
    Pace { recent, all: u32::try_from(all.len()).unwrap_or(u32::MAX) }
}

/// A CRD of ours that is going: it makes every object of its kind look deleted.
async fn terminating_crd(context: &Context) -> Result<Option<String>, ApplyError> {
    let api: Api<CustomResourceDefinition> = Api::all(context.client.clone());
    for plural in [Tenant::plural(&()), TenantDatabase::plural(&())] {
        let name = format!("{plural}.{}", Tenant::group(&()));
        let live = api.get_opt(&name).await.map_err(|source| ApplyError::Api {
            verb: "get",
            kind: Kind::Tenant,
            key: Key::cluster(&name),
            source,
        })?;
        if live.is_some_and(|crd| crd.metadata.deletion_timestamp.is_some()) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

async fn check(
    context: &Context,
    name: &str,
    next: Pace,
    why: impl FnOnce() -> String,
) -> Result<(), Summary> {
    let Some(server) = context.valid::<DatabaseServer>(&Key::cluster(name)) else { return Ok(()) };
    let nonce = nonce(context, &server);
    match brake::decide(context.config.brake, standing(&server, nonce.as_deref()), next) {
        Verdict::Go => Ok(()),
        Verdict::Hold => {
            let nonce = nonce.unwrap_or_default();
            Err(held(message(name, &nonce, "too much was being deleted at once")))
        }
        Verdict::Engage => {
            let nonce = context.random(|random| format!("{:08x}", random.random::<u32>()));
            let message = message(name, &nonce, &format!("within 10 minutes {}", why()));
            tracing::warn!(
                server = name,
                brake.nonce = nonce,
                reason = message,
                "engaged the deletion brake"
            );
            let about = server.object_ref(&());
            publish::warn(context, &about, reason::DELETION_BRAKE, "Hold", message.clone()).await;
            context.brakes.engage(name, Engaged { nonce, message: message.clone() });
            context.enqueue(Kind::DatabaseServer, &Key::cluster(name), Lane::Urgent);
            Err(held(message))
        }
    }
}

fn held(message: String) -> Summary {
    Summary::Stalled { reason: reason::DELETION_BRAKE, message }
}

fn message(server: &str, nonce: &str, why: &str) -> String {
    format!(
        "{why}: nothing more is released or removed on DatabaseServer {server}, and all of it still works; if it is meant: \
         kubectl annotate dbs {server} --overwrite {}={PROCEED}{nonce}",
        labels::DELETION_BRAKE
    )
}

/// Nonce of the server's brake, if it is engaged: by this process, or by an earlier one.
fn nonce(context: &Context, server: &DatabaseServer) -> Option<String> {
    let engaged = context.brakes.engaged(&server.name_any()).map(|engaged| engaged.nonce);
    engaged.or_else(|| server.status.as_ref()?.deletion_brake.clone())
}

fn standing<'a>(server: &'a DatabaseServer, nonce: Option<&'a str>) -> Standing<'a> {
    let said = server.annotations().get(labels::DELETION_BRAKE);
    Standing { nonce, answer: said.and_then(|said| said.strip_prefix(PROCEED)) }
}

/// Whether the server's turn has to count what was released.
pub fn is_engaged(context: &Context, server: &str) -> bool {
    let server: Option<DatabaseServer> = context.valid(&Key::cluster(server));
    server.is_some_and(|server| nonce(context, &server).is_some())
}

/// What the status of the server has to say. `recent` are the databases that were released there, of how many.
pub fn stand(context: &Context, server: &DatabaseServer, recent: Option<(u32, u32)>) -> Stand {
    let name = server.name_any();
    let engaged = context.brakes.engaged(&name);
    let nonce = nonce(context, server);
    let standing = standing(server, nonce.as_deref());
    let waiting = waiting(context, &name);
    let is_over = |pace| brake::is_over(context.config.brake, standing, pace, waiting);
    if recent.is_some_and(|(recent, all)| is_over(Pace { recent, all })) {
        context.brakes.forget(&name);
        return Stand::Over;
    }
    engaged.map_or(Stand::AsBefore, Stand::Engaged)
}

/// How many databases of the server will be released as soon as they may be: their claim or their tenant is gone or going.
fn waiting(context: &Context, server: &str) -> usize {
    let is_going = |database: &ServerDatabase| {
        let claim = &database.spec.claim_ref;
        let claimed = context.stores.tenant_databases.get(&Key::namespaced(&claim.namespace, &claim.name));
        let tenant = names::tenant_of_namespace(&claim.namespace);
        let tenant = tenant.and_then(|tenant| context.stores.tenants.get(&Key::cluster(tenant)));
        claimed.is_none_or(|claim| claim.meta().deletion_timestamp.is_some())
            || tenant.is_none_or(|tenant| tenant.meta().deletion_timestamp.is_some())
    };
    let databases: Vec<ServerDatabase> = context.valid_all();
    let on = databases.iter().filter(|database| database.spec.server_ref.name == server);
    on.filter(|database| is_bound(database) && is_going(database)).count()
}

fn is_bound(database: &ServerDatabase) -> bool {
    let phase = database.status.as_ref().and_then(|status| status.phase);
    !matches!(phase, Some(DatabasePhase::Released | DatabasePhase::Tombstoned | DatabasePhase::Dropping))
}
