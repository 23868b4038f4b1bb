//! `pg_dump` and `pg_restore`, as children of this process that end with it.
//!
//! They know nothing of this process's environment. The password is in a file that only they and we can read, never in
//! their arguments; what they complain about is read to a bound.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::logic::{complaint, passfile, tool_version};
use crate::services::database::binding::Binding;

/// Most bytes of a tool's complaints that are kept, and of its list of what a dump holds.
const COMPLAINT_MAX: u64 = 64 * 1024;
const LIST_MAX: u64 = 256 * 1024 * 1024;

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// No folder for what only the tools may read.
    #[error("failed to write {}", path.display())]
    Private {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The tools need a CA to verify the server.
    #[error("failed to connect safely: the binding has no ca.crt; add the CA of the server's certificate")]
    NoCa,
    /// It does not start.
    #[error("failed to start {}; is it the folder of the PostgreSQL client?", .program.display())]
    Start {
        /// Its path.
        program: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// Its output or input broke.
    #[error("failed to talk to {tool}")]
    Talk {
        /// Its name.
        tool: &'static str,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// It says that it is something else.
    #[error("failed to understand the version of {tool}: {printed:?}")]
    Version {
        /// Its name.
        tool: &'static str,
        /// What it printed.
        printed: String,
    },
    /// It ended unsuccessfully.
    #[error("failed to run {tool}, {status}: {complaint}")]
    Failed {
        /// Its name.
        tool: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        complaint: String,
    },
}

/// The tools, and how they reach the server.
#[derive(Debug)]
pub struct Tools {
    folder: PathBuf,
    private: Private,
    host: String,
    port: u16,
    username: String,
    restorer: String,
}

/// A folder that only this user can enter, removed when dropped.
#[derive(Debug)]
struct Private(PathBuf);

impl Drop for Private {
    fn drop(&mut self) {
        // The pod's temporary folder goes with the pod.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A tool at work.
#[derive(Debug)]
pub struct Running {
    tool: &'static str,
    child: Child,
    /// What it is fed; taken when there is no more.
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    complaints: JoinHandle<String>,
}

impl Tools {
    /// The tools of `folder`, with what they need to log in below `temporary`, in a new folder of that name.
    /// What is restored is restored as `restorer`.
    pub fn new(
        folder: &Path,
        temporary: &Path,
        name: &str,
        binding: &Binding,
        restorer: &str,
    ) -> Result<Self, ToolError> {
        let path = temporary.join(name);
        let failed = |path: &Path, source| ToolError::Private { path: path.to_owned(), source };
        DirBuilder::new().mode(0o700).create(&path).map_err(|source| failed(&path, source))?;
        let tools = Self {
            folder: folder.to_owned(),
            private: Private(path),
            host: binding.host().to_owned(),
            port: binding.port(),
            username: binding.username().to_owned(),
            restorer: restorer.to_owned(),
        };
        let passwords = [binding.username(), restorer].map(|login| passfile(login, binding.password()));
        tools.write("pgpass", passwords.concat().as_bytes())?;
        tools.write("ca.crt", binding.ca().ok_or(ToolError::NoCa)?)?;
        Ok(tools)
    }

    /// Writes a file that only the tools can read.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, ToolError> {
        let path = self.private.0.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(bytes));
        written.map_err(|source| ToolError::Private { path: path.clone(), source })?;
        Ok(path)
    }

    /// What makes the dumps, as in `pg_dump 15.18`.
    pub async fn version(&self) -> Result<String, ToolError> {
        let mut running = self.start("pg_dump", &["--version".into()])?;
        let printed = running.read_all().await?;
        running.end().await?;
        let printed = String::from_utf8_lossy(&printed).into_owned();
        tool_version(&printed).ok_or(ToolError::Version { tool: "pg_dump", printed })
    }

    /// Dumps `database` as it is in `snapshot`, to its standard output, and waits so long for a lock.
    pub fn dump(
        &self,
        database: &str,
        group: &str,
        snapshot: &str,
        lock_wait: Duration,
    ) -> Result<Running, ToolError> {
        let arguments = [
            "--format=custom".to_owned(),
            format!("--lock-wait-timeout={}", lock_wait.as_millis()),
            "--no-password".to_owned(),
            format!("--snapshot={snapshot}"),
            format!("--role={group}"),
            format!("--dbname={database}"),
        ];
        self.start("pg_dump", &arguments)
    }

    /// Lists what is in the dump that it is fed.
    pub fn list(&self) -> Result<Running, ToolError> {
        self.start("pg_restore", &["--format=custom".into(), "--list".into()])
    }

    /// Restores what `list` says of the dump that it is fed, and stops at the first error.
    pub fn restore(&self, database: &str, group: &str, list: &str) -> Result<Running, ToolError> {
        let list = self.write("list", list.as_bytes())?;
        let arguments = [
            "--format=custom".to_owned(),
            "--exit-on-error".to_owned(),
            "--no-password".to_owned(),
            format!("--use-list={}", list.display()),
            format!("--role={group}"),
            format!("--username={}", self.restorer),
            format!("--dbname={database}"),
        ];
        self.start("pg_restore", &arguments)
    }

    fn start(&self, tool: &'static str, arguments: &[String]) -> Result<Running, ToolError> {
        let program = self.folder.join(tool);
        let private = &self.private.0;
        let mut child = Command::new(&program)
            .args(arguments)
            .env_clear()
            .env("LC_ALL", "C")
            .env("HOME", private)
            .env("PGAPPNAME", "tenantry-archive")
            .env("PGHOST", &self.host)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.username)
            .env("PGPASSFILE", private.join("pgpass"))
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", private.join("ca.crt"))
            .env("PGGSSENCMODE", "disable")
            .env("PGCONNECT_TIMEOUT", "30")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| ToolError::Start { program, source })?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let complaints = tokio::spawn(complaints(child.stderr.take()));
        Ok(Running { tool, child, stdin, stdout, complaints })
    }
}

