//! Database servers: what is wrong with one is said there and by who waits for it, holds nobody else back, and is
//! forgotten when it is corrected.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use sqlx::Executor;
use tenantry::api::labels::{BINDING_HASH, FORCE_RELEASE, IN_USE, SERVERS_NAMESPACE};
use tenantry::controller::object::{Key, Kind, dynamic_api};

use super::claims::{binding, rows, server_database, write_row};
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use crate::support::postgres::SERVER;
use crate::support::{Operator, Postgres, wait_until};

/// A port on which nothing listens.
const CLOSED: u16 = 1;

/// Puts one value into the server's admin Secret.
pub async fn put(scene: &Stage<'_>, secret: &str, key: &str, value: &str) {
    let secrets: Api<Secret> = Api::namespaced(scene.client.clone(), SERVERS_NAMESPACE);
    let data = Secret { data: Some([(key.into(), ByteString(value.into()))].into()), ..Secret::default() };
    secrets.patch(secret, &PatchParams::default(), &Patch::Merge(&data)).await.unwrap();
}

#[tokio::test]
async fn each_mistake_in_a_server_is_named_and_its_correction_recovers() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let (scene, second) = (shop::open(&site).await, Postgres::own());
    let (name, access) = (scene.name("second"), second.access().clone());
    let (server, claim) = (Key::cluster(&name), scene.inside("acme", "extra"));
    let host = format!("{}:{}", access.host, access.port);

    // The plan admits any server. Neither the one that a claim names exists nor, later, its Secret.
    scene.patch(Kind::Plan, &scene.cluster("small"), json!({"spec": {"serverSelector": null}})).await;
    scene.ready(Kind::Plan, &scene.cluster("small")).await;
    scene.create(Kind::TenantDatabase, &claim, json!({"serverRef": {"name": name}})).await;
    let said = scene.refused(Kind::TenantDatabase, &claim, "ServerNotFound").await;
    assert_eq!(
        said,
        format!("spec.serverRef: DatabaseServer {name} does not exist: create it or name another")
    );
    let external =
        |port: u16| json!({"external": {"host": access.host, "port": port, "adminSecretName": name}});
    scene.create(Kind::DatabaseServer, &server, external(CLOSED)).await;
    let said = scene.refused(Kind::DatabaseServer, &server, "SecretInvalid").await;
    assert!(said.starts_with("spec.external.adminSecretName: ") && said.contains(&name), "{said}");

    let secrets: Api<Secret> = Api::namespaced(scene.client.clone(), SERVERS_NAMESPACE);
    let params = PatchParams::apply("test").force();
    secrets.patch(&name, &params, &Patch::Apply(second.admin_secret(&name))).await.unwrap();
    let said = scene.refused(Kind::DatabaseServer, &server, "ServerUnreachable").await;
    assert!(said.contains(&format!("{}:{CLOSED}", access.host)), "{said}");
    let said = scene.refused(Kind::TenantDatabase, &claim, "ServerUnreachable").await;
    assert!(said.starts_with(&format!("spec.serverRef: DatabaseServer {name} is not ready")), "{said}");

    put(&scene, &name, "password", "guessed").await;
    scene.patch(Kind::DatabaseServer, &server, json!({"spec": external(access.port)})).await;
    let said = scene.refused(Kind::DatabaseServer, &server, "AuthenticationFailed").await;
    assert!(said.contains(&host) && said.contains("correct username and password"), "{said}");

    // An error that is longer than a status may be is cut, and the status accepted.
    put(&scene, &name, "username", &"x".repeat(2000)).await;
    scene
        .until(Kind::DatabaseServer, &server, "shows a long error", |server| {
            let message = condition(server, "Ready")?["message"].as_str()?;
            let step = server["status"]["steps"][0]["lastError"].as_str()?;
            let long = message.contains("xxx");
            long.then(|| assert_eq!((message.len(), step), (1024, message)))
        })
        .await;
    put(&scene, &name, "username", &access.username).await;

    put(&scene, &name, "ca.crt", &site.postgres.ca()).await;
    let said = scene.refused(Kind::DatabaseServer, &server, "CertificateUntrusted").await;
    assert!(said.contains("ca.crt of the admin Secret"), "{said}");

    // Nobody else has noticed.
    let other = shop::open(&site).await;
    other.ready(Kind::Tenant, &other.cluster("acme")).await;

    put(&scene, &name, "ca.crt", &second.ca()).await;
    put(&scene, &name, "password", &access.password).await;
    let ready = scene.ready(Kind::DatabaseServer, &server).await;
    assert_eq!(condition(&ready, "ServerReachable").unwrap()["status"], "True");
    scene.ready(Kind::TenantDatabase, &claim).await;
    operator.stop().await;
}

