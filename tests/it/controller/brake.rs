//! The deletion brake: what would go beyond what people do on purpose stays, and works, until somebody says that it is meant.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use sqlx::Executor;
use tenantry::api::{DatabaseServer, labels};
use tenantry::controller::object::{Key, Kind};

use super::claims::{binding, inventory, phase, rows, session, write_row};
use super::dropping::{archive, looked_at, purge};
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use crate::support::{Operator, wait_until};

const ANNOTATION: &str = "tenantry.dev/deletion-brake";
const TAKE_OVER: &str = "tenantry.dev/take-over";

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
    let names = ["acme", "b", "c", "d", "e"];
    let mut databases = vec![];
    for name in names.into_iter().chain([LATE]) {
        scene.create(Kind::Tenant, &scene.cluster(name), shop::tenant(&scene)).await;
    }
    scene.ready(Kind::TenantDatabase, &scene.inside(LATE, "orders")).await;
    for name in names {
        scene.ready(Kind::Tenant, &scene.cluster(name)).await;
        let claim = scene.ready(Kind::TenantDatabase, &scene.inside(name, "orders")).await;
        databases.push(Key::cluster(claim["status"]["serverDatabase"].as_str().unwrap()));
    }
    // All of them are on their way out before anybody looks.
    operator.stop().await;
    delete(&scene, &names).await;
    let operator = Operator::start_with_brake(&site, 3).await;
    let (nonce, message) = engaged(&scene).await;
    let expected = format!(
        "within 10 minutes 5 of 6 tenants are being deleted: nothing more is released or removed on DatabaseServer {0}, and all \
         of it still works; if it is meant: kubectl annotate dbs {0} --overwrite {ANNOTATION}=proceed-{nonce}; if it is not, \
         cancel-{nonce} instead, which lets go of the Tenants among it, whose deletion nobody can take back, and keeps their namespaces",
        site.server
    );
    assert_eq!(message, expected);
    for name in names {
        let said = scene.refused(Kind::Tenant, &scene.cluster(name), "DeletionBrake").await;
        assert!(
            said.contains(&format!("{ANNOTATION}=proceed-{nonce}; if it is not, cancel-{nonce} ")),
            "{said}"
        );
    }
    operator.stop().await;

    // Neither another process nor the answer to another brake lets it go.
    let operator = Operator::start_with_brake(&site, 3).await;
    for other in ["proceed-00000000", "cancel-00000000"] {
        let turns = operator.turns(Kind::Tenant);
        answer(&scene, other).await;
        operator.took_turns(&[(Kind::Tenant, turns + 5)]).await;
    }
    assert_eq!(engaged(&scene).await, (nonce.clone(), expected));
    for (name, database) in names.iter().zip(&databases) {
        let namespace = Key::cluster(&scene.namespace(name));
        let namespace = scene.get(Kind::Namespace, &namespace).await.unwrap();
        assert!(namespace["metadata"]["deletionTimestamp"].is_null(), "{namespace}");
        phase(&scene, database, "Bound").await;
    }

    let operator = what_was_not_meant_is_let_go_and_taken_over(&scene, operator, &names, &nonce).await;
    delete(&scene, &names).await;
    let (nonce, _) = engaged(&scene).await;
    answer(&scene, &format!("proceed-{nonce}")).await;
    for (name, database) in names.iter().zip(&databases) {
        scene.gone(Kind::Tenant, &scene.cluster(name)).await;
        phase(&scene, database, "Released").await;
    }
    operator.stop().await;
}

/// A tenant that is deleted when a brake was cancelled already.
const LATE: &str = "late";

