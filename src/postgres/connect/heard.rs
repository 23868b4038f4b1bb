//! What was heard of a server while somebody used it: an answer, or the silence that costs everybody time.
//!
//! An answer is an answer whatever it says: a wrong password, a missing privilege, a login or a database without a
//! free connection tell something about themselves. Silence is what a further attempt would meet too: nobody listens,
//! nobody answers in time, the server has no connection left for anyone, it starts up or shuts down.

use std::sync::{Arc, Mutex, PoisonError};

use super::error::{ConnectError, chain, code};

/// What was heard last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Last {
    /// Nothing yet, or nothing that tells anything.
    #[default]
    Nothing,
    /// An answer.
    Answer,
    /// Silence.
    Silence {
        /// The cause.
        text: String,
        /// Whether somebody answered, and had no connection left for anyone.
        full: bool,
    },
}

/// An ear. Clones hear the same.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Last>>);

impl Heard {
    /// What was heard last.
    pub fn last(&self) -> Last {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, last: Last) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    /// A session was opened, or a statement answered.
    pub(super) fn answer(&self) {
        self.set(Last::Answer);
    }

    /// There is no session.
    pub(super) fn refusal(&self, error: &ConnectError) {
        match error {
            ConnectError::Unreachable { .. } => {
                self.set(Last::Silence { text: chain(error), full: false });
            }
            ConnectError::TooManyConnections { .. } if error.concerns_everybody() => {
                self.set(Last::Silence { text: chain(error), full: true });
            }
            ConnectError::CertificateUntrusted { .. }
            | ConnectError::Encryption { .. }
            | ConnectError::AuthenticationFailed { .. }
            | ConnectError::NotPermitted { .. }
            | ConnectError::TooManyConnections { .. }
            | ConnectError::NoSuchDatabase { .. }
            | ConnectError::DatabaseClosed { .. } => self.answer(),
            ConnectError::Failed { source, .. } => self.failure(source),
            // Nothing was sent.
            ConnectError::InvalidTarget(_) | ConnectError::Busy { .. } => {}
        }
    }

    /// A statement failed.
    pub(super) fn failure(&self, error: &sqlx::Error) {
        match (error, code(error).as_deref()) {
            // Somebody ended this one session, or all of them: the next attempt tells.
            (_, Some("57P01" | "57P02")) => {}
            (_, Some(_)) => self.answer(),
            (sqlx::Error::Io(_), None) => {
                self.set(Last::Silence { text: chain(error), full: false });
            }
            (_, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::error::Address;
    use super::*;

    #[test]
    fn only_what_the_next_one_would_meet_too_is_silence() {
        let (heard, at) = (Heard::default(), Address::new("h", 1, "u", "d"));
        heard.refusal(&ConnectError::Busy { at: at.clone() });
        assert_eq!(heard.last(), Last::Nothing);
        heard
            .refusal(&ConnectError::AuthenticationFailed { at: at.clone(), source: sqlx::Error::PoolClosed });
        assert_eq!(heard.last(), Last::Answer);
        heard.refusal(&ConnectError::Unreachable { at, source: io::Error::other("refused") });
        let text = "failed to reach database \"d\" on h:1 as \"u\": refused".to_owned();
        assert_eq!(heard.last(), Last::Silence { text, full: false });
        heard.answer();
        heard.failure(&sqlx::Error::Io(io::Error::other("no answer within 35 s")));
        assert!(matches!(heard.last(), Last::Silence { .. }));
    }
}
