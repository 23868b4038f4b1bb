//! The deletion brake of each server: what would be released or removed beyond what people do on purpose waits for a word.
//!
//! Releases are counted from the marker rows, by the server's own clock, and tenants by the objects that are being deleted
//! and by the databases of those that are gone: neither a restart nor a new leader forgets any. Whoever finds too many
//! engages the brake of the server ([`Brakes`]); its own turn writes condition and nonce into its status, which holds for
//! later processes, and lets it go when it was answered and things are calm. Tenants' namespaces wait with their
//! databases: it all still runs. A brake that was cancelled lets go of the Tenants alone (`tenant::finalize`): what is theirs stays.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use rand::RngExt;
use tokio::sync::OwnedMutexGuard;

use super::apply::ApplyError;
use super::cancelled;
use super::context::Context;
use super::database::refusal;
use super::former;
use super::object::{Key, Kind};
use super::publish;
use super::queue::Lane;
use super::server_database::validate;
use crate::api::condition::{self, Summary, reason};
use crate::api::server_database::{DatabasePhase, ServerDatabaseStatus};
use crate::api::{DatabaseServer, ServerDatabase, Tenant, labels, names};
use crate::postgres::execute::Session;
use crate::postgres::facts::Marker;
use crate::postgres::observe::{self, Coming};
use crate::resilience::brake::{self, Answer, CANCEL, PROCEED, Pace, Standing, Verdict};

/// Deletions count for so long.
pub const WINDOW: Duration = Duration::from_mins(10);

/// An engaged brake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engaged {
    /// Its nonce.
    pub nonce: String,
    /// What it stopped, and how to go on.
    pub message: String,
}

/// The brakes that this process engaged, and the answers that it has seen.
#[derive(Debug, Default)]
pub struct Brakes {
    engaged: Mutex<HashMap<String, Engaged>>,
    answered: Mutex<HashMap<String, (String, Timestamp)>>,
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

    /// Engages the server's brake, unless somebody else just has: it has one nonce. Returns whether it did.
    fn engage(&self, server: &str, engaged: &Engaged) -> bool {
        let mut all = self.engaged.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !all.contains_key(server);
        all.entry(server.to_owned()).or_insert_with(|| engaged.clone());
        is_new
    }

    /// Since when this process has known the answer to that nonce.
    fn answered_since(&self, server: &str, nonce: &str, now: Timestamp) -> Timestamp {
        let mut all = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(server) {
            Some((known, since)) if known == nonce => *since,
            _ => {
                all.insert(server.to_owned(), (nonce.to_owned(), now));
                now
            }
        }
    }

    /// The brake is over, or the server gone.
    pub fn forget(&self, server: &str) {
        self.engaged.lock().unwrap_or_else(PoisonError::into_inner).remove(server);
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).remove(server);
    }
}

/// Whether the database of that row may be released or removed on the server, in the session that is to do it. `coming` is what of the
/// same kind is about to be: of many that a server knows at once, none is the first.
pub async fn admits(
    context: &Context,
    server: &str,
    session: &mut Session<'_>,
    row: &Marker,
    coming: Coming,
) -> Result<(), Summary> {
    let held_up = held_up(context, server);
    let read = observe::pace(session.reader(), WINDOW, Some(&row.physical_name), coming, &held_up).await;
    let (recent, all) = read.map_err(|error| refusal::of_observe(&error))?;
    let next = Pace { recent: recent.saturating_add(1), all };
    let why =
        || format!("{} of {all} databases on the server would have been released or removed", next.recent);
    check(context, server, next, why).await
}

/// Whether no brake of the server holds what was asked about before, and was meant: it is not counted again.
pub async fn is_free(context: &Context, server: &str) -> Result<(), Summary> {
    check(context, server, Pace::default(), String::new).await
}

/// Whether somebody has answered the server's brake that what it stopped is meant.
pub fn is_meant(context: &Context, server: &str) -> bool {
    let server: Option<DatabaseServer> = context.valid(&Key::cluster(server));
    server.is_some_and(|server| {
        let nonce = nonce(context, &server);
        let standing = standing(&server, nonce.as_deref());
        standing.is_answered() && !standing.is_cancelled()
    })
}

/// Databases of the server whose end waits for somebody, as their objects say: counted, they would engage the brake for whatever
/// else is removed, for as long as nobody comes.
pub fn held_up(context: &Context, server: &str) -> Vec<String> {
    let databases: Vec<ServerDatabase> = context.valid_all();
    databases
        .into_iter()
        .filter(|database| database.spec.server_ref.name == server && is_held_up(database))
        .map(|database| database.spec.physical_name)
        .collect()
}

