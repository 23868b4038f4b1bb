//! The end of a tombstone: what has to be so, asked in the statements themselves, and the drop.
//!
//! Each step asks for exactly one row, and has none if anything is otherwise than it has to be. Nothing is dropped in
//! force, and no role takes anything along that depends on it.

use std::fmt;

use super::marker::EPOCH;
use super::render::array;
use crate::api::names::PhysicalName;
use crate::postgres::facts::{DATABASE_OWNER, Phase};
use crate::postgres::quote::{Literal, QuoteError};
use crate::postgres::tombstone::{Archive, OwnRole, TombstoneName};

/// A step on the way to the end of a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropChange {
    /// Records that an archive of it was verified. Nobody may be able to log in, nor be connected; the archive is of this
    /// server, and of the row in its generation.
    Prove {
        /// Name that the database has in its marker row.
        physical: PhysicalName,
        /// The archive.
        archive: Archive,
    },
    /// Records the intent to drop, if the grace has ended by the server's clock, the archive is of the row in that
    /// generation and of that very database, and nobody could connect since it was recorded.
    Intend {
        /// Name that the database has in its marker row.
        physical: PhysicalName,
        /// Generation that the row was read with.
        expected_generation: i64,
    },
    /// Asks the same once more of a drop that was interrupted after its intent.
    Confirm {
        /// Name that the database has in its marker row.
        physical: PhysicalName,
        /// Generation that the row was read with.
        generation: i64,
    },
    /// Ends every session on it: it takes no new ones.
    EndSessions(TombstoneName),
    /// Drops it.
    Database(TombstoneName),
    /// Goes on only if its drop was intended and it is gone.
    RequireGone {
        /// Name that the database had in its marker row.
        physical: PhysicalName,
        /// Generation that the row was read with.
        generation: i64,
    },
    /// Drops a role that was made for it. PostgreSQL refuses one that something depends on.
    Role(OwnRole),
    /// Removes the marker row, and with it all that was recorded, if the database and those roles are gone.
    Forget {
        /// Name that the database had in its marker row.
        physical: PhysicalName,
        /// Generation that the row was read with.
        generation: i64,
        /// The roles that were made for it.
        roles: Vec<OwnRole>,
    },
}

impl DropChange {
    /// Number of rows that have to change.
    pub(super) const fn expected_rows(&self) -> Option<u64> {
        match self {
            Self::Prove { .. }
            | Self::Intend { .. }
            | Self::Confirm { .. }
            | Self::RequireGone { .. }
            | Self::Forget { .. } => Some(1),
            Self::EndSessions(_) | Self::Database(_) | Self::Role(_) => None,
        }
    }

    /// The text to send. It holds no secret.
    pub(super) fn sql(&self) -> Result<String, QuoteError> {
        Ok(match self {
            Self::Prove { physical, archive } => prove(physical, archive)?,
            Self::Intend { physical, expected_generation } => format!(
                "UPDATE tenantry.marker m SET phase = '{}', generation = {}, epoch = {EPOCH}, changed_at = now() FROM {} AND {}",
                Phase::Dropping.as_str(),
                expected_generation + 1,
                tombstone(physical, Phase::Tombstoned, *expected_generation),
                proven(*expected_generation),
            ),
            Self::Confirm { physical, generation } => format!(
                "SELECT 1 FROM tenantry.marker m, {} AND {}",
                tombstone(physical, Phase::Dropping, *generation),
                proven(generation - 1)
            ),
            Self::EndSessions(name) => end_sessions(name),
            Self::Database(name) => format!("DROP DATABASE {}", name.database()),
            Self::RequireGone { physical, generation } => {
                format!("SELECT 1 FROM tenantry.marker m WHERE {}", gone(physical, *generation))
            }
            Self::Role(role) => format!("DROP ROLE {}", role.role()),
            Self::Forget { physical, generation, roles } => {
                let roles = array(&roles.iter().map(|role| role.as_str().to_owned()).collect())?;
                format!(
                    "DELETE FROM tenantry.marker m WHERE {} \
                     AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = ANY ({roles}))",
                    gone(physical, *generation)
                )
            }
        })
    }
}

impl fmt::Display for DropChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sql() {
            Ok(sql) => f.write_str(&sql),
            Err(error) => write!(f, "-- {error}"),
        }
    }
}

/// No login that was made for the database is let in anywhere.
const NO_LOGIN: &str =
    "NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = ANY (m.logins) AND r.rolcanlogin)";

/// The server that this is.
const THIS_SERVER: &str = "(SELECT system_identifier::text FROM pg_control_system())";

/// From the tombstone's row and the database that it is, with the marker row `m`. What is closed and no template has been
/// so since its archive was recorded.
fn tombstone(physical: &PhysicalName, phase: Phase, generation: i64) -> String {
    format!(
        "tenantry.tombstone t, pg_database d \
         WHERE m.physical_name = '{physical}' AND m.phase = '{phase}' AND m.generation = {generation} \
         AND t.physical_name = m.physical_name AND d.datname = '{}' \
         AND pg_get_userbyid(d.datdba) = '{DATABASE_OWNER}' AND NOT d.datistemplate AND {NO_LOGIN}",
        TombstoneName::of(physical)
    )
}

/// The grace has ended, and the archive is of that generation and that database. The casts are of what [`prove`] wrote.
fn proven(generation: i64) -> String {
    format!(
        "NOT d.datallowconn AND t.droppable_at <= now() \
         AND t.archive::jsonb ->> 'generation' = '{generation}' AND t.archive::jsonb ->> 'database' = d.oid::text \
         AND t.archive::jsonb ->> 'systemIdentifier' = {THIS_SERVER} \
         AND t.archive::jsonb ->> 'object' <> '' AND t.archive::jsonb ->> 'sha256' ~ '^[0-9a-f]{{64}}$'"
    )
}

fn prove(physical: &PhysicalName, archive: &Archive) -> Result<String, QuoteError> {
    Ok(format!(
        "UPDATE tenantry.tombstone t SET archive = ({}::jsonb || \
         jsonb_build_object('database', d.oid::bigint, 'verifiedAt', now()))::text \
         FROM tenantry.marker m, pg_database d WHERE m.physical_name = '{physical}' AND m.phase = '{}' \
         AND m.generation = {} AND t.physical_name = m.physical_name AND d.datname = '{}' AND {NO_LOGIN} \
         AND {} = {THIS_SERVER} AND NOT EXISTS (SELECT FROM pg_stat_get_activity(NULL) a \
         WHERE a.datid = d.oid AND {CLIENT})",
        Literal::new(&archive.text())?,
        Phase::Tombstoned,
        archive.generation,
        TombstoneName::of(physical),
        Literal::new(&archive.system_identifier)?
    ))
}

/// A session of somebody's. A login that may not read statistics is not told the type.
const CLIENT: &str = "coalesce(a.backend_type, 'client backend') = 'client backend'";

fn end_sessions(name: &TombstoneName) -> String {
    format!(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid, 2000)) FROM pg_stat_get_activity(NULL) a \
         JOIN pg_database d ON d.oid = a.datid WHERE d.datname = '{name}' AND {CLIENT}"
    )
}

/// The row of a drop whose database is there under neither name.
fn gone(physical: &PhysicalName, generation: i64) -> String {
    format!(
        "m.physical_name = '{physical}' AND m.phase = '{}' AND m.generation = {generation} \
         AND NOT EXISTS (SELECT FROM pg_database d WHERE d.datname IN ('{physical}', '{}'))",
        Phase::Dropping,
        TombstoneName::of(physical)
    )
}
