//! The metrics of a process: one registry, which every module registers its own metrics into.

use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::process::ProcessCollector;

/// Content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The one registry of a process. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<RwLock<Registry>>);

impl Metrics {
    /// A registry that already holds what every role reports: `tenantry_build_info` and `process_*`.
    pub fn for_process() -> Self {
        let metrics = Self::default();
        metrics.register(|registry| {
            let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
            registry.register("tenantry_build", "Version of this binary", build);
            registry.register_collector(Box::new(ProcessCollector));
        });
        metrics
    }

    /// Lets a module register its metrics, and hands back what it keeps of them.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every metric as OpenMetrics text, which Prometheus reads; see [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = encode(&mut text, &registry) {
            // Writing to a String cannot fail, so this is a collector that gave up; a scrape without its end
            // marker is refused by Prometheus, which makes the fault visible there too.
            tracing::warn!(error = &error as &dyn std::error::Error, "failed to encode metrics");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_reports_its_build_and_its_process() {
        let text = Metrics::for_process().encode();
        let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(
            names,
            [
                "tenantry_build info",
                "process_resident_memory_bytes gauge",
                "process_cpu_seconds counter",
                "process_start_time_seconds gauge",
                "process_open_fds gauge",
            ]
        );
        assert!(text.contains(concat!(
            "tenantry_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1\n"
        )));
        assert!(text.ends_with("# EOF\n"));
    }
}
