//! Records: what became of every statement that the gate sent, for the audit log.
//!
//! A record is logged at once under the target `audit`, and kept in a bounded sink until somebody takes it. It never
//! holds password material: its text is the statement's `Display`. Nobody waits for a sink that is full: the oldest
//! record goes, and [`Taken::lost`] says so to whoever takes the rest.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::statement::{Batch, Statement};

/// Records that are kept for whoever takes them.
const CAPACITY: usize = 1024;

/// Why statements are sent: the object that they are for, and what is done for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The object, as people name it: `TenantDatabase tenant-acme/app`.
    pub object: String,
    /// What is done for it: `provision`, `release`.
    pub reason: &'static str,
}

/// What became of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server did it. Inside a transaction that counts only with the COMMIT of the same effect.
    Done {
        /// Rows that it changed.
        rows: u64,
    },
    /// The server refused.
    Refused {
        /// SQLSTATE.
        code: String,
    },
    /// No answer came: it may or may not have taken effect.
    Lost,
}

/// One statement and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Number of the effect that the statement is a part of.
    pub effect: u64,
    /// Host and port of the server.
    pub server: String,
    /// The database that the statement ran in.
    pub database: String,
    /// The statement, without secrets.
    pub statement: String,
    /// What became of it.
    pub outcome: Outcome,
    /// How long the answer took.
    pub duration: Duration,
    /// What it was for.
    pub cause: Arc<Cause>,
    /// Generation and epoch of the marker row that its plan writes, if it writes one.
    pub row: Option<RowVersion>,
}

/// Which state of a marker row a plan leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowVersion {
    /// Grows at every bind and release.
    pub generation: i64,
    /// Epoch of the leader that wrote it.
    pub epoch: i64,
}

/// What was taken from the sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Records, oldest first.
    pub records: Vec<Record>,
    /// Records that were lost before these, because nobody took them in time.
    pub lost: u64,
}

/// The sink. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Records(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    records: VecDeque<Record>,
    lost: u64,
}

impl Cause {
    /// A cause.
    pub fn new(object: impl fmt::Display, reason: &'static str) -> Self {
        Self { object: object.to_string(), reason }
    }
}

impl RowVersion {
    /// The state of the marker row that these batches lead to.
    pub(super) fn of(batches: &[Batch], epoch: Option<i64>) -> Option<Self> {
        let mut markers = batches.iter().flat_map(|batch| &batch.statements).filter_map(Statement::marker);
        markers
            .next_back()
            .map(|marker| Self { generation: marker.generation, epoch: epoch.unwrap_or(marker.epoch) })
    }
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, record: Record) {
        let mut kept = self.lock();
        if kept.records.len() == CAPACITY {
            kept.records.pop_front();
            kept.lost += 1;
        }
        kept.records.push_back(record);
    }

    /// Takes at most so many records, the oldest first.
    pub fn take(&self, most: usize) -> Taken {
        let mut kept = self.lock();
        let count = most.min(kept.records.len());
        let lost = std::mem::take(&mut kept.lost);
        Taken { records: kept.records.drain(..count).collect(), lost }
    }
}

/// A statement that was sent. Dropped before its outcome is known, as when the turn is given up, it counts as lost.
pub(super) struct Sent<'a> {
    records: &'a Records,
    record: Option<Record>,
    begun: Instant,
}

impl<'a> Sent<'a> {
    /// `record` with the outcome still open.
    pub(super) fn new(records: &'a Records, record: Record) -> Self {
        Self { records, record: Some(record), begun: Instant::now() }
    }

    /// The outcome is known.
    pub(super) fn ended(mut self, outcome: Outcome) {
        self.leave(outcome);
    }

    fn leave(&mut self, outcome: Outcome) {
        let Some(record) = self.record.take() else { return };
        let record = Record { outcome, duration: self.begun.elapsed(), ..record };
        log(&record);
        self.records.push(record);
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.leave(Outcome::Lost);
    }
}

fn log(record: &Record) {
    let Record { effect, server, database, statement, outcome, duration, cause, row } = record;
    let (outcome, rows) = match outcome {
        Outcome::Done { rows } => ("done", Some(*rows)),
        Outcome::Refused { code } => (code.as_str(), None),
        Outcome::Lost => ("lost", None),
    };
    tracing::info!(
        target: "audit",
        {
            sql.effect = effect,
            sql.server = server,
            sql.database = database,
            sql.statement = statement,
            sql.outcome = outcome,
            sql.rows = rows,
            sql.duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            sql.object = cause.object,
            sql.reason = cause.reason,
            marker.generation = row.map(|row| row.generation),
            marker.epoch = row.map(|row| row.epoch),
        },
        "sent a statement"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(effect: u64) -> Record {
        Record {
            effect,
            server: "db:5432".into(),
            database: "tenantry".into(),
            statement: "BEGIN".into(),
            outcome: Outcome::Lost,
            duration: Duration::ZERO,
            cause: Arc::new(Cause::new("TenantDatabase tenant-acme/app", "provision")),
            row: None,
        }
    }

    fn effects(taken: &Taken) -> Vec<u64> {
        taken.records.iter().map(|record| record.effect).collect()
    }

    #[test]
    fn records_are_taken_once_and_in_order() {
        let records = Records::default();
        (1..=3).for_each(|effect| records.push(record(effect)));
        assert_eq!(effects(&records.take(2)), [1, 2]);
        assert_eq!(effects(&records.take(9)), [3]);
        assert_eq!(records.take(9), Taken::default());
    }

    #[test]
    fn a_sink_that_nobody_empties_forgets_the_oldest_and_says_so() {
        let records = Records::default();
        let all = CAPACITY as u64 + 2;
        (1..=all).for_each(|effect| records.push(record(effect)));
        let taken = records.take(usize::MAX);
        assert_eq!((taken.records.len(), taken.records[0].effect, taken.lost), (CAPACITY, 3, 2));
        assert_eq!(records.take(1).lost, 0);
    }

    #[test]
    fn a_statement_that_is_given_up_counts_as_lost() {
        let records = Records::default();
        drop(Sent::new(&records, record(1)));
        Sent::new(&records, record(2)).ended(Outcome::Done { rows: 1 });
        let outcomes: Vec<Outcome> =
            records.take(9).records.into_iter().map(|record| record.outcome).collect();
        assert_eq!(outcomes, [Outcome::Lost, Outcome::Done { rows: 1 }]);
    }
}
