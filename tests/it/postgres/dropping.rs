//! A tombstone ends when everything is as it has to be, by the statements themselves, and takes nothing else along.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection;
use tenantry::controller::database::dropping::{
    Asked, Reread, drop_database, drop_on, due, is_there, remains,
};
use tenantry::controller::database::plan::{Conflict, Plan};
use tenantry::controller::database::tombstone::{exhume, purged, seal};
use tenantry::controller::database::want::DatabaseSpec;
use tenantry::postgres::execute::ExecuteError;
use tenantry::postgres::facts::Phase;
use tenantry::postgres::observe::{self, Coming};
use tenantry::postgres::tombstone::{Archive, Extent, OwnRole, Place, TombstoneName, Volume};

use super::converge::settled;
use super::fixture::{Fixture, keeping_passwords, login, run, texts, want};
use super::tombstone::{apart_of, die, execute, names, phase, planned, released, tombstone};
use crate::support::postgres::Version;

on_every_version! {
    an_archived_tombstone_goes_when_its_grace_has_ended_with_its_roles_its_row_and_nothing_else,
    a_crash_at_any_effect_of_a_drop_converges,
    nothing_is_dropped_unless_everything_is_as_it_has_to_be_at_that_moment,
    an_archive_counts_only_if_nobody_could_have_written_since_it_was_made,
    whoever_can_get_in_is_seen_however_they_came_to_it,
    nobody_who_is_connected_is_ended_and_nothing_is_dropped_under_them,
    a_drop_that_was_cut_short_is_brought_to_its_end_and_never_taken_back,
    a_role_that_something_depends_on_stays_and_is_named_until_that_is_gone,
    whatever_tenants_granted_to_a_role_is_taken_back_and_nothing_of_theirs_goes_with_it,
    what_a_role_owns_in_another_database_never_goes_with_its_grants,
    a_drop_that_was_intended_can_be_taken_back_until_the_database_is_gone,
    an_admin_that_is_no_superuser_counts_and_drops_what_it_made,
}

/// An archive of the tombstone as it is now.
pub(super) async fn archive(fixture: &Fixture, spec: &DatabaseSpec) -> Archive {
    let facts = apart_of(fixture, spec).await;
    Archive {
        object: format!("file:///archives/{}", spec.physical),
        sha256: "0f".repeat(32),
        bytes: 4096,
        rows: 1,
        taken_at: "2026-11-21T00:00:00Z".into(),
        system_identifier: facts.server.system_identifier.clone(),
        generation: facts.markers[0].generation,
        place: Some(volume()),
    }
}

fn volume() -> Place {
    Place::Volume(Volume { claim: "archives".into(), uid: "u".into() })
}

/// A tombstone with a verified archive, whose grace has ended.
async fn archived(fixture: &Fixture) -> DatabaseSpec {
    let spec = released(fixture).await;
    execute(fixture, &planned(fixture, &spec).await, None).await.unwrap();
    let archive = archive(fixture, &spec).await;
    execute(fixture, &seal(&spec.physical, archive), None).await.unwrap();
    time_passes(fixture, &spec).await;
    spec
}

pub(super) async fn time_passes(fixture: &Fixture, spec: &DatabaseSpec) {
    let sql = format!(
        "UPDATE tenantry.tombstone SET droppable_at = now() WHERE physical_name = '{}'",
        spec.physical
    );
    run(&mut fixture.superuser("tenantry").await, &sql).await;
}

