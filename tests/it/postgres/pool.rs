//! The warm pool on real servers: a database from it is like any other, and nothing of it is ever left behind.

use std::sync::Arc;

use rand::RngExt;
use tenantry::controller::database::look;
use tenantry::controller::database::plan::Plan;
use tenantry::controller::database::pool::{
    adopt, is_whole, layout, prepare_clone, prepare_template, retire,
};
use tenantry::controller::database::want::{CredentialSpec, DatabaseSpec, PasswordWish};
use tenantry::controller::tenant_database::room;
use tenantry::postgres::execute::{ExecuteError, Probe};
use tenantry::postgres::facts::{Facts, Server};
use tenantry::postgres::observe::{self, Markers, Scope, catalog, markers};
use tenantry::postgres::pool::{Member, MemberPhase, PoolName};
use tenantry::postgres::quote::Ident;
use tenantry::postgres::record::Cause;
use tenantry::postgres::scram::{Password, Verifier};
use tenantry::postgres::settings::{Setting, Settings, Value};
use tenantry::postgres::statement::Statement;

use super::converge::settled;
use super::crash::death;
use super::fixture::{Fixture, keeping_passwords, login, run, texts, verifier, want};
use crate::support::postgres::Version;

on_every_version! {
    a_database_from_the_pool_is_like_one_that_was_made_on_demand,
    taking_a_clone_is_one_transaction_in_nine_messages,
    a_crash_at_any_effect_of_preparing_leaves_nothing_that_is_not_found_and_dropped,
    preparing_keeps_nobody_from_logging_in_and_makes_less_to_copy,
    a_crash_before_or_after_a_clone_is_taken_converges,
    a_clone_is_taken_once_and_only_as_it_was_prepared,
    only_what_is_recorded_closed_and_ours_is_dropped,
    an_admin_that_is_no_superuser_has_a_pool_and_sets_what_it_was_granted,
    of_many_at_once_no_more_get_a_database_than_there_is_room_for,
}

/// Names that the tests of a shared server do not share.
fn number() -> u64 {
    rand::rng().random()
}

async fn server(fixture: &Fixture) -> Server {
    let mut reader = fixture.pool.operator().await.unwrap();
    let server = observe::server(&mut reader).await.unwrap();
    reader.release().await;
    server
}

async fn execute(fixture: &Fixture, plan: &Plan, probe: Option<Probe>) -> Result<(), ExecuteError> {
    fixture.gate(probe).open(&fixture.pool, Cause::new("test", "pool")).await?.run(&plan.batches).await
}

/// Makes a template, and a clone of it.
async fn prepared(fixture: &Fixture) -> (PoolName, PoolName) {
    let server = server(fixture).await;
    let layout = layout(&server).unwrap();
    let template = PoolName::template_of(number());
    execute(fixture, &prepare_template(&template, &layout, &server).unwrap(), None).await.unwrap();
    let clone = PoolName::clone_of(number());
    execute(fixture, &prepare_clone(&clone, &template, &layout, &server, &verifier()).unwrap(), None)
        .await
        .unwrap();
    (template, clone)
}

async fn facts(fixture: &Fixture, spec: &DatabaseSpec, clone: &PoolName) -> Facts {
    let mut reader = fixture.pool.operator().await.unwrap();
    let scope = Scope::database(&spec.physical).and_member(clone);
    let facts = catalog(&mut reader, &scope).await.unwrap();
    reader.release().await;
    facts
}

async fn adoption(fixture: &Fixture, spec: &DatabaseSpec, clone: &PoolName) -> Plan {
    adopt(spec, &facts(fixture, spec, clone).await, clone).unwrap().unwrap()
}

async fn row(fixture: &Fixture, name: &PoolName) -> Option<Member> {
    let mut reader = fixture.pool.operator().await.unwrap();
    let members = observe::pool(&mut reader).await.unwrap();
    reader.release().await;
    members.into_iter().find(|member| member.name == *name)
}

