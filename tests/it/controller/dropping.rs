//! The end of a purged database: with a verified archive and after its grace, and against nobody's word.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Executor, Row};
use tenantry::api::names::PhysicalName;
use tenantry::controller::database::tombstone::seal;
use tenantry::controller::object::{Key, Kind};
use tenantry::postgres::tombstone::{Archive, Place};

use super::archiving::{VOLUME, claimed};
use super::claims::{phase, rows, server_database, write_row};
use super::shop;
use super::site::{Site, Stage};
use crate::support::volume;

/// What the blueprint asks for without the database `users`.
fn without_users() -> Value {
    json!({"spec": {"databases": [{"name": "orders"}], "services": []}})
}

/// The database `users` of a living tenant, purged.
pub async fn purged(scene: &Stage<'_>) -> Key {
    let users = server_database(scene, "users").await;
    write_row(scene, "users-app", "old").await;
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), without_users()).await;
    phase(scene, &users, "Released").await;
    purge(scene, &users).await;
    users
}

/// Has a released database purged.
pub async fn purge(scene: &Stage<'_>, database: &Key) {
    let released = scene.get(Kind::ServerDatabase, database).await.unwrap();
    let purge = json!({"spec": {"purge": {"generation": released["status"]["generation"]}}});
    scene.patch(Kind::ServerDatabase, database, purge).await;
    phase(scene, database, "Tombstoned").await;
}

/// Records a verified archive, as whoever made one does.
pub async fn archive(scene: &Stage<'_>, database: &Key) {
    let physical = PhysicalName::parse(&database.name.replace('-', "_")).unwrap();
    let mut admin = scene.site.postgres.admin("tenantry").await;
    let sql = "select m.generation, (select system_identifier::text from pg_control_system()) \
               from tenantry.marker m where physical_name = $1";
    let row = sqlx::query(sql).bind(physical.as_str()).fetch_one(&mut admin).await.unwrap();
    let (generation, system): (i64, String) = (row.get(0), row.get(1));
    let content = format!("what is in {physical}");
    let name = format!("{system}/{physical}/{generation}-0000000a");
    let file = volume(VOLUME).join(format!("{name}.dump"));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, &content).unwrap();
    std::fs::write(file.with_extension("json"), "{}").unwrap();
    let archive = Archive {
        object: format!("file:///archives/{name}.dump"),
        sha256: HEXLOWER.encode(&Sha256::digest(&content)),
        bytes: content.len() as u64,
        rows: 1,
        taken_at: "2026-11-21T00:00:00Z".into(),
        system_identifier: system,
        generation,
        place: Some(Place::Volume(claimed(scene, VOLUME).await)),
    };
    for statement in &seal(&physical, archive).batches[0].statements {
        admin.execute(AssertSqlSafe(statement.sql().unwrap())).await.unwrap();
    }
}

/// Ends the grace, and has the object looked at.
pub async fn time_passes(scene: &Stage<'_>, database: &Key) {
    let mut admin = scene.site.postgres.admin("tenantry").await;
    let sql = "update tenantry.tombstone set droppable_at = now() where physical_name = $1";
    sqlx::query(sql).bind(database.name.replace('-', "_")).execute(&mut admin).await.unwrap();
    looked_at(scene, database, "after its grace").await;
}

/// Has the object looked at.
pub async fn looked_at(scene: &Stage<'_>, database: &Key, when: &str) {
    let label = when.replace(' ', "-");
    scene.patch(Kind::ServerDatabase, database, json!({"metadata": {"labels": {"looked-at": label}}})).await;
}