#[tokio::test]
async fn placement_says_why_no_server_fits() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let plan = scene.cluster("small");
    let selecting = |value: &str| json!({"spec": {"serverSelector": {"matchLabels": {SERVER: value}}}});
    scene.patch(Kind::Plan, &plan, selecting("nowhere")).await;
    scene.ready(Kind::Plan, &plan).await;
    // What is placed stays where it is.
    scene.create(Kind::TenantDatabase, &scene.inside("acme", "extra"), json!({})).await;
    let said = scene.refused(Kind::TenantDatabase, &scene.inside("acme", "extra"), "NoServer").await;
    let expected = format!(
        "no DatabaseServer has the labels {SERVER}=nowhere that Plan {} selects: label or create one",
        plan.name
    );
    assert_eq!(said, expected);
    scene.ready(Kind::TenantDatabase, &scene.inside("acme", "orders")).await;
    scene.patch(Kind::Plan, &plan, selecting(&site.server)).await;
    scene.ready(Kind::TenantDatabase, &scene.inside("acme", "extra")).await;
}

#[tokio::test]
async fn a_server_that_does_not_admit_the_namespace_says_so() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let (server, scene) = (Key::cluster(&site.server), shop::furnish(&site).await);
    scene.patch(Kind::DatabaseServer, &server, json!({"spec": {"allowedNamespaces": ["tenant-vip*"]}})).await;
    scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(&scene)).await;
    let asked = json!({"serverRef": {"name": site.server}});
    scene
        .until(Kind::Tenant, &scene.cluster("acme"), "has its namespace", |tenant| {
            (tenant["status"]["steps"][0]["phase"] == "Succeeded").then_some(())
        })
        .await;
    scene.create(Kind::TenantDatabase, &scene.inside("acme", "extra"), asked).await;
    let said = scene.refused(Kind::TenantDatabase, &scene.inside("acme", "extra"), "ServerNotAllowed").await;
    let namespace = scene.namespace("acme");
    let why = format!("does not admit namespace {namespace}: add it to its spec.allowedNamespaces");
    assert_eq!(said, format!("spec.serverRef: DatabaseServer {} {why}", site.server));
    let said = scene.refused(Kind::TenantDatabase, &scene.inside("acme", "orders"), "NoServer").await;
    assert!(said.contains(&why), "{said}");
    scene.patch(Kind::DatabaseServer, &server, json!({"spec": {"allowedNamespaces": null}})).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_server_that_is_down_loses_nothing_and_holds_no_namespace_back() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let (scene, leaving) = (shop::open(&site).await, shop::open(&site).await);
    let (server, expected) = (Key::cluster(&site.server), scene.state().await);
    site.postgres.stop();
    // Somebody asks for something on it, and finds out.
    let claim = scene.inside("acme", "extra");
    scene.create(Kind::TenantDatabase, &claim, json!({})).await;
    scene.refused(Kind::DatabaseServer, &server, "ServerUnreachable").await;
    scene.delete(Kind::TenantDatabase, &claim).await;
    leaving.delete(Kind::Tenant, &leaving.cluster("acme")).await;
    leaving.gone(Kind::Tenant, &leaving.cluster("acme")).await;

    site.postgres.start();
    scene.ready(Kind::DatabaseServer, &server).await;
    scene.returns_to(&expected).await;
    let released = async |database: &Value| {
        let key = Key::cluster(database["metadata"]["name"].as_str().unwrap());
        leaving
            .until(Kind::ServerDatabase, &key, "is Released", |database| {
                (database["status"]["phase"] == "Released").then_some(())
            })
            .await;
    };
    for database in leaving.all(Kind::ServerDatabase).await {
        if database["spec"]["claimRef"]["namespace"] == leaving.namespace("acme").as_str() {
            released(&database).await;
        }
    }
    operator.stop().await;
}

