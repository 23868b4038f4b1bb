//! Metrics of requests, under the names that the systems' dashboards and alerts use.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::telemetry::Metrics;

/// Upper bounds in seconds. 0.1 and 0.2 are among them because two of the promised numbers are measured there.
const BUCKETS: [f64; 14] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// Counts of requests. Clones share them.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    requests: Family<Answered, Counter>,
    errors: Family<Asked, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    method: &'static str,
    route: String,
}

/// A route and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: u16,
}

/// A request that has come to its end.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'r> {
    /// Its method.
    pub method: &'static str,
    /// The pattern of its route.
    pub route: &'r str,
    /// How it was answered.
    pub status: u16,
    /// Whether that was a failure of ours.
    pub failed: bool,
    /// How long it took.
    pub duration: Duration,
}

impl RequestMetrics {
    /// Registers the metrics.
    pub fn register(metrics: &Metrics) -> Self {
        let new = Self {
            requests: Family::default(),
            errors: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
        };
        metrics.register(|registry| {
            registry.register("http_requests", "Requests answered", new.requests.clone());
            registry.register(
                "http_request_errors",
                "Requests that failed through no fault of the client",
                new.errors.clone(),
            );
            registry.register(
                "http_request_duration_seconds",
                "Time from the head of a request to its answer",
                new.durations.clone(),
            );
            registry.register("http_requests_in_flight", "Requests being answered", new.in_flight.clone());
        });
        new
    }

    /// A request has come in.
    pub fn started(&self) {
        self.in_flight.inc();
    }

    /// It was answered, or its client went away.
    pub fn finished(&self, finished: Finished<'_>) {
        let Finished { method, route, status, failed, duration } = finished;
        self.in_flight.dec();
        let asked = Asked { method, route: route.to_owned() };
        self.durations.get_or_create(&asked).observe(duration.as_secs_f64());
        if failed {
            self.errors.get_or_create(&asked).inc();
        }
        self.requests.get_or_create(&Answered { method, route: asked.route, status }).inc();
    }
}
