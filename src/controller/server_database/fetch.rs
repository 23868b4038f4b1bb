//! Step 1: the marker row, and by live reads whether its claim is really gone.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Resource;
use kube::api::Api;

use super::archive::{self, Awaited};
use super::{holder, obstacle, place, validate};
use crate::api::condition::{Summary, reason};
use crate::api::deletion::DeletionPolicy;
use crate::api::{Blueprint, ServerDatabase, Tenant, TenantDatabase};
use crate::controller::apply::ApplyError;
use crate::controller::context::Context;
use crate::controller::database::dropping::Reread;
use crate::controller::database::{refusal, rivals};
use crate::controller::object::{Key, Kind};
use crate::controller::worker::key_of;
use crate::postgres::adoption::Existing;
use crate::postgres::connect::Connection;
use crate::postgres::facts::{Marker, Phase};
use crate::postgres::observe::{self, Markers, ObserveError};
use crate::postgres::tombstone::{Extent, Proof, Tombstone, kept};

/// What a server database's turn needs.
#[derive(Debug)]
pub struct Fetched {
    /// The object.
    pub database: ServerDatabase,
    /// Its marker row, `None` if there is none, or why it cannot be read.
    pub marker: Result<Option<Marker>, Summary>,
    /// What became of the claim. Read live whenever the stores do not show it.
    pub claim: Claim,
    /// What stands against the purge that its spec asks for, or against the drop that it ends in. Read live.
    pub obstacle: Option<Summary>,
    /// Its tombstone, if it is one and that could be read.
    pub tombstone: Option<Tombstone>,
    /// The verified archive of a released database that is kept.
    pub kept: Option<Proof>,
    /// What the server says of a database that we did not make.
    pub existing: Option<Existing>,
    /// Another object for the same database or the same claim, or another database that the object's name belongs to.
    pub rival: Option<Summary>,
    /// What its archive waits for.
    pub archiving: Option<Awaited>,
    /// What was read again of its archive, just before it is dropped.
    pub reread: Option<Reread>,
}

impl Fetched {
    /// Whether there is no such database, which an admin wants to give to a claim.
    pub fn is_missing(&self) -> bool {
        self.marker.is_ok() && self.database.spec.adoption().is_some() && self.existing.is_none()
    }
}

/// What a server has of a database.
#[derive(Debug)]
pub(super) struct Seen {
    /// Its marker row.
    pub marker: Option<Marker>,
    tombstone: Option<Tombstone>,
    kept: Option<Proof>,
    existing: Option<Existing>,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is there, or it cannot be told to be gone.
    Present,
    /// It is gone, and will be made again: its tenant lives and its blueprints ask for it.
    Returning,
    /// It is confirmed to be gone.
    Absent,
}

/// Reads it.
pub async fn fetch(context: &Context, database: ServerDatabase) -> Result<Fetched, ApplyError> {
    let seen = read(context, &database.spec.server_ref.name, &database).await;
    let (marker, tombstone, kept, existing) = match seen {
        Ok(Seen { marker, tombstone, kept, existing }) => (Ok(marker), tombstone, kept, existing),
        Err(summary) => (Err(summary), None, None, None),
    };
    let claim = match &marker {
        Ok(Some(row)) if row.phase == Phase::Bound => claim(context, row).await?,
        _ => Claim::Present,
    };
    let obstacle = match &marker {
        Ok(Some(row))
            if validate::is_purge_due(&database, row)
                || validate::is_end_due(&database, row)
                || validate::is_drop_due(&database, row, tombstone.as_ref())
                || validate::is_archive_wanted(&database, row, tombstone.as_ref())
                    && archive::store(context, &database.spec.server_ref.name).is_some() =>
        {
            obstacle::obstacle(context, &database, row).await?
        }
        _ => None,
    };
    let obstacle = match (&marker, &tombstone) {
        (Ok(Some(row)), Some(buried)) if obstacle.is_none() => lost(context, &database, row, buried).await?,
        _ => obstacle,
    };
    let rival = rival(context, &database);
    Ok(Fetched {
        database,
        marker,
        claim,
        obstacle,
        tombstone,
        kept,
        existing,
        rival,
        archiving: None,
        reread: None,
    })
}

/// Whether the archive without which nothing is dropped is not where it was written any more.
async fn lost(
    context: &Context,
    database: &ServerDatabase,
    row: &Marker,
    tombstone: &Tombstone,
) -> Result<Option<Summary>, ApplyError> {
    let due = tombstone.extent == Extent::Whole && validate::is_drop_due(database, row, Some(tombstone));
    let Some(Proof { archive, .. }) = tombstone.proof(row).filter(|_| due) else { return Ok(None) };
    let standing = place::of(context, archive.place.as_ref()).await?;
    Ok(standing.objection(&archive, &row.object_name()))
}

/// Another object for the same database or the same claim, by the stores; or another database of the same object, by the rows.
fn rival(context: &Context, database: &ServerDatabase) -> Option<Summary> {
    let mut rivals = Vec::new();
    context.stores.server_databases.each(|own| {
        if let Some(other) = own.valid().filter(|other| rivals::are(database, other)) {
            rivals.push(other.clone());
        }
    });
    rivals::conflict(database, &rivals).or_else(|| context.inventory.rows().other_of(database))
}

