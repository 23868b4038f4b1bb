//! A database that goes away under a running service, in each of its ways, and comes back.

use std::time::Duration;

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tenantry::services::ServiceConfig;

use super::instance::{Instance, PATIENCE, config, database_away, pool};
use super::tenant_database::TenantDatabase;
use crate::support::{Postgres, wait_until};

/// A service whose requests wait for a connection much shorter than tests wait for them: while nobody listens at the
/// server's address, the pool asks again until then.
async fn ready(database: &TenantDatabase) -> Instance {
    let service =
        Instance::start(ServiceConfig { pool: pool(10, Duration::from_secs(2)), ..config(database) }).await;
    service.wait_for_ready().await;
    service
}

/// Waits until a request is refused for want of the database.
async fn wait_for_refusal(service: &Instance) {
    wait_until(PATIENCE, "requests are refused", async || {
        let parts = service.get("/api/users").await.parts();
        if parts == database_away() { Ok(()) } else { Err(format!("{parts:?}")) }
    })
    .await;
}

/// Waits until a list of no users is answered.
async fn wait_for_answer(service: &Instance) {
    wait_until(PATIENCE, "requests are answered", async || {
        let parts = service.get("/api/users").await.parts();
        if parts == (200, json!({"items": [], "next": null})) { Ok(()) } else { Err(format!("{parts:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stops_and_starts_is_an_outage_and_no_more() {
    let postgres = Postgres::own();
    let database = TenantDatabase::on(postgres.clone()).await;
    let service = ready(&database).await;
    postgres.stop();
    wait_for_refusal(&service).await;
    wait_until(PATIENCE, "the service is not ready", async || {
        let answer = service.get("/ready").await;
        if answer.status == 503 { Ok(()) } else { Err(answer.json().to_string()) }
    })
    .await;
    assert_eq!(service.get("/health").await.status, 200);
    postgres.start();
    wait_for_answer(&service).await;
    service.wait_for_ready().await;
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_hangs_hangs_no_request_and_no_place_in_the_pool() {
    let postgres = Postgres::own();
    let database = TenantDatabase::on(postgres.clone()).await;
    let short = ServiceConfig {
        request_timeout: Duration::from_millis(500),
        pool: pool(10, Duration::from_secs(2)),
        ..config(&database)
    };
    let service = Instance::start(short).await;
    service.wait_for_ready().await;
    postgres.pause();
    let answers = futures::future::join_all((0..20).map(|_| service.get("/api/users"))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [503; 20]);
    wait_for_refusal(&service).await;
    postgres.resume();
    wait_for_answer(&service).await;
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_that_refuses_connections_is_an_outage() {
    let database = TenantDatabase::shared().await;
    let service = ready(&database).await;
    let mut admin = database.postgres.admin("postgres").await;
    let end_sessions =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'", database.name);
    for (off, on) in [
        (
            format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", database.name),
            format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", database.name),
        ),
        (
            format!("ALTER ROLE {} NOLOGIN", database.login()),
            format!("ALTER ROLE {} LOGIN", database.login()),
        ),
    ] {
        admin.execute(AssertSqlSafe(off)).await.unwrap();
        admin.execute(AssertSqlSafe(end_sessions.clone())).await.unwrap();
        wait_for_refusal(&service).await;
        admin.execute(AssertSqlSafe(on)).await.unwrap();
        wait_for_answer(&service).await;
    }
    service.stop().await.unwrap();
    admin.close().await.unwrap();
}

#[tokio::test]
async fn a_password_that_changes_is_read_again() {
    let database = TenantDatabase::shared().await;
    let service = ready(&database).await;
    let mut admin = database.postgres.admin("postgres").await;
    let end_sessions =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'", database.name);
    database.change_password("another").await;
    admin.execute(AssertSqlSafe(end_sessions.clone())).await.unwrap();
    wait_for_refusal(&service).await;
    database.write_binding("another");
    wait_for_answer(&service).await;

    // The file first, as the kubelet may be faster than the last session that still has the old password.
    database.write_binding("a third");
    database.change_password("a third").await;
    admin.execute(AssertSqlSafe(end_sessions)).await.unwrap();
    wait_for_answer(&service).await;
    service.stop().await.unwrap();
    admin.close().await.unwrap();
}
