//! Observe: catalogs → [`Facts`], in a few set-based queries that serve one database or all of a server.
//!
//! Nothing here evaluates tenant code: only catalogs and built-in functions, in sessions whose `search_path` is
//! pinned. Reading all databases of a server takes [`catalog`]'s six statements, however many there are; only
//! [`inside`] needs a session in each database.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connect::{Address, Connection, OPERATOR_DATABASE};
use super::facts::{
    Acl, DATABASE_OWNER, Database, DefaultKind, Facts, Grantee, Inside, Privilege, Role, Server,
    StoredPassword,
};
use super::function::RestrictedFunction;
mod elevated;
mod existing;
mod extensions;
mod issues;
mod markers;
mod memberships;
mod pace;
mod pool;
mod queries;
mod tombstone;

pub use elevated::elevated_roles;
pub use existing::existing;
pub use extensions::available;
pub use issues::issues;
pub use markers::{Markers, markers};
pub use pace::{Coming, pace};
pub use pool::{databases, pool};
pub use tombstone::{dependencies, insiders, kept_archive, tombstone};

use super::scram::Verifier;
use super::settings::Setting;
use crate::api::names::PhysicalName;
use crate::postgres::pool::{self as warm, PoolName};
use crate::postgres::tombstone::{CUT_SHORT, TombstoneName};

/// Why the catalogs could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The server did not answer, or refused.
    #[error("failed to read {what} in {at}")]
    Read {
        /// What was read.
        what: &'static str,
        /// Where.
        at: Address,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// A credential row that we did not write like this.
    #[error("failed to understand the row of credential {name:?} of {physical_name:?}")]
    UnknownIssue {
        /// The row's physical name.
        physical_name: String,
        /// The row's credential.
        name: String,
    },
    /// A marker row that we did not write like this.
    #[error("failed to understand the marker row of {physical_name:?}: phase {phase:?} is unknown")]
    UnknownPhase {
        /// The row's physical name.
        physical_name: String,
        /// What stands there.
        phase: String,
    },
    /// A marker row of a version that knows more of adoption than this one.
    #[error("failed to understand the marker row of {physical_name:?}: management {management:?} is unknown")]
    UnknownManagement {
        /// The row's physical name.
        physical_name: String,
        /// What stands there.
        management: String,
    },
}

/// Which databases and roles are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    databases: Vec<String>,
    database_prefix: Option<String>,
    roles: Vec<String>,
    role_prefix: Option<String>,
}

impl Scope {
    /// One tenant database and the roles whose names begin with its name.
    pub fn database(name: &PhysicalName) -> Self {
        Self {
            databases: vec![name.as_str().to_owned()],
            database_prefix: None,
            roles: vec![],
            role_prefix: Some(name.role_prefix()),
        }
    }

    /// Every tenant database of the server, and their roles.
    pub fn all_databases() -> Self {
        Self {
            databases: vec![],
            database_prefix: Some("t_".to_owned()),
            roles: vec![],
            role_prefix: Some("t_".to_owned()),
        }
    }

    /// And that database of the warm pool with its roles.
    #[must_use]
    pub fn and_member(mut self, member: &PoolName) -> Self {
        self.databases.push(member.as_str().to_owned());
        self.roles.extend(member.roles());
        self
    }

    /// One database of the warm pool with its roles.
    pub fn member(member: &PoolName) -> Self {
        let none = Self { databases: vec![], database_prefix: None, roles: vec![], role_prefix: None };
        none.and_member(member)
    }

    /// The warm pool's databases and their roles.
    pub fn pool() -> Self {
        Self {
            databases: vec![],
            database_prefix: Some(warm::PREFIX.to_owned()),
            roles: vec![],
            role_prefix: Some(warm::PREFIX.to_owned()),
        }
    }

    /// The same database, and the one that it is or would be as a tombstone.
    #[must_use]
    pub fn and_tombstone(mut self, tombstone: &TombstoneName) -> Self {
        self.databases.push(tombstone.as_str().to_owned());
        self
    }

    /// Every tenant database of the server with their roles, and what [`bootstrap`](super::bootstrap) looks after.
    pub fn whole_server() -> Self {
        let Self { databases, roles, .. } = Self::server();
        Self { databases, roles, ..Self::all_databases() }
    }

    /// And databases of those names: those that we did not make have names of their own.
    #[must_use]
    pub fn and_databases(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.databases.extend(names);
        self
    }

    /// What [`bootstrap`](super::bootstrap) looks after.
    pub fn server() -> Self {
        Self {
            databases: [OPERATOR_DATABASE, "postgres", "template1"].map(str::to_owned).to_vec(),
            database_prefix: None,
            roles: vec![DATABASE_OWNER.to_owned()],
            role_prefix: None,
        }
    }
}

