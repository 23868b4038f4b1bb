//! Reading a database, as a login that is only a member of its owner group: what stands against a dump, and its summary.
//!
//! Every session is read-only and finds nothing by name but `pg_catalog`, so what a tenant has made is never called:
//! rows are printed by PostgreSQL's own output functions, views are not evaluated, and policies end the session with an
//! error instead of hiding rows.

use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use super::catalog::{CLEAR_DEFAULT_RIGHTS, TABLES, THINGS};
use super::logic::quoted;
use super::obstacles::OBSTACLES;
use super::summary::{CONTENT, POSITION, Rows, Summary, hex};
use crate::api::archive::Snapshot;
use crate::services::database::binding::Binding;

/// Bytes of a large object that are read at once.
const PIECE: i32 = 1024 * 1024;
/// Most obstacles that are named.
const NAMED: usize = 5;

/// What a session needs so that both summaries print alike and nothing of a tenant's is called. No limit of time: a
/// table takes as long as it takes, and the pod has a deadline.
const SETTINGS: &str = "SET search_path = pg_catalog, pg_temp; SET row_security = off; \
    SET default_transaction_read_only = on; SET DateStyle = 'ISO, YMD'; \
    SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET bytea_output = 'hex'; SET extra_float_digits = 1; \
    SET lc_monetary = 'C'; SET quote_all_identifiers = off; SET jit = off; \
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', \
    'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')";

/// The groups of the login, and whether it may do what no tenant may.
const LOGIN: &str = "SELECT DISTINCT g.rolname::text, l.rolsuper OR l.rolcreaterole OR l.rolcreatedb OR l.rolreplication \
    OR l.rolbypassrls OR coalesce(g.rolsuper OR g.rolcreaterole OR g.rolcreatedb OR g.rolreplication OR g.rolbypassrls, false) \
    FROM pg_roles l LEFT JOIN pg_auth_members m ON m.member = l.oid LEFT JOIN pg_roles g ON g.oid = m.roleid \
    WHERE l.rolname = session_user ORDER BY 1";

/// The moment that is dumped.
const MOMENT: &str = "SELECT pg_export_snapshot(), pg_current_wal_insert_lsn()::text, \
    to_char(clock_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), \
    (SELECT system_identifier::text FROM pg_control_system())";

const LARGE_OBJECTS: &str =
    "SELECT m.oid::int8, lo_get(m.oid, 0, $1) FROM pg_largeobject_metadata m ORDER BY m.oid";
const LARGE_OBJECT: &str = "SELECT lo_get($1::int8::oid, $2, $3)";
const SEQUENCES: &str = "SELECT s.seqrelid::regclass::text FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid \
    WHERE c.relpersistence <> 't' AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass \
    AND e.objid = s.seqrelid AND e.deptype = 'e') ORDER BY 1";