/// What the operator would do next, and what keeps the rest.
async fn next(fixture: &Fixture, spec: &DatabaseSpec) -> (Plan, Vec<String>) {
    let facts = apart_of(fixture, spec).await;
    let marker = &facts.markers[0];
    if marker.phase == Phase::Dropping && !is_there(&spec.physical, &facts) {
        let roles = OwnRole::of(marker, &spec.physical);
        let mut reader = fixture.pool.operator().await.unwrap();
        let dependencies = observe::dependencies(&mut reader, &roles).await.unwrap();
        reader.release().await;
        let remains = remains(&spec.physical, marker, &facts, &dependencies).unwrap();
        return (remains.plan, remains.kept_by);
    }
    let asked = Asked { purge: purged(marker), since: 0 };
    let tombstone = tombstone(fixture, spec).await;
    let due = due(&spec.physical, marker, tombstone.as_ref(), asked).unwrap();
    let reread = Reread { sha256: due.proof.archive.sha256.clone(), place: volume(), meant: false };
    let warrant = due.warrant(Some(&volume()), Some(&reread)).unwrap();
    (drop_database(&warrant, &facts).unwrap(), vec![])
}

/// Does what there is to do until the row is gone.
pub(super) async fn finish(fixture: &Fixture, spec: &DatabaseSpec) {
    while !apart_of(fixture, spec).await.markers.is_empty() {
        let (plan, kept_by) = next(fixture, spec).await;
        assert_eq!(kept_by, Vec::<String>::new());
        execute(fixture, &plan, None).await.unwrap();
    }
}

/// Everything on the server that carries the database's name.
pub(super) async fn left(fixture: &Fixture, spec: &DatabaseSpec) -> Vec<String> {
    let name = spec.physical.as_str();
    let mut found = names(fixture, spec).await;
    let mut operator = fixture.superuser("tenantry").await;
    let roles = format!("SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, '{name}') ORDER BY 1");
    found.extend(texts(&mut operator, &roles).await);
    for table in ["marker", "tombstone", "credential"] {
        let rows = format!("SELECT '{table}' FROM tenantry.{table} WHERE physical_name = '{name}'");
        found.extend(texts(&mut operator, &rows).await);
    }
    found
}

fn changed(result: Result<(), ExecuteError>, what: &str) {
    let error = result.expect_err(what);
    assert!(matches!(error, ExecuteError::MarkerChanged { .. }), "{what}: {error:?}");
}

async fn an_archived_tombstone_goes_when_its_grace_has_ended_with_its_roles_its_row_and_nothing_else(
    version: Version,
) {
    let fixture = Fixture::shared(version).await;
    let other = want(&["app"]);
    fixture.converge(&other).await;
    let before = settled(&fixture, &other).await;
    let spec = archived(&fixture).await;
    let proof =
        tombstone(&fixture, &spec).await.unwrap().proof(&apart_of(&fixture, &spec).await.markers[0]).unwrap();
    assert_eq!(proof.archive, archive(&fixture, &spec).await);
    let oid = format!("SELECT oid::text FROM pg_database WHERE datname = 'tombstone_{}'", spec.physical);
    assert_eq!(texts(&mut fixture.superuser("postgres").await, &oid).await, [proof.database.to_string()]);

    finish(&fixture, &spec).await;
    assert_eq!(left(&fixture, &spec).await, Vec::<String>::new());
    assert_eq!(settled(&fixture, &other).await, before);
    // The tenant gets a new one of that name like any other.
    fixture.converge(&spec).await;
    assert!(fixture.plan(&spec).await.unwrap().is_empty());
}

async fn a_crash_at_any_effect_of_a_drop_converges(version: Version) {
    let fixture = Arc::new(Fixture::shared(version).await);
    for number in 1..=2 {
        for done in [false, true] {
            let spec = archived(&fixture).await;
            let (plan, _) = next(&fixture, &spec).await;
            assert_eq!(plan.batches.len(), 2, "{plan}");
            die(&fixture, &plan, number, done).await;
            let intended = number > 1 || done;
            let expected = if intended { Phase::Dropping } else { Phase::Tombstoned };
            assert_eq!(phase(&fixture, &spec).await.0, expected, "died at effect {number}, {done}");
            finish(&fixture, &spec).await;
            assert_eq!(left(&fixture, &spec).await, Vec::<String>::new(), "died at effect {number}, {done}");
        }
    }
    for done in [false, true] {
        let spec = archived(&fixture).await;
        execute(&fixture, &next(&fixture, &spec).await.0, None).await.unwrap();
        let (plan, _) = next(&fixture, &spec).await;
        assert_eq!(plan.batches.len(), 1, "{plan}");
        die(&fixture, &plan, 1, done).await;
        finish(&fixture, &spec).await;
        assert_eq!(left(&fixture, &spec).await, Vec::<String>::new(), "{done}");
    }
}