#[tokio::test]
async fn a_server_stays_while_databases_are_on_it_and_goes_when_there_are_none() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let (scene, server) = (shop::open(&site).await, Key::cluster(&site.server));
    let used = scene.get(Kind::DatabaseServer, &server).await.unwrap();
    assert_eq!(used["metadata"]["labels"][IN_USE], "true");
    let servers = dynamic_api(&scene.client, Kind::DatabaseServer, &server);
    let refused = servers.delete(&server.name, &DeleteParams::default()).await.unwrap_err();
    assert!(refused.to_string().contains("databases live on this server"), "{refused}");

    // Where admission is not asked, the finalizer holds the server and says why.
    operator.stop().await;
    scene.patch(Kind::DatabaseServer, &server, json!({"metadata": {"labels": {IN_USE: null}}})).await;
    servers.delete(&server.name, &DeleteParams::default()).await.unwrap();
    let operator = Operator::start(&site).await;
    let said = scene.refused(Kind::DatabaseServer, &server, "InUse").await;
    assert!(said.starts_with("the server stays while databases are on it: t-"), "{said}");
    // Until then it serves them, also under an operator that knows it only like this.
    let claim = scene.inside("acme", "orders");
    scene.patch(Kind::TenantDatabase, &claim, json!({"spec": {"limits": {"connections": 3}}})).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    a_server_that_never_comes_back_is_let_go_of_and_keeps_what_is_on_it(&scene).await;

    let empty = Postgres::own();
    empty.register(&scene.client, &scene.name("empty")).await;
    scene.ready(Kind::DatabaseServer, &scene.cluster("empty")).await;
    scene.delete(Kind::DatabaseServer, &scene.cluster("empty")).await;
    scene.gone(Kind::DatabaseServer, &scene.cluster("empty")).await;
    operator.stop().await;
}

