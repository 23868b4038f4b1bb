//! What a failure on a server means for a status: a reason, the culprit and the next step. Pure.

use std::error::Error;

use super::look::LookError;
use super::plan::Conflict;
use crate::api::condition::{Summary, reason};
use crate::controller::outcome::chain;
use crate::postgres::bootstrap::BootstrapError;
use crate::postgres::connect::{ConnectError, code};
use crate::postgres::execute::ExecuteError;
use crate::postgres::fence::FenceError;
use crate::postgres::observe::ObserveError;

fn progressing(reason: &'static str, error: &dyn Error, next: &str) -> Summary {
    Summary::Progressing { reason, message: format!("{}; {next}", chain(error)) }
}

fn stalled(reason: &'static str, error: &dyn Error) -> Summary {
    Summary::Stalled { reason, message: chain(error) }
}

/// There is no session. All of it is tried again: the cause is outside our sight.
pub fn of_connect(error: &ConnectError) -> Summary {
    match error {
        ConnectError::InvalidTarget(_) => {
            progressing(reason::SECRET_INVALID, error, "correct the server's host or the Secret's ca.crt")
        }
        ConnectError::Unreachable { .. } | ConnectError::Busy { .. } => {
            progressing(reason::SERVER_UNREACHABLE, error, "check host, port, network and max_connections")
        }
        ConnectError::TooManyConnections { .. } => full(&chain(error)),
        ConnectError::CertificateUntrusted { .. } => progressing(
            reason::CERTIFICATE_UNTRUSTED,
            error,
            "put the CA that signed the server's certificate into ca.crt of the admin Secret, or correct the host",
        ),
        ConnectError::Encryption { .. } => {
            progressing(reason::CERTIFICATE_UNTRUSTED, error, "the server has to offer TLS: set ssl = on")
        }
        ConnectError::AuthenticationFailed { .. } => progressing(
            reason::AUTHENTICATION_FAILED,
            error,
            "correct username and password in the admin Secret, or pg_hba.conf on the server",
        ),
        ConnectError::NotPermitted { .. } => {
            progressing(reason::PRIVILEGE_MISSING, error, "grant the admin login CONNECT on that database")
        }
        ConnectError::Failed { source, .. } => {
            lacking(error, source).unwrap_or_else(|| progressing(reason::FAILED, error, "it is tried again"))
        }
        ConnectError::NoSuchDatabase { .. } | ConnectError::DatabaseClosed { .. } => {
            progressing(reason::FAILED, error, "it is tried again")
        }
    }
}

/// Catalogs could not be read.
pub fn of_observe(error: &ObserveError) -> Summary {
    match error {
        ObserveError::Read { source, .. } => lacking(error, source)
            .unwrap_or_else(|| progressing(reason::SERVER_UNREACHABLE, error, "it is tried again")),
        ObserveError::UnknownPhase { .. }
        | ObserveError::UnknownManagement { .. }
        | ObserveError::UnknownIssue { .. } => stalled(reason::FAILED, error),
    }
}

/// The server could not be prepared.
pub fn of_bootstrap(error: &BootstrapError) -> Summary {
    match error {
        BootstrapError::Connect(source) => of_connect(source),
        BootstrapError::Observe(source) => of_observe(source),
        BootstrapError::Execute(source) => of_execute(source),
        BootstrapError::NameConflict { .. } => progressing(reason::NAME_CONFLICT, error, "it is tried again"),
        BootstrapError::PrivilegeMissing { .. } => {
            progressing(reason::PRIVILEGE_MISSING, error, "it is tried again")
        }
        BootstrapError::ReadOnly => {
            progressing(reason::READ_ONLY, error, "name the primary in spec.external.host")
        }
        BootstrapError::Unsupported(_) | BootstrapError::Quote(_) => {
            progressing(reason::FAILED, error, "name another server")
        }
    }
}

