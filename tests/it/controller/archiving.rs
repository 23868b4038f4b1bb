//! The archive of a purged database: made by a pod that really runs, verified, recorded, and only then is anything dropped.

use serde_json::{Value, json};
use sqlx::Row;
use tenantry::controller::object::{Key, Kind};

use super::claims::{phase, rows};
use super::dropping::{left, purged, time_passes};
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use crate::support::{Operator, volume, wait_until};

/// PersistentVolumeClaim of the archives. The folders in it are of a server and a database each.
const VOLUME: &str = "archives";

/// Has the server's archives kept on a volume, or not.
pub async fn keep(scene: &Stage<'_>, kept: bool) {
    let archive = kept.then(|| json!({"volume": {"claimName": VOLUME}}));
    let server = Key::cluster(&scene.site.server);
    scene.patch(Kind::DatabaseServer, &server, json!({"spec": {"archive": archive}})).await;
}

/// Waits until the tombstone has a verified archive, and until nothing is left of what it was made with.
pub async fn archived(scene: &Stage<'_>, database: &Key) -> Value {
    let archive = scene
        .until(Kind::ServerDatabase, database, "is archived", |database| {
            database["status"]["archive"].is_object().then(|| database["status"]["archive"].clone())
        })
        .await;
    wait_until(A_MINUTE, "its Jobs and their Secrets are gone", async || {
        let all = [scene.all(Kind::Job).await, scene.all(Kind::Secret).await].concat();
        let label = &json!(database.name.as_ref());
        let left = all.iter().filter(|it| it["metadata"]["labels"]["tenantry.dev/server-database"] == *label);
        let left: Vec<_> = left.map(|it| it["metadata"]["name"].clone()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    assert_eq!(traces(scene, database).await, Vec::<String>::new());
    archive
}

/// Logins that are let in, and scratch databases, of an archive.
pub async fn traces(scene: &Stage<'_>, database: &Key) -> Vec<String> {
    let mut admin = scene.site.postgres.admin("tenantry").await;
    let sql = "select rolname::text from pg_roles where rolname = $1 || '_archive' and rolcanlogin \
               union all select name from tenantry.pool where layout = 'archive-' || $1";
    let found = sqlx::query(sql).bind(database.name.replace('-', "_")).fetch_all(&mut admin).await.unwrap();
    found.iter().map(|row| row.get(0)).collect()
}

/// Waits until the tombstone's message has that in it.
async fn told(scene: &Stage<'_>, database: &Key, what: &str) {
    scene
        .until(Kind::ServerDatabase, database, &format!("says: {what}"), |database| {
            condition(database, "Ready")?["message"].as_str()?.contains(what).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_purged_database_is_archived_by_a_pod_of_its_own_and_then_dropped_after_its_grace() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let users = purged(&scene).await;
    told(&scene, &users, &format!("DatabaseServer {} has no spec.archive; to get it back", site.server))
        .await;

    keep(&scene, true).await;
    let archived = archived(&scene, &users).await;
    assert_eq!(archived["rows"], 1, "{archived}");
    let object = archived["object"].as_str().unwrap();
    let (_, name) = object.split_once("/archives/").unwrap();
    let stored = std::fs::metadata(volume(VOLUME).join(name)).unwrap();
    assert_eq!(archived["bytes"], stored.len(), "{archived}");

    time_passes(&scene, &users).await;
    scene.gone(Kind::ServerDatabase, &users).await;
    assert_eq!(left(&scene, &users).await, Vec::<String>::new());
    assert!(volume(VOLUME).join(name).exists(), "the archive outlasts everything");
    operator.stop().await;
}

#[tokio::test]
async fn an_archive_that_cannot_be_made_is_told_and_keeps_everything() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    keep(&scene, true).await;
    let owner = super::claims::binding(&scene, "users-app").await;
    let mut tenant = super::claims::session(&scene, &owner).await.unwrap();
    // What its login could not see all of.
    let table =
        "create table hidden (a int); alter table hidden enable row level security, force row level security";
    sqlx::Executor::execute(&mut tenant, table).await.unwrap();
    drop(tenant);
    let users = purged(&scene).await;
    told(&scene, &users, "which attempt 1 did not make (Dump: ").await;
    assert_eq!(traces(&scene, &users).await, Vec::<String>::new());
    let before = left(&scene, &users).await;
    time_passes(&scene, &users).await;
    told(&scene, &users, "which attempt 1 did not make (Dump: ").await;
    assert_eq!(left(&scene, &users).await, before);

    scene.patch(Kind::ServerDatabase, &users, json!({"spec": {"purge": null}})).await;
    phase(&scene, &users, "Released").await;
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), json!({"spec": shop::blueprint()})).await;
    scene.ready(Kind::TenantDatabase, &scene.inside("acme", "users")).await;
    assert_eq!(rows(&scene, "users-app").await, ["old"]);
    operator.stop().await;
}
