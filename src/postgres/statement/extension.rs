//! What extensions ask of a database. Each runs inside it; none takes anything away.

use std::collections::BTreeSet;

use crate::postgres::quote::{Ident, Literal};

/// A change of what a database has of extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtensionChange {
    /// Makes the schema that extensions are in. One that is there already may hold what a tenant has put there, so that fails.
    CreateHome {
        /// Its name.
        schema: Ident,
        /// Its owner.
        owner: Ident,
    },
    /// Makes an extension. Its script finds nothing but what is in that schema and in those of the extensions that it requires.
    Create {
        /// Its name.
        name: Ident,
        /// The schema that it is in.
        schema: Ident,
        /// The version that was looked at.
        version: Literal,
        /// The extensions that it is built on. Where one of them could not be made, neither is this one: there may be one of a
        /// tenant's in its place.
        requires: BTreeSet<String>,
    },
    /// Has sessions in the database look there, after their own schemas, for what they name without one.
    LeadTo {
        /// The database.
        database: Ident,
        /// The schema.
        schema: Ident,
    },
}

impl ExtensionChange {
    pub(super) fn sql(&self) -> String {
        match self {
            Self::CreateHome { schema, owner } => format!("CREATE SCHEMA {schema} AUTHORIZATION {owner}"),
            Self::Create { name, schema, version, requires: _ } => {
                format!("CREATE EXTENSION {name} SCHEMA {schema} VERSION {version}")
            }
            Self::LeadTo { database, schema } => {
                format!("ALTER DATABASE {database} SET search_path TO \"$user\", public, {schema}")
            }
        }
    }
}