/// What the plan of dropping that database is.
async fn retirement(fixture: &Fixture, name: &PoolName) -> Option<Plan> {
    let member = row(fixture, name).await?;
    let mut reader = fixture.pool.operator().await.unwrap();
    let facts = catalog(&mut reader, &Scope::member(name)).await.unwrap();
    reader.release().await;
    retire(&member, &facts)
}

async fn drop_all(fixture: &Fixture, names: &[&PoolName]) {
    for name in names {
        if let Some(plan) = retirement(fixture, name).await {
            execute(fixture, &plan, None).await.unwrap();
        }
        assert_eq!(left(fixture, name).await, Vec::<String>::new());
    }
}

/// Everything on the server that has that name in it.
async fn left(fixture: &Fixture, name: &PoolName) -> Vec<String> {
    let mut operator = fixture.superuser("tenantry").await;
    let sql = format!(
        "SELECT 'database ' || datname FROM pg_database WHERE starts_with(datname, '{name}') \
         UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE starts_with(rolname, '{name}') \
         UNION ALL SELECT 'row ' || name FROM tenantry.pool WHERE name = '{name}' ORDER BY 1"
    );
    texts(&mut operator, &sql).await
}

/// The rows are as old as they have to be before a database that is not there counts as never made.
async fn time_passes(fixture: &Fixture, name: &PoolName) {
    let sql = format!("UPDATE tenantry.pool SET changed_at = now() - interval '61 s' WHERE name = '{name}'");
    run(&mut fixture.superuser("tenantry").await, &sql).await;
}

async fn a_database_from_the_pool_is_like_one_that_was_made_on_demand(version: Version) {
    let fixture = Fixture::shared(version).await;
    let made = want(&["app", "job"]);
    fixture.converge(&made).await;
    let right = settled(&fixture, &made).await;

    let (template, clone) = prepared(&fixture).await;
    let spec = want(&["app", "job"]);
    let plan = adoption(&fixture, &spec, &clone).await;
    execute(&fixture, &plan, None).await.unwrap();
    assert_eq!(settled(&fixture, &spec).await, right);
    assert_eq!(fixture.plan(&spec).await, Ok(Plan::default()), "nothing is left to do");
    assert_eq!(left(&fixture, &clone).await, Vec::<String>::new(), "it has no other name any more");

    let mut tenant = fixture.tenant(&login(&spec, 0), spec.physical.as_str()).await.unwrap();
    run(&mut tenant, "CREATE TABLE t AS SELECT 'mine' AS value").await;
    let mut other = fixture.tenant(&login(&spec, 1), spec.physical.as_str()).await.unwrap();
    assert_eq!(texts(&mut other, "SELECT value FROM t").await, ["mine"]);
    drop_all(&fixture, &[&template]).await;
}