fn is_held_up(database: &ServerDatabase) -> bool {
    let lasting =
        [reason::DELETION_PROTECTED, reason::CLAIM_CONFLICT, reason::ARCHIVE_MISSING, reason::ROLES_IN_USE];
    let status = database.status.as_ref();
    let ready = status.and_then(|status| condition::find(&status.conditions, condition::READY));
    ready.is_some_and(|ready| ready.status == "False" && lasting.contains(&ready.reason.as_str()))
        || status.is_some_and(|status| {
            status.phase.is_some_and(DatabasePhase::is_leaving)
                && validate::is_late(database, droppable(status))
        })
}

fn droppable(status: &ServerDatabaseStatus) -> Option<Timestamp> {
    status.droppable_when.as_ref().map(|when| when.0)
}

/// Whether somebody has said that what the server's brake stopped is not meant.
pub fn is_cancelled(context: &Context, server: &str) -> bool {
    let server: Option<DatabaseServer> = context.valid(&Key::cluster(server));
    server.is_some_and(|server| cancels(context, &server))
}

/// The same of the server as it was read.
pub fn cancels(context: &Context, server: &DatabaseServer) -> bool {
    standing(server, nonce(context, server).as_deref()).is_cancelled()
}

/// Whether the namespace was let go: its databases are bound, and wait for nothing.
pub fn is_let_go(context: &Context, namespace: &str) -> bool {
    let namespace = context.gate.child(Kind::Namespace, &Key::cluster(namespace));
    namespace.is_some_and(|namespace| former::is_let_go(&namespace))
}

/// Has the servers that the tenant has databases on look at their brakes: something that one of them held up is settled.
pub fn look_again(context: &Context, tenant: &Tenant) {
    for server in servers(context, tenant, &context.valid_all()) {
        context.enqueue(Kind::DatabaseServer, &Key::cluster(&server), Lane::Urgent);
    }
}

/// Whether the tenant has databases on that server.
pub fn is_on(context: &Context, tenant: &Tenant, server: &str) -> bool {
    servers(context, tenant, &context.valid_all()).contains(server)
}

/// The servers that the tenant has databases on: by the objects, which anybody may have deleted, and by the rows.
pub fn servers(context: &Context, tenant: &Tenant, databases: &[ServerDatabase]) -> BTreeSet<String> {
    let namespace = names::tenant_namespace(&tenant.name_any());
    // One that has no status yet may be in use as well as any.
    let bound =
        |database: &&ServerDatabase| database.spec.claim_ref.namespace == namespace && is_bound(database);
    let shown = databases.iter().filter(bound).map(|database| database.spec.server_ref.name.clone());
    let rows = context.inventory.rows();
    shown.chain(rows.servers_of_tenant(&tenant.uid().unwrap_or_default()).cloned()).collect()
}

/// How many tenants are being deleted, of how many: those that are on their way, however long, those that went lately, and
/// those that are gone but for their databases. Whose namespace was `let_go` is not deleted.
pub fn tenants(
    all: &[Tenant],
    databases: &[ServerDatabase],
    let_go: impl Fn(&str) -> bool,
    now: i64,
) -> Pace {
    let stays = |tenant: &&Tenant| let_go(&names::tenant_namespace(&tenant.name_any()));
    let going = all.iter().filter(|tenant| !stays(tenant)).filter(|tenant| {
        let Some(since) = &tenant.metadata.deletion_timestamp else { return false };
        let is_ours = tenant.finalizers().iter().any(|finalizer| finalizer == labels::TENANT_FINALIZER);
        is_ours || brake::recent([since.0.as_second()], now, WINDOW) > 0
    });
    let living: HashSet<String> =
        all.iter().map(|tenant| names::tenant_namespace(&tenant.name_any())).collect();
    let left = databases.iter().filter(|database| is_bound(database)).map(|it| &it.spec.claim_ref.namespace);
    let gone: HashSet<&String> = left
        .filter(|namespace| names::tenant_of_namespace(namespace).is_some() && !living.contains(*namespace))
        .filter(|namespace| !let_go(namespace))
        .collect();
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Pace { recent: count(going.count() + gone.len()), all: count(all.len() + gone.len()) }
}

