//! Extensions that a blueprint or a claim asks for, from the operator's side: made, found missing, and refused by name.

use serde_json::{Value, json};
use sqlx::{Executor, PgConnection, Row};
use tenantry::controller::object::{Key, Kind};

use super::claims::{binding, session, told};
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use crate::support::wait_until;

/// Extensions in the claim's database but for the one that each has.
async fn installed(scene: &Stage<'_>, claim: &str) -> Vec<String> {
    let database = binding(scene, &format!("{claim}-app")).await["database"].clone();
    let mut admin = scene.site.postgres.admin(&database).await;
    let sql = "select extname::text from pg_extension where extname <> 'plpgsql' order by 1";
    let rows = admin.fetch_all(sql).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn extensions(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name})).collect()
}

/// How often a transaction failed in the database that this is a session in.
async fn failures(admin: &mut PgConnection) -> i64 {
    let sql = "select xact_rollback from pg_stat_database where datname = current_database()";
    admin.fetch_one(sql).await.unwrap().get(0)
}

/// The Tenant `acme` with one database `orders` that has these extensions by its blueprint.
async fn tenant_with<'a>(site: &'a Site, names: &[&str]) -> Stage<'a> {
    let scene = Stage::new(site).await;
    let databases = json!([{"name": "orders", "extensions": extensions(names)}]);
    scene.create(Kind::Plan, &scene.cluster("small"), shop::plan(&scene)).await;
    scene.create(Kind::Blueprint, &scene.cluster("shop"), json!({"databases": databases})).await;
    scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(&scene)).await;
    scene
}

/// Has the claim looked at.
async fn touch(scene: &Stage<'_>, claim: &Key, when: &str) {
    scene.patch(Kind::TenantDatabase, claim, json!({"metadata": {"labels": {"looked": when}}})).await;
}

#[tokio::test]
async fn a_blueprints_extensions_are_made_and_one_that_is_missing_is_made_again() {
    let site = Site::shared().await;
    let scene = tenant_with(&site, &["citext", "pg_trgm"]).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    let claim = scene.inside("acme", "orders");
    let bound = binding(&scene, "orders-app").await;
    let mut app = session(&scene, &bound).await.unwrap();
    let made = "create table note (text citext); create index on note using gin (text gin_trgm_ops)";
    app.execute(sqlx::raw_sql(made)).await.unwrap();

    let mut admin = site.postgres.admin(&bound["database"]).await;
    // As long as it cannot be made again, nobody says that it was.
    let blocked = "drop extension pg_trgm cascade; create type extensions.gtrgm as enum ()";
    admin.execute(sqlx::raw_sql(blocked)).await.unwrap();
    let request = json!({"metadata": {"annotations": {"tenantry.dev/reconcile-requested-at": "now"}}});
    scene.patch(Kind::TenantDatabase, &claim, request).await;
    let said = scene.refused(Kind::TenantDatabase, &claim, "ReconcileFailed").await;
    assert!(said.contains("CREATE EXTENSION \"pg_trgm\""), "{said}");
    let drifted = scene.get(Kind::TenantDatabase, &claim).await.unwrap();
    assert_eq!(condition(&drifted, "Drifted").unwrap()["message"], "extension pg_trgm is gone");
    assert_eq!(told(&scene, &claim, "DriftCorrected").await, Vec::<String>::new());
    // Nor does a turn that nobody asked for take it for what it was before.
    let before = failures(&mut admin).await;
    touch(&scene, &claim, "still-blocked").await;
    wait_until(A_MINUTE, "it is tried again", async || {
        let failures = failures(&mut admin).await;
        if failures > before { Ok(()) } else { Err(format!("{failures} failures")) }
    })
    .await;
    scene.refused(Kind::TenantDatabase, &claim, "ReconcileFailed").await;
    admin.execute("drop type extensions.gtrgm").await.unwrap();
    touch(&scene, &claim, "unblocked").await;
    wait_until(A_MINUTE, "it is there again, and that is told", async || {
        let (there, told) = (installed(&scene, "orders").await, told(&scene, &claim, "DriftCorrected").await);
        let right = there == ["citext", "pg_trgm"];
        let named = told.iter().any(|note| note.ends_with("extension pg_trgm is gone"));
        if right && named { Ok(()) } else { Err(format!("{there:?} {told:?}")) }
    })
    .await;

    // What its tables are made of stays, whoever asks for it no more.
    let none = json!({"spec": {"databases": [{"name": "orders"}]}});
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), none).await;
    scene
        .until(Kind::TenantDatabase, &claim, "asks for none", |claim| {
            claim["spec"]["extensions"].is_null().then_some(())
        })
        .await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    assert_eq!(installed(&scene, "orders").await, ["citext", "pg_trgm"]);
}

