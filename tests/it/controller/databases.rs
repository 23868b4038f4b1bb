//! The life of a database: bound, used, released, given back. Nothing that happens in Kubernetes loses a row.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sqlx::{Executor, Row};
use tenantry::api::names::{PhysicalName, TenantId};
use tenantry::controller::object::{Key, Kind};

use super::claims::{binding, code, phase, rows, server_database, session, write_row};
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use crate::support::{Operator, wait_until};

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_binding_says_all_that_a_workload_needs() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let tenant = scene.get(Kind::Tenant, &scene.cluster("acme")).await.unwrap();
    let id = TenantId::of_uid(&uid(&tenant));
    let (access, bound) = (site.postgres.access(), binding(&scene, "orders-app").await);
    let (login, password) = (format!("t_{id}_orders_app_a"), &bound["password"]);
    let uri = format!(
        "postgresql://{login}:{password}@{}:{}/t_{id}_orders?sslmode=verify-full",
        access.host, access.port
    );
    let expected = [
        ("type", "postgresql"),
        ("provider", "tenantry"),
        ("host", access.host.as_str()),
        ("port", &access.port.to_string()),
        ("database", &format!("t_{id}_orders")),
        ("username", &login),
        ("password", password),
        ("uri", &uri),
        ("ca.crt", &site.postgres.ca()),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(bound, BTreeMap::from(expected));

    let secret = scene.get(Kind::Secret, &scene.inside("acme", "orders-app")).await.unwrap();
    assert_eq!(secret["type"], "servicebinding.io/postgresql");
    let claim = scene.get(Kind::TenantDatabase, &scene.inside("acme", "orders")).await.unwrap();
    assert_eq!(claim["status"]["binding"], json!({"name": "orders-app"}));
    write_row(&scene, "orders-app", "first").await;
    assert_eq!(rows(&scene, "orders-app").await, ["first"]);
}

#[tokio::test]
async fn a_tenant_reaches_its_own_databases_and_no_other() {
    let site = Site::shared().await;
    let (one, other) = (shop::open(&site).await, shop::open(&site).await);
    write_row(&one, "orders-app", "one's").await;
    write_row(&other, "orders-app", "other's").await;
    assert_eq!(rows(&one, "orders-app").await, ["one's"]);
    assert_eq!(rows(&other, "orders-app").await, ["other's"]);

    let (mine, theirs) = (binding(&one, "orders-app").await, binding(&other, "orders-app").await);
    let sibling = binding(&one, "users-app").await;
    let foreign = [&theirs["database"], &sibling["database"], "postgres", "template1", "tenantry"];
    for database in foreign {
        let refused = site.postgres.connect(&mine["username"], &mine["password"], database).await;
        assert_eq!(code(refused), "42501", "{database}");
    }
    let stolen = site.postgres.connect(&theirs["username"], &mine["password"], &theirs["database"]).await;
    assert_eq!(code(stolen), "28P01");
}

#[tokio::test]
async fn a_namespace_that_was_deleted_comes_back_with_its_rows() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    write_row(&scene, "orders-app", "kept").await;
    let (expected, before) = (scene.state().await, binding(&scene, "orders-app").await);
    scene.delete(Kind::Namespace, &Key::cluster(&scene.namespace("acme"))).await;
    let secret = scene.inside("acme", "orders-app");
    scene.gone(Kind::Secret, &secret).await;
    scene.returns_to(&expected).await;
    assert_eq!(rows(&scene, "orders-app").await, ["kept"]);
    // Whoever read the old Secret cannot use it any more.
    assert_ne!(binding(&scene, "orders-app").await["password"], before["password"]);
    assert_eq!(code(session(&scene, &before).await), "28P01");
}

