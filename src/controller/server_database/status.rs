//! Step 5: what the database's status says. Pure.

use k8s_openapi::jiff::Timestamp;

use crate::api::ServerDatabase;
use crate::api::condition::{Summary, reason};
use crate::api::server_database::{DatabasePhase, ServerDatabaseStatus};
use crate::postgres::facts::{Marker, Phase};

/// The status by the marker row, or by what kept us from it.
pub fn status(
    database: &ServerDatabase,
    marker: &Result<Option<Marker>, Summary>,
    problem: Option<&Summary>,
    now: Timestamp,
) -> ServerDatabaseStatus {
    let mut status = database.status.clone().unwrap_or_default();
    if let Ok(Some(marker)) = marker {
        status.phase = match marker.phase {
            Phase::Creating => None,
            Phase::Bound => Some(DatabasePhase::Bound),
            Phase::Released => Some(DatabasePhase::Released),
        };
        status.generation = Some(marker.generation);
        status.tenant_uid = Some(marker.tenant_uid.clone());
    }
    let summary = match (problem, marker) {
        (Some(problem), _) | (None, Err(problem)) => problem.clone(),
        (None, Ok(Some(marker))) => described(marker),
        (None, Ok(None)) => nobodys(database),
    };
    summary.write(&mut status.conditions, database.metadata.generation.unwrap_or_default(), now);
    status
}

fn described(marker: &Marker) -> Summary {
    let claim = format!("TenantDatabase {}/{}", marker.claim.namespace, marker.claim.name);
    match marker.phase {
        Phase::Creating => {
            Summary::Progressing { reason: reason::PROGRESSING, message: format!("being made for {claim}") }
        }
        Phase::Bound => Summary::Ready { message: format!("bound to {claim}") },
        Phase::Released => {
            Summary::Ready { message: format!("released by {claim}: logins are refused, everything is kept") }
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
