//! `tenantry run user` as a pod runs it: environment, signals, exit codes.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::{Child, Command};

use super::instance::PATIENCE;
use super::tenant_database::TenantDatabase;
use crate::support::{free_address, wait_until};

fn run_user() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
    command
        .args(["run", "user"])
        .env_clear()
        .env("TENANTRY_LISTEN_ADDRESS", free_address().to_string())
        .env("TENANTRY_ADMIN_ADDRESS", free_address().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn wait(child: Child) -> Output {
    tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap()
}

async fn signal(name: &str, child: &Child) {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().await.unwrap().success());
}

#[tokio::test]
async fn it_serves_until_sigterm_and_ends_with_0() {
    let database = TenantDatabase::shared().await;
    let address = free_address();
    for name in ["TERM", "INT"] {
        let child = run_user()
            .env("TENANTRY_LISTEN_ADDRESS", address.to_string())
            .env("SERVICE_BINDING_ROOT", database.bindings())
            .spawn()
            .unwrap();
        wait_until(PATIENCE, "the service listens", async || {
            tokio::net::TcpStream::connect(address).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        signal(name, &child).await;
        let output = wait(child).await;
        assert_eq!((output.status.code(), output.stdout), (Some(0), vec![]), "SIG{name}");
        let log = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["message"], "started", "{log}");
        assert_eq!(lines[lines.len() - 1]["message"], "stopped", "{log}");
        assert!(!log.contains(&database.password), "{log}");
    }
}

#[tokio::test]
async fn a_pool_that_makes_no_sense_is_a_usage_error() {
    let output = wait(run_user().env("TENANTRY_POOL_MAX", "101").spawn().unwrap()).await;
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: pool of 1 to 101 connections is not valid: both must be 1 to 100 and the minimum not above the maximum\n"
    );
    let output = wait(run_user().args(["--pool-min", "many"]).spawn().unwrap()).await;
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn without_a_binding_it_ends_with_1_and_says_what_is_missing() {
    let empty = tempfile::tempdir().unwrap();
    let output = wait(run_user().arg("--bindings").arg(empty.path()).spawn().unwrap()).await;
    assert_eq!(output.status.code(), Some(1));
    let wanted = format!(
        "error: the user service ended: failed to read the service binding: failed to find the database: \
         {} must hold exactly one binding of type postgresql, found none",
        empty.path().display()
    );
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(log.lines().last(), Some(wanted.as_str()));
}
