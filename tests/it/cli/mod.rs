//! The command line against a real API server, and side by side with the real kubectl.

mod counting;
mod exit_codes;
mod get;
mod install;
mod kubeconfig;
mod plan;
mod policies;
mod purge;
mod reconcile;
mod schema;
mod transcripts;
mod undelete;
mod waiting;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::support::{ControlPlane, kubectl};

/// What a program did.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// The two programs, as their user runs them: with a kubeconfig, and with their output going into pipes.
struct Shell {
    kubeconfig: PathBuf,
}

impl Shell {
    fn new(plane: &ControlPlane) -> Self {
        Self { kubeconfig: plane.kubeconfig().to_owned() }
    }

    async fn tenantry(&self, args: &[&str]) -> Outcome {
        self.spawn(Path::new(env!("CARGO_BIN_EXE_tenantry")), args).await
    }

    async fn kubectl(&self, args: &[&str]) -> Outcome {
        self.spawn(&kubectl(), args).await
    }

    /// `tenantry` with arguments that must work.
    async fn ok(&self, args: &[&str]) -> String {
        let outcome = self.tenantry(args).await;
        assert_eq!(outcome.code, Some(0), "tenantry {}: {outcome:?}", args.join(" "));
        outcome.stdout
    }

    /// `kubectl apply` of manifests that must be accepted.
    async fn apply(&self, yaml: &str) {
        let outcome = self.feed(&["apply", "-f", "-"], yaml).await;
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
    }

    /// `kubectl` with something on stdin.
    async fn feed(&self, args: &[&str], input: &str) -> Outcome {
        self.fed(&kubectl(), args, input).await
    }

    /// A program with something on stdin.
    async fn fed(&self, program: &Path, args: &[&str], input: &str) -> Outcome {
        use tokio::io::AsyncWriteExt;
        let mut child = self.command(program, args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        ended(child).await
    }

    async fn spawn(&self, program: &Path, args: &[&str]) -> Outcome {
        ended(self.start(program, args)).await
    }

    /// Starts a program without waiting for its end.
    fn start(&self, program: &Path, args: &[&str]) -> Child {
        self.command(program, args).spawn().unwrap()
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

async fn ended(child: Child) -> Outcome {
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The text with every age replaced: a second may pass between two programs.
fn without_ages(text: &str) -> String {
    let age = |word: &str| {
        let number = word.trim_end_matches(['s', 'm', 'h', 'd']);
        number.len() < word.len() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    };
    let masked = |line: &str| {
        let words: Vec<&str> =
            line.split("   ").map(|word| if age(word.trim()) { "AGE" } else { word }).collect();
        words.join("   ")
    };
    text.lines().map(|line| masked(line) + "\n").collect()
}
