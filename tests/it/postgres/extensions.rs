//! Extensions are made where their database's tenant uses them and has no hand in them.

use std::collections::BTreeSet;

use tenantry::api::names::Group;
use tenantry::controller::database::extensions::{Refused, resolve};
use tenantry::controller::database::plan::Plan;
use tenantry::controller::database::want::{DatabaseSpec, PasswordWish};
use tenantry::postgres::observe::available;
use tenantry::postgres::record::Cause;

use super::converge::settled;
use super::fixture::{Fixture, login, run, sqlstate, texts, try_run, want};
use crate::support::postgres::Version;

on_every_version! {
    they_serve_every_login_and_are_nobodys_to_change,
    they_are_made_anew_in_place_and_never_dropped,
    a_schema_that_a_tenant_was_faster_to_make_gets_none,
    nothing_is_built_on_what_a_tenant_has_installed,
    an_admin_that_is_no_superuser_makes_those_that_are_trusted,
}

/// The same database with these extensions, as a claim's turn asks for them; beside what is refused.
async fn asking(fixture: &Fixture, spec: &DatabaseSpec, names: &[&str]) -> (DatabaseSpec, Vec<Refused>) {
    let mut reader = fixture.pool.operator().await.unwrap();
    let available = available(&mut reader).await.unwrap();
    reader.release().await;
    let have = fixture.facts(spec).await.inside[spec.physical.as_str()].extensions.clone();
    let asked: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
    let (extensions, refused) = resolve(&asked, &have, &available, &["earthdistance".to_owned()].into());
    (DatabaseSpec { extensions, ..spec.clone() }, refused)
}

/// Extensions of a database with their schemas, but for the one that each has.
async fn installed(fixture: &Fixture, spec: &DatabaseSpec) -> Vec<String> {
    let mut inside = fixture.superuser(spec.physical.as_str()).await;
    let sql = "SELECT extname || ' in ' || extnamespace::regnamespace FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1";
    texts(&mut inside, sql).await
}

async fn they_serve_every_login_and_are_nobodys_to_change(version: Version) {
    let fixture = Fixture::shared(version).await;
    let mut spec = want(&["own", "write", "read"]);
    spec.credentials.iter_mut().zip(Group::ALL).for_each(|(credential, group)| credential.group = group);
    fixture.converge(&spec).await;
    let (spec, refused) = asking(&fixture, &spec, &["citext", "cube", "earthdistance"]).await;
    assert_eq!(refused, []);
    let before = fixture.statements.get();
    let plan = fixture.converge(&spec).await;
    assert_eq!(plan.batches.len(), 1, "{plan}");
    assert_eq!(fixture.plan(&spec).await, Ok(Plan::default()));
    let statements = fixture.statements.get() - before;
    assert!(
        statements <= 2 * 8 + 1 + 2 * 3 + 12,
        "{statements} statements, of which 12 are the plan's:\n{plan}"
    );
    let all = ["citext in extensions", "cube in extensions", "earthdistance in extensions"];
    assert_eq!(installed(&fixture, &spec).await, all);

    let name = spec.physical.as_str();
    let mut owner = fixture.tenant(&login(&spec, 0), name).await.unwrap();
    run(&mut owner, "CREATE TABLE note (text citext); INSERT INTO note VALUES ('A')").await;
    for credential in 0..3 {
        let mut tenant = fixture.tenant(&login(&spec, credential), name).await.unwrap();
        assert_eq!(texts(&mut tenant, "SELECT text::text FROM note WHERE text = 'a'").await, ["A"]);
    }
    for sql in [
        "CREATE FUNCTION extensions.cube_dim(text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE extensions.mine ()",
        "DROP EXTENSION cube CASCADE",
        "ALTER EXTENSION cube SET SCHEMA public",
        "ALTER SCHEMA extensions RENAME TO mine",
        "GRANT CREATE ON SCHEMA extensions TO PUBLIC",
    ] {
        let answer = try_run(&mut owner, sql).await;
        // What cannot be granted is a warning.
        assert!(sql.starts_with("GRANT") || sqlstate(answer) == "42501", "{sql}");
    }
    assert_eq!(fixture.plan(&spec).await, Ok(Plan::default()));
}

