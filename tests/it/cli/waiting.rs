//! `--wait` and `wait`: they end when the object is as wanted, cannot become so, or is gone.

use std::path::Path;
use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tenantry::api::Tenant;
use tokio::process::{Child, Command};

use crate::support::{ControlPlane, Prefix, wait_until};

use super::counting::Proxy;
use super::{Shell, ended};

const LONG: Duration = Duration::from_secs(30);

async fn start(shell: &Shell, proxy: &Proxy, args: &[&str]) -> Child {
    let args: Vec<&str> = args.iter().copied().chain(["--server", &proxy.url]).collect();
    let child = shell.start(Path::new(env!("CARGO_BIN_EXE_tenantry")), &args);
    watches(proxy).await;
    child
}

/// Waits until the command that goes through the proxy watches.
async fn watches(proxy: &Proxy) {
    wait_until(LONG, "the command watches", async || {
        let asked = proxy.asked();
        if asked.iter().any(|request| request.contains("watch=true")) {
            Ok(())
        } else {
            Err(format!("{asked:?}"))
        }
    })
    .await;
}

/// Plays the operator, on a control plane without one: a status for the tenant's present generation.
async fn report(client: &Client, name: &str, conditions: Value) {
    let tenants: Api<Tenant> = Api::all(client.clone());
    let generation = tenants.get(name).await.unwrap().metadata.generation;
    let condition = |mut condition: Value| {
        condition["lastTransitionTime"] = json!("2026-01-01T00:00:00Z");
        condition["observedGeneration"] = json!(generation);
        condition
    };
    let conditions: Vec<Value> = conditions.as_array().unwrap().iter().cloned().map(condition).collect();
    let status = json!({"status": {"observedGeneration": generation, "conditions": conditions}});
    tenants.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
}

fn ready(reason: &str) -> Value {
    json!({"type": "Ready", "status": "True", "reason": reason, "message": "all is well"})
}

#[tokio::test]
async fn create_waits_until_the_tenant_is_ready() {
    let plane = ControlPlane::own().await;
    let (shell, client, proxy) = (Shell::new(&plane), plane.client().await, Proxy::start(&plane).await);
    let name = Prefix::new().name("ready");
    let child = start(&shell, &proxy, &["create", "tenant", &name, "--plan", "none", "--wait"]).await;
    let waiting =
        json!([{"type": "Ready", "status": "False", "reason": "Progressing", "message": "on its way"}]);
    report(&client, &name, waiting).await;
    report(&client, &name, json!([ready("Reconciled")])).await;
    let outcome = ended(child).await;
    let object = format!("tenant.tenantry.dev/{name}");
    assert_eq!(
        (outcome.code, outcome.stdout, outcome.stderr),
        (
            Some(0),
            format!("{object} created\n{object} condition met\n"),
            "Warning: plan \"none\" does not exist; the tenant waits for it\n".to_owned()
        )
    );
    let status = shell.tenantry(&["status", &name]).await;
    assert_eq!(status.code, Some(0), "{status:?}");
    shell.ok(&["delete", "tn", &name, "--yes"]).await;
}

#[tokio::test]
async fn who_waits_at_a_terminal_sees_that_it_goes_on_and_the_output_has_none_of_it() {
    let plane = ControlPlane::own().await;
    let (shell, client, proxy) = (Shell::new(&plane), plane.client().await, Proxy::start(&plane).await);
    let name = Prefix::new().name("seen");
    let output = tempfile::NamedTempFile::new().unwrap();
    // `script` runs it in a terminal of its own, and shows what that shows.
    let tenantry = env!("CARGO_BIN_EXE_tenantry");
    let line = format!(
        "'{tenantry}' create tenant {name} --plan none --wait --server {} > '{}'",
        proxy.url,
        output.path().display()
    );
    let child = shell.start(Path::new("script"), &["--quiet", "--return", "--command", &line, "/dev/null"]);
    wait_until(LONG, "the tenant is there", async || {
        let tenants: Api<Tenant> = Api::all(client.clone());
        tenants.get(&name).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let waiting =
        json!([{"type": "Ready", "status": "False", "reason": "Progressing", "message": "on its way"}]);
    report(&client, &name, waiting).await;
    watches(&proxy).await;
    report(&client, &name, json!([ready("Reconciled")])).await;
    let outcome = ended(child).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("\u{1b}[") && outcome.stdout.contains("on its way"), "{outcome:?}");
    let object = format!("tenant.tenantry.dev/{name}");
    let written = std::fs::read_to_string(output.path()).unwrap();
    assert_eq!(written, format!("{object} created\n{object} condition met\n"));
    shell.ok(&["delete", "tn", &name, "--yes"]).await;
}

#[tokio::test]
async fn create_gives_up_when_the_tenant_is_stalled() {
    let plane = ControlPlane::own().await;
    let (shell, client, proxy) = (Shell::new(&plane), plane.client().await, Proxy::start(&plane).await);
    let name = Prefix::new().name("stalled");
    let child = start(&shell, &proxy, &["create", "tenant", &name, "--plan", "none", "--wait"]).await;
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "NameConflict", "message": "rename it"});
    report(&client, &name, json!([condition("Ready", "False"), condition("Stalled", "True")])).await;
    let outcome = ended(child).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let expected = format!("error: tenant \"{name}\" cannot become ready: NameConflict: rename it\n");
    assert!(outcome.stderr.ends_with(&expected), "{outcome:?}");
    shell.ok(&["delete", "tn", &name, "--yes"]).await;
}

