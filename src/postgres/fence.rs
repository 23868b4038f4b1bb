//! The fence: only the newest leader changes a server.
//!
//! A Lease does not fence: a process that stood still while its lease passed on goes on in the middle of a line when it
//! wakes up. PostgreSQL does. The operator database holds a number, the *epoch*, and an advisory lock around it, where
//! no tenant can connect.
//!
//! # Protocol
//! 1. A leader that looks at a server for the first time takes note of the epoch ([`Fences::see`]); it writes nothing.
//! 2. Before its first change it takes the lock exclusively and raises the epoch by compare-and-set from what it has seen.
//!    Whoever holds the lock for longer than `PATIENCE` is ended: that is an earlier leader, which may not go on.
//! 3. Every change runs in a session that holds the lock shared and has read the epoch since. Another epoch than the one
//!    that this process raised means that somebody else leads, or that the server was restored to an earlier state: the
//!    change is not sent.
//!
//! So between the check and the end of a change nobody can raise the epoch, and after it was raised no earlier leader can
//! start a change.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::connect::{Connection, code};

/// Key of the advisory lock.
const KEY: i64 = i64::from_be_bytes(*b"tenantry");
/// The one row that says who leads.
const EPOCH: &str = "SELECT epoch FROM tenantry.epoch";
/// How often an earlier leader is waited for, for as long as our sessions wait for a lock (3 s), before it is ended.
const PATIENCE: u32 = 4;
/// Whoever waits longer for the turn that raises the epoch is told so.
const TURN: Duration = Duration::from_secs(20);
/// SQLSTATE lock_not_available.
const LOCK_TIMEOUT: &str = "55P03";

/// Why nothing is changed on a server.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// A later leader has been here.
    #[error("another operator leads on this server: its epoch is {theirs}, and this one's is {ours}")]
    Superseded {
        /// The epoch that this process knows.
        ours: i64,
        /// The epoch that the server has.
        theirs: i64,
    },
    /// The server has forgotten an epoch.
    #[error("the server was restored to an earlier state: its epoch is {theirs}, and it was {ours}")]
    Restored {
        /// The epoch that this process knows.
        ours: i64,
        /// The epoch that the server has.
        theirs: i64,
    },
    /// The lease may have passed on.
    #[error("this process does not lead any more")]
    NotLeading,
    /// Another turn of this process is at it, and does not come to an end.
    #[error("failed to take the fence: the server does not answer another turn of this process")]
    Busy,
    /// No lock, or no answer.
    #[error("failed to take the fence")]
    Sql(#[source] sqlx::Error),
}

/// What this process knows of a server's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    Seen(i64),
    Raised(i64),
}

/// Whether this process may still lead, by its own clock.
pub type Authority = Arc<dyn Fn() -> bool + Send + Sync>;

/// What one process knows of every server's epoch. Clones share it.
#[derive(Clone, Default)]
pub struct Fences {
    authority: Option<Authority>,
    known: Arc<Mutex<HashMap<String, Slot>>>,
}

/// One server's; locked while the epoch is raised, so that it is raised once.
type Slot = Arc<tokio::sync::Mutex<Known>>;

impl Fences {
    /// Those of a process that leads while `authority` says so.
    pub fn of(authority: Authority) -> Self {
        Self { authority: Some(authority), ..Self::default() }
    }

