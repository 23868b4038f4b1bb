//! A purged database is renamed out of the way and comes back, whatever happens in between, with everything in it.

use std::sync::Arc;
use std::time::Duration;

use tenantry::controller::database::look::apart;
use tenantry::controller::database::plan::Plan;
use tenantry::controller::database::tombstone::{bury, exhume};
use tenantry::controller::database::want::DatabaseSpec;
use tenantry::postgres::execute::{Effect, ExecuteError, Probe};
use tenantry::postgres::facts::{Facts, Phase};
use tenantry::postgres::observe::{self, Markers, markers};
use tenantry::postgres::record::Cause;
use tenantry::postgres::tombstone::{Extent, Tombstone};

use super::converge::settled;
use super::fixture::{Fixture, login, run, sqlstate, texts, want};
use crate::support::postgres::Version;

on_every_version! {
    a_tombstone_keeps_everything_and_comes_back,
    a_crash_at_any_effect_of_a_purge_or_its_end_converges,
    a_plan_from_before_a_purge_and_a_purge_from_before_a_bind_change_nothing,
    a_database_that_somebody_is_connected_to_stays_what_it_is,
}

const GRACE: Duration = Duration::from_hours(1);

pub(super) async fn apart_of(fixture: &Fixture, spec: &DatabaseSpec) -> Facts {
    let mut reader = fixture.pool.operator().await.unwrap();
    let rows = markers(&mut reader, &Markers::Physical(spec.physical.as_str())).await.unwrap();
    let facts = apart(&mut reader, &spec.physical, rows).await.unwrap();
    reader.release().await;
    facts
}

/// What there is to do: to bury what is released, to exhume what is buried.
pub(super) async fn planned(fixture: &Fixture, spec: &DatabaseSpec) -> Plan {
    let facts = apart_of(fixture, spec).await;
    let marker = facts.markers[0].clone();
    match marker.phase {
        Phase::Tombstoned => exhume(&spec.physical, &marker, &facts).unwrap(),
        _ => bury(&spec.physical, &marker, &facts, GRACE).unwrap(),
    }
}

pub(super) async fn execute(
    fixture: &Fixture,
    plan: &Plan,
    probe: Option<Probe>,
) -> Result<(), ExecuteError> {
    let gate = fixture.gate(probe);
    gate.open(&fixture.pool, Cause::new("test", "purge")).await?.run(&plan.batches).await
}

pub(super) async fn phase(fixture: &Fixture, spec: &DatabaseSpec) -> (Phase, i64) {
    let marker = apart_of(fixture, spec).await.markers.remove(0);
    (marker.phase, marker.generation)
}

pub(super) async fn tombstone(fixture: &Fixture, spec: &DatabaseSpec) -> Option<Tombstone> {
    let mut reader = fixture.pool.operator().await.unwrap();
    let read = observe::tombstone(&mut reader, &spec.physical).await.unwrap();
    reader.release().await;
    read
}

/// Names of the databases that there are of it.
pub(super) async fn names(fixture: &Fixture, spec: &DatabaseSpec) -> Vec<String> {
    let sql = format!("SELECT datname FROM pg_database WHERE datname LIKE '%{}'", spec.physical);
    texts(&mut fixture.superuser("postgres").await, &sql).await
}

/// A released database with a row in it.
pub(super) async fn released(fixture: &Fixture) -> DatabaseSpec {
    let spec = want(&["app"]);
    fixture.converge(&spec).await;
    let mut tenant = fixture.tenant(&login(&spec, 0), spec.physical.as_str()).await.unwrap();
    run(&mut tenant, "CREATE TABLE kept AS SELECT 'row' AS value").await;
    fixture.release(&spec).await;
    spec
}

async fn a_tombstone_keeps_everything_and_comes_back(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = released(&fixture).await;
    let right = settled(&fixture, &spec).await;
    let name = spec.physical.as_str();
    let before = fixture.postgres.admin("postgres").await;
    execute(&fixture, &planned(&fixture, &spec).await, None).await.unwrap();
    drop(before);
    assert_eq!(phase(&fixture, &spec).await, (Phase::Tombstoned, 3));
    let buried = format!("tombstone_{name}");
    assert_eq!(names(&fixture, &spec).await, std::slice::from_ref(&buried));
    for database in [name, &buried] {
        let refused = sqlstate(fixture.tenant(&login(&spec, 0), database).await);
        assert!(["28000", "3D000"].contains(&refused.as_str()), "{refused}");
    }
    let Tombstone { droppable_at, grace_ended, archive, extent } = tombstone(&fixture, &spec).await.unwrap();
    let mut admin = fixture.superuser("postgres").await;
    let left = format!("SELECT ({droppable_at} - extract(epoch FROM now()) BETWEEN 3500 AND 3600)::text");
    assert_eq!(
        (texts(&mut admin, &left).await, grace_ended, archive, extent),
        (vec!["true".to_owned()], false, None, Extent::Whole)
    );

    execute(&fixture, &planned(&fixture, &spec).await, None).await.unwrap();
    assert_eq!(names(&fixture, &spec).await, [name]);
    assert_eq!(tombstone(&fixture, &spec).await, None);
    assert_eq!(settled(&fixture, &spec).await, right.replace("generation: 2", "generation: 4"));
    fixture.converge(&spec).await;
    let mut tenant = fixture.tenant(&login(&spec, 0), name).await.unwrap();
    assert_eq!(texts(&mut tenant, "SELECT value FROM kept").await, ["row"]);
}

