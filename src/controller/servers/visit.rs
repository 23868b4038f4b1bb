//! The use of a server by somebody, from its entrance to what was heard there.

use std::ops::Deref;

use super::Servers;
use crate::postgres::connect::{Heard, ServerPool};
use crate::resilience::circuit::Permit;

/// The use of a server, until dropped.
#[derive(Debug)]
pub struct Visit<'a> {
    pub(super) servers: &'a Servers,
    pub(super) server: String,
    pub(super) number: u64,
    pub(super) pool: ServerPool,
    pub(super) heard: Heard,
    pub(super) permit: Option<Permit>,
    pub(super) what_for: Use,
}

/// What a server is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// The server's own turn, which has no place in the bulkhead.
    Look,
    /// Another object's turn.
    Turn,
    /// The warm pool, which has sessions of its own.
    Pool,
}

impl Deref for Visit<'_> {
    type Target = ServerPool;

    fn deref(&self) -> &ServerPool {
        &self.pool
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.servers.leave(self);
    }
}
