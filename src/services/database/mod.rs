//! The bound database of a service: a pool that knows whether the database is there.
//!
//! # Flow
//! 1. [`Database::new`] reads the binding; nothing is connected yet and every [`Database::acquire`] is refused at once.
//! 2. [`Database::open`] tries until a deadline to connect and to run the service's migrations.
//! 3. [`Database::watch`] then looks at the database now and then, and at once when a request had trouble.
//!
//! # Guarantees
//! - While the database is known to be away, requests are refused without waiting for it.
//! - When the server refuses the login, the binding is read again: a rotated Secret changes under us.
//! - Every session has `search_path` pinned to the service's own schema, and time limits.

pub mod binding;
mod error;
mod migrate;
mod pool_metrics;
mod session;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Postgres};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::binding::{Binding, BindingError};
pub use self::error::DatabaseError;
pub use self::migrate::OpenError;
pub use self::session::Session;
use crate::telemetry::{Gate, Metrics};

/// How long closing may wait for connections that are still in use.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a statement of a request may run; the server ends it.
const STATEMENT_TIMEOUT: &str = "5s";
/// How long the server lets a transaction of ours sit idle.
const IDLE_TRANSACTION_TIMEOUT: &str = "10s";
/// Unused connections beyond the minimum are given back after this time, so that the pool shrinks again.
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);
/// A connection is renewed after this time: servers grow their caches per connection.
const MAX_LIFETIME: Duration = Duration::from_mins(30);
/// A connection that was idle for longer is checked before it is used.
const CHECK_AFTER_IDLE: Duration = Duration::from_secs(1);
/// How often the database is looked at while it is there, and while it is away.
const WATCH_PERIOD: Duration = Duration::from_secs(10);
const RETRY_PERIOD: Duration = Duration::from_millis(500);

/// Bounds of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    min: u32,
    max: u32,
}

/// How many connections there are, and how long a request waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Bounds of the pool.
    pub size: PoolSize,
    /// How long a request waits for a connection.
    pub acquire_within: Duration,
}

/// Bounds that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "pool of {min} to {max} connections is not valid: both must be 1 to 100 and the minimum not above the maximum"
)]
pub struct InvalidPoolSize {
    min: u32,
    max: u32,
}

impl PoolSize {
    /// Bounds within 1 to 100.
    pub fn new(min: u32, max: u32) -> Result<Self, InvalidPoolSize> {
        let valid = (1..=100).contains(&min) && (1..=100).contains(&max) && min <= max;
        if valid { Ok(Self { min, max }) } else { Err(InvalidPoolSize { min, max }) }
    }
}

/// What a service wants of its database.
#[derive(Debug)]
pub struct DatabaseNeeds {
    /// Name of the service, which the server shows for each session.
    pub service: &'static str,
    /// The service's own schema. Created by its migrations; a plain identifier.
    pub schema: &'static str,
    /// The service's migrations.
    pub migrator: Migrator,
}

/// The bound database. Clones share it.
#[derive(Clone, Debug)]
pub struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    needs: DatabaseNeeds,
    root: PathBuf,
    binding: Mutex<Binding>,
    gate: Gate,
    open: AtomicBool,
    suspect: Notify,
}

