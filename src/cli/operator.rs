//! `tenantry run operator`: from flags to the running operator.

use std::time::Duration;

use clap::Args;
use k8s_openapi::jiff::Timestamp;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Session;
use super::failure::{Exit, Failure};
use crate::api::labels;
use crate::controller::context::OperatorConfig;
use crate::controller::preview::desk::{self, Desk};
use crate::resilience::brake::Limits;
use crate::telemetry::{LogFormat, Metrics, Readiness, init_logging, serve_admin};

/// Of a hundred, so many may be deleted at once without asking.
const BRAKE_PERCENT: u32 = 10;

/// Flags of `run operator`.
#[derive(Debug, Args)]
pub struct OperatorArgs {
    /// Name of this process among the candidates for leadership
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    identity: String,
    /// Namespace of the Lease
    #[arg(long, env = "POD_NAMESPACE", default_value = labels::SYSTEM_NAMESPACE, value_name = "NAMESPACE")]
    lease_namespace: String,
    /// Image that builtin microservices run: the operator's own
    #[arg(long, env = "TENANTRY_IMAGE", value_name = "REF")]
    image: String,
    /// Image of managed PostgreSQL 15 servers
    #[arg(
        long,
        env = "TENANTRY_POSTGRES_IMAGE",
        default_value = "localhost/tenantry/postgres:15",
        value_name = "REF"
    )]
    postgres_image: String,
    /// Image of the pods that make archives: the operator's own with pg_dump and pg_restore
    #[arg(
        long,
        env = "TENANTRY_ARCHIVE_IMAGE",
        default_value = "localhost/tenantry/archive:15",
        value_name = "REF"
    )]
    archive_image: String,
    /// Objects of one kind that are reconciled at a time
    #[arg(long, env = "TENANTRY_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256), value_name = "N")]
    concurrency: u16,
    /// Seconds after which a silent leader is replaced
    #[arg(long, env = "TENANTRY_LEASE_SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u16).range(4..=120), value_name = "SECONDS")]
    lease_seconds: u16,
    /// Databases of a server, or tenants, whose release or deletion within 10 minutes is let through; beyond that, and
    /// beyond 10 %, it waits until somebody says that it is meant
    #[arg(long, env = "TENANTRY_DELETION_BRAKE", default_value_t = 3, value_name = "N")]
    deletion_brake: u32,
    /// Address on which previews are asked for (tenantry plan)
    #[arg(long, env = "TENANTRY_LISTEN_ADDRESS", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    listen_address: String,
    /// Address of the admin port: /healthz, /readyz and /metrics
    #[arg(long, env = "TENANTRY_ADMIN_ADDRESS", default_value = "0.0.0.0:9090", value_name = "ADDRESS")]
    admin_address: String,
    /// Which events are logged, for example info or tenantry=debug
    #[arg(long, env = "TENANTRY_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

/// Runs the operator until `shutdown`.
pub async fn run(
    args: OperatorArgs,
    session: &Session,
    shutdown: CancellationToken,
) -> Result<Exit, Failure> {
    init_logging(LogFormat::Json, &args.log)
        .map_err(|error| Failure::from_error("failed to start logging", &error))?;
    let client = client(session).await?;
    let (metrics, readiness) = (Metrics::for_process(), Readiness::default());
    let (listener, questions) = (listen(&args.admin_address).await?, listen(&args.listen_address).await?);
    let desk = Desk::default();
    let previews = tokio::spawn(desk::serve(questions, desk.clone(), shutdown.clone()));
    let admin = tokio::spawn(serve_admin(listener, metrics.clone(), readiness.clone(), shutdown.clone()));
    let config = OperatorConfig {
        identity: args.identity,
        namespace: args.lease_namespace,
        image: args.image,
        postgres_image: args.postgres_image,
        archive_image: args.archive_image,
        concurrency: usize::from(args.concurrency),
        lease_duration: Duration::from_secs(u64::from(args.lease_seconds)),
        brake: Limits { least: args.deletion_brake, percent: BRAKE_PERCENT },
        desk,
        now: Timestamp::now,
        probe: None,
        sql_probe: None,
    };
    let result = crate::controller::run(client, config, &metrics, &readiness, shutdown.clone()).await;
    // Whatever ended the operator ends the process; the admin port has nothing to report any more.
    shutdown.cancel();
    _ = admin.await;
    _ = previews.await;
    match result {
        Ok(()) => Ok(Exit::Success),
        Err(error) => {
            tracing::error!(%error, "the operator ended");
            Err(Failure::from_error("the operator ended", &error))
        }
    }
}

async fn listen(address: &str) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| Failure::from_error(format_args!("failed to listen on {address}"), &error))
}

/// The API server of `--kubeconfig`, else of the pod, else of the user's kubeconfig.
async fn client(session: &Session) -> Result<Client, Failure> {
    let config = match &session.connection.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| {
                Failure::from_error(format_args!("failed to read {}", path.display()), &error)
            })?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(
                |error| Failure::from_error(format_args!("{} cannot be used", path.display()), &error),
            )?
        }
        None => Config::infer().await.map_err(|error| Failure::from_error("found no API server", &error))?,
    };
    let mut config = config;
    // A 504 may have been applied: only the reconcile that follows can tell, so the client repeats nothing.
    config.default_retry = false;
    if let Ok(agent) = concat!("tenantry-operator/", env!("CARGO_PKG_VERSION")).parse() {
        config.headers.push((http::header::USER_AGENT, agent));
    }
    Client::try_from(config).map_err(|error| Failure::from_error("failed to build the client", &error))
}
