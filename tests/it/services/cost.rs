//! What a request costs the database, counted in the server's own log.

use http::Method;
use serde_json::json;

use super::instance::{Instance, request};
use super::tenant_database::TenantDatabase;
use crate::support::Postgres;

/// First words of each statement that the service's login sent, the pool's own checks left out.
fn statements(database: &TenantDatabase) -> Vec<String> {
    let log = database.postgres.log();
    let lines = log.lines().filter(|line| line.contains(&format!("{}@", database.login())));
    let sent = lines.filter_map(|line| {
        let (_, sent) = line.split_once("LOG:  execute ").or_else(|| line.split_once("LOG:  statement"))?;
        sent.split_once(": ").map(|(_, statement)| statement)
    });
    let words = sent.map(|sent| sent.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    words.filter(|words| !words.is_empty() && !words.starts_with("/*")).collect()
}

#[tokio::test]
async fn a_request_is_one_statement_and_a_refused_condition_two() {
    let database = TenantDatabase::on(Postgres::own()).await;
    let service = Instance::ready(&database).await;
    let before = statements(&database).len();
    let body = json!({"email": "a@b", "name": "n"});
    let user = service.post("/api/users", &body).await.json();
    let path = format!("/api/users/{}", user["id"].as_str().unwrap());
    service.get(&path).await;
    service.get("/api/users?q=a").await;
    service.send(request(Method::PUT, &path, &[("if-match", "\"1\"")], Some(&body))).await;
    service.send(request(Method::PUT, &path, &[("if-match", "\"1\"")], Some(&body))).await;
    service.send(request(Method::DELETE, &path, &[], None)).await;
    service.get("/api/users/not-an-id").await;
    service.get("/ready").await;
    service.get("/metrics").await;
    assert_eq!(
        statements(&database)[before..],
        [
            "INSERT INTO",
            "SELECT id,",
            "SELECT id,",
            "UPDATE users",
            "UPDATE users",
            "SELECT id,",
            "DELETE FROM",
        ]
    );
    service.stop().await.unwrap();
}