/// It is being deleted when this begins, and there again when it ends.
async fn a_server_that_never_comes_back_is_let_go_of_and_keeps_what_is_on_it(scene: &Stage<'_>) {
    let (site, server) = (scene.site, Key::cluster(&scene.site.server));
    write_row(scene, "orders-app", "kept").await;
    let marked = "select concat_ws(' ', marker.*::text, oid) from tenantry.marker join pg_database on datname = physical_name order by 1";
    let mut admin = site.postgres.admin("tenantry").await;
    let before: Vec<String> = sqlx::query_scalar(marked).fetch_all(&mut admin).await.unwrap();
    drop(admin);
    let objects = scene.all(Kind::ServerDatabase).await;
    assert_eq!((before.len(), objects.len()), (2, 2));
    site.postgres.stop();
    let uid = scene.get(Kind::DatabaseServer, &server).await.unwrap()["metadata"]["uid"].clone();
    let how = format!(
        "; to let go of the object all the same: kubectl annotate dbs {} --overwrite {FORCE_RELEASE}={}, which keeps and changes nothing \
         that is on the server",
        server.name,
        uid.as_str().unwrap()
    );
    scene
        .until(
            Kind::DatabaseServer,
            &server,
            "says that its server is down, and how to let it go",
            |server| {
                let said = condition(server, "Ready")?["message"].as_str()?;
                (said.contains("it, which cannot be used now (") && said.ends_with(&how)).then_some(())
            },
        )
        .await;
    // Another object's UID lets nothing go: whoever answers it says more.
    let force = |uid: &Value| json!({"metadata": {"annotations": {FORCE_RELEASE: uid}}});
    scene.patch(Kind::DatabaseServer, &server, force(&json!("00000000-0000-0000-0000-000000000000"))).await;
    let told = json!({"metadata": {"labels": {"looked": "at"}}});
    scene.patch(Kind::DatabaseServer, &server, told).await;
    assert!(scene.get(Kind::DatabaseServer, &server).await.is_some());
    scene.patch(Kind::DatabaseServer, &server, force(&uid)).await;
    scene.gone(Kind::DatabaseServer, &server).await;

    let claim = scene.inside("acme", "orders");
    let said = scene.refused(Kind::TenantDatabase, &claim, "ServerNotFound").await;
    assert!(said.contains("which has the database, does not exist: create it again"), "{said}");
    for database in &objects {
        let database = Key::cluster(database["metadata"]["name"].as_str().unwrap());
        scene.refused(Kind::ServerDatabase, &database, "ServerNotFound").await;
    }
    let events: Api<Event> = Api::namespaced(scene.client.clone(), "default");
    wait_until(A_MINUTE, "an Event says who let it go", async || {
        let mut notes = events.list(&ListParams::default()).await.unwrap().items.into_iter();
        let told = notes.find(|it| it.reason.as_deref() == Some("ForceReleased"));
        let note = told.and_then(|it| it.note).ok_or("there is none")?;
        let right = note.starts_with(&format!("let go of by {FORCE_RELEASE}, which "))
            && note.contains(" (unattributed) has set: t-")
            && note.contains(" stay on it as they are");
        if right { Ok(()) } else { Err(note) }
    })
    .await;

    // It does come back. Nothing on it has changed, and whoever creates its object again has it all.
    site.postgres.start();
    let mut admin = site.postgres.admin("tenantry").await;
    let after: Vec<String> = sqlx::query_scalar(marked).fetch_all(&mut admin).await.unwrap();
    assert_eq!(after, before);
    site.postgres.register(&scene.client, &site.server).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    assert_eq!(rows(scene, "orders-app").await, ["kept"]);
}

#[tokio::test]
async fn another_server_at_the_same_address_is_never_written_to() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let (scene, server) = (shop::open(&site).await, Key::cluster(&site.server));
    let impostor = Postgres::own();
    let there = json!({"spec": {"external": {"port": impostor.access().port}}});
    put(&scene, &site.server, "password", &impostor.access().password).await;
    put(&scene, &site.server, "ca.crt", &impostor.ca()).await;
    scene.patch(Kind::DatabaseServer, &server, there).await;
    let said = scene.refused(Kind::DatabaseServer, &server, "SystemIdentifierChanged").await;
    assert!(said.contains("nothing is written to it"), "{said}");
    let mut admin = impostor.admin("postgres").await;
    let ours = "select count(*) from pg_database where datname = 'tenantry' or datname like 't\\_%'";
    let written: i64 = sqlx::query_scalar(ours).fetch_one(&mut admin).await.unwrap();
    assert_eq!(written, 0);

    let back = json!({"spec": {"external": {"port": site.postgres.access().port}}});
    put(&scene, &site.server, "password", &site.postgres.access().password).await;
    put(&scene, &site.server, "ca.crt", &site.postgres.ca()).await;
    scene.patch(Kind::DatabaseServer, &server, back).await;
    scene.ready(Kind::DatabaseServer, &server).await;
    another_ca_reaches_the_pods(&scene).await;
    a_server_that_somebody_else_holds_keeps_nobody_from_being_placed(&scene, &impostor).await;
    operator.stop().await;
}

