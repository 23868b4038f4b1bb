//! The operator dies before or after any effect, and the next turn ends where an undisturbed one does.

use std::sync::Arc;

use tenantry::controller::database::want::DatabaseSpec;
use tenantry::postgres::execute::{Effect, Probe};
use tenantry::postgres::settings::{Setting, Settings};

use super::converge::settled;
use super::fixture::{Fixture, want};
use crate::support::postgres::Version;

on_every_version! {
    a_crash_at_any_effect_of_a_creation_converges,
    a_crash_at_any_effect_of_a_change_converges,
    nobody_gets_in_before_the_last_effect,
}

/// Dies at that effect, before or after it.
pub fn death(number: u64, done: bool) -> Probe {
    Arc::new(move |effect: Effect<'_>| {
        assert!(effect.number != number || effect.done != done, "the world stops at effect {number}");
    })
}

/// Runs until the probe panics; the connections are dropped with the task, as they are with a process.
pub(super) async fn die(fixture: &Arc<Fixture>, spec: &DatabaseSpec, number: u64, done: bool) {
    let (fixture, spec) = (Arc::clone(fixture), spec.clone());
    let task = tokio::spawn(async move {
        fixture.converge_with(&spec, Some(death(number, done))).await.unwrap();
    });
    assert!(task.await.unwrap_err().is_panic(), "effect {number} has to be reached");
}

async fn a_crash_at_any_effect_of_a_creation_converges(version: Version) {
    let fixture = Arc::new(Fixture::shared(version).await);
    let undisturbed = want(&["app", "job"]);
    let effects = fixture.converge(&undisturbed).await.batches.len();
    let right = settled(&fixture, &undisturbed).await;
    for number in 1..=u64::try_from(effects).unwrap() {
        for done in [false, true] {
            let spec = want(&["app", "job"]);
            die(&fixture, &spec, number, done).await;
            fixture.converge(&spec).await;
            assert_eq!(settled(&fixture, &spec).await, right, "died at effect {number}, done: {done}");
            assert!(fixture.plan(&spec).await.unwrap().is_empty());
        }
    }
}

async fn a_crash_at_any_effect_of_a_change_converges(version: Version) {
    let fixture = Arc::new(Fixture::shared(version).await);
    // A new credential, another one gone, another limit, suspended: every stage has something to do.
    let changed = |spec: &DatabaseSpec| DatabaseSpec {
        credentials: want(&["app", "new"]).credentials,
        connection_limit: Some(2),
        settings: Settings::from([(Setting::StatementTimeout, 60_000.into())]),
        logins_allowed: false,
        ..spec.clone()
    };
    let undisturbed = want(&["app", "job"]);
    fixture.converge(&undisturbed).await;
    let effects = fixture.converge(&changed(&undisturbed)).await.batches.len();
    let right = settled(&fixture, &undisturbed).await;
    for number in 1..=u64::try_from(effects).unwrap() {
        for done in [false, true] {
            let spec = want(&["app", "job"]);
            fixture.converge(&spec).await;
            let changed = changed(&spec);
            die(&fixture, &changed, number, done).await;
            fixture.converge(&changed).await;
            assert_eq!(settled(&fixture, &spec).await, right, "died at effect {number}, done: {done}");
            assert!(fixture.plan(&changed).await.unwrap().is_empty());
        }
    }
}

async fn nobody_gets_in_before_the_last_effect(version: Version) {
    let fixture = Arc::new(Fixture::shared(version).await);
    for number in 1..=5 {
        let spec = want(&["app"]);
        die(&fixture, &spec, number, false).await;
        let login = super::fixture::login(&spec, 0);
        let refused = fixture.tenant(&login, spec.physical.as_str()).await;
        assert!(refused.is_err(), "{login} got in before effect {number}");
    }
}
