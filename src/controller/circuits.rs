//! The numbers of a database server's circuit, and what of it is measured and reported. See ADR 6.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::api::database_server::CircuitState;
use crate::resilience::circuit::{Config, State};
use crate::telemetry;

/// When a database server's circuit opens, and for how long.
pub const CONFIG: Config = Config {
    failures: 3,
    // Longer than the slowest answer (35 s) and than the time between two looks (a minute).
    window: Duration::from_mins(2),
    first_wait: Duration::from_secs(2),
    longest_wait: Duration::from_secs(30),
};

const STATES: [State; 3] = [State::Closed, State::Open, State::HalfOpen];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    server: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rejected {
    server: String,
    reason: &'static str,
}

/// What is measured of the circuits.
pub struct Metrics {
    state: Family<InState, Gauge>,
    transitions: Family<InState, Counter>,
    rejected: Family<Rejected, Counter>,
}

impl Metrics {
    /// Registers them in `registry`.
    pub fn register(registry: &telemetry::Metrics) -> Self {
        let metrics =
            Self { state: Family::default(), transitions: Family::default(), rejected: Family::default() };
        registry.register(|registry| {
            registry.register(
                "tenantry_circuit_state",
                "1 for the state that a server's circuit is in",
                metrics.state.clone(),
            );
            registry.register(
                "tenantry_circuit_transitions",
                "Changes of a server's circuit by the state after",
                metrics.transitions.clone(),
            );
            registry.register(
                "tenantry_circuit_rejected",
                "Turns that did not get to a server: its circuit is open, or it is full",
                metrics.rejected.clone(),
            );
        });
        metrics
    }

    /// The circuit is in that state now.
    pub fn state(&self, server: &str, now: State) {
        for state in STATES {
            let labels = InState { server: server.to_owned(), state: name(state) };
            self.state.get_or_create(&labels).set(i64::from(state == now));
        }
    }

    /// The circuit was in another state before.
    pub fn transition(&self, server: &str, now: State) {
        self.transitions.get_or_create(&InState { server: server.to_owned(), state: name(now) }).inc();
    }

    /// A turn did not get to the server.
    pub fn rejected(&self, server: &str, reason: &'static str) {
        self.rejected.get_or_create(&Rejected { server: server.to_owned(), reason }).inc();
    }

    /// The server is gone.
    pub fn forget(&self, server: &str) {
        for state in STATES {
            let labels = InState { server: server.to_owned(), state: name(state) };
            self.state.remove(&labels);
            self.transitions.remove(&labels);
        }
        for reason in ["open", "full"] {
            self.rejected.remove(&Rejected { server: server.to_owned(), reason });
        }
    }
}

const fn name(state: State) -> &'static str {
    match state {
        State::Closed => "Closed",
        State::Open => "Open",
        State::HalfOpen => "HalfOpen",
    }
}

/// The state as status tells it.
pub const fn reported(state: State) -> CircuitState {
    match state {
        State::Closed => CircuitState::Closed,
        State::Open => CircuitState::Open,
        State::HalfOpen => CircuitState::HalfOpen,
    }
}