/// What the server has that carries the database's name.
pub async fn left(scene: &Stage<'_>, database: &Key) -> Vec<String> {
    let mut admin = scene.site.postgres.admin("tenantry").await;
    let sql = "select datname::text from pg_database where datname like '%' || $1 \
               union all select rolname::text from pg_roles where starts_with(rolname, $1) \
               union all select physical_name from tenantry.marker where physical_name = $1 order by 1";
    let rows = sqlx::query(sql).bind(database.name.replace('-', "_")).fetch_all(&mut admin).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_purged_database_is_dropped_after_its_grace_and_never_against_protection_or_a_claim() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let (tenant, claim) = (scene.cluster("acme"), scene.inside("acme", "users"));
    let users = purged(&scene).await;
    let before = left(&scene, &users).await;

    let protection = |on: bool| json!({"spec": {"deletionProtection": on}});
    scene.patch(Kind::Tenant, &tenant, protection(true)).await;
    archive(&scene, &users).await;
    looked_at(&scene, &users, "archived").await;
    scene
        .until(Kind::ServerDatabase, &users, "shows its archive", |database| {
            let ready = super::scene::condition(database, "Ready")?;
            let message = ready["message"].as_str()?;
            message.starts_with("renamed out of the way, and archived as file:///archives/").then_some(())
        })
        .await;
    time_passes(&scene, &users).await;
    let said = scene.refused(Kind::ServerDatabase, &users, "DeletionProtected").await;
    assert!(said.contains("first set its spec.deletionProtection to false"), "{said}");

    // The tenant asks for it again: it may still come back.
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), json!({"spec": shop::blueprint()})).await;
    scene.refused(Kind::TenantDatabase, &claim, "Tombstoned").await;
    scene.patch(Kind::Tenant, &tenant, protection(false)).await;
    let said = scene.refused(Kind::ServerDatabase, &users, "ClaimConflict").await;
    assert!(said.contains("claims the database, so it is not dropped: remove spec.purge"), "{said}");
    assert_eq!(left(&scene, &users).await, before);

    scene.patch(Kind::Blueprint, &scene.cluster("shop"), without_users()).await;
    scene.gone(Kind::ServerDatabase, &users).await;
    assert_eq!(left(&scene, &users).await, Vec::<String>::new());

    // What comes next of that name is empty, and works.
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), json!({"spec": shop::blueprint()})).await;
    assert_eq!(server_database(&scene, "users").await, users);
    write_row(&scene, "users-app", "new").await;
    assert_eq!(rows(&scene, "users-app").await, ["new"]);
}

#[tokio::test]
async fn a_tombstone_whose_object_was_lost_is_kept_until_somebody_asks_for_its_end_again() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let users = purged(&scene).await;
    archive(&scene, &users).await;
    let before = left(&scene, &users).await;
    let mut admin = site.postgres.admin("tenantry").await;
    // Its grace ended long before the object that is projected now.
    let sql =
        "update tenantry.tombstone set droppable_at = now() - interval '1 day' where physical_name = $1";
    sqlx::query(sql).bind(users.name.replace('-', "_")).execute(&mut admin).await.unwrap();
    looked_at(&scene, &users, "after its grace").await;
    scene
        .until(Kind::ServerDatabase, &users, "says that nobody has asked", |database| {
            let ready = super::scene::condition(database, "Ready")?;
            ready["message"]
                .as_str()?
                .contains("before this object was made, so nobody has asked")
                .then_some(())
        })
        .await;
    assert_eq!(left(&scene, &users).await, before);
    scene.patch(Kind::ServerDatabase, &users, json!({"spec": {"purge": null}})).await;
    phase(&scene, &users, "Released").await;
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), json!({"spec": shop::blueprint()})).await;
    scene.ready(Kind::TenantDatabase, &scene.inside("acme", "users")).await;
    assert_eq!(rows(&scene, "users-app").await, ["old"]);
}

#[tokio::test]
async fn what_is_left_of_a_drop_goes_whatever_becomes_of_its_object() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let users = purged(&scene).await;
    archive(&scene, &users).await;
    let mut admin = site.postgres.admin("postgres").await;
    let group = format!("{}_rw", users.name.replace('-', "_"));
    admin.execute(AssertSqlSafe(format!("grant connect on database postgres to {group}"))).await.unwrap();
    time_passes(&scene, &users).await;
    scene.refused(Kind::ServerDatabase, &users, "RolesInUse").await;
    assert_eq!(left(&scene, &users).await, [users.name.replace('-', "_"), group.clone()]);

    // The object that shows it now was made long after the grace had ended, and its tenant asks for the name again.
    let mut operator = site.postgres.admin("tenantry").await;
    let ago =
        "update tenantry.tombstone set droppable_at = now() - interval '1 day' where physical_name = $1";
    sqlx::query(ago).bind(users.name.replace('-', "_")).execute(&mut operator).await.unwrap();
    let before = scene.get(Kind::ServerDatabase, &users).await.unwrap();
    scene.delete(Kind::ServerDatabase, &users).await;
    scene
        .until(Kind::ServerDatabase, &users, "is projected again", |database| {
            (database["metadata"]["uid"] != before["metadata"]["uid"]).then_some(())
        })
        .await;
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), json!({"spec": shop::blueprint()})).await;
    scene.refused(Kind::ServerDatabase, &users, "RolesInUse").await;
    admin.execute(AssertSqlSafe(format!("revoke connect on database postgres from {group}"))).await.unwrap();
    looked_at(&scene, &users, "after the roles are free").await;
    scene.ready(Kind::TenantDatabase, &scene.inside("acme", "users")).await;
    write_row(&scene, "users-app", "new").await;
    assert_eq!(rows(&scene, "users-app").await, ["new"]);
}