async fn another_ca_reaches_the_pods(scene: &Stage<'_>) {
    let both = scene.site.postgres.ca().repeat(2);
    put(scene, &scene.site.server, "ca.crt", &both).await;
    wait_until(A_MINUTE, "the pods of the database's service get it", async || {
        let bound = binding(scene, "orders-app").await;
        let secret = scene.get(Kind::Secret, &scene.inside("acme", "orders-app")).await.unwrap();
        let hash = secret["metadata"]["annotations"][BINDING_HASH].as_str().unwrap();
        let pods = scene.get(Kind::Deployment, &scene.inside("acme", "orders")).await.unwrap();
        let annotations = pods["spec"]["template"]["metadata"]["annotations"].as_object().unwrap().clone();
        let rolled = annotations.values().any(|told| told == hash);
        if rolled && bound["ca.crt"] == both { Ok(()) } else { Err(format!("{hash} {annotations:?}")) }
    })
    .await;
}

/// `postgres` is the server that is let go of.
async fn a_server_that_somebody_else_holds_keeps_nobody_from_being_placed(
    scene: &Stage<'_>,
    postgres: &Postgres,
) {
    let held = scene.cluster("held");
    postgres.register(&scene.client, &held.name).await;
    scene.ready(Kind::DatabaseServer, &held).await;
    let finalizers =
        |object: &Value| object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let mut with = finalizers(&scene.get(Kind::DatabaseServer, &held).await.unwrap());
    with.push(json!("example.com/hold"));
    scene.patch(Kind::DatabaseServer, &held, json!({"metadata": {"finalizers": with}})).await;
    scene.delete(Kind::DatabaseServer, &held).await;
    let let_go = |server: &Value| (finalizers(server) == [json!("example.com/hold")]).then_some(());
    scene.until(Kind::DatabaseServer, &held, "is let go of", let_go).await;
    let extra = scene.inside("acme", "extra");
    scene.create(Kind::TenantDatabase, &extra, json!({})).await;
    scene.ready(Kind::TenantDatabase, &extra).await;
    scene.patch(Kind::DatabaseServer, &held, json!({"metadata": {"finalizers": null}})).await;
}

#[tokio::test]
async fn a_database_that_two_servers_have_is_named_with_both_and_worked_on_nowhere() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let (scene, copy) = (shop::open(&site).await, Postgres::own());
    let (server, claim) = (scene.cluster("copy"), scene.inside("acme", "orders"));
    copy.register(&scene.client, &server.name).await;
    scene.ready(Kind::DatabaseServer, &server).await;
    let database = scene.get(Kind::TenantDatabase, &claim).await.unwrap()["status"]["serverDatabase"].take();
    let database = Key::cluster(database.as_str().unwrap());

    // As after a restore of the one server's backup on the other.
    let (mut from, mut to) = (site.postgres.admin("tenantry").await, copy.admin("tenantry").await);
    let rows = "select to_jsonb(marker) from tenantry.marker where name = 'orders'";
    let row: Value = sqlx::query_scalar(rows).fetch_one(&mut from).await.unwrap();
    let insert = "insert into tenantry.marker select * from jsonb_populate_record(null::tenantry.marker, $1)";
    sqlx::query(insert).bind(row).execute(&mut to).await.unwrap();
    // Whatever is changed on a server has it looked at, now and not within a minute.
    let look = async |when: &str| {
        let label = json!({"metadata": {"labels": {"tests.tenantry.dev/look": when}}});
        scene.patch(Kind::DatabaseServer, &server, label).await;
    };
    look("first").await;
    let said = scene.refused(Kind::TenantDatabase, &claim, "ClaimConflict").await;
    assert!(said.contains(&site.server) && said.contains(&*server.name), "{said}");
    assert_eq!(scene.refused(Kind::ServerDatabase, &database, "ClaimConflict").await, said);
    scene.ready(Kind::TenantDatabase, &scene.inside("acme", "users")).await;

    sqlx::query("delete from tenantry.marker").execute(&mut to).await.unwrap();
    look("second").await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    scene.ready(Kind::ServerDatabase, &database).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_database_that_two_servers_have_refuses_logins_on_both_when_its_claim_is_gone() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let (scene, copy) = (shop::open(&site).await, Postgres::own());
    let server = scene.cluster("copy");
    copy.register(&scene.client, &server.name).await;
    scene.ready(Kind::DatabaseServer, &server).await;
    let database = server_database(&scene, "orders").await;
    let (name, bound) = (database.name.replace('-', "_"), binding(&scene, "orders-app").await);

    let (mut from, mut to) = (site.postgres.admin("tenantry").await, copy.admin("tenantry").await);
    let rows = "select to_jsonb(marker) from tenantry.marker where name = 'orders'";
    let row: Value = sqlx::query_scalar(rows).fetch_one(&mut from).await.unwrap();
    for statement in [
        format!("create database {name}"),
        format!("create role {} login password '{}'", bound["username"], bound["password"]),
    ] {
        to.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    }
    let insert = "insert into tenantry.marker select * from jsonb_populate_record(null::tenantry.marker, $1)";
    sqlx::query(insert).bind(row).execute(&mut to).await.unwrap();
    let look = json!({"metadata": {"labels": {"tests.tenantry.dev/look": "now"}}});
    scene.patch(Kind::DatabaseServer, &server, look).await;
    scene.refused(Kind::ServerDatabase, &database, "ClaimConflict").await;
    let enters =
        async |at: &Postgres| at.connect(&bound["username"], &bound["password"], &name).await.is_ok();
    assert!(enters(&site.postgres).await && enters(&copy).await, "nobody decides while the claim is there");

    scene.delete(Kind::Tenant, &scene.cluster("acme")).await;
    scene.gone(Kind::Tenant, &scene.cluster("acme")).await;
    for at in [&site.postgres, &copy] {
        wait_until(A_MINUTE, "the database is released", async || {
            let mut admin = at.admin("tenantry").await;
            let phase = "select phase from tenantry.marker where name = 'orders'";
            let phase: String = sqlx::query_scalar(phase).fetch_one(&mut admin).await.unwrap();
            if phase == "Released" && !enters(at).await { Ok(()) } else { Err(phase) }
        })
        .await;
    }
    operator.stop().await;
}