/// Whether the next deletion may be done by the server's brake, which `next` counts already.
pub async fn check(
    context: &Context,
    name: &str,
    next: Pace,
    why: impl FnOnce() -> String,
) -> Result<(), Summary> {
    let Some(server) = context.valid::<DatabaseServer>(&Key::cluster(name)) else {
        return match brake::decide(context.config.brake, Standing::default(), next) {
            Verdict::Go => Ok(()),
            // There is nobody to answer for it.
            Verdict::Hold | Verdict::Engage | Verdict::Cancel => Err(held(format!(
                "within 10 minutes {}: nothing more is released or removed while DatabaseServer {name} is not there to answer \
                 the deletion brake on; create it again",
                why()
            ))),
        };
    };
    let nonce = nonce(context, &server);
    match brake::decide(context.config.brake, standing(&server, nonce.as_deref()), next) {
        Verdict::Go => Ok(()),
        Verdict::Hold => {
            let nonce = nonce.unwrap_or_default();
            Err(held(message(name, &nonce, "too much was being deleted at once")))
        }
        Verdict::Cancel => {
            let message = format!(
                "the deletion brake of DatabaseServer {name} was cancelled: nothing is released or removed there until it is over, in 10 \
                 minutes at the latest; what is still to go then is asked about again"
            );
            Err(held(message))
        }
        Verdict::Engage => {
            let nonce = context.random(|random| format!("{:08x}", random.random::<u32>()));
            let message = message(name, &nonce, &format!("within 10 minutes {}", why()));
            let engaged = Engaged { nonce: nonce.clone(), message: message.clone() };
            if !context.brakes.engage(name, &engaged) {
                let engaged = context.brakes.engaged(name).unwrap_or(engaged);
                return Err(held(engaged.message));
            }
            tracing::warn!(
                server = name,
                brake.nonce = nonce,
                reason = message,
                "engaged the deletion brake"
            );
            let about = server.object_ref(&());
            publish::warn(context, &about, reason::DELETION_BRAKE, "Hold", message.clone()).await;
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
         kubectl annotate dbs {server} --overwrite {}={PROCEED}{nonce}; if it is not, {CANCEL}{nonce} instead, which lets go of the \
         Tenants among it, whose deletion nobody can take back, and keeps their namespaces",
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
    Standing { nonce, answer: said.and_then(|said| Answer::parse(said)) }
}

/// Whether the server's turn has to count what was released.
pub fn is_engaged(context: &Context, server: &str) -> bool {
    let server: Option<DatabaseServer> = context.valid(&Key::cluster(server));
    server.is_some_and(|server| nonce(context, &server).is_some())
}

/// What the status of the server has to say. `recent` are the databases that were released there, of how many. A brake that was
/// cancelled stays until all the tenants have gone that it lets go.
pub async fn stand(
    context: &Context,
    server: &DatabaseServer,
    recent: Option<(u32, u32)>,
) -> Result<Stand, ApplyError> {
    let name = server.name_any();
    let engaged = context.brakes.engaged(&name);
    let nonce = nonce(context, server);
    let standing = standing(server, nonce.as_deref());
    let now = context.now();
    let answered = nonce.as_deref().filter(|_| standing.is_answered());
    let answered = answered.map(|nonce| context.brakes.answered_since(&name, nonce, now));
    let answered = answered.map(|since| now.duration_since(since).unsigned_abs());
    let waiting = waiting(context, &name);
    // Of a server that cannot be asked nobody knows that things are calm. The answer's time runs out all the same.
    let (recent, all) = recent.unwrap_or((u32::MAX, 0));
    let is_over = brake::is_over(context.config.brake, answered, WINDOW, Pace { recent, all }, waiting);
    if is_over && !cancelled::owes(context, &name).await? {
        context.brakes.forget(&name);
        return Ok(Stand::Over);
    }
    Ok(engaged.map_or(Stand::AsBefore, Stand::Engaged))
}

/// How many databases of the server will be released or renamed as soon as they may be: their claim or their tenant is gone
/// or going, or a purge is asked for.
fn waiting(context: &Context, server: &str) -> usize {
    let is_going = |database: &ServerDatabase| {
        let claim = &database.spec.claim_ref;
        let claimed = context.stores.tenant_databases.get(&Key::namespaced(&claim.namespace, &claim.name));
        let tenant = names::tenant_of_namespace(&claim.namespace);
        let tenant = tenant.and_then(|tenant| context.stores.tenants.get(&Key::cluster(tenant)));
        let goes = || tenant.is_none_or(|tenant| tenant.meta().deletion_timestamp.is_some());
        claimed.is_none_or(|claim| claim.meta().deletion_timestamp.is_some())
            || (!is_let_go(context, &claim.namespace) && goes())
    };
    let databases: Vec<ServerDatabase> = context.valid_all();
    let on = databases.iter().filter(|database| database.spec.server_ref.name == server);
    on.filter(|database| if is_bound(database) { is_going(database) } else { is_to_be_purged(database) })
        .count()
}

fn is_to_be_purged(database: &ServerDatabase) -> bool {
    let status = database.status.as_ref();
    let is_released = status.is_some_and(|status| status.phase == Some(DatabasePhase::Released));
    let named = database.spec.purge.as_ref().map(|purge| purge.generation);
    is_released && named.is_some() && named == status.and_then(|status| status.generation)
}

fn is_bound(database: &ServerDatabase) -> bool {
    let phase = database.status.as_ref().and_then(|status| status.phase);
    phase != Some(DatabasePhase::Released) && !phase.is_some_and(DatabasePhase::is_leaving)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::server_database::{ClaimRef, ServerDatabaseSpec};

    fn tenant(name: &str, deleted: Option<i64>, finalizers: &[&str]) -> Tenant {
        let mut tenant =
            Tenant::new(name, serde_json::from_str(r#"{"planRef": {"name": "small"}}"#).unwrap());
        tenant.metadata.deletion_timestamp = deleted.map(|at| Time(Timestamp::from_second(at).unwrap()));
        tenant.metadata.finalizers = Some(finalizers.iter().map(|&it| it.to_owned()).collect());
        tenant
    }

    fn database(namespace: &str, phase: DatabasePhase) -> ServerDatabase {
        let mut database = ServerDatabase::new("t-i-app", ServerDatabaseSpec::default());
        database.spec.claim_ref = ClaimRef { namespace: namespace.into(), ..ClaimRef::default() };
        database.status =
            Some(ServerDatabaseStatus { phase: Some(phase), ..ServerDatabaseStatus::default() });
        database
    }

    #[test]
    fn what_waits_for_somebody_does_not_come() {
        let says = |reason: &str| {
            let mut it = database("tenant-acme", DatabasePhase::Tombstoned);
            let summary = Summary::Stalled { reason: reason::PROGRESSING, message: String::new() };
            let conditions = &mut it.status.as_mut().unwrap().conditions;
            summary.write(conditions, 1, Timestamp::UNIX_EPOCH);
            for condition in conditions.iter_mut() {
                condition.reason = reason.into();
            }
            it
        };
        for reason in ["DeletionProtected", "ClaimConflict", "ArchiveMissing", "RolesInUse"] {
            assert!(is_held_up(&says(reason)), "{reason}");
        }
        for reason in ["DeletionBrake", "Progressing", "RereadingArchive"] {
            assert!(!is_held_up(&says(reason)), "{reason}");
        }
        assert!(!is_held_up(&database("tenant-acme", DatabasePhase::Tombstoned)));
    }

    /// Its object asks for nothing then, and says so.
    #[test]
    fn a_tombstone_whose_object_was_made_after_its_grace_waits_for_somebody() {
        let late = |phase, made: i64, grace: Option<i64>| {
            let time = |second| Time(Timestamp::from_second(second).unwrap());
            let mut it = database("tenant-acme", phase);
            it.metadata.creation_timestamp = Some(time(made));
            it.status.as_mut().unwrap().droppable_when = grace.map(time);
            is_held_up(&it)
        };
        for phase in [DatabasePhase::Tombstoned, DatabasePhase::Dropping] {
            let found = [(101, Some(100)), (100, Some(100)), (101, None)]
                .map(|(made, grace)| late(phase, made, grace));
            assert_eq!(found, [true, false, false], "{phase:?}");
        }
        assert!(!late(DatabasePhase::Released, 101, Some(100)));
    }

    #[test]
    fn a_tenant_counts_until_it_is_gone_with_its_databases() {
        const NOW: i64 = 1_800_000_000;
        let long_ago = Some(NOW - 36_000);
        let all = [
            tenant("living", None, &[labels::TENANT_FINALIZER]),
            tenant("held", long_ago, &[labels::TENANT_FINALIZER]),
            tenant("done-lately", Some(NOW - 60), &["example.com/other"]),
            tenant("done", long_ago, &["example.com/other"]),
            tenant("let-go-lately", Some(NOW - 60), &["example.com/other"]),
        ];
        let databases = [
            database("tenant-living", DatabasePhase::Bound),
            database("tenant-gone", DatabasePhase::Bound),
            database("tenant-gone", DatabasePhase::Bound),
            database("tenant-released", DatabasePhase::Released),
            database("tenant-let-go", DatabasePhase::Bound),
            database("tenantry-system", DatabasePhase::Bound),
        ];
        let let_go = |namespace: &str| namespace.starts_with("tenant-let-go");
        assert_eq!(tenants(&all, &databases, let_go, NOW), Pace { recent: 3, all: 6 });
    }
}