async fn taking_a_clone_is_one_transaction_in_nine_messages(version: Version) {
    let fixture = Fixture::shared(version).await;
    let (template, clone) = prepared(&fixture).await;
    let spec = DatabaseSpec { settings: [(Setting::LogMinMessages, Value::Panic)].into(), ..want(&["app"]) };
    let gate = fixture.gate(None);
    let from = fixture.postgres.log().len();
    // As a claim's turn does it, from the first look to the last.
    let mut session = gate.open(&fixture.pool, Cause::new("test", "pool")).await.unwrap();
    let (namespace, name) = (&spec.claim.namespace, &spec.claim.name);
    let rows = Markers::OfClaim { tenant_uid: &spec.tenant_uid, namespace, name };
    markers(session.reader(), &rows).await.unwrap();
    let facts = look::beside(session.reader(), &spec.physical, &clone).await.unwrap();
    let plan = adopt(&spec, &facts, &clone).unwrap().unwrap();
    // Another process than the one that has made the clone does not know its password, and sets one.
    let other = |password: PasswordWish| {
        let credential = CredentialSpec { password, ..spec.credentials[0].clone() };
        adopt(&DatabaseSpec { credentials: vec![credential], ..spec.clone() }, &facts, &clone).unwrap()
    };
    let verifier = Verifier::derive(&Password::new("another"), b"salt", 1);
    let role = Ident::parse(&login(&spec, 0)).unwrap();
    let sets = Statement::SetPassword { role, verifier: verifier.clone() };
    let mut statements = other(PasswordWish::Set(verifier)).unwrap().batches.remove(0).statements;
    statements.retain(|statement| *statement != sets);
    assert_eq!(statements, plan.batches[0].statements);
    assert_eq!(other(PasswordWish::Keep), None, "nobody has the password that a Secret would have to hold");
    let before = fixture.statements.get();
    let written = session.write(&plan.batches).await.unwrap();
    // Fourteen, BEGIN and COMMIT; the fence's lock, its epoch and its release.
    assert_eq!(fixture.statements.get() - before, 16 + 3);
    // The marker rows; server, databases, roles, settings and memberships; the fence; the transaction; its COMMIT.
    assert_eq!(messages(&fixture.postgres.log()[from..], &clone), 1 + 5 + 1 + 1 + 1);
    assert_eq!(fixture.facts(&spec).await.markers, Vec::from_iter(written), "nobody has to read it back");

    let masked = plan.to_string().replace(spec.physical.as_str(), "t").replace(clone.as_str(), "clone");
    let masked = masked.replace(&spec.tenant_uid, "UID").replace(&spec.tenant_id, "ID");
    assert_eq!(masked, include_str!("pool.sql"));
    drop_all(&fixture, &[&template]).await;
}

/// Messages in a server's log of the session that took the clone.
fn messages(log: &str, clone: &PoolName) -> usize {
    let process = |line: &str| line.split(['[', ']']).nth(1).map(str::to_owned);
    let sql = format!("DELETE FROM tenantry.pool WHERE name = '{clone}'");
    let begins = |line: &&str| line.contains("LOG:  statement: ") || line.contains("LOG:  execute ");
    let lines: Vec<&str> = log.lines().collect();
    let taken = lines.iter().position(|line| line.contains(&sql)).expect("the clone is taken");
    // The statements of a transaction are lines of one message, which begins above.
    let of = lines[..taken].iter().rfind(|line| begins(line)).and_then(|line| process(line));
    lines.iter().filter(|line| begins(line) && process(line) == of).count()
}

async fn a_crash_at_any_effect_of_preparing_leaves_nothing_that_is_not_found_and_dropped(version: Version) {
    let fixture = Arc::new(Fixture::shared(version).await);
    let (server, layout) = {
        let server = server(&fixture).await;
        let layout = layout(&server).unwrap();
        (server, layout)
    };
    let (whole, clone) = prepared(&fixture).await;
    let template = |name: &PoolName| prepare_template(name, &layout, &server).unwrap();
    let copy = |name: &PoolName| prepare_clone(name, &whole, &layout, &server, &verifier()).unwrap();
    let effects = [template(&whole).batches.len(), copy(&clone).batches.len()];
    assert_eq!(effects, [6, 5]);
    for (template_too, effects) in [(true, effects[0]), (false, effects[1])] {
        for effect in 1..=effects {
            for done in [false, true] {
                let name =
                    if template_too { PoolName::template_of(number()) } else { PoolName::clone_of(number()) };
                let plan = if template_too { template(&name) } else { copy(&name) };
                let (fixture, probe) = (Arc::clone(&fixture), Some(death(effect as u64, done)));
                let dying = Arc::clone(&fixture);
                let died = tokio::spawn(async move { execute(&dying, &plan, probe).await }).await;
                assert!(died.unwrap_err().is_panic(), "effect {effect} has to be reached");
                let is_ready = row(&fixture, &name).await.is_some_and(|row| row.phase == MemberPhase::Ready);
                assert_eq!(is_ready, effect == effects && done, "effect {effect}, done: {done}");
                time_passes(&fixture, &name).await;
                drop_all(&fixture, &[&name]).await;
            }
        }
    }
    // Dropping, too, is gone on with.
    for effect in 1..=3 {
        for done in [false, true] {
            let name = PoolName::clone_of(number());
            execute(&fixture, &copy(&name), None).await.unwrap();
            let plan = retirement(&fixture, &name).await.unwrap();
            assert_eq!(plan.batches.len(), 3);
            let (dying, probe) = (Arc::clone(&fixture), Some(death(effect, done)));
            let died = tokio::spawn(async move { execute(&dying, &plan, probe).await }).await;
            assert!(died.unwrap_err().is_panic(), "effect {effect} has to be reached");
            drop_all(&fixture, &[&name]).await;
        }
    }
    drop_all(&fixture, &[&whole, &clone]).await;
}

