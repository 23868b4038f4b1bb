//! The operator as a process of its own, which can really be killed.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use tempfile::{NamedTempFile, TempPath};
use tenantry::controller::object::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{IMAGE, POSTGRES_IMAGE, expire, identity, leads, sum};
use crate::support::control_plane::ControlPlane;
use crate::support::lifeline::{self, Lifeline};
use crate::support::port::free_address;
use crate::support::wait::block_until;

/// An operator in a process of its own, until stopped, killed or dropped.
#[derive(Debug)]
pub struct OperatorProcess {
    process: Child,
    /// Its admin port.
    admin: SocketAddr,
    log: NamedTempFile,
    _kubeconfig: TempPath,
    _lifeline: Lifeline,
}

impl OperatorProcess {
    /// Starts `tenantry run operator` on that control plane. It leads when this returns.
    pub async fn start(plane: &ControlPlane) -> Self {
        Self::start_program(plane, Path::new(env!("CARGO_BIN_EXE_tenantry"))).await
    }

    /// [`Self::start`] of another build of `tenantry`.
    pub async fn start_program(plane: &ControlPlane, tenantry: &Path) -> Self {
        Self::start_any(plane, tenantry, plane.operator_kubeconfig().await).await
    }

    /// [`Self::start`] with another way to that control plane.
    pub async fn start_with(plane: &ControlPlane, kubeconfig: TempPath) -> Self {
        Self::start_any(plane, Path::new(env!("CARGO_BIN_EXE_tenantry")), kubeconfig).await
    }

    async fn start_any(plane: &ControlPlane, tenantry: &Path, kubeconfig: TempPath) -> Self {
        let (identity, admin) = (identity(), free_address());
        let log = NamedTempFile::new().unwrap();
        let output = log.reopen().unwrap();
        let mut command = Command::new(tenantry);
        command
            .args(["run", "operator", "--identity", &identity, "--image", IMAGE])
            .args(["--postgres-image", POSTGRES_IMAGE, "--admin-address", &admin.to_string()])
            // Tests delete all the time.
            .args(["--listen-address", "127.0.0.1:0", "--deletion-brake", "4294967295"])
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            // As in the Deployment.
            .env("MALLOC_ARENA_MAX", "1");
        let (lifeline, process) = start(&identity, command, output);
        let operator = Self { process, admin, log, _kubeconfig: kubeconfig, _lifeline: lifeline };
        leads(plane.client().await, &identity).await;
        operator
    }

    /// Whether it works, no object of any controller waits for a turn, and none has one. What is due later does not count.
    pub async fn is_idle(&self) -> bool {
        let Ok(text) = scrape(self.admin).await else { return false };
        ["workqueue_depth{", "controller_runtime_active_workers{"].iter().all(|start| {
            let told = text.lines().filter(|line| line.starts_with(start)).count();
            told == Kind::OWN.len() && sum(&text, start) == 0
        })
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.ended()
    }

    /// Waits until it ends by itself.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let ended = block_until(Duration::from_mins(1), "the operator has ended", || {
            self.process.try_wait().unwrap().ok_or_else(|| self.log())
        });
        (ended, self.log())
    }

    /// Sends SIGKILL. Its Lease on that control plane goes, as if it had expired.
    pub async fn kill(mut self, plane: &ControlPlane) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        expire(plane.client().await).await;
    }

    /// Sends STOP or CONT: a stopped operator neither acts nor notices.
    pub fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap();
        assert!(status.success());
    }

    /// Id of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has logged, JSON lines.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}

impl Drop for OperatorProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What `/metrics` of that admin port says.
async fn scrape(admin: SocketAddr) -> io::Result<String> {
    let mut connection = TcpStream::connect(admin).await?;
    connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The process ends with this one: its lifeline kills whatever process has its name in its arguments and the id that
/// was written down.
fn start(identity: &str, mut command: Command, output: File) -> (Lifeline, Child) {
    let locks = lifeline::folder().join(identity);
    let locks = locks.display();
    let end = format!(
        "pid=$(cat '{locks}.pid')
        if grep -qa -- '{identity}' /proc/$pid/cmdline 2>/dev/null; then kill -KILL $pid; fi
        rm -f '{locks}'.*"
    );
    Lifeline::join(identity, &end, || {
        let process = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        std::fs::write(format!("{locks}.pid"), process.id().to_string()).unwrap();
        process
    })
}