impl Database {
    /// Reads the binding below `root`. Nothing is connected yet.
    pub fn new(
        root: PathBuf,
        limits: PoolLimits,
        needs: DatabaseNeeds,
        gate: Gate,
    ) -> Result<Self, BindingError> {
        let binding = Binding::read(&root)?;
        let pool = PgPoolOptions::new()
            .min_connections(limits.size.min)
            .max_connections(limits.size.max)
            .acquire_timeout(limits.acquire_within)
            .idle_timeout(IDLE_TIMEOUT)
            .max_lifetime(MAX_LIFETIME)
            .test_before_acquire(false)
            .before_acquire(|connection, idle| {
                Box::pin(async move {
                    if idle.idle_for > CHECK_AFTER_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(request_options(&binding, &needs));
        gate.not_ready("not connected yet");
        Ok(Self(Arc::new(Inner {
            pool,
            needs,
            root,
            binding: Mutex::new(binding),
            gate,
            open: AtomicBool::new(false),
            suspect: Notify::new(),
        })))
    }

    /// Reports the pool's size and use.
    pub fn register(&self, metrics: &Metrics) {
        pool_metrics::register(metrics, self.0.pool.clone());
    }

    /// Connects and migrates, trying again until `deadline`.
    ///
    /// Safe to run in several processes at once: an advisory lock in the database lets one migrate and the others wait.
    pub async fn open(&self, deadline: Instant) -> Result<(), OpenError> {
        migrate::until(self, deadline).await?;
        self.set_open(Ok(()));
        Ok(())
    }

    /// Looks at the database until `shutdown`, and keeps the gate and [`Database::acquire`] true to what it sees.
    pub async fn watch(&self, shutdown: CancellationToken) {
        loop {
            let period = if self.is_open() { WATCH_PERIOD } else { RETRY_PERIOD };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.0.suspect.notified() => {}
                () = tokio::time::sleep(period) => {}
            }
            match self.check().await {
                // All connections are busy: that is load, and load alone does not make a database absent.
                Err(sqlx::Error::PoolTimedOut) if self.is_saturated() && self.is_open() => {}
                checked => self.set_open(checked),
            }
        }
    }

    /// A connection for one request. Refused at once while the database is known to be away.
    pub async fn acquire(&self) -> Result<Session, DatabaseError> {
        if !self.is_open() {
            return Err(DatabaseError::Closed);
        }
        let connection = self.connect().await.map_err(|error| self.sort(error))?;
        Ok(Session::new(self.clone(), connection))
    }

    /// Sorts an error of a statement, and has the database looked at if it may be away.
    fn sort(&self, error: sqlx::Error) -> DatabaseError {
        let error = DatabaseError::of(error);
        if matches!(error, DatabaseError::Unavailable(_)) {
            self.suspect();
        }
        error
    }

    /// Has the database looked at now rather than later.
    fn suspect(&self) {
        self.0.suspect.notify_one();
    }

    /// Closes every connection, politely as long as the server plays along.
    pub async fn close(&self) {
        if tokio::time::timeout(CLOSE_TIMEOUT, self.0.pool.close()).await.is_err() {
            tracing::warn!("failed to close every database connection in time");
        }
    }

    /// Whether a connection can be had and answers.
    async fn check(&self) -> Result<(), sqlx::Error> {
        let mut session = Session::new(self.clone(), self.connect().await?);
        let within = self.0.pool.options().get_acquire_timeout();
        let answered = tokio::time::timeout(within, session.ping()).await;
        let answered = answered.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        if answered.is_ok() {
            session.give_back();
        }
        answered
    }

    /// A connection from the pool. If the login is refused, the binding is read again, and tried once more if it
    /// has changed.
    async fn connect(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        match self.0.pool.acquire().await {
            Err(error) if error::is_login_refused(&error) && self.refresh_binding() => {
                self.0.pool.acquire().await
            }
            acquired => acquired,
        }
    }

    /// Whether the binding was read again and is another one.
    fn refresh_binding(&self) -> bool {
        let fresh = match Binding::read(&self.0.root) {
            Ok(fresh) => fresh,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "failed to read the binding again");
                return false;
            }
        };
        let mut current = self.0.binding.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == fresh {
            return false;
        }
        tracing::info!("the binding has changed");
        self.0.pool.set_connect_options(request_options(&fresh, &self.0.needs));
        *current = fresh;
        true
    }

    fn binding(&self) -> Binding {
        self.0.binding.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Acquire)
    }

    fn is_saturated(&self) -> bool {
        self.0.pool.size() >= self.0.pool.options().get_max_connections() && self.0.pool.num_idle() == 0
    }

    /// Logs on change only: a database that stays away is one event.
    fn set_open(&self, checked: Result<(), sqlx::Error>) {
        match checked {
            Ok(()) => {
                self.0.gate.ready();
                if !self.0.open.swap(true, Ordering::AcqRel) {
                    tracing::info!("the database is available");
                }
            }
            Err(error) => {
                self.0.gate.not_ready(error::reason(&error));
                if self.0.open.swap(false, Ordering::AcqRel) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the database is not available");
                }
            }
        }
    }
}

/// Options of every session of a service.
fn session_options(binding: &Binding, needs: &DatabaseNeeds) -> PgConnectOptions {
    binding
        .connect_options()
        .application_name(&format!("tenantry-{}", needs.service))
        // pg_temp last: it is otherwise searched first, and a temporary table could stand in for a real one.
        .options([("search_path", format!("{},pg_temp", needs.schema))])
}

/// Options of a session that serves requests.
fn request_options(binding: &Binding, needs: &DatabaseNeeds) -> PgConnectOptions {
    session_options(binding, needs).options([
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_TRANSACTION_TIMEOUT),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_1_to_100_connections() {
        for (min, max) in [(1, 1), (10, 100), (1, 10), (100, 100)] {
            assert_eq!(PoolSize::new(min, max), Ok(PoolSize { min, max }));
        }
        for (min, max) in [(0, 10), (1, 0), (11, 10), (1, 101), (101, 101)] {
            assert_eq!(PoolSize::new(min, max), Err(InvalidPoolSize { min, max }));
        }
    }
}
