//! Connections that cannot be had say why, and never with a password.

use std::net::TcpListener;

use prometheus_client::metrics::counter::Counter;
use tenantry::postgres::connect::{AdminTarget, ConnectError, Last, ServerPool, chain};
use tenantry::postgres::quote::Ident;
use tenantry::postgres::scram::{Password, Verifier};

use super::fixture::{Fixture, PASSWORD, login, run, texts, want};
use crate::support::postgres::Version;
use crate::support::{Postgres, Relay, Relaying, free_address};

fn target(postgres: &Postgres) -> AdminTarget {
    let access = postgres.access();
    AdminTarget {
        host: access.host.clone(),
        port: access.port,
        username: access.username.clone(),
        password: Password::new(access.password.clone()),
        ca_pem: postgres.ca(),
    }
}

async fn refusal(target: AdminTarget) -> ConnectError {
    let pool = ServerPool::new(target, Counter::default()).unwrap();
    let database = Ident::parse("postgres").unwrap();
    let error = pool.database(&database).await.map(drop).unwrap_err();
    assert!(!format!("{error:?} {}", chain(&error)).contains("s3cr3t"), "{error:?}");
    error
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_login_are_refused() {
    let good = target(&Postgres::shared());
    let wrong = AdminTarget { password: Password::new("s3cr3t"), ..good.clone() };
    assert!(matches!(refusal(wrong).await, ConnectError::AuthenticationFailed { .. }));
    let unknown = AdminTarget { username: "nobody".into(), password: Password::new("s3cr3t"), ..good };
    assert!(matches!(refusal(unknown).await, ConnectError::AuthenticationFailed { .. }));
}

#[tokio::test]
async fn a_certificate_of_another_ca_or_for_another_host_is_not_trusted() {
    let good = target(&Postgres::shared());
    let key = rcgen::KeyPair::generate().unwrap();
    let other = rcgen::CertificateParams::new(vec!["other".to_owned()]).unwrap().self_signed(&key).unwrap();
    let untrusted = AdminTarget { ca_pem: other.pem(), ..good.clone() };
    assert!(matches!(refusal(untrusted).await, ConnectError::CertificateUntrusted { .. }));
    // The resolver reads this as 127.0.0.1; the certificate does not know it.
    let renamed = AdminTarget { host: "0x7f000001".into(), ..good };
    assert!(matches!(refusal(renamed).await, ConnectError::CertificateUntrusted { .. }));
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_host_are_unreachable() {
    let good = target(&Postgres::shared());
    let port = free_address().port();
    let closed = AdminTarget { port, ..good.clone() };
    assert!(matches!(refusal(closed).await, ConnectError::Unreachable { .. }));
    let unknown = AdminTarget { host: "no-such-host.invalid".into(), ..good.clone() };
    assert!(matches!(refusal(unknown).await, ConnectError::Unreachable { .. }));
    // A load balancer with nobody behind it.
    let relay = Relay::start(&Postgres::shared());
    relay.set(Relaying::Refuse);
    let nobody = AdminTarget { port: relay.postgres().access().port, ..good };
    assert!(matches!(refusal(nobody).await, ConnectError::Unreachable { .. }));
}

/// What is heard of a server is silence only if everybody else would hear it too.
#[tokio::test]
async fn a_full_server_is_silence_and_a_full_login_or_database_is_an_answer() {
    let postgres = Postgres::own();
    let mut admin = postgres.admin("postgres").await;
    run(&mut admin, "CREATE ROLE full_login LOGIN PASSWORD 's3cr3t' CONNECTION LIMIT 0").await;
    run(&mut admin, "CREATE ROLE login LOGIN PASSWORD 's3cr3t'").await;
    run(&mut admin, "CREATE DATABASE full_database CONNECTION LIMIT 0").await;
    run(&mut admin, "ALTER SYSTEM SET max_connections = 6").await;
    postgres.stop();
    postgres.start();
    let pool = ServerPool::new(target(&postgres), Counter::default()).unwrap();
    let attempt = async |login: &str, database: &str| {
        let (pool, heard) = pool.listening();
        let database = Ident::parse(database).unwrap();
        let result = pool.try_login(&database, login, &Password::new("s3cr3t")).await;
        (result.map_err(|error| chain(&error)), heard.last())
    };
    let full = |(result, heard): (Result<(), String>, Last)| {
        assert!(result.unwrap_err().contains("too many connections"));
        heard
    };
    assert_eq!(attempt("login", "postgres").await, (Ok(()), Last::Answer));
    assert_eq!(full(attempt("full_login", "postgres").await), Last::Answer);
    assert_eq!(full(attempt("login", "full_database").await), Last::Answer);
    let mut sessions = vec![];
    while let Ok(session) = postgres.connect("login", "s3cr3t", "postgres").await {
        sessions.push(session);
    }
    assert!(matches!(full(attempt("login", "postgres").await), Last::Silence { full: true, .. }));
    // Those that are kept for superusers go too.
    while let Ok(session) = postgres.connect("postgres", &postgres.access().password, "postgres").await {
        sessions.push(session);
    }
    assert!(matches!(full(attempt("login", "postgres").await), Last::Silence { full: true, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_unreachable_after_five_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = target(&Postgres::shared());
    let begun = tokio::time::Instant::now();
    let hanging = AdminTarget { port: silent.local_addr().unwrap().port(), ..good };
    let error = refusal(hanging).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert!(chain(&error).ends_with("no answer within 5 s"), "{}", chain(&error));
}

#[tokio::test]
async fn a_login_without_a_free_connection_and_a_database_that_is_not_there_are_told_apart() {
    let fixture = Fixture::shared(Version::V15).await;
    let mut spec = want(&["app"]);
    spec.connection_limit = Some(1);
    fixture.converge(&spec).await;
    let (database, login) = (Ident::from(&spec.physical), login(&spec, 0));
    let password = Password::new(PASSWORD);
    let held = fixture.tenant(&login, database.as_str()).await.unwrap();
    let error = fixture.pool.try_login(&database, &login, &password).await.unwrap_err();
    assert!(matches!(error, ConnectError::TooManyConnections { .. }), "{error:?}");
    drop(held);

    let missing = Ident::parse("no_such_database").unwrap();
    let error = fixture.pool.database(&missing).await.map(drop).unwrap_err();
    assert!(matches!(error, ConnectError::NoSuchDatabase { .. }), "{error:?}");
    let error =
        fixture.pool.try_login(&Ident::parse("postgres").unwrap(), &login, &password).await.unwrap_err();
    assert!(matches!(error, ConnectError::NotPermitted { .. }), "{error:?}");
}

#[tokio::test]
async fn every_session_is_pinned() {
    let fixture = Fixture::shared(Version::V15).await;
    let spec = want(&["app"]);
    fixture.converge(&spec).await;
    let (database, login) = (Ident::from(&spec.physical), login(&spec, 0));
    let mut admin = fixture.superuser("postgres").await;
    // Whatever database and role say, the startup packet has the last word.
    for sql in ["ALTER DATABASE {} SET search_path = public", "ALTER DATABASE {} SET lock_timeout = 0"] {
        run(&mut admin, &sql.replace("{}", database.as_str())).await;
    }
    fixture.pool.try_login(&database, &login, &Password::new(PASSWORD)).await.unwrap();
    let session = fixture.pool.database(&database).await.unwrap();
    let seen = texts(
        &mut admin,
        &format!(
            "SELECT application_name || ' ' || usename FROM pg_stat_activity WHERE datname = '{}'",
            database.as_str()
        ),
    )
    .await;
    assert_eq!(seen, ["tenantry postgres"]);
    session.release().await;
}

#[tokio::test]
async fn a_verifier_made_here_and_one_made_by_the_server_are_the_same_kind() {
    let fixture = Fixture::shared(Version::V15).await;
    let spec = want(&["app"]);
    fixture.converge(&spec).await;
    let login = login(&spec, 0);
    drop(fixture.tenant(&login, spec.physical.as_str()).await.unwrap());

    let mut admin = fixture.superuser("postgres").await;
    for password in ["plain", "it''s ünïcödé \u{2168}", "a\u{a0}b"] {
        run(&mut admin, &format!("ALTER ROLE {login} PASSWORD '{password}'")).await;
        let stored =
            texts(&mut admin, &format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{login}'")).await;
        let verifier = Verifier::parse(&stored[0]).unwrap();
        assert!(verifier.verifies(&Password::new(password.replace("''", "'"))), "{password}");
        assert!(!verifier.verifies(&Password::new("another")));
    }
}
