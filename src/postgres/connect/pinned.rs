//! What the startup packet pins: settings that no database, login or server sets otherwise for a session of ours.

/// What every session of ours has.
pub(super) const SETTINGS: [(&str, &str); 6] = [
    ("search_path", "pg_catalog,pg_temp"),
    // A statement that waited for a lock has to see what was committed meanwhile, also within one message.
    ("default_transaction_isolation", "read committed"),
    ("lock_timeout", "3s"),
    ("statement_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "30s"),
    // Notices say what is well known ("role is already a member") and would only fill the log.
    ("client_min_messages", "error"),
];

/// What the guard's session has instead: it waits in a transaction, and whoever it makes way for may take a while.
pub(super) const GUARD_SETTINGS: [(&str, &str); 3] =
    [("idle_in_transaction_session_timeout", "0"), ("lock_timeout", "10s"), ("statement_timeout", "10s")];