/// A plan was not executed to its end; the next turn goes on from there.
pub fn of_execute(error: &ExecuteError) -> Summary {
    match error {
        ExecuteError::Connect { source, .. } => of_connect(source),
        ExecuteError::Fenced(source) => of_fence(source),
        ExecuteError::PrivilegeMissing { .. } => {
            progressing(reason::PRIVILEGE_MISSING, error, "grant it to the admin login")
        }
        ExecuteError::Refused { source, .. } => {
            lacking(error, source).unwrap_or_else(|| progressing(reason::FAILED, error, "it is tried again"))
        }
        ExecuteError::MarkerChanged { .. } | ExecuteError::Blocked { .. } | ExecuteError::Lost { .. } => {
            progressing(reason::PROGRESSING, error, "it is tried again")
        }
        ExecuteError::Quote { .. } => progressing(reason::FAILED, error, "it is tried again"),
    }
}

/// The server has no connection left, for anybody or for our login.
pub fn full(text: &str) -> Summary {
    Summary::Progressing {
        reason: reason::TOO_MANY_CONNECTIONS,
        message: format!(
            "{text}; raise max_connections of the server or the admin login's CONNECTION LIMIT, or lower spec.limits.connections \
             of the plans"
        ),
    }
}

/// What the server lacks or does not take, which is for people to give or correct; `None` if it refused for another reason.
fn lacking(error: &dyn Error, source: &sqlx::Error) -> Option<Summary> {
    let (reason, next) = match code(source)?.as_str() {
        "53100" => (reason::DISK_FULL, "free disk space on the server, or give it more"),
        "53200" => (
            reason::OUT_OF_MEMORY,
            "end the sessions that hold many locks, raise the server's max_locks_per_transaction, or give it more memory",
        ),
        "53300" => return Some(full(&chain(error))),
        "22023" => (
            reason::SETTING_REFUSED,
            "correct the value that the statement sets in spec.limits of the claim or of its Plan, or what the server's own \
             configuration allows",
        ),
        "25006" => (
            reason::READ_ONLY,
            "name the primary in spec.external.host of the DatabaseServer, or turn default_transaction_read_only off",
        ),
        _ => return None,
    };
    Some(progressing(reason, error, next))
}

/// The server was not touched, since this process may not.
pub fn of_fence(error: &FenceError) -> Summary {
    match error {
        FenceError::Superseded { .. } => progressing(
            reason::FENCED,
            error,
            "let one installation only use this server; restart this operator to let it take over again",
        ),
        FenceError::Restored { .. } => {
            progressing(reason::TIME_TRAVEL, error, "the server is looked at again")
        }
        FenceError::NotLeading => progressing(reason::FENCED, error, "the next leader goes on"),
        FenceError::Sql(source) => lacking(error, source)
            .unwrap_or_else(|| progressing(reason::SERVER_UNREACHABLE, error, "it is tried again")),
        FenceError::Busy => progressing(reason::SERVER_UNREACHABLE, error, "it is tried again"),
    }
}

/// The facts about a database could not be read.
pub fn of_look(error: &LookError) -> Summary {
    match error {
        LookError::Observe(source) => of_observe(source),
        LookError::Enter(source) => of_connect(source),
    }
}

/// Something stands against the plan; nothing was touched.
pub fn of_conflict(conflict: &Conflict) -> Summary {
    let reason = match conflict {
        Conflict::NameConflict { .. } | Conflict::Unnamed(_) => reason::NAME_CONFLICT,
        Conflict::Claimed { .. } | Conflict::SecondDatabase { .. } => reason::CLAIM_CONFLICT,
        Conflict::Missing { .. } | Conflict::Absent { .. } | Conflict::CutShort { .. } => {
            reason::DATABASE_MISSING
        }
        Conflict::Reopened { .. } => reason::ARCHIVE_OUTDATED,
        _ => reason::FAILED,
    };
    // It may pass: a foreign database is renamed, a lost one restored.
    Summary::Progressing { reason, message: chain(conflict) }
}
