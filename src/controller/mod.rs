//! The operator: controllers for our seven kinds.
//!
//! # Flow
//! Watches ([`watch`]) feed the stores ([`store`]) and the queues ([`queue`]). A worker ([`worker`]) gives an object
//! its turn: *fetch* what the turn needs, *validate* it, *build* what has to exist, *apply* it through the one gate
//! ([`apply`]), and publish the *status* ([`mod@publish`]). Each controller is a folder with a file for each step;
//! validate, build and status are pure.
//!
//! # Guarantees
//! - A turn does not know why it was called, and a second one on unchanged inputs writes nothing.
//! - An error of one object delays no other: each waits in its own time.
//! - Only the leader ([`lease`]) acts.

pub mod apply;
pub mod blueprint;
pub mod brake;
pub mod cancelled;
pub mod child;
pub mod circuits;
pub mod compare;
pub mod context;
pub mod database;
pub mod database_server;
pub mod declared;
pub mod force;
pub mod former;
pub mod guard;
pub mod lease;
pub mod metrics;
pub mod microservice;
pub mod object;
pub mod outcome;
pub mod own;
pub mod plan;
pub mod pool;
pub mod preview;
pub mod progress;
pub mod publish;
pub mod queue;
pub mod said;
pub mod seeds;
pub mod server_database;
pub mod servers;
pub mod store;
pub mod tenant;
pub mod tenant_database;
pub mod triggers;
pub mod verified;
pub mod watch;
pub mod worker;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, ListParams};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::context::{Context, OperatorConfig, StoreOf, Stores};
use self::lease::{Election, LeaseError};
use self::object::Kind;
use self::worker::Reconciler;
use crate::telemetry;

/// After so long every object has had its first turn, and what the first list brought along is of no use any more.
const FIRST_PASS: Duration = Duration::from_mins(2);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Leadership is lost; the process has to end, since another one may act now.
    #[error("stopped leading")]
    Lease(#[source] LeaseError),
    /// A worker panicked.
    #[error("a worker ended unexpectedly")]
    Worker(#[source] tokio::task::JoinError),
    /// What we own could not be listed at the start.
    #[error("failed to list what the operator owns")]
    Seed(#[source] kube::Error),
}

/// Runs the operator until `shutdown`: waits for the CRDs, for leadership, for complete stores, and works.
pub async fn run(
    client: Client,
    config: OperatorConfig,
    registry: &telemetry::Metrics,
    readiness: &telemetry::Readiness,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let crds = readiness.gate("crds");
    if !wait_for_crds(&client, &crds, &shutdown).await {
        return Ok(());
    }
    let mut election =
        Election::new(client.clone(), &config.namespace, &config.identity, config.lease_duration, config.now);
    if !election.acquire(&shutdown).await {
        return Ok(());
    }
    let random = StdRng::from_rng(&mut rand::rng());
    let context = Arc::new(Context::new(client, config, registry, election.term(), random));
    context.metrics.leads(true);

    let working = shutdown.child_token();
    let mut tasks = JoinSet::new();
    let never = CancellationToken::new();
    let ended = tokio::select! {
        // Another process may lead now: what is under way is dropped where it stands, as in a crash.
        Err(lost) = election.keep(&never) => Err(RunError::Lease(lost)),
        // Work ends before the lease does: nobody else may start while a turn of ours is under way.
        worked = work(&context, &mut tasks, &working) => worked,
    };
    context.config.desk.close();
    tasks.shutdown().await;
    context.metrics.leads(false);
    if !matches!(ended, Err(RunError::Lease(_))) {
        election.release().await;
    }
    ended
}

async fn work(
    context: &Arc<Context>,
    watches: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) -> Result<(), RunError> {
    let ready = async {
        watch::seed(context).await?;
        watch::start(context, watches, shutdown);
        watch::synced(context).await;
        Ok(())
    };
    match shutdown.run_until_cancelled(ready).await {
        None => return Ok(()),
        Some(result) => result.map_err(RunError::Seed)?,
    }
    tracing::info!(tenants = context.stores.tenants.len(), "caches are complete; working");
    let mut workers = JoinSet::new();
    start_workers(context, &mut workers, shutdown);
    context.config.desk.open(context);
    let seeds = Arc::clone(&context.seeds);
    watches.spawn(async move {
        tokio::time::sleep(FIRST_PASS).await;
        seeds.close();
    });
    while let Some(ended) = workers.join_next().await {
        // A worker that is gone would leave its queue standing: better to start again as a whole.
        ended.map_err(RunError::Worker)?;
    }
    Ok(())
}

fn start_workers(context: &Arc<Context>, workers: &mut JoinSet<()>, shutdown: &CancellationToken) {
    let mut start = Start { context, workers, shutdown };
    start.controller::<tenant::Controller>();
    start.controller::<plan::Controller>();
    start.controller::<blueprint::Controller>();
    start.controller::<database_server::Controller>();
    start.controller::<server_database::Controller>();
    start.controller::<tenant_database::Controller>();
    start.controller::<microservice::Controller>();
    start.workers.spawn(guard::run(Arc::clone(context), shutdown.clone()));
    start.workers.spawn(pool::run(Arc::clone(context), shutdown.clone()));
}

struct Start<'a> {
    context: &'a Arc<Context>,
    workers: &'a mut JoinSet<()>,
    shutdown: &'a CancellationToken,
}

impl Start<'_> {
    fn controller<R: Reconciler>(&mut self)
    where
        Stores: StoreOf<R::Kind>,
    {
        self.workers.spawn(worker::run::<R>(Arc::clone(self.context), self.shutdown.clone()));
    }
}

/// Waits until every CRD of ours is served; readiness names the one that is missing.
async fn wait_for_crds(
    client: &Client,
    gate: &telemetry::readiness::Gate,
    shutdown: &CancellationToken,
) -> bool {
    'kinds: for kind in Kind::OWN {
        let resource = kind.api_resource();
        let api: Api<kube::api::DynamicObject> = Api::all_with(client.clone(), &resource);
        loop {
            match api.list_metadata(&ListParams::default().limit(1)).await {
                Ok(_) => continue 'kinds,
                Err(error) => {
                    let name = format!("{}.{}", resource.plural, resource.group);
                    let message = format!("CRD {name} cannot be listed: {error}; run: tenantry install");
                    tracing::warn!(crd = name, %error, "waiting for the CRD");
                    gate.not_ready(message);
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return false,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }
    gate.ready();
    true
}
