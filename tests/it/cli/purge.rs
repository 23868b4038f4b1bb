//! `tenantry purge` and back: a purged database is out of the way and loses nothing, and no other is purged.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::Row;
use tenantry::controller::object::{Key, Kind};

use super::Shell;
use crate::controller::claims::{phase, rows, server_database, write_row};
use crate::controller::scene::condition;
use crate::controller::shop;
use crate::controller::site::{Site, Stage};

/// Names of the databases of that one on the server.
async fn names(scene: &Stage<'_>, database: &Key) -> Vec<String> {
    let mut admin = scene.site.postgres.admin("postgres").await;
    let sql = "select datname::text from pg_database where datname like '%' || $1";
    let rows = sqlx::query(sql).bind(database.name.replace('-', "_")).fetch_all(&mut admin).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The databases `orders` and `users` of a tenant that is gone.
async fn left_behind(scene: &Stage<'_>) -> [Key; 2] {
    let databases = [server_database(scene, "orders").await, server_database(scene, "users").await];
    scene.delete(Kind::Tenant, &scene.cluster("acme")).await;
    scene.gone(Kind::Tenant, &scene.cluster("acme")).await;
    for database in &databases {
        phase(scene, database, "Released").await;
    }
    databases
}

#[tokio::test]
async fn a_purged_database_is_out_of_the_way_and_comes_back_with_its_rows() {
    let site = Site::shared().await;
    let (scene, shell) = (shop::open(&site).await, Shell::new(&site));
    write_row(&scene, "orders-app", "kept").await;
    let [orders, users] = left_behind(&scene).await;
    let physical = orders.name.replace('-', "_");

    let before = scene.get(Kind::ServerDatabase, &orders).await.unwrap();
    let tried = shell.tenantry(&["purge", &orders.name, "--dry-run"]).await;
    let described = format!(
        "Database {physical} on DatabaseServer {}, released by TenantDatabase {}/orders, generation 2, becomes tombstone_{physical}.\n\
         DatabaseServer {} has no spec.archive: no archive is made, and without one nothing is dropped.\n",
        site.server,
        scene.namespace("acme"),
        site.server,
    );
    let said = format!("serverdatabase.tenantry.dev/{} purged (server dry run)\n", orders.name);
    assert_eq!((tried.code, tried.stdout, tried.stderr), (Some(0), said, described));
    assert_eq!(scene.get(Kind::ServerDatabase, &orders).await.unwrap(), before);
    let asks = shell.tenantry(&["purge", &orders.name]).await;
    assert!(asks.code == Some(2) && asks.stderr.contains("hint: confirm with --yes"), "{asks:?}");

    let asked = Timestamp::now();
    shell.ok(&["purge", &orders.name, "--yes"]).await;
    phase(&scene, &orders, "Tombstoned").await;
    assert_eq!(names(&scene, &orders).await, [format!("tombstone_{physical}")]);
    let tombstone = scene.get(Kind::ServerDatabase, &orders).await.unwrap();
    let ready = condition(&tombstone, "Ready").unwrap();
    let message = ready["message"].as_str().unwrap();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("Tombstoned")));
    assert!(message.contains("nothing is dropped without a verified archive"), "{message}");
    let droppable: Timestamp = tombstone["status"]["droppableWhen"].as_str().unwrap().parse().unwrap();
    let days = (droppable.as_second() - asked.as_second()) / 3600 / 24;
    assert!((6..=7).contains(&days), "{droppable}");
    phase(&scene, &users, "Released").await;

    // Whoever deletes the object neither ends the purge nor the database.
    scene.delete(Kind::ServerDatabase, &orders).await;
    scene
        .until(Kind::ServerDatabase, &orders, "is projected again", |database| {
            let again = database["metadata"]["uid"] != tombstone["metadata"]["uid"];
            let same = database["status"]["phase"] == "Tombstoned" && database["spec"] == tombstone["spec"];
            (again && same).then_some(())
        })
        .await;

    scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(&scene)).await;
    scene.refused(Kind::TenantDatabase, &scene.inside("acme", "orders"), "ReleasedDatabaseExists").await;
    shell.ok(&["undelete", &orders.name, &users.name, "--wait", "--timeout", "1m"]).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    assert_eq!(server_database(&scene, "orders").await, orders);
    assert_eq!(names(&scene, &orders).await, [physical]);
    assert_eq!(rows(&scene, "orders-app").await, ["kept"]);
    let bound = scene.get(Kind::ServerDatabase, &orders).await.unwrap();
    assert!(
        bound["status"].get("droppableWhen").is_none() && bound["spec"].get("purge").is_none(),
        "{bound}"
    );
}

#[tokio::test]
async fn only_the_database_that_was_looked_at_is_purged_and_none_that_is_used_or_protected() {
    let site = Site::shared().await;
    let (scene, shell) = (shop::open(&site).await, Shell::new(&site));
    let (tenant, users) = (scene.cluster("acme"), server_database(&scene, "users").await);
    let purge = |generation: Value| json!({"spec": {"purge": {"generation": generation}}});
    let generation = async || {
        let database = scene.get(Kind::ServerDatabase, &users).await.unwrap();
        database["status"]["generation"].clone()
    };
    let bound = shell.tenantry(&["purge", &users.name, "--yes"]).await;
    assert!(bound.stderr.contains("is Bound, and only a released database can be purged"), "{bound:?}");
    scene.patch(Kind::ServerDatabase, &users, purge(generation().await)).await;
    let said = scene.refused(Kind::ServerDatabase, &users, "InUse").await;
    assert!(said.contains("delete the claim first"), "{said}");

    // Asked for while it was bound, it is not what was looked at any more when it is released.
    let less = json!({"spec": {"databases": [{"name": "orders"}], "services": []}});
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), less).await;
    let said = scene.refused(Kind::ServerDatabase, &users, "TimeTravel").await;
    assert!(said.contains("spec.purge.generation: 1 is not the database as it is now"), "{said}");
    phase(&scene, &users, "Released").await;

    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"deletionProtection": true}})).await;
    scene.patch(Kind::ServerDatabase, &users, purge(generation().await)).await;
    let said = scene.refused(Kind::ServerDatabase, &users, "DeletionProtected").await;
    assert!(said.contains("first set its spec.deletionProtection to false"), "{said}");
    assert_eq!(names(&scene, &users).await, [users.name.replace('-', "_")]);
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"deletionProtection": false}})).await;
    phase(&scene, &users, "Tombstoned").await;

    // The tenant lives, and asks for it again: it gets neither this one nor an empty one.
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), json!({"spec": shop::blueprint()})).await;
    let said = scene.refused(Kind::TenantDatabase, &scene.inside("acme", "users"), "Tombstoned").await;
    assert!(said.ends_with(&format!("tenantry undelete {}", users.name)), "{said}");
    shell.ok(&["undelete", &users.name, "--wait", "--timeout", "1m"]).await;
    scene.ready(Kind::Tenant, &tenant).await;
    assert_eq!(server_database(&scene, "users").await, users);
}