async fn nothing_is_dropped_unless_everything_is_as_it_has_to_be_at_that_moment(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = archived(&fixture).await;
    let (intent, _) = next(&fixture, &spec).await;
    let (name, login) = (spec.physical.as_str(), login(&spec, 0));
    let buried = format!("tombstone_{name}");
    let mut operator = fixture.superuser("tenantry").await;
    let held = format!("SELECT archive FROM tenantry.tombstone WHERE physical_name = '{name}'");
    let held = texts(&mut operator, &held).await.remove(0);
    let row = |set: &str| format!("UPDATE tenantry.tombstone SET {set} WHERE physical_name = '{name}'");
    let proof = |field: &str, value: &str| {
        row(&format!("archive = jsonb_set(archive::jsonb, '{{{field}}}', '{value}')::text"))
    };
    let restored = row(&format!("archive = '{held}'"));
    let database = |change: &str| format!("ALTER DATABASE {buried} {change}");
    let cases = [
        (row("droppable_at = now() + interval '1 minute'"), row("droppable_at = now()")),
        (row("archive = NULL"), restored.clone()),
        (proof("generation", "2"), restored.clone()),
        (proof("systemIdentifier", "\"1\""), restored.clone()),
        (proof("database", "1"), restored.clone()),
        (proof("sha256", "\"\""), restored.clone()),
        (proof("object", "\"\""), restored.clone()),
        (database("ALLOW_CONNECTIONS true"), database("ALLOW_CONNECTIONS false")),
        (database("IS_TEMPLATE true"), database("IS_TEMPLATE false")),
        (database("OWNER TO postgres"), database("OWNER TO tenantry_databases")),
        (format!("ALTER ROLE {login} LOGIN"), format!("ALTER ROLE {login} NOLOGIN")),
        (database("RENAME TO elsewhere"), format!("ALTER DATABASE elsewhere RENAME TO {buried}")),
    ];
    let attempt = async |plan: &Plan, expected: Phase| {
        for (meddling, undone) in &cases {
            let mut operator = fixture.superuser("tenantry").await;
            run(&mut operator, meddling).await;
            changed(execute(&fixture, plan, None).await, meddling);
            run(&mut operator, undone).await;
            assert_eq!(phase(&fixture, &spec).await.0, expected, "{meddling}");
            assert_eq!(names(&fixture, &spec).await, std::slice::from_ref(&buried), "{meddling}");
        }
    };
    attempt(&intent, Phase::Tombstoned).await;
    // Nor after the intent was recorded and the drop interrupted.
    let only = Plan { batches: intent.batches[..1].to_vec() };
    execute(&fixture, &only, None).await.unwrap();
    attempt(&next(&fixture, &spec).await.0, Phase::Dropping).await;
    changed(execute(&fixture, &intent, None).await, "the intent is recorded once");
    finish(&fixture, &spec).await;
}

