//! What tests see of a claim of the tenant `acme`: its database's object, its binding, and what the binding opens.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection, Row};
use tenantry::controller::object::{Key, Kind};

use super::scene::A_MINUTE;
use super::site::Stage;
use crate::support::wait_until;

/// The binding Secret of that name, decoded.
pub async fn binding(scene: &Stage<'_>, name: &str) -> BTreeMap<String, String> {
    let secret = scene.get(Kind::Secret, &scene.inside("acme", name)).await.unwrap();
    let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let entry = |(key, value): (&String, &Value)| (key.clone(), String::from_utf8(decode(value)).unwrap());
    secret["data"].as_object().unwrap().iter().map(entry).collect()
}

/// A session as whoever has that binding.
pub async fn session(
    scene: &Stage<'_>,
    binding: &BTreeMap<String, String>,
) -> Result<PgConnection, sqlx::Error> {
    let postgres = &scene.site.postgres;
    postgres.connect(&binding["username"], &binding["password"], &binding["database"]).await
}

/// SQLSTATE of a refusal.
pub fn code(refused: Result<PgConnection, sqlx::Error>) -> String {
    let error = refused.expect_err("the login was let in");
    error.as_database_error().unwrap_or_else(|| panic!("{error}")).code().unwrap().into_owned()
}

/// Leaves a row behind as the workload would.
pub async fn write_row(scene: &Stage<'_>, secret: &str, text: &str) {
    let mut session = session(scene, &binding(scene, secret).await).await.unwrap();
    session.execute("create table if not exists kept (text text)").await.unwrap();
    sqlx::query("insert into kept values ($1)").bind(text).execute(&mut session).await.unwrap();
    session.close().await.unwrap();
}

/// The rows, as the workload sees them.
pub async fn rows(scene: &Stage<'_>, secret: &str) -> Vec<String> {
    let mut session = session(scene, &binding(scene, secret).await).await.unwrap();
    let rows = session.fetch_all("select text from kept order by text").await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Key of the ServerDatabase of a claim of the tenant `acme`.
pub async fn server_database(scene: &Stage<'_>, claim: &str) -> Key {
    let claim = scene.ready(Kind::TenantDatabase, &scene.inside("acme", claim)).await;
    Key::cluster(claim["status"]["serverDatabase"].as_str().unwrap())
}

/// Waits until the ServerDatabase is in that phase.
pub async fn phase(scene: &Stage<'_>, database: &Key, phase: &str) {
    scene
        .until(Kind::ServerDatabase, database, &format!("is {phase}"), |database| {
            (database["status"]["phase"] == phase).then_some(())
        })
        .await;
}

/// Waits until every marker row on the site's server has its ServerDatabase, and each says what its row does. Returns what that is.
pub async fn inventory(scene: &Stage<'_>) -> Vec<String> {
    let rows = "select concat_ws(' ', physical_name, phase, generation, tenant_uid, claim_namespace, claim_name) \
                from tenantry.marker where phase <> 'Creating'";
    // A minute is what a watch may rest whose kind was not there for some time.
    wait_until(2 * A_MINUTE, "every row has its object", async || {
        let mut admin = scene.site.postgres.admin("tenantry").await;
        let mut rows: Vec<String> = sqlx::query_scalar(rows).fetch_all(&mut admin).await.unwrap();
        admin.close().await.unwrap();
        let mut shown = vec![];
        for object in scene.all(Kind::ServerDatabase).await {
            let (spec, status) = (&object["spec"], &object["status"]);
            if spec["serverRef"]["name"] == *scene.site.server {
                let claim = &spec["claimRef"];
                let texts = [
                    &spec["physicalName"],
                    &status["phase"],
                    &status["tenantUID"],
                    &claim["namespace"],
                    &claim["name"],
                ];
                let [name, phase, tenant, namespace, claim] = texts.map(|it| it.as_str().unwrap_or("?"));
                shown.push(format!("{name} {phase} {} {tenant} {namespace} {claim}", status["generation"]));
            }
        }
        rows.sort();
        shown.sort();
        if rows == shown { Ok(rows) } else { Err(format!("{rows:#?}, and shown are {shown:#?}")) }
    })
    .await
}

/// The notes of a claim's Events of that reason.
pub async fn told(scene: &Stage<'_>, claim: &Key, reason: &str) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(scene.client.clone(), &claim.namespace);
    let all = events.list(&ListParams::default()).await.unwrap().items;
    let about = |event: &Event| {
        let regarding = event.regarding.as_ref();
        regarding.is_some_and(|it| it.name.as_deref() == Some(&*claim.name))
            && event.reason.as_deref() == Some(reason)
    };
    all.into_iter().filter(about).filter_map(|event| event.note).collect()
}
