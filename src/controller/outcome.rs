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

    /// When that is. Whatever an object waits for, it is looked at as often as everybody: after `resync`.
    pub fn due(self, resync: Duration) -> Due {
        match self {
            Self::Resync | Self::Called => Due::In(resync),
            Self::After(wait) => Due::In(wait.min(resync)),
            Self::Backoff => Due::Again { within: None },
            Self::BackoffWithin(limit) => Due::Again { within: Some(limit) },
            Self::Never => Due::Never,
        }
    }
}

/// When an object has its next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// After so long.
    In(Duration),
    /// After a wait that grows with every such turn.
    Again {
        /// But after so long at the latest.
        within: Option<Duration>,
    },
    /// When something changes.
    Never,
}

/// When something that is done again and again is due: between `every` and twice that. `chance` is in 0..1, drawn anew each time, so
/// that what began at once does not stay together.
pub fn spread(every: Duration, chance: f64) -> Duration {
    every.mul_f64(1.0 + chance.clamp(0.0, 1.0))
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

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn no_wait_keeps_an_object_from_its_resync() {
        let [second, resync, day] = [1, 600, 86_400].map(Duration::from_secs);
        let cases = [
            (Next::Resync, Due::In(resync)),
            (Next::Called, Due::In(resync)),
            (Next::After(second), Due::In(second)),
            (Next::After(day), Due::In(resync)),
            (Next::Resync.or_sooner(Some(day)), Due::In(resync)),
            (Next::Backoff, Due::Again { within: None }),
            (Next::Backoff.or_sooner(Some(second)), Due::Again { within: Some(second) }),
            (Next::Never.or_sooner(Some(second)), Due::Never),
        ];
        for (next, due) in cases {
            assert_eq!(next.due(resync), due, "{next:?}");
        }
    }

    #[test]
    fn what_begins_at_once_is_done_again_at_another_time_each() {
        let every = Duration::from_secs(30);
        let mut random = StdRng::seed_from_u64(7);
        let mut times: Vec<Duration> = (0..100).map(|_| spread(every, random.random())).collect();
        times.sort();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "two are done at once");
        assert!(times[0] >= every && times[99] <= 2 * every, "{times:?}");
        // No tenth of the time has more than twice its share.
        let tenth = |time: &Duration| (time.as_millis() - every.as_millis()) / 3_000;
        for index in 0..10 {
            let within = times.iter().filter(|time| tenth(time) == index).count();
            assert!((1..=20).contains(&within), "{within} in tenth {index}");
        }
        assert_eq!((spread(every, -1.0), spread(every, 2.0)), (every, 2 * every));
    }
}
