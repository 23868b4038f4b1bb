//! A server is prepared once, whatever interrupts it and whoever the admin is.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use tenantry::postgres::bootstrap::{BootstrapError, bootstrap};
use tenantry::postgres::connect::{ServerPool, chain};
use tenantry::postgres::execute::{Effect, Gate};
use tenantry::postgres::fence::Fences;
use tenantry::postgres::observe::{Markers, markers};
use tenantry::postgres::scram::Password;

use super::fixture::{Fixture, PASSWORD, login, pool, run, sqlstate, texts, want};
use crate::support::postgres::Version;

on_every_version! {
    a_crash_at_any_effect_converges_and_a_second_run_does_nothing,
    what_drifts_is_healed,
    a_server_that_an_earlier_version_prepared_is_brought_up_to_date,
    a_foreign_database_or_role_of_our_name_is_not_touched,
    an_admin_that_is_no_superuser_is_enough_once_the_system_databases_are_closed,
    an_admin_without_rights_is_told_the_statement,
}

/// All that the preparation leaves on a server.
async fn prepared(fixture: &Fixture) -> Vec<String> {
    let mut postgres = fixture.superuser("postgres").await;
    let databases = "SELECT datname || ' ' || pg_get_userbyid(datdba) || ' ' || datallowconn || ' ' || datconnlimit || ' ' \
         || coalesce(datacl::text, '-') || ' ' || coalesce(shobj_description(oid, 'pg_database'), '-') \
         FROM pg_database WHERE datname IN ('postgres', 'template1', 'tenantry') ORDER BY 1";
    let roles = "SELECT rolname || ' ' || rolcanlogin || ' ' || rolinherit FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1";
    let members = "SELECT roleid::regrole || ' ' || member::regrole FROM pg_auth_members WHERE roleid >= 16384 ORDER BY 1";
    let mut state = vec![];
    for sql in [databases, roles, members] {
        state.extend(texts(&mut postgres, sql).await);
    }
    let mut operator = fixture.superuser("tenantry").await;
    let tables = "SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns \
         WHERE table_schema = 'tenantry' ORDER BY 1";
    state.extend(texts(&mut operator, tables).await);
    state.extend(texts(&mut operator, "SELECT 'epoch ' || epoch FROM tenantry.epoch").await);
    state
}

async fn a_server_that_an_earlier_version_prepared_is_brought_up_to_date(version: Version) {
    let fixture = Fixture::prepared(version).await;
    let spec = want(&["app"]);
    fixture.converge(&spec).await;
    let right = prepared(&fixture).await;
    let mut operator = fixture.superuser("tenantry").await;
    let constraint =
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'marker_phase_check'";
    let admitted = texts(&mut operator, constraint).await;
    run(
        &mut operator,
        "DROP TABLE tenantry.tombstone; ALTER TABLE tenantry.marker DROP CONSTRAINT marker_phase_check, \
         ADD CONSTRAINT marker_phase_check CHECK (phase IN ('Creating', 'Bound', 'Released')), \
         DROP COLUMN management, DROP COLUMN object_name, DROP COLUMN deletion_policy, DROP COLUMN archive, \
         DROP COLUMN own_server",
    )
    .await;
    let mut reader = fixture.pool.operator().await.unwrap();
    let old = markers(&mut reader, &Markers::All).await.unwrap();
    assert_eq!(
        old.len(),
        1,
        "its rows can be read before: they say whether the server is the one that it was"
    );
    let gate = Gate::default();
    bootstrap(&gate, &fixture.pool).await.unwrap();
    assert_eq!(markers(&mut reader, &Markers::All).await.unwrap(), old);
    assert_eq!((prepared(&fixture).await, texts(&mut operator, constraint).await), (right, admitted));
    let rows = texts(&mut operator, "SELECT physical_name FROM tenantry.marker").await;
    assert_eq!(rows, [spec.physical.as_str()]);
    let effects = gate.effects();
    bootstrap(&gate, &fixture.pool).await.unwrap();
    assert_eq!(gate.effects(), effects, "nothing was left to do");
}

