//! What a tenant's login can and cannot do on a server that it shares.

use super::fixture::{Fixture, PASSWORD, login, run, sqlstate, texts, try_run, want};
use crate::support::postgres::Version;

on_every_version! {
    a_tenant_enters_its_own_database_and_no_other,
    what_one_login_makes_belongs_to_all_of_the_database,
    a_tenant_neither_owns_its_database_nor_opens_it_to_others,
    no_password_reaches_the_servers_log,
}

async fn a_tenant_enters_its_own_database_and_no_other(version: Version) {
    let fixture = Fixture::shared(version).await;
    let (one, two) = (want(&["app"]), want(&["app"]));
    fixture.converge(&one).await;
    fixture.converge(&two).await;
    let login = login(&one, 0);
    drop(fixture.tenant(&login, one.physical.as_str()).await.unwrap());
    for other in [two.physical.as_str(), "postgres", "template1", "tenantry"] {
        assert_eq!(sqlstate(fixture.tenant(&login, other).await), "42501", "{other}");
    }
}

async fn what_one_login_makes_belongs_to_all_of_the_database(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = want(&["app", "job"]);
    fixture.converge(&spec).await;
    let name = spec.physical.as_str();
    let mut app = fixture.tenant(&login(&spec, 0), name).await.unwrap();
    let mut job = fixture.tenant(&login(&spec, 1), name).await.unwrap();
    run(&mut app, "CREATE SCHEMA area; CREATE TABLE area.note (id serial, text text); CREATE TABLE plain ()")
        .await;
    run(&mut job, "ALTER TABLE area.note ADD COLUMN more text; DROP TABLE plain").await;
    run(&mut job, "INSERT INTO area.note (text) VALUES ('by the other')").await;
    let owner = "SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'area'";
    assert_eq!(texts(&mut app, owner).await, [format!("{name}_owner")]);
    run(&mut app, "SELECT lo_create(0)").await;
}

async fn a_tenant_neither_owns_its_database_nor_opens_it_to_others(version: Version) {
    let fixture = Fixture::shared(version).await;
    let (one, two) = (want(&["app"]), want(&["app"]));
    fixture.converge(&one).await;
    fixture.converge(&two).await;
    let name = one.physical.as_str();
    let mut app = fixture.tenant(&login(&one, 0), name).await.unwrap();
    let other = login(&two, 0);
    for sql in [
        "DROP DATABASE {db}",
        "ALTER DATABASE {db} RENAME TO mine",
        "ALTER DATABASE {db} CONNECTION LIMIT -1",
        "ALTER DATABASE {db} SET search_path = evil",
        "ALTER DATABASE {db} OWNER TO {db}_owner",
        "ALTER ROLE {other} PASSWORD 'mine'",
        "ALTER ROLE {db}_owner LOGIN",
        "GRANT {db}_owner TO {other}",
        "SET ROLE tenantry_databases",
        "SET ROLE {other}",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT rolpassword FROM pg_authid",
        "CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION mine()",
    ] {
        let sql = sql.replace("{db}", name).replace("{other}", &other);
        let state = sqlstate(try_run(&mut app, &sql).await);
        assert!(["42501", "42883"].contains(&state.as_str()), "{sql}: {state}");
    }
    // PostgreSQL answers a grant that the grantor may not make with a warning: what counts is the catalog.
    drop(try_run(&mut app, &format!("GRANT CONNECT ON DATABASE {name} TO PUBLIC")).await);
    assert_eq!(sqlstate(fixture.tenant(&other, name).await), "42501");
    assert!(fixture.plan(&one).await.unwrap().is_empty());
}

async fn no_password_reaches_the_servers_log(version: Version) {
    let fixture = Fixture::own(version);
    let gate = tenantry::postgres::execute::Gate::default();
    tenantry::postgres::bootstrap::bootstrap(&gate, &fixture.pool).await.unwrap();
    let spec = want(&["app"]);
    fixture.converge(&spec).await;
    drop(fixture.tenant(&login(&spec, 0), spec.physical.as_str()).await.unwrap());
    let log = fixture.postgres.log();
    assert!(log.contains("CREATE DATABASE"), "the server logs statements");
    assert!(!log.contains(PASSWORD) && !log.contains(&PASSWORD.replace('\'', "''")));
}