/// What that server has of the database.
pub(super) async fn read(
    context: &Context,
    server: &str,
    database: &ServerDatabase,
) -> Result<Seen, Summary> {
    let Some(pool) = context.servers.enter(server, Kind::ServerDatabase, &key_of(database)) else {
        if context.stores.database_servers.get(&Key::cluster(server)).is_none() {
            let message =
                format!("DatabaseServer {server}, which has the database, does not exist: create it again");
            return Err(Summary::Progressing { reason: reason::SERVER_NOT_FOUND, message });
        }
        let message = format!("DatabaseServer {server} is not ready");
        return Err(Summary::Progressing { reason: reason::SERVER_UNREACHABLE, message });
    };
    let mut connection = pool.operator().await.map_err(|error| refusal::of_connect(&error))?;
    let physical = &database.spec.physical_name;
    let rows = observe::markers(&mut connection, &Markers::Physical(physical)).await;
    let row = rows.map(|mut rows| rows.pop());
    let (tombstone, kept) = match row.as_ref().ok().and_then(Option::as_ref) {
        Some(row) => archives(&mut connection, row).await,
        None => (Ok(None), Ok(None)),
    };
    let existing = match database.spec.adoption() {
        Some(_) => observe::existing(&mut connection, physical).await,
        None => Ok(None),
    };
    connection.release().await;
    let read =
        row.and_then(|marker| Ok(Seen { marker, tombstone: tombstone?, kept: kept?, existing: existing? }));
    read.map_err(|error| refusal::of_observe(&error))
}

/// The tombstone of that row, or the archive of a database that is kept.
async fn archives(
    connection: &mut Connection,
    row: &Marker,
) -> (Result<Option<Tombstone>, ObserveError>, Result<Option<Proof>, ObserveError>) {
    let Ok(name) = row.physical() else { return (Ok(None), Ok(None)) };
    if row.is_tombstone() {
        return (observe::tombstone(connection, &name).await, Ok(None));
    }
    if row.phase != Phase::Released || row.deletion_policy != DeletionPolicy::Snapshot {
        return (Ok(None), Ok(None));
    }
    let held = observe::kept_archive(connection, &name).await;
    (Ok(None), held.map(|held| kept(&held?, row)))
}

/// What became of the claim of a bound row. A store that misses it proves nothing: a live read has to say so, and a
/// CRD that is going or not served makes every claim look gone.
pub(super) async fn claim(context: &Context, row: &Marker) -> Result<Claim, ApplyError> {
    let key = Key::namespaced(&row.claim.namespace, &row.claim.name);
    // One that is on its way out is no claim any more: somebody's finalizer may hold its object for ever.
    let same = |claim: &TenantDatabase| {
        claim.metadata.uid == row.claim.uid && claim.metadata.deletion_timestamp.is_none()
    };
    if context.valid::<TenantDatabase>(&key).is_some_and(|claim| same(&claim)) {
        return Ok(Claim::Present);
    }
    let api: Api<TenantDatabase> = Api::namespaced(context.client.clone(), &row.claim.namespace);
    let live =
        api.get_opt(&row.claim.name).await.map_err(|source| failed(Kind::TenantDatabase, &key, source))?;
    if live.as_ref().is_some_and(same) {
        return Ok(Claim::Present);
    }
    // Another of that name proves that the CRD does not hide it.
    let replaced = live.as_ref().is_some_and(|live| live.metadata.uid != row.claim.uid);
    if !replaced && !is_served(context).await? {
        return Ok(Claim::Present);
    }
    let tenant = holder::living(context, row).await?;
    Ok(match tenant {
        // A claim of the same living tenant is bound by its own turn, whatever its UID.
        Some(_) if live.as_ref().is_some_and(|live| live.metadata.deletion_timestamp.is_none()) => {
            Claim::Returning
        }
        Some(tenant) if asks(context, &tenant, &row.claim.name) => Claim::Returning,
        _ => Claim::Absent,
    })
}

/// Whether the claims' CRD is there to answer.
async fn is_served(context: &Context) -> Result<bool, ApplyError> {
    let name = format!("{}.{}", TenantDatabase::plural(&()), TenantDatabase::group(&()));
    let api: Api<CustomResourceDefinition> = Api::all(context.client.clone());
    let crd = api
        .get_opt(&name)
        .await
        .map_err(|source| failed(Kind::TenantDatabase, &Key::cluster(&name), source))?;
    Ok(crd.is_some_and(|crd| {
        let conditions = crd.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let is = |kind: &str| conditions.clone().any(|c| c.type_ == kind && c.status == "True");
        crd.metadata.deletion_timestamp.is_none() && is("Established") && !is("Terminating")
    }))
}

/// Whether a blueprint of the tenant asks for the claim. One that cannot be read might.
fn asks(context: &Context, tenant: &Tenant, claim: &str) -> bool {
    tenant.spec.blueprints.iter().flatten().any(|blueprint| {
        let blueprint: Option<Blueprint> = context.valid(&Key::cluster(&blueprint.name));
        blueprint
            .is_none_or(|blueprint| blueprint.spec.databases().iter().any(|database| database.name == claim))
    })
}

pub(super) fn failed(kind: Kind, key: &Key, source: kube::Error) -> ApplyError {
    ApplyError::Api { verb: "get", kind, key: key.clone(), source }
}