    async fn slot(&self, connection: &Connection) -> Result<OwnedMutexGuard<Known>, FenceError> {
        let slot = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(connection.address().server()).or_default())
        };
        timeout(TURN, slot.lock_owned()).await.map_err(|_| FenceError::Busy)
    }

    /// Takes note of the epoch, in a session on the operator database. Called when the server was found to hold what it
    /// has to hold, so an epoch that is smaller than before is taken as it is.
    pub async fn see(&self, connection: &mut Connection) -> Result<(), FenceError> {
        let mut known = self.slot(connection).await?;
        let epoch = read(connection).await?;
        match *known {
            Known::Seen(before) | Known::Raised(before) if before <= epoch => {}
            _ => *known = Known::Seen(epoch),
        }
        Ok(())
    }

    /// Lets the session change the server, and returns the epoch that it does so in. [`leave`] lets it go, or the
    /// session's end, which has to follow an error.
    pub(super) async fn enter(&self, connection: &mut Connection) -> Result<i64, FenceError> {
        let mut known = self.slot(connection).await?;
        let ours = match *known {
            Known::Raised(epoch) => epoch,
            Known::Seen(epoch) => self.raise(connection, &mut known, epoch).await?,
            Known::Nothing => {
                let epoch = read(connection).await?;
                self.raise(connection, &mut known, epoch).await?
            }
        };
        drop(known);
        // Two statements in one message: one that waited for the lock would still see the epoch from before.
        let enter = format!("SELECT pg_advisory_lock_shared({KEY}); {EPOCH}");
        let theirs = epoch(&connection.rows_of(enter, 2).await.map_err(FenceError::Sql)?)?;
        if theirs != ours {
            return Err(other(ours, theirs));
        }
        self.authorised()?;
        Ok(ours)
    }

    fn authorised(&self) -> Result<(), FenceError> {
        let leads = self.authority.as_ref().is_none_or(|leads| leads());
        if leads { Ok(()) } else { Err(FenceError::NotLeading) }
    }

    async fn raise(
        &self,
        connection: &mut Connection,
        known: &mut Known,
        seen: i64,
    ) -> Result<i64, FenceError> {
        exclude(connection).await?;
        // With the lock in hand: this process may have stood still in front of it.
        self.authorised()?;
        let next = seen + 1;
        // Without an answer nobody knows whether it was raised: then it is read again.
        *known = Known::Nothing;
        let raise = format!("UPDATE tenantry.epoch SET epoch = {next} WHERE epoch = {seen}");
        let raised = run(connection, raise).await? == 1;
        let theirs = if raised { next } else { read(connection).await? };
        run(connection, format!("SELECT pg_advisory_unlock({KEY})")).await?;
        if !raised {
            *known = Known::Seen(seen);
            return Err(other(seen, theirs));
        }
        *known = Known::Raised(next);
        let server = connection.address().server();
        tracing::info!(target: "audit", { sql.server = server, marker.epoch = next }, "raised the server's epoch");
        Ok(next)
    }
}

impl fmt::Debug for Fences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fences({:?})", self.known)
    }
}

/// Lets go of what [`Fences::enter`] took.
pub(super) async fn leave(connection: &mut Connection) -> Result<(), FenceError> {
    run(connection, leaving()).await.map(drop)
}

/// The statement that lets go of it.
pub(super) fn leaving() -> String {
    format!("SELECT pg_advisory_unlock_shared({KEY})")
}

fn other(ours: i64, theirs: i64) -> FenceError {
    if theirs > ours {
        FenceError::Superseded { ours, theirs }
    } else {
        FenceError::Restored { ours, theirs }
    }
}

/// Waits until no other leader changes anything, and ends one that does not come to an end.
async fn exclude(connection: &mut Connection) -> Result<(), FenceError> {
    let lock = format!("SELECT pg_advisory_lock({KEY})");
    for _ in 0..PATIENCE {
        match connection.run(lock.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if code(&error).as_deref() == Some(LOCK_TIMEOUT) => {}
            Err(error) => return Err(FenceError::Sql(error)),
        }
    }
    tracing::warn!(server = connection.address().server(), "ends the sessions of an earlier leader");
    let end = format!(
        "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
         WHERE l.locktype = 'advisory' AND d.datname = current_database() AND l.objsubid = 1 AND l.granted \
         AND l.classid = {} AND l.objid = {} AND l.pid <> pg_backend_pid()",
        KEY >> 32,
        KEY & 0xffff_ffff
    );
    run(connection, end).await?;
    run(connection, lock).await.map(drop)
}

async fn read(connection: &mut Connection) -> Result<i64, FenceError> {
    let rows = connection.rows(sqlx::query(EPOCH)).await;
    epoch(&rows.map_err(FenceError::Sql)?)
}

/// The epoch, which was read last.
fn epoch(rows: &[PgRow]) -> Result<i64, FenceError> {
    let row = rows.last().ok_or(FenceError::Sql(sqlx::Error::RowNotFound))?;
    row.try_get("epoch").map_err(FenceError::Sql)
}

async fn run(connection: &mut Connection, sql: String) -> Result<u64, FenceError> {
    connection.run(sql).await.map_err(FenceError::Sql)
}
