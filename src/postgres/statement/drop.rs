//! The end of a tombstone: what has to be so, asked in the statements themselves, and the drop.
//!
//! Each step asks for exactly one row, and has none if anything is otherwise than it has to be. Nothing is dropped in
//! force, and no role takes anything along that depends on it but what other tenants have granted it.

use std::fmt;

use super::marker::EPOCH;
use super::render::array;
use crate::api::names::{Group, PhysicalName};
use crate::postgres::facts::{DATABASE_OWNER, Phase};
use crate::postgres::quote::{Literal, QuoteError};
use crate::postgres::tombstone::{Archive, CUT_SHORT, OwnRole, TombstoneName};

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
    /// Goes on only if its drop was intended and what is there is what a DROP DATABASE that was cut short left of it: there is
    /// nothing to keep.
    Resume {
        /// Name that the database had in its marker row.
        physical: PhysicalName,
        /// Generation that the row was read with.
        generation: i64,
    },
    /// Drops it.
    Database(TombstoneName),
    /// Goes on only if its drop was intended and it is gone.
    RequireGone {
        /// Name that the database had in its marker row.
        physical: PhysicalName,
        /// Generation that the row was read with.
        generation: i64,
    },
    /// Goes on only if none of those roles owns anything in the session's own database, or in none: what is taken back from
    /// them is what they were granted, and nothing that is anybody's.
    RequireOwnsNothing(Vec<OwnRole>),
    /// Takes back from those roles what they were granted in the session's own database.
    TakeBack(Vec<OwnRole>),
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
            | Self::Resume { .. }
            | Self::RequireGone { .. }
            | Self::RequireOwnsNothing(_)
            | Self::Forget { .. } => Some(1),
            Self::Database(_) | Self::TakeBack(_) | Self::Role(_) => None,
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
            Self::Resume { physical, generation } => format!(
                "SELECT 1 FROM tenantry.marker m, {} AND d.datconnlimit = {CUT_SHORT} \
                 AND t.archive::jsonb ->> 'database' = d.oid::text",
                tombstone(physical, Phase::Dropping, *generation)
            ),
            Self::Database(name) => format!("DROP DATABASE {}", name.database()),
            Self::RequireGone { physical, generation } => {
                format!("SELECT 1 FROM tenantry.marker m WHERE {}", gone(physical, *generation))
            }
            Self::RequireOwnsNothing(roles) => format!(
                "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid \
                 WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = ANY ({}) \
                 AND (s.deptype NOT IN ('a', 'r') OR s.dbid = 0) \
                 AND s.dbid IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())))",
                named(roles)?
            ),
            Self::TakeBack(roles) => {
                let roles: Vec<String> = roles.iter().map(|role| role.role().to_string()).collect();
                format!("DROP OWNED BY {}", roles.join(", "))
            }
            Self::Role(role) => format!("DROP ROLE {}", role.role()),
            Self::Forget { physical, generation, roles } => {
                let roles = named(roles)?;
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

fn named(roles: &[OwnRole]) -> Result<String, QuoteError> {
    array(&roles.iter().map(|role| role.as_str().to_owned()).collect())
}

/// Names of the logins that can get into the tombstone `d` of the marker row `m`: those that were made for it, those that are
/// members of one of its groups, by way of whatever roles, and whoever else may connect to it. A superuser and whoever has the
/// rights of its owner can always make a way in; what they do there is theirs to answer for.
pub(in crate::postgres) fn logins_let_in(physical: &PhysicalName) -> String {
    let groups = Group::ALL.map(|group| format!("'{}'", physical.group(group))).join(", ");
    format!(
        "WITH RECURSIVE member AS (SELECT r.oid FROM pg_roles r WHERE r.rolname = ANY (m.logins) OR r.rolname IN ({groups}) \
         UNION SELECT a.member FROM pg_auth_members a JOIN member ON member.oid = a.roleid \
         WHERE 'true' IN (coalesce(to_jsonb(a) ->> 'set_option', 'true'), coalesce(to_jsonb(a) ->> 'inherit_option', 'true'))) \
         SELECT r.rolname FROM pg_roles r WHERE r.rolcanlogin AND r.rolname <> current_user \
         AND (r.oid IN (SELECT member.oid FROM member) OR NOT r.rolsuper AND NOT pg_has_role(r.oid, d.datdba, 'USAGE') \
         AND has_database_privilege(r.oid, d.oid, 'CONNECT'))"
    )
}

/// Nobody is connected to the tombstone `d`.
fn no_session() -> String {
    format!("NOT EXISTS (SELECT FROM pg_stat_get_activity(NULL) a WHERE a.datid = d.oid AND {CLIENT})")
}

/// The server that this is.
const THIS_SERVER: &str = "(SELECT system_identifier::text FROM pg_control_system())";

/// From the tombstone's row and the database that it is, with the marker row `m`. What is closed and no template has been
/// so since its archive was recorded.
fn tombstone(physical: &PhysicalName, phase: Phase, generation: i64) -> String {
    format!(
        "tenantry.tombstone t, pg_database d \
         WHERE m.physical_name = '{physical}' AND m.phase = '{phase}' AND m.generation = {generation} \
         AND t.physical_name = m.physical_name AND d.datname = '{}' \
         AND pg_get_userbyid(d.datdba) = '{DATABASE_OWNER}' AND NOT d.datistemplate AND NOT EXISTS ({})",
        TombstoneName::of(physical),
        logins_let_in(physical)
    )
}

/// The grace has ended, nobody is connected, and the archive is of that generation and that database. The casts are of what
/// [`prove`] wrote.
fn proven(generation: i64) -> String {
    format!(
        "NOT d.datallowconn AND t.droppable_at <= now() \
         AND t.archive::jsonb ->> 'generation' = '{generation}' AND t.archive::jsonb ->> 'database' = d.oid::text \
         AND t.archive::jsonb ->> 'systemIdentifier' = {THIS_SERVER} \
         AND t.archive::jsonb ->> 'object' <> '' AND t.archive::jsonb ->> 'sha256' ~ '^[0-9a-f]{{64}}$' \
         AND {}",
        no_session()
    )
}

fn prove(physical: &PhysicalName, archive: &Archive) -> Result<String, QuoteError> {
    Ok(format!(
        "UPDATE tenantry.tombstone t SET archive = ({}::jsonb || \
         jsonb_build_object('database', d.oid::bigint, 'verifiedAt', now()))::text \
         FROM tenantry.marker m, pg_database d WHERE m.physical_name = '{physical}' AND m.phase = '{}' \
         AND m.generation = {} AND t.physical_name = m.physical_name AND d.datname = '{}' \
         AND NOT EXISTS ({}) AND {} = {THIS_SERVER} AND {}",
        Literal::new(&archive.text())?,
        Phase::Tombstoned,
        archive.generation,
        TombstoneName::of(physical),
        logins_let_in(physical),
        Literal::new(&archive.system_identifier)?,
        no_session()
    ))
}

/// Records an archive of a released database that is kept: as of a tombstone, but that it stays as it is.
pub(super) fn keep(physical: &PhysicalName, archive: &Archive) -> Result<String, QuoteError> {
    Ok(format!(
        "UPDATE tenantry.marker m SET epoch = {EPOCH}, archive = ({}::jsonb || \
         jsonb_build_object('database', d.oid::bigint, 'verifiedAt', now()))::text \
         FROM pg_database d WHERE m.physical_name = '{physical}' AND m.phase = '{}' AND m.generation = {} \
         AND d.datname = m.physical_name AND NOT EXISTS ({}) AND {} = {THIS_SERVER} AND {}",
        Literal::new(&archive.text())?,
        Phase::Released,
        archive.generation,
        logins_let_in(physical),
        Literal::new(&archive.system_identifier)?,
        no_session()
    ))
}

/// A session of somebody's. A login that may not read statistics is not told the type; what the server runs by itself is
/// nobody's.
pub(in crate::postgres) const CLIENT: &str =
    "a.usesysid IS NOT NULL AND coalesce(a.backend_type, 'client backend') = 'client backend'";

/// The row of a drop whose database is there under neither name.
fn gone(physical: &PhysicalName, generation: i64) -> String {
    format!(
        "m.physical_name = '{physical}' AND m.phase = '{}' AND m.generation = {generation} \
         AND NOT EXISTS (SELECT FROM pg_database d WHERE d.datname IN ('{physical}', '{}'))",
        Phase::Dropping,
        TombstoneName::of(physical)
    )
}