async fn undo(fixture: &Fixture) {
    let mut postgres = fixture.superuser("postgres").await;
    run(&mut postgres, "GRANT CONNECT, TEMPORARY ON DATABASE postgres TO PUBLIC").await;
    run(&mut postgres, "GRANT CONNECT ON DATABASE template1 TO PUBLIC").await;
    run(&mut postgres, "DROP DATABASE IF EXISTS tenantry WITH (FORCE)").await;
    run(&mut postgres, "DROP ROLE IF EXISTS tenantry_databases").await;
}

async fn a_crash_at_any_effect_converges_and_a_second_run_does_nothing(version: Version) {
    let fixture = Arc::new(Fixture::own(version));
    let gate = Gate::default();
    let server = bootstrap(&gate, &fixture.pool).await.unwrap();
    assert_eq!((server.version_number / 10_000, server.superuser), (version.major(), true));
    let (right, effects) = (prepared(&fixture).await, gate.effects());
    assert_eq!(effects, 3);
    assert_eq!(bootstrap(&gate, &fixture.pool).await.unwrap(), server);
    assert_eq!(gate.effects(), effects, "nothing was left to do");

    for number in 1..=effects {
        for done in [false, true] {
            undo(&fixture).await;
            let dying = Arc::clone(&fixture);
            let task = tokio::spawn(async move {
                let probe = move |effect: Effect<'_>| {
                    assert!(effect.number != number || effect.done != done, "the world stops");
                };
                bootstrap(&Gate::new(Some(Arc::new(probe)), Fences::default()), &dying.pool).await.unwrap();
            });
            assert!(task.await.unwrap_err().is_panic());
            bootstrap(&Gate::default(), &fixture.pool).await.unwrap();
            assert_eq!(prepared(&fixture).await, right, "died at effect {number}, done: {done}");
        }
    }
}

async fn what_drifts_is_healed(version: Version) {
    let fixture = Fixture::own(version);
    bootstrap(&Gate::default(), &fixture.pool).await.unwrap();
    let right = prepared(&fixture).await;
    let mut postgres = fixture.superuser("postgres").await;
    run(&mut postgres, "CREATE ROLE stranger").await;
    for sql in [
        "GRANT CONNECT ON DATABASE tenantry TO PUBLIC",
        "GRANT CONNECT, TEMPORARY ON DATABASE postgres TO PUBLIC",
        "GRANT CONNECT ON DATABASE template1 TO PUBLIC",
        "ALTER DATABASE tenantry ALLOW_CONNECTIONS false",
        "ALTER DATABASE tenantry CONNECTION LIMIT 3",
        "COMMENT ON DATABASE tenantry IS NULL",
        "ALTER ROLE tenantry_databases LOGIN SUPERUSER",
        "GRANT tenantry_databases TO stranger",
        "DROP ROLE tenantry_databases",
    ] {
        run(&mut postgres, sql).await;
        bootstrap(&Gate::default(), &fixture.pool).await.unwrap();
        let state: Vec<_> =
            prepared(&fixture).await.into_iter().filter(|it| !it.starts_with("stranger")).collect();
        assert_eq!(state, right, "after {sql}");
    }
}

async fn a_foreign_database_or_role_of_our_name_is_not_touched(version: Version) {
    let fixture = Fixture::own(version);
    let mut postgres = fixture.superuser("postgres").await;
    for (what, name, create, drop) in [
        ("database", "tenantry", "CREATE DATABASE tenantry", "DROP DATABASE tenantry WITH (FORCE)"),
        (
            "database",
            "tenantry",
            "CREATE DATABASE tenantry ALLOW_CONNECTIONS false",
            "DROP DATABASE tenantry",
        ),
        ("role", "tenantry_databases", "CREATE ROLE tenantry_databases", "DROP ROLE tenantry_databases"),
    ] {
        run(&mut postgres, create).await;
        let gate = Gate::default();
        let refused = bootstrap(&gate, &fixture.pool).await.unwrap_err();
        assert!(
            matches!(&refused, BootstrapError::NameConflict { what: w, name: n } if (*w, *n) == (what, name)),
            "{create}: {refused:?}"
        );
        assert_eq!(gate.effects(), 0, "{create}");
        run(&mut postgres, drop).await;
    }
    bootstrap(&Gate::default(), &fixture.pool).await.unwrap();
}

