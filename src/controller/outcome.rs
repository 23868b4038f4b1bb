//! How a turn ended: the one place where an error of a controller is reported.

use std::error::Error;
use std::time::Duration;

use super::apply::ApplyError;
use crate::api::condition::{Summary, reason};

/// When the object has its next turn, if nothing changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At the next resync.
    Resync,
    /// After so long.
    After(Duration),
    /// After a wait that grows with every such turn: something outside our sight has to change.
    Backoff,
    /// The same, but after so long at the latest.
    BackoffWithin(Duration),
    /// When the server that the turn could not get into has a place for it; at the next resync at the latest.
    Called,
    /// Never: the object is gone.
    Never,
}

impl Next {
    /// The earlier of the two.
    #[must_use]
    pub fn or_sooner(self, wait: Option<Duration>) -> Self {
        match (self, wait) {
            (Self::Never, _) | (_, None) => self,
            (Self::After(own), Some(wait)) => Self::After(own.min(wait)),
            (Self::Backoff, Some(wait)) => Self::BackoffWithin(wait),
            (Self::BackoffWithin(own), Some(wait)) => Self::BackoffWithin(own.min(wait)),
            (Self::Resync | Self::Called, Some(wait)) => Self::After(wait),
        }
    }
}

/// A short word for the error, for metrics and logs.
pub fn category(error: &ApplyError) -> &'static str {
    match error {
        ApplyError::Foreign { .. } => "foreign",
        ApplyError::Conflict { .. } => "conflict",
        ApplyError::Gone { .. } => "gone",
        ApplyError::Forbidden { .. } => "forbidden",
        ApplyError::Invalid { .. } => "invalid",
        ApplyError::Api { .. } => "api",
        ApplyError::Serialize { .. } => "serialize",
    }
}

/// What an error of the gate means for the object's status.
pub fn summary(error: &ApplyError) -> Summary {
    let message = chain(error);
    match error {
        ApplyError::Foreign { .. } => Summary::Stalled { reason: reason::NAME_CONFLICT, message },
        ApplyError::Forbidden { .. } => Summary::Progressing { reason: reason::FORBIDDEN, message },
        ApplyError::Invalid { .. } => Summary::Stalled { reason: reason::INVALID_SPEC, message },
        ApplyError::Conflict { .. } | ApplyError::Gone { .. } => {
            Summary::Progressing { reason: reason::PROGRESSING, message }
        }
        ApplyError::Api { .. } | ApplyError::Serialize { .. } => {
            Summary::Progressing { reason: reason::FAILED, message }
        }
    }
}

/// The error with all its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
