//! The sessions on every database server that can be used now, and the one gate for SQL.
//!
//! The servers' controller opens a server when it was found to be the right one and prepared, and closes it when
//! it was not. Whoever works on databases gets a pool from here or does nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;

use crate::postgres::connect::{AdminTarget, ConnectError, ServerPool};
use crate::postgres::execute::Gate;
use crate::telemetry;

#[derive(Default)]
struct Known {
    pool: Option<ServerPool>,
    open: bool,
    /// Whether this process has found out yet.
    looked: bool,
}

/// The servers, by name of their DatabaseServer.
pub struct Servers {
    gate: Gate,
    statements: Counter,
    known: Mutex<HashMap<String, Known>>,
}

impl Servers {
    /// None yet. The number of statements that are sent is a metric.
    pub fn new(registry: &telemetry::Metrics, gate: Gate) -> Self {
        let statements = Counter::default();
        registry.register(|registry| {
            registry.register(
                "tenantry_sql_statements",
                "SQL statements sent to database servers",
                statements.clone(),
            );
        });
        Self { gate, statements, known: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The only way to change anything on a server.
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Number of statements sent so far.
    pub fn statements(&self) -> u64 {
        self.statements.get()
    }

    /// The pool of that server, if the server can be used now.
    pub fn pool(&self, server: &str) -> Option<ServerPool> {
        self.lock().get(server).filter(|known| known.open).and_then(|known| known.pool.clone())
    }

    /// The pool that reaches `target`: the one that there is, or a new one in its place. It is nobody else's before
    /// [`open`](Self::open).
    pub fn reach(&self, server: &str, target: AdminTarget) -> Result<ServerPool, ConnectError> {
        let mut all = self.lock();
        let known = all.entry(server.to_owned()).or_default();
        if let Some(pool) = known.pool.as_ref().filter(|pool| *pool.target() == target) {
            return Ok(pool.clone());
        }
        let pool = ServerPool::new(target, self.statements.clone())?;
        known.pool = Some(pool.clone());
        known.open = false;
        Ok(pool)
    }

    /// How the server was reached last, whether or not it can be used.
    pub fn target(&self, server: &str) -> Option<AdminTarget> {
        self.lock().get(server).and_then(|known| Some(known.pool.as_ref()?.target().clone()))
    }

    /// The server can be used from now on. `true` if it could not before.
    pub fn open(&self, server: &str) -> bool {
        let mut all = self.lock();
        let known = all.entry(server.to_owned()).or_default();
        known.looked = true;
        known.pool.is_some() && !std::mem::replace(&mut known.open, true)
    }

    /// The server cannot be used now. `true` if that is news.
    pub fn close(&self, server: &str) -> bool {
        let mut all = self.lock();
        let known = all.entry(server.to_owned()).or_default();
        let news = known.open || !known.looked;
        (known.open, known.looked) = (false, true);
        news
    }

    /// Whether this process has found out whether the server can be used. Until then nobody may say that it cannot.
    pub fn is_looked_at(&self, server: &str) -> bool {
        self.lock().get(server).is_some_and(|known| known.looked)
    }

    /// The server is gone.
    pub fn forget(&self, server: &str) {
        self.lock().remove(server);
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Servers({})", self.lock().len())
    }
}
