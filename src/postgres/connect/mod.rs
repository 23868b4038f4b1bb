//! Sessions: opened verified, pinned, bounded and with a deadline.
//!
//! Every connection is encrypted and the certificate verified, name included. The startup packet pins
//! `search_path`, so a session of ours never runs what a tenant planted in a schema, and sets the timeouts that
//! keep a waiting statement from waiting for ever. One [`ServerPool`] a server keeps at most
//! [`OPERATOR_SESSIONS`] sessions on the operator database and opens at most [`TENANT_SESSIONS`] short-lived
//! ones elsewhere: a slow server holds up its own users only. What a user of the pool hears of the server, an
//! answer or silence, [`ServerPool::listening`] tells.
//!
//! A [`Connection`] that is dropped is closed, and the server rolls back what was open in it; only
//! [`Connection::release`] gives it back. So a reconcile that is cancelled between two lines leaves no half-done
//! transaction behind for the next one to find.
//!
//! The library trusts the public web CAs beside the CA of the admin Secret; it has no way to leave them out.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::TryStreamExt;
use prometheus_client::metrics::counter::Counter;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow, PgSslMode, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Executor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

mod error;
mod heard;
mod pinned;

pub(crate) use error::code;
pub use error::{Address, ConnectError, chain};
pub use heard::{Heard, Last};

use pinned::{GUARD_SETTINGS, SETTINGS};

use super::quote::Ident;
use super::scram::Password;

/// Name of the operator database.
pub const OPERATOR_DATABASE: &str = "tenantry";
/// Sessions that a pool keeps on the operator database: one of them for who looks whether the server answers.
pub const OPERATOR_SESSIONS: usize = 5;
/// Sessions that a pool has open on other databases at once.
pub const TENANT_SESSIONS: usize = 4;
/// A connection that takes longer has failed.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Whoever waits longer for a free session of the pool is told so.
const SESSION_DEADLINE: Duration = Duration::from_secs(20);
/// The server ends its statements after 30 s; a client that still waits then waits for a server that hangs.
const ANSWER_DEADLINE: Duration = Duration::from_secs(35);
/// The same for a statement that the server never ends by itself: it goes on there without us.
const UNHURRIED_DEADLINE: Duration = Duration::from_mins(10);
/// How to reach a server as its admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTarget {
    /// DNS name or IP address; the certificate has to be valid for it.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Login of the admin.
    pub username: String,
    /// Password of the admin.
    pub password: Password,
    /// CA certificates in PEM.
    pub ca_pem: String,
}

/// Sessions on one server. Cheap to clone.
#[derive(Clone)]
pub struct ServerPool {
    shared: Arc<Shared>,
    heard: Heard,
}

struct Shared {
    target: AdminTarget,
    options: PgConnectOptions,
    operator: Arc<Semaphore>,
    elsewhere: Arc<Semaphore>,
    guard: Arc<Semaphore>,
    idle: Mutex<Vec<PgConnection>>,
    statements: Counter,
}

impl Shared {
    fn new(target: AdminTarget, options: PgConnectOptions, statements: Counter) -> Self {
        Self {
            target,
            options,
            operator: Arc::new(Semaphore::new(OPERATOR_SESSIONS)),
            elsewhere: Arc::new(Semaphore::new(TENANT_SESSIONS)),
            guard: Arc::new(Semaphore::new(1)),
            idle: Mutex::default(),
            statements,
        }
    }
}

impl ServerPool {
    /// A pool for that server. Nothing is opened yet. `statements` counts everything that is sent.
    pub fn new(target: AdminTarget, statements: Counter) -> Result<Self, ConnectError> {
        let invalid = |what: String| Err(ConnectError::InvalidTarget(what));
        if ServerName::try_from(target.host.as_str()).is_err() {
            return invalid(format!("host {:?} is neither a DNS name nor an IP address", target.host));
        }
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(target.ca_pem.as_bytes()).collect();
        match certificates {
            Ok(list) if !list.is_empty() => {}
            Ok(_) => return invalid("the CA holds no certificate in PEM".to_owned()),
            Err(error) => return invalid(format!("the CA is not PEM: {error}")),
        }
        let options = PgConnectOptions::new_without_pgpass()
            .host(&target.host)
            .port(target.port)
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert_from_pem(target.ca_pem.clone().into_bytes())
            .application_name("tenantry")
            .options(SETTINGS)
            .disable_statement_logging();
        let shared = Shared::new(target, options, statements);
        Ok(Self { shared: Arc::new(shared), heard: Heard::default() })
    }

    /// The same pool with an ear of its own, that hears what this user of it hears.
    #[must_use]
    pub fn listening(&self) -> (Self, Heard) {
        let heard = Heard::default();
        (Self { shared: Arc::clone(&self.shared), heard: heard.clone() }, heard)
    }

