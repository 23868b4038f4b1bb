//! The deletion brake: what would go beyond what people do on purpose stays, and works, until somebody says that it is meant.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use sqlx::Executor;
use tenantry::api::labels;
use tenantry::controller::object::{Key, Kind};

use super::claims::{binding, phase, session};
use super::dropping::{archive, looked_at, purge};
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use crate::support::{Operator, wait_until};

const ANNOTATION: &str = "tenantry.dev/deletion-brake";

/// A scene whose tenants get one database each and nothing else.
async fn furnish(site: &Site) -> Stage<'_> {
    let scene = shop::furnish(site).await;
    let only = json!({"spec": {"databases": [{"name": "orders"}], "services": []}});
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), only).await;
    scene
}

/// Nonce and message of the server's brake, once it is engaged.
async fn engaged(scene: &Stage<'_>) -> (String, String) {
    let server = Key::cluster(&scene.site.server);
    scene
        .until(Kind::DatabaseServer, &server, "has its brake engaged", |server| {
            let brake = condition(server, "DeletionBrake").filter(|brake| brake["status"] == "True")?;
            let nonce = server["status"]["deletionBrake"].as_str()?;
            Some((nonce.to_owned(), brake["message"].as_str()?.to_owned()))
        })
        .await
}

async fn answer(scene: &Stage<'_>, answer: &str) {
    let annotation = json!({"metadata": {"annotations": {ANNOTATION: answer}}});
    scene.patch(Kind::DatabaseServer, &Key::cluster(&scene.site.server), annotation).await;
}

#[tokio::test]
async fn many_tenants_deleted_at_once_keep_everything_until_somebody_says_that_it_is_meant() {
    let site = Site::own().await;
    let operator = Operator::start_with_brake(&site, 3).await;
    let scene = furnish(&site).await;
    let names = ["a", "b", "c", "d", "e"];
    let mut databases = vec![];
    for name in names {
        scene.create(Kind::Tenant, &scene.cluster(name), shop::tenant(&scene)).await;
    }
    for name in names {
        scene.ready(Kind::Tenant, &scene.cluster(name)).await;
        let claim = scene.ready(Kind::TenantDatabase, &scene.inside(name, "orders")).await;
        databases.push(Key::cluster(claim["status"]["serverDatabase"].as_str().unwrap()));
    }
    // All of them are on their way out before anybody looks.
    operator.stop().await;
    for name in names {
        scene.delete(Kind::Tenant, &scene.cluster(name)).await;
    }
    let operator = Operator::start_with_brake(&site, 3).await;
    let (nonce, message) = engaged(&scene).await;
    let expected = format!(
        "within 10 minutes 5 of 5 tenants are being deleted: nothing more is released or removed on DatabaseServer {0}, and all \
         of it still works; if it is meant: kubectl annotate dbs {0} --overwrite {ANNOTATION}=proceed-{nonce}",
        site.server
    );
    assert_eq!(message, expected);
    for name in names {
        let said = scene.refused(Kind::Tenant, &scene.cluster(name), "DeletionBrake").await;
        assert!(said.ends_with(&format!("proceed-{nonce}")), "{said}");
    }
    operator.stop().await;

    // Neither another process nor the answer to another brake lets it go.
    let operator = Operator::start_with_brake(&site, 3).await;
    let turns = operator.turns(Kind::Tenant);
    answer(&scene, "proceed-00000000").await;
    operator.took_turns(&[(Kind::Tenant, turns + 5)]).await;
    assert_eq!(engaged(&scene).await, (nonce.clone(), expected));
    for (name, database) in names.iter().zip(&databases) {
        let namespace = Key::cluster(&scene.namespace(name));
        let namespace = scene.get(Kind::Namespace, &namespace).await.unwrap();
        assert!(namespace["metadata"]["deletionTimestamp"].is_null(), "{namespace}");
        phase(&scene, database, "Bound").await;
    }

    answer(&scene, &format!("proceed-{nonce}")).await;
    for (name, database) in names.iter().zip(&databases) {
        scene.gone(Kind::Tenant, &scene.cluster(name)).await;
        phase(&scene, database, "Released").await;
    }
    operator.stop().await;
}

