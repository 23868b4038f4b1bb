//! ServerDatabase: the phase of a database, its release when its claim is gone, and its purge and end when an admin asks for
//! them.
//!
//! *fetch* reads the marker row, the truth; *validate* decides (pure) whether the database stays as it is, whether
//! its object has to be corrected, or what has to be done to it; then apply or execute ([`act`]), and *status*.

pub mod act;
mod admission;
pub mod archive;
pub mod attempt;
pub mod copies;
pub mod ending;
pub mod evidence;
pub mod fetch;
mod holder;
pub mod job;
pub mod line;
pub mod obstacle;
pub mod place;
pub mod reread;
pub mod status;
pub mod swept;
pub mod validate;
pub mod volume;

use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;

use self::act::Act;
use self::archive::Archiving;
use self::fetch::Fetched;
use self::reread::Rereading;
use self::validate::Verdict;
use super::apply::ApplyError;
use super::context::Context;
use super::database::{project, protection};
use super::object::{Key, Kind};
use super::outcome::Next;
use super::publish::{patch_metadata, patch_spec, publish};
use super::queue::Lane;
use super::worker::{Reconciler, key_of};
use crate::api::ServerDatabase;
use crate::api::condition::{Summary, reason};
use crate::api::labels::{PROTECTED, PURGE_ASKED};
use crate::api::server_database::Management;
use crate::postgres::facts::Marker;

/// The server databases' controller.
pub struct Controller;

impl Reconciler for Controller {
    type Kind = ServerDatabase;
    const WORKERS: usize = 4;

    async fn reconcile(context: &Context, database: ServerDatabase) -> Result<Next, ApplyError> {
        if database.metadata.deletion_timestamp.is_some() {
            // It comes back when it is gone: the server's turn projects it again.
            return Ok(Next::Resync);
        }
        if !context.servers.is_looked_at(&database.spec.server_ref.name)
            && context.stores.database_servers.get(&Key::cluster(&database.spec.server_ref.name)).is_some()
        {
            // This process has just started: the server's first look wakes every database on it.
            return Ok(Next::Resync);
        }
        let mut fetched = fetch::fetch(context, database).await?;
        let mut trouble = None;
        match archive::step(context, &fetched).await? {
            Archiving::Idle => {}
            Archiving::Recorded => return Ok(Next::After(Duration::ZERO)),
            Archiving::Waiting(awaited) => fetched.archiving = Some(awaited),
            // The database itself does not wait for that.
            Archiving::Failed(summary) => trouble = Some(summary),
        }
        let mut again = fetched.archiving.as_ref().and_then(|awaited| awaited.again);
        match reread::step(context, &fetched).await? {
            Rereading::Idle => {}
            Rereading::Done(reread) => fetched.reread = Some(reread),
            Rereading::Waiting(summary, wait) => (fetched.obstacle, again) = (Some(summary), Some(wait)),
        }
        let mut problem = validate::objection(&fetched).or_else(|| trouble.clone());
        // A person has to change something first, and is seen when it happens.
        let mut settled =
            fetched.marker.is_ok() && problem.as_ref().is_none_or(|it| matches!(it, Summary::Stalled { .. }));
        // Nobody tells us when a database that was to be there is made.
        settled &= !fetched.is_missing() && trouble.is_none();
        let server = &fetched.database.spec.server_ref.name;
        let mut is_closed = true;
        match (validate::validate(&fetched), &fetched.marker) {
            (Verdict::Act(Act::Close), Ok(Some(row))) => {
                if let Err(summary) = act::act(context, &fetched, server, row, Act::Close).await {
                    (problem, settled, is_closed) = (Some(summary), false, false);
                }
                mark_protection(context, &fetched.database, row).await?;
            }
            (Verdict::Announce, _) => {
                let wait = tell(context, &fetched, problem.as_ref(), true).await?;
                return Ok(Next::After(wait.unwrap_or_default()));
            }
            (Verdict::Purge, Ok(Some(row))) => {
                let asked = json!({PURGE_ASKED: row.generation.to_string()});
                let purge = json!({"purge": {"generation": row.generation}});
                patch_spec(context, &fetched.database, (asked, purge)).await?;
                return Ok(Next::After(Duration::ZERO));
            }
            (Verdict::Remove, _) => return remove(context, &fetched.database).await,
            // Nothing of an attempt outlasts its database.
            (Verdict::Act(Act::Drop), _) if trouble.is_some() => {}
            (Verdict::Act(act), Ok(Some(row))) => match act::act(context, &fetched, server, row, act).await {
                // What has become of it is read from the row, as any other time.
                Ok(()) => return Ok(Next::After(Duration::ZERO)),
                // What a brake holds is called when it is let go.
                Err(summary) => (problem, settled) = (Some(summary.clone()), is_held(&summary)),
            },
            (Verdict::Show, Ok(Some(row))) => {
                let row = as_asked(row, &fetched.database);
                context.gate.apply(&project::declared(&row, server, protection::of(context, &row))?).await?;
            }
            // Its claimRef is an admin's to set, so the object is not declared; what protects it is.
            (Verdict::Keep, Ok(Some(row))) => mark_protection(context, &fetched.database, row).await?,
            _ => {}
        }
        let copies = copies::release(context, &fetched).await?;
        if let Err(summary) = &copies {
            (problem, settled) = (Some(summary.clone()), is_held(summary));
        }
        let key = key_of(&fetched.database);
        let held_back = context.servers.holds_back(server, Kind::ServerDatabase, &key);
        if let Some(next) = held_back.filter(|_| !settled) {
            return Ok(next);
        }
        tell(context, &fetched, problem.as_ref(), is_closed).await?;
        // A server that cannot be used wakes what is on it when it can; what went wrong with a copy was another one's.
        let rested = settled || copies.is_ok() && !context.servers.is_usable(server);
        Ok(if rested { Next::Resync } else { Next::Backoff }.or_sooner(again))
    }
}

