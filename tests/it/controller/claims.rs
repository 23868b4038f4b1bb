//! What tests see of a claim of the tenant `acme`: its database's object, its binding, and what the binding opens.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection, Row};
use tenantry::controller::object::{Key, Kind};

use super::site::Stage;

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
