//! Sessions that never log in: nobody can be named for them, so time ends them, and the operator keeps the sessions
//! that it has.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tenantry::postgres::execute::Gate;
use tenantry::postgres::guard::Watch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::postgres::fixture::{Fixture, login, run, sqlstate, want};
use crate::support::Postgres;
use crate::support::postgres::Version;
use crate::support::wait_until;

on_every_version! {
    sessions_that_never_log_in_end_by_themselves_and_leave_the_guard_at_work,
}

/// Asks to log in and never answers the server's question for the password.
async fn ask(postgres: &Postgres) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(postgres.ca().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let access = postgres.access();
    let mut plain = TcpStream::connect((access.host.as_str(), access.port)).await.unwrap();
    plain.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await.unwrap();
    assert_eq!(plain.read_u8().await.unwrap(), b'S');
    let name = ServerName::try_from(access.host.clone()).unwrap();
    let mut session = TlsConnector::from(Arc::new(config)).connect(name, plain).await.unwrap();
    let startup = b"\0\0\0\x25\0\x03\0\0user\0postgres\0database\0none\0\0";
    assert_eq!(usize::from(startup[3]), startup.len());
    session.write_all(startup).await.unwrap();
    // The question, or that there is no room.
    session.read_u8().await.unwrap();
    session
}

async fn sessions_that_never_log_in_end_by_themselves_and_leave_the_guard_at_work(version: Version) {
    let fixture = Fixture::prepared(version).await;
    let spec = want(&["app"]);
    fixture.converge(&spec).await;
    let mut admin = fixture.superuser("postgres").await;
    run(&mut admin, "ALTER SYSTEM SET authentication_timeout = '4s'").await;
    run(&mut admin, "ALTER SYSTEM SET max_connections = 20").await;
    fixture.postgres.stop();
    fixture.postgres.start();
    let mut watch = Watch::open(&fixture.pool).await.unwrap();
    let enter = async || fixture.tenant(&login(&spec, 0), spec.physical.as_str()).await;

    let mut open = vec![];
    for _ in 0..25 {
        open.push(ask(&fixture.postgres).await);
    }
    assert_eq!(sqlstate(enter().await), "53300");
    assert_eq!(watch.turn(&Gate::default()).await.unwrap(), []);
    wait_until(Duration::from_secs(30), "they have ended", async || {
        enter().await.map(drop).map_err(|error| error.to_string())
    })
    .await;
}