async fn preparing_keeps_nobody_from_logging_in_and_makes_less_to_copy(version: Version) {
    let fixture = Fixture::shared(version).await;
    let mut reader = fixture.superuser("postgres").await;
    let shared = "SELECT oid::regclass::text FROM pg_class WHERE relisshared AND relkind = 'r'";
    let shared = texts(&mut reader, shared).await.join(", ");
    // As any session does that looks something up in them: only who wants them exclusively waits for that.
    run(&mut reader, &format!("BEGIN; LOCK TABLE {shared} IN ACCESS SHARE MODE")).await;
    let (template, clone) = prepared(&fixture).await;
    run(&mut reader, "COMMIT").await;

    let size = format!("SELECT (10 * pg_database_size('{clone}') / pg_database_size('template0'))::text");
    assert_eq!(
        texts(&mut reader, &size).await,
        ["8"],
        "tenths of what a database takes that was made on demand"
    );
    drop_all(&fixture, &[&template, &clone]).await;
}

async fn a_crash_before_or_after_a_clone_is_taken_converges(version: Version) {
    let fixture = Arc::new(Fixture::shared(version).await);
    let made = want(&["app"]);
    fixture.converge(&made).await;
    let right = settled(&fixture, &made).await;
    for done in [false, true] {
        let (template, clone) = prepared(&fixture).await;
        let spec = want(&["app"]);
        let plan = adoption(&fixture, &spec, &clone).await;
        assert_eq!(plan.batches.len(), 1);
        let (dying, probe) = (Arc::clone(&fixture), Some(death(1, done)));
        let died = tokio::spawn(async move { execute(&dying, &plan, probe).await }).await;
        assert!(died.unwrap_err().is_panic());
        // The next turn finds its database, or the clone that it would have become.
        if done {
            assert_eq!(fixture.plan(&spec).await, Ok(Plan::default()));
            assert_eq!(left(&fixture, &clone).await, Vec::<String>::new());
        } else {
            let again = adoption(&fixture, &spec, &clone).await;
            execute(&fixture, &again, None).await.unwrap();
        }
        assert_eq!(settled(&fixture, &spec).await, right, "done: {done}");
        drop_all(&fixture, &[&template]).await;
    }
}

