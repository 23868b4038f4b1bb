//! Why there is no session, told apart by what a person can do about it.

use std::fmt;
use std::io;
use std::sync::Arc;

use sqlx::postgres::PgDatabaseError;

/// Where a connection goes. Cheap to clone: every error carries one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    host: String,
    port: u16,
    username: String,
    database: String,
}

impl Address {
    /// The address of `database` on that host and port, for `username`.
    pub fn new(host: &str, port: u16, username: &str, database: &str) -> Self {
        Self(Arc::new(Parts {
            host: host.to_owned(),
            port,
            username: username.to_owned(),
            database: database.to_owned(),
        }))
    }

    /// Host and port.
    pub fn server(&self) -> String {
        format!("{}:{}", self.0.host, self.0.port)
    }

    /// Login.
    pub fn username(&self) -> &str {
        &self.0.username
    }

    /// Database.
    pub fn database(&self) -> &str {
        &self.0.database
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { host, port, username, database } = &*self.0;
        write!(f, "database {database:?} on {host}:{port} as {username:?}")
    }
}

/// Why there is no session. No variant holds a password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host or the CA is not usable; nothing was sent.
    #[error("failed to read how to reach the server: {0}")]
    InvalidTarget(String),
    /// Nobody answers, or not in time.
    #[error("failed to reach {at}")]
    Unreachable {
        /// Where to.
        at: Address,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The certificate is not signed by the CA, is not valid now, or is for another name.
    #[error("failed to verify the certificate of {at}")]
    CertificateUntrusted {
        /// Where to.
        at: Address,
        /// The cause.
        #[source]
        source: rustls::Error,
    },
    /// The server offers no encryption, or none that we accept.
    #[error("failed to encrypt the connection to {at}")]
    Encryption {
        /// Where to.
        at: Address,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// Wrong password, unknown login, login that may not log in, or refused by `pg_hba.conf` (28P01, 28000).
    #[error("failed to log in to {at}")]
    AuthenticationFailed {
        /// Where to.
        at: Address,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The login has no CONNECT on the database (42501).
    #[error("failed to enter {at}")]
    NotPermitted {
        /// Where to.
        at: Address,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The server, database or login has no connection left (53300).
    #[error("failed to get a connection to {at}: too many connections")]
    TooManyConnections {
        /// Where to.
        at: Address,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The database does not exist (3D000).
    #[error("failed to find {at}")]
    NoSuchDatabase {
        /// Where to.
        at: Address,
    },
    /// The database accepts no connections (55000).
    #[error("failed to enter {at}: it accepts no connections")]
    DatabaseClosed {
        /// Where to.
        at: Address,
    },
    /// All sessions of the pool stayed in use.
    #[error("failed to get a free session for {at}: the server is too slow for what waits for it")]
    Busy {
        /// Where to.
        at: Address,
    },
    /// Anything else.
    #[error("failed to connect to {at}")]
    Failed {
        /// Where to.
        at: Address,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
}

impl ConnectError {
    /// Whether the server knows who comes, and that the password is another one. Who is refused before it asks for one (28000) tells
    /// nothing about it.
    pub fn is_wrong_password(&self) -> bool {
        matches!(self, Self::AuthenticationFailed { source, .. } if code(source).as_deref() != Some("28000"))
    }

    /// Whether the server has answered, if only with an error.
    pub fn is_answer(&self) -> bool {
        match self {
            Self::AuthenticationFailed { .. }
            | Self::NotPermitted { .. }
            | Self::TooManyConnections { .. }
            | Self::NoSuchDatabase { .. }
            | Self::DatabaseClosed { .. } => true,
            Self::Failed { source, .. } => source.as_database_error().is_some(),
            Self::InvalidTarget(_)
            | Self::Unreachable { .. }
            | Self::CertificateUntrusted { .. }
            | Self::Encryption { .. }
            | Self::Busy { .. } => false,
        }
    }

    /// Whether nobody would get a session now. The limit of one login or of one database has the same SQLSTATE
    /// (53300) as that of the server, and its text depends on the server's language: the routine that raised it tells.
    pub(super) fn concerns_everybody(&self) -> bool {
        let Self::TooManyConnections { source, .. } = self else {
            return matches!(self, Self::Unreachable { .. });
        };
        let error = source.as_database_error().and_then(|it| it.try_downcast_ref::<PgDatabaseError>());
        let routine = error.and_then(PgDatabaseError::routine);
        !matches!(routine, Some("InitializeSessionUserId" | "CheckMyDatabase"))
    }
}

/// Tells a failed connection attempt's causes apart.
pub(super) fn classify(at: Address, error: sqlx::Error) -> ConnectError {
    match error {
        sqlx::Error::Io(source) => {
            let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match inner.cloned() {
                Some(source @ rustls::Error::InvalidCertificate(_)) => {
                    ConnectError::CertificateUntrusted { at, source }
                }
                Some(_) => ConnectError::Encryption { at, source: sqlx::Error::Io(source) },
                None => ConnectError::Unreachable { at, source },
            }
        }
        // Whoever took the connection is no PostgreSQL: a load balancer with nobody behind it closes it without a word.
        source @ sqlx::Error::Protocol(_) => {
            ConnectError::Unreachable { at, source: io::Error::other(source) }
        }
        source @ sqlx::Error::Tls(_) => ConnectError::Encryption { at, source },
        source => match code(&source).as_deref() {
            Some("28P01" | "28000") => ConnectError::AuthenticationFailed { at, source },
            Some("42501") => ConnectError::NotPermitted { at, source },
            Some("53300") => ConnectError::TooManyConnections { at, source },
            Some("3D000") => ConnectError::NoSuchDatabase { at },
            Some("55000") => ConnectError::DatabaseClosed { at },
            // Starting up, shutting down, recovering.
            Some("57P03" | "57P01" | "57P02") => {
                ConnectError::Unreachable { at, source: io::Error::other(source) }
            }
            _ => ConnectError::Failed { at, source },
        },
    }
}

/// The SQLSTATE of an error of the server's.
pub(crate) fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned)
}

/// The whole chain of an error on one line, for a condition's message.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some libraries repeat their source in their own text.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
