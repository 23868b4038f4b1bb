//! Bootstrap: a server is prepared once, and kept prepared.
//!
//! The operator database `tenantry` holds the marker, epoch, pool and tombstone tables. It is made closed, with
//! CONNECTION LIMIT 0: a database of that name in exactly that state, ours and without a comment, is one that
//! we did not finish. One transaction then takes PUBLIC's rights, makes the role that owns tenant databases,
//! sets the comment that says whose it is, and opens it. So at every point a crash leaves either nothing, or
//! something that is known as ours; any other database of that name is [`BootstrapError::NameConflict`] and is
//! not touched.
//!
//! `postgres` and `template1` are closed to PUBLIC: a tenant's login could otherwise enter them. An admin login
//! that is not a superuser can do that only as their owner; if it is neither, a superuser has to, and until then
//! nothing is made on the server.
//!
//! *Superuser or not.* A login with CREATEDB and CREATEROLE is enough otherwise. It becomes a member of
//! `tenantry_databases`, since PostgreSQL gives a database only to a role that the giver can act as. It cannot
//! take built-in functions from PUBLIC (they are the initial superuser's), so that part of the layout is
//! left out for it.

use std::collections::BTreeSet;

use sqlx::Row;

use super::connect::{Address, ConnectError, Connection, OPERATOR_DATABASE, ServerPool, chain};
use super::execute::{ExecuteError, Gate};
use super::facts::{DATABASE_OWNER, Database, Facts, Grantee, Membership, Privilege, Role, Server};
use super::observe::{self, ObserveError, Scope};
use super::quote::{Ident, Literal, QuoteError};
use super::record::Cause;
use super::statement::{
    Batch, DatabaseChange, Object, PoolChange, RoleAttribute, Statement, TombstoneChange,
};

/// Tables of the operator database.
const TABLES: [&str; 5] = ["marker", "epoch", "tombstone", "pool", "credential"];
const COMMENT: &str = "Operator database of Tenantry";
/// The oldest release whose schema public belongs to the database's owner.
const OLDEST_VERSION: u32 = 150_000;

