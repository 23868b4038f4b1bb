//! The guard: ends what an ordinary login can do to a whole server and PostgreSQL does not forbid.
//!
//! Any login may wait for an exclusive lock on a catalog that every new connection reads, since the lock comes before
//! the check of rights; keep another's database or role locked; fill the lock table that all share; or have the
//! operator wait. A [`Watch`] looks a few times a second, [`decide`] says who has to go (pure), and the gate ends them.
//! What cannot be ended is healed by the next plan, and what the layout can forbid it forbids.
//!
//! # How it sees while nobody else can log in
//! The session is opened before, and stays in one transaction that has read the shared catalogs: a lock that one holds
//! is not waited for again. Each look is undone by a savepoint, so neither an error nor a lock of the look's own stays;
//! an idle transaction without a snapshot keeps nothing from being vacuumed. An admin who wants such a catalog for
//! himself gets it: the guard makes way.
//!
//! Superuser, or `pg_signal_backend` and `pg_read_all_stats`, is what our login needs for it.

pub mod decide;
mod query;

use std::time::Duration;

use sqlx::Row;

use self::decide::{BLOCKING, Intervention, Look};
use super::connect::{Address, ConnectError, Connection, ServerPool};
use super::execute::{ExecuteError, Gate};
use super::record::Cause;
use super::statement::{Backend, Statement};

/// Time from one look to the next. What a tenant keeps from all others it keeps for about so long.
pub const PERIOD: Duration = Duration::from_millis(200);

/// Reads the shared catalogs that the looks will need, and with it keeps them readable. A setting that 17 brought would
/// end the transaction.
const BEGIN: &str = "BEGIN; \
    SELECT FROM pg_roles, pg_auth_members, pg_database, pg_tablespace, pg_db_role_setting LIMIT 0; \
    SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout'; \
    SAVEPOINT look";
/// Undoes a look. The next one has to see the sessions of its own moment.
const UNDO: &str = "ROLLBACK TO SAVEPOINT look; SELECT pg_stat_clear_snapshot()";

/// Why the guard does not watch.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// There is no session.
    #[error("failed to open the guard's session")]
    Connect(#[source] ConnectError),
    /// The server did not answer, or refused.
    #[error("failed to look at the sessions of {at}")]
    Look {
        /// Where.
        at: Address,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// Sessions were not ended.
    #[error("failed to end sessions")]
    End(#[source] ExecuteError),
    /// Our login would see too little and end nothing.
    #[error(
        "failed to guard the server: our login may not see or end the sessions of others; \
         run: GRANT pg_signal_backend, pg_read_all_stats TO {admin:?}"
    )]
    PrivilegeMissing {
        /// Our login.
        admin: String,
    },
}

/// The guard's session on one server.
#[derive(Debug)]
pub struct Watch {
    connection: Connection,
    pid: i32,
}

impl Watch {
    /// Begins to watch.
    pub async fn open(pool: &ServerPool) -> Result<Self, GuardError> {
        let connection = pool.guard().await.map_err(GuardError::Connect)?;
        let mut watch = Self { connection, pid: 0 };
        let query = sqlx::query(
            "SELECT pg_backend_pid(), pg_has_role('pg_signal_backend', 'USAGE') \
             AND pg_has_role('pg_read_all_stats', 'USAGE')",
        );
        let rows = watch.connection.rows(query).await;
        let rows = rows.map_err(|source| watch.failed(source))?;
        let row = rows.first().ok_or_else(|| watch.failed(sqlx::Error::RowNotFound))?;
        let (pid, able): (i32, bool) = row
            .try_get(0)
            .and_then(|pid| row.try_get(1).map(|able| (pid, able)))
            .map_err(|source| watch.failed(source))?;
        if !able {
            let admin = watch.connection.address().username().to_owned();
            return Err(GuardError::PrivilegeMissing { admin });
        }
        watch.pid = pid;
        watch.send(BEGIN).await?;
        // The first look pays for what the session has to learn about the catalogs: better now than in a freeze.
        watch.look().await?;
        Ok(watch)
    }

    /// Looks once and ends whoever has to go. Returns them.
    pub async fn turn(&mut self, gate: &Gate) -> Result<Vec<Intervention>, GuardError> {
        let look = self.look().await?;
        let interventions = look.decide();
        if !interventions.is_empty() {
            self.end(gate, &interventions).await?;
        }
        self.make_way(&look).await?;
        Ok(interventions)
    }

    /// Looks once.
    pub async fn look(&mut self) -> Result<Look, GuardError> {
        let query = sqlx::query(query::LOOK).bind(BLOCKING.as_secs_f64());
        let rows = self.connection.rows(query).await;
        let rows = rows.map_err(|source| self.failed(source))?;
        self.send(UNDO).await?;
        let mut look = Look::default();
        for row in &rows {
            let (queue, session) = query::seen(row).map_err(|source| self.failed(source))?;
            look.notification_queue = queue;
            look.sessions.extend(session);
        }
        Ok(look)
    }

    /// Ends these sessions, each only if it is still the one that was looked at.
    async fn end(&mut self, gate: &Gate, interventions: &[Intervention]) -> Result<(), GuardError> {
        for Intervention { pid, started, login, database, reason } in interventions {
            let backend = Backend { pid: *pid, started: started.clone(), login: login.clone() };
            let cause = Cause::new(format!("database {database}"), reason.name());
            let ended = gate.run_in(&mut self.connection, Statement::EndBackend(backend), cause).await;
            self.send(UNDO).await?;
            ended.map_err(GuardError::End)?;
        }
        Ok(())
    }

    /// Lets somebody have a shared catalog for himself if `look` saw him wait for this session.
    async fn make_way(&mut self, look: &Look) -> Result<(), GuardError> {
        if !look.is_in_the_way(self.pid) {
            return Ok(());
        }
        self.send("COMMIT").await?;
        self.send(BEGIN).await
    }

    async fn send(&mut self, sql: &str) -> Result<(), GuardError> {
        let sent = self.connection.run(sql.to_owned()).await;
        sent.map(drop).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: sqlx::Error) -> GuardError {
        GuardError::Look { at: self.connection.address().clone(), source }
    }
}