    /// As many sessions again on the same server, for who must not take those that others wait for. What is heard is heard
    /// here too.
    #[must_use]
    pub fn apart(&self) -> Self {
        let Shared { target, options, statements, .. } = &*self.shared;
        let shared = Shared::new(target.clone(), options.clone(), statements.clone());
        Self { shared: Arc::new(shared), heard: self.heard.clone() }
    }

    /// How the pool reaches its server; a changed target needs a new pool.
    pub fn target(&self) -> &AdminTarget {
        &self.shared.target
    }

    /// A session on the operator database, an idle one if there is one that still lives.
    pub async fn operator(&self) -> Result<Connection, ConnectError> {
        let at = self.admin_address(OPERATOR_DATABASE);
        let permit = permit(&self.shared.operator, &at).await?;
        loop {
            let Some(mut idle) = self.idle().pop() else { break };
            match timeout(CONNECT_DEADLINE, idle.ping()).await {
                Ok(Ok(())) => {
                    self.heard.answer();
                    return Ok(self.connection(idle, at, permit, true));
                }
                // It was closed meanwhile.
                Ok(Err(_)) => {}
                Err(_) => {
                    // The others would not answer either, and each would take as long to say so.
                    self.idle().clear();
                    return Err(self.silence(at));
                }
            }
        }
        let opened = self.open(&at, &self.shared.target.password).await?;
        Ok(self.connection(opened, at, permit, true))
    }

    /// A short-lived admin session on any database.
    pub async fn database(&self, database: &Ident) -> Result<Connection, ConnectError> {
        let at = self.admin_address(database.as_str());
        let permit = permit(&self.shared.elsewhere, &at).await?;
        let opened = self.open(&at, &self.shared.target.password).await?;
        Ok(self.connection(opened, at, permit, false))
    }

    /// The guard's session on the operator database, one a server and beside all others. What it sends a few times a
    /// second is not counted.
    pub(super) async fn guard(&self) -> Result<Connection, ConnectError> {
        let at = self.admin_address(OPERATOR_DATABASE);
        let permit = permit(&self.shared.guard, &at).await?;
        let options = self.shared.options.clone().application_name("tenantry guard").options(GUARD_SETTINGS);
        let opened = self.open_with(options, &at, &self.shared.target.password).await?;
        let statements = Counter::default();
        Ok(Connection { statements, ..self.connection(opened, at, permit, false) })
    }

    /// Logs in as somebody else and out again: proof that a binding works.
    pub async fn try_login(
        &self,
        database: &Ident,
        username: &str,
        password: &Password,
    ) -> Result<(), ConnectError> {
        let at = self.address(username, database.as_str());
        let _permit = permit(&self.shared.elsewhere, &at).await?;
        // The answer is there; how the server takes the goodbye does not matter.
        let _ = timeout(CONNECT_DEADLINE, self.open(&at, password).await?.close()).await;
        Ok(())
    }

    async fn open(&self, at: &Address, password: &Password) -> Result<PgConnection, ConnectError> {
        self.open_with(self.shared.options.clone(), at, password).await
    }

    async fn open_with(
        &self,
        options: PgConnectOptions,
        at: &Address,
        password: &Password,
    ) -> Result<PgConnection, ConnectError> {
        let options = options.username(at.username()).password(password.expose()).database(at.database());
        match timeout(CONNECT_DEADLINE, options.connect()).await {
            Ok(Ok(connection)) => {
                self.heard.answer();
                Ok(connection)
            }
            Ok(Err(error)) => {
                let error = error::classify(at.clone(), error);
                self.heard.refusal(&error);
                Err(error)
            }
            Err(_) => Err(self.silence(at.clone())),
        }
    }

    fn silence(&self, at: Address) -> ConnectError {
        let text = format!("no answer within {} s", CONNECT_DEADLINE.as_secs());
        let source = io::Error::new(io::ErrorKind::TimedOut, text);
        let error = ConnectError::Unreachable { at, source };
        self.heard.refusal(&error);
        error
    }

    fn connection(
        &self,
        inner: PgConnection,
        at: Address,
        permit: OwnedSemaphorePermit,
        pooled: bool,
    ) -> Connection {
        Connection {
            inner,
            at,
            reusable: true,
            deadline: ANSWER_DEADLINE,
            home: pooled.then(|| self.clone()),
            statements: self.shared.statements.clone(),
            heard: self.heard.clone(),
            permit,
        }
    }

    fn admin_address(&self, database: &str) -> Address {
        self.address(&self.shared.target.username, database)
    }

    fn address(&self, username: &str, database: &str) -> Address {
        Address::new(&self.shared.target.host, self.shared.target.port, username, database)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ServerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerPool({}:{})", self.shared.target.host, self.shared.target.port)
    }
}

/// One session. Reads pass through it from anywhere in this module; what changes something is sent by the gate.
pub struct Connection {
    inner: PgConnection,
    at: Address,
    reusable: bool,
    /// How long an answer is waited for.
    deadline: Duration,
    home: Option<ServerPool>,
    statements: Counter,
    heard: Heard,
    permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Where the session is.
    pub fn address(&self) -> &Address {
        &self.at
    }