/// Why a server could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// There is no session.
    #[error("failed to connect to the server")]
    Connect(#[source] ConnectError),
    /// The catalogs could not be read.
    #[error("failed to observe the server")]
    Observe(#[source] ObserveError),
    /// A name of the server's that cannot be quoted.
    #[error("failed to plan the server's preparation")]
    Quote(#[source] QuoteError),
    /// A statement failed.
    #[error("failed to prepare the server")]
    Execute(#[source] ExecuteError),
    /// The server is too old.
    #[error("failed to prepare the server: PostgreSQL {0} is too old, 15 or newer is needed")]
    Unsupported(String),
    /// The server takes no writes.
    #[error("failed to prepare the server: it is a standby and takes no writes")]
    ReadOnly,
    /// A database or role of that name is somebody else's.
    #[error("failed to prepare the server: {what} {name:?} exists and is not ours; rename or remove it")]
    NameConflict {
        /// `database` or `role`.
        what: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// Our login lacks a privilege.
    #[error("failed to prepare the server: our login may not run this, have a superuser run it: {statement}")]
    PrivilegeMissing {
        /// The statement.
        statement: String,
    },
}

/// Which parts of the operator database exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    schema: bool,
    tables: BTreeSet<String>,
    /// Whether a marker row may say everything that we write of a database's life.
    phases: bool,
    /// Whether the marker table has every column.
    widened: bool,
}

/// Brings the server to where tenant databases can be made, and says what it is.
pub async fn bootstrap(gate: &Gate, pool: &ServerPool) -> Result<Server, BootstrapError> {
    let (connection, facts, parts) = look(pool).await?;
    let batches = plan(&facts, &parts)?;
    if batches.is_empty() {
        connection.release().await;
        return Ok(facts.server);
    }
    let cause = Cause::new("the operator database", "prepare the server");
    gate.session(pool, connection, cause).run(&batches).await.map_err(BootstrapError::Execute)?;
    // PostgreSQL only warns when a REVOKE takes nothing: what counts is what the catalogs say afterwards.
    let (connection, facts, parts) = look(pool).await?;
    connection.release().await;
    match plan(&facts, &parts)?.first().and_then(|batch| batch.statements.first()) {
        None => Ok(facts.server),
        Some(statement) => Err(BootstrapError::PrivilegeMissing { statement: statement.to_string() }),
    }
}

/// Whether a server whose operator database exists is as [`bootstrap`] leaves it, by facts that were read already: those of
/// [`Scope::whole_server`].
pub fn is_prepared(have: &Facts, parts: &Parts) -> Result<bool, BootstrapError> {
    let ours = |it: &Membership| it.group == DATABASE_OWNER || it.member == DATABASE_OWNER;
    let memberships = have.memberships.iter().filter(|(membership, _)| ours(membership));
    let own = Facts {
        server: have.server.clone(),
        databases: have.databases.clone(),
        roles: have
            .roles
            .get_key_value(DATABASE_OWNER)
            .into_iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        memberships: memberships.map(|(membership, admin)| (membership.clone(), *admin)).collect(),
        ..Facts::default()
    };
    plan(&own, parts).map(|batches| batches.is_empty())
}

async fn look(pool: &ServerPool) -> Result<(Connection, Facts, Parts), BootstrapError> {
    let (mut connection, entered) = match pool.operator().await {
        Ok(connection) => (connection, true),
        Err(
            ConnectError::NoSuchDatabase { .. }
            | ConnectError::DatabaseClosed { .. }
            | ConnectError::NotPermitted { .. },
        ) => (elsewhere(pool).await?, false),
        Err(error) => return Err(BootstrapError::Connect(error)),
    };
    let facts = observe::catalog(&mut connection, &Scope::server()).await.map_err(BootstrapError::Observe)?;
    let parts = if entered { parts(&mut connection).await? } else { Parts::default() };
    Ok((connection, facts, parts))
}

/// A session from which the operator database can be made.
async fn elsewhere(pool: &ServerPool) -> Result<Connection, BootstrapError> {
    let postgres = Ident::parse("postgres").map_err(BootstrapError::Quote)?;
    pool.database(&postgres).await.map_err(|error| match error {
        ConnectError::NotPermitted { at, .. } => BootstrapError::PrivilegeMissing {
            statement: match Ident::foreign(at.username()) {
                Ok(admin) => format!("GRANT CONNECT ON DATABASE {postgres} TO {admin}"),
                Err(error) => chain(&error),
            },
        },
        error => BootstrapError::Connect(error),
    })
}

/// Reads which parts of the operator database exist, in a session there.
pub async fn parts(connection: &mut Connection) -> Result<Parts, BootstrapError> {
    let query = sqlx::query(
        "SELECT n.nspname::text, c.relname::text, EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid \
          AND k.conname = 'marker_phase_check' AND pg_get_constraintdef(k.oid) LIKE '%Dropping%'), \
         EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND c.relname = 'marker' AND a.attname = 'own_server') \
         FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind = 'r' WHERE n.nspname = 'tenantry'",
    );
    let at = connection.address().clone();
    let read = |source| read_failed(at.clone(), source);
    let rows = connection.rows(query).await.map_err(read)?;
    let tables: Result<Vec<Option<String>>, _> = rows.iter().map(|row| row.try_get(1)).collect();
    let marker = |column| -> Result<bool, _> {
        let all: Result<Vec<bool>, _> = rows.iter().map(|row| row.try_get(column)).collect();
        all.map(|all| all.contains(&true)).map_err(read)
    };
    Ok(Parts {
        schema: !rows.is_empty(),
        tables: tables.map_err(read)?.into_iter().flatten().collect(),
        phases: marker(2)?,
        widened: marker(3)?,
    })
}

impl Parts {
    /// Whether every table is there, so that it can be read.
    pub fn are_there(&self) -> bool {
        TABLES.iter().all(|table| self.tables.contains(*table))
    }
}

fn read_failed(at: Address, source: sqlx::Error) -> BootstrapError {
    BootstrapError::Observe(ObserveError::Read { what: "the operator database", at, source })
}

fn plan(have: &Facts, parts: &Parts) -> Result<Vec<Batch>, BootstrapError> {
    if have.server.version_number < OLDEST_VERSION {
        return Err(BootstrapError::Unsupported(have.server.version.clone()));
    }
    if have.server.read_only {
        return Err(BootstrapError::ReadOnly);
    }
    let operator = Ident::parse(OPERATOR_DATABASE).map_err(BootstrapError::Quote)?;
    let standing = standing(have, parts)?;
    let mut server = close_system_databases(have)?;
    let mut batches = vec![];
    if standing == Standing::Absent {
        batches.push(Batch::server(vec![Statement::CreateDatabase {
            name: operator.clone(),
            owner: None,
            connection_limit: Some(0),
            plain_locale: have.server.template_encoding != "UTF8",
        }]));
    }
    server.extend(open_operator_database(have, &operator)?);
    server.extend(keep_database_owner(have)?);
    if !server.is_empty() {
        batches.push(Batch::server(server));
    }
    let mut inside = vec![];
    if !parts.schema {
        inside.push(Statement::CreateOperatorSchema);
    }
    if parts.tables.contains("marker") && !parts.phases {
        inside.push(Statement::Tombstone(TombstoneChange::AdmitPhase));
    }
    if parts.tables.contains("marker") && !parts.widened {
        inside.push(Statement::WidenMarkerTable);
    }
    for (table, statement) in [
        ("marker", Statement::CreateMarkerTable),
        ("epoch", Statement::CreateEpochTable),
        ("tombstone", Statement::Tombstone(TombstoneChange::CreateTable)),
        ("pool", Statement::Pool(PoolChange::CreateTable)),
        ("credential", Statement::CreateCredentialTable),
    ] {
        if !parts.tables.contains(table) {
            inside.push(statement);
        }
    }
    if !inside.is_empty() {
        batches.push(Batch::database(operator, inside));
    }
    Ok(batches)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Absent,
    Unfinished,
    Ours,
}

/// Whose the database `tenantry` is, and with it the role that owns tenant databases.
fn standing(have: &Facts, parts: &Parts) -> Result<Standing, BootstrapError> {
    let standing = match have.databases.get(OPERATOR_DATABASE) {
        None => Standing::Absent,
        Some(it) if it.comment.as_deref() == Some(COMMENT) => Standing::Ours,
        Some(_) if parts.tables.contains("marker") && parts.tables.contains("epoch") => Standing::Ours,
        Some(it) if is_unfinished(it, &have.server) => Standing::Unfinished,
        Some(_) => return Err(BootstrapError::NameConflict { what: "database", name: OPERATOR_DATABASE }),
    };
    // The role is made in the transaction that makes the database known as ours.
    if standing != Standing::Ours && have.roles.contains_key(DATABASE_OWNER) {
        return Err(BootstrapError::NameConflict { what: "role", name: DATABASE_OWNER });
    }
    Ok(standing)
}

fn is_unfinished(it: &Database, server: &Server) -> bool {
    it.owner == server.admin
        && !it.allow_connections
        && it.connection_limit == Some(0)
        && it.comment.is_none()
}

fn close_system_databases(have: &Facts) -> Result<Vec<Statement>, BootstrapError> {
    let mut statements = vec![];
    for name in ["postgres", "template1"] {
        let Some(database) = have.databases.get(name) else { continue };
        let Some(statement) = close_to_public(name, database)? else { continue };
        if !have.server.superuser && !database.admin_is_owner {
            return Err(BootstrapError::PrivilegeMissing { statement: statement.to_string() });
        }
        statements.push(statement);
    }
    Ok(statements)
}

/// Takes what PUBLIC has on a database; `None` when it has nothing.
fn close_to_public(name: &str, database: &Database) -> Result<Option<Statement>, BootstrapError> {
    let open = database.acl.keys().filter(|(grantee, _)| *grantee == Grantee::Public);
    let privileges: BTreeSet<Privilege> = open.map(|(_, privilege)| *privilege).collect();
    if privileges.is_empty() {
        return Ok(None);
    }
    let object = Object::Database(Ident::foreign(name).map_err(BootstrapError::Quote)?);
    Ok(Some(Statement::Revoke { object, privileges, grantee: Grantee::Public, grant_option_only: false }))
}

fn open_operator_database(have: &Facts, name: &Ident) -> Result<Vec<Statement>, BootstrapError> {
    let new = Database {
        connection_limit: Some(0),
        // What PostgreSQL gives to PUBLIC on every new database.
        acl: [Privilege::Connect, Privilege::Temporary].map(|it| ((Grantee::Public, it), false)).into(),
        ..Database::default()
    };
    let database = have.databases.get(OPERATOR_DATABASE).unwrap_or(&new);
    let alter = |change| Statement::AlterDatabase { name: name.clone(), change };
    let mut statements: Vec<_> = close_to_public(OPERATOR_DATABASE, database)?.into_iter().collect();
    if database.comment.as_deref() != Some(COMMENT) {
        statements
            .push(alter(DatabaseChange::Comment(Literal::new(COMMENT).map_err(BootstrapError::Quote)?)));
    }
    if database.connection_limit.is_some() {
        statements.push(alter(DatabaseChange::ConnectionLimit(None)));
    }
    if !database.allow_connections {
        statements.push(alter(DatabaseChange::AllowConnections(true)));
    }
    Ok(statements)
}

fn keep_database_owner(have: &Facts) -> Result<Vec<Statement>, BootstrapError> {
    let owner = Ident::parse(DATABASE_OWNER).map_err(BootstrapError::Quote)?;
    let mut statements = vec![];
    match have.roles.get(DATABASE_OWNER) {
        None => statements.push(Statement::CreateGroup { role: owner.clone() }),
        Some(role) => {
            let attributes = RoleAttribute::drift(role, &Role::group());
            if !attributes.is_empty() {
                statements.push(Statement::AlterRole { role: owner.clone(), attributes });
            }
        }
    }
    let admin = &have.server.admin;
    for membership in have.memberships.keys() {
        let needed =
            membership.member == *admin && membership.group == DATABASE_OWNER && !have.server.superuser;
        if !needed {
            let revoked = Statement::revoke_role(have, membership, false);
            statements.extend(revoked.map_err(BootstrapError::Quote)?);
        }
    }
    let membership = Membership { group: DATABASE_OWNER.to_owned(), member: admin.clone() };
    if !have.server.superuser && !have.memberships.contains_key(&membership) {
        let member = Ident::foreign(admin).map_err(BootstrapError::Quote)?;
        statements.push(Statement::GrantRole { group: owner, member });
    }
    Ok(statements)
}