async fn an_archive_counts_only_if_nobody_could_have_written_since_it_was_made(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = released(&fixture).await;
    let of_released = archive(&fixture, &spec).await;
    changed(execute(&fixture, &seal(&spec.physical, of_released.clone()), None).await, "it is no tombstone");
    execute(&fixture, &planned(&fixture, &spec).await, None).await.unwrap();
    let right = archive(&fixture, &spec).await;
    let login = login(&spec, 0);
    let buried = format!("tombstone_{}", spec.physical);
    let refused = async |archive: &Archive, what: &str| {
        changed(execute(&fixture, &seal(&spec.physical, archive.clone()), None).await, what);
        assert_eq!(tombstone(&fixture, &spec).await.unwrap().archive, None, "{what}");
        assert!(apart_of(&fixture, &spec).await.databases[&buried].allow_connections, "{what}");
    };
    refused(&of_released, "an archive from before it was buried").await;
    let elsewhere = Archive { system_identifier: "1".into(), ..right.clone() };
    refused(&elsewhere, "an archive of another server's").await;
    let mut admin = fixture.superuser("postgres").await;
    run(&mut admin, &format!("ALTER ROLE {login} LOGIN")).await;
    refused(&right, "a login is let in").await;
    run(&mut admin, &format!("ALTER ROLE {login} NOLOGIN")).await;
    let session = fixture.superuser(&buried).await;
    refused(&right, "somebody is connected").await;
    session.close().await.unwrap();
    let done = async || {
        execute(&fixture, &seal(&spec.physical, right.clone()), None).await.map_err(|e| e.to_string())
    };
    crate::support::wait_until(crate::controller::scene::A_MINUTE, "the session is gone", done).await;
    assert!(
        !apart_of(&fixture, &spec).await.databases[&buried].allow_connections,
        "nobody is let in any more"
    );

    // Taken back, it is open again and proves nothing any more.
    execute(&fixture, &planned(&fixture, &spec).await, None).await.unwrap();
    assert_eq!(tombstone(&fixture, &spec).await, None);
    fixture.converge(&spec).await;
    let mut tenant = fixture.tenant(&login, spec.physical.as_str()).await.unwrap();
    assert_eq!(texts(&mut tenant, "SELECT value FROM kept").await, ["row"]);
}

async fn whoever_can_get_in_is_seen_however_they_came_to_it(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = released(&fixture).await;
    execute(&fixture, &planned(&fixture, &spec).await, None).await.unwrap();
    let (name, right) = (spec.physical.as_str(), archive(&fixture, &spec).await);
    let (reader, between) = (format!("{name}x_reader"), format!("{name}x_between"));
    let login = format!("{name}_archive");
    let mut admin = fixture.superuser("postgres").await;
    run(&mut admin, &format!("CREATE ROLE {reader} LOGIN; CREATE ROLE {between}")).await;
    let cases = [
        (format!("GRANT {name}_ro TO {reader}"), format!("REVOKE {name}_ro FROM {reader}"), &reader),
        (
            format!("GRANT {name}_rw TO {between}; GRANT {between} TO {reader}"),
            format!("REVOKE {name}_rw FROM {between}; REVOKE {between} FROM {reader}"),
            &reader,
        ),
        (
            format!("GRANT CONNECT ON DATABASE tombstone_{name} TO {reader}"),
            format!("REVOKE CONNECT ON DATABASE tombstone_{name} FROM {reader}"),
            &reader,
        ),
        (
            format!("CREATE ROLE {login} LOGIN NOINHERIT; GRANT {name}_owner TO {login}"),
            format!("DROP ROLE {login}"),
            &login,
        ),
    ];
    for (meddling, undone, who) in cases {
        run(&mut admin, &meddling).await;
        changed(execute(&fixture, &seal(&spec.physical, right.clone()), None).await, &meddling);
        assert_eq!(insiders(&fixture, &spec).await, [format!("login {who}")], "{meddling}");
        run(&mut admin, &undone).await;
        assert_eq!(insiders(&fixture, &spec).await, Vec::<String>::new(), "{undone}");
    }
    run(&mut admin, &format!("DROP ROLE {reader}; DROP ROLE {between}")).await;
    execute(&fixture, &seal(&spec.physical, right), None).await.unwrap();
    time_passes(&fixture, &spec).await;
    finish(&fixture, &spec).await;
}

async fn insiders(fixture: &Fixture, spec: &DatabaseSpec) -> Vec<String> {
    let mut reader = fixture.pool.operator().await.unwrap();
    let name = TombstoneName::of(&spec.physical).database();
    let found = observe::insiders(&mut reader, &spec.physical, &name).await.unwrap();
    reader.release().await;
    found.iter().map(ToString::to_string).collect()
}

