//! Reads the rows of the marker table: all, those that a claim has to know, or a database's.

use std::collections::BTreeSet;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{ObserveError, failed, queries, read};
use crate::api::deletion::DeletionPolicy;
use crate::api::server_database::Management;
use crate::postgres::adoption::Adopted;
use crate::postgres::connect::Connection;
use crate::postgres::facts::{Claim, Marker, Phase};

/// Which marker rows are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Markers<'a> {
    /// All of the server.
    All,
    /// What a claim has to know: its own row, and every row of its namespace and name.
    OfClaim {
        /// UID of its tenant.
        tenant_uid: &'a str,
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// The row of one database.
    Physical(&'a str),
    /// The row of a database that an admin gives to a claim, and those whose ServerDatabase has that name.
    Given {
        /// Name of the database.
        database: &'a str,
        /// Name of the ServerDatabase.
        object: &'a str,
    },
}

const WHAT: &str = "the marker table";

/// Reads marker rows; the session is in the operator database.
pub async fn markers(connection: &mut Connection, which: &Markers<'_>) -> Result<Vec<Marker>, ObserveError> {
    let rows = match which {
        Markers::All => read(connection, WHAT, sqlx::query(queries::MARKERS)).await?,
        Markers::OfClaim { tenant_uid, namespace, name } => {
            let query = sqlx::query(queries::MARKERS_OF_CLAIM).bind(tenant_uid).bind(namespace).bind(name);
            read(connection, WHAT, query).await?
        }
        Markers::Physical(physical_name) => {
            read(connection, WHAT, sqlx::query(queries::MARKER_OF_DATABASE).bind(physical_name)).await?
        }
        Markers::Given { database, object } => {
            let query = sqlx::query(queries::MARKERS_OF_GIVEN).bind(database).bind(object);
            read(connection, WHAT, query.bind(object.replace('-', "_"))).await?
        }
    };
    rows.iter().map(|row| marker(connection, row)).collect()
}

fn marker(connection: &Connection, row: &PgRow) -> Result<Marker, ObserveError> {
    let words = || -> Result<(String, String, Option<String>), sqlx::Error> {
        Ok((row.try_get(3)?, row.try_get(7)?, row.try_get(11)?))
    };
    let (physical_name, phase, management) = words().map_err(|source| failed(connection, WHAT, source))?;
    let Some(phase) = Phase::parse(&phase) else {
        return Err(ObserveError::UnknownPhase { physical_name, phase });
    };
    let Some(management) = management.as_deref().map_or(Some(Management::Full), Management::parse) else {
        let management = management.unwrap_or_default();
        return Err(ObserveError::UnknownManagement { physical_name, management });
    };
    let decode = || -> Result<Marker, sqlx::Error> {
        let (object, policy): (Option<String>, Option<String>) = (row.try_get(12)?, row.try_get(13)?);
        let adopted = (management != Management::Full)
            .then(|| Adopted { management, object: object.unwrap_or_default() });
        Ok(Marker {
            tenant_uid: row.try_get(0)?,
            name: row.try_get(1)?,
            tenant_id: row.try_get(2)?,
            physical_name,
            claim: Claim { namespace: row.try_get(4)?, name: row.try_get(5)?, uid: row.try_get(6)? },
            phase,
            generation: row.try_get(8)?,
            epoch: row.try_get(9)?,
            logins: row.try_get::<Vec<String>, _>(10)?.into_iter().collect::<BTreeSet<_>>(),
            adopted,
            // A word of a later version keeps as much as any.
            deletion_policy: policy.as_deref().and_then(DeletionPolicy::parse).unwrap_or_default(),
            own_server: row.try_get::<Option<bool>, _>(14)?.unwrap_or_default(),
        })
    };
    decode().map_err(|source| failed(connection, WHAT, source))
}