/// Reads what the server is and what our login may do.
pub async fn server(connection: &mut Connection) -> Result<Server, ObserveError> {
    let privileged = Setting::PRIVILEGED.map(Setting::name).to_vec();
    let rows = read(connection, "the server", sqlx::query(queries::SERVER).bind(privileged)).await?;
    let decode = |row: &PgRow| -> Result<Server, sqlx::Error> {
        let forbidden: Vec<String> = row.try_get(11)?;
        let is_forbidden = |setting: &Setting| forbidden.iter().any(|name| name == setting.name());
        Ok(Server {
            version: row.try_get(0)?,
            version_number: row.try_get::<i32, _>(1)?.unsigned_abs(),
            system_identifier: row.try_get(2)?,
            read_only: row.try_get(3)?,
            template_encoding: row.try_get(4)?,
            admin: row.try_get(5)?,
            superuser: row.try_get(6)?,
            create_role: row.try_get(7)?,
            create_database: row.try_get(8)?,
            reads_passwords: row.try_get(9)?,
            collation_version: row.try_get(10)?,
            forbidden_settings: Setting::PRIVILEGED.into_iter().filter(is_forbidden).collect(),
        })
    };
    let server = rows.first().ok_or(sqlx::Error::RowNotFound).and_then(decode);
    server.map_err(|source| failed(connection, "the server", source))
}

/// Reads databases, roles, memberships, settings and sessions. Marker rows and what is inside databases come from
/// [`markers()`] and [`inside`].
pub async fn catalog(connection: &mut Connection, scope: &Scope) -> Result<Facts, ObserveError> {
    let facts = catalog_at_rest(connection, scope).await?;
    let sessions = sessions(connection, scope).await?;
    Ok(Facts { sessions, ..facts })
}

/// Reads the same but for the sessions: what stays while nobody changes it.
pub async fn catalog_at_rest(connection: &mut Connection, scope: &Scope) -> Result<Facts, ObserveError> {
    let server = server(connection).await?;
    let mut databases = catalogued(connection, scope).await?;
    let mut roles = roles(connection, scope, server.reads_passwords).await?;
    settings(connection, scope, &mut databases, &mut roles).await?;
    let mut facts = Facts { databases, roles, ..Facts::default() };
    memberships::read_into(&mut facts, connection, scope, server.version_number).await?;
    Ok(Facts { server, ..facts })
}

/// Reads what the session's own database holds of ours.
pub async fn inside(connection: &mut Connection) -> Result<Inside, ObserveError> {
    const WHAT: &str = "schema and default privileges";
    let rows = read(connection, WHAT, sqlx::query(queries::INSIDE)).await?;
    let mut inside = Inside::default();
    for row in &rows {
        enter(&mut inside, row).map_err(|source| failed(connection, WHAT, source))?;
    }
    Ok(inside)
}

fn enter(inside: &mut Inside, row: &PgRow) -> Result<(), sqlx::Error> {
    let (about, subject, kind): (String, String, String) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let acl = match about.as_str() {
        "extension" => {
            if !row.try_get::<bool, _>(5)? {
                inside.extensions.of_others.insert(subject.clone());
            }
            inside.extensions.installed.insert(subject, kind);
            return Ok(());
        }
        "path" => {
            inside.extensions.search_path = Some(subject);
            return Ok(());
        }
        "home" => {
            let home = inside.extensions.homes.entry(subject).or_default();
            home.owner = kind;
            &mut home.acl
        }
        "schema" => inside.public.get_or_insert_default(),
        "default" => match DefaultKind::from_catalog(&kind) {
            Some(kind) => inside.defaults.entry((subject, kind)).or_default(),
            None => return Ok(()),
        },
        _ => match RestrictedFunction::from_signature(&subject) {
            Some(function) => inside.functions.entry(function).or_default(),
            None => return Ok(()),
        },
    };
    privilege(acl, row, 3)
}

/// Adds the privilege in the three columns from `first` on, if there is one.
fn privilege(acl: &mut Acl, row: &PgRow, first: usize) -> Result<(), sqlx::Error> {
    let grantee: Option<String> = row.try_get(first)?;
    let keyword: Option<String> = row.try_get(first + 1)?;
    let grantable: Option<bool> = row.try_get(first + 2)?;
    if let Some(privilege) = keyword.as_deref().and_then(Privilege::from_keyword) {
        let grantee = grantee.map_or(Grantee::Public, Grantee::Role);
        *acl.entry((grantee, privilege)).or_default() |= grantable.unwrap_or(false);
    }
    Ok(())
}

