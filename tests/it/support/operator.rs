//! The operator, inside the test process: one that all tests share, or one of a test's own.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client};
use tenantry::api::labels::SYSTEM_NAMESPACE;
use tenantry::controller::apply::Probe;
use tenantry::controller::context::OperatorConfig;
use tenantry::controller::lease::LEASE;
use tenantry::controller::{self, RunError};
use tenantry::telemetry;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::control_plane::{ControlPlane, client_as};
use super::kubelet::BACKGROUND;
use super::lifeline::folder;
use super::wait::wait_until;

/// What the operator's clients call themselves in tests: its writes are told from everybody's by it.
pub const OPERATOR: &str = "tenantry-operator";

/// Whose rights the operator has, in tests as in a cluster.
pub const OPERATOR_USER: &str = "system:serviceaccount:tenantry-system:operator";

const LONG: Duration = Duration::from_mins(1);

/// An operator that runs in this process, until stopped or dropped.
#[derive(Debug)]
pub struct Operator {
    shutdown: CancellationToken,
    task: Option<JoinHandle<Result<(), RunError>>>,
}

impl Operator {
    /// The operator of the shared control plane. It leads when this returns.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Operator> = OnceCell::const_new();
        SHARED.get_or_init(async || Self::start(ControlPlane::shared().await).await).await
    }

    /// An operator of the test's own on that control plane. It leads when this returns.
    pub async fn start(plane: &ControlPlane) -> Self {
        Self::start_with(plane, None).await
    }

    /// [`Self::start`], with a probe that sees every write before and after it is sent.
    pub async fn start_with(plane: &ControlPlane, probe: Option<Probe>) -> Self {
        LazyLock::force(&LOG);
        let config = config(probe);
        let identity = config.identity.clone();
        let shutdown = CancellationToken::new();
        let (kubeconfig, stop) = (plane.kubeconfig().to_owned(), shutdown.clone());
        let task = BACKGROUND.spawn(async move {
            let (metrics, readiness) = (telemetry::Metrics::for_process(), telemetry::Readiness::default());
            let client = client_as(&kubeconfig, OPERATOR, OPERATOR_USER).await;
            Box::pin(controller::run(client, config, &metrics, &readiness, stop)).await
        });
        let operator = Self { shutdown, task: Some(task) };
        operator.leads(plane.client().await, &identity).await;
        operator
    }

    async fn leads(&self, client: Client, identity: &str) {
        let leases: Api<Lease> = Api::namespaced(client, SYSTEM_NAMESPACE);
        wait_until(LONG, "the operator leads", async || {
            let holder = leases.get_opt(LEASE).await.unwrap().and_then(|lease| lease.spec?.holder_identity);
            if holder.as_deref() == Some(identity) {
                Ok(())
            } else {
                Err(format!("the holder is {holder:?}"))
            }
        })
        .await;
    }

    /// Has it end as SIGTERM does: work ends, the Lease is released.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(LONG, self.task.take().unwrap()).await;
        ended.expect("the operator did not end").unwrap().unwrap();
    }

    /// Ends it wherever it is, as kill -9 does: nothing is finished, nothing released.
    pub async fn kill(mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

fn config(probe: Option<Probe>) -> OperatorConfig {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    OperatorConfig {
        identity: format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)),
        namespace: SYSTEM_NAMESPACE.into(),
        image: "tenantry.test/tenantry:1".into(),
        postgres_image: "tenantry.test/postgres:15".into(),
        concurrency: 4,
        lease_duration: Duration::from_secs(8),
        now: Timestamp::now,
        probe,
    }
}

/// What the operators of this process log goes to `operator.log`, for who looks into a failure.
static LOG: LazyLock<()> = LazyLock::new(|| {
    let file = std::fs::File::create(folder().join("operator.log")).unwrap();
    tracing_subscriber::fmt().json().with_writer(file).init();
});
