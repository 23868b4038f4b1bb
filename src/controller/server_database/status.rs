//! Step 5: what the database's status says. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::fetch::Fetched;
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
        };
        status.droppable_when = droppable.map(Time);
        status.generation = Some(marker.generation);
        status.tenant_uid = Some(marker.tenant_uid.clone());
    }
    let summary = match (problem, marker) {
        (Some(problem), _) | (None, Err(problem)) => problem.clone(),
        (None, Ok(Some(marker))) => described(marker, droppable),
        (None, Ok(None)) => nobodys(database),
    };
    summary.write(&mut status.conditions, database.metadata.generation.unwrap_or_default(), now);
    status
}

fn described(marker: &Marker, droppable: Option<Timestamp>) -> Summary {
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
            let grace = droppable.map(|when| format!(" its grace ends at {when} and")).unwrap_or_default();
            let object = project::object_name(&marker.physical_name);
            let message = format!(
                "renamed out of the way, everything is kept:{grace} nothing is dropped without a verified archive, which it waits \
                 for; to get it back: tenantry undelete {object}"
            );
            Summary::Progressing { reason: reason::TOMBSTONED, message }
        }
    }
}

fn nobodys(database: &ServerDatabase) -> Summary {
    let (name, server) = (&database.spec.physical_name, &database.spec.server_ref.name);
    let message = format!(
        "DatabaseServer {server} has no database {name} of ours: this object shows nothing and claims nothing; delete it"
    );
    Summary::Stalled { reason: reason::DATABASE_MISSING, message }
}