async fn nobody_who_is_connected_is_ended_and_nothing_is_dropped_under_them(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = archived(&fixture).await;
    let buried = format!("tombstone_{}", spec.physical);
    let mut admin = fixture.superuser("postgres").await;
    run(&mut admin, &format!("ALTER DATABASE {buried} ALLOW_CONNECTIONS true")).await;
    let mut session = fixture.superuser(&buried).await;
    run(&mut admin, &format!("ALTER DATABASE {buried} ALLOW_CONNECTIONS false")).await;
    let (intent, _) = next(&fixture, &spec).await;
    changed(execute(&fixture, &intent, None).await, "somebody is connected");
    assert_eq!(phase(&fixture, &spec).await.0, Phase::Tombstoned);
    assert_eq!(insiders(&fixture, &spec).await, ["a session of postgres"]);
    assert_eq!(texts(&mut session, "SELECT value FROM kept").await, ["row"], "it goes on");
    session.close().await.unwrap();
    let done =
        async || execute(&fixture, &next(&fixture, &spec).await.0, None).await.map_err(|e| e.to_string());
    crate::support::wait_until(crate::controller::scene::A_MINUTE, "the session is gone", done).await;
    finish(&fixture, &spec).await;
}

async fn a_drop_that_was_cut_short_is_brought_to_its_end_and_never_taken_back(version: Version) {
    let fixture = Arc::new(Fixture::shared(version).await);
    let spec = archived(&fixture).await;
    die(&fixture, &next(&fixture, &spec).await.0, 2, false).await;
    // As the server leaves it that was stopped in the middle of DROP DATABASE.
    let buried = format!("tombstone_{}", spec.physical);
    let cut = format!("UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{buried}'");
    let mut admin = fixture.superuser("postgres").await;
    run(&mut admin, &cut).await;
    assert_eq!(tombstone(&fixture, &spec).await.unwrap().extent, Extent::CutShort);
    let facts = apart_of(&fixture, &spec).await;
    let back = exhume(&spec.physical, &facts.markers[0], &facts);
    assert_eq!(back, Err(Conflict::CutShort { name: buried.clone() }));
    let plan = drop_on(&spec.physical, &facts.markers[0], &facts).unwrap();
    assert_eq!(plan.batches.len(), 2, "{plan}");
    // It goes only if it is what is left of ours.
    let taken = format!("UPDATE pg_database SET datconnlimit = -1 WHERE datname = '{buried}'");
    run(&mut admin, &taken).await;
    changed(execute(&fixture, &plan, None).await, "it is whole");
    run(&mut admin, &cut).await;
    execute(&fixture, &plan, None).await.unwrap();
    assert_eq!(tombstone(&fixture, &spec).await.unwrap().extent, Extent::Gone);
    finish(&fixture, &spec).await;
    assert_eq!(left(&fixture, &spec).await, Vec::<String>::new());
}

