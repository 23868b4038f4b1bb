//! Facts: what a server's catalogs say, as plain values. Pure.
//!
//! Everything is keyed by name, since names are what statements speak of. The same structure holds one database
//! or all databases of a server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::adoption::Adopted;
use super::extension::Extensions;
use super::function::RestrictedFunction;
use super::issue::Issue;
use super::scram::Verifier;
use super::settings::Setting;
use crate::api::deletion::DeletionPolicy;

/// NOLOGIN role without members of its own that owns every tenant database.
pub const DATABASE_OWNER: &str = "tenantry_databases";

/// What was read from a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The server and our login on it.
    pub server: Server,
    /// Databases by name.
    pub databases: BTreeMap<String, Database>,
    /// Roles by name.
    pub roles: BTreeMap<String, Role>,
    /// Memberships, with whether the member may pass them on.
    pub memberships: BTreeMap<Membership, bool>,
    /// Who granted each membership, from release 16 on: there every grantor's grant stands by itself.
    pub grantors: BTreeMap<Membership, BTreeSet<String>>,
    /// Rows of the marker table.
    pub markers: Vec<Marker>,
    /// Sessions of each database, counted by login.
    pub sessions: BTreeMap<String, BTreeMap<String, u32>>,
    /// Rows of the credential table, by name of the credential; read for one database only.
    pub issues: BTreeMap<String, Issue>,
    /// What was read inside databases.
    pub inside: BTreeMap<String, Inside>,
}

/// The server and our login on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a right that a login has or has not")]
pub struct Server {
    /// Version as text, for example `15.18`.
    pub version: String,
    /// Version as a number, for example `150018`.
    pub version_number: u32,
    /// Identifier that initdb gave to the cluster.
    pub system_identifier: String,
    /// Whether the server takes no writes: a standby.
    pub read_only: bool,
    /// Encoding of `template0`.
    pub template_encoding: String,
    /// Version of the collation that `template0` uses, as the operating system has it now; empty if it has none.
    pub collation_version: String,
    /// Name of our login.
    pub admin: String,
    /// Whether our login is a superuser.
    pub superuser: bool,
    /// Whether our login may create roles.
    pub create_role: bool,
    /// Whether our login may create databases.
    pub create_database: bool,
    /// Whether our login may read stored passwords.
    pub reads_passwords: bool,
    /// Settings of ours that our login may not set.
    pub forbidden_settings: BTreeSet<Setting>,
}

/// A database, as shared catalogs know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent columns of pg_database")]
pub struct Database {
    /// Owner.
    pub owner: String,
    /// Whether our login may act as the owner.
    pub admin_is_owner: bool,
    /// Whether anybody may connect.
    pub allow_connections: bool,
    /// Whether anybody with CREATEDB may copy it.
    pub template: bool,
    /// Whether it is what a DROP DATABASE that was cut short left of it.
    pub cut_short: bool,
    /// Greatest number of connections; absent means no limit.
    pub connection_limit: Option<u32>,
    /// Settings for whoever connects to it.
    pub settings: BTreeMap<String, String>,
    /// Encoding.
    pub encoding: String,
    /// Comment.
    pub comment: Option<String>,
    /// Privileges.
    pub acl: Acl,
}

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent columns of pg_roles")]
pub struct Role {
    /// May log in.
    pub login: bool,
    /// Has the privileges of its groups without SET ROLE.
    pub inherit: bool,
    /// Superuser.
    pub superuser: bool,
    /// May create databases.
    pub create_database: bool,
    /// May create roles.
    pub create_role: bool,
    /// May replicate.
    pub replication: bool,
    /// Passes row security.
    pub bypass_rls: bool,
    /// The password has an end.
    pub expires: bool,
    /// Greatest number of connections; absent means no limit.
    pub connection_limit: Option<u32>,
    /// The stored password.
    pub password: StoredPassword,
    /// Settings by database; the key `None` is for all databases.
    pub settings: BTreeMap<Option<String>, BTreeMap<String, String>>,
}

impl Role {
    /// A group role: it lets nobody in, and has by itself what its own groups have. The owner of a database has to
    /// inherit, or its members would not have what PostgreSQL gives to the owner of a database.
    pub fn group() -> Self {
        Self { inherit: true, ..Self::default() }
    }
}

/// A role that can do more on the server than any login of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ElevatedRole {
    /// Its name.
    pub name: String,
    /// Keywords of its attributes, and the predefined roles that it is a member of.
    pub rights: Vec<String>,
}

/// What a server keeps as the password of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoredPassword {
    /// Our login may not read it.
    #[default]
    Unreadable,
    /// None: password logins are refused.
    Absent,
    /// A SCRAM-SHA-256 verifier.
    Scram(Verifier),
    /// Something else, such as an md5 hash.
    Other,
}

/// `member` is a member of `group`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Membership {
    /// The role that is granted.
    pub group: String,
    /// The role that it is granted to.
    pub member: String,
}

/// Privileges by grantee, with whether each may be passed on.
pub type Acl = BTreeMap<(Grantee, Privilege), bool>;

/// Who has a privilege.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grantee {
    /// Everybody.
    Public,
    /// One role.
    Role(String),
}

/// A privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the PostgreSQL keyword of the same name")]
pub enum Privilege {
    Connect,
    Temporary,
    Create,
    Usage,
    Select,
    Insert,
    Update,
    Delete,
    Execute,
}

impl Privilege {
    const ALL: [Self; 9] = [
        Self::Connect,
        Self::Temporary,
        Self::Create,
        Self::Usage,
        Self::Select,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Execute,
    ];

