//! Names: parsed once, derived in one place.
//!
//! Physical names are `t_ID_NAME`, with roles `t_ID_NAME_owner|rw|ro` and logins `t_ID_NAME_CRED_a|b`. With an id
//! of 10, a name of at most 24 and a credential of at most 16 characters the longest is
//! `t_` + 10 + `_` + 24 + `_` + 16 + `_a` = 56 characters, below PostgreSQL's 63 bytes, so nothing is ever cut.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

/// Id of a tenant: the first 10 characters of lower-case base32(SHA-256(UID)). Recomputable and opaque.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(String);

impl TenantId {
    /// The id of the tenant with that UID.
    pub fn of_uid(uid: &str) -> Self {
        let mut id = BASE32_NOPAD.encode(&Sha256::digest(uid.as_bytes())).to_ascii_lowercase();
        id.truncate(10);
        Self(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} {name:?} is not valid: it must be 1 to {max} lower-case letters, digits or '-', start with a letter and end with a letter or digit"
)]
pub struct InvalidName {
    /// What was named.
    pub what: &'static str,
    /// The name.
    pub name: String,
    /// Longest length.
    pub max: usize,
}

fn label(what: &'static str, name: &str, max: usize) -> Result<String, InvalidName> {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let bytes = name.as_bytes();
    let valid = (1..=max).contains(&bytes.len())
        && bytes.iter().all(inner)
        && bytes[0].is_ascii_lowercase()
        && bytes[bytes.len() - 1] != b'-';
    if valid { Ok(name.to_owned()) } else { Err(InvalidName { what, name: name.to_owned(), max }) }
}

/// Logical name of a database: the claim's name. At most 24 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseName(String);

impl DatabaseName {
    /// Parses a claim's name.
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        label("database name", name, 24).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Name of a credential. At most 16 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialName(String);

impl CredentialName {
    /// Parses a credential's name.
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        label("credential name", name, 16).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Physical name of a database, and with it the names of its roles. Hyphens become underscores, which logical
/// names may not contain, so two logical names never meet.
///
/// A database that we make has the name that its roles' names begin with. One that an admin gave us to look after keeps the
/// name that it has, and its roles are named as those of the database that would have been made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysicalName {
    database: String,
    roles: String,
}

/// Why a database that we did not make cannot be looked after.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "database {0:?} cannot be adopted: its name must be 1 to 63 ASCII letters, digits, '_', '-' or '.', begin with a letter, digit or '_', \
     and not be one of Tenantry's or PostgreSQL's own (t_…, tenantry, tenantry_…, tombstone_…, postgres, template…)"
)]
pub struct NotAdoptable(pub String);

/// Which group role of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Owns what is inside the database, not the database.
    Owner,
    /// Reads and writes.
    ReadWrite,
    /// Reads.
    ReadOnly,
}

impl Group {
    /// All three, in the order in which they are made.
    pub const ALL: [Self; 3] = [Self::Owner, Self::ReadWrite, Self::ReadOnly];

    /// End of the role's name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::ReadWrite => "rw",
            Self::ReadOnly => "ro",
        }
    }
}

/// Which of a credential's two logins. They are used alternately: a rotation issues the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The first, with which every credential begins.
    A,
    /// The second, made by the first rotation.
    B,
}

