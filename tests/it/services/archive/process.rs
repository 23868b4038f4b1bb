//! `tenantry run archive` as a pod runs it: environment, exit codes, the report, and what can be seen of it from outside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tenantry::api::archive::{
    NAME, REPORT, RESTORER, S3_CA, S3_CREDENTIALS, S3_ENDPOINT, SCRATCH, STORE, TOOLS,
};
use tokio::process::{Child, Command};

use super::scene::{Kept, Scene};
use super::{Environment, VERSIONS};
use crate::support::s3::SECRET_ACCESS_KEY;
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_mins(1);

fn environment(scene: &Scene) -> Environment {
    let folder = |name: &str| scene.folder.path().join(name).display().to_string();
    let bucket = scene.bucket.iter().flat_map(|bucket| {
        let access = |file: &str| scene.access(file).display().to_string();
        [(S3_ENDPOINT, bucket.endpoint.clone()), (S3_CREDENTIALS, access("")), (S3_CA, access("ca.crt"))]
    });
    let environment = [
        ("SERVICE_BINDING_ROOT", folder("bindings")),
        (SCRATCH, scene.scratch.clone()),
        (RESTORER, scene.restorer.clone()),
        (STORE, scene.url()),
        (NAME, "7612/app/7".into()),
        (TOOLS, scene.config().tools.display().to_string()),
        (REPORT, folder("report")),
        ("TMPDIR", folder("")),
    ];
    environment.into_iter().chain(bucket).collect()
}

fn run_archive(environment: Environment) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tenantry"))
        .args(["run", "archive"])
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn report(scene: &Scene) -> Value {
    serde_json::from_slice(&fs::read(scene.folder.path().join("report")).unwrap()).unwrap()
}

#[tokio::test]
async fn it_ends_with_0_when_verified_and_with_1_when_not() {
    let scene = Scene::new(VERSIONS[0]).await;
    scene.tenant("CREATE TABLE t AS SELECT 1 AS id").await;
    let output = run_archive(environment(&scene)).wait_with_output().await.unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(0), vec![]), "{log}");
    assert_eq!(report(&scene)["outcome"], "Verified");
    assert!(!log.contains(&scene.password), "{log}");

    // The scratch database is not empty any more.
    let output = run_archive(environment(&scene)).wait_with_output().await.unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(1), vec![]), "{log}");
    assert_eq!((&report(&scene)["outcome"], &report(&scene)["stage"]), (&"Failed".into(), &"Restore".into()));
    assert!(!log.contains(&scene.password), "{log}");
    assert_eq!(scene.stored(), ["7.dump", "7.json"]);

    let mut wrong = environment(&scene);
    wrong.insert(STORE, "https://example.com".into());
    let output = run_archive(wrong).wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        report(&scene)["message"],
        "store \"https://example.com\" is not valid: it must be file:///a/folder or s3://bucket/prefix"
    );
    scene.end().await;
}

/// Replaces `pg_dump` by one that notes its arguments and environment, dumps, and then ends only with the process that
/// feeds it.
fn linger(scene: &Scene, environment: &mut Environment) {
    let real = scene.config().tools;
    let folder = scene.folder.path().join("lingering");
    fs::create_dir(&folder).unwrap();
    let (notes, real) = (folder.join("notes"), real.join("pg_dump"));
    let script = format!(
        "#!/bin/sh\n{{ echo \"$@\"; /usr/bin/env; }} >>'{}'\n'{}' \"$@\" || exit\n[ \"$1\" = --version ] || exec /bin/cat\n",
        notes.display(),
        real.display()
    );
    fs::write(folder.join("pg_dump"), script).unwrap();
    fs::set_permissions(folder.join("pg_dump"), fs::Permissions::from_mode(0o700)).unwrap();
    environment.insert(TOOLS, folder.display().to_string());
}

#[tokio::test]
async fn killed_in_the_middle_it_leaves_no_archive_and_has_shown_no_password() {
    let scene = Scene::new(VERSIONS[0]).await;
    scene.tenant("CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i").await;
    let mut lingering = environment(&scene);
    linger(&scene, &mut lingering);
    let mut child = run_archive(lingering);
    let part = |name: &str| {
        name.starts_with(".7.dump.") && Path::new(name).extension().is_some_and(|end| end == "part")
    };
    wait_until(PATIENCE, "the dump is being written", async || {
        let stored = scene.stored();
        let written = match stored.as_slice() {
            [name] if part(name) => {
                fs::metadata(scene.root().join("7612/app").join(name)).map_or(0, |file| file.len())
            }
            _ => 0,
        };
        if written > 0 { Ok(()) } else { Err(format!("{stored:?}")) }
    })
    .await;
    let own = fs::read(format!("/proc/{}/cmdline", child.id().unwrap())).unwrap();
    let notes = fs::read_to_string(scene.folder.path().join("lingering/notes")).unwrap();
    assert!(notes.contains("--snapshot=") && notes.contains("PGSSLMODE=verify-full"), "{notes}");
    for seen in [String::from_utf8_lossy(&own).into_owned(), notes] {
        assert!(!seen.contains(&scene.password), "{seen}");
    }
    child.kill().await.unwrap();
    assert!(scene.stored().iter().all(|name| part(name)), "{:?}", scene.stored());

    let output = run_archive(environment(&scene)).wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(scene.stored(), ["7.dump", "7.json"]);
    scene.end().await;
}

#[tokio::test]
async fn told_to_end_it_reports_that_and_leaves_nothing() {
    for kept in [Kept::Folder, Kept::Bucket] {
        let scene = Scene::keeping(kept, VERSIONS[0]).await;
        scene.tenant("CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i").await;
        let mut lingering = environment(&scene);
        linger(&scene, &mut lingering);
        let child = run_archive(lingering);
        wait_until(PATIENCE, "the dump is being written", async || {
            if scene.stored().is_empty() { Err("not yet".to_owned()) } else { Ok(()) }
        })
        .await;
        let notes = fs::read_to_string(scene.folder.path().join("lingering/notes")).unwrap();
        assert!(!notes.contains(SECRET_ACCESS_KEY) && !notes.contains("TENANTRY_"), "{notes}");
        let id = child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        let output = child.wait_with_output().await.unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(!log.contains(SECRET_ACCESS_KEY), "{log}");
        let wanted = json!({
            "version": 1, "outcome": "Failed", "stage": "Dump",
            "message": "failed to come to an end: the pod was stopped; the next try begins anew",
        });
        assert_eq!((report(&scene), scene.stored()), (wanted, vec![]), "{kept:?}");
        if let Some(bucket) = &scene.bucket {
            assert_eq!(bucket.objects(), [""; 0], "nor of its upload");
        }
        scene.end().await;
    }
}