#[tokio::test]
async fn of_many_claims_deleted_at_once_the_first_are_released_and_the_others_go_on_working() {
    let site = Site::own().await;
    let operator = Operator::start_with_brake(&site, 3).await;
    let scene = furnish(&site).await;
    scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(&scene)).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    let claims = ["extra1", "extra2", "extra3", "extra4", "extra5"];
    let mut databases = vec![];
    for claim in claims {
        scene.create(Kind::TenantDatabase, &scene.inside("acme", claim), json!({})).await;
    }
    for claim in claims {
        databases.push(super::claims::server_database(&scene, claim).await);
    }
    for claim in claims {
        scene.delete(Kind::TenantDatabase, &scene.inside("acme", claim)).await;
    }
    let phases = async || {
        let mut phases = vec![];
        for database in &databases {
            let database = scene.get(Kind::ServerDatabase, database).await.unwrap();
            let held = condition(&database, "Ready").is_some_and(|it| it["reason"] == "DeletionBrake");
            phases.push((database["status"]["phase"].clone(), held));
        }
        phases
    };
    let count = |phases: &[(Value, bool)], phase: &str, held: bool| {
        phases.iter().filter(|it| **it == (json!(phase), held)).count()
    };
    let settled = wait_until(A_MINUTE, "three are released and two are held", async || {
        let phases = phases().await;
        let right = count(&phases, "Released", false) == 3 && count(&phases, "Bound", true) == 2;
        if right { Ok(phases) } else { Err(format!("{phases:?}")) }
    })
    .await;
    let (nonce, message) = engaged(&scene).await;
    assert!(
        message.starts_with("within 10 minutes 4 of 6 databases on the server would have been"),
        "{message}"
    );
    for (claim, (phase, _)) in claims.iter().zip(&settled) {
        let works = session(&scene, &binding(&scene, &format!("{claim}-app")).await).await.is_ok();
        assert_eq!(works, phase == "Bound", "{claim}");
    }

    answer(&scene, &format!("proceed-{nonce}")).await;
    for database in &databases {
        phase(&scene, database, "Released").await;
    }

    // When that is ten minutes ago, it is over, and the same answer is none to the next one.
    let mut admin = site.postgres.admin("tenantry").await;
    admin.execute("update tenantry.marker set changed_at = now() - interval '11 minutes'").await.unwrap();
    let server = Key::cluster(&site.server);
    scene.patch(Kind::DatabaseServer, &server, json!({"metadata": {"labels": {"looked": "at"}}})).await;
    scene
        .until(Kind::DatabaseServer, &server, "has no brake engaged", |server| {
            let over =
                condition(server, "DeletionBrake").is_none() && server["status"]["deletionBrake"].is_null();
            over.then_some(())
        })
        .await;

    what_a_restored_server_would_purge_or_drop_at_once_waits(&scene, &databases).await;
    operator.stop().await;
}

