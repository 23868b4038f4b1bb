//! A real control plane: one that all tests share, or one of a test's own from a pool of five.
//!
//! Every control plane has everything of ours installed but the operator, and a [`kubelet`](super::kubelet) that plays its nodes.

mod backup;
mod install;
mod reset;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tempfile::TempPath;
use tenantry::api::labels::SYSTEM_NAMESPACE;
use tokio::sync::OnceCell;

use super::audit_log::{self, Mark, Write};
use super::kubelet::{self, Kubelet};
use super::lifeline::{self, Lifeline, folder_hash, try_slot};
use super::prefix::Prefix;
use super::wait::wait_until;

/// What the clients of tests call themselves: their writes are told from the operator's by it.
pub const TEST_AGENT: &str = "tenantry-tests";

/// The operator's service account, as the API server names it.
pub const OPERATOR_USER: &str = "system:serviceaccount:tenantry-system:operator";

/// A control plane with everything of ours installed.
#[derive(Debug)]
pub struct ControlPlane {
    kubeconfig: PathBuf,
    /// Ends before the slot is given to the next test. None where real ones run.
    kubelet: Mutex<Option<Kubelet>>,
    _slot: Option<File>,
}

impl ControlPlane {
    /// The control plane that tests share. Objects need names of their own, see [`Prefix`].
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED
            .get_or_init(async || Self::installed(started(&format!("test-{}", folder_hash())), None).await)
            .await
    }

    /// A control plane of the test's own, without any object of earlier tests. Five exist: a sixth caller waits.
    pub async fn own() -> Self {
        let names = ["a", "b", "c", "d", "e"].map(|end| format!("test-{}-{end}", folder_hash()));
        let names = names.each_ref().map(String::as_str);
        let longest_test = Duration::from_mins(10);
        let (name, slot) = wait_until(longest_test, "a control plane of the pool is free", async || {
            try_slot(&names).ok_or_else(|| "other tests use all".to_owned())
        })
        .await;
        let kubeconfig = started(name);
        reset::reset(&client(&kubeconfig, TEST_AGENT).await).await;
        Self::installed(kubeconfig, Some(slot)).await
    }

    async fn installed(kubeconfig: PathBuf, slot: Option<File>) -> Self {
        install::install(&client(&kubeconfig, TEST_AGENT).await).await;
        Self { kubelet: Mutex::new(Some(Kubelet::start(&kubeconfig))), kubeconfig, _slot: slot }
    }

    /// Installs over what is there, as `tenantry install` does when somebody has taken a part away.
    pub async fn install(&self) {
        install::install(&self.client().await).await;
    }

    /// One with nodes of its own, in which everything is installed already.
    pub fn with_nodes(kubeconfig: PathBuf) -> Self {
        Self { kubeconfig, kubelet: Mutex::default(), _slot: None }
    }

    /// Path of the administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// An administrator's client. It works only inside the runtime that asked for it, so each test asks anew.
    pub async fn client(&self) -> Client {
        client(&self.kubeconfig, TEST_AGENT).await
    }

    /// Host of the API server: in a whole cluster, the node.
    pub async fn host(&self) -> String {
        config(&self.kubeconfig).await.cluster_url.host().unwrap().to_owned()
    }

    /// Now, for [`Self::writes_since`].
    pub async fn mark(&self) -> Mark {
        self.flush_audit_log().await;
        audit_log::end(&self.audit_log())
    }

    /// Every mutating request that was answered since `mark`, by whomever but these tests and their kubelet.
    pub async fn writes_since(&self, mark: Mark) -> Vec<Write> {
        self.flush_audit_log().await;
        let mut writes = audit_log::since(&self.audit_log(), mark);
        writes.retain(|write| ![TEST_AGENT, kubelet::AGENT].contains(&write.user_agent.as_str()));
        writes
    }

    /// What the operator's service account has written since `mark`, its Lease and Events apart.
    pub async fn operator_writes_since(&self, mark: Mark) -> Vec<Write> {
        let mut writes = self.writes_since(mark).await;
        writes.retain(|write| write.user == OPERATOR_USER);
        writes.retain(|write| !["leases", "events"].contains(&write.resource.as_str()));
        writes
    }

    /// A kubeconfig with the rights of the operator's service account, and no others.
    pub async fn operator_kubeconfig(&self) -> TempPath {
        let client = self.client().await;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, SYSTEM_NAMESPACE);
        let hour = TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: hour, ..TokenRequest::default() };
        let token = accounts.create_token_request("operator", &PostParams::default(), &request).await;
        let mut kubeconfig = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        for user in &mut kubeconfig.auth_infos {
            let token = token.as_ref().unwrap().status.as_ref().unwrap().token.clone();
            user.auth_info = Some(AuthInfo { token: Some(token.into()), ..AuthInfo::default() });
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        serde_json::to_writer(&mut file, &kubeconfig).unwrap();
        file.into_temp_path()
    }

    fn audit_log(&self) -> PathBuf {
        self.kubeconfig.with_file_name("audit.log")
    }

    /// A request is logged after its answer has begun. This sends one that changes nothing, and waits for its entry.
    async fn flush_audit_log(&self) {
        let name = Prefix::new().name("flush");
        let before = audit_log::end(&self.audit_log());
        let maps: Api<ConfigMap> = Api::namespaced(self.client().await, "default");
        let answer = maps.delete(&name, &DeleteParams::default()).await;
        assert!(matches!(&answer, Err(kube::Error::Api(status)) if status.code == 404), "{answer:?}");
        wait_until(Duration::from_mins(1), "the audit log has this test's own request", async || {
            let seen = audit_log::since(&self.audit_log(), before).iter().any(|write| write.name == name);
            if seen { Ok(()) } else { Err("not yet".into()) }
        })
        .await;
    }
}

