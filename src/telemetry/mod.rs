//! What every role of the binary shares: logs, metrics, readiness and the admin port.
//!
//! | file | what it gives |
//! |---|---|
//! | [`logging`] | [`init_logging`]: JSON lines on stderr, one object an event, dotted field names |
//! | [`metrics`] | [`Metrics`]: the one registry of a process, which modules register into |
//! | [`readiness`] | [`Readiness`]: named gates, each open or closed for a stated reason |
//! | [`admin`] | [`serve_admin`]: `/healthz`, `/readyz` and `/metrics` on port 9090 |
//! | [`process`] | what the kernel says about this process, read at each scrape |
//!
//! Nothing here reads the environment: formats, filters and addresses come in as parameters. How a role wires them:
//! `services/serve.rs` and `cli/operator.rs`.

pub mod admin;
pub mod logging;
pub mod metrics;
pub mod process;
pub mod readiness;

pub use admin::serve_admin;
pub use logging::{LogFormat, LoggingError, init_logging};
pub use metrics::Metrics;
pub use readiness::{Gate, Readiness, ReadinessReport};
