//! What the operator costs: writes, memory and time with 100 tenants, and `tenantry get` beside kubectl.
//!
//! The program measured is target/release/tenantry, as a process of its own, on a control plane and a PostgreSQL of
//! its own. What it wrote is counted in the API server's audit log. docs/benchmarks.md says how to read the result.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot go on has failed")]

mod report;
#[path = "../tests/it/controller/scene.rs"]
#[expect(dead_code, reason = "tests need more of it")]
mod scene;
#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "tests need more of it")]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use kube::api::{DynamicObject, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use tenantry::controller::object::{Kind, dynamic_api};
use tokio::time::{sleep, timeout};

use report::Measure;
use scene::{Scene, condition};
use support::{ControlPlane, OperatorProcess, Postgres, Write, kubectl, wait_until};

/// How many tenants there are in the end.
const TENANTS: usize = 100;
/// Name of the one microservice and of the one database of each tenant.
const SERVICE: &str = "user";
const DATABASE: &str = "app";
/// How long a restarted operator is watched.
const WINDOW: Duration = Duration::from_secs(10);
/// Rounds of the wall time.
const ROUNDS: usize = 25;
/// The operator's memory is to stay below.
const MEMORY_TARGET_MB: f64 = 40.0;

#[tokio::main]
async fn main() {
    let plane = ControlPlane::own().await;
    let postgres = Postgres::own();
    let operator = OperatorProcess::start_program(&plane, &tenantry()).await;
    let scene = Scene::new(&plane).await;
    prepare(&scene, &postgres).await;

    let mark = plane.mark().await;
    let mut ready = vec![];
    for number in 0..TENANTS {
        ready.push(milliseconds(create(&scene, &tenant(number)).await));
    }
    settle(&plane).await;
    let writes = Counted::of(&scene, &plane.operator_writes_since(mark).await);
    let first = Memory::samples(&operator).await;

    let (status, log) = operator.terminate();
    assert!(status.success(), "{log}");
    let mark = plane.mark().await;
    let operator = OperatorProcess::start_program(&plane, &tenantry()).await;
    let restarted = Memory::samples(&operator).await;
    let after_restart = plane.operator_writes_since(mark).await;
    assert_eq!(after_restart, [], "a restart writes nothing but its Lease");

    let walls = Walls::measure(&plane);
    let (status, log) = operator.terminate();
    assert!(status.success(), "{log}");

    report::publish(
        "operator",
        &[
            Measure::new("tenant writes", "writes", &writes.tenant)
                .against("children + 3", &writes.tenant_budget),
            Measure::new("microservice writes", "writes", &writes.service)
                .against("children + 3", &writes.service_budget),
            Measure::new("database writes", "writes", &[writes.per_database]),
            Measure::new("restart writes", "writes", &[count(after_restart.len())]).against("target", &[0.0]),
            Measure::new("rss 100 tenants", "MB", &first.resident).against("target", &[MEMORY_TARGET_MB]),
            Measure::new("rss 100 tenants, of it anonymous", "MB", &first.anonymous),
            Measure::new("rss 100 tenants, peak", "MB", &first.peak).against("target", &[MEMORY_TARGET_MB]),
            Measure::new("rss 100 tenants, restarted", "MB", &restarted.resident)
                .against("target", &[MEMORY_TARGET_MB]),
            Measure::new("rss 100 tenants, restarted, peak", "MB", &restarted.peak)
                .against("target", &[MEMORY_TARGET_MB]),
            Measure::new("get wall", "ms", &walls.ours).against("kubectl get tenants", &walls.theirs),
            Measure::at("tenant ready, p50", "ms", &ready, 0.5),
            Measure::at("tenant ready, p99", "ms", &ready, 0.99),
        ],
    );
}

/// The program that is installed: tests' own build has other features and no optimisation.
fn tenantry() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/tenantry");
    assert!(program.exists(), "{} is missing: run `make build`", program.display());
    program
}

fn tenant(number: usize) -> String {
    format!("t{number:03}")
}

