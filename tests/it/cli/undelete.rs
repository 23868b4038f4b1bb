//! `tenantry undelete`: what was released comes back with its rows, and with new credentials.

use serde_json::json;
use tenantry::controller::object::Kind;

use super::Shell;
use crate::controller::claims::{binding, code, phase, rows, server_database, session, write_row};
use crate::controller::shop;
use crate::controller::site::Site;

#[tokio::test]
async fn a_deleted_tenants_databases_come_back_with_their_rows_and_new_credentials() {
    let site = Site::shared().await;
    let (scene, shell) = (shop::open(&site).await, Shell::new(&site));
    let (tenant, name) = (scene.cluster("acme"), scene.name("acme"));
    write_row(&scene, "orders-app", "kept").await;
    let before = binding(&scene, "orders-app").await;
    let databases = [server_database(&scene, "orders").await, server_database(&scene, "users").await];
    let nothing = shell.tenantry(&["undelete", "--tenant", &name]).await;
    let expected = format!(
        "error: tenant {name} has no released databases\nhint: list all databases with: tenantry get serverdatabases\n"
    );
    assert_eq!((nothing.code, nothing.stderr), (Some(1), expected));

    scene.delete(Kind::Tenant, &tenant).await;
    scene.gone(Kind::Tenant, &tenant).await;
    for database in &databases {
        phase(&scene, database, "Released").await;
    }
    // One is given back before there is anybody to take it, the other one afterwards.
    let early = shell.tenantry(&["undelete", &databases[0].name]).await;
    let expected = format!("serverdatabase.tenantry.dev/{} undeleted\n", databases[0].name);
    let note = format!(
        "There is no TenantDatabase {}/orders; the next one gets the database.\n",
        scene.namespace("acme")
    );
    assert_eq!((early.code, early.stdout, early.stderr), (Some(0), expected, note));
    scene.create(Kind::Tenant, &tenant, shop::tenant(&scene)).await;
    scene.refused(Kind::TenantDatabase, &scene.inside("acme", "users"), "ReleasedDatabaseExists").await;
    shell.ok(&["undelete", &databases[1].name, "--wait", "--timeout", "1m"]).await;
    scene.ready(Kind::Tenant, &tenant).await;
    assert_eq!(server_database(&scene, "orders").await, databases[0]);
    assert_eq!(server_database(&scene, "users").await, databases[1]);
    assert_eq!(rows(&scene, "orders-app").await, ["kept"]);
    let refused = code(session(&scene, &before).await);
    assert!(["28000", "28P01"].contains(&refused.as_str()), "{refused}");

    let again = shell.ok(&["undelete", &databases[0].name]).await;
    assert_eq!(again, format!("serverdatabase.tenantry.dev/{} unchanged\n", databases[0].name));
}

#[tokio::test]
async fn of_two_databases_of_one_claim_nobody_guesses_which_is_meant() {
    let site = Site::shared().await;
    let (scene, shell) = (shop::furnish(&site).await, Shell::new(&site));
    let (tenant, name) = (scene.cluster("acme"), scene.name("acme"));
    let claim = scene.inside("acme", "orders");
    let only = json!({"spec": {"databases": [{"name": "orders"}], "services": []}});
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), only).await;
    let mut released = vec![];
    for fresh in [false, true] {
        scene.create(Kind::Tenant, &tenant, shop::tenant(&scene)).await;
        if fresh {
            scene.refused(Kind::TenantDatabase, &claim, "ReleasedDatabaseExists").await;
            scene.patch(Kind::TenantDatabase, &claim, json!({"spec": {"fresh": true}})).await;
        }
        released.push(server_database(&scene, "orders").await);
        scene.delete(Kind::Tenant, &tenant).await;
        scene.gone(Kind::Tenant, &tenant).await;
        phase(&scene, released.last().unwrap(), "Released").await;
    }
    let refused = shell.tenantry(&["undelete", "--tenant", &name]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(released.iter().all(|database| refused.stderr.contains(&*database.name)), "{refused:?}");
    assert!(
        refused.stderr.contains("hint: name the one that is meant: tenantry undelete NAME"),
        "{refused:?}"
    );
}
