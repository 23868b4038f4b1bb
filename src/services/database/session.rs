//! A connection for the time of one request.

use std::ops::{Deref, DerefMut};

use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;

use super::{Database, DatabaseError};

/// A connection of the pool, lent to one request.
///
/// Given back by [`Session::done`]. If it is dropped before, a request was given up in the middle of a statement: such
/// a connection is closed. The pool would instead wait for its answer, and a server that has stopped answering would
/// keep the pool's places taken long after it is back.
#[derive(Debug)]
pub struct Session {
    database: Database,
    connection: PoolConnection<Postgres>,
    done: bool,
}

impl Session {
    pub(super) fn new(database: Database, connection: PoolConnection<Postgres>) -> Self {
        Self { database, connection, done: false }
    }

    /// Gives the connection back.
    pub(super) fn give_back(mut self) {
        self.done = true;
    }

    /// Gives the connection back and sorts the error of its statement.
    pub fn done<T>(self, result: Result<T, sqlx::Error>) -> Result<T, DatabaseError> {
        let result = result.map_err(|error| self.database.sort(error));
        self.give_back();
        result
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.done {
            self.connection.close_on_drop();
            self.database.suspect();
        }
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
