//! A database of which the login does not see everything is refused, by name, and nothing is stored.

use std::fs;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection};
use tenantry::api::archive::{Failed, Outcome, Stage};
use tenantry::services::archive::{ObjectName, Store};
use tokio_util::sync::CancellationToken;

use super::scene::Scene;
use super::{VERSIONS, failed};

/// Who has it, in words of the message.
fn unread(obstacle: &str) -> Failed {
    failed(Stage::Dump, &format!("failed to read the database: failed to read everything: {obstacle}"))
}

#[tokio::test]
async fn what_the_login_would_not_see_is_named_before_anything_is_stored() {
    for version in VERSIONS {
        let scene = Scene::new(version).await;
        let (owner, rw) = (scene.role("owner"), scene.role("rw"));
        let give = format!("belongs to {rw}: give it to {owner}");
        let cases = [
            (
                "CREATE TABLE t (id integer); ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY".to_owned(),
                "DROP TABLE t",
                "table public.t has forced row security, which hides rows from its owner too: ALTER TABLE … NO FORCE ROW LEVEL SECURITY, or make an archive with a login of your own".to_owned(),
            ),
            (
                format!("CREATE TABLE \"a;b\" (id integer); ALTER TABLE \"a;b\" OWNER TO {rw}"),
                "DROP TABLE \"a;b\"",
                format!("relation public.\"a;b\" {give} (ALTER … OWNER TO)"),
            ),
            (
                format!("CREATE SEQUENCE s; ALTER SEQUENCE s OWNER TO {rw}"),
                "DROP SEQUENCE s",
                format!("relation public.s {give} (ALTER … OWNER TO)"),
            ),
            (
                format!("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS ''; ALTER FUNCTION f() OWNER TO {rw}"),
                "DROP FUNCTION f()",
                format!("function public.f() {give} (ALTER ROUTINE … OWNER TO)"),
            ),
            (
                format!("CREATE SCHEMA x AUTHORIZATION {rw}"),
                "DROP SCHEMA x",
                format!("schema x {give} (ALTER SCHEMA … OWNER TO)"),
            ),
            (
                format!("SELECT lo_create(7); ALTER LARGE OBJECT 7 OWNER TO {rw}"),
                "SELECT lo_unlink(7)",
                format!("large object 7 {give} (ALTER LARGE OBJECT … OWNER TO)"),
            ),
            (
                format!("CREATE TABLE t (id integer); ALTER TABLE t OWNER TO {owner}; REVOKE SELECT ON t FROM {owner}"),
                "DROP TABLE t",
                format!("relation public.t cannot be read by its owner: GRANT SELECT to {owner}"),
            ),
        ];
        for (make, undo, obstacle) in cases {
            // The first table is the tenant's own; the superuser stands for what a tenant's other roles can do.
            let make = make.replace(
                "CREATE TABLE t (id integer); ALTER TABLE t ENABLE",
                &format!("CREATE TABLE t (id integer); ALTER TABLE t OWNER TO {owner}; ALTER TABLE t ENABLE"),
            );
            scene.admin(&scene.database, &make).await;
            assert_eq!(scene.failed().await, unread(&obstacle), "{version}: {make}");
            scene.admin(&scene.database, undo).await;
        }
        assert_eq!(scene.stored(), [""; 0], "{version}");
        scene.verified().await;
        scene.end().await;
    }
}

/// Nobody else can set them, so no login of an archive restores them: whoever can takes them back by what the message says.
#[tokio::test]
async fn default_rights_of_another_role_are_named_with_what_takes_them_back() {
    for version in VERSIONS {
        let scene = Scene::new(version).await;
        let (owner, rw, ro) = (scene.role("owner"), scene.role("rw"), scene.role("ro"));
        scene.tenant("CREATE SCHEMA \"My data\"; GRANT ALL ON SCHEMA \"My data\" TO rw").await;
        let alter = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {rw}");
        for (rights, on, undo) in [
            (
                format!("GRANT SELECT ON TABLES TO {ro}, {owner}"),
                "TABLES",
                format!("{alter} REVOKE ALL ON TABLES FROM {owner}, {ro}"),
            ),
            (
                "REVOKE ALL ON FUNCTIONS FROM PUBLIC".to_owned(),
                "FUNCTIONS",
                format!("{alter} GRANT ALL ON FUNCTIONS TO PUBLIC"),
            ),
            (
                format!("REVOKE UPDATE ON SEQUENCES FROM {rw}; {alter} GRANT USAGE ON SEQUENCES TO PUBLIC"),
                "SEQUENCES",
                format!(
                    "{alter} REVOKE ALL ON SEQUENCES FROM PUBLIC; {alter} GRANT ALL ON SEQUENCES TO {rw}"
                ),
            ),
            (
                format!("IN SCHEMA \"My data\" GRANT EXECUTE ON FUNCTIONS TO {ro}"),
                "FUNCTIONS in schema \"My data\"",
                format!("{alter} IN SCHEMA \"My data\" REVOKE ALL ON FUNCTIONS FROM {ro}"),
            ),
        ] {
            let login = format!("SET ROLE {rw}; {alter} {rights}");
            scene.admin(&scene.database, &login).await;
            let obstacle = format!("default rights of {rw} on {on} can be restored by nobody else: {undo}");
            assert_eq!(scene.failed().await, unread(&obstacle), "{version}: {rights}");
            scene.admin(&scene.database, &undo).await;
        }
        assert_eq!(scene.stored(), [""; 0], "{version}");
        scene.verified().await;
        scene.end().await;
    }
}