/// Writes the status. Says when to come back if it was not worth a write now.
async fn tell(
    context: &Context,
    fetched: &Fetched,
    problem: Option<&Summary>,
    is_closed: bool,
) -> Result<Option<Duration>, ApplyError> {
    let row = fetched.marker.as_ref().ok().and_then(Option::as_ref);
    let conflict =
        row.and_then(|row| context.inventory.rows().conflict(&row.physical_name, &row.tenant_uid, &row.name));
    let trouble = problem.or(fetched.rival.as_ref()).or(conflict.as_ref());
    let status = status::status(fetched, trouble, is_closed, context.now());
    publish(context, &fetched.database, status).await
}

/// Deletes the object of a database that was dropped. The server's next look forgets it too.
async fn remove(context: &Context, database: &ServerDatabase) -> Result<Next, ApplyError> {
    let uid = database.uid().unwrap_or_default();
    if database.labels().contains_key(PROTECTED) {
        // There is nothing left to protect, and admission would refuse the deletion.
        patch_metadata(context, database, json!({"labels": {PROTECTED: null}})).await?;
    }
    context.gate.delete(Kind::ServerDatabase, &key_of(database), &uid).await?;
    context.enqueue(Kind::DatabaseServer, &Key::cluster(&database.spec.server_ref.name), Lane::Urgent);
    Ok(Next::Never)
}

/// The row with what the object already asks for beyond it: an observed database that is to be adopted. The claim's own turn
/// does it and writes the row.
fn as_asked(row: &Marker, database: &ServerDatabase) -> Marker {
    let mut row = row.clone();
    let asked = database.spec.adoption();
    if let (Some(adopted), Some(Management::Adopt)) = (&mut row.adopted, asked) {
        adopted.management = Management::Adopt;
    }
    row
}

/// Mirrors whether the tenant is protected from deletion into the label by which admission refuses the object's.
async fn mark_protection(
    context: &Context,
    database: &ServerDatabase,
    row: &Marker,
) -> Result<(), ApplyError> {
    let marked = database.labels().get(PROTECTED).map(String::as_str);
    let wanted = protection::of(context, row).then_some("true");
    if marked == wanted {
        return Ok(());
    }
    patch_metadata(context, database, json!({"labels": {PROTECTED: wanted}})).await
}

fn is_held(summary: &Summary) -> bool {
    matches!(summary, Summary::Stalled { reason: reason::DELETION_BRAKE, .. })
}