/// Why a database cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No session.
    #[error("failed to connect to database {database:?}")]
    Connect {
        /// The database.
        database: String,
        /// What went wrong.
        #[source]
        source: sqlx::Error,
    },
    /// A login that what a tenant planted could do harm with, or that nobody knows the database's owner by.
    #[error(
        "failed to use the login: it must be a member of the database's owner group and of nothing else, but {0}"
    )]
    Login(String),
    /// No snapshot.
    #[error("failed to take a snapshot")]
    Snapshot(#[source] sqlx::Error),
    /// A clock that nobody understands.
    #[error("failed to read the server's clock")]
    Clock(#[source] jiff::Error),
    /// Something that would be missing in a dump.
    #[error("failed to read everything: {}", .0.join("; "))]
    Obstacles(Vec<String>),
    /// The catalogs.
    #[error("failed to read the catalogs")]
    Catalog(#[source] sqlx::Error),
    /// A table, a sequence or a large object.
    #[error("failed to read {name}")]
    Thing {
        /// Which.
        name: String,
        /// What went wrong.
        #[source]
        source: sqlx::Error,
    },
    /// A table of which the last row has no end.
    #[error("failed to read {0}: its last row has no end")]
    Torn(String),
    /// A scratch database that has something in it.
    #[error(
        "failed to use the scratch database: it is not empty ({0}), so nobody could say what was restored; make a new one"
    )]
    NotEmpty(String),
    /// An extension of the scratch database.
    #[error("failed to create extension {name:?} in the scratch database as it is in the database")]
    Extension {
        /// Its name.
        name: String,
        /// What went wrong.
        #[source]
        source: sqlx::Error,
    },
    /// Default rights of the scratch database.
    #[error("failed to clear the default rights of the scratch database")]
    DefaultRights(#[source] sqlx::Error),
}

/// A snapshot that a dump can use while its session is open.
#[derive(Debug)]
pub struct Moment {
    /// Its name for `pg_dump --snapshot`.
    pub id: String,
    /// What the report says of it.
    pub snapshot: Snapshot,
    /// The server.
    pub system_identifier: String,
}

/// The group that the login is a member of: the owner group of the database, whatever the database is called by now.
pub async fn group(binding: &Binding) -> Result<String, ReadError> {
    let session = open(binding, binding.username(), binding.database()).await?;
    group_of(session).await
}

/// Whether the login that restores is a member of that group, and has no way into the database itself.
pub async fn check_restorer(
    binding: &Binding,
    restorer: &str,
    scratch: &str,
    group: &str,
) -> Result<(), ReadError> {
    let mut session = open(binding, restorer, scratch).await?;
    let query = "SELECT has_database_privilege(session_user, $1, 'CONNECT')";
    let gets_in: bool = sqlx::query_scalar(query)
        .bind(binding.database())
        .fetch_one(&mut session)
        .await
        .map_err(ReadError::Catalog)?;
    if gets_in {
        return Err(ReadError::Login(format!("{restorer} may connect to the database itself")));
    }
    let own = group_of(session).await?;
    if own == group { Ok(()) } else { Err(ReadError::Login(format!("{restorer} is one of {own}"))) }
}

async fn group_of(mut session: PgConnection) -> Result<String, ReadError> {
    let found: Vec<(Option<String>, bool)> =
        sqlx::query_as(LOGIN).fetch_all(&mut session).await.map_err(ReadError::Catalog)?;
    // Whether the goodbye arrives makes no difference: nothing was changed.
    let _ = session.close().await;
    if found.iter().any(|(_, powerful)| *powerful) {
        return Err(ReadError::Login("it has rights on the whole server".into()));
    }
    let mut groups: Vec<String> = found.into_iter().filter_map(|(group, _)| group).collect();
    match (groups.pop(), groups.as_slice()) {
        (Some(group), []) => Ok(group),
        (Some(last), others) => Err(ReadError::Login(format!("it is one of {}, {last}", others.join(", ")))),
        (None, _) => Err(ReadError::Login("it is a member of no group".into())),
    }
}

/// A session of `login` in `database` that is the group role, reads only, and waits so long for a lock.
pub async fn connect(
    binding: &Binding,
    login: &str,
    database: &str,
    group: &str,
    lock_wait: Duration,
) -> Result<PgConnection, ReadError> {
    let failed = |source| ReadError::Connect { database: database.into(), source };
    let mut session = open(binding, login, database).await?;
    session.execute(AssertSqlSafe(format!("SET ROLE {}", quoted(group)))).await.map_err(failed)?;
    let settings = format!("{SETTINGS}; SET lock_timeout = {}", lock_wait.as_millis());
    sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut session).await.map_err(failed)?;
    Ok(session)
}

async fn open(binding: &Binding, login: &str, database: &str) -> Result<PgConnection, ReadError> {
    let options = binding
        .connect_options()
        .username(login)
        .database(database)
        .application_name("tenantry-archive")
        .options([("search_path", "pg_catalog,pg_temp")]);
    options.connect().await.map_err(|source| ReadError::Connect { database: database.into(), source })
}

/// Begins the transaction that everything is read in.
pub async fn begin(session: &mut PgConnection) -> Result<(), ReadError> {
    let begun = session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await;
    begun.map(drop).map_err(ReadError::Snapshot)
}

/// The same, and exports its snapshot.
pub async fn begin_moment(session: &mut PgConnection) -> Result<Moment, ReadError> {
    begin(session).await?;
    let (id, lsn, taken_at, system_identifier): (String, String, String, String) =
        sqlx::query_as(MOMENT).fetch_one(session).await.map_err(ReadError::Snapshot)?;
    let taken_at: Timestamp = taken_at.parse().map_err(ReadError::Clock)?;
    Ok(Moment { id, snapshot: Snapshot { lsn, taken_at }, system_identifier })
}

/// Refuses a database of which the login could not dump everything.
pub async fn obstacles(session: &mut PgConnection) -> Result<(), ReadError> {
    let found: Vec<(String, String)> =
        sqlx::query_as(OBSTACLES).fetch_all(session).await.map_err(ReadError::Catalog)?;
    if found.is_empty() {
        return Ok(());
    }
    let more = found.len().saturating_sub(NAMED);
    let mut named: Vec<String> =
        found.into_iter().take(NAMED).map(|(name, reason)| format!("{name} {reason}")).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    Err(ReadError::Obstacles(named))
}

/// Everything in the database, in the transaction that has begun.
///
/// A transaction keeps the locks of everything that it has read, and all databases of a server share the room for locks: each
/// part is read in a subtransaction of its own, which ends with its locks and leaves the snapshot.
pub async fn summary(session: &mut PgConnection) -> Result<Summary, ReadError> {
    session.execute("SAVEPOINT part").await.map_err(ReadError::Catalog)?;
    let mut summary = Summary::default();
    for query in THINGS {
        let things: Vec<(String, String, Value)> =
            sqlx::query_as(query).fetch_all(&mut *session).await.map_err(ReadError::Catalog)?;
        for (kind, name, definition) in things {
            summary.add(&kind, &name, definition);
        }
        let_go(session).await?;
    }
    positions(session, &mut summary).await?;
    let_go(session).await?;
    let tables: Vec<(String, String)> =
        sqlx::query_as(TABLES).fetch_all(&mut *session).await.map_err(ReadError::Catalog)?;
    for (table, columns) in tables {
        summary.add_rows(&table, &rows(session, &table, &columns).await?);
        let_go(session).await?;
    }
    large_objects(session, &mut summary).await?;
    let_go(session).await?;
    Ok(summary)
}