    /// Ends the use of the session: back to the pool, or closed.
    pub async fn release(self) {
        match self.home {
            Some(pool) if self.reusable && self.deadline == ANSWER_DEADLINE => pool.idle().push(self.inner),
            // The work is done; a server that does not take the goodbye changes nothing of it.
            _ => drop(timeout(CONNECT_DEADLINE, self.inner.close()).await),
        }
        drop(self.permit);
    }

    /// Runs a query that reads.
    pub(super) async fn rows(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        self.statements.inc();
        // Until the answer is complete, the session is in a state that nobody else should find.
        self.reusable = false;
        let rows = in_time(self.deadline, self.inner.fetch_all(query)).await;
        self.hear(rows)
    }

    /// Sends one statement, or for the guard a few that change nothing; else only the gate calls it. Returns the number
    /// of rows that it changed.
    pub(super) async fn run(&mut self, sql: String) -> Result<u64, sqlx::Error> {
        self.statements.inc();
        self.reusable = false;
        let done = in_time(self.deadline, self.inner.execute(sqlx::raw_sql(AssertSqlSafe(sql)))).await;
        Ok(self.hear(done)?.rows_affected())
    }

    /// Sends `count` statements in one message that change nothing, and returns all their rows.
    pub(super) async fn rows_of(&mut self, sql: String, count: u64) -> Result<Vec<PgRow>, sqlx::Error> {
        self.statements.inc_by(count);
        self.reusable = false;
        let rows = in_time(self.deadline, self.inner.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql)))).await;
        self.hear(rows)
    }

    /// Lets the server take as long as it takes over what follows, for the gate alone. The session is nobody else's afterwards.
    pub(super) async fn take_time(&mut self) -> Result<(), sqlx::Error> {
        self.run("SET statement_timeout = 0".to_owned()).await?;
        self.deadline = UNHURRIED_DEADLINE;
        Ok(())
    }

    /// Sends `count` statements in one message, for the gate alone. `each` hears how many rows one of them changed, as
    /// the answers come; where one fails, the server skips the rest.
    pub(super) async fn run_all(
        &mut self,
        sql: String,
        count: usize,
        mut each: impl FnMut(u64),
    ) -> Result<(), sqlx::Error> {
        self.statements.inc_by(count as u64);
        self.reusable = false;
        let done = async {
            let mut answers = self.inner.execute_many(sqlx::raw_sql(AssertSqlSafe(sql)));
            while let Some(answer) = in_time(self.deadline, answers.try_next()).await? {
                each(answer.rows_affected());
            }
            Ok(())
        };
        let done = done.await;
        self.hear(done)
    }

    fn hear<T>(&mut self, answer: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        match &answer {
            Ok(_) => self.heard.answer(),
            Err(error) => self.heard.failure(error),
        }
        self.reusable = answer.is_ok();
        answer
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.at)
    }
}

async fn permit(semaphore: &Arc<Semaphore>, at: &Address) -> Result<OwnedSemaphorePermit, ConnectError> {
    match timeout(SESSION_DEADLINE, Arc::clone(semaphore).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(ConnectError::Busy { at: at.clone() }),
    }
}

async fn in_time<T>(
    deadline: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout(deadline, answer).await.unwrap_or_else(|_| {
        let text = format!("no answer within {} s", deadline.as_secs());
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, ca_pem: &str) -> AdminTarget {
        AdminTarget {
            host: host.to_owned(),
            port: 5432,
            username: "admin".to_owned(),
            password: Password::new("hunter2"),
            ca_pem: ca_pem.to_owned(),
        }
    }

    fn ca() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(vec!["db".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
    }

    #[test]
    fn a_target_that_cannot_be_verified_is_refused_before_anything_is_sent() {
        let refused = |host: &str, ca: &str| match ServerPool::new(target(host, ca), Counter::default()) {
            Err(ConnectError::InvalidTarget(message)) => message,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused("db", ""), "the CA holds no certificate in PEM");
        assert!(refused("db", "-----BEGIN CERTIFICATE-----\nx").starts_with("the CA is not PEM"));
        // A path would mean a Unix socket, where no certificate is checked.
        assert!(refused("/run/postgresql", &ca()).starts_with("host \"/run/postgresql\""));
        assert!(ServerPool::new(target("10.0.0.1", &ca()), Counter::default()).is_ok());
    }

    #[test]
    fn debug_of_a_target_and_of_a_pool_shows_no_password() {
        let target = target("db", &ca());
        assert!(!format!("{target:?}").contains("hunter2"));
        let pool = ServerPool::new(target, Counter::default()).unwrap();
        assert_eq!(format!("{pool:?}"), "ServerPool(db:5432)");
    }

    #[test]
    fn the_chain_of_an_error_names_every_cause_once() {
        let at = Address::new("h", 1, "u", "d");
        let error = ConnectError::Unreachable { at, source: io::Error::other("refused") };
        assert_eq!(chain(&error), "failed to reach database \"d\" on h:1 as \"u\": refused");
    }
}
