//! The warm pool as the operator database records it: databases that were made before anybody asked for them. Pure.
//!
//! Every one of them has its row in `tenantry.pool` before it exists, and loses it in the transaction in which it
//! becomes a tenant's database, or after it was dropped. So whatever is interrupted, nothing is left on a server that
//! no row tells of. Their names have a type of their own: the statements that drop what is the pool's take no other.

use std::fmt;

use super::quote::Ident;
use crate::api::names::{Group, PhysicalName};

const CLONE: &str = "tenantry_pool_";
const TEMPLATE: &str = "tenantry_template_";
const ARCHIVE: &str = "archive-";
/// Hexadecimal digits after the prefix.
const DIGITS: usize = 10;

/// Prefix of all names of the pool; the operator database has no underscore.
pub const PREFIX: &str = "tenantry_";
/// What the names of the pool match, as the table's constraint says it.
pub(super) const PATTERN: &str = "^tenantry_(pool|template)_[0-9a-f]{10}$";

/// What the row of a scratch database says that it is prepared as: for an archive of that database. No layout has such a name.
pub fn archive_of(physical: &PhysicalName) -> String {
    format!("{ARCHIVE}{physical}")
}

/// Name of a database of the pool. No tenant's database has such a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolName(String);

impl PoolName {
    /// The name of a clone with that number, of which the low 40 bits count.
    pub fn clone_of(number: u64) -> Self {
        Self::with(CLONE, number)
    }

    /// The name of a template with that number, of which the low 40 bits count.
    pub fn template_of(number: u64) -> Self {
        Self::with(TEMPLATE, number)
    }

    fn with(prefix: &str, number: u64) -> Self {
        Self(format!("{prefix}{:0DIGITS$x}", number & 0xff_ffff_ffff))
    }

    /// A name that was read. `None` if it is none of the pool.
    pub fn parse(name: &str) -> Option<Self> {
        let digits = name.strip_prefix(CLONE).or_else(|| name.strip_prefix(TEMPLATE))?;
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == DIGITS && digits.bytes().all(digit)).then(|| Self(name.to_owned()))
    }

    /// Whether clones are made from it.
    pub fn is_template(&self) -> bool {
        self.0.starts_with(TEMPLATE)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The database, ready for statements.
    pub fn database(&self) -> Ident {
        Ident::from(self)
    }

    /// Name of a group role.
    pub fn group(&self, group: Group) -> String {
        format!("{}_{}", self.0, group.suffix())
    }

    /// Name of the login that becomes the first of whoever takes it.
    pub fn login(&self) -> String {
        format!("{}_login", self.0)
    }

    /// Names of all roles that a clone has.
    pub fn roles(&self) -> impl Iterator<Item = String> + use<'_> {
        Group::ALL.into_iter().map(|group| self.group(group)).chain([self.login()])
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A row of the pool's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of the database.
    pub name: PoolName,
    /// What it was prepared as.
    pub layout: String,
    /// Where in its life it is.
    pub phase: MemberPhase,
    /// Whether the row is older than any statement of ours can be: whoever wrote it has come to an end.
    pub settled: bool,
}

impl Member {
    /// Whether it is the scratch database of an archive: whoever makes the archive sees to it.
    pub fn is_scratch(&self) -> bool {
        self.layout.starts_with(ARCHIVE)
    }
}

/// Where in its life a database of the pool is. One that was taken has no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberPhase {
    /// It is being made. If that is interrupted it is not gone on with, but dropped.
    Preparing,
    /// It can be taken, or copied if it is a template.
    Ready,
    /// It is being dropped, and nobody can take it any more.
    Retiring,
}

impl MemberPhase {
    const ALL: [Self; 3] = [Self::Preparing, Self::Ready, Self::Retiring];

    /// The text in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "Preparing",
            Self::Ready => "Ready",
            Self::Retiring => "Retiring",
        }
    }

    /// The phase of that text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::names::{DatabaseName, TenantId};

    #[test]
    fn a_name_of_the_pool_is_read_back_and_no_other_is() {
        for name in [PoolName::clone_of(u64::MAX), PoolName::template_of(7)] {
            assert_eq!(PoolName::parse(name.as_str()), Some(name));
        }
        assert_eq!(PoolName::clone_of(255).as_str(), "tenantry_pool_00000000ff");
        let tenants = PhysicalName::new(&TenantId::of_uid("u"), &DatabaseName::parse("app").unwrap());
        let others = [
            tenants.as_str(),
            "tenantry",
            "tenantry_databases",
            "tenantry_pool_",
            "tenantry_pool_00000000FF",
            "tenantry_pool_00000000ff_owner",
            "tenantry_pool_00000000f\"",
            "x_tenantry_pool_00000000ff",
        ];
        for name in others {
            assert_eq!(PoolName::parse(name), None, "{name}");
        }
    }
}
