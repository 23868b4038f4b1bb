//! Settings of a database that limit what its sessions may take. Pure.
//!
//! They stand with the database (`ALTER DATABASE … SET`), which only its owner and superusers can change: a tenant's login is
//! neither. A session may still lift the timeouts for itself, which the guard holds against it; the rest is a superuser's to
//! lift, and so a superuser's to set, or that of a login that was granted it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A setting that we declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// How long a transaction may do nothing, in milliseconds.
    IdleInTransactionTimeout,
    /// From which level on what a session has to say goes to the server's log.
    LogMinMessages,
    /// How long a statement may run, in milliseconds.
    StatementTimeout,
    /// What the temporary files of a session may take together, in KiB.
    TempFileLimit,
}

/// What a setting is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A number, in the setting's own unit.
    Number(u32),
    /// The highest level of messages: that the server cannot go on. No session reaches it by what it is told to do.
    Panic,
}

/// Settings by what they are.
pub type Settings = BTreeMap<Setting, Value>;

impl Setting {
    /// Every one.
    pub const ALL: [Self; 4] =
        [Self::IdleInTransactionTimeout, Self::LogMinMessages, Self::StatementTimeout, Self::TempFileLimit];

    /// Those that nobody may set who is no superuser and was not granted it.
    pub const PRIVILEGED: [Self; 2] = [Self::LogMinMessages, Self::TempFileLimit];

    /// Its name in PostgreSQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdleInTransactionTimeout => "idle_in_transaction_session_timeout",
            Self::LogMinMessages => "log_min_messages",
            Self::StatementTimeout => "statement_timeout",
            Self::TempFileLimit => "temp_file_limit",
        }
    }
}

/// As PostgreSQL writes it, and as it stands in the catalog.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Panic => f.write_str("panic"),
        }
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

/// What a session of a database may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLimits {
    /// Of one statement.
    pub statement: Option<Duration>,
    /// Of a transaction that does nothing.
    pub idle_in_transaction: Option<Duration>,
}

impl TimeLimits {
    /// As a database's settings say them, each `name=value`. What we would not have written is no limit: the next comparison
    /// finds it.
    pub fn of_settings<'a>(settings: impl IntoIterator<Item = &'a str>) -> Self {
        let mut limits = Self::default();
        for (name, value) in settings.into_iter().filter_map(|setting| setting.split_once('=')) {
            let time = || value.parse().ok().filter(|time| *time > 0).map(Duration::from_millis);
            if name == Setting::StatementTimeout.name() {
                limits.statement = time();
            } else if name == Setting::IdleInTransactionTimeout.name() {
                limits.idle_in_transaction = time();
            }
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_time_are_read_from_settings_and_zero_is_none() {
        let limits = |settings: &[&'static str]| TimeLimits::of_settings(settings.iter().copied());
        assert_eq!(
            limits(&["statement_timeout=1500", "work_mem=4MB", "idle_in_transaction_session_timeout=60000"]),
            TimeLimits {
                statement: Some(Duration::from_millis(1500)),
                idle_in_transaction: Some(Duration::from_mins(1))
            }
        );
        assert_eq!(
            limits(&["statement_timeout=0", "idle_in_transaction_session_timeout=1min"]),
            TimeLimits::default()
        );
    }
}
