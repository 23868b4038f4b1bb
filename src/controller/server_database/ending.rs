//! Step 4 for a tombstone whose grace has ended: the drop, and what is left afterwards.
//!
//! The tombstone's row is read again in the session that drops; the statements ask for the same once more.

use super::validate::asked;
use crate::api::ServerDatabase;
use crate::api::condition::{Summary, reason};
use crate::api::names::PhysicalName;
use crate::controller::database::dropping;
use crate::controller::database::plan::Plan;
use crate::controller::database::refusal;
use crate::postgres::execute::Session;
use crate::postgres::facts::{Facts, Marker, Phase};
use crate::postgres::observe;
use crate::postgres::tombstone::OwnRole;

/// What is done to drop the database, or to remove what is left of it, and what is to be said of what stays.
pub async fn planned(
    session: &mut Session<'_>,
    database: &ServerDatabase,
    physical: &PhysicalName,
    marker: &Marker,
    facts: &Facts,
) -> Result<(Plan, Option<Summary>), Summary> {
    if marker.phase == Phase::Dropping && !dropping::is_there(physical, facts) {
        return remains(session, physical, marker, facts).await;
    }
    let tombstone = observe::tombstone(session.reader(), physical.as_str()).await;
    let tombstone = tombstone.map_err(|error| refusal::of_observe(&error))?;
    let warrant = dropping::warrant(physical, marker, tombstone.as_ref(), asked(database));
    let warrant = warrant.map_err(|_| {
        let message = "the tombstone changed while it was looked at; it is looked at again".to_owned();
        Summary::Progressing { reason: reason::PROGRESSING, message }
    })?;
    let archive = &warrant.proof.archive;
    tracing::warn!(
        target: "audit",
        { database.name = physical.as_str(), archive.object = archive.object, archive.sha256 = archive.sha256 },
        "drops a database whose archive is verified and whose grace has ended"
    );
    let plan = dropping::drop_database(&warrant, facts);
    plan.map(|plan| (plan, None)).map_err(|conflict| refusal::of_conflict(&conflict))
}

/// What is done about the roles and the row of a database that was dropped.
pub async fn remains(
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
            "the database is dropped, and roles of it are still needed, which is for an admin to end: {}",
            remains.kept_by.join("; ")
        );
        Summary::Progressing { reason: reason::ROLES_IN_USE, message }
    });
    Ok((remains.plan, kept))
}
