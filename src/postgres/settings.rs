//! Settings of a database that limit what its sessions may take. Pure.
//!
//! They stand with the database (`ALTER DATABASE … SET`), which only its owner and superusers can change: a tenant's login is
//! neither. A session may still lift the timeouts for itself, which the guard holds against it; `temp_file_limit` is a
//! superuser's to lift.

use std::collections::BTreeMap;
use std::time::Duration;

/// A setting that we declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// How long a transaction may do nothing, in milliseconds.
    IdleInTransactionTimeout,
    /// How long a statement may run, in milliseconds.
    StatementTimeout,
    /// What the temporary files of a session may take together, in KiB.
    TempFileLimit,
}

/// Settings by what they are.
pub type Settings = BTreeMap<Setting, u32>;

impl Setting {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::IdleInTransactionTimeout, Self::StatementTimeout, Self::TempFileLimit];

    /// Its name in PostgreSQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdleInTransactionTimeout => "idle_in_transaction_session_timeout",
            Self::StatementTimeout => "statement_timeout",
            Self::TempFileLimit => "temp_file_limit",
        }
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
