//! The operator inside the test process: one that all tests share, or one of a test's own. As a process of its own it
//! is [`OperatorProcess`]. Either has the rights of the operator's service account and no others.

mod door;
mod process;

pub use process::OperatorProcess;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::DeleteParams;
use kube::{Api, Client};
use tenantry::api::labels::SYSTEM_NAMESPACE;
use tenantry::controller::apply::Probe;
use tenantry::controller::context::OperatorConfig;
use tenantry::controller::lease::LEASE;
use tenantry::controller::object::Kind;
use tenantry::controller::preview::desk::{self, Desk};
use tenantry::controller::{self, RunError};
use tenantry::resilience::brake::Limits;
use tenantry::telemetry;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::control_plane::{ControlPlane, TEST_AGENT, client};
use super::lifeline::folder;
use super::wait::wait_until;

/// What the operator's clients call themselves in tests.
const AGENT: &str = "tenantry-operator/test";
/// Image that builtin microservices run.
pub const IMAGE: &str = "tenantry.test/tenantry:1";
/// Image of managed servers.
pub const POSTGRES_IMAGE: &str = "tenantry.test/postgres:15";

/// Runs operators, which outlive the test that started them: a test's own runtime ends with it.
static BACKGROUND: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

const LONG: Duration = Duration::from_mins(1);

/// An operator that runs in this process, until stopped or dropped.
#[derive(Debug)]
pub struct Operator {
    identity: String,
    kubeconfig: PathBuf,
    metrics: telemetry::Metrics,
    readiness: telemetry::Readiness,
    /// Where previews are asked for.
    port: u16,
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
        let operator = Self::launch(plane, None).await;
        operator.leads().await;
        operator
    }

    /// An operator that may have to wait before it leads. The probe sees every write before and after it is sent.
    pub async fn launch(plane: &ControlPlane, probe: Option<Probe>) -> Self {
        Self::launch_with(plane, config(probe)).await
    }

    /// An operator whose deletion brake lets so many through without asking. It leads when this returns.
    pub async fn start_with_brake(plane: &ControlPlane, least: u32) -> Self {
        let brake = Limits { least, percent: 10 };
        let operator = Self::launch_with(plane, OperatorConfig { brake, ..config(None) }).await;
        operator.leads().await;
        operator
    }

    /// An operator that makes archives with that image. It leads when this returns.
    pub async fn start_with_archive_image(plane: &ControlPlane, image: &str) -> Self {
        let operator =
            Self::launch_with(plane, OperatorConfig { archive_image: image.into(), ..config(None) }).await;
        operator.leads().await;
        operator
    }

    async fn launch_with(plane: &ControlPlane, config: OperatorConfig) -> Self {
        LazyLock::force(&LOG);
        let questions = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        questions.set_nonblocking(true).unwrap();
        let (desk, port) = (config.desk.clone(), questions.local_addr().unwrap().port());
        let (identity, shutdown) = (config.identity.clone(), CancellationToken::new());
        let (kubeconfig, stop) = (plane.operator_kubeconfig().await, shutdown.clone());
        let (metrics, readiness) = (telemetry::Metrics::for_process(), telemetry::Readiness::default());
        let (registry, gates) = (metrics.clone(), readiness.clone());
        let task = BACKGROUND.spawn(async move {
            let questions = TcpListener::from_std(questions).unwrap();
            // Dropped with this task, it ends with the operator, however that ends.
            let mut tasks = JoinSet::new();
            tasks.spawn(desk::serve(questions, desk, stop.clone()));
            let client = client(&kubeconfig, AGENT).await;
            Box::pin(controller::run(client, config, &registry, &gates, stop)).await
        });
        let kubeconfig = plane.kubeconfig().to_owned();
        Self { identity, kubeconfig, metrics, readiness, port, shutdown, task: Some(task) }
    }

    /// Waits until it leads.
    pub async fn leads(&self) {
        leads(client(&self.kubeconfig, TEST_AGENT).await, &self.identity).await;
    }

    /// Port of this machine on which it can be asked for previews.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has the API server's service proxy find it, as its own pod would be found.
    pub async fn stands_at_its_door(&self, plane: &ControlPlane) {
        door::open(plane, self.port).await;
    }

    /// What it waits for before it is ready, in its own words.
    pub fn unready(&self) -> Vec<String> {
        let gates = self.readiness.report().gates.into_iter().filter(|gate| !gate.ready);
        gates.map(|gate| gate.message.unwrap_or_else(|| gate.name.to_owned())).collect()
    }

    /// Waits until each kind's controller has taken so many turns, no turn is under way, and nothing waits for one.
    pub async fn took_turns(&self, turns: &[(Kind, u64)]) {
        wait_until(LONG, "every controller has taken its turns", async || {
            let text = self.metrics.encode();
            let missing = turns.iter().filter(|(kind, least)| turns_of(&text, *kind) < *least);
            let missing: Vec<String> = missing
                .map(|(kind, least)| format!("{kind}: {} of {least}", turns_of(&text, *kind)))
                .collect();
            let waiting = sum(&text, "workqueue_depth{");
            let running = sum(&text, "controller_runtime_active_workers{");
            if missing.is_empty() && waiting + running == 0 {
                Ok(())
            } else {
                Err(format!("{waiting} wait, {running} run; turns missing: {}", missing.join(", ")))
            }
        })
        .await;
    }

    /// The sum of the metric's samples whose lines start so.
    pub fn sample(&self, start: &str) -> u64 {
        sum(&self.metrics.encode(), start)
    }

    /// How many turns that kind's controller has taken.
    pub fn turns(&self, kind: Kind) -> u64 {
        turns_of(&self.metrics.encode(), kind)
    }

    /// Has it end as SIGTERM does: work ends, the Lease is released.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(LONG, self.task.take().unwrap()).await;
        ended.expect("the operator did not end").unwrap().unwrap();
    }

    /// Waits until it ends by itself, and how it did.
    pub async fn ended(mut self) -> Result<(), RunError> {
        let ended = tokio::time::timeout(LONG, self.task.take().unwrap()).await;
        ended.expect("the operator did not end").unwrap()
    }

    /// Ends it wherever it is, as kill -9 does: nothing is finished, nothing released. Its Lease goes, as if it had expired.
    pub async fn kill(mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        expire(client(&self.kubeconfig, TEST_AGENT).await).await;
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}

