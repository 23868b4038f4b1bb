//! What takes effect at once, and where. Pure.

use std::fmt;

use super::Statement;
use crate::postgres::quote::Ident;

/// Where a statement runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In the operator database: for what all databases of a server share, and for the marker table.
    Server,
    /// In that database.
    Database(Ident),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Database(name) => write!(f, "database {}", name.as_str()),
        }
    }
}

/// Statements that take effect together or not at all: one effect of the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Where they run.
    pub place: Place,
    /// The statements, in order. One alone runs as it is, several in a transaction.
    pub statements: Vec<Statement>,
}

impl Batch {
    /// Statements on the server.
    pub fn server(statements: Vec<Statement>) -> Self {
        Self { place: Place::Server, statements }
    }

    /// Whether it makes extensions.
    pub fn makes_extensions(&self) -> bool {
        self.statements.iter().any(|statement| matches!(statement, Statement::Extension(_)))
    }

    /// Statements inside a database.
    pub fn database(name: Ident, statements: Vec<Statement>) -> Self {
        Self { place: Place::Database(name), statements }
    }
}
