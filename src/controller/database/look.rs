//! Look: everything about one database that a plan is made from.

use crate::api::names::PhysicalName;
use crate::postgres::connect::{ConnectError, Connection, ServerPool};
use crate::postgres::facts::{Facts, Marker};
use crate::postgres::observe::{self, ObserveError, Scope};
use crate::postgres::quote::Ident;

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

/// Reads the facts about a database in a session on the operator database. The database itself is entered if it
/// takes connections and one of `markers` says that it is ours.
pub async fn look(
    pool: &ServerPool,
    reader: &mut Connection,
    physical: &PhysicalName,
    markers: Vec<Marker>,
) -> Result<Facts, LookError> {
    let mut facts = observe::catalog(reader, &Scope::database(physical)).await.map_err(LookError::Observe)?;
    facts.markers = markers;
    let open = facts.databases.get(physical.as_str()).is_some_and(|it| it.allow_connections);
    if open && facts.marker(physical.as_str()).is_some() {
        let mut inside = pool.database(&Ident::from(physical)).await.map_err(LookError::Enter)?;
        let read = observe::inside(&mut inside).await.map_err(LookError::Observe)?;
        inside.release().await;
        facts.inside.insert(physical.as_str().to_owned(), read);
    }
    Ok(facts)
}