async fn they_are_made_anew_in_place_and_never_dropped(version: Version) {
    let fixture = Fixture::shared(version).await;
    let plain = want(&["app"]);
    fixture.converge(&plain).await;
    let (spec, _) = asking(&fixture, &plain, &["citext", "pg_trgm"]).await;
    fixture.converge(&spec).await;
    let right = settled(&fixture, &spec).await;
    let mut inside = fixture.superuser(spec.physical.as_str()).await;
    for drift in [
        "DROP EXTENSION citext",
        "DROP SCHEMA extensions CASCADE",
        "REVOKE USAGE ON SCHEMA extensions FROM {db}_ro",
        "ALTER DATABASE {db} RESET search_path",
    ] {
        run(&mut inside, &drift.replace("{db}", spec.physical.as_str())).await;
        let (spec, _) = asking(&fixture, &spec, &["citext", "pg_trgm"]).await;
        assert!(!fixture.converge(&spec).await.is_empty(), "not noticed: {drift}");
        assert_eq!(settled(&fixture, &spec).await, right, "after {drift}");
    }
    // Nobody asks for them any more, and an admin has sessions look elsewhere.
    let elsewhere = format!("ALTER DATABASE {} SET search_path = own, extensions", spec.physical);
    run(&mut inside, &elsewhere).await;
    assert_eq!(fixture.plan(&spec).await, Ok(Plan::default()));
    assert_eq!(fixture.plan(&plain).await, Ok(Plan::default()));
    assert_eq!(installed(&fixture, &plain).await.len(), 2);
}

async fn a_schema_that_a_tenant_was_faster_to_make_gets_none(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = want(&["app"]);
    fixture.converge(&spec).await;
    // It is made after we have looked.
    let (asked, refused) = asking(&fixture, &spec, &["citext"]).await;
    assert_eq!(refused, []);
    let plan = fixture.plan(&asked).await.unwrap();
    let mut tenant = fixture.tenant(&login(&spec, 0), spec.physical.as_str()).await.unwrap();
    run(&mut tenant, "CREATE SCHEMA extensions").await;
    let cause = Cause::new("test", "squatted");
    let gate = fixture.gate(None);
    let session = gate.open(&fixture.pool, cause).await.unwrap();
    let error = session.run(&plan.batches).await.unwrap_err().to_string();
    assert!(error.contains("CREATE SCHEMA \"extensions\""), "{error}");
    assert_eq!(installed(&fixture, &spec).await, Vec::<String>::new());

    // And before.
    let (asked, refused) = asking(&fixture, &spec, &["citext"]).await;
    let exposed = Refused::Exposed { name: "citext".into(), schema: "extensions".into() };
    assert_eq!(refused, [exposed]);
    assert_eq!(fixture.plan(&asked).await, Ok(Plan::default()));
    run(&mut tenant, "ALTER SCHEMA extensions RENAME TO mine").await;
    let (asked, refused) = asking(&fixture, &spec, &["citext"]).await;
    assert_eq!(refused, []);
    fixture.converge(&asked).await;
    assert_eq!(installed(&fixture, &spec).await, ["citext in extensions"]);
}

async fn nothing_is_built_on_what_a_tenant_has_installed(version: Version) {
    let fixture = Fixture::shared(version).await;
    let spec = want(&["app"]);
    fixture.converge(&spec).await;
    let (citext, _) = asking(&fixture, &spec, &["citext"]).await;
    fixture.converge(&citext).await;
    let mut tenant = fixture.tenant(&login(&spec, 0), spec.physical.as_str()).await.unwrap();
    // PostgreSQL asks for no right on the schema that a trusted extension is made in.
    for schema in ["public", "extensions", "pg_catalog"] {
        run(
            &mut tenant,
            &format!("DROP EXTENSION IF EXISTS cube CASCADE; CREATE EXTENSION cube SCHEMA {schema}"),
        )
        .await;
        if schema == "public" {
            // With our rights, the script of earthdistance would take this for what decides how many dimensions a cube has.
            let planted =
                "CREATE FUNCTION cube_dim(earth_of_mine anyelement) RETURNS int LANGUAGE sql AS 'SELECT 1'";
            run(&mut tenant, planted).await;
        }
        let (asked, refused) = asking(&fixture, &spec, &["citext", "cube", "earthdistance"]).await;
        let (name, requires) = ("earthdistance".to_owned(), "cube".to_owned());
        assert_eq!(refused, [Refused::NeedsExposed { name, requires, schema: schema.into() }]);
        let plan = fixture.plan(&asked).await;
        assert_eq!(plan, Ok(Plan::default()), "what the tenant has is what its claim asks for");
        let there = ["citext in extensions".to_owned(), format!("cube in {schema}")];
        assert_eq!(installed(&fixture, &spec).await, there);
    }
}

async fn an_admin_that_is_no_superuser_makes_those_that_are_trusted(version: Version) {
    let fixture = Fixture::limited(version).await;
    let mut spec = want(&["app"]);
    fixture.converge(&spec).await;
    // It may not read what is stored.
    spec.credentials[0].password = PasswordWish::Keep;
    let (spec, refused) = asking(&fixture, &spec, &["citext"]).await;
    assert_eq!(refused, []);
    fixture.converge(&spec).await;
    assert_eq!(fixture.plan(&spec).await, Ok(Plan::default()));
    let mut tenant = fixture.tenant(&login(&spec, 0), spec.physical.as_str()).await.unwrap();
    assert_eq!(texts(&mut tenant, "SELECT 'same' WHERE 'A'::citext = 'a'").await, ["same"]);
}
