//! Credentials of a claim: what each may do, and what becomes of the sessions when that changes.

use serde_json::json;
use sqlx::Executor;
use tenantry::controller::object::Kind;

use super::claims::{binding, session, write_row};
use super::scene::A_MINUTE;
use super::shop;
use super::site::Site;
use crate::support::wait_until;

#[tokio::test]
async fn an_access_that_changes_holds_with_the_same_binding() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let claim = scene.inside("acme", "extra");
    let reads = json!([{"name": "app"}, {"name": "report", "access": "ReadOnly"}]);
    scene.create(Kind::TenantDatabase, &claim, json!({"credentials": reads})).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    write_row(&scene, "extra-app", "kept").await;

    let report = binding(&scene, "extra-report").await;
    let mut reader = session(&scene, &report).await.unwrap();
    reader.execute("select * from kept").await.unwrap();
    let refused = reader.execute("insert into kept values ('new')").await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "25006");

    let more = json!([{"name": "app"}, {"name": "report", "access": "ReadWrite"}]);
    scene.patch(Kind::TenantDatabase, &claim, json!({"spec": {"credentials": more}})).await;
    wait_until(A_MINUTE, "the report's session from before has ended", async || {
        match reader.execute("select").await {
            Ok(_) => Err("it lasts".to_owned()),
            Err(_) => Ok(()),
        }
    })
    .await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    assert_eq!(binding(&scene, "extra-report").await, report);
    let mut writer = session(&scene, &report).await.unwrap();
    writer.execute("insert into kept values ('new')").await.unwrap();
}
