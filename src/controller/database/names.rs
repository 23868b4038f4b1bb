//! The names of a database's roles, ready for statements. Pure.

use crate::api::names::{Group, PhysicalName};
use crate::postgres::quote::{Ident, QuoteError};

/// A database and its group roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The database.
    pub database: Ident,
    /// Owns what is inside the database.
    pub owner: Ident,
    /// Reads and writes.
    pub read_write: Ident,
    /// Reads.
    pub read_only: Ident,
}

impl Names {
    /// The names that belong to a physical name.
    pub fn new(physical: &PhysicalName) -> Result<Self, QuoteError> {
        let group = |group| Ident::parse(&physical.group(group));
        Ok(Self {
            database: Ident::from(physical),
            owner: group(Group::Owner)?,
            read_write: group(Group::ReadWrite)?,
            read_only: group(Group::ReadOnly)?,
        })
    }

    /// One of the group roles.
    pub const fn group(&self, group: Group) -> &Ident {
        match group {
            Group::Owner => &self.owner,
            Group::ReadWrite => &self.read_write,
            Group::ReadOnly => &self.read_only,
        }
    }

    /// The group roles, in the order in which they are made.
    pub fn groups(&self) -> [&Ident; 3] {
        [&self.owner, &self.read_write, &self.read_only]
    }

    /// Whether a role is one of the group roles.
    pub fn is_group(&self, role: &str) -> bool {
        self.groups().iter().any(|group| group.as_str() == role)
    }
}
