//! Whatever state a real server is in, one plan makes it right, and the next one is empty.

use std::collections::BTreeSet;

use tenantry::controller::database::plan::{Conflict, Plan};
use tenantry::postgres::facts::{Facts, Phase};
use tenantry::postgres::observe::{Scope, catalog};

use super::fixture::{Fixture, login, run, sqlstate, texts, want};
use crate::support::postgres::Version;

on_every_version! {
    a_new_database_converges_at_once_and_stays,
    drift_of_everything_that_is_declared_is_healed,
    a_suspended_database_ends_sessions_and_refuses_logins_until_it_is_resumed,
    a_released_database_refuses_logins_keeps_everything_and_comes_back,
    what_is_not_ours_is_a_conflict_and_stays_untouched,
    all_databases_of_a_server_are_read_with_six_statements,
}

/// What a server has of a database, with the parts that differ from run to run made equal.
pub async fn settled(fixture: &Fixture, spec: &tenantry::controller::database::want::DatabaseSpec) -> String {
    let Facts { server: _, databases, roles, memberships, grantors, markers, sessions: _, issues, inside } =
        fixture.facts(spec).await;
    format!("{:#?}", (databases, roles, memberships, grantors, markers, issues, inside))
        .replace(&spec.tenant_uid, "UID")
        .replace(&spec.tenant_id, "ID")
}

async fn a_new_database_converges_at_once_and_stays(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = want(&["app", "job"]);
    let plan = fixture.converge(&spec).await;
    assert_eq!(plan.batches.len(), 5);
    assert_eq!(fixture.plan(&spec).await, Ok(Plan::default()));
    let facts = fixture.facts(&spec).await;
    assert_eq!(facts.markers[0].phase, Phase::Bound);
    assert_eq!(facts.databases[spec.physical.as_str()].encoding, "UTF8");
}

async fn drift_of_everything_that_is_declared_is_healed(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = want(&["app", "job"]);
    fixture.converge(&spec).await;
    let right = settled(&fixture, &spec).await;
    let (name, login) = (spec.physical.as_str(), login(&spec, 0));
    let stranger = format!("stranger_{}", spec.tenant_id);
    let mut admin = fixture.superuser("postgres").await;
    let second = format!("second_{}", spec.tenant_id);
    run(&mut admin, &format!("CREATE ROLE {stranger}; CREATE ROLE {second}")).await;
    let mut inside = fixture.superuser(name).await;
    let of_server = [
        "ALTER DATABASE {db} OWNER TO {stranger}",
        "ALTER DATABASE {db} OWNER TO {login}",
        "ALTER DATABASE {db} CONNECTION LIMIT 77",
        "ALTER DATABASE {db} IS_TEMPLATE true",
        "GRANT CONNECT ON DATABASE {db} TO PUBLIC",
        "GRANT CREATE ON DATABASE {db} TO {stranger} WITH GRANT OPTION",
        "GRANT CONNECT ON DATABASE {db} TO {db}_owner WITH GRANT OPTION",
        "REVOKE ALL ON DATABASE {db} FROM {db}_rw",
        "REVOKE CONNECT ON DATABASE {db} FROM {login}",
        "ALTER ROLE {login} SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS INHERIT",
        "ALTER ROLE {login} NOLOGIN",
        "ALTER ROLE {login} CONNECTION LIMIT 77",
        "ALTER ROLE {login} VALID UNTIL '2001-01-01'",
        "ALTER ROLE {login} PASSWORD 'changed'",
        "ALTER ROLE {login} PASSWORD NULL",
        "ALTER ROLE {login} IN DATABASE {db} RESET role",
        "ALTER ROLE {login} IN DATABASE {db} SET role = none",
        "ALTER ROLE {login} IN DATABASE {db} SET statement_timeout = 0",
        "ALTER ROLE {login} IN DATABASE postgres SET work_mem = '1GB'",
        "ALTER ROLE {login} SET \"my.setting\" = 'on'",
        "ALTER ROLE {db}_owner SET statement_timeout = 0",
        "ALTER ROLE {db}_owner LOGIN SUPERUSER",
        "REVOKE {db}_owner FROM {login}",
        "GRANT {db}_owner TO {login} WITH ADMIN OPTION",
        "GRANT {db}_owner TO {stranger}",
        "GRANT {login} TO {stranger}",
        "GRANT {db}_owner TO {stranger} WITH ADMIN OPTION; SET ROLE {stranger}; \
         GRANT {db}_owner TO {second}; RESET ROLE",
        "GRANT {db}_owner TO {stranger} WITH ADMIN OPTION; GRANT {db}_owner TO {login} GRANTED BY {stranger}",
        "GRANT {login} TO {stranger} WITH ADMIN OPTION; SET ROLE {stranger}; \
         GRANT {login} TO {second} WITH ADMIN OPTION; SET ROLE {second}; GRANT {login} TO {db}_ro; RESET ROLE",
        "GRANT pg_read_server_files TO {login}",
        "GRANT {stranger} TO {db}_owner",
        "DROP OWNED BY {login}; DROP ROLE {login}",
        "ALTER DATABASE {db} ALLOW_CONNECTIONS false",
    ];
    let of_database = [
        "GRANT ALL ON SCHEMA public TO PUBLIC",
        "GRANT CREATE ON SCHEMA public TO {db}_ro",
        "REVOKE ALL ON SCHEMA public FROM {db}_owner",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {db}_owner REVOKE ALL ON TABLES FROM {db}_ro",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {db}_owner REVOKE ALL ON SCHEMAS FROM {db}_rw, {db}_ro",
        "GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION lo_from_bytea(oid, bytea) FROM {db}_owner",
    ];
    let filled = |sql: &str| {
        let sql = sql.replace("{db}", name).replace("{login}", &login);
        sql.replace("{stranger}", &stranger).replace("{second}", &second)
    };
    for sql in of_database {
        run(&mut inside, &filled(sql)).await;
        assert_healed(&fixture, &spec, &filled(sql), &right).await;
    }
    drop(inside);
    for sql in of_server {
        run(&mut admin, &filled(sql)).await;
        assert_healed(&fixture, &spec, &filled(sql), &right).await;
    }
}

