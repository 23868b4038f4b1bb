//! PostgreSQL as tests get it.

use std::time::Duration;

use sqlx::{Connection, Executor, Row};

use crate::support::{Postgres, wait_until};

#[tokio::test]
async fn the_shared_server_speaks_tls_and_checks_passwords() {
    let postgres = Postgres::shared();
    let mut admin = postgres.admin("postgres").await;
    let row = admin
        .fetch_one("select ssl, current_setting('server_version_num')::int / 10000 from pg_stat_ssl where pid = pg_backend_pid()")
        .await
        .unwrap();
    assert_eq!((row.get::<bool, _>(0), row.get::<i32, _>(1)), (true, 15));

    let refused = postgres.connect("postgres", "wrong", "postgres").await.unwrap_err();
    assert_eq!(
        refused.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(),
        Some("28P01")
    );
}

#[tokio::test]
async fn a_server_of_ones_own_stops_starts_pauses_and_resumes() {
    let postgres = Postgres::own();
    let mut connection = postgres.admin("postgres").await;
    let identifier = "select system_identifier::text from pg_control_system()";
    let own: String = connection.fetch_one(identifier).await.unwrap().get(0);
    let mut shared = Postgres::shared().admin("postgres").await;
    assert_ne!(
        own,
        shared.fetch_one(identifier).await.unwrap().get::<String, _>(0),
        "it is a server like no other"
    );

    postgres.pause();
    let answer = tokio::time::timeout(Duration::from_millis(300), connection.ping()).await;
    assert!(answer.is_err(), "a paused server answered");
    postgres.resume();
    wait_until(Duration::from_mins(1), "a resumed server answers", async || {
        let mut connection = postgres.admin("postgres").await;
        connection.ping().await.map_err(|error| error.to_string())
    })
    .await;

    postgres.stop();
    let refused = postgres.connect("postgres", &postgres.access().password, "postgres").await;
    assert!(matches!(refused, Err(sqlx::Error::Io(_))), "{refused:?}");
    postgres.start();
    postgres.admin("postgres").await.ping().await.unwrap();
    assert!(postgres.log().contains("received fast shutdown request"));
}