    /// The keyword.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Temporary => "TEMPORARY",
            Self::Create => "CREATE",
            Self::Usage => "USAGE",
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Execute => "EXECUTE",
        }
    }

    /// The privilege of that keyword. `None` for one that we neither grant nor refuse.
    pub fn from_keyword(keyword: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|privilege| privilege.keyword() == keyword)
    }
}

/// What was read inside one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// Privileges on schema public; absent without such a schema.
    pub public: Option<Acl>,
    /// Default privileges by the role that creates and the kind of object, for all schemas.
    pub defaults: BTreeMap<(String, DefaultKind), Acl>,
    /// Privileges on functions.
    pub functions: BTreeMap<RestrictedFunction, Acl>,
    /// Extensions.
    pub extensions: Extensions,
}

/// What default privileges are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefaultKind {
    /// Tables and views.
    Tables,
    /// Sequences.
    Sequences,
    /// Functions and procedures.
    Functions,
    /// Schemas.
    Schemas,
}

impl DefaultKind {
    /// All kinds that we declare.
    pub const ALL: [Self; 4] = [Self::Tables, Self::Sequences, Self::Functions, Self::Schemas];

    /// The keyword.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Tables => "TABLES",
            Self::Sequences => "SEQUENCES",
            Self::Functions => "FUNCTIONS",
            Self::Schemas => "SCHEMAS",
        }
    }

    /// The kind of `pg_default_acl.defaclobjtype`.
    pub fn from_catalog(letter: &str) -> Option<Self> {
        match letter {
            "r" => Some(Self::Tables),
            "S" => Some(Self::Sequences),
            "f" => Some(Self::Functions),
            "n" => Some(Self::Schemas),
            _ => None,
        }
    }
}

/// A row of the marker table: the truth about one database of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// UID of the tenant; with `name` the key.
    pub tenant_uid: String,
    /// Logical name: the claim's.
    pub name: String,
    /// Id of the tenant that the database was made for, as its physical name carries it.
    pub tenant_id: String,
    /// Name of the database.
    pub physical_name: String,
    /// Claim that the database is bound to, or was last.
    pub claim: Claim,
    /// Where in its life the database is.
    pub phase: Phase,
    /// Grows at every bind and release.
    pub generation: i64,
    /// Epoch of the leader that wrote the row; 0 until fencing.
    pub epoch: i64,
    /// Logins that we made for the database. A login that is not here is not ours.
    pub logins: BTreeSet<String>,
    /// How an admin gave us a database that we did not make; absent for one that we made.
    pub adopted: Option<Adopted>,
    /// What becomes of it when its claim goes.
    pub deletion_policy: DeletionPolicy,
    /// Whether its tenant has the server for its own: no database of another one is placed there.
    pub own_server: bool,
}

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID. Absent: the next claim of that namespace and name gets the database.
    pub uid: Option<String>,
}

/// Where in its life a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Being made; nobody has ever been able to log in.
    Creating,
    /// A claim uses it.
    Bound,
    /// Nobody uses it; logins are refused, everything is kept.
    Released,
    /// Renamed out of the way, to be dropped when its grace has ended and an archive of it is verified.
    Tombstoned,
    /// It is being dropped: its grace has ended, and an archive of it is verified.
    Dropping,
}

impl Marker {
    /// Whether the database is renamed out of the way.
    pub fn is_tombstone(&self) -> bool {
        matches!(self.phase, Phase::Tombstoned | Phase::Dropping)
    }
}

impl Phase {
    /// The text in the marker table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Bound => "Bound",
            Self::Released => "Released",
            Self::Tombstoned => "Tombstoned",
            Self::Dropping => "Dropping",
        }
    }

    /// The phase of that text.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Creating, Self::Bound, Self::Released, Self::Tombstoned, Self::Dropping];
        all.into_iter().find(|phase| phase.as_str() == text)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Inside {
    /// What a database made from `template0` has at most: 15 and newer leave USAGE to PUBLIC, a template that came
    /// from an older release leaves CREATE too.
    pub fn of_new_database(version_number: u32) -> Self {
        let public = |privilege| ((Grantee::Public, privilege), false);
        Self {
            public: Some([Privilege::Usage, Privilege::Create].map(public).into()),
            defaults: BTreeMap::new(),
            functions: RestrictedFunction::of(version_number)
                .map(|it| (it, [public(Privilege::Execute)].into()))
                .collect(),
            extensions: Extensions::of_new_database(),
        }
    }
}

impl Facts {
    /// The marker row of a database.
    pub fn marker(&self, physical_name: &str) -> Option<&Marker> {
        self.markers.iter().find(|marker| marker.physical_name == physical_name)
    }

    /// Number of sessions that any of `logins` has, on whichever database: a login gets into every one that PUBLIC may enter.
    pub fn sessions_of(&self, logins: &BTreeSet<String>) -> u32 {
        let all = self.sessions.values().flatten();
        all.filter(|(login, _)| logins.contains(*login)).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
impl Marker {
    /// The row of a tenant's database `app`, for tests to change what they are about.
    pub(crate) fn sample() -> Self {
        Self {
            tenant_uid: "u".into(),
            name: "app".into(),
            tenant_id: "x".into(),
            physical_name: "t_x_app".into(),
            claim: Claim { namespace: "tenant-acme".into(), name: "app".into(), uid: None },
            phase: Phase::Bound,
            generation: 1,
            epoch: 0,
            logins: BTreeSet::new(),
            adopted: None,
            deletion_policy: DeletionPolicy::Retain,
            own_server: false,
        }
    }
}
