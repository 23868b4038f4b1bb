//! The one gate through which the operator changes anything on a server.
//!
//! # Flow
//! [`Gate::open`] opens a [`Session`] on the operator database; facts may be read in it, and then it executes a
//! plan: batch by batch, each batch one effect. A batch of several statements is one transaction, sent in one message but
//! for its COMMIT, which waits until every statement has changed what it should; one statement alone runs as it is, so
//! that CREATE DATABASE can.
//!
//! # Guarantees
//! - Every effect has a number, and a probe sees it before and after, so that a test can stop the world there.
//! - Every statement leaves a [`record`](super::record): where, text without secrets, outcome, and what it was for.
//! - A session executes once. One that failed, or was dropped on the way, is closed and never used again, and
//!   the server rolls back what was open in it.
//! - Statements run while the session on the operator database holds the [fence](Fences): no other leader changes the
//!   server at the same time, and none that was superseded does ever.
//! - As few messages as that allows: two of the fence's statements are one, and it is left together with the last COMMIT.

use std::fmt;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::connect::{ConnectError, Connection, ServerPool};
use super::facts::Marker;
use super::fence::{self, FenceError, Fences};
use super::quote::{Ident, QuoteError};
use super::record::{Cause, Records, RowVersion};
use super::sender::Sender;
use super::statement::{Batch, Place, Statement};

/// Which statement of a plan, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Counts from 1, over all batches of the plan.
    pub number: usize,
    /// Of how many.
    pub of: usize,
    /// Where.
    pub place: Place,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement {} of {} on the {}", self.number, self.of, self.place)
    }
}