fn turns_of(metrics: &str, kind: Kind) -> u64 {
    sum(metrics, &format!("controller_runtime_reconcile_total{{controller=\"{kind}\""))
}

/// Sum of the samples whose line starts so.
fn sum(metrics: &str, start: &str) -> u64 {
    let samples = metrics.lines().filter(|line| line.starts_with(start));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Waits until the operator of that name leads.
async fn leads(client: Client, identity: &str) {
    let leases: Api<Lease> = Api::namespaced(client, SYSTEM_NAMESPACE);
    wait_until(LONG, "the operator leads", async || {
        let holder = leases.get_opt(LEASE).await.unwrap().and_then(|lease| lease.spec?.holder_identity);
        if holder.as_deref() == Some(identity) { Ok(()) } else { Err(format!("the holder is {holder:?}")) }
    })
    .await;
}

/// Nobody waits for the Lease of an operator that died.
async fn expire(client: Client) {
    let leases: Api<Lease> = Api::namespaced(client, SYSTEM_NAMESPACE);
    leases.delete(LEASE, &DeleteParams::default()).await.unwrap();
}

/// A name that no other operator has.
fn identity() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn config(probe: Option<Probe>) -> OperatorConfig {
    OperatorConfig {
        identity: identity(),
        namespace: SYSTEM_NAMESPACE.into(),
        image: IMAGE.into(),
        postgres_image: POSTGRES_IMAGE.into(),
        archive_image: "app.test/archive:1".into(),
        concurrency: 4,
        // As client-go has it: a test must not lose it because the machine is busy.
        lease_duration: Duration::from_secs(15),
        // Tests delete all the time.
        brake: Limits { least: u32::MAX, percent: 10 },
        desk: Desk::default(),
        now: Timestamp::now,
        probe,
        sql_probe: None,
    }
}

/// What the operators of this process log goes to `operator.log`, for who looks into a failure.
static LOG: LazyLock<()> = LazyLock::new(|| {
    let file = std::fs::File::create(folder().join("operator.log")).unwrap();
    tracing_subscriber::fmt().json().with_writer(file).init();
});