#[tokio::test]
async fn a_tenants_databases_are_released_with_it_and_an_admin_gives_them_to_its_successor() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let (tenant, claim) = (scene.cluster("acme"), scene.inside("acme", "orders"));
    write_row(&scene, "orders-app", "kept").await;
    let (before, database) = (binding(&scene, "orders-app").await, server_database(&scene, "orders").await);
    scene.delete(Kind::Tenant, &tenant).await;
    scene.gone(Kind::Tenant, &tenant).await;
    phase(&scene, &database, "Released").await;
    let refused = code(session(&scene, &before).await);
    assert!(["28000", "28P01", "55000"].contains(&refused.as_str()), "{refused}");

    scene.create(Kind::Tenant, &tenant, shop::tenant(&scene)).await;
    let said = scene.refused(Kind::TenantDatabase, &claim, "ReleasedDatabaseExists").await;
    let successor = uid(&scene.get(Kind::TenantDatabase, &claim).await.unwrap());
    let expected = format!(
        "ServerDatabase {} of an earlier tenant has this namespace and name: to get it back, have an admin set its \
         spec.claimRef.uid to {successor}; for an empty database set spec.fresh to true",
        database.name
    );
    assert_eq!(said, expected);
    scene.refused(Kind::Tenant, &tenant, "ReleasedDatabaseExists").await;

    // An admin gives one back and asks for an empty one in the place of the other.
    scene.patch(Kind::ServerDatabase, &database, json!({"spec": {"claimRef": {"uid": successor}}})).await;
    let users = scene.inside("acme", "users");
    scene.patch(Kind::TenantDatabase, &users, json!({"spec": {"fresh": true}})).await;
    scene.ready(Kind::Tenant, &tenant).await;
    phase(&scene, &database, "Bound").await;
    assert_eq!(server_database(&scene, "orders").await, database);
    assert_eq!(rows(&scene, "orders-app").await, ["kept"]);
    write_row(&scene, "orders-app", "new").await;
    assert_eq!(rows(&scene, "orders-app").await, ["kept", "new"]);
    let refused = code(session(&scene, &before).await);
    assert!(["28000", "28P01"].contains(&refused.as_str()), "{refused}");

    // It is the successor's own from now on, whatever its name says.
    scene.delete(Kind::Namespace, &Key::cluster(&scene.namespace("acme"))).await;
    scene
        .until(Kind::TenantDatabase, &claim, "is made again and ready", |claim| {
            let ready = condition(claim, "Ready")?;
            (uid(claim) != successor && ready["status"] == "True").then_some(())
        })
        .await;
    assert_eq!(server_database(&scene, "orders").await, database);
    assert_eq!(rows(&scene, "orders-app").await, ["kept", "new"]);
}

#[tokio::test]
async fn a_database_is_released_whose_namespace_went_before_its_tenant() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let (tenant, namespace) = (scene.cluster("acme"), scene.namespace("acme"));
    let (claim, database) = (scene.inside("acme", "orders"), server_database(&scene, "orders").await);
    // Something in the namespace lingers, so that nothing can be made in it again.
    let maps: Api<ConfigMap> = Api::namespaced(scene.client.clone(), &namespace);
    let lingers = |finalizers: Value| json!({"metadata": {"name": "lingers", "finalizers": finalizers}});
    let map = serde_json::from_value(lingers(json!(["tests.tenantry.dev/lingers"]))).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let turns = operator.turns(Kind::ServerDatabase);
    scene.delete(Kind::Namespace, &Key::cluster(&namespace)).await;
    scene.gone(Kind::TenantDatabase, &claim).await;

    // While the tenant lives its claim may come back, so nothing is released; after that it cannot.
    operator.took_turns(&[(Kind::ServerDatabase, turns + 2)]).await;
    phase(&scene, &database, "Bound").await;
    scene.delete(Kind::Tenant, &tenant).await;
    phase(&scene, &database, "Released").await;
    maps.patch("lingers", &PatchParams::default(), &Patch::Merge(lingers(json!([])))).await.unwrap();
    scene.gone(Kind::Tenant, &tenant).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_claim_of_a_user_is_released_when_deleted_and_bound_when_made_again() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let claim = scene.inside("acme", "extra");
    let named = json!({"credentials": [{"name": "batch", "secretName": "extra-login"}]});
    scene.create(Kind::TenantDatabase, &claim, named.clone()).await;
    let database = server_database(&scene, "extra").await;
    write_row(&scene, "extra-login", "kept").await;
    let before = binding(&scene, "extra-login").await;
    scene.delete(Kind::TenantDatabase, &claim).await;
    phase(&scene, &database, "Released").await;
    let refused = code(session(&scene, &before).await);
    assert!(["28000", "28P01", "55000"].contains(&refused.as_str()), "{refused}");

    scene.create(Kind::TenantDatabase, &claim, named).await;
    assert_eq!(server_database(&scene, "extra").await, database);
    phase(&scene, &database, "Bound").await;
    assert_eq!(rows(&scene, "extra-login").await, ["kept"]);
}

