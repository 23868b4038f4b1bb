//! What the operator counts, under the names that stock controller dashboards expect.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use super::object::Kind;
use crate::telemetry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Turn {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Controller {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    verb: &'static str,
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Server {
    server: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndedSession {
    server: String,
    reason: &'static str,
}

/// A server that is watched, until this is dropped.
pub struct Watching(Gauge);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How much one controller has to do now.
#[derive(Debug, Default)]
pub struct Load {
    waiting: Gauge,
    running: Gauge,
}

impl Load {
    /// So many objects wait for a turn, and so many turns are under way.
    pub fn is(&self, waiting: usize, running: usize) {
        let gauge = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.waiting.set(gauge(waiting));
        self.running.set(gauge(running));
    }
}

/// The operator's metrics.
pub struct Metrics {
    turns: Family<Turn, Counter>,
    seconds: Family<Controller, Histogram, fn() -> Histogram>,
    waiting: Family<Controller, Gauge>,
    running: Family<Controller, Gauge>,
    writes: Family<Write, Counter>,
    leader: Gauge,
    watched: Family<Server, Gauge>,
    ended_sessions: Family<EndedSession, Counter>,
    compared: Family<Server, Counter>,
    drifted: Family<Server, Gauge>,
}

impl Metrics {
    /// Registers them in `registry`.
    pub fn register(registry: &telemetry::Metrics) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let metrics = Self {
            turns: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            waiting: Family::default(),
            running: Family::default(),
            writes: Family::default(),
            leader: Gauge::default(),
            watched: Family::default(),
            ended_sessions: Family::default(),
            compared: Family::default(),
            drifted: Family::default(),
        };
        registry.register(|registry| {
            registry.register(
                "controller_runtime_reconcile",
                "Turns of a controller by result",
                metrics.turns.clone(),
            );
            registry.register(
                "controller_runtime_reconcile_time_seconds",
                "Duration of a turn",
                metrics.seconds.clone(),
            );
            registry.register("workqueue_depth", "Objects that wait for a turn", metrics.waiting.clone());
            registry.register(
                "controller_runtime_active_workers",
                "Turns that are under way",
                metrics.running.clone(),
            );
            registry.register(
                "tenantry_api_writes",
                "Writes to the API server by verb and kind",
                metrics.writes.clone(),
            );
            registry.register("tenantry_leader", "1 while this process leads", metrics.leader.clone());
            registry.register(
                "tenantry_guard_watching",
                "1 while the guard watches the database server",
                metrics.watched.clone(),
            );
            registry.register(
                "tenantry_guard_ended_sessions",
                "Tenants' sessions that the guard ended, by server and reason",
                metrics.ended_sessions.clone(),
            );
            registry.register(
                "tenantry_drift_checks",
                "Comparisons of all databases of a server with what is declared",
                metrics.compared.clone(),
            );
            registry.register(
                "tenantry_drifted_databases",
                "Databases of the server that the last comparison found to differ",
                metrics.drifted.clone(),
            );
        });
        metrics
    }

    /// One turn of a controller is over.
    pub fn turn(&self, kind: Kind, result: &'static str, took: Duration) {
        let controller = kind.as_str();
        self.turns.get_or_create(&Turn { controller, result }).inc();
        self.seconds.get_or_create(&Controller { controller }).observe(took.as_secs_f64());
    }

    /// Where a controller's queue says how much there is to do.
    pub fn load(&self, kind: Kind) -> Load {
        let controller = Controller { controller: kind.as_str() };
        Load {
            waiting: self.waiting.get_or_create_owned(&controller),
            running: self.running.get_or_create_owned(&controller),
        }
    }

    /// One write to the API server.
    pub fn api_write(&self, verb: &'static str, kind: Kind, ok: bool) {
        let result = if ok { "success" } else { "error" };
        self.writes.get_or_create(&Write { verb, kind: kind.as_str(), result }).inc();
    }

    /// The guard watches a server.
    pub fn watches(&self, server: &str) -> Watching {
        let gauge = self.watched.get_or_create_owned(&Server { server: server.to_owned() });
        gauge.inc();
        Watching(gauge)
    }

    /// The guard ended a session.
    pub fn ended_session(&self, server: &str, reason: &'static str) {
        self.ended_sessions.get_or_create(&EndedSession { server: server.to_owned(), reason }).inc();
    }

    /// Every database of a server was compared, and so many differ.
    pub fn compared(&self, server: &str, drifted: usize) {
        let server = Server { server: server.to_owned() };
        self.compared.get_or_create(&server).inc();
        self.drifted.get_or_create(&server).set(i64::try_from(drifted).unwrap_or(i64::MAX));
    }

    /// The server is gone.
    pub fn forget_server(&self, server: &str) {
        let server = Server { server: server.to_owned() };
        self.compared.remove(&server);
        self.drifted.remove(&server);
    }

    /// Whether this process leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }
}