async fn catalogued(
    connection: &mut Connection,
    scope: &Scope,
) -> Result<BTreeMap<String, Database>, ObserveError> {
    const WHAT: &str = "databases";
    let query = sqlx::query(queries::DATABASES).bind(&scope.databases).bind(&scope.database_prefix);
    let rows = read(connection, WHAT, query).await?;
    let mut databases = BTreeMap::<String, Database>::new();
    let mut enter = |row: &PgRow| -> Result<(), sqlx::Error> {
        let name: String = row.try_get(0)?;
        if !databases.contains_key(&name) {
            let limit: i32 = row.try_get(5)?;
            let database = Database {
                owner: row.try_get(1)?,
                admin_is_owner: row.try_get(2)?,
                allow_connections: row.try_get(3)?,
                template: row.try_get(4)?,
                cut_short: limit == CUT_SHORT,
                connection_limit: u32::try_from(limit).ok(),
                settings: BTreeMap::new(),
                encoding: row.try_get(6)?,
                comment: row.try_get(7)?,
                acl: Acl::new(),
            };
            databases.insert(name.clone(), database);
        }
        databases.get_mut(&name).map_or(Ok(()), |database| privilege(&mut database.acl, row, 8))
    };
    let done = rows.iter().try_for_each(&mut enter);
    done.map_err(|source| failed(connection, WHAT, source))?;
    Ok(databases)
}

async fn roles(
    connection: &mut Connection,
    scope: &Scope,
    with_passwords: bool,
) -> Result<BTreeMap<String, Role>, ObserveError> {
    const WHAT: &str = "roles";
    let query = sqlx::query(if with_passwords { queries::ROLES_WITH_PASSWORDS } else { queries::ROLES });
    let rows = read(connection, WHAT, query.bind(&scope.roles).bind(&scope.role_prefix)).await?;
    let decode = |row: &PgRow| -> Result<(String, Role), sqlx::Error> {
        let stored: Option<String> = row.try_get(10)?;
        let password = match stored {
            _ if !with_passwords => StoredPassword::Unreadable,
            None => StoredPassword::Absent,
            Some(text) => Verifier::parse(&text).map_or(StoredPassword::Other, StoredPassword::Scram),
        };
        let role = Role {
            login: row.try_get(1)?,
            inherit: row.try_get(2)?,
            superuser: row.try_get(3)?,
            create_database: row.try_get(4)?,
            create_role: row.try_get(5)?,
            replication: row.try_get(6)?,
            bypass_rls: row.try_get(7)?,
            expires: row.try_get(8)?,
            connection_limit: u32::try_from(row.try_get::<i32, _>(9)?).ok(),
            password,
            settings: BTreeMap::new(),
        };
        Ok((row.try_get(0)?, role))
    };
    rows.iter().map(decode).collect::<Result<_, _>>().map_err(|source| failed(connection, WHAT, source))
}

async fn settings(
    connection: &mut Connection,
    scope: &Scope,
    databases: &mut BTreeMap<String, Database>,
    roles: &mut BTreeMap<String, Role>,
) -> Result<(), ObserveError> {
    const WHAT: &str = "settings of databases and roles";
    let query = sqlx::query(queries::SETTINGS).bind(&scope.roles).bind(&scope.role_prefix);
    let query = query.bind(&scope.databases).bind(&scope.database_prefix);
    let rows = read(connection, WHAT, query).await?;
    let enter = |row: &PgRow| -> Result<(), sqlx::Error> {
        let (role, database): (Option<String>, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        let setting: String = row.try_get(2)?;
        let settings = match (role, database) {
            (Some(role), database) => {
                roles.get_mut(&role).map(|role| role.settings.entry(database).or_default())
            }
            (None, Some(database)) => databases.get_mut(&database).map(|database| &mut database.settings),
            (None, None) => None,
        };
        if let Some(settings) = settings {
            // A name may be so long that its value is cut off.
            let (name, value) = setting.split_once('=').unwrap_or((&setting, ""));
            settings.insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    };
    rows.iter().try_for_each(enter).map_err(|source| failed(connection, WHAT, source))
}

async fn sessions(
    connection: &mut Connection,
    scope: &Scope,
) -> Result<BTreeMap<String, BTreeMap<String, u32>>, ObserveError> {
    const WHAT: &str = "sessions";
    let query = sqlx::query(queries::SESSIONS).bind(&scope.databases).bind(&scope.database_prefix);
    let query = query.bind(&scope.roles).bind(&scope.role_prefix);
    let rows = read(connection, WHAT, query).await?;
    let mut sessions = BTreeMap::<String, BTreeMap<String, u32>>::new();
    let enter = |row: &PgRow| -> Result<(), sqlx::Error> {
        let count = u32::try_from(row.try_get::<i64, _>(2)?).unwrap_or(u32::MAX);
        sessions.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, count);
        Ok(())
    };
    rows.iter().try_for_each(enter).map_err(|source| failed(connection, WHAT, source))?;
    Ok(sessions)
}

async fn read(
    connection: &mut Connection,
    what: &'static str,
    query: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
) -> Result<Vec<PgRow>, ObserveError> {
    let rows = connection.rows(query).await;
    rows.map_err(|source| failed(connection, what, source))
}

fn failed(connection: &Connection, what: &'static str, source: sqlx::Error) -> ObserveError {
    ObserveError::Read { what, at: connection.address().clone(), source }
}