/// The brake is answered with that while no operator runs. What is deleted afterwards is none of what was meant.
async fn cancel(scene: &Stage<'_>, nonce: &str) {
    answer(scene, &format!("cancel-{nonce}")).await;
    let servers: Api<DatabaseServer> = Api::all(scene.client.clone());
    let server = servers.get(&scene.site.server).await.unwrap();
    let entries = server.metadata.managed_fields.unwrap_or_default();
    let answered = entries.into_iter().filter_map(|entry| entry.time).max().unwrap();
    wait_until(A_MINUTE, "the second of the answer is over", async || {
        let now = Timestamp::now();
        if now.as_second() > answered.0.as_second() { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    delete(scene, &[LATE]).await;
}

/// It is let go of all the same, on an admin's word.
async fn what_was_deleted_after_the_answer_is_held(scene: &Stage<'_>) {
    let key = scene.cluster(LATE);
    let said = scene.refused(Kind::Tenant, &key, "DeletionBrake").await;
    assert!(said.contains("was cancelled: nothing is released or removed there until it is over"), "{said}");
    let namespace = scene.get(Kind::Namespace, &Key::cluster(&scene.namespace(LATE))).await.unwrap();
    let meta = &namespace["metadata"];
    assert!(meta["deletionTimestamp"].is_null(), "{meta}");
    assert!(meta["annotations"][labels::FORMER_TENANTS].is_null(), "{meta}");
    let uid = scene.get(Kind::Tenant, &key).await.unwrap()["metadata"]["uid"].clone();
    scene.patch(Kind::Tenant, &key, json!({"metadata": {"annotations": {labels::FORCE_RELEASE: uid}}})).await;
    scene.gone(Kind::Tenant, &key).await;
    scene.refused(Kind::TenantDatabase, &scene.inside(LATE, "orders"), "TenantGone").await;
}

/// As when the server was down while the namespace was taken over, and the claim was made again meanwhile: the row says what it said of
/// the earlier Tenant, which wanted it deleted.
async fn a_row_that_has_not_gone_over_yet_obeys_the_new_tenant(
    scene: &Stage<'_>,
    operator: Operator,
    (tenant, old): (&str, &str),
) -> Operator {
    let before = left(scene, tenant).await;
    operator.stop().await;
    let mut admin = scene.site.postgres.admin("tenantry").await;
    let stale = "update tenantry.marker set tenant_uid = $1, claim_uid = 'earlier', deletion_policy = 'Delete' \
                 where claim_namespace = $2";
    sqlx::query(stale).bind(old).bind(scene.namespace(tenant)).execute(&mut admin).await.unwrap();
    let operator = Operator::start_with_brake(scene.site, 3).await;
    let told = |left: &[String]| {
        let row: Vec<String> = left[3].split(' ').map(str::to_owned).collect();
        let generation: i64 = row[2].parse().unwrap();
        (left[..3].to_vec(), row[0].clone(), row[1].clone(), generation, row[3..5].to_vec())
    };
    let mut expected = told(&before);
    expected.3 += 1;
    wait_until(A_MINUTE, "the row has gone over", async || {
        let now = told(&left(scene, tenant).await);
        if now == expected { Ok(()) } else { Err(format!("{now:?}, not {expected:?}")) }
    })
    .await;
    scene.ready(Kind::TenantDatabase, &scene.inside(tenant, "orders")).await;
    operator
}

async fn delete(scene: &Stage<'_>, tenants: &[&str]) {
    for name in tenants {
        scene.delete(Kind::Tenant, &scene.cluster(name)).await;
    }
}

/// What of a tenant outlives its Tenant: UIDs of namespace and claim, whose they are, and its row.
async fn left(scene: &Stage<'_>, tenant: &str) -> Vec<String> {
    let mut left = vec![];
    let objects = [
        (Kind::Namespace, Key::cluster(&scene.namespace(tenant))),
        (Kind::TenantDatabase, scene.inside(tenant, "orders")),
        (Kind::Secret, scene.inside(tenant, "orders-app")),
    ];
    for (kind, key) in objects {
        let meta = scene.get(kind, &key).await.unwrap()["metadata"].clone();
        assert!(meta["deletionTimestamp"].is_null(), "{meta}");
        let annotations = &meta["annotations"];
        left.push(format!("{kind} {} of {}", meta["uid"], annotations["tenantry.dev/owner-uid"]));
    }
    let mut admin = scene.site.postgres.admin("tenantry").await;
    let row = sqlx::query_scalar::<_, String>(
        "select concat_ws(' ', physical_name, phase, generation, tenant_uid, claim_uid, changed_at) \
         from tenantry.marker where claim_namespace = $1",
    );
    left.push(row.bind(scene.namespace(tenant)).fetch_one(&mut admin).await.unwrap());
    left
}

/// The brake has that nonce when it begins. The tenants are there again when it ends, with what they had.
async fn what_was_not_meant_is_let_go_and_taken_over(
    scene: &Stage<'_>,
    operator: Operator,
    names: &[&str],
    nonce: &str,
) -> Operator {
    write_row(scene, "orders-app", "kept").await;
    let secret = binding(scene, "orders-app").await;
    let (mut uids, mut before) = (vec![], vec![]);
    for name in names {
        let tenant = scene.get(Kind::Tenant, &scene.cluster(name)).await.unwrap();
        uids.push(tenant["metadata"]["uid"].as_str().unwrap().to_owned());
        before.push(left(scene, name).await);
    }
    operator.stop().await;
    // Neither does protection keep one whose deletion cannot be taken back: its namespace would go after all when the answer is old.
    let protected = json!({"spec": {"deletionProtection": true}});
    scene.patch(Kind::Tenant, &scene.cluster(names[4]), protected).await;
    cancel(scene, nonce).await;
    let operator = Operator::start_with_brake(scene.site, 3).await;
    for name in names {
        scene.gone(Kind::Tenant, &scene.cluster(name)).await;
    }
    what_was_deleted_after_the_answer_is_held(scene).await;
    let server = Key::cluster(&scene.site.server);
    let over = |server: &Value| server["status"]["deletionBrake"].is_null().then_some(());
    scene.until(Kind::DatabaseServer, &server, "has no brake engaged", over).await;
    // Whoever comes next finds nobody to release.
    operator.stop().await;
    let operator = Operator::start_with_brake(scene.site, 3).await;
    for ((name, uid), before) in names.iter().zip(&uids).zip(&before) {
        let said = scene.refused(Kind::TenantDatabase, &scene.inside(name, "orders"), "TenantGone").await;
        assert!(said.ends_with(&format!("create it again with the annotation {TAKE_OVER}: {uid}")), "{said}");
        assert_eq!(left(scene, name).await, *before);
    }
    assert_eq!(rows(scene, "orders-app").await, ["kept"]);

    // The same names are other tenants, which have nothing of it until they name the ones before.
    let tenant = scene.cluster("acme");
    for (name, said) in
        [(None, "this name: what"), (Some(&uids[1]), "which tenantry.dev/take-over names: what")]
    {
        match name {
            None => drop(scene.create(Kind::Tenant, &tenant, shop::tenant(scene)).await),
            Some(other) => take_over(scene, "acme", other).await,
        }
        let taken = format!("{TAKE_OVER}={}", uids[0]);
        scene
            .until(Kind::Tenant, &tenant, "finds its namespace taken", |tenant| {
                let ready = condition(tenant, "Ready").filter(|it| it["reason"] == "NamespaceTaken")?;
                let text = ready["message"].as_str()?;
                (text.contains(said) && text.ends_with(&taken)).then_some(())
            })
            .await;
        assert_eq!(
            (left(scene, "acme").await, rows(scene, "orders-app").await),
            (before[0].clone(), vec!["kept".into()])
        );
    }

    for (name, uid) in names.iter().zip(&uids) {
        if *name != "acme" {
            scene.create(Kind::Tenant, &scene.cluster(name), shop::tenant(scene)).await;
        }
        take_over(scene, name, uid).await;
    }
    for ((name, old), before) in names.iter().zip(&uids).zip(&before) {
        let tenant = scene.ready(Kind::Tenant, &scene.cluster(name)).await;
        let new = tenant["metadata"]["uid"].as_str().unwrap();
        let claim = scene.ready(Kind::TenantDatabase, &scene.inside(name, "orders")).await;
        let database = Key::cluster(claim["status"]["serverDatabase"].as_str().unwrap());
        scene
            .until(Kind::ServerDatabase, &database, "is its new tenant's", |database| {
                let status = &database["status"];
                (status["phase"] == "Bound" && status["tenantUID"] == new).then_some(())
            })
            .await;
        let now = left(scene, name).await;
        let expected: Vec<String> = before.iter().map(|it| it.replace(old, new)).collect();
        let row = |row: &str| row.split(' ').take(5).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(now[..3], expected[..3]);
        let mut bound = row(&expected[3]);
        bound[2] = "2".into();
        assert_eq!(row(&now[3]), bound, "the same row, bound once more");
    }
    assert_eq!(binding(scene, "orders-app").await, secret);
    write_row(scene, "orders-app", "new").await;
    assert_eq!(rows(scene, "orders-app").await, ["kept", "new"]);

    let operator =
        a_row_that_has_not_gone_over_yet_obeys_the_new_tenant(scene, operator, (names[1], &uids[1])).await;
    let mut settled = vec![];
    for name in names {
        settled.push(taken(scene, name).await);
    }
    operator.took_turns(&[]).await;
    operator.stop().await;
    let operator = Operator::start_with_brake(scene.site, 3).await;
    let turns = [Kind::Tenant, Kind::TenantDatabase, Kind::ServerDatabase].map(|kind| (kind, 5));
    operator.took_turns(&turns).await;
    assert_eq!(operator.sample("tenantry_api_writes_total"), 0);
    for (name, settled) in names.iter().zip(&settled) {
        assert_eq!(left(scene, name).await, *settled);
    }
    operator
}

/// [`left`], once the last is written that a take-over writes: its row, in the database's own object.
async fn taken(scene: &Stage<'_>, name: &str) -> Vec<String> {
    let (left, tenant) = (left(scene, name).await, scene.ready(Kind::Tenant, &scene.cluster(name)).await);
    let claim = scene.ready(Kind::TenantDatabase, &scene.inside(name, "orders")).await;
    let database = Key::cluster(claim["status"]["serverDatabase"].as_str().unwrap());
    scene
        .until(Kind::ServerDatabase, &database, "tells its row", |database| {
            let status = &database["status"];
            let told = status["phase"] == "Bound" && status["tenantUID"] == tenant["metadata"]["uid"];
            (told && left[3].split(' ').nth(2) == Some(&*status["generation"].to_string())).then_some(())
        })
        .await;
    left
}

async fn take_over(scene: &Stage<'_>, tenant: &str, uid: &str) {
    let annotation = json!({"metadata": {"annotations": {TAKE_OVER: uid}}});
    scene.patch(Kind::Tenant, &scene.cluster(tenant), annotation).await;
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
    // What is not dropped now is not read for that either.
    let jobs = scene.all(Kind::Job).await.into_iter().map(|job| job["metadata"]["name"].to_string());
    assert_eq!(jobs.filter(|name| name.contains("reread")).collect::<Vec<_>>(), Vec::<String>::new());
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
    write_row(&scene, "orders-app", "kept").await;
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
    site.install().await;
    what_is_on_the_server_is_known_again_and_waits_for_somebody(&scene).await;
    operator.stop().await;
}

/// The CRDs are there again, and nothing of what they held.
async fn what_is_on_the_server_is_known_again_and_waits_for_somebody(scene: &Stage<'_>) {
    let rows_of_all = wait_until(A_MINUTE, "the database is released", async || {
        let inventory = inventory(scene).await;
        let [row] = &inventory[..] else { panic!("{inventory:?}") };
        if row.contains(" Released ") { Ok(inventory) } else { Err(row.clone()) }
    })
    .await;
    let claim = scene.inside("acme", "orders");
    assert!(rows_of_all[0].ends_with(&format!(" {} orders", claim.namespace)), "{rows_of_all:?}");
    scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(scene)).await;
    let said = scene.refused(Kind::TenantDatabase, &claim, "ReleasedDatabaseExists").await;
    let claimant = scene.get(Kind::TenantDatabase, &claim).await.unwrap()["metadata"]["uid"].clone();
    let database = scene.all(Kind::ServerDatabase).await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(said.starts_with(&format!("ServerDatabase {database} of an earlier tenant")), "{said}");
    assert_eq!(inventory(scene).await, rows_of_all, "nobody has got it, and nobody another");
    let given = json!({"spec": {"claimRef": {"uid": claimant}}});
    scene.patch(Kind::ServerDatabase, &Key::cluster(&database), given).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    assert_eq!(rows(scene, "orders-app").await, ["kept"]);
}
