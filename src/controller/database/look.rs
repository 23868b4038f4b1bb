//! Look: everything about one database that a plan is made from.
//!
//! Two looks: [`outside`] asks the server's catalogs and cannot be kept out; [`inside`] needs a connection to the database
//! itself, of which its tenant may hold all. Whoever refuses logins does so on what the first shows.

use crate::api::names::PhysicalName;
use crate::api::server_database::Management;
use crate::postgres::connect::{ConnectError, Connection, ServerPool};
use crate::postgres::facts::{Facts, Marker, Phase};
use crate::postgres::observe::{self, ObserveError, Scope};
use crate::postgres::pool::PoolName;
use crate::postgres::quote::Ident;
use crate::postgres::tombstone::TombstoneName;

/// Why the facts about a database could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The catalogs could not be read.
    #[error("failed to observe the server")]
    Observe(#[source] ObserveError),
    /// The database could not be entered.
    #[error("failed to look into the database")]
    Enter(#[source] ConnectError),
}

/// Reads the facts about a database, from outside and from inside.
pub async fn look(
    pool: &ServerPool,
    reader: &mut Connection,
    physical: &PhysicalName,
    markers: Vec<Marker>,
) -> Result<Facts, LookError> {
    let mut facts = outside(reader, physical, markers).await?;
    facts.issues = observe::issues(reader, physical).await.map_err(LookError::Observe)?;
    inside(pool, physical, &mut facts).await?;
    Ok(facts)
}

/// Reads the facts about a database in a session on the operator database.
pub async fn outside(
    reader: &mut Connection,
    physical: &PhysicalName,
    markers: Vec<Marker>,
) -> Result<Facts, LookError> {
    let facts = observe::catalog(reader, &Scope::database(physical)).await.map_err(LookError::Observe)?;
    Ok(Facts { markers, ..facts })
}

/// The same of a database that is not there yet, with one of the warm pool that it may be made from. Nobody has a session in
/// either.
pub async fn beside(
    reader: &mut Connection,
    physical: &PhysicalName,
    member: &PoolName,
) -> Result<Facts, LookError> {
    let scope = Scope::database(physical).and_member(member);
    observe::catalog_at_rest(reader, &scope).await.map_err(LookError::Observe)
}

/// [`outside`], and whether there is a database of the name that this one has, or would have, as a tombstone.
pub async fn apart(
    reader: &mut Connection,
    physical: &PhysicalName,
    markers: Vec<Marker>,
) -> Result<Facts, LookError> {
    let scope = Scope::database(physical).and_tombstone(&TombstoneName::of(physical));
    let facts = observe::catalog(reader, &scope).await.map_err(LookError::Observe)?;
    Ok(Facts { markers, ..facts })
}

/// Adds what the database itself says, if it takes connections and a marker says that it is ours, and not only ours to observe. A settled one that is
/// full is looked into another time: using all that the plan allows is no trouble.
pub async fn inside(pool: &ServerPool, physical: &PhysicalName, facts: &mut Facts) -> Result<(), LookError> {
    let open = facts.databases.get(physical.as_str()).is_some_and(|it| it.allow_connections);
    let ours = |marker: &&Marker| open && marker.management() != Management::Observe;
    let Some(marker) = facts.marker(physical.as_str()).filter(ours) else { return Ok(()) };
    let mut session = match pool.database(&Ident::from(physical)).await {
        Ok(session) => session,
        Err(ConnectError::TooManyConnections { .. }) if marker.phase == Phase::Bound => return Ok(()),
        Err(error) => return Err(LookError::Enter(error)),
    };
    let read = observe::inside(&mut session).await.map_err(LookError::Observe)?;
    session.release().await;
    facts.inside.insert(physical.as_str().to_owned(), read);
    Ok(())
}
