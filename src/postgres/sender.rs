//! How the [gate](super::execute) sends the statements of an effect, and what an answer means. Nobody else sends any.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::connect::{Connection, code};
use super::execute::{ExecuteError, Spot};
use super::record::{Cause, Outcome, Record, Records, RowVersion, Sent};
use super::statement::Statement;

/// Sends the statements of one effect.
pub(super) struct Sender<'a> {
    /// Where the records go.
    pub records: &'a Records,
    /// What it is for.
    pub cause: Arc<Cause>,
    /// Number of the effect.
    pub effect: u64,
    /// The marker row that it leads to.
    pub row: Option<RowVersion>,
}

impl Sender<'_> {
    /// Sends one statement and leaves its record. `shown` is the statement without secrets.
    pub async fn send(
        &self,
        connection: &mut Connection,
        at: &Spot,
        shown: impl fmt::Display,
        text: String,
    ) -> Result<u64, ExecuteError> {
        let shown = shown.to_string();
        let sent = Sent::new(self.records, self.record(connection, &shown));
        match connection.run(text).await {
            Ok(rows) => {
                sent.ended(Outcome::Done { rows });
                Ok(rows)
            }
            Err(source) => {
                sent.ended(outcome(&source));
                Err(classify(at.clone(), shown, source))
            }
        }
    }

    /// Lets `statement`, which comes next, take as long as it takes.
    pub async fn take_time(
        &self,
        connection: &mut Connection,
        at: &Spot,
        statement: &Statement,
    ) -> Result<(), ExecuteError> {
        let allowed = connection.take_time().await;
        allowed.map_err(|source| classify(at.clone(), statement.to_string(), source))
    }

    /// Sends statements in one message, without waiting for the answer to one before the next: where one fails, the server
    /// skips the rest. Leaves a record for each that was answered, and for the one that was not. Returns how many rows each
    /// changed, and how it ended.
    pub async fn send_all(
        &self,
        connection: &mut Connection,
        at: &Spot,
        shown: &[String],
        text: String,
    ) -> (Vec<u64>, Result<(), ExecuteError>) {
        let records: Vec<Record> = shown.iter().map(|shown| self.record(connection, shown)).collect();
        let mut records = records.into_iter().map(|record| Sent::new(self.records, record));
        let mut rows = Vec::with_capacity(shown.len());
        let mut under_way = records.next();
        let done = connection
            .run_all(text, shown.len(), |changed| {
                if let Some(sent) = under_way.take() {
                    sent.ended(Outcome::Done { rows: changed });
                }
                rows.push(changed);
                under_way = records.next();
            })
            .await;
        let ended = done.map_err(|source| {
            if let Some(sent) = under_way.take() {
                sent.ended(outcome(&source));
            }
            let shown = shown.get(rows.len()).cloned().unwrap_or_default();
            // The first is BEGIN, which has no number of its own.
            let number = at.number + rows.len().saturating_sub(1);
            classify(Spot { number, ..at.clone() }, shown, source)
        });
        (rows, ended)
    }

    /// Commits, and sends `then` in the same message: it changes nothing that anybody has to hear of, and whatever becomes of
    /// it, what was committed is. Unless all of it was answered, the session is not used again.
    pub async fn commit(
        &self,
        connection: &mut Connection,
        at: &Spot,
        then: Option<String>,
    ) -> Result<(), ExecuteError> {
        const COMMIT: &str = "COMMIT";
        let Some(then) = then else {
            return self.send(connection, at, COMMIT, COMMIT.to_owned()).await.map(drop);
        };
        let mut sent = Some(Sent::new(self.records, self.record(connection, COMMIT)));
        let answered = |_| {
            if let Some(sent) = sent.take() {
                sent.ended(Outcome::Done { rows: 0 });
            }
        };
        let done = connection.run_all(format!("{COMMIT};\n{then}"), 2, answered).await;
        match (sent, done) {
            (Some(sent), Err(source)) => {
                sent.ended(outcome(&source));
                Err(classify(at.clone(), COMMIT.to_owned(), source))
            }
            _ => Ok(()),
        }
    }

    fn record(&self, connection: &Connection, shown: &str) -> Record {
        let at = connection.address();
        Record {
            effect: self.effect,
            server: at.server(),
            database: at.database().to_owned(),
            statement: shown.to_owned(),
            outcome: Outcome::Lost,
            duration: Duration::ZERO,
            cause: Arc::clone(&self.cause),
            row: self.row,
        }
    }
}

fn outcome(source: &sqlx::Error) -> Outcome {
    code(source).map_or(Outcome::Lost, |code| Outcome::Refused { code })
}

fn classify(at: Spot, statement: String, source: sqlx::Error) -> ExecuteError {
    match code(&source).as_deref() {
        // The server ends sessions when it stops; what had been sent is then as much in doubt as without an answer.
        None | Some("57P01" | "57P02") => ExecuteError::Lost { at, statement, source },
        Some("42501") => ExecuteError::PrivilegeMissing { at, statement, source },
        Some("23505") if statement.contains("tenantry.marker") => {
            ExecuteError::MarkerChanged { at, statement }
        }
        Some("55P03" | "40P01" | "57014" | "55006" | "XX000") => {
            ExecuteError::Blocked { at, statement, source }
        }
        Some(_) => ExecuteError::Refused { at, statement, source },
    }
}
