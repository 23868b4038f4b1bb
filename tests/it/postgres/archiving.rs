//! What an archive of a tombstone is made with: it reaches the tombstone and its scratch database and nothing else, and
//! nothing of it is left, whatever happens in between.

use std::sync::Arc;

use rand::RngExt;
use sqlx::{Connection, PgConnection};
use tenantry::controller::database::archiving::{Withdrawal, admit, login, restorer, scratches, withdraw};
use tenantry::controller::database::plan::Plan;
use tenantry::controller::database::tombstone::seal;
use tenantry::controller::database::want::DatabaseSpec;
use tenantry::postgres::guard::Watch;
use tenantry::postgres::guard::decide::Who;
use tenantry::postgres::observe::{self, Markers, Scope, catalog, markers};
use tenantry::postgres::pool::{Member, PoolName, archive_of};
use tenantry::postgres::tombstone::TombstoneName;

use super::dropping::{archive, finish, left, time_passes};
use super::fixture::{Fixture, PASSWORD, run, sqlstate, texts, verifier, want};
use super::tombstone::{apart_of, die, execute, planned, released};
use crate::support::postgres::Version;

on_every_version! {
    an_archive_reaches_the_tombstone_and_its_scratch_database_as_the_tenant_and_nothing_else,
    a_crash_at_any_effect_leaves_nothing_that_is_not_found_and_taken_back,
    an_archive_is_tried_again_and_what_it_was_made_with_goes_with_the_database,
    an_admin_that_is_no_superuser_makes_and_takes_back_the_same,
}

/// A tombstone, and a new name for a scratch database.
async fn buried(fixture: &Fixture) -> (DatabaseSpec, PoolName) {
    let spec = released(fixture).await;
    execute(fixture, &planned(fixture, &spec).await, None).await.unwrap();
    (spec, PoolName::clone_of(rand::rng().random()))
}

async fn admission(fixture: &Fixture, spec: &DatabaseSpec, scratch: &PoolName) -> Plan {
    let facts = apart_of(fixture, spec).await;
    admit(&spec.physical, &facts.markers[0], &facts, scratch, verifier()).unwrap()
}

async fn members(fixture: &Fixture) -> Vec<Member> {
    let mut reader = fixture.pool.operator().await.unwrap();
    let members = observe::pool(&mut reader).await.unwrap();
    reader.release().await;
    members
}

async fn withdrawal(fixture: &Fixture, spec: &DatabaseSpec) -> Plan {
    let members = members(fixture).await;
    let own = scratches(&spec.physical, &members);
    let mut reader = fixture.pool.operator().await.unwrap();
    let mut scope = Scope::database(&spec.physical).and_tombstone(&TombstoneName::of(&spec.physical));
    for member in &own {
        scope = scope.and_member(&member.name);
    }
    let facts = catalog(&mut reader, &scope).await.unwrap();
    reader.release().await;
    let Withdrawal { plan, kept, coming: _ } = withdraw(&spec.physical, &facts, &own).unwrap();
    assert_eq!(kept, None);
    plan
}

/// Everything of an archive that there is: scratch databases, rows, and whether the login is let in anywhere.
async fn traces(fixture: &Fixture, spec: &DatabaseSpec, scratch: &PoolName) -> Vec<String> {
    let mut operator = fixture.superuser("tenantry").await;
    let (login, restorer) = (login(&spec.physical), restorer(&spec.physical));
    let mut found = vec![];
    for sql in [
        format!("SELECT datname::text FROM pg_database WHERE datname = '{scratch}'"),
        format!("SELECT layout FROM tenantry.pool WHERE name = '{scratch}'"),
        format!(
            "SELECT rolname::text FROM pg_roles WHERE rolname IN ('{login}', '{restorer}') AND rolcanlogin"
        ),
        format!(
            "SELECT datname::text FROM pg_database, aclexplode(datacl) a \
             WHERE pg_get_userbyid(a.grantee) IN ('{login}', '{restorer}') ORDER BY 1"
        ),
    ] {
        found.extend(texts(&mut operator, &sql).await);
    }
    found
}

async fn enter(fixture: &Fixture, spec: &DatabaseSpec, database: &str) -> Result<PgConnection, sqlx::Error> {
    fixture.postgres.connect(&login(&spec.physical), PASSWORD, database).await
}

async fn an_archive_reaches_the_tombstone_and_its_scratch_database_as_the_tenant_and_nothing_else(
    version: Version,
) {
    let fixture = Fixture::shared(version).await;
    let (spec, scratch) = buried(&fixture).await;
    let (neighbour, group) = (want(&["app"]), format!("{}_owner", spec.physical));
    fixture.converge(&neighbour).await;
    execute(&fixture, &admission(&fixture, &spec, &scratch).await, None).await.unwrap();

    let buried = format!("tombstone_{}", spec.physical);
    let mut source = enter(&fixture, &spec, &buried).await.unwrap();
    assert_eq!(texts(&mut source, "SELECT current_user::text").await, std::slice::from_ref(&group));
    assert_eq!(texts(&mut source, "SELECT value FROM kept").await, ["row"]);
    let restorer = restorer(&spec.physical);
    let mut into = fixture.postgres.connect(&restorer, PASSWORD, scratch.as_str()).await.unwrap();
    assert_eq!(texts(&mut into, "SELECT current_user::text").await, [group]);
    let back = fixture.postgres.connect(&restorer, PASSWORD, &buried).await;
    assert_eq!(sqlstate(back), "42501", "what restores has no way into what is archived");
    run(&mut into, "CREATE TABLE kept (value text); CREATE SCHEMA more").await;
    for database in [neighbour.physical.as_str(), "postgres", "template1", "tenantry"] {
        assert_eq!(sqlstate(enter(&fixture, &spec, database).await), "42501", "{database}");
    }
    let tenant = fixture.tenant(&super::fixture::login(&spec, 0), &buried).await;
    assert_eq!(sqlstate(tenant), "28000", "the tenant's own login stays refused");

    // The guard knows it from a tenant's, while its scratch database is there.
    run(&mut source, "SELECT pg_advisory_lock(7)").await;
    let look = Watch::open(&fixture.pool).await.unwrap().look().await.unwrap();
    let own = |who: &Who| matches!(who, Who::Tenant { login, .. } if *login == self::login(&spec.physical));
    let seen: Vec<Who> = look.sessions.into_values().map(|session| session.who).filter(own).collect();
    let (roles, database) = (spec.physical.to_string(), spec.physical.to_string());
    assert_eq!(seen, [Who::Tenant { login: login(&spec.physical), roles, database, archives: true }]);
    source.close().await.unwrap();

    // One of its sessions has not ended, and is ended.
    execute(&fixture, &withdrawal(&fixture, &spec).await, None).await.unwrap();
    assert_eq!(traces(&fixture, &spec, &scratch).await, Vec::<String>::new());
    assert_eq!(sqlstate(enter(&fixture, &spec, &buried).await), "28000");
    assert_eq!(withdrawal(&fixture, &spec).await, Plan::default(), "there is nothing more to take back");
}