#[tokio::test]
async fn rights_that_another_role_has_passed_on_are_named_with_what_takes_them_back() {
    for version in VERSIONS {
        let scene = Scene::new(version).await;
        let (rw, ro) = (scene.role("rw"), scene.role("ro"));
        let things = "CREATE TABLE \"T\" (id integer); CREATE SEQUENCE s; CREATE SCHEMA x; CREATE DOMAIN d AS integer; SELECT lo_create(7); \
                      CREATE PROCEDURE p() LANGUAGE sql AS ''";
        scene.tenant(things).await;
        let cases = [
            ("SELECT", "TABLE", "public.\"T\""),
            ("SELECT (id)", "TABLE", "public.\"T\""),
            ("USAGE", "SEQUENCE", "public.s"),
            ("USAGE", "SCHEMA", "x"),
            ("USAGE", "TYPE", "public.d"),
            ("EXECUTE", "ROUTINE", "public.p()"),
            ("SELECT", "LARGE OBJECT", "7"),
        ];
        for (right, on, name) in cases {
            let given = format!("GRANT {right} ON {on} {name}");
            scene.tenant(&format!("{given} TO rw WITH GRANT OPTION")).await;
            scene.admin(&scene.database, &format!("SET ROLE {rw}; {given} TO {ro}")).await;
            let undo = format!("REVOKE GRANT OPTION FOR ALL ON {on} {name} FROM {rw} CASCADE");
            let obstacle =
                format!("rights on {on} {name} were passed on by {rw}, which nobody else does again: {undo}");
            assert_eq!(scene.failed().await, unread(&obstacle), "{version}: {given}");
            scene.tenant(&undo).await;
        }
        // What may be passed on, and was not, is like any other right.
        for (right, on, name) in cases {
            scene.tenant(&format!("GRANT {right} ON {on} {name} TO rw WITH GRANT OPTION")).await;
        }
        assert_eq!(scene.stored(), [""; 0], "{version}");
        scene.verified().await;
        scene.end().await;
    }
}

#[tokio::test]
async fn a_login_that_is_more_than_a_member_of_one_group_is_refused() {
    for version in VERSIONS {
        let scene = Scene::new(version).await;
        let (login, owner, rw) = (&scene.login, scene.role("owner"), scene.role("rw"));
        let powerful = "it has rights on the whole server".to_owned();
        let cases = [
            (
                format!("ALTER ROLE {login} SUPERUSER"),
                format!("ALTER ROLE {login} NOSUPERUSER"),
                powerful.clone(),
            ),
            (
                format!("ALTER ROLE {login} BYPASSRLS"),
                format!("ALTER ROLE {login} NOBYPASSRLS"),
                powerful.clone(),
            ),
            (format!("ALTER ROLE {owner} CREATEROLE"), format!("ALTER ROLE {owner} NOCREATEROLE"), powerful),
            (
                format!("GRANT {rw} TO {login}"),
                format!("REVOKE {rw} FROM {login}"),
                format!("it is one of {owner}, {rw}"),
            ),
            (
                format!("REVOKE {owner} FROM {login}"),
                format!("GRANT {owner} TO {login}"),
                "it is a member of no group".into(),
            ),
        ];
        let (restorer, database) = (&scene.restorer, &scene.database);
        let ways_in = (
            format!("GRANT CONNECT ON DATABASE {database} TO {restorer}"),
            format!("REVOKE CONNECT ON DATABASE {database} FROM {restorer}"),
            format!("{restorer} may connect to the database itself"),
        );
        for (make, undo, why) in cases.into_iter().chain([ways_in]) {
            scene.admin("postgres", &make).await;
            let message = format!(
                "failed to read the database: failed to use the login: it must be a member of the database's owner group \
                 and of nothing else, but {why}"
            );
            assert_eq!(scene.failed().await, failed(Stage::Dump, &message), "{version}: {make}");
            scene.admin("postgres", &undo).await;
        }
        scene.end().await;
    }
}