async fn let_go(session: &mut PgConnection) -> Result<(), ReadError> {
    session.execute("ROLLBACK TO SAVEPOINT part").await.map(drop).map_err(ReadError::Catalog)
}

/// Where each sequence is. A sequence is outside every snapshot: one that moves meanwhile is a difference.
async fn positions(session: &mut PgConnection, summary: &mut Summary) -> Result<(), ReadError> {
    let names: Vec<String> =
        sqlx::query_scalar(SEQUENCES).fetch_all(&mut *session).await.map_err(ReadError::Catalog)?;
    for name in names {
        // The server printed the name, with its quotes.
        let query = AssertSqlSafe(format!("SELECT last_value, is_called FROM {name}"));
        let (last, called): (i64, bool) = sqlx::query_as(query)
            .fetch_one(&mut *session)
            .await
            .map_err(|source| ReadError::Thing { name: format!("sequence {name}"), source })?;
        summary.add(POSITION, &name, json!({"last value": last, "is called": called}));
    }
    Ok(())
}

async fn rows(session: &mut PgConnection, table: &str, columns: &str) -> Result<Rows, ReadError> {
    let failed = |source| ReadError::Thing { name: format!("table {table}"), source };
    let copy = format!("COPY (SELECT {columns} FROM ONLY {table}) TO STDOUT");
    let mut rows = Rows::default();
    let mut stream = session.copy_out_raw(&copy).await.map_err(failed)?;
    while let Some(bytes) = stream.try_next().await.map_err(failed)? {
        rows.feed(&bytes);
    }
    if rows.is_whole() { Ok(rows) } else { Err(ReadError::Torn(format!("table {table}"))) }
}

async fn large_objects(session: &mut PgConnection, summary: &mut Summary) -> Result<(), ReadError> {
    let failed = |source| ReadError::Thing { name: "the large objects".into(), source };
    let mut long = vec![];
    let mut stream = sqlx::query_as::<_, (i64, Vec<u8>)>(LARGE_OBJECTS).bind(PIECE).fetch(&mut *session);
    while let Some((id, bytes)) = stream.try_next().await.map_err(failed)? {
        let hash = Sha256::new().chain_update(&bytes);
        if i32::try_from(bytes.len()) == Ok(PIECE) {
            long.push((id, hash));
        } else {
            add_content(summary, id, bytes.len() as u64, hash);
        }
    }
    drop(stream);
    for (id, mut hash) in long {
        let failed = |source| ReadError::Thing { name: format!("large object {id}"), source };
        let mut offset = i64::from(PIECE);
        loop {
            let query = sqlx::query_scalar(LARGE_OBJECT).bind(id).bind(offset).bind(PIECE);
            let bytes: Vec<u8> = query.fetch_one(&mut *session).await.map_err(failed)?;
            if bytes.is_empty() {
                break;
            }
            hash.update(&bytes);
            offset += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        }
        add_content(summary, id, offset.unsigned_abs(), hash);
    }
    Ok(())
}

fn add_content(summary: &mut Summary, id: i64, bytes: u64, hash: Sha256) {
    summary.add(CONTENT, &id.to_string(), json!({"bytes": bytes, "content": hex(&hash.finalize())}));
}

/// Makes an empty scratch database ready: nothing may be in it, and what is restored gets no rights by default.
pub async fn prepare_scratch(session: &mut PgConnection) -> Result<(), ReadError> {
    for query in THINGS {
        let things: Vec<(String, String, Value)> =
            sqlx::query_as(query).fetch_all(&mut *session).await.map_err(ReadError::Catalog)?;
        // The operator declares these.
        let declared = ["extension", "member of extension", "default rights"];
        let mut foreign = things.into_iter().filter(|(kind, _, _)| !declared.contains(&kind.as_str()));
        if let Some((kind, name, _)) = foreign.next() {
            return Err(ReadError::NotEmpty(format!("{kind} {name}")));
        }
    }
    let clear: Vec<String> = sqlx::query_scalar(CLEAR_DEFAULT_RIGHTS)
        .fetch_all(&mut *session)
        .await
        .map_err(ReadError::DefaultRights)?;
    session.execute("SET default_transaction_read_only = off").await.map_err(ReadError::DefaultRights)?;
    for statement in clear {
        session.execute(AssertSqlSafe(statement)).await.map_err(ReadError::DefaultRights)?;
    }
    Ok(())
}
