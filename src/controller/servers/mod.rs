//! The sessions on every database server that can be used now, its circuit, and the one gate for SQL.
//!
//! The servers' controller looks whether a server is the right one and prepared, and says so here. Whoever works on
//! databases enters a server through here ([`Servers::enter`]) or does nothing:
//!
//! - *Circuit.* A server that does not answer is asked no more. Only its own turn probes it ([`Servers::look`]), since
//!   that one recognises the server before anything is written; everybody else waits until it succeeds.
//! - *Bulkhead.* So many turns use one server at once that none of them waits for a session. Who finds it full does not
//!   wait either: its turn ends, and it is called when there is a place.
//! - *One silence is no news.* Who hears one asks for the server's own turn. Until the circuit has opened or the server
//!   was heard again, nobody is told ([`Servers::holds_back`]).
//!
//! What is heard on a [`Visit`] is recorded when it ends, however it ends.

mod visit;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use rand::rngs::StdRng;
use tokio::time::Instant;

pub use self::visit::Visit;
use self::visit::{Use, silent};
use super::circuits::{CONFIG, Metrics, reported};
use super::object::{Key, Kind};
use super::outcome::Next;
use super::queue::{Lane, Queues};
use crate::api::condition::Summary;
use crate::api::database_server::CircuitState;
use crate::postgres::connect::{AdminTarget, ConnectError, OPERATOR_SESSIONS, ServerPool};
use crate::postgres::execute::Gate;
use crate::resilience::bulkhead::{Bulkhead, Line};
use crate::resilience::circuit::{Circuit, State};
use crate::telemetry;

/// Turns that use one server at once: each holds a session on the operator database, and one is left for its look.
const PLACES: usize = OPERATOR_SESSIONS - 1;

/// An object that has a turn.
type Who = (Kind, Key);

/// What is known of one server.
struct Known {
    /// Tells the server from an earlier one of its name.
    number: u64,
    pool: Option<ServerPool>,
    /// How it was reached when it was last found right and prepared.
    proven: Option<AdminTarget>,
    found: Found,
    /// Why it cannot be used, as far as it was found out.
    trouble: Option<Summary>,
    /// Whether the last look met silence, and nobody has asked yet.
    silent: bool,
    /// Whether its circuit has opened since it was last found right: whoever met that has said so.
    opened: bool,
    circuit: Circuit,
    bulkhead: Bulkhead<Who>,
}

/// What the last look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// This process has not looked yet.
    Nothing,
    /// It is right and prepared.
    Right,
    /// It cannot be used.
    Wrong,
}

impl Known {
    fn new(number: u64) -> Self {
        Self {
            number,
            pool: None,
            proven: None,
            found: Found::Nothing,
            trouble: None,
            silent: false,
            opened: false,
            circuit: Circuit::new(CONFIG),
            bulkhead: Bulkhead::new(PLACES),
        }
    }

    fn usable(&self) -> Option<&ServerPool> {
        let right = self.found == Found::Right;
        self.pool.as_ref().filter(|_| right && self.circuit.state() == State::Closed)
    }
}

#[derive(Default)]
struct All {
    known: HashMap<String, Known>,
    count: u64,
}

impl All {
    fn of(&mut self, server: &str) -> &mut Known {
        self.count += 1;
        self.known.entry(server.to_owned()).or_insert_with(|| Known::new(self.count))
    }
}

/// The servers, by name of their DatabaseServer.
pub struct Servers {
    gate: Gate,
    statements: Counter,
    metrics: Metrics,
    queues: Arc<Queues>,
    random: Mutex<StdRng>,
    all: Mutex<All>,
}

/// Why a server is not looked at now.
#[derive(Debug)]
pub enum NoLook {
    /// Its host or its CA is not usable.
    Target(ConnectError),
    /// Its circuit is open, for this reason.
    Rejected(Summary),
}

impl Servers {
    /// None yet. What is sent and heard is counted in `registry`; who is called in gets a turn by `queues`.
    pub fn new(registry: &telemetry::Metrics, gate: Gate, queues: Arc<Queues>, random: StdRng) -> Self {
        let statements = Counter::default();
        registry.register(|registry| {
            registry.register(
                "tenantry_sql_statements",
                "SQL statements sent to database servers",
                statements.clone(),
            );
        });
        let metrics = Metrics::register(registry);
        Self { gate, statements, metrics, queues, random: Mutex::new(random), all: Mutex::default() }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<T>(&self, server: &str, question: impl FnOnce(&Known) -> T) -> Option<T> {
        self.all().known.get(server).map(question)
    }

    /// The only way to change anything on a server.
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Number of statements sent so far.
    pub fn statements(&self) -> u64 {
        self.statements.get()
    }

    /// Whether the server can be used now.
    pub fn is_usable(&self, server: &str) -> bool {
        self.ask(server, |known| known.usable().is_some()).unwrap_or(false)
    }

    /// The sessions on that server, if it can be used now, for who has no turn and only reads: a preview. It takes no
    /// place, and what it hears counts for nothing.
    pub fn pool(&self, server: &str) -> Option<ServerPool> {
        self.ask(server, |known| known.usable().cloned()).flatten()
    }

    /// Lets the turn of that object use the server, if it can be used now and there is a place, which is its own until the turn is
    /// over. If there is none, the object waits for one and is called: see [`holds_back`](Self::holds_back).
    pub fn enter(&self, server: &str, kind: Kind, key: &Key) -> Option<Visit<'_>> {
        let line = match self.queues.lane_of_turn(kind, key) {
            Lane::Urgent => Line::First,
            Lane::Background => Line::Second,
        };
        let mut all = self.all();
        let known = all.known.get_mut(server)?;
        let Some(pool) = known.usable().map(ServerPool::listening) else {
            self.metrics.rejected(server, "open");
            return None;
        };
        if !known.bulkhead.enter(&(kind, key.clone()), line) {
            self.metrics.rejected(server, "full");
            return None;
        }
        let permit = known.circuit.try_acquire(Instant::now().into_std()).ok();
        Some(self.visit(server, known.number, pool, permit, Use::Turn))
    }

