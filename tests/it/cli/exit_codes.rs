//! How each way of failing ends, and what it says.

use crate::support::{ControlPlane, Prefix};

use super::Shell;

#[tokio::test]
async fn every_failure_has_its_exit_code_and_its_next_step() {
    let plane = ControlPlane::shared().await;
    let shell = Shell::new(plane);
    let name = Prefix::new().name("exit");
    shell.ok(&["create", "tenant", &name, "--plan", "none"]).await;
    let near = name.replace("-exit", "-exot");
    let cases: Vec<(Vec<&str>, i32, String)> = vec![
        (vec!["version", "--client"], 0, String::new()),
        (vec!["get", "tn", &name], 0, String::new()),
        (vec!["get", "tn", "missing-entirely"], 1, "Error from server (NotFound): tenants.tenantry.dev \"missing-entirely\" not found\n".into()),
        (vec!["get", "tn", &near], 1, format!("Error from server (NotFound): tenants.tenantry.dev \"{near}\" not found\nhint: did you mean tenant/{name}?\n")),
        (vec!["get", "tennant"], 1, "error: the server doesn't have a resource type \"tennant\"\nhint: did you mean tenant?\n".into()),
        (vec!["get"], 2, "required arguments were not provided".into()),
        (vec!["get", "tn", "--colour"], 2, "unexpected argument '--colour'".into()),
        (vec!["get", "tn", "a", "-l", "b=c"], 2, "error: name cannot be provided when a selector is specified\n".into()),
        (vec!["get", "tn/"], 2, "error: arguments in resource/name form must have a single resource and name\n".into()),
        (vec!["suspend"], 2, "<TENANT>".into()),
        (vec!["delete", "tn", &name], 2, "error: delete asks first, and there is no terminal to ask on\nhint: confirm with --yes\n".into()),
        (vec!["uninstall"], 2, "hint: confirm with --yes\n".into()),
        (vec!["wait", "tn", &name, "--for=Ready"], 2, "write condition=Ready or delete".into()),
        (vec!["wait", "tn", &name, "--for=delete", "--timeout=forever"], 2, "is not a duration".into()),
        (vec!["get", "tn", "--token", "wrong"], 4, "error: You must be logged in to the server (Unauthorized)\n".into()),
        (vec!["get", "tn", "--as", "nobody"], 1, "hint: a ClusterRole must allow: apiGroups: [\"tenantry.dev\"], resources: [\"tenants\"], verbs: [\"list\"]\n".into()),
        (vec!["get", "tdb", "-n", "x", "--as", "nobody"], 1, "hint: a Role in the namespace x must allow".into()),
        (vec!["wait", "tn", &name, "--for=condition=Nonsense", "--timeout=1s"], 124, format!("error: timed out waiting for the condition on tenants/{name}\n")),
        (vec!["get", "tn", "--server", "https://127.0.0.1:1"], 1, "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n".into()),
        (vec!["get", "tn", "--context", "nowhere"], 1, "error: context \"nowhere\" does not exist\n".into()),
        (vec!["get", "tn", "--kubeconfig", "/nonexistent/config"], 1, "failed to read /nonexistent/config".into()),
        (vec!["status", &name], 1, String::new()),
        (vec!["status", "missing-entirely"], 1, "not found".into()),
    ];
    let mut wrong = vec![];
    for (args, code, says) in cases {
        let args: Vec<&str> = if args.contains(&"--token") {
            [
                args,
                vec![
                    "--kubeconfig",
                    "/dev/null",
                    "--insecure-skip-tls-verify",
                    "--server",
                    &server(&shell).await.leak()[..],
                ],
            ]
            .concat()
        } else {
            args
        };
        let outcome = shell.tenantry(&args).await;
        let quiet = !says.is_empty() || outcome.stderr.is_empty();
        if outcome.code != Some(code) || !outcome.stderr.contains(&says) || !quiet {
            wrong.push(format!("{args:?}: expected {code} and {says:?}, got {outcome:?}"));
        }
        if outcome.stdout.contains('\u{1b}') || outcome.stderr.contains('\u{1b}') {
            wrong.push(format!("{args:?}: escapes in a pipe: {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    shell.ok(&["delete", "tn", &name, "--yes"]).await;
}

async fn server(shell: &Shell) -> String {
    shell.kubectl(&["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"]).await.stdout
}

#[tokio::test]
async fn a_missing_crd_names_the_command_that_installs_it() {
    let plane = ControlPlane::own().await;
    let shell = Shell::new(&plane);
    shell.ok(&["uninstall", "--yes"]).await;
    shell
        .kubectl(&[
            "annotate",
            "--overwrite",
            "crd",
            "blueprints.tenantry.dev",
            "tenantry.dev/allow-delete=true",
        ])
        .await;
    let deleted = shell.kubectl(&["delete", "crd", "blueprints.tenantry.dev"]).await;
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    let expected = "error: the server doesn't have a resource type \"blueprints\"\nhint: the CRDs are not installed: run tenantry install\n";
    for args in [
        &["get", "bp"][..],
        &["get", "bp", "x"],
        &["get", "bp", "-o", "json"],
        &["wait", "bp/x", "--for=delete"],
    ] {
        let missing = shell.tenantry(args).await;
        assert_eq!((missing.code, &*missing.stderr), (Some(1), expected), "{args:?}");
    }
    let checked = shell.tenantry(&["check"]).await;
    assert!(
        checked.stdout.contains(
            "× CRDs are missing: blueprints.tenantry.dev [CRD-01]\n      hint: run tenantry install\n"
        ),
        "{checked:?}"
    );
    // Right after a CRD is made the API server answers 429: the next command waits it out.
    shell.ok(&["install", "--no-wait"]).await;
    shell.ok(&["wait", "bp/x", "--for=delete"]).await;
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let plane = ControlPlane::shared().await;
    let shell = Shell::new(plane);
    let mut child =
        shell.start(std::path::Path::new(env!("CARGO_BIN_EXE_tenantry")), &["install", "--print"]);
    drop(child.stdout.take());
    let outcome = super::ended(child).await;
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
}