/// A server, a plan and a blueprint with one database and one microservice, all of them Ready.
async fn prepare(scene: &Scene<'_>, postgres: &Postgres) {
    let server = scene.cluster("server");
    postgres.register(&scene.client, &server.name).await;
    let labels = json!({"metadata": {"labels": {"bench": scene.prefix.as_str()}}});
    scene.patch(Kind::DatabaseServer, &server, labels).await;
    let plan = json!({
        "quota": {"cpu": "1", "memory": "1Gi", "pods": 10}, "limits": {"connections": 10},
        "serverSelector": {"matchLabels": {"bench": scene.prefix.as_str()}},
    });
    let service =
        json!({"builtin": "user", "version": "0.1.0", "replicas": 1, "databases": [{"name": DATABASE}]});
    let blueprint =
        json!({"databases": [{"name": DATABASE}], "services": [{"name": SERVICE, "spec": service}]});
    scene.create(Kind::Plan, &scene.cluster("small"), plan).await;
    scene.create(Kind::Blueprint, &scene.cluster("demo"), blueprint).await;
    scene.ready(Kind::DatabaseServer, &server).await;
    scene.ready(Kind::Plan, &scene.cluster("small")).await;
    scene.ready(Kind::Blueprint, &scene.cluster("demo")).await;
}

/// Creates a tenant, and says how long it took to become Ready.
async fn create(scene: &Scene<'_>, tenant: &str) -> Duration {
    let key = scene.cluster(tenant);
    let spec =
        json!({"planRef": {"name": scene.name("small")}, "blueprints": [{"name": scene.name("demo")}]});
    let began = Instant::now();
    let created = scene.create(Kind::Tenant, &key, spec).await;
    let api = dynamic_api(&scene.client, Kind::Tenant, &key);
    let only = WatchParams::default().fields(&format!("metadata.name={}", key.name));
    let version = created["metadata"]["resourceVersion"].as_str().unwrap();
    let events = api.watch(&only, version).await.unwrap();
    let mut ready = events.try_filter(|event| std::future::ready(is_ready(event))).boxed();
    let event = timeout(scene::A_MINUTE, ready.try_next()).await;
    event.unwrap_or_else(|_| panic!("{key} is not ready after a minute")).unwrap().unwrap();
    began.elapsed()
}

