//! A whole cluster that all tests of one target folder share: its node runs pods, and the program under test runs in
//! them. Needs root.
//!
//! The images are built from the very binary that the tests were built with, the cluster is installed by that binary,
//! and its managed server is reached through a port of the node. All of it ends with the last test process.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tenantry::api::labels::SERVERS_NAMESPACE;
use tokio::sync::OnceCell;

use super::control_plane::{ControlPlane, kubectl, localcluster};
use super::lifeline::{self, Lifeline, folder, folder_hash};
use super::postgres::{Access, Postgres};
use super::wait::{block_until, wait_until};

/// Images that have to be on the node.
const IMAGES: [&str; 4] = ["pause", "coredns", "tenantry", "postgres"];
/// Image of the program under test.
const IMAGE: &str = "localhost/tenantry/tenantry:dev";
/// The managed server of the demo.
const SERVER: &str = "main";

/// The cluster, with the operator and the demo in it.
#[derive(Debug)]
pub struct FullCluster {
    /// Its API server.
    pub plane: ControlPlane,
    /// The demo's managed server, as its superuser sees it.
    pub postgres: Postgres,
    _lifeline: Lifeline,
}

impl FullCluster {
    /// The one that all tests share. The demo's tenants are Ready.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<FullCluster> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let name = format!("e2e-{}", folder_hash());
        let program = localcluster();
        let end = format!("'{}' down --name '{name}'", program.display());
        let (lifeline, kubeconfig) = Lifeline::join(&name, &end, || {
            let kubeconfig = up(&program, &name, &images());
            install(&kubeconfig);
            kubeconfig
        });
        let plane = ControlPlane::with_nodes(kubeconfig);
        let port = forward(&plane).await;
        let postgres = Postgres::at(access(&plane, port).await);
        Self { plane, postgres, _lifeline: lifeline }
    }

    /// `tenantry` as the cluster's administrator.
    pub fn tenantry(&self, args: &[&str]) -> (Option<i32>, String) {
        run(tenantry(self.plane.kubeconfig()).args(args))
    }

    /// `tenantry` with arguments that must work; what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        succeed(tenantry(self.plane.kubeconfig()).args(args))
    }
}

/// Builds the images; the folder that they are in.
fn images() -> PathBuf {
    let images = folder().join("images");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let coredns = localcluster().with_file_name("coredns");
    assert!(coredns.exists(), "{} is missing: build it with `make`", coredns.display());
    succeed(
        Command::new(root.join("images/build.sh"))
            .args(IMAGES)
            .env("TENANTRY_BINARY", env!("CARGO_BIN_EXE_tenantry"))
            .env("COREDNS_BINARY", coredns)
            .env("TENANTRY_IMAGES", &images),
    );
    images
}

fn up(program: &Path, name: &str, images: &Path) -> PathBuf {
    let mut command = lifeline::command(name, program);
    command.args(["up", "--name", name]);
    for image in IMAGES {
        command.arg("--image").arg(images.join(format!("{image}.tar")));
    }
    succeed(&mut command).trim().into()
}

/// What `make demo` does once the cluster runs.
fn install(kubeconfig: &Path) {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples/demo");
    succeed(tenantry(kubeconfig).args(["install", "--image", IMAGE]));
    succeed(with(kubeconfig, &kubectl()).arg("apply").arg("-f").arg(samples));
    let wait = ["wait", "tenant", "acme", "globex", "--for=condition=Ready", "--timeout=2m"];
    let (code, printed) = run(tenantry(kubeconfig).args(wait));
    if code != Some(0) {
        let (_, status) = run(tenantry(kubeconfig).arg("status"));
        let (_, pods) = run(with(kubeconfig, &kubectl()).args(["get", "pods", "--all-namespaces"]));
        panic!("the demo is not ready: {printed}\n{status}\n{pods}");
    }
}

/// Opens a port of this machine that leads to the server. Its certificate is valid for localhost, and not for the
/// node's address, so this process passes on what comes in.
async fn forward(plane: &ControlPlane) -> u16 {
    let services: Api<Service> = Api::namespaced(plane.client().await, SERVERS_NAMESPACE);
    let inside = services.get(SERVER).await.unwrap().spec.unwrap();
    let spec = json!({"type": "NodePort", "selector": inside.selector, "ports": [{"port": 5432, "protocol": "TCP"}]});
    let name = format!("{SERVER}-from-outside");
    let outside = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
    let params = PatchParams::apply("tenantry-tests");
    let made = services.patch(&name, &params, &Patch::Apply(outside)).await.unwrap();
    let port = u16::try_from(made.spec.unwrap().ports.unwrap()[0].node_port.unwrap()).unwrap();
    let node = (plane.host().await, port);
    wait_until(Duration::from_secs(30), "the node has opened the server's port", async || {
        TcpStream::connect(&node).map(drop).map_err(|error| error.to_string())
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for inner in listener.incoming().map_while(Result::ok) {
            // Who connects sees the end of the connection, as with a server that is down.
            if let Ok(outer) = TcpStream::connect(&node) {
                pass(&inner, &outer);
                pass(&outer, &inner);
            }
        }
    });
    port
}

/// Passes on, in a thread of its own, until the sender's end.
fn pass(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        // However it ends, the other side is told.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// The superuser's access. The certificate is valid for localhost too.
async fn access(plane: &ControlPlane, port: u16) -> Access {
    let secrets: Api<Secret> = Api::namespaced(plane.client().await, SERVERS_NAMESPACE);
    let data = secrets.get(&format!("{SERVER}-admin")).await.unwrap().data.unwrap();
    let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
    let ca = folder().join("e2e-ca.crt");
    std::fs::write(&ca, text("ca.crt")).unwrap();
    Access { host: "localhost".into(), port, username: text("username"), password: text("password"), ca }
}

fn tenantry(kubeconfig: &Path) -> Command {
    with(kubeconfig, Path::new(env!("CARGO_BIN_EXE_tenantry")))
}

fn with(kubeconfig: &Path, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("KUBECONFIG", kubeconfig);
    command
}

/// Exit code, and all that was printed.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code(), text)
}

fn succeed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Kills the operator's process as a crash of the machine would, wherever it is; nothing is finished, nothing
/// released. Its pod is removed too, so that the kubelet does not hold the next one back.
pub fn kill_operator_process(pod_uid: &str) {
    block_until(Duration::from_mins(1), "the operator's process is killed", || {
        let id = process_of(pod_uid).ok_or("it is not there")?;
        let status = Command::new("kill").args(["-KILL", &id]).status().unwrap();
        if status.success() { Ok(()) } else { Err(format!("{id} has ended")) }
    });
}

/// The process `tenantry run operator` in the control group of that pod.
fn process_of(pod_uid: &str) -> Option<String> {
    let of_pod = |groups: String| groups.contains(pod_uid) || groups.contains(&pod_uid.replace('-', "_"));
    std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).find_map(|entry| {
        let groups = std::fs::read_to_string(entry.path().join("cgroup")).ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        let ours = String::from_utf8_lossy(&command).contains("run\0operator");
        (ours && of_pod(groups)).then(|| entry.file_name().into_string().unwrap())
    })
}