/// The beginning of what a tool complains about; the rest is read and forgotten, so that it never waits for us.
async fn complaints(stderr: Option<ChildStderr>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    let mut kept = vec![];
    // What cannot be read is not told; how the tool ended is.
    let _ = (&mut stderr).take(COMPLAINT_MAX).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}

impl Running {
    /// The next bytes of its output; 0 at the end.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ToolError> {
        let Some(stdout) = &mut self.stdout else { return Ok(0) };
        stdout.read(buffer).await.map_err(|source| ToolError::Talk { tool: self.tool, source })
    }

    async fn read_all(&mut self) -> Result<Vec<u8>, ToolError> {
        self.stdin = None;
        let mut output = vec![];
        if let Some(stdout) = self.stdout.take() {
            let read = stdout.take(LIST_MAX).read_to_end(&mut output).await;
            read.map_err(|source| ToolError::Talk { tool: self.tool, source })?;
        }
        Ok(output)
    }

    /// Feeds it. One that has stopped listening is fed no more: how it ends says why.
    pub async fn feed(&mut self, bytes: &[u8]) -> Result<(), ToolError> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        match stdin.write_all(bytes).await {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.stdin = None;
                Ok(())
            }
            written => written.map_err(|source| ToolError::Talk { tool: self.tool, source }),
        }
    }

    /// All of its output, once it is fed.
    pub async fn output(mut self) -> Result<String, ToolError> {
        let output = self.read_all().await?;
        self.end().await?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Waits for its end, once it is fed.
    pub async fn end(mut self) -> Result<(), ToolError> {
        self.stdin = None;
        self.stdout = None;
        let status = self.child.wait().await.map_err(|source| ToolError::Talk { tool: self.tool, source })?;
        let said = self.complaints.await.unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        Err(ToolError::Failed { tool: self.tool, status, complaint: complaint(&said) })
    }
}