async fn a_role_that_something_depends_on_stays_and_is_named_until_that_is_gone(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = archived(&fixture).await;
    let other = want(&["app"]);
    fixture.converge(&other).await;
    let (name, neighbour) = (spec.physical.as_str(), other.physical.as_str());
    // Every tenant may grant what is its own to roles whose names it guesses. What an admin has granted is his to take back.
    let mut tenant = fixture.tenant(&login(&other, 0), neighbour).await.unwrap();
    run(&mut tenant, &format!("CREATE TABLE bait (); GRANT SELECT ON bait TO {name}_rw, {name}_app_a")).await;
    let mut admin = fixture.superuser("postgres").await;
    run(&mut admin, &format!("GRANT CONNECT ON DATABASE postgres TO {name}_rw")).await;

    execute(&fixture, &next(&fixture, &spec).await.0, None).await.unwrap();
    let kept_by = [
        format!("{name}_app_a by pg_class in database {neighbour} (1)"),
        format!("{name}_rw by database postgres (1)"),
        format!("{name}_rw by pg_class in database {neighbour} (1)"),
    ];
    let (plan, told) = next(&fixture, &spec).await;
    assert_eq!(told, kept_by);
    execute(&fixture, &plan, None).await.unwrap();
    let kept = [format!("{name}_app_a"), format!("{name}_rw"), "marker".into(), "tombstone".into()];
    assert_eq!(left(&fixture, &spec).await, kept);
    let (plan, told) = next(&fixture, &spec).await;
    assert_eq!(told, kept_by[1..]);
    execute(&fixture, &plan, None).await.unwrap();
    let (plan, told) = next(&fixture, &spec).await;
    assert_eq!((plan, told.as_slice()), (Plan::default(), &kept_by[1..]), "there is nothing more to do");

    run(&mut admin, &format!("REVOKE CONNECT ON DATABASE postgres FROM {name}_rw")).await;
    let (plan, told) = next(&fixture, &spec).await;
    assert_eq!(told, kept_by[2..]);
    execute(&fixture, &plan, None).await.unwrap();
    finish(&fixture, &spec).await;
    assert_eq!(left(&fixture, &spec).await, Vec::<String>::new());
    let bait = "SELECT relacl::text FROM pg_class WHERE relname = 'bait'";
    let owner = format!("{neighbour}_owner");
    let right = texts(&mut tenant, bait).await.remove(0);
    assert!(right.contains(&format!("{owner}=")) && !right.contains(name), "{right}");
}

async fn whatever_tenants_granted_to_a_role_is_taken_back_and_nothing_of_theirs_goes_with_it(
    version: Version,
) {
    for limited in [false, true] {
        let fixture = if limited { Fixture::limited(version).await } else { Fixture::shared(version).await };
        let spec = archived(&fixture).await;
        let others = [want(&["app"]), want(&["app"])];
        let name = spec.physical.as_str();
        let inside = "SELECT relname || relowner::regrole::text FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                      UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1";
        let mut before = vec![];
        for other in &others {
            fixture.converge(other).await;
            let mut tenant = fixture.tenant(&login(other, 0), other.physical.as_str()).await.unwrap();
            let trap = format!(
                "CREATE TABLE own AS SELECT 1 AS id; CREATE SEQUENCE counted; CREATE SCHEMA more; CREATE TYPE pair AS (a int); \
                 CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT lo_create(4711); \
                 GRANT SELECT, INSERT ON own TO {name}_app_a WITH GRANT OPTION; GRANT UPDATE (id) ON own TO {name}_ro; \
                 GRANT USAGE ON SEQUENCE counted TO {name}_owner; GRANT CREATE ON SCHEMA more TO {name}_rw; \
                 GRANT USAGE ON TYPE pair TO {name}_ro; GRANT EXECUTE ON FUNCTION one() TO {name}_app_a; \
                 GRANT SELECT ON LARGE OBJECT 4711 TO {name}_rw; \
                 ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {name}_app_a; \
                 ALTER TABLE own ENABLE ROW LEVEL SECURITY; CREATE POLICY theirs ON own TO {name}_app_a, {name}_rw"
            );
            run(&mut tenant, &trap).await;
            before.push(texts(&mut tenant, inside).await);
        }
        execute(&fixture, &next(&fixture, &spec).await.0, None).await.unwrap();
        assert!(!next(&fixture, &spec).await.1.is_empty(), "grants keep the roles");
        execute(&fixture, &next(&fixture, &spec).await.0, None).await.unwrap();
        finish(&fixture, &spec).await;
        assert_eq!(left(&fixture, &spec).await, Vec::<String>::new());
        for (other, before) in others.iter().zip(before) {
            let mut tenant = fixture.tenant(&login(other, 0), other.physical.as_str()).await.unwrap();
            assert_eq!(texts(&mut tenant, inside).await, before);
            assert_eq!(texts(&mut tenant, "SELECT id::text FROM own").await, ["1"]);
            assert_eq!(texts(&mut tenant, "SELECT oid::text FROM pg_largeobject_metadata").await, ["4711"]);
            let right = fixture.plan(&keeping_passwords(other)).await;
            assert_eq!(right, Ok(Plan::default()), "limited: {limited}");
        }
    }
}

