//! Step 5: what the database's status says. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::fetch::Fetched;
use super::validate::{is_archive_wanted, is_beyond_return, is_late, is_snapshot_wanted};
use crate::api::ServerDatabase;
use crate::api::condition::{self, ARCHIVED, EXPOSED, Summary, reason};
use crate::api::database_server::ArchiveBucket;
use crate::api::server_database::{
    ArchiveStatus, ArchivedIn, ArchivedTo, DatabasePhase, Management, ServerDatabaseStatus,
};
use crate::postgres::facts::{Marker, Phase};
use crate::postgres::tombstone::{Archive, Place, Proof, Volume};

/// The status by the marker row, or by what kept us from it. One that is released and not `is_closed` yet, since sessions
/// may be open, does not say that it is, nor of which generation it would be.
pub fn status(
    fetched: &Fetched,
    problem: Option<&Summary>,
    is_closed: bool,
    now: Timestamp,
) -> ServerDatabaseStatus {
    let Fetched { database, marker, tombstone, .. } = fetched;
    let droppable = tombstone.as_ref().and_then(|it| Timestamp::from_second(it.droppable_at).ok());
    let mut status = database.status.clone().unwrap_or_default();
    if let Ok(Some(marker)) = marker {
        let proof = proof(fetched, marker);
        archived_is(&mut status.conditions, fetched, marker, now);
        status.phase = match marker.phase {
            Phase::Creating => None,
            Phase::Bound => Some(DatabasePhase::Bound),
            Phase::Released if !is_closed => status.phase,
            Phase::Released => Some(DatabasePhase::Released),
            Phase::Tombstoned => Some(DatabasePhase::Tombstoned),
            Phase::Dropping => Some(DatabasePhase::Dropping),
        };
        status.droppable_when = droppable.map(Time);
        status.archive = proof.map(|proof| archived(&proof));
        status.deletion_policy = marker.adopted.is_none().then_some(marker.deletion_policy);
        if is_closed || marker.phase != Phase::Released {
            status.generation = Some(marker.generation);
        }
        status.tenant_uid = Some(marker.tenant_uid.clone());
    } else if matches!(marker, Ok(None)) {
        // Without a row it has no archive to wait for.
        condition::remove(&mut status.conditions, ARCHIVED);
    }
    let adoption = database.spec.adoption();
    let summary = match (problem, marker) {
        (Some(problem), _) | (None, Err(problem)) => problem.clone(),
        (None, Ok(_)) if adoption.is_some() && fetched.existing.is_none() => absent(database),
        (None, Ok(Some(marker))) => described(fetched, marker, droppable),
        (None, Ok(None)) if adoption.is_some() => waiting(database),
        (None, Ok(None)) => nobodys(database),
    };
    let generation = database.metadata.generation.unwrap_or_default();
    summary.write(&mut status.conditions, generation, now);
    // What cannot be read now stays as it was.
    if marker.is_ok() {
        status.owner = fetched.existing.as_ref().map(|existing| existing.owner.clone());
        let exposed = fetched.existing.as_ref().is_some_and(|existing| existing.public_connects);
        expose(&mut status.conditions, database, exposed, now);
    }
    status
}

/// Says that PUBLIC may connect: what an admin gives us we do not close, and people have to know.
fn expose(conditions: &mut Vec<Condition>, database: &ServerDatabase, exposed: bool, now: Timestamp) {
    if !exposed {
        return condition::remove(conditions, EXPOSED);
    }
    let name = &database.spec.physical_name;
    let message = format!(
        "PUBLIC may connect to database {name}: every login of the server, other tenants' too, gets in; when that is not meant: \
         REVOKE CONNECT ON DATABASE \"{name}\" FROM PUBLIC"
    );
    let generation = database.metadata.generation.unwrap_or_default();
    condition::set(conditions, EXPOSED, "True", reason::PUBLIC_MAY_CONNECT, &message, generation, now);
}

/// The verified archive that there is of the database as it is now.
fn proof(fetched: &Fetched, marker: &Marker) -> Option<Proof> {
    let of_tombstone = fetched.tombstone.as_ref().and_then(|tombstone| tombstone.proof(marker));
    of_tombstone.or_else(|| fetched.kept.clone())
}

/// Says how it stands with the archive of a database of which there is one, or is to be one.
fn archived_is(conditions: &mut Vec<Condition>, fetched: &Fetched, marker: &Marker, now: Timestamp) {
    let (status, reason, message) = match proof(fetched, marker) {
        Some(Proof { archive, .. }) => {
            ("True", reason::VERIFIED, format!("{} was restored, and nothing differs", archive.object))
        }
        None if is_archive_wanted(&fetched.database, marker, fetched.tombstone.as_ref())
            || is_snapshot_wanted(fetched, marker) =>
        {
            let reason = fetched.archiving.as_ref().map_or(reason::ARCHIVING, |awaited| awaited.reason);
            ("False", reason, format!("there is no verified archive yet, {}", awaited(fetched)))
        }
        None => return condition::remove(conditions, ARCHIVED),
    };
    let generation = fetched.database.metadata.generation.unwrap_or_default();
    condition::set(conditions, ARCHIVED, status, reason, &message, generation, now);
}

/// What a missing archive waits for.
fn awaited(fetched: &Fetched) -> &str {
    fetched.archiving.as_ref().map_or("which it waits for", |awaited| &awaited.words)
}