/// The brake is not engaged when it begins, and all of the databases were released long ago.
async fn what_a_restored_server_would_purge_or_drop_at_once_waits(scene: &Stage<'_>, databases: &[Key]) {
    let mut admin = scene.site.postgres.admin("tenantry").await;
    let server = Key::cluster(&scene.site.server);
    scene.patch(Kind::Tenant, &scene.cluster("acme"), json!({"spec": {"deletionPolicy": "Delete"}})).await;
    // The server is restored to a state in which all of them are to be purged: none of them is the first.
    let restored = "update tenantry.marker set deletion_policy = 'Delete' where phase = 'Released'";
    admin.execute(restored).await.unwrap();
    let look = async |when: &str| {
        for database in databases {
            looked_at(scene, database, when).await;
        }
    };
    look("restored").await;
    let (nonce, message) = engaged(scene).await;
    assert!(message.starts_with("within 10 minutes 5 of 6 databases on the server would"), "{message}");
    for database in databases {
        scene.refused(Kind::ServerDatabase, database, "DeletionBrake").await;
        phase(scene, database, "Released").await;
    }
    // Who takes back what is held up need not do it twice, nor who gives the database to a claim: its row says so.
    let [first, second, others @ ..] = databases else { panic!("{databases:?}") };
    scene.patch(Kind::ServerDatabase, first, json!({"spec": {"purge": null}})).await;
    scene
        .patch(Kind::ServerDatabase, second, json!({"spec": {"purge": null, "claimRef": {"uid": null}}}))
        .await;
    for kept in [first, second] {
        scene
            .until(Kind::ServerDatabase, kept, "is kept", |database| {
                let asked = database["spec"]["purge"].is_null();
                (asked && database["status"]["deletionPolicy"] == "Retain").then_some(())
            })
            .await;
    }
    answer(scene, &format!("proceed-{nonce}")).await;
    for database in others {
        phase(scene, database, "Tombstoned").await;
    }
    for kept in [first, second] {
        phase(scene, kept, "Released").await;
        purge(scene, kept).await;
    }

    // Nor is the first of those whose grace has ended dropped.
    admin.execute("update tenantry.marker set changed_at = now() - interval '11 minutes'").await.unwrap();
    scene.patch(Kind::DatabaseServer, &server, json!({"metadata": {"labels": {"looked": "again"}}})).await;
    let over = |server: &Value| server["status"]["deletionBrake"].is_null().then_some(());
    scene.until(Kind::DatabaseServer, &server, "has no brake engaged", over).await;
    for database in databases {
        archive(scene, database).await;
    }
    admin.execute("update tenantry.tombstone set droppable_at = now()").await.unwrap();
    look("grace-over").await;
    let (nonce, message) = engaged(scene).await;
    assert!(message.starts_with("within 10 minutes 5 of 6 databases on the server would"), "{message}");
    for database in databases {
        scene.refused(Kind::ServerDatabase, database, "DeletionBrake").await;
        phase(scene, database, "Tombstoned").await;
    }
    answer(scene, &format!("proceed-{nonce}")).await;
    for database in databases {
        scene.gone(Kind::ServerDatabase, database).await;
    }
}

/// Without their CRDs every tenant and every database's object look deleted.
#[tokio::test]
async fn crds_that_are_deleted_take_no_tenant_with_them_until_somebody_says_that_it_is_meant() {
    let site = Site::own().await;
    let operator = Operator::start_with_brake(&site, 3).await;
    let scene = furnish(&site).await;
    // Fewer than the brake lets through otherwise, and one without a database.
    scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(&scene)).await;
    let bare = json!({"planRef": {"name": scene.name("small")}});
    scene.create(Kind::Tenant, &scene.cluster("b"), bare).await;
    for name in ["acme", "b"] {
        scene.ready(Kind::Tenant, &scene.cluster(name)).await;
    }
    let crds: Api<CustomResourceDefinition> = Api::all(scene.client.clone());
    let going = ["serverdatabases.tenantry.dev", "tenants.tenantry.dev"];
    let allowed = Patch::Merge(json!({"metadata": {"annotations": {labels::ALLOW_DELETE: "true"}}}));
    for name in going {
        crds.patch(name, &PatchParams::default(), &allowed).await.unwrap();
        crds.delete(name, &DeleteParams::default()).await.unwrap();
    }
    let (nonce, message) = engaged(&scene).await;
    assert!(message.contains("CRD tenants.tenantry.dev is being deleted"), "{message}");
    for name in ["acme", "b"] {
        scene.refused(Kind::Tenant, &scene.cluster(name), "DeletionBrake").await;
        let namespace = scene.get(Kind::Namespace, &Key::cluster(&scene.namespace(name))).await.unwrap();
        assert!(namespace["metadata"]["deletionTimestamp"].is_null(), "{namespace}");
    }
    let mut works = session(&scene, &binding(&scene, "orders-app").await).await.unwrap();
    works.execute("select 1").await.unwrap();

    answer(&scene, &format!("proceed-{nonce}")).await;
    wait_until(A_MINUTE, "the CRDs are gone", async || {
        for name in going {
            let left = crds.get_opt(name).await.unwrap();
            left.map_or(Ok(()), |left| Err(format!("{:?}", left.status)))?;
        }
        Ok(())
    })
    .await;
    operator.stop().await;
}
