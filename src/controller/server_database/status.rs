//! Step 5: what the database's status says. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::fetch::Fetched;
use super::validate::asked;
use crate::api::ServerDatabase;
use crate::api::condition::{Summary, reason};
use crate::api::server_database::{DatabasePhase, ServerDatabaseStatus};
use crate::controller::database::project;
use crate::postgres::facts::{Marker, Phase};

/// The status by the marker row, or by what kept us from it.
pub fn status(fetched: &Fetched, problem: Option<&Summary>, now: Timestamp) -> ServerDatabaseStatus {
    let Fetched { database, marker, tombstone, .. } = fetched;
    let droppable = tombstone.as_ref().and_then(|it| Timestamp::from_second(it.droppable_at).ok());
    let mut status = database.status.clone().unwrap_or_default();
    if let Ok(Some(marker)) = marker {
        status.phase = match marker.phase {
            Phase::Creating => None,
            Phase::Bound => Some(DatabasePhase::Bound),
            Phase::Released => Some(DatabasePhase::Released),
            Phase::Tombstoned => Some(DatabasePhase::Tombstoned),
            Phase::Dropping => Some(DatabasePhase::Dropping),
        };
        status.droppable_when = droppable.map(Time);
        status.generation = Some(marker.generation);
        status.tenant_uid = Some(marker.tenant_uid.clone());
    }
    let summary = match (problem, marker) {
        (Some(problem), _) | (None, Err(problem)) => problem.clone(),
        (None, Ok(Some(marker))) => described(fetched, marker, droppable),
        (None, Ok(None)) => nobodys(database),
    };
    summary.write(&mut status.conditions, database.metadata.generation.unwrap_or_default(), now);
    status
}

fn described(fetched: &Fetched, marker: &Marker, droppable: Option<Timestamp>) -> Summary {
    let claim = format!("TenantDatabase {}/{}", marker.claim.namespace, marker.claim.name);
    match marker.phase {
        Phase::Creating => {
            Summary::Progressing { reason: reason::PROGRESSING, message: format!("being made for {claim}") }
        }
        Phase::Bound => Summary::Ready { message: format!("bound to {claim}") },
        Phase::Released => {
            Summary::Ready { message: format!("released by {claim}: logins are refused, everything is kept") }
        }
        Phase::Tombstoned => {
            Summary::Progressing { reason: reason::TOMBSTONED, message: buried(fetched, marker, droppable) }
        }
        Phase::Dropping => {
            let proof = fetched.tombstone.as_ref().and_then(|tombstone| tombstone.proof(marker));
            let archive = proof.map(|proof| proof.archive).unwrap_or_default();
            let message = format!(
                "its grace has ended, and it is being dropped; its archive is {} (sha256 {})",
                archive.object, archive.sha256
            );
            Summary::Progressing { reason: reason::DROPPING, message }
        }
    }
}

/// What a tombstone waits for.
fn buried(fetched: &Fetched, marker: &Marker, droppable: Option<Timestamp>) -> String {
    let object = project::object_name(&marker.physical_name);
    let when = droppable.map(|when| when.to_string()).unwrap_or_default();
    let proof = fetched.tombstone.as_ref().and_then(|tombstone| tombstone.proof(marker));
    let Some(proof) = proof else {
        return format!(
            "renamed out of the way, everything is kept: its grace ends at {when} and nothing is dropped without a verified \
             archive, which it waits for; to get it back: tenantry undelete {object}"
        );
    };
    let archive = proof.archive.object;
    if droppable.is_some_and(|when| asked(&fetched.database).since > when.as_second()) {
        return format!(
            "renamed out of the way, everything is kept: its grace ended at {when}, before this object was made, so nobody has \
             asked for its end by it; if it is meant: tenantry undelete {object}, then tenantry purge {object}; archive: {archive}"
        );
    }
    format!(
        "renamed out of the way, and archived as {archive}: it is dropped after its grace ends at {when}; to get it back: \
         tenantry undelete {object}"
    )
}

fn nobodys(database: &ServerDatabase) -> Summary {
    let (name, server) = (&database.spec.physical_name, &database.spec.server_ref.name);
    let message = format!(
        "DatabaseServer {server} has no database {name} of ours: this object shows nothing and claims nothing; delete it"
    );
    Summary::Stalled { reason: reason::DATABASE_MISSING, message }
}
