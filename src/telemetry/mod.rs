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
//! Nothing here reads the environment: formats, filters and addresses come in as parameters. A role is wired so:
//!
//! ```no_run
//! # use tenantry::telemetry::{LogFormat, Metrics, Readiness, init_logging, serve_admin};
//! # use tokio_util::sync::CancellationToken;
//! # async fn role() -> Result<(), Box<dyn std::error::Error>> {
//! init_logging(LogFormat::Json, "info")?;
//! let metrics = Metrics::for_process();
//! let readiness = Readiness::default();
//! let crds = readiness.gate("crds");
//! let listener = tokio::net::TcpListener::bind(("::", 9090)).await?;
//! let shutdown = CancellationToken::new();
//! tokio::spawn(serve_admin(listener, metrics.clone(), readiness.clone(), shutdown.clone()));
//!
//! crds.not_ready("CRD tenants.tenantry.dev is missing");
//! crds.ready();
//! # Ok(()) }
//! ```

pub mod admin;
pub mod logging;
pub mod metrics;
pub mod process;
pub mod readiness;

pub use admin::serve_admin;
pub use logging::{LogFormat, LoggingError, init_logging};
pub use metrics::Metrics;
pub use readiness::{Gate, Readiness, ReadinessReport};
