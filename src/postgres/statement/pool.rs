//! What the warm pool asks of a server. What is dropped here has a name of the pool.

use crate::api::names::Group;
use crate::postgres::pool::{MemberPhase, PATTERN, PoolName};
use crate::postgres::quote::{Ident, Literal, QuoteError};

use super::marker::EPOCH;

/// What of a new database gets smaller when it is written anew, in every version. By name: without a list VACUUM rewrites
/// the catalogs that all databases share, too, and keeps everybody on the server from logging in meanwhile.
const REWRITTEN: [&str; 32] = [
    "pg_catalog.pg_aggregate",
    "pg_catalog.pg_am",
    "pg_catalog.pg_amop",
    "pg_catalog.pg_amproc",
    "pg_catalog.pg_cast",
    "pg_catalog.pg_collation",
    "pg_catalog.pg_constraint",
    "pg_catalog.pg_conversion",
    "pg_catalog.pg_depend",
    "pg_catalog.pg_description",
    "pg_catalog.pg_extension",
    "pg_catalog.pg_index",
    "pg_catalog.pg_init_privs",
    "pg_catalog.pg_language",
    "pg_catalog.pg_namespace",
    "pg_catalog.pg_opclass",
    "pg_catalog.pg_operator",
    "pg_catalog.pg_opfamily",
    "pg_catalog.pg_proc",
    "pg_catalog.pg_range",
    "pg_catalog.pg_rewrite",
    "pg_catalog.pg_statistic",
    "pg_catalog.pg_ts_config",
    "pg_catalog.pg_ts_config_map",
    "pg_catalog.pg_ts_dict",
    "pg_catalog.pg_ts_parser",
    "pg_catalog.pg_ts_template",
    "pg_catalog.pg_type",
    "information_schema.sql_features",
    "information_schema.sql_implementation_info",
    "information_schema.sql_parts",
    "information_schema.sql_sizing",
];

/// A change of the warm pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolChange {
    /// Makes the pool's table.
    CreateTable,
    /// Records a database before it is made.
    Record {
        /// Its name.
        name: PoolName,
        /// What it is prepared as.
        layout: String,
    },
    /// Moves a row on, if nobody else has.
    Advance {
        /// Which.
        name: PoolName,
        /// The phase that it is in.
        from: MemberPhase,
        /// The phase that it is in afterwards.
        to: MemberPhase,
    },
    /// Removes a row, if it is still in that phase.
    Forget {
        /// Which.
        name: PoolName,
        /// The phase that it is in.
        phase: MemberPhase,
    },
    /// Makes a database that accepts no connections, as the template is inside.
    Copy {
        /// Its name.
        name: Ident,
        /// The template.
        template: PoolName,
        /// Its owner.
        owner: Ident,
        /// Greatest number of connections.
        connection_limit: Option<u32>,
    },
    /// Rewrites the catalogs of the database that it runs in, so that copies of it have less to copy.
    Compact,
    /// Gives a database of the pool the name of a tenant's.
    RenameDatabase {
        /// The name that it has.
        from: PoolName,
        /// The name that it gets.
        to: Ident,
    },
    /// Gives a group role the name that goes with it.
    RenameRole {
        /// The database of the pool that the role was made with.
        from: PoolName,
        /// Which of its roles.
        group: Group,
        /// The name that it gets.
        to: Ident,
    },
    /// Gives the login of a clone the name of a tenant's.
    RenameLogin {
        /// The database of the pool that it was made with.
        from: PoolName,
        /// The name that it gets.
        to: Ident,
    },
    /// Drops a database of the pool.
    DropDatabase(PoolName),
    /// Drops a group role of a database of the pool, which is gone.
    DropRole(PoolName, Group),
    /// Drops the login of a database of the pool, which is gone.
    DropLogin(PoolName),
}

impl PoolChange {
    /// Number of rows that have to change, for statements where another number means that somebody was faster.
    pub const fn expected_rows(&self) -> Option<u64> {
        match self {
            Self::Record { .. } | Self::Advance { .. } | Self::Forget { .. } => Some(1),
            _ => None,
        }
    }

    pub(super) fn sql(&self) -> Result<String, QuoteError> {
        Ok(match self {
            Self::CreateTable => create_table(),
            Self::Record { name, layout } => format!(
                "INSERT INTO tenantry.pool (name, layout, phase, epoch) VALUES ('{name}', {}, '{}', {EPOCH})",
                Literal::new(layout)?,
                MemberPhase::Preparing.as_str()
            ),
            Self::Advance { name, from, to } => format!(
                "UPDATE tenantry.pool SET phase = '{}', epoch = {EPOCH}, changed_at = now() \
                 WHERE name = '{name}' AND phase = '{}'",
                to.as_str(),
                from.as_str()
            ),
            Self::Forget { name, phase } => {
                format!("DELETE FROM tenantry.pool WHERE name = '{name}' AND phase = '{}'", phase.as_str())
            }
            Self::Copy { name, template, owner, connection_limit } => format!(
                "CREATE DATABASE {name} TEMPLATE {} OWNER {owner} ALLOW_CONNECTIONS false CONNECTION LIMIT {}",
                template.database(),
                connection_limit.map_or(-1, i64::from)
            ),
            Self::Compact => format!("VACUUM (FULL, FREEZE) {}", REWRITTEN.join(", ")),
            Self::RenameDatabase { from, to } => format!("ALTER DATABASE {} RENAME TO {to}", from.database()),
            Self::RenameRole { from, group, to } => {
                format!("ALTER ROLE {} RENAME TO {to}", Ident::parse(&from.group(*group))?)
            }
            Self::RenameLogin { from, to } => {
                format!("ALTER ROLE {} RENAME TO {to}", Ident::parse(&from.login())?)
            }
            Self::DropDatabase(name) => format!("DROP DATABASE {}", name.database()),
            Self::DropRole(name, group) => format!("DROP ROLE {}", Ident::parse(&name.group(*group))?),
            Self::DropLogin(name) => format!("DROP ROLE {}", Ident::parse(&name.login())?),
        })
    }
}

fn create_table() -> String {
    let phases = [MemberPhase::Preparing, MemberPhase::Ready, MemberPhase::Retiring];
    let phases = phases.map(|phase| format!("'{}'", phase.as_str())).join(", ");
    format!(
        "CREATE TABLE tenantry.pool (\
         name text PRIMARY KEY CHECK (name ~ '{PATTERN}'), \
         layout text NOT NULL, \
         phase text NOT NULL CHECK (phase IN ({phases})), \
         epoch bigint NOT NULL DEFAULT 0, \
         created_at timestamptz NOT NULL DEFAULT now(), \
         changed_at timestamptz NOT NULL DEFAULT now())"
    )
}
