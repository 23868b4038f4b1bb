//! Tombstones: a database is renamed out of the way, with a row that says until when it is kept, and comes back or ends.

use std::fmt;
use std::time::Duration;

use super::DropChange;
use super::marker::EPOCH;
use crate::api::deletion::DeletionPolicy;
use crate::api::names::PhysicalName;
use crate::postgres::facts::Phase;
use crate::postgres::quote::{Ident, Literal, QuoteError};
use crate::postgres::tombstone::Archive;

/// What is done to tombstones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TombstoneChange {
    /// Makes the table.
    CreateTable,
    /// Lets a marker row say every phase, on a server that was prepared before there were all of them.
    AdmitPhase,
    /// Records that the database is kept for so long from now on, by the server's clock.
    Bury {
        /// Name that the database has in its marker row.
        physical: Ident,
        /// How long it is kept.
        grace: Duration,
    },
    /// Forgets the tombstone of a database that comes back.
    Exhume {
        /// Name that the database has in its marker row.
        physical: Ident,
    },
    /// Renames a database that nobody is connected to.
    Rename {
        /// Name that it has.
        from: Ident,
        /// Name that it gets.
        to: Ident,
    },
    /// Keeps a released database that was to be purged.
    Spare {
        /// Name of the database.
        physical: PhysicalName,
        /// Generation that its row was read with.
        generation: i64,
    },
    /// Records that an archive was verified of a released database that is kept.
    Keep {
        /// Name of the database.
        physical: PhysicalName,
        /// The archive.
        archive: Archive,
    },
    /// Records a login that is to be made for an archive of it, beside those of the tenant.
    RecordLogin {
        /// Name that the database has in its marker row.
        physical: PhysicalName,
        /// Phase that the row was read with.
        phase: Phase,
        /// Generation that the row was read with.
        generation: i64,
        /// The login.
        login: Ident,
    },
    /// A step on the way to its end. Nothing else drops anything.
    End(DropChange),
}

impl TombstoneChange {
    /// Number of rows that have to change.
    pub(super) const fn expected_rows(&self) -> Option<u64> {
        match self {
            Self::Bury { .. }
            | Self::Exhume { .. }
            | Self::Spare { .. }
            | Self::Keep { .. }
            | Self::RecordLogin { .. } => Some(1),
            Self::CreateTable | Self::AdmitPhase | Self::Rename { .. } => None,
            Self::End(change) => change.expected_rows(),
        }
    }

    /// Whether it takes something from people who use the database.
    pub(super) const fn is_destructive(&self) -> bool {
        match self {
            Self::Bury { .. } | Self::Rename { .. } => true,
            Self::End(change) => {
                matches!(change, DropChange::Database(_) | DropChange::Role(_))
            }
            Self::CreateTable
            | Self::AdmitPhase
            | Self::Exhume { .. }
            | Self::Spare { .. }
            | Self::Keep { .. }
            | Self::RecordLogin { .. } => false,
        }
    }

    /// The text to send. It holds no secret.
    pub(super) fn sql(&self) -> Result<String, QuoteError> {
        Ok(match self {
            Self::CreateTable => CREATE_TABLE.to_owned(),
            Self::AdmitPhase => format!(
                "ALTER TABLE tenantry.marker DROP CONSTRAINT IF EXISTS marker_phase_check, \
                 ADD CONSTRAINT marker_phase_check {}",
                super::marker::PHASES
            ),
            Self::Bury { physical, grace } => format!(
                "INSERT INTO tenantry.tombstone (physical_name, droppable_at) \
                 VALUES ({}, now() + interval '{} seconds')",
                Literal::new(physical.as_str())?,
                grace.as_secs()
            ),
            Self::Exhume { physical } => {
                format!(
                    "DELETE FROM tenantry.tombstone WHERE physical_name = {}",
                    Literal::new(physical.as_str())?
                )
            }
            Self::Rename { from, to } => format!("ALTER DATABASE {from} RENAME TO {to}"),
            // When the row became what it is stays, here and below: the deletion brake counts by that.
            Self::Spare { physical, generation } => format!(
                "UPDATE tenantry.marker SET deletion_policy = '{}', epoch = {EPOCH} \
                 WHERE physical_name = '{physical}' AND phase = '{}' AND generation = {generation}",
                DeletionPolicy::Retain.as_str(),
                Phase::Released
            ),
            Self::Keep { physical, archive } => super::drop::keep(physical, archive)?,
            Self::RecordLogin { physical, phase, generation, login } => {
                let login = Literal::new(login.as_str())?;
                format!(
                    "UPDATE tenantry.marker SET logins = array_append(logins, {login}), epoch = {EPOCH} \
                     WHERE physical_name = '{physical}' AND phase = '{phase}' AND generation = {generation} \
                     AND {login} <> ALL (logins)"
                )
            }
            Self::End(change) => change.sql()?,
        })
    }
}

impl fmt::Display for TombstoneChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sql() {
            Ok(sql) => f.write_str(&sql),
            Err(error) => write!(f, "-- {error}"),
        }
    }
}

/// One row for each tombstone. `archive` is where the proof of its verified archive goes, as JSON.
const CREATE_TABLE: &str = "CREATE TABLE tenantry.tombstone (\
    physical_name text PRIMARY KEY REFERENCES tenantry.marker (physical_name) ON DELETE CASCADE, \
    buried_at timestamptz NOT NULL DEFAULT now(), \
    droppable_at timestamptz NOT NULL, \
    archive text)";