async fn assert_healed(
    fixture: &Fixture,
    spec: &tenantry::controller::database::want::DatabaseSpec,
    drift: &str,
    right: &str,
) {
    let plan = fixture.converge(spec).await;
    assert!(!plan.is_empty(), "not noticed: {drift}");
    assert_eq!(fixture.plan(spec).await.map(|it| it.to_string()), Ok(String::new()), "after {drift}\n{plan}");
    assert_eq!(settled(fixture, spec).await, right, "after {drift}\n{plan}");
}

async fn a_suspended_database_ends_sessions_and_refuses_logins_until_it_is_resumed(version: Version) {
    let fixture = Fixture::shared(version).await;
    let mut spec = want(&["app"]);
    fixture.converge(&spec).await;
    let right = settled(&fixture, &spec).await;
    let (name, login) = (spec.physical.as_str().to_owned(), login(&spec, 0));
    let mut tenant = fixture.tenant(&login, &name).await.unwrap();
    run(&mut tenant, "CREATE TABLE kept AS SELECT 'row' AS value").await;

    spec.logins_allowed = false;
    assert_eq!(fixture.converge(&spec).await.batches.len(), 2);
    assert_eq!(fixture.plan(&spec).await, Ok(Plan::default()));
    assert!(sqlx::raw_sql("SELECT 1").execute(&mut tenant).await.is_err(), "the session has ended");
    assert_eq!(sqlstate(fixture.tenant(&login, &name).await), "28000");

    spec.logins_allowed = true;
    assert_eq!(fixture.converge(&spec).await.batches.len(), 1);
    assert_eq!(settled(&fixture, &spec).await, right);
    let mut tenant = fixture.tenant(&login, &name).await.unwrap();
    assert_eq!(texts(&mut tenant, "SELECT value FROM kept").await, ["row"]);
}

async fn a_released_database_refuses_logins_keeps_everything_and_comes_back(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = want(&["app"]);
    fixture.converge(&spec).await;
    let right = settled(&fixture, &spec).await;
    let (name, login) = (spec.physical.as_str(), login(&spec, 0));
    let mut tenant = fixture.tenant(&login, name).await.unwrap();
    run(&mut tenant, "CREATE TABLE kept AS SELECT 'row' AS value").await;

    fixture.release(&spec).await;
    assert!(sqlx::raw_sql("SELECT 1").execute(&mut tenant).await.is_err(), "the session has ended");
    assert_eq!(sqlstate(fixture.tenant(&login, name).await), "28000");
    let marker = fixture.facts(&spec).await.markers.remove(0);
    assert_eq!((marker.phase, marker.generation), (Phase::Released, 2));
    assert_eq!(fixture.release(&spec).await, Plan::default());

    fixture.converge(&spec).await;
    assert_eq!(settled(&fixture, &spec).await, right.replace("generation: 1", "generation: 3"));
    let mut tenant = fixture.tenant(&login, name).await.unwrap();
    assert_eq!(texts(&mut tenant, "SELECT value FROM kept").await, ["row"]);
}

async fn what_is_not_ours_is_a_conflict_and_stays_untouched(version: Version) {
    let fixture = Fixture::shared(version).await;
    let mut admin = fixture.superuser("postgres").await;
    let spec = want(&["app"]);
    let (name, login) = (spec.physical.as_str().to_owned(), login(&spec, 0));
    let conflict = |what, name: &str| Err(Conflict::NameConflict { what, name: name.into() });
    for (what, object, create, drop) in [
        ("database", &name, "CREATE DATABASE", "DROP DATABASE"),
        ("role", &format!("{name}_ro"), "CREATE ROLE", "DROP ROLE"),
        ("role", &login, "CREATE ROLE", "DROP ROLE"),
    ] {
        run(&mut admin, &format!("{create} {object}")).await;
        let before = settled(&fixture, &spec).await;
        assert_eq!(fixture.plan(&spec).await, conflict(what, object));
        assert_eq!(settled(&fixture, &spec).await, before);
        run(&mut admin, &format!("{drop} {object}")).await;
    }
    fixture.converge(&spec).await;
}

async fn all_databases_of_a_server_are_read_with_six_statements(version: Version) {
    let fixture = Fixture::shared(version).await;
    let specs: Vec<_> = (0..3).map(|_| want(&["app"])).collect();
    for spec in &specs {
        fixture.converge(spec).await;
    }
    let mut reader = fixture.pool.operator().await.unwrap();
    let before = fixture.statements.get();
    let facts = catalog(&mut reader, &Scope::all_databases()).await.unwrap();
    reader.release().await;
    assert_eq!(fixture.statements.get() - before, 6);
    let names: BTreeSet<&str> = facts.databases.keys().map(String::as_str).collect();
    assert!(specs.iter().all(|spec| names.contains(spec.physical.as_str())));
}
