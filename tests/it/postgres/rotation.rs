//! A credential goes from one of its two logins to the other: which of them work, and what becomes of their sessions.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use tenantry::controller::database::want::{DatabaseSpec, PasswordWish};
use tenantry::postgres::issue::{Earlier, Issue};

use super::converge::settled;
use super::crash::die;
use super::fixture::{Fixture, login, run, sqlstate, texts, try_run, verifier, want};
use crate::support::postgres::Version;

on_every_version! {
    both_logins_work_until_the_earlier_one_is_refused,
    a_login_that_is_issued_anew_has_no_session_from_before,
    a_login_that_is_refused_has_no_session_on_any_database,
    a_rotation_is_recorded_with_its_first_effect,
    a_crash_at_any_effect_of_a_rotation_converges,
    a_dropped_earlier_login_is_not_made_again,
}

const ISSUED: Timestamp = Timestamp::constant(1_795_000_000, 123_456_000);

/// The same database with its credential's other login in use, and the one before in that state.
fn rotated(spec: &DatabaseSpec, earlier: Earlier) -> DatabaseSpec {
    let mut next = spec.clone();
    let credential = &mut next.credentials[0];
    credential.side = credential.side.other();
    credential.password = PasswordWish::Reissue(verifier());
    with(next, earlier)
}

fn with(mut spec: DatabaseSpec, earlier: Earlier) -> DatabaseSpec {
    let credential = &mut spec.credentials[0];
    credential.earlier_works = earlier != Earlier::Refused;
    credential.issue = Some(Issue {
        side: credential.side,
        earlier,
        rotated_for: Some("it's asked".into()),
        ..Issue::first(ISSUED)
    });
    spec
}

async fn both_logins_work_until_the_earlier_one_is_refused(version: Version) {
    let fixture = Fixture::shared(version).await;
    let first = want(&["app"]);
    fixture.converge(&first).await;
    let name = first.physical.as_str();
    let mut before = fixture.tenant(&login(&first, 0), name).await.unwrap();
    run(&mut before, "CREATE TABLE note (text text)").await;

    let second = rotated(&first, Earlier::Rolling);
    fixture.converge(&second).await;
    assert!(fixture.plan(&second).await.unwrap().is_empty());
    drop(fixture.tenant(&login(&first, 0), name).await.unwrap());
    let mut after = fixture.tenant(&login(&second, 0), name).await.unwrap();
    // What one of them made belongs to both.
    run(&mut after, "ALTER TABLE note ADD COLUMN more text; CREATE TABLE other ()").await;
    run(&mut before, "DROP TABLE other").await;

    let second = with(second, Earlier::Refused);
    fixture.converge(&second).await;
    assert!(fixture.plan(&second).await.unwrap().is_empty());
    assert!(try_run(&mut before, "SELECT").await.is_err(), "a session of a refused login lasts");
    assert_eq!(sqlstate(fixture.tenant(&login(&first, 0), name).await), "28000");
    run(&mut after, "SELECT").await;

    let third = rotated(&second, Earlier::Grace { since: ISSUED });
    assert_eq!(login(&third, 0), login(&first, 0));
    fixture.converge(&third).await;
    assert!(fixture.plan(&third).await.unwrap().is_empty());
    drop(fixture.tenant(&login(&third, 0), name).await.unwrap());
    run(&mut after, "SELECT").await;
}

async fn a_login_that_is_issued_anew_has_no_session_from_before(version: Version) {
    let fixture = Fixture::shared(version).await;
    let first = want(&["app"]);
    fixture.converge(&first).await;
    let name = first.physical.as_str();
    let second = rotated(&first, Earlier::Rolling);
    fixture.converge(&second).await;
    let mut earlier = fixture.tenant(&login(&first, 0), name).await.unwrap();
    let mut current = fixture.tenant(&login(&second, 0), name).await.unwrap();
    let mut admin = fixture.superuser("postgres").await;
    run(&mut admin, &format!("ALTER ROLE {} PASSWORD 'leaked'", login(&first, 0))).await;

    // Both have leaked: the earlier one is issued anew at once, the current one refused.
    let third = rotated(&second, Earlier::Refused);
    fixture.converge(&third).await;
    for session in [&mut earlier, &mut current] {
        assert!(try_run(session, "SELECT").await.is_err(), "a session lasts from before");
    }
    assert_eq!(sqlstate(fixture.tenant(&login(&second, 0), name).await), "28000");
    drop(fixture.tenant(&login(&third, 0), name).await.unwrap());
    let stolen = fixture.postgres.connect(&login(&third, 0), "leaked", name).await;
    assert_eq!(sqlstate(stolen), "28P01");
}

