//! Step 4 for a tombstone whose grace has ended: the drop, and what is left afterwards.
//!
//! The tombstone's row is read again in the session that drops, and then, live, what its archive is kept in; the statements ask
//! for the same once more.

use super::fetch::Fetched;
use super::place;
use super::validate::asked;
use crate::api::condition::{Summary, reason};
use crate::api::names::PhysicalName;
use crate::controller::context::Context;
use crate::controller::database::dropping;
use crate::controller::database::plan::Plan;
use crate::controller::database::refusal;
use crate::controller::outcome;
use crate::postgres::execute::Session;
use crate::postgres::facts::{Facts, Marker};
use crate::postgres::observe;
use crate::postgres::quote::Ident;
use crate::postgres::tombstone::{self, OwnRole};

/// How many of those who can get in a message names.
const NAMED: usize = 4;

/// What is done to drop the database, or to remove what is left of it, and what is to be said of what stays.
pub async fn planned(
    context: &Context,
    session: &mut Session<'_>,
    fetched: &Fetched,
    physical: &PhysicalName,
    marker: &Marker,
    facts: &Facts,
) -> Result<(Plan, Option<Summary>), Summary> {
    if dropping::is_beyond_return(physical, marker, facts) {
        return finished(session, physical, marker, facts).await;
    }
    let tombstone = observe::tombstone(session.reader(), physical).await;
    let tombstone = tombstone.map_err(|error| refusal::of_observe(&error))?;
    let due = dropping::due(physical, marker, tombstone.as_ref(), asked(&fetched.database))
        .map_err(|_| changed())?;
    alone(session, physical, &tombstone::source(physical, marker)).await?;
    let live = place::of(context, due.proof.archive.place.as_ref()).await;
    let live = live.map_err(|error| outcome::summary(&error))?;
    if let Some(gone) = live.objection(&due.proof.archive, &marker.object_name()) {
        return Err(gone);
    }
    let warrant = due.warrant(live.live().as_ref(), fetched.reread.as_ref()).map_err(|_| changed())?;
    let archive = &warrant.proof().archive;
    tracing::warn!(
        target: "audit",
        { database.name = physical.as_str(), archive.object = archive.object, archive.sha256 = archive.sha256 },
        "drops a database whose archive is verified and whose grace has ended"
    );
    let plan = dropping::drop_database(&warrant, facts);
    plan.map(|plan| (plan, None)).map_err(|conflict| refusal::of_conflict(&conflict))
}

/// What is left to do for a drop that has gone so far that there is nothing to bring back.
pub async fn finished(
    session: &mut Session<'_>,
    physical: &PhysicalName,
    marker: &Marker,
    facts: &Facts,
) -> Result<(Plan, Option<Summary>), Summary> {
    if !dropping::is_beyond_return(physical, marker, facts) {
        return Err(changed());
    }
    if dropping::is_there(physical, facts) {
        let plan = dropping::drop_on(physical, marker, facts);
        return plan.map(|plan| (plan, None)).map_err(|conflict| refusal::of_conflict(&conflict));
    }
    remains(session, physical, marker, facts).await
}

/// Whether nobody can get into the database that the archive is of, or is in it. The statements ask for the same; this says who.
pub async fn alone(
    session: &mut Session<'_>,
    physical: &PhysicalName,
    source: &Ident,
) -> Result<(), Summary> {
    let insiders = observe::insiders(session.reader(), physical, source).await;
    let insiders = insiders.map_err(|error| refusal::of_observe(&error))?;
    if insiders.is_empty() {
        return Ok(());
    }
    let (named, more) = (insiders.iter().take(NAMED), insiders.len().saturating_sub(NAMED));
    let mut who = named.map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if more > 0 {
        who = format!("{who} and {more} more");
    }
    let message = format!(
        "what is written to the database now would be in no archive, so nothing is archived or dropped while somebody can get in: {who}; \
         refuse a login with ALTER ROLE … NOLOGIN or take back what lets it in, and end a session"
    );
    Err(Summary::Progressing { reason: reason::STILL_OPEN, message })
}

fn changed() -> Summary {
    let message = "the tombstone changed while it was looked at; it is looked at again".to_owned();
    Summary::Progressing { reason: reason::PROGRESSING, message }
}

/// What is done about the roles and the row of a database that was dropped.
async fn remains(
    session: &mut Session<'_>,
    physical: &PhysicalName,
    marker: &Marker,
    facts: &Facts,
) -> Result<(Plan, Option<Summary>), Summary> {
    let roles = OwnRole::of(marker, physical);
    let dependencies = observe::dependencies(session.reader(), &roles).await;
    let dependencies = dependencies.map_err(|error| refusal::of_observe(&error))?;
    let remains = dropping::remains(physical, marker, facts, &dependencies);
    let remains = remains.map_err(|conflict| refusal::of_conflict(&conflict))?;
    let kept = (!remains.kept_by.is_empty()).then(|| {
        let message = format!(
            "the database is dropped, and roles of it are still needed; what tenants have granted to a role that nothing else needs is taken \
             back, and the rest is for an admin to end: {}",
            remains.kept_by.join("; ")
        );
        Summary::Progressing { reason: reason::ROLES_IN_USE, message }
    });
    Ok((remains.plan, kept))
}