async fn a_clone_is_taken_once_and_only_as_it_was_prepared(version: Version) {
    let fixture = Fixture::shared(version).await;
    let (template, clone) = prepared(&fixture).await;
    let mut admin = fixture.superuser("postgres").await;
    // Somebody has been at it.
    for (meddling, undone) in [
        ("ALTER DATABASE {c} ALLOW_CONNECTIONS true", "ALTER DATABASE {c} ALLOW_CONNECTIONS false"),
        ("ALTER DATABASE {c} OWNER TO postgres", "ALTER DATABASE {c} OWNER TO tenantry_databases"),
        ("ALTER ROLE {c}_rw LOGIN", "ALTER ROLE {c}_rw NOLOGIN"),
        ("ALTER ROLE {c}_ro SET statement_timeout = 0", "ALTER ROLE {c}_ro RESET ALL"),
        ("GRANT {c}_owner TO pg_monitor", "REVOKE {c}_owner FROM pg_monitor"),
        ("ALTER ROLE {c}_rw RENAME TO {c}_x", "ALTER ROLE {c}_x RENAME TO {c}_rw"),
        ("ALTER ROLE {c}_login LOGIN", "ALTER ROLE {c}_login NOLOGIN"),
        ("GRANT {c}_rw TO {c}_login", "REVOKE {c}_rw FROM {c}_login"),
    ] {
        let spec = want(&["app"]);
        run(&mut admin, &meddling.replace("{c}", clone.as_str())).await;
        let facts = facts(&fixture, &spec, &clone).await;
        assert!(!is_whole(&clone, &facts), "{meddling}");
        assert_eq!(adopt(&spec, &facts, &clone), Ok(None), "{meddling}");
        run(&mut admin, &undone.replace("{c}", clone.as_str())).await;
    }
    // Of two who have planned with it the second finds it gone, and nothing of what it does has happened.
    let (first, second) = (want(&["app"]), want(&["app"]));
    let plans = (adoption(&fixture, &first, &clone).await, adoption(&fixture, &second, &clone).await);
    execute(&fixture, &plans.0, None).await.unwrap();
    let late = execute(&fixture, &plans.1, None).await;
    assert!(matches!(late, Err(ExecuteError::MarkerChanged { .. })), "{late:?}");
    assert!(fixture.facts(&second).await.markers.is_empty());
    assert_eq!(fixture.plan(&first).await, Ok(Plan::default()));
    drop_all(&fixture, &[&template]).await;
}

async fn only_what_is_recorded_closed_and_ours_is_dropped(version: Version) {
    let fixture = Fixture::shared(version).await;
    let (template, clone) = prepared(&fixture).await;
    let mut admin = fixture.superuser("postgres").await;
    // Opened by hand, given to somebody else, marked as a template: somebody has made something of it.
    for (meddling, undone) in [
        ("ALTER DATABASE {c} ALLOW_CONNECTIONS true", "ALTER DATABASE {c} ALLOW_CONNECTIONS false"),
        ("ALTER DATABASE {c} OWNER TO postgres", "ALTER DATABASE {c} OWNER TO tenantry_databases"),
        ("ALTER DATABASE {c} IS_TEMPLATE true", "ALTER DATABASE {c} IS_TEMPLATE false"),
    ] {
        run(&mut admin, &meddling.replace("{c}", clone.as_str())).await;
        assert_eq!(retirement(&fixture, &clone).await, None, "{meddling}");
        run(&mut admin, &undone.replace("{c}", clone.as_str())).await;
    }
    // Whoever is about to make it may still be at it.
    let name = PoolName::clone_of(number());
    let mut operator = fixture.superuser("tenantry").await;
    let row = |epoch: &str| {
        format!(
            "INSERT INTO tenantry.pool (name, layout, phase, epoch) SELECT '{name}', 'x', 'Preparing', {epoch} FROM tenantry.epoch"
        )
    };
    run(&mut operator, &row("epoch")).await;
    assert_eq!(retirement(&fixture, &name).await, None);
    time_passes(&fixture, &name).await;
    drop_all(&fixture, &[&name]).await;
    // An earlier leader's sessions have ended before the next one could raise the epoch.
    run(&mut operator, &row("epoch - 1")).await;
    drop_all(&fixture, &[&name]).await;
    // A clone that was taken has no row, and its name is nobody's to drop.
    let spec = want(&["app"]);
    let planned = retirement(&fixture, &clone).await.unwrap();
    execute(&fixture, &adoption(&fixture, &spec, &clone).await, None).await.unwrap();
    assert_eq!(retirement(&fixture, &clone).await, None);
    let late = execute(&fixture, &planned, None).await;
    assert!(matches!(late, Err(ExecuteError::MarkerChanged { .. })), "{late:?}");
    assert_eq!(fixture.plan(&spec).await, Ok(Plan::default()), "it is as it was");
    // No row of ours can name what is not the pool's.
    let row =
        format!("INSERT INTO tenantry.pool (name, layout, phase) VALUES ('{}', 'x', 'Ready')", spec.physical);
    assert_eq!(super::fixture::sqlstate(super::fixture::try_run(&mut operator, &row).await), "23514");
    drop_all(&fixture, &[&template]).await;
}