/// A restore calls what a CHECK calls: the way in which a superuser's restore made a tenant superuser.
#[tokio::test]
async fn what_a_tenant_planted_runs_with_the_tenants_own_rights() {
    for version in VERSIONS {
        let scene = Scene::new(version).await;
        let Scene { login, restorer, database, scratch, .. } = &scene;
        let trap = format!(
            "CREATE FUNCTION take_over(integer) RETURNS boolean LANGUAGE plpgsql AS $$
             BEGIN
               BEGIN RESET ROLE; EXECUTE 'ALTER ROLE {login} SUPERUSER'; EXCEPTION WHEN OTHERS THEN NULL; END;
               -- When it is restored, nobody whose password it could change gets into the database that it comes from.
               IF current_database() = '{scratch}' THEN
                 RETURN session_user = '{restorer}' AND NOT has_database_privilege(session_user, '{database}', 'CONNECT');
               END IF;
               RETURN current_setting('is_superuser') = 'off';
             END$$;
             CREATE TABLE bait (id integer CHECK (take_over(id)), twice integer GENERATED ALWAYS AS (id * 2) STORED)"
        );
        scene.tenant(&trap).await;
        // Not the superuser, who stands for the tenant elsewhere.
        let mut tenant = scene.postgres.connect(login, &scene.password, &scene.database).await.unwrap();
        let insert = format!("SET ROLE {}; INSERT INTO bait VALUES (1)", scene.role("owner"));
        sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut tenant).await.unwrap();
        let report = scene.verified().await;
        assert_eq!((report.tables, report.rows), (1, 1), "{version}");
        let query = "SELECT rolsuper FROM pg_roles WHERE rolname = $1";
        let mut session = scene.session().await;
        let superuser: bool = sqlx::query_scalar(query).bind(login).fetch_one(&mut session).await.unwrap();
        assert!(!superuser, "{version}");
        drop((session, tenant));
        scene.end().await;
    }
}

#[tokio::test]
async fn a_store_or_tools_that_are_not_there_are_named() {
    let scene = Scene::new(VERSIONS[0]).await;
    let missing = scene.folder.path().join("missing");
    let mut config = scene.config();
    config.store = Store::Folder(missing.clone());
    let report = tenantry::services::archive::run(config, CancellationToken::new()).await;
    let message = format!(
        "failed to use the store: failed to use the store {}: it is not a folder; is the volume mounted?",
        missing.display()
    );
    let wanted = failed(Stage::Store, &message);
    assert_eq!(serde_json::to_value(report).unwrap()["message"], wanted.message);

    let mut config = scene.config();
    config.tools.clone_from(&missing);
    let report = tenantry::services::archive::run(config, CancellationToken::new()).await;
    let message = format!(
        "failed to use the PostgreSQL client: failed to start {}/pg_dump; is it the folder of the PostgreSQL client?: \
         No such file or directory (os error 2)",
        missing.display()
    );
    assert_eq!(serde_json::to_value(report).unwrap()["message"], message);

    let mut config = scene.config();
    config.scratch.clone_from(&scene.database);
    let report = tenantry::services::archive::run(config, CancellationToken::new()).await;
    let message = serde_json::to_value(report).unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("and not be the database itself"), "{message}");
    scene.end().await;
}

#[tokio::test]
async fn a_lock_on_a_tenants_own_table_ends_the_dump_by_name_and_leaves_nothing() {
    for version in VERSIONS {
        let scene = Scene::new(version).await;
        scene.tenant("CREATE TABLE held AS SELECT 1 AS id").await;
        let mut holder = scene.postgres.admin(&scene.database).await;
        let lock = "BEGIN; LOCK TABLE public.held IN ACCESS EXCLUSIVE MODE";
        sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
        let mut config = scene.config();
        config.lock_wait = Duration::from_millis(100);
        let report = tenantry::services::archive::run(config, CancellationToken::new()).await;
        let Outcome::Failed(Failed { stage, message, object: None }) = report.outcome else {
            panic!("{report:?}");
        };
        assert_eq!(stage, Stage::Dump, "{message}");
        assert!(message.contains("held") && message.contains("lock timeout"), "{message}");
        assert_eq!(scene.stored(), [""; 0], "{version}");
        holder.close().await.unwrap();
        scene.verified().await;
        scene.end().await;
    }
}

#[tokio::test]
async fn a_scratch_database_with_something_in_it_is_not_restored_into() {
    let scene = Scene::new(VERSIONS[0]).await;
    scene.admin(&scene.scratch, "CREATE TABLE left_over (id integer)").await;
    let wanted = Failed {
        stage: Stage::Restore,
        message: "failed to read the database: failed to use the scratch database: it is not empty (table public.left_over), \
                  so nobody could say what was restored; make a new one"
            .into(),
        object: Some(format!("{}/7612/app/7.dump", scene.url())),
    };
    assert_eq!(scene.failed().await, wanted);
    assert_eq!(scene.stored(), [""; 0]);
    scene.end().await;
}

#[tokio::test]
async fn a_shutdown_ends_it_and_leaves_nothing() {
    let scene = Scene::new(VERSIONS[0]).await;
    scene.tenant("CREATE TABLE t AS SELECT 1 AS id").await;
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let mut config = scene.config();
    config.name = ObjectName::parse("7612/app/8").unwrap();
    let temporary = config.temporary.join("temporary");
    fs::create_dir(&temporary).unwrap();
    config.temporary.clone_from(&temporary);
    let report = tenantry::services::archive::run(config, shutdown).await;
    let message = "failed to come to an end: the pod was stopped; the next try begins anew";
    assert_eq!(serde_json::to_value(report).unwrap()["message"], message);
    assert_eq!((scene.stored(), super::scene::files(&temporary)), (vec![], vec![]));
    scene.end().await;
}
