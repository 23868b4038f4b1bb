//! The use of a server by somebody, from its entrance to what was heard there.

use std::ops::Deref;
use std::sync::PoisonError;

use rand::RngExt;
use tokio::time::Instant;

use super::Servers;
use crate::api::condition::{Summary, reason};
use crate::controller::database::refusal;
use crate::controller::object::{Key, Kind};
use crate::controller::queue::Lane;
use crate::postgres::connect::{Heard, Last, ServerPool};
use crate::resilience::circuit::{Outcome, Permit, State};

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

impl Servers {
    pub(super) fn visit(
        &self,
        server: &str,
        number: u64,
        (pool, heard): (ServerPool, Heard),
        permit: Option<Permit>,
        what_for: Use,
    ) -> Visit<'_> {
        Visit { servers: self, server: server.to_owned(), number, pool, heard, permit, what_for }
    }

    /// A visit is over.
    fn leave(&self, visit: &mut Visit<'_>) {
        let heard = visit.heard.last();
        let outcome = match &heard {
            Last::Answer => Outcome::Success,
            Last::Silence { .. } => Outcome::Failure,
            Last::Nothing => Outcome::Ignored,
        };
        let jitter = self.random.lock().unwrap_or_else(PoisonError::into_inner).random();
        let mut called = Vec::new();
        {
            let mut all = self.all();
            let Some(known) = all.known.get_mut(&visit.server) else { return };
            if known.number != visit.number {
                return;
            }
            let before = known.circuit.state();
            if let Some(permit) = visit.permit.take() {
                known.circuit.record(permit, outcome, Instant::now().into_std(), jitter);
            }
            if visit.what_for == Use::Look {
                known.silent = outcome == Outcome::Failure;
            }
            let opened = before != State::Open && known.circuit.state() == State::Open;
            known.opened |= opened;
            if let (true, Last::Silence { text, full }) = (opened, heard) {
                known.trouble = Some(if full { refusal::full(&text) } else { silent(&text) });
                called.extend(known.bulkhead.dismiss());
            }
            self.changed(&visit.server, known, before);
        }
        for who in &called {
            self.call(who);
        }
        if outcome == Outcome::Failure && visit.what_for != Use::Look {
            self.queues.add(Kind::DatabaseServer, &Key::cluster(&visit.server), Lane::Urgent);
        }
    }
}

/// What is said of a server that is not asked any more.
pub(super) fn silent(text: &str) -> Summary {
    let message = format!("{text}; check host, port, network and max_connections");
    Summary::Progressing { reason: reason::SERVER_UNREACHABLE, message }
}