#[tokio::test]
async fn a_blueprint_that_no_longer_asks_for_a_database_releases_it() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let database = server_database(&scene, "users").await;
    let less = json!({"spec": {"databases": [{"name": "orders"}], "services": []}});
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), less).await;
    phase(&scene, &database, "Released").await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    let whole = json!({"spec": shop::blueprint()});
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), whole).await;
    phase(&scene, &database, "Bound").await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    assert_eq!(server_database(&scene, "users").await, database);
}

#[tokio::test]
async fn a_deleted_server_database_is_projected_again() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    write_row(&scene, "orders-app", "kept").await;
    let expected = scene.state().await;
    for claim in shop::DATABASES {
        let database = server_database(&scene, claim).await;
        scene.delete(Kind::ServerDatabase, &database).await;
    }
    scene.returns_to(&expected).await;
    assert_eq!(rows(&scene, "orders-app").await, ["kept"]);
}

#[tokio::test]
async fn a_changed_or_deleted_binding_is_made_good() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    write_row(&scene, "orders-app", "kept").await;
    let (expected, key) = (scene.state().await, scene.inside("acme", "orders-app"));
    let first = binding(&scene, "orders-app").await;
    scene.patch(Kind::Secret, &key, json!({"metadata": {"labels": null}})).await;
    scene.returns_to(&expected).await;
    assert_eq!(binding(&scene, "orders-app").await, first);

    // Nobody can tell the password any more: the other login takes over, and who has the earlier one goes on.
    scene.delete(Kind::Secret, &key).await;
    let second = wait_until(A_MINUTE, "another binding opens the database", async || {
        scene.get(Kind::Secret, &key).await.ok_or_else(|| "there is none".to_owned())?;
        let bound = binding(&scene, "orders-app").await;
        if bound["password"] == first["password"] {
            return Err("it is the one before".to_owned());
        }
        session(&scene, &bound).await.map(|_| bound).map_err(|error| error.to_string())
    })
    .await;
    session(&scene, &first).await.unwrap();
    assert_ne!(second["username"], first["username"]);
    let wrong = json!({"data": {"password": STANDARD.encode("guessed")}});
    scene.patch(Kind::Secret, &key, wrong).await;
    wait_until(A_MINUTE, "the binding opens the database", async || {
        let bound = binding(&scene, "orders-app").await;
        session(&scene, &bound).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(rows(&scene, "orders-app").await, ["kept"]);
}

#[tokio::test]
async fn a_server_database_that_somebody_holds_keeps_no_binding_from_being_written() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let database = server_database(&scene, "orders").await;
    let key = scene.inside("acme", "orders-app");
    let first = uid(&scene.get(Kind::Secret, &key).await.unwrap());
    let held_by = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
    scene.patch(Kind::ServerDatabase, &database, held_by(json!(["tests.tenantry.dev/held"]))).await;
    scene.delete(Kind::ServerDatabase, &database).await;
    scene.delete(Kind::Secret, &key).await;
    wait_until(A_MINUTE, "a new Secret opens the database", async || {
        let secret = scene.get(Kind::Secret, &key).await.ok_or_else(|| "there is none".to_owned())?;
        if uid(&secret) == first {
            return Err("it is the one before".to_owned());
        }
        let bound = binding(&scene, "orders-app").await;
        session(&scene, &bound).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    scene.patch(Kind::ServerDatabase, &database, held_by(Value::Null)).await;
    scene.ready(Kind::TenantDatabase, &scene.inside("acme", "orders")).await;
}

#[tokio::test]
async fn a_changed_password_on_the_server_is_made_good_with_the_next_start() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let bound = binding(&scene, "orders-app").await;
    let mut admin = site.postgres.admin("postgres").await;
    let change = format!("alter role {} password 'other'", bound["username"]);
    admin.execute(sqlx::AssertSqlSafe(change)).await.unwrap();
    assert_eq!(code(session(&scene, &bound).await), "28P01");
    operator.stop().await;
    let operator = Operator::start(&site).await;
    wait_until(A_MINUTE, "the binding opens the database", async || {
        let bound = binding(&scene, "orders-app").await;
        session(&scene, &bound).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_database_or_login_of_somebody_elses_is_never_touched() {
    let site = Site::shared().await;
    let scene = Stage::new(&site).await;
    scene.create(Kind::Blueprint, &scene.cluster("shop"), json!({"databases": [{"name": "orders"}]})).await;
    let tenant = scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(&scene)).await;
    let id = TenantId::of_uid(&uid(&tenant));
    let name = PhysicalName::parse(&format!("t_{id}_orders")).unwrap();
    let mut admin = site.postgres.admin("postgres").await;
    let theirs = format!("create database {name}");
    admin.execute(sqlx::AssertSqlSafe(theirs)).await.unwrap();

    scene.create(Kind::Plan, &scene.cluster("small"), shop::plan(&scene)).await;
    let claim = scene.inside("acme", "orders");
    let said = scene.refused(Kind::TenantDatabase, &claim, "NameConflict").await;
    assert!(said.contains(name.as_str()), "{said}");
    let owner = "select pg_get_userbyid(datdba)::text, datacl is null from pg_database where datname = $1";
    let untouched = sqlx::query(owner).bind(name.as_str()).fetch_one(&mut admin).await.unwrap();
    assert_eq!((untouched.get::<String, _>(0), untouched.get::<bool, _>(1)), ("postgres".into(), true));

    // The same for a login, once the database is out of the way.
    let (moved, login) = (format!("theirs_{id}"), format!("{name}_app_a"));
    let steps =
        [format!("alter database {name} rename to {moved}"), format!("create role {login} superuser")];
    for step in steps {
        admin.execute(sqlx::AssertSqlSafe(step)).await.unwrap();
    }
    scene
        .until(Kind::TenantDatabase, &claim, "names the login", |claim| {
            let ready = condition(claim, "Ready")?;
            let named = ready["message"].as_str()?.contains(&login);
            (ready["reason"] == "NameConflict" && named).then_some(())
        })
        .await;
    let role = "select rolsuper and rolpassword is null from pg_authid where rolname = $1";
    let untouched: bool = sqlx::query_scalar(role).bind(&login).fetch_one(&mut admin).await.unwrap();
    assert!(untouched);
    admin.execute(sqlx::AssertSqlSafe(format!("drop role {login}"))).await.unwrap();
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
}

#[tokio::test]
async fn two_databases_given_to_one_claim_are_both_named() {
    let site = Site::shared().await;
    let scene = Stage::new(&site).await;
    let (tenant, claim) = (scene.cluster("acme"), scene.inside("acme", "orders"));
    scene.create(Kind::Plan, &scene.cluster("small"), shop::plan(&scene)).await;
    scene.create(Kind::Blueprint, &scene.cluster("shop"), json!({"databases": [{"name": "orders"}]})).await;
    let mut released = vec![];
    for fresh in [false, true] {
        scene.create(Kind::Tenant, &tenant, shop::tenant(&scene)).await;
        if fresh {
            scene.refused(Kind::TenantDatabase, &claim, "ReleasedDatabaseExists").await;
            scene.patch(Kind::TenantDatabase, &claim, json!({"spec": {"fresh": true}})).await;
        }
        scene.ready(Kind::Tenant, &tenant).await;
        released.push(server_database(&scene, "orders").await);
        scene.delete(Kind::Tenant, &tenant).await;
        scene.gone(Kind::Tenant, &tenant).await;
        phase(&scene, released.last().unwrap(), "Released").await;
    }
    scene.create(Kind::Tenant, &tenant, shop::tenant(&scene)).await;
    scene.refused(Kind::TenantDatabase, &claim, "ReleasedDatabaseExists").await;
    let wanted = uid(&scene.get(Kind::TenantDatabase, &claim).await.unwrap());
    for database in &released {
        let given = json!({"spec": {"claimRef": {"uid": wanted}}});
        scene.patch(Kind::ServerDatabase, database, given).await;
    }
    let said = scene.refused(Kind::TenantDatabase, &claim, "ClaimConflict").await;
    assert!(released.iter().all(|database| said.contains(&*database.name)), "{said}");
    let taken_back = json!({"spec": {"claimRef": {"uid": "somebody-else"}}});
    scene.patch(Kind::ServerDatabase, &released[1], taken_back).await;
    scene.ready(Kind::Tenant, &tenant).await;
    assert_eq!(server_database(&scene, "orders").await, released[0]);
}