fn archived(Proof { archive, verified_at, .. }: &Proof) -> ArchiveStatus {
    let Archive { object, sha256, bytes, rows, taken_at, place, .. } = archive;
    let (volume, s3) = match place {
        Some(Place::Volume(Volume { claim, uid })) => {
            (Some(ArchivedTo { claim_name: Some(claim.clone()), uid: Some(uid.clone()) }), None)
        }
        Some(Place::Bucket(bucket)) => (None, Some(archived_in(bucket))),
        None => (None, None),
    };
    ArchiveStatus {
        volume,
        s3,
        object: Some(object.clone()),
        sha256: Some(sha256.clone()),
        bytes: i64::try_from(*bytes).ok(),
        rows: i64::try_from(*rows).ok(),
        taken_at: taken_at.parse().ok().map(Time),
        verified_at: verified_at.parse().ok().map(Time),
    }
}

/// The folder is part of what the object is called.
fn archived_in(bucket: &ArchiveBucket) -> ArchivedIn {
    let ArchiveBucket { bucket, prefix: _, endpoint, region, credentials_secret_name, ca_secret_name } =
        bucket.clone();
    ArchivedIn {
        bucket: Some(bucket),
        endpoint,
        region,
        credentials_secret_name: Some(credentials_secret_name),
        ca_secret_name,
    }
}

fn described(fetched: &Fetched, marker: &Marker, droppable: Option<Timestamp>) -> Summary {
    let claim = format!("TenantDatabase {}/{}", marker.claim.namespace, marker.claim.name);
    match marker.phase {
        Phase::Creating => {
            Summary::Progressing { reason: reason::PROGRESSING, message: format!("being made for {claim}") }
        }
        Phase::Bound => Summary::Ready {
            message: match marker.management() {
                Management::Full => format!("bound to {claim}"),
                Management::Adopt => format!("adopted for {claim}: only its logins are ours"),
                Management::Observe => format!("observed for {claim}: nothing is written to it"),
            },
        },
        Phase::Released if marker.adopted.is_some() => {
            let message = format!(
                "released by {claim}: its logins are refused, and the database goes on as its owner has it"
            );
            Summary::Ready { message }
        }
        Phase::Released => {
            Summary::Ready { message: format!("released by {claim}: logins are refused, everything is kept") }
        }
        Phase::Tombstoned => {
            Summary::Progressing { reason: reason::TOMBSTONED, message: buried(fetched, marker, droppable) }
        }
        Phase::Dropping => {
            let message = dropping(fetched, marker, droppable);
            Summary::Progressing { reason: reason::DROPPING, message }
        }
    }
}

fn dropping(fetched: &Fetched, marker: &Marker, droppable: Option<Timestamp>) -> String {
    let tombstone = fetched.tombstone.as_ref();
    let archive = tombstone.and_then(|tombstone| tombstone.proof(marker)).map(|proof| proof.archive);
    let archive = archive.unwrap_or_default();
    if is_late(&fetched.database, droppable) && !is_beyond_return(marker, tombstone) {
        let object = marker.object_name();
        return format!(
            "its drop was begun, and this object was made after its grace had ended, so nobody has asked for it by it; everything is \
             kept; if it is meant: tenantry undelete {object}, then tenantry purge {object}; archive: {}",
            archive.object
        );
    }
    format!(
        "its grace has ended, and it is being dropped; its archive is {} (sha256 {})",
        archive.object, archive.sha256
    )
}

/// What a tombstone waits for.
fn buried(fetched: &Fetched, marker: &Marker, droppable: Option<Timestamp>) -> String {
    let object = marker.object_name();
    let when = droppable.map(|when| when.to_string()).unwrap_or_default();
    let proof = fetched.tombstone.as_ref().and_then(|tombstone| tombstone.proof(marker));
    let Some(proof) = proof else {
        let archiving = awaited(fetched);
        return format!(
            "renamed out of the way, everything is kept: its grace ends at {when} and nothing is dropped without a verified \
             archive, {archiving}; to get it back: tenantry undelete {object}"
        );
    };
    let archive = proof.archive.object;
    if is_late(&fetched.database, droppable) {
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

/// A database that an admin gives to a claim that has not come yet.
fn waiting(database: &ServerDatabase) -> Summary {
    let claim = &database.spec.claim_ref;
    let message = format!(
        "database {} waits for TenantDatabase {}/{}: create the claim",
        database.spec.physical_name, claim.namespace, claim.name
    );
    Summary::Progressing { reason: reason::WAITING_FOR_CLAIM, message }
}

fn absent(database: &ServerDatabase) -> Summary {
    let (name, server) = (&database.spec.physical_name, &database.spec.server_ref.name);
    let message = format!(
        "spec.physicalName: DatabaseServer {server} has no database {name}, and one that is adopted or observed is never made: create or \
         restore it there, or delete this object"
    );
    Summary::Progressing { reason: reason::DATABASE_MISSING, message }
}

fn nobodys(database: &ServerDatabase) -> Summary {
    let (name, server) = (&database.spec.physical_name, &database.spec.server_ref.name);
    let message = format!(
        "DatabaseServer {server} has no database {name} of ours: this object shows nothing and claims nothing; delete it"
    );
    Summary::Stalled { reason: reason::DATABASE_MISSING, message }
}