fn is_ready(event: &WatchEvent<DynamicObject>) -> bool {
    let WatchEvent::Modified(object) = event else { return false };
    let object: Value = serde_json::to_value(object).unwrap();
    condition(&object, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// Waits until the operator has written nothing for some seconds.
async fn settle(plane: &ControlPlane) {
    wait_until(Duration::from_mins(2), "the operator writes no more", async || {
        let mark = plane.mark().await;
        sleep(Duration::from_secs(3)).await;
        let writes = plane.operator_writes_since(mark).await;
        if writes.is_empty() { Ok(()) } else { Err(format!("{writes:?}")) }
    })
    .await;
}

/// Writes by what they were for, per tenant.
struct Counted {
    tenant: Vec<f64>,
    tenant_budget: Vec<f64>,
    service: Vec<f64>,
    service_budget: Vec<f64>,
    /// All others are for databases.
    per_database: f64,
}

impl Counted {
    fn of(scene: &Scene<'_>, writes: &[Write]) -> Self {
        let mut counted = Self {
            tenant: vec![],
            tenant_budget: vec![],
            service: vec![],
            service_budget: vec![],
            per_database: 0.0,
        };
        let mut others = writes.len();
        for number in 0..TENANTS {
            let tenant = tenant(number);
            let (name, namespace) = (scene.name(&tenant), scene.namespace(&tenant));
            let of_tenant: Vec<&Write> =
                writes.iter().filter(|write| for_tenant(write, &name, &namespace)).collect();
            let of_service: Vec<&Write> =
                writes.iter().filter(|write| for_service(write, &namespace)).collect();
            others -= of_tenant.len() + of_service.len();
            counted.tenant.push(count(of_tenant.len()));
            counted.tenant_budget.push(budget(&of_tenant));
            counted.service.push(count(of_service.len()));
            counted.service_budget.push(budget(&of_service));
        }
        counted.per_database = count(others) / count(TENANTS);
        counted
    }
}

/// The tenant itself, its namespace, and what its own controller makes inside.
fn for_tenant(write: &Write, name: &str, namespace: &str) -> bool {
    let inside = match write.resource.as_str() {
        "limitranges" | "resourcequotas" | "rolebindings" => true,
        "networkpolicies" => write.name != SERVICE,
        "microservices" | "tenantdatabases" => is_creation(write),
        _ => false,
    };
    (write.resource == "tenants" && write.name == name)
        || (write.resource == "namespaces" && write.name == namespace)
        || (write.namespace == namespace && inside)
}

/// The microservice once it is there, and its children, which have its name.
fn for_service(write: &Write, namespace: &str) -> bool {
    let itself = write.resource == "microservices";
    write.namespace == namespace && write.name == SERVICE && !(itself && is_creation(write))
}

fn is_creation(write: &Write) -> bool {
    write.verb == "create" && write.subresource.is_empty()
}

/// Children + 3: the finalizer, the first and the last status.
fn budget(writes: &[&Write]) -> f64 {
    count(writes.iter().filter(|write| is_creation(write)).count() + 3)
}

/// The operator's memory, sampled once a second for [`WINDOW`], in MB.
struct Memory {
    resident: Vec<f64>,
    /// Heap and stacks: what no other process can share, and no file gives back.
    anonymous: Vec<f64>,
    peak: Vec<f64>,
}

impl Memory {
    async fn samples(operator: &OperatorProcess) -> Self {
        let mut memory = Self { resident: vec![], anonymous: vec![], peak: vec![] };
        let end = Instant::now() + WINDOW;
        while Instant::now() < end {
            sleep(Duration::from_secs(1)).await;
            let status = std::fs::read_to_string(format!("/proc/{}/status", operator.id())).unwrap();
            memory.resident.push(megabytes(&status, "VmRSS:"));
            memory.anonymous.push(megabytes(&status, "RssAnon:"));
            memory.peak = vec![megabytes(&status, "VmHWM:")];
        }
        memory
    }
}

/// The kernel says kB and means 1024 bytes.
fn megabytes(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024.0 / 1e6
}

/// Wall time of the same question to both programs, one after the other.
struct Walls {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Walls {
    fn measure(plane: &ControlPlane) -> Self {
        // kubectl keeps what it discovered in its home: its first call pays for that, and is not counted.
        let home = tempfile::tempdir().unwrap();
        let ask = |program: &Path| get_tenants(program, plane.kubeconfig(), &home);
        let (tenantry, kubectl) = (tenantry(), kubectl());
        let mut walls = Self { ours: vec![], theirs: vec![] };
        let mut equal = 0;
        for round in 0..=ROUNDS {
            let ((ours, our_text), (theirs, their_text)) = (ask(&tenantry), ask(&kubectl));
            assert_eq!(our_text.lines().count(), TENANTS + 1, "{our_text}");
            assert_eq!(without_ages(&our_text), without_ages(&their_text));
            equal += usize::from(our_text == their_text);
            if round > 0 {
                walls.ours.push(milliseconds(ours));
                walls.theirs.push(milliseconds(theirs));
            }
        }
        // Ages go on between two calls, but not every time.
        assert!(equal > 0, "the outputs never had the same bytes");
        walls
    }
}

fn get_tenants(program: &Path, kubeconfig: &Path, home: &TempDir) -> (Duration, String) {
    let mut command = Command::new(program);
    command.args(["get", "tenants"]).env("KUBECONFIG", kubeconfig).env("HOME", home.path());
    let began = Instant::now();
    let output = command.output().unwrap();
    let wall = began.elapsed();
    assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    (wall, String::from_utf8(output.stdout).unwrap())
}

/// The lines without their last column.
fn without_ages(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.trim_end().rsplit_once(' ').unwrap().0).collect()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "counts of some thousands")]
fn count(number: usize) -> f64 {
    number as f64
}