async fn config(kubeconfig: &Path) -> Config {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
}

/// A client for that kubeconfig that calls itself `agent`.
pub async fn client(kubeconfig: &Path, agent: &'static str) -> Client {
    let mut config = config(kubeconfig).await;
    config.headers.push((USER_AGENT, HeaderValue::from_static(agent)));
    Client::try_from(config).unwrap()
}

/// The kubeconfig of the control plane `name`, which runs from now on until the last test process ends.
fn started(name: &str) -> PathBuf {
    static STARTED: LazyLock<Mutex<HashMap<String, (Lifeline, PathBuf)>>> = LazyLock::new(Mutex::default);
    let mut started = STARTED.lock().unwrap();
    let entry = started.entry(name.to_owned()).or_insert_with(|| {
        let program = localcluster();
        let end = format!("'{}' down --name '{name}'", program.display());
        Lifeline::join(name, &end, || up(&program, name))
    });
    entry.1.clone()
}

/// What no test needs of an API server: a sixth of what its start costs, and a third of what it costs while nobody asks.
const SPARED: [&str; 2] = [
    "enable-priority-and-fairness=false",
    "runtime-config=flowcontrol.apiserver.k8s.io/v1=false,autoscaling/v1=false,autoscaling/v2=false",
];

fn up(program: &Path, name: &str) -> PathBuf {
    let shown = program.display();
    assert!(program.exists(), "{shown} is missing: build it with `make`, or set TENANTRY_TEST_LOCALCLUSTER");
    let further = SPARED.map(|flag| ["--apiserver-arg", flag]);
    let output = lifeline::command(name, program)
        .args(["up", "--control-plane-only", "--name", name])
        .args(further.as_flattened())
        .output()
        .unwrap();
    assert!(output.status.success(), "localcluster up: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// The real kubectl, which is built beside localcluster: one program, linked twice.
pub fn kubectl() -> PathBuf {
    localcluster().with_file_name("kubectl")
}

/// The program.
pub fn localcluster() -> PathBuf {
    let named = std::env::var_os("TENANTRY_TEST_LOCALCLUSTER").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bin/localcluster"))
}
