//! Start and end: migrations by several replicas at once, a database that comes late, requests under way.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use tenantry::services::http::problem::Cause;
use tenantry::services::{ServeError, ServiceConfig};

use super::instance::{Instance, PATIENCE, config, database_away, pool, request};
use super::tenant_database::TenantDatabase;
use crate::support::{Postgres, wait_until};

#[tokio::test]
async fn replicas_that_start_at_once_migrate_once_and_the_group_role_owns_all() {
    let database = TenantDatabase::shared().await;
    let replicas =
        futures::future::join_all((0..4).map(|_| async { Instance::ready(&database).await })).await;
    let mut admin = database.admin().await;
    let applied: Vec<(i64, bool)> =
        sqlx::query_as("SELECT version, success FROM user_service._sqlx_migrations ORDER BY version")
            .fetch_all(&mut admin)
            .await
            .unwrap();
    assert_eq!(applied, [(1, true)]);
    let owners: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, r.rolname::text FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles r ON r.oid = c.relowner
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND c.relkind = 'r'
         ORDER BY 1",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    assert_eq!(
        owners,
        [("_sqlx_migrations".to_owned(), database.owner()), ("users".to_owned(), database.owner())]
    );
    let locks = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                 WHERE l.locktype = 'advisory' AND d.datname = current_database()";
    assert_eq!(admin.fetch_one(locks).await.unwrap().get::<i64, _>(0), 0);

    let user = json!({"email": "a@b", "name": "n"});
    let created = replicas[0].post("/api/users", &user).await.json();
    for replica in replicas {
        assert_eq!(replica.get("/api/users").await.parts(), (200, json!({"items": [created], "next": null})));
        replica.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_restart_on_a_migrated_database_keeps_the_users() {
    let database = TenantDatabase::shared().await;
    let first = Instance::ready(&database).await;
    let user = first.post("/api/users", &json!({"email": "a@b", "name": "n"})).await.json();
    first.stop().await.unwrap();
    // A newer version has been here and was rolled back.
    let newer =
        "INSERT INTO user_service._sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', true, '', 0)";
    database.admin().await.execute(newer).await.unwrap();
    let second = Instance::ready(&database).await;
    assert_eq!(second.get("/api/users").await.parts(), (200, json!({"items": [user], "next": null})));
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_answers_before_its_database_does_and_is_ready_when_it_comes() {
    let postgres = Postgres::own();
    let database = TenantDatabase::on(postgres.clone()).await;
    postgres.stop();
    let service = Instance::start(config(&database)).await;
    assert_eq!(service.get("/health").await.status, 200);
    assert_eq!(service.get("/api/users").await.parts(), database_away());
    assert_eq!(service.get("/api/users").await.header("retry-after"), "2");
    let report = wait_until(PATIENCE, "the reason is known", async || {
        let report = service.get("/ready").await.parts();
        let known = report.1["gates"][0]["message"] != "not connected yet";
        if known { Ok(report) } else { Err(report.1.to_string()) }
    })
    .await;
    let away = json!({"ready": false, "gates": [
        {"name": "database", "ready": false, "message": "the server cannot be reached"},
        {"name": "serving", "ready": true},
    ]});
    assert_eq!(report, (503, away));
    postgres.start();
    service.wait_for_ready().await;
    assert_eq!(service.get("/api/users").await.parts(), (200, json!({"items": [], "next": null})));
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_that_stays_away_ends_the_service_at_its_deadline() {
    let database = TenantDatabase::shared().await;
    database.write_binding("wrong");
    let short = ServiceConfig { open_within: Duration::from_secs(10), ..config(&database) };
    let service = Instance::start(short).await;
    let ended = tokio::time::timeout(PATIENCE, service.ended).await.unwrap().unwrap();
    let Err(error @ ServeError::Open(_)) = ended else { panic!("ended with {ended:?}") };
    let chain = Cause::of(&error).0;
    // What follows is the line of PostgreSQL's source.
    let (chain, _) = chain.split_once(" at line").unwrap();
    assert_eq!(
        chain,
        format!(
            "failed to open the database: failed to connect to the database before the deadline: \
             error returned from database: password authentication failed for user \"{}\"",
            database.login()
        )
    );
}

#[tokio::test]
async fn a_service_without_a_binding_ends_at_once() {
    let database = TenantDatabase::shared().await;
    let empty = tempfile::tempdir().unwrap();
    let bindings = empty.path().to_owned();
    let service = Instance::start(ServiceConfig { bindings, ..config(&database) }).await;
    let ended = tokio::time::timeout(PATIENCE, service.ended).await.unwrap().unwrap();
    assert!(matches!(ended, Err(ServeError::Binding(_))), "{ended:?}");
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_never_asked_to_log_in() {
    let database = TenantDatabase::shared().await;
    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    database.write_ca(&stranger.cert.pem());
    let service = Instance::start(config(&database)).await;
    wait_until(PATIENCE, "the certificate is refused", async || {
        let gate = service.get("/ready").await.json()["gates"][0].clone();
        let wanted = json!({
            "name": "database", "ready": false, "message": "the server's certificate is not trusted",
        });
        if gate == wanted { Ok(()) } else { Err(gate.to_string()) }
    })
    .await;
    service.stop().await.unwrap();
}

/// Takes the table, so that requests for it wait, and gives it back when dropped.
async fn hold_users(database: &TenantDatabase) -> sqlx::PgConnection {
    let mut holder = database.admin().await;
    holder.execute("BEGIN; LOCK TABLE user_service.users IN ACCESS EXCLUSIVE MODE").await.unwrap();
    holder
}

/// Waits until a request waits for the table.
async fn wait_for_waiter(database: &TenantDatabase) {
    let mut admin = database.admin().await;
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND wait_event_type = 'Lock'",
        database.name
    );
    wait_until(PATIENCE, "a request waits for the table", async || {
        let count: i64 = admin.fetch_one(AssertSqlSafe(waiting.clone())).await.unwrap().get(0);
        if count > 0 { Ok(()) } else { Err("none waits".to_owned()) }
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_lets_requests_under_way_finish_and_takes_no_new_ones() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    let holder = hold_users(&database).await;
    let body = json!({"email": "a@b", "name": "n"});
    let under_way = service.post("/api/users", &body);
    let ending = async {
        wait_for_waiter(&database).await;
        service.shutdown.cancel();
        wait_until(PATIENCE, "new connections are refused", async || {
            match tokio::net::TcpStream::connect(service.public).await {
                Err(_) => Ok(()),
                Ok(_) => Err("accepted".to_owned()),
            }
        })
        .await;
        let readyz = request(Method::GET, "/readyz", &[], None);
        let ready = service.try_send(service.admin, readyz).await.unwrap();
        holder.close().await.unwrap();
        ready.parts()
    };
    let (answer, ready) = tokio::join!(under_way, ending);
    assert_eq!(answer.status, 201);
    assert_eq!(
        ready,
        (
            503,
            json!({"ready": false, "gates": [
                {"name": "database", "ready": true},
                {"name": "serving", "ready": false, "message": "shutting down"},
            ]})
        )
    );
    service.stop().await.unwrap();
    let sessions = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'tenantry-user'";
    let mut admin = database.admin().await;
    wait_until(PATIENCE, "no session is left", async || {
        let left: i64 = admin.fetch_one(sessions).await.unwrap().get(0);
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await;
}

#[tokio::test]
async fn a_request_that_does_not_finish_does_not_hold_up_a_shutdown_for_ever() {
    let database = TenantDatabase::shared().await;
    let short = ServiceConfig { drain_within: Duration::from_millis(200), ..config(&database) };
    let service = Instance::start(short).await;
    service.wait_for_ready().await;
    let holder = hold_users(&database).await;
    let stuck = service.try_send(service.public, request(Method::GET, "/api/users", &[], None));
    let ending = async {
        wait_for_waiter(&database).await;
        service.shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(stuck, ending);
    assert!(answer.is_err(), "{answer:?}");
    service.stop().await.unwrap();
    holder.close().await.unwrap();
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_503_and_its_place_in_the_pool_is_free_again() {
    let database = TenantDatabase::shared().await;
    let request_timeout = Duration::from_millis(300);
    let short = ServiceConfig { request_timeout, pool: pool(1, PATIENCE), ..config(&database) };
    let service = Instance::start(short).await;
    service.wait_for_ready().await;
    let holder = hold_users(&database).await;
    assert_eq!(
        service.get("/api/users").await.parts(),
        super::instance::problem(503, "Service Unavailable", Some("the request took longer than 0.3 s"))
    );
    holder.close().await.unwrap();
    wait_until(PATIENCE, "requests are answered again", async || {
        let (status, body) = service.get("/api/users").await.parts();
        let wanted: (u16, Value) = (200, json!({"items": [], "next": null}));
        if (status, &body) == (wanted.0, &wanted.1) { Ok(()) } else { Err(body.to_string()) }
    })
    .await;
    service.stop().await.unwrap();
}