async fn an_admin_that_is_no_superuser_has_a_pool_and_sets_what_it_was_granted(version: Version) {
    let limited = Fixture::limited(version).await;
    let made = want(&["app"]);
    limited.converge(&made).await;
    let right = settled(&limited, &made).await;
    let (template, clone) = prepared(&limited).await;
    let spec = want(&["app"]);
    execute(&limited, &adoption(&limited, &spec, &clone).await, None).await.unwrap();
    assert_eq!(settled(&limited, &spec).await, right);
    limited.tenant(&login(&spec, 0), spec.physical.as_str()).await.unwrap();

    let settings = Settings::from([
        (Setting::LogMinMessages, Value::Panic),
        (Setting::StatementTimeout, 60_000.into()),
        (Setting::TempFileLimit, 1_024.into()),
    ]);
    let spilling = keeping_passwords(&DatabaseSpec { settings, ..spec });
    // What it may not set, nor take back when a superuser has set it, holds nothing else up.
    let mut superuser = limited.superuser("postgres").await;
    for (superusers, right) in [
        ("GRANT SET ON PARAMETER work_mem TO limited", &["statement_timeout=60000"][..]),
        (
            "GRANT SET ON PARAMETER temp_file_limit TO limited",
            &["statement_timeout=60000", "temp_file_limit=1024"][..],
        ),
        (
            "GRANT SET ON PARAMETER log_min_messages TO limited",
            &["log_min_messages=panic", "statement_timeout=60000", "temp_file_limit=1024"][..],
        ),
    ] {
        run(&mut superuser, superusers).await;
        limited.converge(&spilling).await;
        assert_eq!(settings_of(&limited, &spilling).await, right);
        assert_eq!(limited.plan(&spilling).await, Ok(Plan::default()));
    }
    run(&mut superuser, "REVOKE SET ON PARAMETER temp_file_limit, log_min_messages FROM limited").await;
    let unlimited = DatabaseSpec { settings: Settings::new(), ..spilling };
    limited.converge(&unlimited).await;
    let left = ["log_min_messages=panic", "temp_file_limit=1024"];
    assert_eq!(settings_of(&limited, &unlimited).await, left);
    let (other, clone) = prepared(&limited).await;
    drop_all(&limited, &[&template, &other, &clone]).await;
}

/// What stands with a database.
async fn settings_of(fixture: &Fixture, spec: &DatabaseSpec) -> Vec<String> {
    let facts = fixture.facts(spec).await;
    let settings = &facts.databases[spec.physical.as_str()].settings;
    settings.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

async fn of_many_at_once_no_more_get_a_database_than_there_is_room_for(version: Version) {
    let fixture = Fixture::prepared(version).await;
    fixture.converge(&want(&["app"])).await;
    let specs: Vec<DatabaseSpec> = (0..4).map(|_| want(&["app"])).collect();
    let one = async |spec: &DatabaseSpec| {
        let mut plan = fixture.plan(spec).await.unwrap();
        room::hold(&mut plan.batches, Some(3));
        execute(&fixture, &plan, None).await
    };
    let all = futures::future::join_all(specs.iter().map(one)).await;
    let refused = all.iter().filter(|it| matches!(it, Err(ExecuteError::MarkerChanged { .. }))).count();
    assert_eq!((all.iter().filter(|it| it.is_ok()).count(), refused), (2, 2), "{all:?}");
    let mut operator = fixture.superuser("tenantry").await;
    let sql = "SELECT physical_name FROM tenantry.marker ORDER BY 1";
    let made = r"SELECT datname::text FROM pg_database WHERE datname LIKE 't\_%' ORDER BY 1";
    assert_eq!(texts(&mut operator, sql).await, texts(&mut operator, made).await);
}