/// The rest needs pods: see the end-to-end tests.
#[tokio::test]
async fn a_managed_server_consists_of_its_objects_and_leaves_volume_and_secrets() {
    let site = Site::shared().await;
    let scene = Stage::new(&site).await;
    let (server, inside) = (scene.cluster("pg"), |rest: &str| {
        Key::namespaced(SERVERS_NAMESPACE, &format!("{}{rest}", scene.name("pg")))
    });
    scene
        .create(Kind::DatabaseServer, &server, json!({"managed": {"version": "15", "storage": "1Gi"}}))
        .await;
    scene.until(Kind::StatefulSet, &inside(""), "is there", |_| Some(())).await;
    scene
        .until(Kind::DatabaseServer, &server, "names what it waits for", |server| {
            let ready = condition(server, "Ready")?;
            let named = ready["message"].as_str()?.contains(&scene.name("pg"));
            (ready["status"] == "False" && named).then_some(())
        })
        .await;
    let secrets = ["-ca", "-tls", "-admin"];
    for secret in secrets {
        assert!(scene.get(Kind::Secret, &inside(secret)).await.is_some(), "{secret}");
    }
    // Whoever takes the labels off a Secret of ours does not take it away from us.
    for secret in secrets {
        let labels = scene.get(Kind::Secret, &inside(secret)).await.unwrap()["metadata"]["labels"].take();
        scene.patch(Kind::Secret, &inside(secret), json!({"metadata": {"labels": null}})).await;
        scene
            .until(Kind::Secret, &inside(secret), "has its labels again", |secret| {
                (secret["metadata"]["labels"] == labels).then_some(())
            })
            .await;
    }
    scene.delete(Kind::DatabaseServer, &server).await;
    scene.gone(Kind::DatabaseServer, &server).await;
    for kind in [Kind::StatefulSet, Kind::Service, Kind::NetworkPolicy] {
        assert!(scene.get(kind, &inside("")).await.is_none(), "{kind}");
    }
    for secret in secrets {
        assert!(scene.get(Kind::Secret, &inside(secret)).await.is_some(), "{secret}");
    }
}
