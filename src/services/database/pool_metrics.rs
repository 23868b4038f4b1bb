//! Size and use of the pool, read at each scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use sqlx::postgres::PgPool;

use crate::telemetry::Metrics;

#[derive(Debug)]
struct PoolCollector(PgPool);

/// Has the pool reported with every scrape.
pub(super) fn register(metrics: &Metrics, pool: PgPool) {
    metrics.register(|registry| registry.register_collector(Box::new(PoolCollector(pool))));
}

impl Collector for PoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let size = self.0.size();
        // The two are read one after the other, so more may be idle by now than there were connections then.
        let idle = u32::try_from(self.0.num_idle()).unwrap_or(size).min(size);
        let gauges = [
            ("database_pool_size", "Connections open.", size),
            ("database_pool_idle", "Connections open and unused.", idle),
            ("database_pool_in_use", "Connections in use.", size - idle),
            ("database_pool_max", "Most connections there may be.", self.0.options().get_max_connections()),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(u64::from(value));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
