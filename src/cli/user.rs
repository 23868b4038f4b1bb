//! `tenantry run user`: from flags to the running user service.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::args::duration;
use super::failure::{Exit, Failure};
use crate::api::microservice::{POOL_MAX, POOL_MIN};
use crate::services::database::{PoolLimits, PoolSize};
use crate::services::{ServiceConfig, user};
use crate::telemetry::{LogFormat, init_logging};

/// Flags of `run user`.
#[derive(Debug, Args)]
pub struct UserArgs {
    /// Address that requests are served on
    #[arg(long, env = "TENANTRY_LISTEN_ADDRESS", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    listen_address: SocketAddr,
    /// Address of the admin port: /healthz, /readyz and /metrics
    #[arg(long, env = "TENANTRY_ADMIN_ADDRESS", default_value = "0.0.0.0:9090", value_name = "ADDRESS")]
    admin_address: SocketAddr,
    /// Directory of service bindings; it must hold exactly one of type postgresql
    #[arg(long, env = "SERVICE_BINDING_ROOT", default_value = "/bindings", value_name = "DIRECTORY")]
    bindings: PathBuf,
    /// Database connections that are kept open, 1 to 100
    #[arg(long, env = POOL_MIN.0, default_value_t = POOL_MIN.1, value_name = "N")]
    pool_min: u32,
    /// Database connections that there may be, 1 to 100; the operator sees to it that all pods have room in the database's limit
    #[arg(long, env = POOL_MAX.0, default_value_t = POOL_MAX.1, value_name = "N")]
    pool_max: u32,
    /// How long a request waits for a database connection, as in 500ms, 5s or 1m
    #[arg(long, env = "TENANTRY_ACQUIRE_WITHIN", value_parser = duration, default_value = "5s", value_name = "DURATION")]
    acquire_within: Duration,
    /// How long a request may take
    #[arg(long, env = "TENANTRY_ANSWER_WITHIN", value_parser = duration, default_value = "10s", value_name = "DURATION")]
    answer_within: Duration,
    /// How long to try to reach and migrate the database at the start before giving up
    #[arg(long, env = "TENANTRY_OPEN_WITHIN", value_parser = duration, default_value = "2m", value_name = "DURATION")]
    open_within: Duration,
    /// How long requests under way may still take after SIGTERM
    #[arg(long, env = "TENANTRY_DRAIN_WITHIN", value_parser = duration, default_value = "20s", value_name = "DURATION")]
    drain_within: Duration,
    /// Which events are logged, for example info or tenantry=debug
    #[arg(long, env = "TENANTRY_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

/// Runs the user service until `shutdown`.
pub async fn run(args: UserArgs, shutdown: CancellationToken) -> Result<Exit, Failure> {
    init_logging(LogFormat::Json, &args.log).map_err(|error| Failure::from_error("failed to log", &error))?;
    match Box::pin(user::run(config(args)?, shutdown)).await {
        Ok(()) => Ok(Exit::Success),
        Err(error) => {
            let cause = &error as &dyn std::error::Error;
            tracing::error!(error = cause, "the user service ended");
            Err(Failure::from_error("the user service ended", &error))
        }
    }
}

/// Every flag has its place: one that is left out does not compile.
fn config(args: UserArgs) -> Result<ServiceConfig, Failure> {
    let UserArgs {
        listen_address,
        admin_address,
        bindings,
        pool_min,
        pool_max,
        acquire_within,
        answer_within,
        open_within,
        drain_within,
        log: _,
    } = args;
    Ok(ServiceConfig {
        listen: listen_address,
        admin_listen: admin_address,
        bindings,
        pool: PoolLimits { size: PoolSize::new(pool_min, pool_max).map_err(Failure::usage)?, acquire_within },
        open_within,
        request_timeout: answer_within,
        drain_within,
        new_id: Uuid::now_v7,
    })
}
