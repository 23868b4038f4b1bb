//! What an error of the database means to a request: is the database away, or did we do something wrong? Pure.

use sqlx::error::DatabaseError as ServerError;

/// An error of the database, sorted by what can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It is known to be away: nothing was even tried.
    #[error("the database is not available")]
    Closed,
    /// It is away, overloaded or refuses us. Trying again later can help.
    #[error("failed to reach the database")]
    Unavailable(#[source] sqlx::Error),
    /// Anything else: a fault in our own SQL, or an expected refusal such as a violated constraint.
    #[error("failed to query the database")]
    Query(#[source] sqlx::Error),
}

impl DatabaseError {
    /// Sorts an error.
    pub fn of(error: sqlx::Error) -> Self {
        if is_unavailable(&error) { Self::Unavailable(error) } else { Self::Query(error) }
    }

    /// Name of the unique constraint that a statement violated.
    pub fn violated_unique_constraint(&self) -> Option<&str> {
        match self {
            Self::Query(sqlx::Error::Database(error)) if error.is_unique_violation() => error.constraint(),
            _ => None,
        }
    }
}

/// Whether the server refused the login itself, which new credentials would mend.
pub(super) fn is_login_refused(error: &sqlx::Error) -> bool {
    // Class 28: invalid authorisation. 28P01 is a wrong password, 28000 a login that may not log in.
    sqlstate(error).is_some_and(|code| code.starts_with("28"))
}

/// A few words for `/ready`, which anyone may read: no names, no addresses.
pub(super) fn reason(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Io(error) if is_distrust(error) => "the server's certificate is not trusted",
        sqlx::Error::Tls(_) => "the server does not speak TLS",
        sqlx::Error::PoolTimedOut => "no connection within the time limit",
        sqlx::Error::Io(_) => "the server cannot be reached",
        sqlx::Error::Database(_) if is_login_refused(error) => "the server refused the credentials",
        sqlx::Error::Database(_) => "the server refused the connection",
        _ => "the connection failed",
    }
}

fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => is_unavailable_state(error.as_ref()),
        _ => false,
    }
}

fn is_unavailable_state(error: &dyn ServerError) -> bool {
    let Some(code) = error.code() else { return false };
    let class = code.get(..2).unwrap_or_default();
    // 08 connection, 28 authorisation, 53 out of resources, 57 operator intervention (shutdown, statement timeout),
    // 40 serialisation and deadlock. 3D000: no such database, 55000: it does not accept connections, which is
    // what a Released database answers. 25006: read-only, as a standby is after a failover.
    matches!(class, "08" | "28" | "53" | "57" | "40") || matches!(code.as_ref(), "3D000" | "55000" | "25006")
}

/// rustls reports a failed handshake through the stream that it was to protect.
fn is_distrust(error: &std::io::Error) -> bool {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::InvalidCertificate(_)))
}

fn sqlstate(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error().and_then(ServerError::code)
}