async fn a_crash_at_any_effect_leaves_nothing_that_is_not_found_and_taken_back(version: Version) {
    let fixture = Arc::new(Fixture::shared(version).await);
    let (spec, scratch) = buried(&fixture).await;
    let effects = admission(&fixture, &spec, &scratch).await.batches.len();
    for number in 1..=u64::try_from(effects).unwrap() {
        for done in [false, true] {
            let (spec, scratch) = buried(&fixture).await;
            let plan = admission(&fixture, &spec, &scratch).await;
            die(&fixture, &plan, number, done).await;
            if (number, done) == (1, true) {
                // As far as the leader itself knows, the statement that makes the database may still run.
                execute(&fixture, &withdrawal(&fixture, &spec).await, None).await.unwrap();
                assert_eq!(traces(&fixture, &spec, &scratch).await, [archive_of(&spec.physical)]);
            }
            another_leads(&fixture, &scratch).await;
            execute(&fixture, &withdrawal(&fixture, &spec).await, None).await.unwrap();
            assert_eq!(
                traces(&fixture, &spec, &scratch).await,
                Vec::<String>::new(),
                "died at {number}, {done}"
            );
        }
    }
    execute(&fixture, &admission(&fixture, &spec, &scratch).await, None).await.unwrap();
    let effects = withdrawal(&fixture, &spec).await.batches.len();
    for number in 1..=u64::try_from(effects).unwrap() {
        for done in [false, true] {
            let (spec, scratch) = buried(&fixture).await;
            execute(&fixture, &admission(&fixture, &spec, &scratch).await, None).await.unwrap();
            let plan = withdrawal(&fixture, &spec).await;
            die(&fixture, &plan, number, done).await;
            execute(&fixture, &withdrawal(&fixture, &spec).await, None).await.unwrap();
            assert_eq!(
                traces(&fixture, &spec, &scratch).await,
                Vec::<String>::new(),
                "died at {number}, {done}"
            );
        }
    }
    execute(&fixture, &withdrawal(&fixture, &spec).await, None).await.unwrap();
}

/// What there is of the scratch database is from before the epoch was raised.
async fn another_leads(fixture: &Fixture, scratch: &PoolName) {
    let sql = format!("UPDATE tenantry.pool SET epoch = epoch - 1 WHERE name = '{scratch}'");
    run(&mut fixture.superuser("tenantry").await, &sql).await;
}

async fn an_archive_is_tried_again_and_what_it_was_made_with_goes_with_the_database(version: Version) {
    let fixture = Fixture::shared(version).await;
    let (spec, scratch) = buried(&fixture).await;
    for scratch in [scratch, PoolName::clone_of(rand::rng().random())] {
        execute(&fixture, &admission(&fixture, &spec, &scratch).await, None).await.unwrap();
        enter(&fixture, &spec, scratch.as_str()).await.unwrap().close().await.unwrap();
        let early = execute(&fixture, &seal(&spec.physical, archive(&fixture, &spec).await), None).await;
        assert!(early.is_err(), "its login is let in");
        execute(&fixture, &withdrawal(&fixture, &spec).await, None).await.unwrap();
    }
    let mut reader = fixture.pool.operator().await.unwrap();
    let row = markers(&mut reader, &Markers::Physical(spec.physical.as_str())).await.unwrap().remove(0);
    reader.release().await;
    assert!(row.logins.contains(&login(&spec.physical)), "{row:?}");
    execute(&fixture, &seal(&spec.physical, archive(&fixture, &spec).await), None).await.unwrap();
    time_passes(&fixture, &spec).await;
    finish(&fixture, &spec).await;
    assert_eq!(left(&fixture, &spec).await, Vec::<String>::new());
}

async fn an_admin_that_is_no_superuser_makes_and_takes_back_the_same(version: Version) {
    let limited = Fixture::limited(version).await;
    let (spec, scratch) = buried(&limited).await;
    execute(&limited, &admission(&limited, &spec, &scratch).await, None).await.unwrap();
    let mut into = enter(&limited, &spec, scratch.as_str()).await.unwrap();
    run(&mut into, "CREATE TABLE kept (value text)").await;
    execute(&limited, &withdrawal(&limited, &spec).await, None).await.unwrap();
    assert_eq!(traces(&limited, &spec, &scratch).await, Vec::<String>::new());
}