async fn what_a_role_owns_in_another_database_never_goes_with_its_grants(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = archived(&fixture).await;
    let other = want(&["app"]);
    fixture.converge(&other).await;
    let (name, neighbour) = (spec.physical.as_str(), other.physical.as_str());
    let mut tenant = fixture.tenant(&login(&other, 0), neighbour).await.unwrap();
    run(&mut tenant, &format!("CREATE TABLE bait (); GRANT SELECT ON bait TO {name}_app_a")).await;
    execute(&fixture, &next(&fixture, &spec).await.0, None).await.unwrap();
    let (early, _) = next(&fixture, &spec).await;
    // It came between the look and the statement.
    let mut admin = fixture.superuser(neighbour).await;
    run(
        &mut admin,
        &format!("CREATE TABLE theirs AS SELECT 1 AS id; ALTER TABLE theirs OWNER TO {name}_app_a"),
    )
    .await;
    changed(execute(&fixture, &early, None).await, "it owns something by now");
    let (plan, told) = next(&fixture, &spec).await;
    assert_eq!((plan, told.len()), (Plan::default(), 2), "{told:?}");
    assert_eq!(texts(&mut admin, "SELECT id::text FROM theirs").await, ["1"]);
    run(&mut admin, "DROP TABLE theirs").await;
    execute(&fixture, &next(&fixture, &spec).await.0, None).await.unwrap();
    finish(&fixture, &spec).await;
}

async fn a_drop_that_was_intended_can_be_taken_back_until_the_database_is_gone(version: Version) {
    let fixture = Arc::new(Fixture::shared(version).await);
    let spec = archived(&fixture).await;
    let (stale_exhume, drop) = (planned(&fixture, &spec).await, next(&fixture, &spec).await.0);
    die(&fixture, &drop, 2, false).await;
    changed(execute(&fixture, &stale_exhume, None).await, "it was made before the intent");
    let (facts, resumed) = (apart_of(&fixture, &spec).await, next(&fixture, &spec).await.0);
    let back = exhume(&spec.physical, &facts.markers[0], &facts).unwrap();
    execute(&fixture, &back, None).await.unwrap();
    assert_eq!(phase(&fixture, &spec).await.0, Phase::Released);
    changed(execute(&fixture, &resumed, None).await, "it was made before it was taken back");
    fixture.converge(&spec).await;
    let mut tenant = fixture.tenant(&login(&spec, 0), spec.physical.as_str()).await.unwrap();
    assert_eq!(texts(&mut tenant, "SELECT value FROM kept").await, ["row"]);

    let spec = archived(&fixture).await;
    execute(&fixture, &next(&fixture, &spec).await.0, None).await.unwrap();
    let facts = apart_of(&fixture, &spec).await;
    assert!(exhume(&spec.physical, &facts.markers[0], &facts).is_err(), "there is nothing to bring back");
    finish(&fixture, &spec).await;
}

async fn an_admin_that_is_no_superuser_counts_and_drops_what_it_made(version: Version) {
    let limited = Fixture::limited(version).await;
    let spec = archived(&limited).await;
    let name = spec.physical.as_str();
    let mut reader = limited.pool.operator().await.unwrap();
    // Nothing was done within no time; what comes is what may be dropped, and waits for nobody.
    for (at, coming, held_up, counted) in [
        (None, Coming::Drops, vec![], 1),
        (None, Coming::All, vec![], 1),
        (None, Coming::Ends, vec![], 0),
        (None, Coming::Nothing, vec![], 0),
        (None, Coming::Drops, vec![name.to_owned()], 0),
        (Some(name), Coming::Drops, vec![], 0),
    ] {
        let pace = observe::pace(&mut reader, Duration::ZERO, at, coming, &held_up).await.unwrap();
        assert_eq!(pace, (counted, 1), "{at:?} {coming:?} {held_up:?}");
    }
    reader.release().await;
    finish(&limited, &spec).await;
    assert_eq!(left(&limited, &spec).await, Vec::<String>::new());
}
