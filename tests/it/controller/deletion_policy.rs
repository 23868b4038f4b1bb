//! What becomes of databases that nobody claims any more, as Tenant and claim say: kept, kept and archived, or archived and dropped.

use serde_json::json;
use tenantry::controller::object::Kind;

use super::archiving::{archived, keep, traces};
use super::claims::{phase, rows, server_database, write_row};
use super::dropping::{left, time_passes};
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::Site;
use crate::support::{Operator, wait_until};

#[tokio::test]
async fn what_a_tenant_says_is_done_after_it_is_gone_and_a_claim_may_only_keep_more() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let tenant = scene.cluster("acme");
    let policy = |policy: &str| json!({"spec": {"deletionPolicy": policy}});
    scene.patch(Kind::Tenant, &tenant, policy("Delete")).await;
    let (snapshot, retain) = (scene.inside("acme", "kept"), scene.inside("acme", "mine"));
    let kept = json!({"deletionPolicy": "Snapshot", "extensions": [{"name": "citext"}]});
    scene.create(Kind::TenantDatabase, &snapshot, kept).await;
    scene.create(Kind::TenantDatabase, &retain, json!({"deletionPolicy": "Retain"})).await;
    let mut databases = vec![];
    for (claim, policy) in
        [("orders", "Delete"), ("users", "Delete"), ("kept", "Snapshot"), ("mine", "Retain")]
    {
        scene.ready(Kind::TenantDatabase, &scene.inside("acme", claim)).await;
        write_row(&scene, &format!("{claim}-app"), claim).await;
        let database = server_database(&scene, claim).await;
        scene
            .until(Kind::ServerDatabase, &database, &format!("says {policy}"), |database| {
                (database["status"]["deletionPolicy"] == policy).then_some(())
            })
            .await;
        databases.push(database);
    }
    let [orders, users, kept, mine] = &databases[..] else { panic!("{databases:?}") };
    let whole = [left(&scene, kept).await, left(&scene, mine).await];

    // The tenant goes, and with it everybody who could say anything.
    scene.delete(Kind::Tenant, &tenant).await;
    scene.gone(Kind::Tenant, &tenant).await;
    for purged in [orders, users] {
        phase(&scene, purged, "Tombstoned").await;
        scene
            .until(Kind::ServerDatabase, purged, "waits for its archive", |database| {
                let said = condition(database, "Archived")?;
                let waits = said["message"].as_str()?.ends_with("has no spec.archive");
                (said["status"] == "False" && said["reason"] == "Archiving" && waits).then_some(())
            })
            .await;
    }
    // Time alone drops nothing.
    time_passes(&scene, orders).await;
    keep(&scene, true).await;
    let archive = archived(&scene, kept).await;
    assert_eq!(archive["rows"], 1, "{archive}");
    phase(&scene, kept, "Released").await;
    phase(&scene, mine, "Released").await;
    scene.gone(Kind::ServerDatabase, orders).await;
    assert_eq!(left(&scene, orders).await, Vec::<String>::new());

    // One that somebody wants back is kept from then on.
    archived(&scene, users).await;
    scene.patch(Kind::ServerDatabase, users, json!({"spec": {"purge": null}})).await;
    scene
        .until(Kind::ServerDatabase, users, "is kept", |database| {
            let status = &database["status"];
            (status["phase"] == "Released" && status["deletionPolicy"] == "Retain").then_some(())
        })
        .await;
    let logins = ["archive", "restore"].map(|word| format!("{}_{word}", kept.name.replace('-', "_")));
    let mut with_logins = [&whole[0][..], &logins].concat();
    with_logins.sort();
    let mut now = left(&scene, kept).await;
    now.sort();
    assert_eq!([now, left(&scene, mine).await], [with_logins, whole[1].clone()]);

    // A later tenant of that name gets nothing by itself, and what an admin gives it with its rows.
    scene.create(Kind::Tenant, &tenant, shop::tenant(&scene)).await;
    scene.refused(Kind::TenantDatabase, &scene.inside("acme", "users"), "ReleasedDatabaseExists").await;
    scene.patch(Kind::ServerDatabase, users, json!({"spec": {"claimRef": {"uid": null}}})).await;
    scene.ready(Kind::TenantDatabase, &scene.inside("acme", "users")).await;
    assert_eq!(rows(&scene, "users-app").await, ["users"]);

    // Bound again, it keeps nothing of what an operator has left that died before its Job was made.
    scene.create(Kind::TenantDatabase, &snapshot, json!({})).await;
    scene.patch(Kind::ServerDatabase, kept, json!({"spec": {"claimRef": {"uid": null}}})).await;
    scene.ready(Kind::TenantDatabase, &snapshot).await;
    assert_eq!(rows(&scene, "kept-app").await, ["kept"]);
    operator.stop().await;
    let mut admin = site.postgres.admin("tenantry").await;
    let left = "insert into tenantry.pool (name, layout, phase) values ('tenantry_pool_00000000ff', 'archive-' || $1, 'Preparing')";
    sqlx::query(left).bind(kept.name.replace('-', "_")).execute(&mut admin).await.unwrap();
    let operator = Operator::start(&site).await;
    wait_until(A_MINUTE, "nothing is left", async || {
        let left = traces(&scene, kept).await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn what_a_tenant_said_last_holds_although_its_server_was_down() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let tenant = scene.cluster("acme");
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"deletionPolicy": "Delete"}})).await;
    let users = server_database(&scene, "users").await;
    scene
        .until(Kind::ServerDatabase, &users, "says Delete", |database| {
            (database["status"]["deletionPolicy"] == "Delete").then_some(())
        })
        .await;
    site.postgres.stop();
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"deletionPolicy": "Retain"}})).await;
    scene.delete(Kind::Tenant, &tenant).await;
    scene.gone(Kind::Tenant, &tenant).await;
    site.postgres.start();
    scene
        .until(Kind::ServerDatabase, &users, "is kept", |database| {
            let status = &database["status"];
            (status["phase"] == "Released" && status["deletionPolicy"] == "Retain").then_some(())
        })
        .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_policy_that_is_given_up_before_the_claim_goes_is_not_done_and_protection_holds_it_up() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let tenant = scene.cluster("acme");
    let delete = json!({"spec": {"deletionPolicy": "Delete", "deletionProtection": true}});
    scene.patch(Kind::Tenant, &tenant, delete).await;
    let users = server_database(&scene, "users").await;
    scene
        .until(Kind::ServerDatabase, &users, "says Delete", |database| {
            (database["status"]["deletionPolicy"] == "Delete").then_some(())
        })
        .await;
    let orders_only = json!({"spec": {"databases": [{"name": "orders"}], "services": []}});
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), orders_only).await;
    let said = scene.refused(Kind::ServerDatabase, &users, "DeletionProtected").await;
    assert!(said.starts_with("deletionPolicy Delete: Tenant "), "{said}");
    let before = left(&scene, &users).await;
    assert!(before.contains(&users.name.replace('-', "_")), "{before:?}");
    // Nor is what was recorded done to a tenant that has thought better of it.
    let thought_better = json!({"spec": {"deletionProtection": false, "deletionPolicy": "Retain"}});
    scene.patch(Kind::Tenant, &tenant, thought_better).await;
    scene
        .until(Kind::ServerDatabase, &users, "says that it is kept", |database| {
            let said = condition(database, "Ready")?["message"].as_str()?.to_owned();
            said.contains("spec.deletionPolicy of its Tenant is Retain by now").then_some(())
        })
        .await;
    assert_eq!(left(&scene, &users).await, before);
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"deletionPolicy": "Delete"}})).await;
    phase(&scene, &users, "Tombstoned").await;

    // The other one is released under what the Tenant says by then, whatever its row said before.
    let orders = server_database(&scene, "orders").await;
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"deletionPolicy": null}})).await;
    scene
        .patch(Kind::Blueprint, &scene.cluster("shop"), json!({"spec": {"databases": [], "services": []}}))
        .await;
    phase(&scene, &orders, "Released").await;
    scene
        .until(Kind::ServerDatabase, &orders, "is kept", |database| {
            let status = &database["status"];
            (status["deletionPolicy"] == "Retain" && condition(database, "Ready")?["status"] == "True")
                .then_some(())
        })
        .await;
}