#[tokio::test]
async fn suspend_and_resume_wait_for_the_operator() {
    let plane = ControlPlane::own().await;
    let (shell, client, proxy) = (Shell::new(&plane), plane.client().await, Proxy::start(&plane).await);
    let name = Prefix::new().name("state");
    let object = format!("tenant.tenantry.dev/{name}");
    shell.ok(&["create", "tenant", &name, "--plan", "none"]).await;
    report(&client, &name, json!([ready("Reconciled")])).await;
    let suspended =
        |status: &str| json!({"type": "Suspended", "status": status, "reason": "Suspended", "message": "so"});

    let child = start(&shell, &proxy, &["suspend", &name, "--wait"]).await;
    report(&client, &name, json!([ready("Reconciled")])).await;
    report(&client, &name, json!([ready("Suspended"), suspended("True")])).await;
    assert_eq!(ended(child).await.stdout, format!("{object} suspended\n{object} condition met\n"));
    assert_eq!(shell.ok(&["suspend", &name]).await, format!("{object} unchanged\n"));

    let child = start(&shell, &proxy, &["resume", &name, "--wait"]).await;
    report(&client, &name, json!([ready("Reconciled"), suspended("False")])).await;
    assert_eq!(ended(child).await.stdout, format!("{object} resumed\n{object} condition met\n"));
    shell.ok(&["delete", "tn", &name, "--yes"]).await;
}

#[tokio::test]
async fn wait_sees_the_deletion() {
    let plane = ControlPlane::own().await;
    let (shell, client, proxy) = (Shell::new(&plane), plane.client().await, Proxy::start(&plane).await);
    let name = Prefix::new().name("gone");
    shell.ok(&["create", "tenant", &name, "--plan", "none"]).await;
    let child = start(&shell, &proxy, &["wait", "tn", &name, "--for=delete"]).await;
    let tenants: Api<Tenant> = Api::all(client);
    tenants.delete(&name, &DeleteParams::default()).await.unwrap();
    let outcome = ended(child).await;
    assert_eq!((outcome.code, outcome.stdout), (Some(0), format!("tenant.tenantry.dev/{name} deleted\n")));
}

#[tokio::test]
async fn get_watch_prints_each_change_until_it_is_interrupted() {
    let plane = ControlPlane::own().await;
    let (shell, client, proxy) = (Shell::new(&plane), plane.client().await, Proxy::start(&plane).await);
    let name = Prefix::new().name("watched");
    shell.ok(&["create", "tenant", &name, "--plan", "none"]).await;
    let mut child = start(&shell, &proxy, &["get", "tn", &name, "-w", "--no-headers"]).await;
    report(&client, &name, json!([ready("Reconciled")])).await;
    let mut lines = {
        use tokio::io::{AsyncBufReadExt, BufReader};
        BufReader::new(child.stdout.take().unwrap()).lines()
    };
    let first = lines.next_line().await.unwrap().unwrap();
    let second = lines.next_line().await.unwrap().unwrap();
    assert!(first.starts_with(&name) && !first.contains("True"), "{first}");
    assert!(second.starts_with(&name) && second.contains("True   Reconciled"), "{second}");
    let pid = child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().await.unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    shell.ok(&["delete", "tn", &name, "--yes"]).await;
}