/// A pool of an admin that is no superuser.
async fn limited(fixture: &Fixture, rights: &str) -> ServerPool {
    let mut postgres = fixture.superuser("postgres").await;
    let password = PASSWORD.replace('\'', "''");
    run(&mut postgres, &format!("CREATE ROLE limited LOGIN {rights} PASSWORD '{password}'")).await;
    pool(&fixture.postgres, "limited", &Password::new(PASSWORD), Counter::default())
}

async fn an_admin_that_is_no_superuser_is_enough_once_the_system_databases_are_closed(version: Version) {
    let fixture = Fixture::own(version);
    let pool = limited(&fixture, "CREATEDB CREATEROLE").await;
    let gate = Gate::default();
    let mut postgres = fixture.superuser("postgres").await;
    // Each refusal names the statement that a superuser has to run.
    let mut ran = vec![];
    let server = loop {
        match bootstrap(&gate, &pool).await {
            Ok(server) => break server,
            Err(BootstrapError::PrivilegeMissing { statement }) => {
                assert_eq!(gate.effects(), 0, "nothing is made before the server is closed");
                run(&mut postgres, &statement).await;
                ran.push(statement);
            }
            Err(error) => panic!("{}", chain(&error)),
        }
    };
    assert_eq!(
        ran,
        [
            "REVOKE CONNECT, TEMPORARY ON DATABASE \"postgres\" FROM PUBLIC CASCADE",
            "GRANT CONNECT ON DATABASE \"postgres\" TO \"limited\"",
            "REVOKE CONNECT ON DATABASE \"template1\" FROM PUBLIC CASCADE",
        ]
    );
    assert!(!server.superuser);

    let shared = (fixture.postgres.clone(), fixture.fences.clone());
    let limited = Fixture { postgres: shared.0, pool, statements: Counter::default(), fences: shared.1 };
    let mut spec = want(&["app"]);
    limited.converge(&spec).await;
    let (name, login) = (spec.physical.as_str().to_owned(), login(&spec, 0));
    let mut tenant = limited.tenant(&login, &name).await.unwrap();
    run(&mut tenant, "CREATE TABLE kept ()").await;
    assert_eq!(sqlstate(limited.tenant(&login, "tenantry").await), "42501");
    // It may not read passwords: one that is to be set is set each time, one that stays is left alone.
    spec.credentials[0].password = tenantry::controller::database::want::PasswordWish::Keep;
    assert_eq!(limited.plan(&spec).await.unwrap().to_string(), "");
    spec.logins_allowed = false;
    limited.converge(&spec).await;
    assert!(sqlx::raw_sql("SELECT 1").execute(&mut tenant).await.is_err(), "the session has ended");
    assert_eq!(limited.plan(&spec).await.unwrap().to_string(), "");
    let revoke =
        format!("ALTER DEFAULT PRIVILEGES FOR ROLE {name}_owner REVOKE ALL ON TABLES FROM {name}_ro");
    run(&mut fixture.superuser(&name).await, &revoke).await;
    assert!(!limited.converge(&spec).await.is_empty());
    assert_eq!(limited.plan(&spec).await.unwrap().to_string(), "");
    // What only lets it grant a role that it made, which 16 and newer give, is no membership that it acts by.
    let members = "SELECT roleid::regrole || ' ' || member::regrole FROM pg_auth_members a \
         WHERE member = 'limited'::regrole AND coalesce(to_jsonb(a) ->> 'set_option', 'true') = 'true'";
    assert_eq!(texts(&mut postgres, members).await, ["tenantry_databases limited"]);
}

async fn an_admin_without_rights_is_told_the_statement(version: Version) {
    let fixture = Fixture::own(version);
    let pool = limited(&fixture, "").await;
    let mut postgres = fixture.superuser("postgres").await;
    run(&mut postgres, "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC").await;
    run(&mut postgres, "GRANT CONNECT ON DATABASE postgres TO limited").await;
    let refused = bootstrap(&Gate::default(), &pool).await.unwrap_err();
    let text = chain(&refused);
    assert!(text.contains("our login lacks a privilege: CREATE DATABASE \"tenantry\""), "{text}");
}
