//! Of two operators, only the one that came last changes a server, whatever the earlier one still has in its hands.

use std::sync::Arc;
use std::sync::mpsc;

use tenantry::controller::database::want::DatabaseSpec;
use tenantry::postgres::execute::{Effect, ExecuteError, Gate, Probe};
use tenantry::postgres::fence::{FenceError, Fences};
use tenantry::postgres::record::Cause;

use super::fixture::{Fixture, epoch, run, texts, want};
use crate::support::postgres::Version;

on_every_version! {
    the_first_change_raises_the_epoch_and_later_ones_keep_it,
    a_later_leader_shuts_out_an_earlier_one,
    a_server_that_was_restored_is_left_alone_until_it_was_looked_at,
    a_process_whose_lease_has_passed_on_changes_nothing,
}

/// Makes the database, as the leader that has these fences.
async fn make(
    fixture: &Fixture,
    fences: &Fences,
    probe: Option<Probe>,
    spec: &DatabaseSpec,
) -> Result<(), ExecuteError> {
    let plan = fixture.plan(spec).await.unwrap();
    let gate = Gate::new(probe, fences.clone());
    gate.open(&fixture.pool, Cause::new("test", "fence")).await?.run(&plan.batches).await
}

/// What shut a change out.
fn fence(result: Result<(), ExecuteError>) -> FenceError {
    match result {
        Err(ExecuteError::Fenced(error)) => error,
        other => panic!("{other:?}"),
    }
}

async fn see(fixture: &Fixture, fences: &Fences) {
    let mut connection = fixture.pool.operator().await.unwrap();
    fences.see(&mut connection).await.unwrap();
    connection.release().await;
}

async fn databases(fixture: &Fixture) -> Vec<String> {
    let mut admin = fixture.superuser("tenantry").await;
    texts(&mut admin, r"SELECT datname::text FROM pg_database WHERE datname LIKE 't\_%' ORDER BY 1").await
}

/// Sessions that hold the lock. A pooled session that kept it would hold up the next leader.
async fn holders(fixture: &Fixture) -> Vec<String> {
    let mut admin = fixture.superuser("tenantry").await;
    texts(&mut admin, "SELECT pid::text FROM pg_locks WHERE locktype = 'advisory'").await
}

async fn the_first_change_raises_the_epoch_and_later_ones_keep_it(version: Version) {
    let (fixture, leader) = (Fixture::prepared(version).await, Fences::default());
    see(&fixture, &leader).await;
    assert_eq!(epoch(&fixture).await, 0, "looking changes nothing");
    for spec in [want(&["app"]), want(&["app"])] {
        make(&fixture, &leader, None, &spec).await.unwrap();
        assert_eq!(epoch(&fixture).await, 1);
    }
    let mut operator = fixture.superuser("tenantry").await;
    assert_eq!(texts(&mut operator, "SELECT epoch::text FROM tenantry.marker").await, ["1", "1"]);
    assert_eq!(holders(&fixture).await, Vec::<String>::new());
}

async fn a_later_leader_shuts_out_an_earlier_one(version: Version) {
    let fixture = Fixture::prepared(version).await;
    let (earlier, looked, later) = (Fences::default(), Fences::default(), Fences::default());
    let [first, second] = [want(&["app"]), want(&["app"])];
    make(&fixture, &earlier, None, &first).await.unwrap();
    see(&fixture, &looked).await;
    make(&fixture, &later, None, &second).await.unwrap();
    assert_eq!(epoch(&fixture).await, 2);
    let before = databases(&fixture).await;

    let refused = fence(make(&fixture, &earlier, None, &want(&["app"])).await);
    assert!(matches!(refused, FenceError::Superseded { ours: 1, theirs: 2 }), "{refused:?}");
    // One that has looked at the server while it led, and has changed nothing so far, cannot raise the epoch now.
    let refused = fence(make(&fixture, &looked, None, &want(&["app"])).await);
    assert!(matches!(refused, FenceError::Superseded { ours: 1, theirs: 2 }), "{refused:?}");
    assert_eq!(databases(&fixture).await, before);
    make(&fixture, &later, None, &want(&["app"])).await.unwrap();
    assert_eq!((epoch(&fixture).await, holders(&fixture).await), (2, vec![]));
}

async fn a_server_that_was_restored_is_left_alone_until_it_was_looked_at(version: Version) {
    let (fixture, leader) = (Fixture::prepared(version).await, Fences::default());
    make(&fixture, &leader, None, &want(&["app"])).await.unwrap();
    run(&mut fixture.superuser("tenantry").await, "UPDATE tenantry.epoch SET epoch = 0").await;
    let refused = fence(make(&fixture, &leader, None, &want(&["app"])).await);
    assert!(matches!(refused, FenceError::Restored { ours: 1, theirs: 0 }), "{refused:?}");
    see(&fixture, &leader).await;
    make(&fixture, &leader, None, &want(&["app"])).await.unwrap();
    assert_eq!(epoch(&fixture).await, 1);
}

async fn a_process_whose_lease_has_passed_on_changes_nothing(version: Version) {
    let fixture = Fixture::prepared(version).await;
    let refused = fence(make(&fixture, &Fences::of(Arc::new(|| false)), None, &want(&["app"])).await);
    assert!(matches!(refused, FenceError::NotLeading), "{refused:?}");
    assert_eq!((epoch(&fixture).await, databases(&fixture).await), (0, vec![]));
    make(&fixture, &Fences::of(Arc::new(|| true)), None, &want(&["app"])).await.unwrap();
    assert_eq!(epoch(&fixture).await, 1);
}

/// As an operator that was stopped between two statements, past its lease, and is resumed.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stands_still_in_the_middle_is_ended_by_the_next_one() {
    let fixture = Arc::new(Fixture::prepared(Version::V15).await);
    let (reached, stopped) = tokio::sync::oneshot::channel();
    let (resume, resumed) = mpsc::channel::<()>();
    let halted = std::sync::Mutex::new(Some((reached, resumed)));
    let halt: Probe = Arc::new(move |effect: Effect<'_>| {
        if effect.number == 3 && !effect.done {
            let (reached, resumed) = halted.lock().unwrap().take().unwrap();
            reached.send(()).unwrap();
            // Says to the runtime that this thread is lost to it.
            tokio::task::block_in_place(|| resumed.recv().unwrap());
        }
    });
    let (one, spec) = (Arc::clone(&fixture), want(&["app"]));
    let earlier = tokio::spawn(async move { make(&one, &Fences::default(), Some(halt), &spec).await });
    stopped.await.unwrap();
    let second = want(&["app"]);
    make(&fixture, &Fences::default(), None, &second).await.unwrap();
    assert_eq!(epoch(&fixture).await, 2);
    assert_eq!(databases(&fixture).await.len(), 2);

    resume.send(()).unwrap();
    let error = earlier.await.unwrap().unwrap_err();
    assert!(matches!(error, ExecuteError::Lost { .. }), "{error:?}");
    // The third effect opens the database.
    let mut admin = fixture.superuser("tenantry").await;
    let open = r"SELECT datname::text FROM pg_database WHERE datname LIKE 't\_%' AND datallowconn";
    assert_eq!(texts(&mut admin, open).await, [second.physical.as_str()]);
}
