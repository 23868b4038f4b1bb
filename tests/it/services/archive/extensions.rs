//! A database with extensions is archived with them, as they are; what no login without privileges could restore is refused by
//! name.

use tenantry::api::archive::Stage;

use super::scene::Scene;
use super::{VERSIONS, failed};

/// A scene whose scratch database has no extension that the operator does not make.
async fn scene(version: crate::support::postgres::Version) -> Scene {
    let scene = Scene::new(version).await;
    scene.admin(&scene.scratch, "DROP EXTENSION hstore").await;
    scene
}

#[tokio::test]
async fn trusted_extensions_are_made_in_the_scratch_database_with_the_schema_and_version_that_they_have() {
    for version in VERSIONS {
        let scene = scene(version).await;
        scene.admin(&scene.database, "DROP EXTENSION hstore").await;
        scene
            .tenant(
                "CREATE SCHEMA ext; CREATE SCHEMA \"more; ext\"; CREATE EXTENSION hstore VERSION '1.7';
                 CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION pg_trgm SCHEMA \"more; ext\";
                 COMMENT ON SCHEMA ext IS 'extensions'; GRANT USAGE ON SCHEMA ext TO ro;
                 CREATE TABLE t (id ext.citext PRIMARY KEY, tags public.hstore, text text);
                 CREATE INDEX similar_text ON t USING gin (text \"more; ext\".gin_trgm_ops);
                 INSERT INTO t VALUES ('A', 'a=>1', 'abc'), ('b', 'b=>2', 'bcd')",
            )
            .await;
        let verified = scene.verified().await;
        assert_eq!((verified.tables, verified.rows), (1, 2), "{version}");
        scene.end().await;
    }
}

/// src/controller/database/extensions.rs makes them so.
#[tokio::test]
async fn extensions_that_the_operator_has_made_in_a_schema_of_its_own_are_archived_too() {
    for version in VERSIONS {
        let scene = scene(version).await;
        let groups = ["owner", "rw", "ro"].map(|word| scene.role(word)).join(", ");
        let make = format!(
            "CREATE SCHEMA extensions; GRANT USAGE ON SCHEMA extensions TO {groups}; CREATE EXTENSION citext SCHEMA extensions"
        );
        scene.admin(&scene.database, &make).await;
        scene.tenant("CREATE TABLE t (id extensions.citext PRIMARY KEY); INSERT INTO t VALUES ('A')").await;
        let verified = scene.verified().await;
        assert_eq!((verified.tables, verified.rows), (1, 1), "{version}");
        scene.end().await;
    }
}

#[tokio::test]
async fn what_belongs_to_an_extension_and_would_be_in_no_archive_is_refused_by_name() {
    for version in VERSIONS {
        let scene = scene(version).await;
        scene.tenant("CREATE EXTENSION citext").await;
        let advice = "or make an archive with a login of your own";
        let cases = [
            (
                "CREATE TABLE kept AS SELECT 1 AS id; ALTER EXTENSION citext ADD TABLE kept",
                "ALTER EXTENSION citext DROP TABLE kept; DROP TABLE kept",
                format!(
                    "relation public.kept is a member of extension citext, so what is in it would be in no archive: ALTER EXTENSION … DROP …, {advice}"
                ),
            ),
            (
                "CREATE SEQUENCE s; ALTER EXTENSION citext ADD SEQUENCE s",
                "ALTER EXTENSION citext DROP SEQUENCE s; DROP SEQUENCE s",
                format!(
                    "relation public.s is a member of extension citext, so what is in it would be in no archive: ALTER EXTENSION … DROP …, {advice}"
                ),
            ),
        ];
        for (make, undo, obstacle) in cases {
            scene.tenant(make).await;
            let message = format!("failed to read the database: failed to read everything: {obstacle}");
            assert_eq!(scene.failed().await, failed(Stage::Dump, &message), "{version}: {make}");
            scene.tenant(undo).await;
        }
        scene.admin(&scene.database, "CREATE EXTENSION postgres_fdw").await;
        let message = format!(
            "failed to read the database: failed to read everything: extension postgres_fdw is not a trusted one, so no login like \
             this can restore it: DROP EXTENSION, {advice}"
        );
        assert_eq!(scene.failed().await, failed(Stage::Dump, &message), "{version}");
        scene.admin(&scene.database, "DROP EXTENSION postgres_fdw").await;
        assert_eq!(scene.stored(), [""; 0], "{version}");

        // What is no table is dumped as a part of its extension, which is no part of the extension that is made.
        scene
            .tenant("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER EXTENSION citext ADD FUNCTION f()")
            .await;
        let failed = scene.failed().await;
        let expected =
            "failed to restore everything: member of extension citext function public.f(): not restored";
        assert_eq!((failed.stage, failed.message.as_str()), (Stage::Compare, expected), "{version}");
        assert_eq!(scene.stored(), [""; 0], "{version}");
        scene.end().await;
    }
}
