//! What a credential may do in its database, and how that changes.

use std::sync::Arc;

use tenantry::api::names::Group;
use tenantry::controller::database::want::DatabaseSpec;

use super::crash::die;
use super::fixture::{Fixture, login, run, sqlstate, texts, try_run, want};
use crate::support::postgres::Version;

on_every_version! {
    each_access_allows_what_it_says_and_no_more,
    another_access_holds_for_every_session_from_then_on,
    a_session_from_before_ends_though_the_operator_died_meanwhile,
}

/// A database with a credential of each access: `own`, `write`, `read`.
fn of_each_access() -> DatabaseSpec {
    let mut spec = want(&["own", "write", "read"]);
    spec.credentials.iter_mut().zip(Group::ALL).for_each(|(credential, group)| credential.group = group);
    spec
}

async fn each_access_allows_what_it_says_and_no_more(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = of_each_access();
    fixture.converge(&spec).await;
    assert!(fixture.plan(&spec).await.unwrap().is_empty());
    let name = spec.physical.as_str();
    let mut owner = fixture.tenant(&login(&spec, 0), name).await.unwrap();
    run(&mut owner, "CREATE SCHEMA area; CREATE TABLE area.note (id serial, text text)").await;
    run(&mut owner, "CREATE FUNCTION area.one() RETURNS int LANGUAGE sql AS 'SELECT 1'").await;

    let mut writer = fixture.tenant(&login(&spec, 1), name).await.unwrap();
    let change =
        "INSERT INTO area.note (text) VALUES ('a'); UPDATE area.note SET text = 'b'; SELECT area.one()";
    run(&mut writer, change).await;
    run(&mut writer, "CREATE TEMPORARY TABLE mine (); SELECT lo_create(0)").await;
    let other_roles = [format!("SET ROLE {name}_owner"), "SET ROLE NONE; SELECT * FROM area.note".to_owned()];
    for sql in ["DROP TABLE area.note", "CREATE TABLE public.mine ()", "CREATE SCHEMA mine"]
        .into_iter()
        .chain(other_roles.iter().map(String::as_str))
    {
        assert_eq!(sqlstate(try_run(&mut writer, sql).await), "42501", "{sql}");
    }

    // Its transactions are read-only; what it may do if it lifts that is to read, too.
    let mut reader = fixture.tenant(&login(&spec, 2), name).await.unwrap();
    assert_eq!(texts(&mut reader, "SELECT text FROM area.note").await, ["b"]);
    for (setting, code) in [("on", "25006"), ("off", "42501")] {
        run(&mut reader, &format!("SET default_transaction_read_only = {setting}")).await;
        for sql in
            ["INSERT INTO area.note (text) VALUES ('a')", "DELETE FROM area.note", "CREATE TABLE mine ()"]
        {
            assert_eq!(sqlstate(try_run(&mut reader, sql).await), code, "{sql}");
        }
    }
    let other_role = format!("SET ROLE {name}_rw");
    for sql in [
        "CREATE TEMPORARY TABLE mine ()",
        "SELECT lo_create(0)",
        "SELECT nextval('area.note_id_seq')",
        &other_role,
    ] {
        assert_eq!(sqlstate(try_run(&mut reader, sql).await), "42501", "{sql}");
    }
    let mut reader = fixture.tenant(&login(&spec, 2), name).await.unwrap();
    assert_eq!(texts(&mut reader, "SHOW default_transaction_read_only").await, ["on"]);
}

async fn another_access_holds_for_every_session_from_then_on(version: Version) {
    let fixture = Fixture::shared(version).await;
    let mut spec = want(&["app", "job"]);
    fixture.converge(&spec).await;
    let name = spec.physical.as_str().to_owned();
    let (app, job) = (login(&spec, 0), login(&spec, 1));
    let mut before = fixture.tenant(&app, &name).await.unwrap();
    let mut other = fixture.tenant(&job, &name).await.unwrap();
    run(&mut before, "CREATE TABLE note (text text)").await;

    for (group, insert) in [(Group::ReadOnly, "25006"), (Group::ReadWrite, "00000"), (Group::Owner, "00000")]
    {
        spec.credentials[0].group = group;
        fixture.converge(&spec).await;
        assert!(fixture.plan(&spec).await.unwrap().is_empty());
        assert!(try_run(&mut before, "SELECT").await.is_err(), "a session lasts from before {group:?}");
        before = fixture.tenant(&app, &name).await.unwrap();
        let role = format!("{name}_{}", group.suffix());
        assert_eq!(texts(&mut before, "SELECT current_user::text").await, [role]);
        assert_eq!(sqlstate(try_run(&mut before, "INSERT INTO note VALUES ('a')").await), insert);
    }
    // Nobody else was disturbed.
    run(&mut other, "INSERT INTO note VALUES ('b')").await;
}

async fn a_session_from_before_ends_though_the_operator_died_meanwhile(version: Version) {
    let fixture = Arc::new(Fixture::shared(version).await);
    let mut spec = want(&["app"]);
    fixture.converge(&spec).await;
    let mut before = fixture.tenant(&login(&spec, 0), spec.physical.as_str()).await.unwrap();
    spec.credentials[0].group = Group::ReadOnly;
    die(&fixture, &spec, 2, false).await;
    run(&mut before, "SELECT").await;
    fixture.converge(&spec).await;
    assert!(try_run(&mut before, "SELECT").await.is_err(), "a session lasts from before");
    drop(fixture.tenant(&login(&spec, 0), spec.physical.as_str()).await.unwrap());
}