/// Why a plan was not executed to its end. What stands before the statement in the plan is done.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// There is no session.
    #[error("failed to open a session for the {place}")]
    Connect {
        /// For where.
        place: Place,
        /// The cause.
        #[source]
        source: ConnectError,
    },
    /// This process may not change the server; nothing was sent.
    #[error("failed to be let in to the server")]
    Fenced(#[source] FenceError),
    /// A value that no statement can hold; nothing of the batch was sent.
    #[error("failed to write a statement for the {place}")]
    Quote {
        /// For where.
        place: Place,
        /// The cause.
        #[source]
        source: QuoteError,
    },
    /// Our login lacks a privilege (42501).
    #[error("failed to run {at}, our login lacks a privilege: {statement}")]
    PrivilegeMissing {
        /// Which one.
        at: Spot,
        /// The statement, without secrets.
        statement: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// A marker row is not as it was when it was read.
    #[error("failed to run {at}, the marker row changed meanwhile: {statement}")]
    MarkerChanged {
        /// Which one.
        at: Spot,
        /// The statement.
        statement: String,
    },
    /// Somebody holds a lock on it, or changes the same (55P03, 40P01, 57014, 55006, XX000). It is tried again.
    #[error("failed to run {at}, somebody is in the way: {statement}")]
    Blocked {
        /// Which one.
        at: Spot,
        /// The statement, without secrets.
        statement: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The server refused for another reason.
    #[error("failed to run {at}: {statement}")]
    Refused {
        /// Which one.
        at: Spot,
        /// The statement, without secrets.
        statement: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// No answer came: the statement may or may not have taken effect.
    #[error("failed to hear how {at} ended: {statement}")]
    Lost {
        /// Which one.
        at: Spot,
        /// The statement, without secrets.
        statement: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
}

/// One effect, as a probe sees it.
#[derive(Clone, Copy, Debug)]
pub struct Effect<'a> {
    /// Counts from 1, over all effects of the gate.
    pub number: u64,
    /// What takes effect.
    pub batch: &'a Batch,
    /// Whether the answer has come.
    pub done: bool,
}

/// Called before and after every effect; tests stop the world in it.
pub type Probe = Arc<dyn Fn(Effect<'_>) + Send + Sync>;

/// The gate. One for all servers of an operator.
#[derive(Default)]
pub struct Gate {
    effects: AtomicU64,
    probe: Option<Probe>,
    records: Records,
    fences: Fences,
}

/// A session that may change things, once.
#[derive(Debug)]
pub struct Session<'a> {
    gate: &'a Gate,
    pool: &'a ServerPool,
    cause: Arc<Cause>,
    server: Connection,
    inside: Option<(Ident, Connection)>,
    fenced: bool,
}

impl Gate {
    /// A gate with a probe, if any. Gates of one leader share its fences.
    pub fn new(probe: Option<Probe>, fences: Fences) -> Self {
        Self { effects: AtomicU64::new(0), probe, records: Records::default(), fences }
    }

    /// What this process knows of every server's epoch.
    pub const fn fences(&self) -> &Fences {
        &self.fences
    }

    /// Number of effects so far.
    pub fn effects(&self) -> u64 {
        self.effects.load(Ordering::Relaxed)
    }

    /// What became of every statement, for the audit log.
    pub const fn records(&self) -> &Records {
        &self.records
    }

    /// A session on the operator database of that server. `cause` says what for.
    pub async fn open<'a>(&'a self, pool: &'a ServerPool, cause: Cause) -> Result<Session<'a>, ExecuteError> {
        let server = pool.operator().await;
        let server = server.map_err(|source| ExecuteError::Connect { place: Place::Server, source })?;
        Ok(Session { fenced: true, ..self.session(pool, server, cause) })
    }

    /// A session whose server statements run in `server`, without a fence: before there is an epoch. What it runs has
    /// to be right whoever leads.
    pub(super) fn session<'a>(
        &'a self,
        pool: &'a ServerPool,
        server: Connection,
        cause: Cause,
    ) -> Session<'a> {
        Session { gate: self, pool, cause: Arc::new(cause), server, inside: None, fenced: false }
    }

    /// One statement as one effect, on the server, in a session that goes on afterwards: the guard's.
    pub(super) async fn run_in(
        &self,
        connection: &mut Connection,
        statement: Statement,
        cause: Cause,
    ) -> Result<(), ExecuteError> {
        let number = self.effects.fetch_add(1, Ordering::Relaxed) + 1;
        let at = Spot { number: 1, of: 1, place: Place::Server };
        let text = statement.sql();
        let text = text.map_err(|source| ExecuteError::Quote { place: at.place.clone(), source })?;
        let shown = statement.to_string();
        let (cause, batch) = (Arc::new(cause), Batch::server(vec![statement]));
        self.probe(number, &batch, false);
        let sender = Sender { records: &self.records, cause, effect: number, row: None };
        sender.send(connection, &at, shown, text).await?;
        self.probe(number, &batch, true);
        Ok(())
    }

    fn probe(&self, number: u64, batch: &Batch, done: bool) {
        if let Some(probe) = &self.probe {
            probe(Effect { number, batch, done });
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({} effects)", self.effects())
    }
}

impl Session<'_> {
    /// The session on the operator database, to read what the plan is made from.
    pub fn reader(&mut self) -> &mut Connection {
        &mut self.server
    }

    /// Executes the batches in order and ends the session.
    pub async fn run(self, batches: &[Batch]) -> Result<(), ExecuteError> {
        self.write(batches).await.map(drop)
    }

    /// The same. Returns the marker row as the batches leave it, if they write it: the server has said of every statement
    /// that does that it changed that one row, so nobody has to read it again.
    pub async fn write(mut self, batches: &[Batch]) -> Result<Option<Marker>, ExecuteError> {
        let Some((last, earlier)) = batches.split_last() else {
            self.close().await;
            return Ok(None);
        };
        let mut epoch = None;
        if self.fenced {
            epoch = Some(self.gate.fences.enter(&mut self.server).await.map_err(ExecuteError::Fenced)?);
        }
        let row = RowVersion::of(batches, epoch);
        let of = batches.iter().map(|batch| batch.statements.len()).sum();
        let mut number = 1;
        let leaves_with_commit = self.fenced && last.place == Place::Server && last.statements.len() > 1;
        let ends = iter::repeat_n(None, earlier.len()).chain([leaves_with_commit.then(fence::leaving)]);
        for (batch, end) in batches.iter().zip(ends) {
            let effect = self.gate.effects.fetch_add(1, Ordering::Relaxed) + 1;
            self.gate.probe(effect, batch, false);
            let sender = Sender { records: &self.gate.records, cause: Arc::clone(&self.cause), effect, row };
            let at = Spot { number, of, place: batch.place.clone() };
            self.take_effect(batch, &sender, at, end).await?;
            self.gate.probe(effect, batch, true);
            number += batch.statements.len();
        }
        // All of it is done. A session that cannot say so is closed, and the server lets go for it.
        if !self.fenced || leaves_with_commit || fence::leave(&mut self.server).await.is_ok() {
            self.close().await;
        }
        let mut written = batches.iter().flat_map(|batch| &batch.statements).filter_map(Statement::marker);
        Ok(written.next_back().map(|row| Marker { epoch: epoch.unwrap_or(row.epoch), ..row.clone() }))
    }

    /// Ends the session without executing anything.
    pub async fn close(self) {
        if let Some((_, connection)) = self.inside {
            connection.release().await;
        }
        self.server.release().await;
    }

    /// Sends the statements of one batch, of which `at` is the first, and `end` with the COMMIT of several.
    async fn take_effect(
        &mut self,
        batch: &Batch,
        sender: &Sender<'_>,
        mut at: Spot,
        end: Option<String>,
    ) -> Result<(), ExecuteError> {
        let quoted: Result<Vec<String>, QuoteError> = batch.statements.iter().map(Statement::sql).collect();
        let texts = quoted.map_err(|source| ExecuteError::Quote { place: at.place.clone(), source })?;
        let connection = self.connection(&batch.place).await?;
        if let [statement] = &batch.statements[..] {
            if statement.is_unhurried() {
                sender.take_time(connection, &at, statement).await?;
            }
            let rows = sender.send(connection, &at, statement, texts.concat()).await?;
            return expect(&at, statement, rows);
        }
        let shown = iter::once("BEGIN".to_owned()).chain(batch.statements.iter().map(ToString::to_string));
        let text = iter::once("BEGIN".to_owned()).chain(texts).collect::<Vec<_>>().join(";\n");
        let (rows, ended) = sender.send_all(connection, &at, &shown.collect::<Vec<_>>(), text).await;
        let first = at.number;
        // What was refused after it was only refused because of it.
        for (index, (statement, rows)) in batch.statements.iter().zip(rows.into_iter().skip(1)).enumerate() {
            at.number = first + index;
            expect(&at, statement, rows)?;
        }
        ended?;
        sender.commit(connection, &at, end).await
    }

    /// The session for a place. At most one inside a database is open at a time.
    async fn connection(&mut self, place: &Place) -> Result<&mut Connection, ExecuteError> {
        let Place::Database(name) = place else { return Ok(&mut self.server) };
        let current = match self.inside.take() {
            Some((at, connection)) if at == *name => connection,
            other => {
                if let Some((_, connection)) = other {
                    connection.release().await;
                }
                let opened = self.pool.database(name).await;
                opened.map_err(|source| ExecuteError::Connect { place: place.clone(), source })?
            }
        };
        Ok(&mut self.inside.insert((name.clone(), current)).1)
    }
}

fn expect(at: &Spot, statement: &Statement, rows: u64) -> Result<(), ExecuteError> {
    if statement.expected_rows().is_none_or(|expected| expected == rows) {
        return Ok(());
    }
    Err(ExecuteError::MarkerChanged { at: at.clone(), statement: statement.to_string() })
}