    /// Lets the server's warm pool use it, if it can be used now. It has no place in the bulkhead, and takes its sessions
    /// apart ([`ServerPool::apart`]).
    pub fn for_pool(&self, server: &str) -> Option<Visit<'_>> {
        let mut all = self.all();
        let known = all.known.get_mut(server)?;
        let pool = known.usable().map(ServerPool::listening)?;
        let permit = known.circuit.try_acquire(Instant::now().into_std()).ok();
        Some(self.visit(server, known.number, pool, permit, Use::Pool))
    }

    /// Whether as many turns use the server as may at once.
    pub fn is_full(&self, server: &str) -> bool {
        self.ask(server, |known| known.bulkhead.inside() >= PLACES).unwrap_or(false)
    }

    /// The server's sessions for its guard, if the server can be used now. The guard keeps one, beside all others, and goes
    /// on when the server cannot be used any more: it takes no place and is not heard.
    pub fn for_guard(&self, server: &str) -> Option<ServerPool> {
        self.ask(server, |known| known.usable().cloned()).flatten()
    }

    /// Lets the server's own turn look at it by `target`: at once if that is another one than before, when its wait is
    /// over if its circuit is open. It can be used by nobody else before [`can_be_used`](Self::can_be_used).
    pub fn look(&self, server: &str, target: AdminTarget) -> Result<Visit<'_>, NoLook> {
        let mut all = self.all();
        let known = all.of(server);
        let same = known.pool.as_ref().filter(|pool| *pool.target() == target).cloned();
        let pool = if let Some(pool) = same {
            pool
        } else {
            let pool = ServerPool::new(target, self.statements.clone()).map_err(NoLook::Target)?;
            known.pool = Some(pool.clone());
            if known.found == Found::Right {
                known.found = Found::Wrong;
            }
            known.circuit.reset();
            self.metrics.state(server, known.circuit.state());
            pool
        };
        let before = known.circuit.state();
        let acquired = known.circuit.try_acquire(Instant::now().into_std());
        self.changed(server, known, before);
        let Ok(permit) = acquired else {
            self.metrics.rejected(server, "open");
            return Err(NoLook::Rejected(
                known.trouble.clone().unwrap_or_else(|| silent("it does not answer")),
            ));
        };
        Ok(self.visit(server, known.number, pool.listening(), Some(permit), Use::Look))
    }

    /// How the server was reached last, whether or not it can be used.
    pub fn target(&self, server: &str) -> Option<AdminTarget> {
        self.ask(server, |known| Some(known.pool.as_ref()?.target().clone())).flatten()
    }

    /// How the server was reached when it was last found right and prepared, whatever was tried since.
    pub fn proven(&self, server: &str) -> Option<AdminTarget> {
        self.ask(server, |known| known.proven.clone()).flatten()
    }

    /// Whether whoever asks the server now may find out something: its circuit is not open.
    pub fn is_heard(&self, server: &str) -> bool {
        self.ask(server, |known| known.circuit.state() != State::Open).unwrap_or(true)
    }

    /// The server can be used from now on. `true` if somebody may have found that it cannot.
    pub fn can_be_used(&self, server: &str) -> bool {
        let mut all = self.all();
        let known = all.of(server);
        known.trouble = None;
        known.proven = known.pool.as_ref().map(|pool| pool.target().clone());
        let was_right = std::mem::replace(&mut known.found, Found::Right) == Found::Right;
        known.pool.is_some() && (std::mem::take(&mut known.opened) || !was_right)
    }

    /// The server cannot be used now. `true` if that is news.
    pub fn cannot_be_used(&self, server: &str, why: &Summary) -> bool {
        let mut all = self.all();
        let known = all.of(server);
        known.trouble = Some(why.clone());
        std::mem::replace(&mut known.found, Found::Wrong) != Found::Wrong
    }

    /// Whether this process has found out whether the server can be used. Until then nobody may say that it cannot.
    pub fn is_looked_at(&self, server: &str) -> bool {
        self.ask(server, |known| known.found != Found::Nothing).unwrap_or(false)
    }

    /// Whether the look that just ended met silence, and the server is to be asked again before anybody is told.
    pub fn is_in_doubt(&self, server: &str) -> bool {
        let mut all = self.all();
        let known = all.of(server);
        std::mem::take(&mut known.silent) && known.circuit.is_in_doubt()
    }

    /// What a turn does that got nowhere with the server and has nothing to tell by that: it is called when there is a
    /// place, or comes back when the server was asked again. Who meets silence again and again, alone, tells.
    pub fn holds_back(&self, server: &str, kind: Kind, key: &Key) -> Option<Next> {
        self.ask(server, |known| match known {
            known if known.bulkhead.is_refused(&(kind, key.clone())) => Some(Next::Called),
            known if known.circuit.is_in_doubt() && self.queues.failures(kind, key) < CONFIG.failures => {
                Some(Next::Backoff)
            }
            _ => None,
        })
        .flatten()
    }

    /// What the server's circuit is.
    pub fn circuit(&self, server: &str) -> CircuitState {
        reported(self.ask(server, |known| known.circuit.state()).unwrap_or(State::Closed))
    }

    /// How long it is until somebody may probe, if the circuit is open.
    pub fn wait(&self, server: &str) -> Option<Duration> {
        let until = self.ask(server, |known| known.circuit.until()).flatten()?;
        // A timer rounds to milliseconds, and a probe that comes too early waits for another one.
        Some(until.saturating_duration_since(Instant::now().into_std()) + Duration::from_millis(2))
    }

    /// The rest of that object's turn does without the server: its place is free.
    pub fn is_done(&self, server: &str, kind: Kind, key: &Key) {
        let who = (kind, key.clone());
        let called = self.all().known.get_mut(server).and_then(|known| known.bulkhead.leave(&who));
        if let Some(who) = called {
            self.call(&who);
        }
    }

    /// A turn of that object is over: its places are free, and those that were kept for it if it did not take them.
    pub fn turn_is_over(&self, kind: Kind, key: &Key) {
        let who = (kind, key.clone());
        let called: Vec<Who> =
            self.all().known.values_mut().filter_map(|known| known.bulkhead.pass(&who)).collect();
        for who in &called {
            self.call(who);
        }
    }

    /// The server is gone.
    pub fn forget(&self, server: &str) {
        let gone = self.all().known.remove(server);
        self.metrics.forget(server);
        for who in gone.into_iter().flat_map(|mut known| known.bulkhead.dismiss()) {
            self.call(&who);
        }
    }

    fn changed(&self, server: &str, known: &Known, before: State) {
        let now = known.circuit.state();
        if now != before {
            tracing::info!(server.name = server, circuit.before = ?before, circuit.state = ?now, "a circuit changed");
            self.metrics.state(server, now);
            self.metrics.transition(server, now);
        }
    }

    /// Asks for the turn of who is called in, or is sent away to say why. A place may be kept for them: they go first.
    fn call(&self, (kind, key): &Who) {
        self.queues.add(*kind, key, Lane::Urgent);
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Servers({})", self.all().known.len())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rand::SeedableRng;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::postgres::fence::Fences;
    use crate::postgres::scram::Password;

    /// Says to the first who comes that it has no TLS, which is an answer. Then nobody listens any more.
    async fn answers_once(port: u16) -> (u16, JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answering = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 8]).await.unwrap();
            stream.write_all(b"N").await.unwrap();
        };
        (port, tokio::spawn(answering))
    }

    fn target(port: u16) -> AdminTarget {
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertificateParams::new(vec!["db".to_owned()]).unwrap().self_signed(&key);
        AdminTarget {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port,
            username: "admin".to_owned(),
            password: Password::new("hunter2"),
            ca_pem: authority.unwrap().pem(),
        }
    }

    #[tokio::test]
    async fn a_circuit_that_opened_and_closed_between_two_looks_is_news() {
        let gate = Gate::new(None, Fences::default());
        let random = StdRng::seed_from_u64(7);
        let servers = Servers::new(&telemetry::Metrics::default(), gate, Arc::new(Queues::none()), random);
        let (port, answering) = answers_once(0).await;
        let target = target(port);
        let look = async || drop(servers.look("main", target.clone()).unwrap().operator().await.unwrap_err());
        look().await;
        answering.await.unwrap();
        assert!(servers.can_be_used("main"), "nobody knew");
        assert!(!servers.can_be_used("main"), "nothing has changed");

        let claim = Key::namespaced("tenant-acme", "app");
        while let Some(visit) = servers.enter("main", Kind::TenantDatabase, &claim) {
            visit.operator().await.unwrap_err();
        }
        assert_eq!(servers.circuit("main"), CircuitState::Open);
        tokio::time::pause();
        tokio::time::advance(servers.wait("main").unwrap()).await;
        tokio::time::resume();
        let (_, answering) = answers_once(port).await;
        look().await;
        answering.await.unwrap();
        assert!(servers.can_be_used("main"), "whoever came meanwhile was sent away");
        assert!(!servers.can_be_used("main"), "nothing has changed");
    }
}
