//! A service from its start to the last drained request: the same for every role that has a database.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::database::binding::BindingError;
use super::database::{Database, DatabaseNeeds, OpenError, PoolLimits};
use super::http::probes::ProbeState;
use super::http::record::RequestMetrics;
use super::http::{Route, Shell, server, service_router};
use crate::telemetry::{Metrics, Readiness, serve_admin};

/// What a service is told from outside. Everything has been read and checked by the CLI.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Where requests are served.
    pub listen: SocketAddr,
    /// Where probes and scrapes are served.
    pub admin_listen: SocketAddr,
    /// Directory of service bindings (`SERVICE_BINDING_ROOT`).
    pub bindings: PathBuf,
    /// Bounds of the connection pool.
    pub pool: PoolLimits,
    /// How long to try to reach and migrate the database before giving up.
    pub open_within: Duration,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long requests under way may still take after a shutdown was asked for.
    pub drain_within: Duration,
    /// Makes ids of requests and rows: UUIDs of version 7.
    pub new_id: fn() -> Uuid,
}

/// The two open ports of a service.
#[derive(Debug)]
pub struct Listeners {
    /// For requests.
    pub public: TcpListener,
    /// For probes and scrapes.
    pub admin: TcpListener,
}

/// What makes one service different from another.
#[derive(Debug)]
pub struct Service<S: 'static> {
    /// What it wants of its database; also its name.
    pub needs: DatabaseNeeds,
    /// Its table of routes.
    pub routes: &'static [Route<S>],
    /// Makes the state that its handlers get.
    pub state: fn(Database, &ServiceConfig) -> S,
}

/// Why a service ended other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A port is taken or forbidden.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// No usable binding.
    #[error("failed to read the service binding")]
    Binding(#[source] BindingError),
    /// The database did not come up in time.
    #[error("failed to open the database")]
    Open(#[source] OpenError),
    /// A server task ended by itself.
    #[error("failed to keep serving")]
    Server(#[source] JoinError),
}

impl Listeners {
    /// Opens both ports.
    pub async fn bind(config: &ServiceConfig) -> Result<Self, ServeError> {
        let bind = async |address: SocketAddr| {
            TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
        };
        Ok(Self { public: bind(config.listen).await?, admin: bind(config.admin_listen).await? })
    }
}

/// Runs a service until `shutdown` is cancelled.
///
/// # Flow
/// 1. The binding is read; a missing one ends the service at once.
/// 2. Both ports answer: `/health` with 200, `/ready` with 503, everything that needs the database with 503.
/// 3. The database is opened and migrated; `/ready` turns 200. If that fails for `open_within`, the service ends.
/// 4. On `shutdown`: readiness turns 503, the public port is closed, requests under way are answered within
///    `drain_within`, connections to the database are closed, and last the admin port.
pub async fn serve<S>(
    service: Service<S>,
    config: ServiceConfig,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), ServeError>
where
    S: Clone + Send + Sync + 'static,
{
    let metrics = Metrics::for_process();
    let readiness = Readiness::default();
    let serving = readiness.gate("serving");
    serving.ready();
    let name = service.needs.service;
    let database =
        Database::new(config.bindings.clone(), config.pool, service.needs, readiness.gate("database"))
            .map_err(ServeError::Binding)?;
    database.register(&metrics);
    let shell = Shell {
        service: name,
        metrics: RequestMetrics::register(&metrics),
        new_id: config.new_id,
        timeout: config.request_timeout,
    };
    let probes = ProbeState { service: name, metrics: metrics.clone(), readiness: readiness.clone() };
    let router = service_router(&shell, probes, service.routes, (service.state)(database.clone(), &config));

    let admin_shutdown = CancellationToken::new();
    let admin = tokio::spawn(serve_admin(listeners.admin, metrics, readiness, admin_shutdown.clone()));
    tracing::info!(service = name, "started");
    let stop = shutdown.child_token();
    let public = tokio::spawn(server::serve(listeners.public, router, stop.clone(), config.drain_within));
    let ended = work(&database, config.open_within, &shutdown).await;

    serving.not_ready("shutting down");
    tracing::info!(service = name, "shutting down");
    stop.cancel();
    let drained = drain(public).await;
    database.close().await;
    admin_shutdown.cancel();
    // The admin port has told all that it knows; how it ends changes nothing.
    let _ = admin.await;
    tracing::info!(service = name, "stopped");
    ended.and(drained)
}

/// Opens the database and watches it, until shutdown or until opening has failed for good.
async fn work(
    database: &Database,
    open_within: Duration,
    shutdown: &CancellationToken,
) -> Result<(), ServeError> {
    let opened = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        opened = database.open(Instant::now() + open_within) => opened,
    };
    opened.map_err(ServeError::Open)?;
    database.watch(shutdown.clone()).await;
    Ok(())
}

async fn drain(public: JoinHandle<usize>) -> Result<(), ServeError> {
    let cut_off = public.await.map_err(ServeError::Server)?;
    if cut_off > 0 {
        tracing::warn!(connections = cut_off, "failed to answer every request before the deadline");
    }
    Ok(())
}
