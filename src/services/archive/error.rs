//! Why there is no archive: the stage, and one of the steps' own errors.

use super::logic::{InvalidValue, chain};
use super::read::ReadError;
use super::store::StoreError;
use super::tools::ToolError;
use crate::api::archive::Stage;
use crate::services::database::binding::BindingError;

/// Most differences that a message names.
const NAMED: usize = 10;

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
#[error("failed to make an archive: {cause}")]
pub struct ArchiveError {
    /// Where it ended.
    pub stage: Stage,
    /// What went wrong there.
    #[source]
    pub cause: Cause,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The binding.
    #[error("failed to read the binding")]
    Binding(#[source] BindingError),
    /// A value from outside.
    #[error("failed to use what was asked for")]
    Invalid(#[source] InvalidValue),
    /// Reading a database.
    #[error("failed to read the database")]
    Read(#[source] ReadError),
    /// `pg_dump` or `pg_restore`.
    #[error("failed to use the PostgreSQL client")]
    Tool(#[source] ToolError),
    /// The store.
    #[error("failed to use the store")]
    Store(#[source] StoreError),
    /// What is stored is not what was written.
    #[error(
        "failed to read back what was written: {bytes} bytes with SHA-256 {sha256} were stored, {read_bytes} bytes with \
         SHA-256 {read_sha256} are there; check the store, then try again"
    )]
    Changed {
        /// What was written.
        sha256: String,
        /// How much was written.
        bytes: u64,
        /// What is there.
        read_sha256: String,
        /// How much is there.
        read_bytes: u64,
    },
    /// What is stored is not what was verified.
    #[error(
        "failed to find the archive as it was verified: its SHA-256 was {sha256}, and {read_bytes} bytes with SHA-256 {read_sha256} are there"
    )]
    Another {
        /// What was verified.
        sha256: String,
        /// What is there.
        read_sha256: String,
        /// How much is there.
        read_bytes: u64,
    },
    /// The manifest.
    #[error("failed to write the manifest as JSON")]
    Manifest(#[source] serde_json::Error),
    /// The restored database is another one.
    #[error("failed to restore everything: {}", some(.0))]
    Differences(Vec<String>),
    /// The process was told to end.
    #[error("failed to come to an end: the pod was stopped; the next try begins anew")]
    Stopped,
}

impl Cause {
    /// Whether the store has answered that the archive is not there as it was verified: asking again finds nothing else.
    pub const fn is_lost(&self) -> bool {
        match self {
            Self::Another { .. } => true,
            Self::Store(error) => error.is_no_archive(),
            _ => false,
        }
    }
}

impl ArchiveError {
    /// What is wrong, with every cause.
    pub fn message(&self) -> String {
        chain(&self.cause)
    }
}

/// Says in which stage a step's error happened.
pub trait At<T> {
    /// The same result with its stage.
    fn at(self, stage: Stage) -> Result<T, ArchiveError>;
}

impl<T, E: Into<Cause>> At<T> for Result<T, E> {
    fn at(self, stage: Stage) -> Result<T, ArchiveError> {
        self.map_err(|error| ArchiveError { stage, cause: error.into() })
    }
}

impl From<BindingError> for Cause {
    fn from(error: BindingError) -> Self {
        Self::Binding(error)
    }
}

impl From<InvalidValue> for Cause {
    fn from(error: InvalidValue) -> Self {
        Self::Invalid(error)
    }
}

impl From<ReadError> for Cause {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<ToolError> for Cause {
    fn from(error: ToolError) -> Self {
        Self::Tool(error)
    }
}

impl From<StoreError> for Cause {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn some(differences: &[String]) -> String {
    let mut text = differences.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if differences.len() > NAMED {
        text = format!("{text}; and {} more", differences.len() - NAMED);
    }
    text
}
