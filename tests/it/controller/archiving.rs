//! The archive of a purged database: made by a pod that really runs, verified, recorded, and only then is anything dropped.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, Row};
use tenantry::api::labels::SERVERS_NAMESPACE;
use tenantry::controller::object::{Key, Kind};
use tenantry::postgres::tombstone::Volume;

use super::claims::{phase, rows};
use super::dropping::{left, looked_at, purge, purged, time_passes};
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use crate::support::{Operator, UNPULLABLE, volume, wait_until};

/// PersistentVolumeClaim of the archives. The folders in it are of a server and a database each.
pub const VOLUME: &str = "archives";

/// That claim of a volume, made and bound if it is not there, as whoever provisions volumes does.
pub async fn claimed(scene: &Stage<'_>, name: &str) -> Volume {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(scene.client.clone(), SERVERS_NAMESPACE);
    let claim = json!({
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    // Another test may be faster.
    let claim = serde_json::from_value(claim).unwrap();
    _ = claims.create(&PostParams::default(), &claim).await;
    let bound = Patch::Merge(json!({"status": {"phase": "Bound"}}));
    let bound = claims.patch_status(name, &PatchParams::default(), &bound).await.unwrap();
    Volume { claim: name.to_owned(), uid: bound.metadata.uid.unwrap() }
}

/// Has the server's archives kept on a volume, or not.
pub async fn keep(scene: &Stage<'_>, kept: bool) {
    if kept {
        claimed(scene, VOLUME).await;
    }
    keep_on(scene, kept.then_some(VOLUME)).await;
}

/// Has the server's archives kept on the volume of that claim, whether there is one or not.
async fn keep_on(scene: &Stage<'_>, claim: Option<&str>) {
    let archive = claim.map(|claim| json!({"volume": {"claimName": claim}}));
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
    let sql = "select rolname::text from pg_roles where rolname in ($1 || '_archive', $1 || '_restore') and rolcanlogin \
               union all select name from tenantry.pool where layout = 'archive-' || $1";
    let found = sqlx::query(sql).bind(database.name.replace('-', "_")).fetch_all(&mut admin).await.unwrap();
    found.iter().map(|row| row.get(0)).collect()
}

/// Name of an archive's file on its volume.
fn stored(archive: &Value) -> String {
    let object = archive["object"].as_str().unwrap();
    object.split_once("/archives/").unwrap().1.to_owned()
}

/// Waits until the tombstone's message has that in it.
pub async fn told(scene: &Stage<'_>, database: &Key, what: &str) {
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
    // Its tenant had one connection only.
    let mut admin = site.postgres.admin("postgres").await;
    let limit = format!("alter database tombstone_{} connection limit 1", users.name.replace('-', "_"));
    admin.execute(AssertSqlSafe(limit)).await.unwrap();

    let claim = scene.name("archives");
    keep_on(&scene, Some(&claim)).await;
    told(&scene, &users, &format!("there is no PersistentVolumeClaim tenantry-servers/{claim}: create it"))
        .await;
    let first = claimed(&scene, &claim).await;
    looked_at(&scene, &users, "with a volume").await;
    let kept = archived(&scene, &users).await;
    assert_eq!(kept["rows"], 1, "{kept}");
    assert_eq!(kept["volume"], json!({"claimName": claim, "uid": first.uid}), "{kept}");
    let name = stored(&kept);
    let file = std::fs::metadata(volume(&claim).join(&name)).unwrap();
    assert_eq!(kept["bytes"], file.len(), "{kept}");

    // Somebody removes what the archive was written to, and makes another one of that name.
    let before = left(&scene, &users).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(scene.client.clone(), SERVERS_NAMESPACE);
    claims.delete(&claim, &DeleteParams::default()).await.unwrap();
    wait_until(A_MINUTE, "the claim is gone", async || match claims.get_opt(&claim).await.unwrap() {
        None => Ok(()),
        Some(claim) => Err(format!("{claim:?}")),
    })
    .await;
    let second = claimed(&scene, &claim).await;
    time_passes(&scene, &users).await;
    let said = scene.refused(Kind::ServerDatabase, &users, "ArchiveMissing").await;
    assert!(said.contains(&format!("(UID {}) is gone", first.uid)), "{said}");
    assert!(said.contains(&format!("is another one (UID {})", second.uid)), "{said}");
    assert_eq!(left(&scene, &users).await, before);

    // What it says to do.
    scene.patch(Kind::ServerDatabase, &users, json!({"spec": {"purge": null}})).await;
    phase(&scene, &users, "Released").await;
    purge(&scene, &users).await;
    let again = archived(&scene, &users).await;
    assert_eq!(again["volume"]["uid"], second.uid, "{again}");

    // Somebody changes a byte of what is stored, and takes it back.
    let file = volume(&claim).join(stored(&again));
    let whole = std::fs::read(&file).unwrap();
    let before = left(&scene, &users).await;
    std::fs::write(&file, [&whole[..], b"x"].concat()).unwrap();
    time_passes(&scene, &users).await;
    looked_at(&scene, &users, "after its second grace").await;
    let said = scene.refused(Kind::ServerDatabase, &users, "ArchiveMissing").await;
    assert!(said.contains("failed to find the archive as it was verified"), "{said}");
    assert_eq!(left(&scene, &users).await, before);
    std::fs::write(&file, whole).unwrap();
    let reread = Key::namespaced(SERVERS_NAMESPACE, &format!("reread-{}", users.name));
    scene.delete(Kind::Job, &reread).await;
    scene.gone(Kind::ServerDatabase, &users).await;
    scene.gone(Kind::Job, &reread).await;
    assert_eq!(left(&scene, &users).await, Vec::<String>::new());
    assert!(volume(&claim).join(stored(&again)).exists(), "the archive outlasts everything");
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

/// Rows of scratch databases that are for archives of other databases, or for one of that database.
async fn scratches(scene: &Stage<'_>, of: &[&str]) {
    let mut admin = scene.site.postgres.admin("tenantry").await;
    sqlx::query("delete from tenantry.pool where layout like 'archive-%'").execute(&mut admin).await.unwrap();
    for (number, database) in of.iter().enumerate() {
        let row =
            "insert into tenantry.pool (name, layout, phase) values ($1, 'archive-' || $2, 'Preparing')";
        let name = format!("tenantry_pool_{number:010x}");
        sqlx::query(row).bind(name).bind(*database).execute(&mut admin).await.unwrap();
    }
}

/// Has the database looked at until its condition Archived is False for that reason, and says that.
async fn waits(scene: &Stage<'_>, database: &Key, reason: &str, what: &str) {
    let mut looks = 0;
    wait_until(A_MINUTE, &format!("its archive waits, {reason}: {what}"), async || {
        looks += 1;
        looked_at(scene, database, &format!("for {looks} times")).await;
        let object = scene.get(Kind::ServerDatabase, database).await.unwrap();
        let said = condition(&object, "Archived").cloned().unwrap_or_default();
        let right = said["status"] == "False" && said["reason"] == reason;
        let right = right && said["message"].as_str().is_some_and(|message| message.contains(what));
        if right { Ok(()) } else { Err(said.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn an_archive_waits_its_turn_says_why_its_pod_does_not_begin_and_holds_up_nobody_who_wants_the_database()
 {
    let site = Site::own().await;
    let operator = Operator::start_with_archive_image(&site, &format!("{UNPULLABLE}archive:1")).await;
    let scene = shop::open(&site).await;
    let users = purged(&scene).await;
    scratches(&scene, &["t_a_x", "t_b_x", "t_c_x", "t_d_x"]).await;
    keep(&scene, true).await;
    waits(&scene, &users, "Queued", "which waits for its turn: 4 archives of databases").await;
    assert_eq!(scene.all(Kind::Job).await, Vec::<Value>::new());

    scratches(&scene, &["t_a_x", "t_b_x", "t_c_x"]).await;
    let why = format!("image {UNPULLABLE}archive:1 cannot be pulled: failed to resolve reference");
    waits(&scene, &users, "Archiving", &why).await;
    assert_eq!(traces(&scene, &users).await.len(), 3, "logins and scratch database");

    // Nobody keeps archives any more: nothing of the attempt is left.
    keep(&scene, false).await;
    waits(&scene, &users, "Archiving", "has no spec.archive").await;
    assert_eq!(traces(&scene, &users).await, Vec::<String>::new());
    assert_eq!(scene.all(Kind::Job).await, Vec::<Value>::new());

    // What it was made with cannot be taken back, and the database comes back all the same.
    keep(&scene, true).await;
    waits(&scene, &users, "Archiving", &why).await;
    let physical = users.name.replace('-', "_");
    let mut admin = site.postgres.admin("tenantry").await;
    admin.execute("create database tenantry_pool_00000000ff").await.unwrap();
    let row = "insert into tenantry.pool (name, layout, phase) values ('tenantry_pool_00000000ff', 'archive-' || $1, 'Preparing')";
    sqlx::query(row).bind(&physical).execute(&mut admin).await.unwrap();
    scene.patch(Kind::ServerDatabase, &users, json!({"spec": {"purge": null}})).await;
    phase(&scene, &users, "Released").await;
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), json!({"spec": shop::blueprint()})).await;
    scene.ready(Kind::TenantDatabase, &scene.inside("acme", "users")).await;
    assert_eq!(rows(&scene, "users-app").await, ["old"]);
    let said = scene.refused(Kind::ServerDatabase, &users, "NameConflict").await;
    assert!(said.contains("tenantry_pool_00000000ff"), "{said}");

    admin.execute("drop database tenantry_pool_00000000ff").await.unwrap();
    looked_at(&scene, &users, "once it can be taken back").await;
    scene.ready(Kind::ServerDatabase, &users).await;
    assert_eq!(traces(&scene, &users).await, Vec::<String>::new());
    assert_eq!(scene.all(Kind::Job).await, Vec::<Value>::new());
    operator.stop().await;
}