async fn a_crash_at_any_effect_of_a_purge_or_its_end_converges(version: Version) {
    let fixture = Arc::new(Fixture::shared(version).await);
    // Somebody has let a login in behind our back, and it is in.
    let meddle = async |spec: &DatabaseSpec| {
        let mut admin = fixture.superuser("postgres").await;
        let (name, login) = (spec.physical.as_str(), login(spec, 0));
        run(&mut admin, &format!("ALTER ROLE {login} LOGIN; GRANT CONNECT ON DATABASE {name} TO {login}"))
            .await;
        fixture.tenant(&login, name).await.unwrap()
    };
    for number in 1..=3 {
        for done in [false, true] {
            let spec = released(&fixture).await;
            let session = meddle(&spec).await;
            let plan = planned(&fixture, &spec).await;
            assert_eq!(plan.batches.len(), 3, "{plan}");
            die(&fixture, &plan, number, done).await;
            if phase(&fixture, &spec).await.0 == Phase::Released {
                execute(&fixture, &planned(&fixture, &spec).await, None).await.unwrap();
            }
            drop(session);
            assert_eq!(
                phase(&fixture, &spec).await,
                (Phase::Tombstoned, 3),
                "died at effect {number}, {done}"
            );
            assert_eq!(names(&fixture, &spec).await, [format!("tombstone_{}", spec.physical)]);
            assert!(tombstone(&fixture, &spec).await.is_some());
        }
    }
    for done in [false, true] {
        let spec = released(&fixture).await;
        execute(&fixture, &planned(&fixture, &spec).await, None).await.unwrap();
        let plan = planned(&fixture, &spec).await;
        assert_eq!(plan.batches.len(), 1, "{plan}");
        die(&fixture, &plan, 1, done).await;
        if phase(&fixture, &spec).await.0 == Phase::Tombstoned {
            execute(&fixture, &planned(&fixture, &spec).await, None).await.unwrap();
        }
        assert_eq!(phase(&fixture, &spec).await, (Phase::Released, 4), "{done}");
        assert_eq!(names(&fixture, &spec).await, [spec.physical.as_str()]);
    }
}

/// Runs until the probe panics, before or after that effect.
pub(super) async fn die(fixture: &Arc<Fixture>, plan: &Plan, number: u64, done: bool) {
    let probe: Probe = Arc::new(move |effect: Effect<'_>| {
        assert!(effect.number != number || effect.done != done, "the world stops at effect {number}");
    });
    let (fixture, plan) = (Arc::clone(fixture), plan.clone());
    let task = tokio::spawn(async move { execute(&fixture, &plan, Some(probe)).await.unwrap() });
    assert!(task.await.unwrap_err().is_panic(), "effect {number} has to be reached");
}

async fn a_plan_from_before_a_purge_and_a_purge_from_before_a_bind_change_nothing(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = released(&fixture).await;
    let (bind, purge) = (fixture.plan(&spec).await.unwrap(), planned(&fixture, &spec).await);
    execute(&fixture, &purge, None).await.unwrap();
    let changed = |result: Result<(), ExecuteError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, ExecuteError::MarkerChanged { .. }), "{error:?}");
    };
    assert!(execute(&fixture, &bind, None).await.is_err());
    changed(execute(&fixture, &purge, None).await);
    assert_eq!(phase(&fixture, &spec).await, (Phase::Tombstoned, 3));
    assert_eq!(names(&fixture, &spec).await, [format!("tombstone_{}", spec.physical)]);

    let spec = released(&fixture).await;
    let purge = planned(&fixture, &spec).await;
    fixture.converge(&spec).await;
    changed(execute(&fixture, &purge, None).await);
    assert_eq!(phase(&fixture, &spec).await, (Phase::Bound, 3));
    assert_eq!(names(&fixture, &spec).await, [spec.physical.as_str()]);
}

async fn a_database_that_somebody_is_connected_to_stays_what_it_is(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = released(&fixture).await;
    let session = fixture.superuser(spec.physical.as_str()).await;
    let error = execute(&fixture, &planned(&fixture, &spec).await, None).await.unwrap_err();
    assert!(matches!(error, ExecuteError::Blocked { .. }), "{error:?}");
    assert_eq!(phase(&fixture, &spec).await, (Phase::Released, 2));
    assert_eq!(tombstone(&fixture, &spec).await, None);
    drop(session);
    execute(&fixture, &planned(&fixture, &spec).await, None).await.unwrap();
    assert_eq!(phase(&fixture, &spec).await, (Phase::Tombstoned, 3));
}