/// From there it could give itself a password for the day when it is issued again.
async fn a_login_that_is_refused_has_no_session_on_any_database(version: Version) {
    let fixture = Fixture::prepared(version).await;
    let first = want(&["app"]);
    fixture.converge(&first).await;
    run(&mut fixture.superuser("postgres").await, "CREATE DATABASE anybodys").await;
    let mut abroad = fixture.tenant(&login(&first, 0), "anybodys").await.unwrap();
    let second = rotated(&first, Earlier::Refused);
    fixture.converge(&second).await;
    assert!(try_run(&mut abroad, "SELECT").await.is_err(), "a session of a refused login lasts");
    assert!(fixture.plan(&second).await.unwrap().is_empty());
}

async fn a_rotation_is_recorded_with_its_first_effect(version: Version) {
    let fixture = Arc::new(Fixture::shared(version).await);
    let first = want(&["app"]);
    fixture.converge(&first).await;
    for earlier in [Earlier::Rolling, Earlier::Grace { since: ISSUED }] {
        let next = rotated(&first, earlier);
        die(&fixture, &next, 1, true).await;
        assert_eq!(fixture.facts(&next).await.issues["app"], next.credentials[0].issue.clone().unwrap());
        drop(fixture.tenant(&login(&first, 0), first.physical.as_str()).await.unwrap());
    }
}

async fn a_crash_at_any_effect_of_a_rotation_converges(version: Version) {
    let fixture = Arc::new(Fixture::shared(version).await);
    // From a login whose earlier one still works, to that one: every stage has something to do.
    let begin = async || {
        let first = want(&["app", "job"]);
        fixture.converge(&first).await;
        let second = rotated(&first, Earlier::Rolling);
        fixture.converge(&second).await;
        let session = fixture.tenant(&login(&second, 0), second.physical.as_str()).await.unwrap();
        let mut admin = fixture.superuser("postgres").await;
        run(&mut admin, &format!("ALTER ROLE {} PASSWORD 'leaked'", login(&first, 0))).await;
        (rotated(&second, Earlier::Refused), session)
    };
    let (undisturbed, _session) = begin().await;
    let effects = fixture.converge(&undisturbed).await.batches.len();
    assert_eq!(effects, 3);
    let right = settled(&fixture, &undisturbed).await;
    for number in 1..=u64::try_from(effects).unwrap() {
        for done in [false, true] {
            let (third, mut session) = begin().await;
            die(&fixture, &third, number, done).await;
            fixture.converge(&third).await;
            assert_eq!(settled(&fixture, &third).await, right, "died at effect {number}, done: {done}");
            assert!(fixture.plan(&third).await.unwrap().is_empty());
            assert!(try_run(&mut session, "SELECT").await.is_err(), "died at effect {number}, done: {done}");
        }
    }
}

async fn a_dropped_earlier_login_is_not_made_again(version: Version) {
    let fixture = Fixture::shared(version).await;
    let first = want(&["app"]);
    fixture.converge(&first).await;
    let second = rotated(&first, Earlier::Rolling);
    fixture.converge(&second).await;
    let mut admin = fixture.superuser("postgres").await;
    let (name, dropped) = (first.physical.as_str(), login(&first, 0));
    run(&mut admin, &format!("REVOKE ALL ON DATABASE {name} FROM {dropped}; DROP ROLE {dropped}")).await;
    fixture.converge(&second).await;
    assert!(fixture.plan(&second).await.unwrap().is_empty());
    let roles = format!("SELECT rolname::text FROM pg_roles WHERE rolname = '{dropped}'");
    assert_eq!(texts(&mut admin, &roles).await, Vec::<String>::new());
}
