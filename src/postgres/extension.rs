//! Extensions: what a server offers, and what a database has of them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Acl, DATABASE_OWNER, Grantee, Privilege};

/// Schema that extensions are made in, if they do not name one themselves.
pub const HOME: &str = "extensions";
/// Schema that is nobody's to write to.
pub const CATALOG: &str = "pg_catalog";

/// An extension that a server could make, in the version that it would make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Available {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether PostgreSQL lets everybody make it who may create something in a database.
    pub trusted: bool,
    /// The one schema that it can be in; absent for any.
    pub schema: Option<String>,
    /// Extensions that have to be there before.
    pub requires: BTreeSet<String>,
}

/// What a database has of extensions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The schema that each is in, by name of the extension.
    pub installed: BTreeMap<String, String>,
    /// Those of them whose owner is neither our login nor a superuser.
    pub of_others: BTreeSet<String>,
    /// Schemas by name: those of ours, and whatever has the name [`HOME`].
    pub homes: BTreeMap<String, Home>,
    /// Where sessions in the database look for what they name without a schema, if the database has a setting for that.
    pub search_path: Option<String>,
}

/// A schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// Owner.
    pub owner: String,
    /// Privileges.
    pub acl: Acl,
}

impl Extensions {
    /// What a database made from `template0` has.
    pub fn of_new_database() -> Self {
        Self { installed: [("plpgsql".to_owned(), CATALOG.to_owned())].into(), ..Self::default() }
    }

    /// Whether nobody but us can put anything into that schema.
    pub fn is_safe(&self, schema: &str) -> bool {
        schema == CATALOG || self.homes.get(schema).is_some_and(Home::is_ours_alone)
    }
}

impl Home {
    /// Whether nobody but us can put anything into it.
    pub fn is_ours_alone(&self) -> bool {
        let ours = |grantee: &Grantee| matches!(grantee, Grantee::Role(role) if role == DATABASE_OWNER);
        let mut creators = self.acl.keys().filter(|(_, privilege)| *privilege == Privilege::Create);
        self.owner == DATABASE_OWNER && creators.all(|(grantee, _)| ours(grantee))
    }
}
