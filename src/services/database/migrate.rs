//! Connecting for the first time, and bringing the schema to this version of the service.

use std::error::Error;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};
use tokio::time::Instant;

use super::{Database, error, session_options};

/// Pauses between attempts: doubled from the first up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No connection until the deadline.
    #[error("failed to connect to the database before the deadline")]
    Connect(#[source] sqlx::Error),
    /// The migrations did not come to their end before the deadline.
    #[error("failed to migrate the database before the deadline")]
    Migrate(#[source] MigrateError),
    /// The deadline passed while another replica was migrating or the server did not answer.
    #[error("failed to open the database before the deadline: the server did not answer")]
    TimedOut,
    /// What was applied is not what this version knows under the same number. Trying again cannot help.
    #[error("failed to migrate the database: its history is not that of this version")]
    History(#[source] MigrateError),
}

/// Tries to connect and migrate until it works or `deadline` passes.
pub(super) async fn until(database: &Database, deadline: Instant) -> Result<(), OpenError> {
    let mut pause = FIRST_PAUSE;
    let mut last: Option<OpenError> = None;
    loop {
        let failed = match tokio::time::timeout_at(deadline, attempt(database)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error @ OpenError::History(_))) => return Err(error),
            Ok(Err(error)) => error,
            // That this attempt was cut short says less than why the one before failed.
            Err(_) => return Err(last.unwrap_or(OpenError::TimedOut)),
        };
        let why = failed.reason();
        database.0.gate.not_ready(why);
        if last.as_ref().map(OpenError::reason) != Some(why) {
            tracing::warn!(error = &failed as &dyn Error, "failed to open the database; trying again");
        }
        if Instant::now() + pause >= deadline {
            return Err(failed);
        }
        last = Some(failed);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// One attempt, on a connection of its own: migrations have no statement timeout, and their lock must not outlive a
/// failure, as it would on a connection that goes back to a pool.
async fn attempt(database: &Database) -> Result<(), OpenError> {
    let options =
        session_options(&database.binding(), &database.0.needs).options([("statement_timeout", "0")]);
    let mut connection: PgConnection = match options.connect().await {
        Ok(connection) => connection,
        Err(error) => {
            if error::is_login_refused(&error) {
                database.refresh_binding();
            }
            return Err(OpenError::Connect(error));
        }
    };
    let migrated = database.0.needs.migrator.run_direct(None, &mut connection, false).await;
    // Whether the goodbye arrives makes no difference.
    let _ = connection.close().await;
    migrated.map_err(|error| match error {
        MigrateError::VersionMismatch(_) | MigrateError::VersionMissing(_) | MigrateError::Dirty(_) => {
            OpenError::History(error)
        }
        error => OpenError::Migrate(error),
    })
}

impl OpenError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Connect(source) => error::reason(source),
            Self::Migrate(_) => "the migrations failed",
            Self::TimedOut => "the server did not answer",
            Self::History(_) => "the database was migrated by another version",
        }
    }
}
