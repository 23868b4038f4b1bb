//! How many databases a tenant may have, by its plan; and the credentials that a blueprint gives them.

use serde_json::{Value, json};
use tenantry::controller::object::{Key, Kind};

use super::claims::{binding, phase, session};
use super::dropping::purge;
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use crate::support::wait_until;

const CLAIMS: [&str; 4] = ["extra1", "extra2", "extra3", "extra4"];

/// The claims that have a database, and those that say that there is no room for one, once each says either.
async fn settled(scene: &Stage<'_>) -> (Vec<&'static str>, Vec<&'static str>) {
    wait_until(A_MINUTE, "every claim has a database or no room", async || {
        let (mut ready, mut refused) = (vec![], vec![]);
        for name in CLAIMS {
            let claim = scene.get(Kind::TenantDatabase, &scene.inside("acme", name)).await;
            let Some(claim) = claim else { continue };
            let said = condition(&claim, "Ready").cloned().unwrap_or_default();
            match (said["status"].as_str(), said["reason"].as_str()) {
                (Some("True"), _) => ready.push(name),
                (_, Some("QuotaExceeded")) => refused.push(name),
                _ => return Err(format!("{name}: {said}")),
            }
        }
        Ok((ready, refused))
    })
    .await
}

fn quota(databases: u32) -> Value {
    json!({"spec": {"quota": {"databases": databases}}})
}

#[tokio::test]
async fn of_claims_that_come_at_once_no_more_get_a_database_than_the_plan_lets_them() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let plan = scene.cluster("small");
    scene.patch(Kind::Plan, &plan, quota(4)).await;
    scene.ready(Kind::Plan, &plan).await;
    let none = json!({});
    let created = CLAIMS.map(|name| (scene.inside("acme", name), none.clone()));
    let made = created.iter().map(|(key, spec)| scene.create(Kind::TenantDatabase, key, spec.clone()));
    futures::future::join_all(made).await;
    let (ready, refused) = settled(&scene).await;
    assert_eq!((ready.len(), refused.len()), (2, 2), "{ready:?} {refused:?}");
    let said = scene.refused(Kind::TenantDatabase, &scene.inside("acme", refused[0]), "QuotaExceeded").await;
    let start =
        format!("spec.quota.databases of Plan {} is 4, and tenant {} has 4, ", plan.name, scene.name("acme"));
    assert!(said.starts_with(&start), "{said}");

    // A released one counts, a purged one does not.
    let key = scene.inside("acme", ready[0]);
    let claim = scene.get(Kind::TenantDatabase, &key).await.unwrap();
    let database = Key::cluster(claim["status"]["serverDatabase"].as_str().unwrap());
    scene.delete(Kind::TenantDatabase, &key).await;
    phase(&scene, &database, "Released").await;
    let label = json!({"metadata": {"labels": {"looked": "at"}}});
    for name in &refused {
        scene.patch(Kind::TenantDatabase, &scene.inside("acme", name), label.clone()).await;
    }
    assert_eq!(settled(&scene).await, (vec![ready[1]], refused.clone()));
    purge(&scene, &database).await;
    wait_until(A_MINUTE, "one more has a database", async || {
        let (now, left) = settled(&scene).await;
        if (now.len(), left.len()) == (2, 1) { Ok(()) } else { Err(format!("{now:?} {left:?}")) }
    })
    .await;

    // A smaller quota takes nothing away, and a greater one lets the last one in.
    scene.patch(Kind::Plan, &plan, quota(1)).await;
    scene.ready(Kind::Plan, &plan).await;
    scene.patch(Kind::TenantDatabase, &scene.inside("acme", ready[1]), label).await;
    assert_eq!(settled(&scene).await.0.len(), 2);
    scene.patch(Kind::Plan, &plan, quota(5)).await;
    for name in refused {
        scene.ready(Kind::TenantDatabase, &scene.inside("acme", name)).await;
    }
}

#[tokio::test]
async fn a_blueprints_databases_have_the_credentials_that_it_lists() {
    let site = Site::shared().await;
    let scene = Stage::new(&site).await;
    let credentials =
        json!([{"name": "app"}, {"name": "report", "access": "ReadOnly", "secretName": "reports"}]);
    let databases = json!([{"name": "orders", "credentials": credentials}]);
    let service = |credential: &str| {
        let bound = json!([{"name": "orders", "credential": credential}]);
        json!([{"name": "web", "spec": {"image": "app.test/web:1", "databases": bound}}])
    };
    scene.create(Kind::Plan, &scene.cluster("small"), shop::plan(&scene)).await;
    let spec = json!({"databases": databases, "services": service("nobody")});
    scene.create(Kind::Blueprint, &scene.cluster("shop"), spec).await;
    let said = scene.refused(Kind::Blueprint, &scene.cluster("shop"), "InvalidSpec").await;
    assert!(said.contains("the credential nobody of database orders, which has app, report"), "{said}");
    let fixed = json!({"spec": {"services": service("report")}});
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), fixed).await;
    scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(&scene)).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    for (secret, access) in [("orders-app", "owner"), ("reports", "ro")] {
        let mut session = session(&scene, &binding(&scene, secret).await).await.unwrap();
        let role: String =
            sqlx::query_scalar("select current_user::text").fetch_one(&mut session).await.unwrap();
        assert!(role.ends_with(&format!("_orders_{access}")), "{secret}: {role}");
    }
}