#[tokio::test]
async fn what_may_not_be_made_is_named_and_everything_else_is_there() {
    let site = Site::shared().await;
    let scene = tenant_with(&site, &["citext", "dblink", "nonesuch"]).await;
    let claim = scene.inside("acme", "orders");
    let said = scene.refused(Kind::TenantDatabase, &claim, "ExtensionNotAllowed").await;
    for text in ["\"dblink\" is not one", "spec.allowedExtensions", "no extension \"nonesuch\"", "citext, "] {
        assert!(said.contains(text), "{text} in {said}");
    }
    // It is Stalled, with a database, a login and what was trusted.
    let status = scene.get(Kind::TenantDatabase, &claim).await.unwrap();
    assert_eq!(condition(&status, "Stalled").map(|it| &it["status"]), Some(&json!("True")));
    assert_eq!(status["status"]["steps"][0]["lastError"].as_str(), Some(&*said));
    assert_eq!(installed(&scene, "orders").await, ["citext"]);
    let bound = binding(&scene, "orders-app").await;
    drop(session(&scene, &bound).await.unwrap());

    let server = Key::cluster(&site.server);
    let allowed = |names: &[&str]| json!({"spec": {"allowedExtensions": names}});
    scene.patch(Kind::DatabaseServer, &server, allowed(&["dblink"])).await;
    let fixed =
        json!({"spec": {"databases": [{"name": "orders", "extensions": extensions(&["citext", "dblink"])}]}});
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), fixed).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    assert_eq!(installed(&scene, "orders").await, ["citext", "dblink"]);
    // One that cannot be made keeps away what is built on it, and nothing else.
    let mut admin = site.postgres.admin(&bound["database"]).await;
    admin.execute("create type extensions.cube as enum ()").await.unwrap();
    scene.patch(Kind::DatabaseServer, &server, allowed(&["dblink", "earthdistance"])).await;
    let more = extensions(&["citext", "cube", "dblink", "earthdistance", "pg_trgm"]);
    let more = json!({"spec": {"databases": [{"name": "orders", "extensions": more}]}});
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), more).await;
    let said = scene.refused(Kind::TenantDatabase, &claim, "ReconcileFailed").await;
    assert!(said.contains("CREATE EXTENSION \"cube\""), "{said}");
    assert_eq!(installed(&scene, "orders").await, ["citext", "dblink", "pg_trgm"]);
    admin.execute("drop type extensions.cube").await.unwrap();
    touch(&scene, &claim, "unblocked").await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    assert_eq!(installed(&scene, "orders").await, ["citext", "cube", "dblink", "earthdistance", "pg_trgm"]);
    scene.patch(Kind::DatabaseServer, &server, json!({"spec": {"allowedExtensions": null}})).await;
    scene.ready(Kind::TenantDatabase, &claim).await;

    // Names that only look like one are refused by the schema.
    for name in ["", "a--b", "-a", "../a", "a\"; DROP DATABASE b; --", "a b", &"a".repeat(64)] {
        let spec = json!({"extensions": [{"name": name}]});
        let refused = scene.try_create(Kind::TenantDatabase, &scene.inside("acme", "bad"), spec).await;
        assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 422), "{name:?}");
    }
}