impl Side {
    /// End of the login's name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The side of that suffix.
    pub fn parse(suffix: &str) -> Option<Self> {
        [Self::A, Self::B].into_iter().find(|side| side.suffix() == suffix)
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl PhysicalName {
    /// The name that a new database of that tenant gets.
    pub fn new(id: &TenantId, name: &DatabaseName) -> Self {
        Self::made(format!("t_{id}_{}", underscored(&name.0)))
    }

    fn made(name: String) -> Self {
        Self { roles: name.clone(), database: name }
    }

    /// A name read back from a marker row or a ServerDatabase.
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        let ok = name.len() <= 38
            && name.starts_with("t_")
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if ok {
            Ok(Self::made(name.to_owned()))
        } else {
            Err(InvalidName { what: "physical name", name: name.to_owned(), max: 38 })
        }
    }

    /// The same roles, for a database that has another name: one that we did not make. The schema admits the same names.
    pub fn of_adopted(self, database: &str) -> Result<Self, NotAdoptable> {
        let first = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let bytes = database.as_bytes();
        let valid = (1..=63).contains(&bytes.len())
            && first(&bytes[0])
            && bytes.iter().all(|byte| first(byte) || *byte == b'-' || *byte == b'.');
        let begins = |prefix: &&str| database.starts_with(prefix);
        let own = ["tenantry", "postgres"].contains(&database)
            || ["t_", "tenantry_", "tombstone_", "template"].iter().any(begins);
        if valid && !own {
            Ok(Self { database: database.to_owned(), ..self })
        } else {
            Err(NotAdoptable(database.to_owned()))
        }
    }

    /// The database's name.
    pub fn as_str(&self) -> &str {
        &self.database
    }

    /// What the names of the database's roles begin with.
    pub fn role_prefix(&self) -> String {
        format!("{}_", self.roles)
    }

    /// Name of a group role.
    pub fn group(&self, group: Group) -> String {
        format!("{}_{}", self.roles, group.suffix())
    }

    /// Name of one of a credential's two logins.
    pub fn login(&self, credential: &CredentialName, side: Side) -> String {
        format!("{}_{}_{}", self.roles, underscored(&credential.0), side.suffix())
    }
}

impl fmt::Display for PhysicalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.database)
    }
}

fn underscored(name: &str) -> String {
    name.replace('-', "_")
}

/// Namespace of the tenant of that name.
pub fn tenant_namespace(tenant: &str) -> String {
    format!("tenant-{tenant}")
}

/// Name of the tenant whose namespace this is, if it looks like one.
pub fn tenant_of_namespace(namespace: &str) -> Option<&str> {
    namespace.strip_prefix("tenant-").filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ten_characters_of_base32() {
        let id = TenantId::of_uid("0b6cbd8e-7a0c-4d51-9f0b-2a4f3f3f0c11");
        assert_eq!(id.as_str().len(), 10);
        assert!(id.as_str().bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)));
        assert_eq!(id, TenantId::of_uid("0b6cbd8e-7a0c-4d51-9f0b-2a4f3f3f0c11"));
        assert_ne!(id, TenantId::of_uid("0b6cbd8e-7a0c-4d51-9f0b-2a4f3f3f0c12"));
    }

    #[test]
    fn the_longest_names_fit_into_63_bytes() {
        let id = TenantId::of_uid("u");
        let name = PhysicalName::new(&id, &DatabaseName::parse(&"a".repeat(24)).unwrap());
        assert!(name.login(&CredentialName::parse(&"c".repeat(16)).unwrap(), Side::B).len() <= 63);
        assert_eq!(PhysicalName::parse(name.as_str()), Ok(name));
    }

    #[test]
    fn an_adopted_database_keeps_its_name_and_its_roles_are_named_like_any() {
        let own = || PhysicalName::new(&TenantId::of_uid("u"), &DatabaseName::parse("crm").unwrap());
        for name in ["legacy_crm", "CRM-2019.eu", "_x", "9lives", "tombstones", "tenantrys", &"a".repeat(63)]
        {
            let adopted = own().of_adopted(name).unwrap();
            assert_eq!((adopted.as_str(), adopted.group(Group::Owner)), (name, own().group(Group::Owner)));
        }
        let (long, own_name) = ("a".repeat(64), own().as_str().to_owned());
        let refused =
            ["", "-a", ".a", "a b", "a\"b", "a'b", "a;b", "a\0", "ä", "a/b", "a%b", "a\\b", &long, &own_name];
        let kept = [
            "t_",
            "tenantry",
            "tenantry_pool",
            "tombstone_x",
            "postgres",
            "template0",
            "template1",
            "template_crm",
        ];
        for name in refused.into_iter().chain(kept) {
            assert_eq!(own().of_adopted(name), Err(NotAdoptable(name.to_owned())), "{name:?}");
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for bad in ["", "A", "1a", "a_b", "a-", "-a", "a b", "a\"b", "a\0", "ä", "a; DROP", &"a".repeat(25)]
        {
            assert!(DatabaseName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(DatabaseName::parse("orders-2").is_ok());
    }
}
