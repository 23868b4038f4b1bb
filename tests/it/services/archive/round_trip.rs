//! A database with one of everything is archived, and the report says what is in it.

use std::fs;
use std::io::Read;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tenantry::api::archive::{Outcome, Report, Verified};

use super::VERSIONS;
use super::scene::{Kept, Scene};
use crate::support::postgres::Version;

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// What the report of an archive of `rich.sql` has to be; the moment and the hash of the content only the report knows.
async fn wanted(scene: &Scene, file: &str, report: &Verified) -> Verified {
    let url = format!("{}/7612/app/{file}", scene.url());
    let path = scene.file(&url);
    let dump = fs::read(&path).unwrap();
    let mut session = scene.session().await;
    let (system_identifier, lsn_is_past, taken_just_now): (String, bool, bool) = sqlx::query_as(
        "SELECT system_identifier::text, $1::pg_lsn <= pg_current_wal_insert_lsn(), \
         $2::timestamptz BETWEEN now() - interval '5 min' AND now() FROM pg_control_system()",
    )
    .bind(&report.snapshot.lsn)
    .bind(report.snapshot.taken_at.to_string())
    .fetch_one(&mut session)
    .await
    .unwrap();
    assert!(lsn_is_past && taken_just_now, "{:?}", report.snapshot);
    let tool =
        std::process::Command::new(scene.config().tools.join("pg_dump")).arg("--version").output().unwrap();
    let version = String::from_utf8(tool.stdout).unwrap();
    Verified {
        object: url,
        sha256: sha256(&dump),
        bytes: dump.len() as u64,
        database: scene.database.clone(),
        system_identifier,
        snapshot: report.snapshot.clone(),
        // users, hidden, two partitions, parent, child, fast, nothing and the weird one
        tables: 9,
        rows: 501 + 100 + 2 + 3 + 1 + 4,
        sequences: 3,
        large_objects: 3,
        content_sha256: report.content_sha256.clone(),
        tool: format!("pg_dump {}", version.split(' ').nth(2).unwrap().trim()),
    }
}

#[tokio::test]
async fn one_of_everything_is_verified_and_so_is_the_next_archive() {
    for (version, kept) in
        [(Version::V15, Kept::Folder), (Version::V18, Kept::Folder), (Version::V15, Kept::Bucket)]
    {
        let scene = Scene::keeping(kept, version).await;
        scene.tenant(include_str!("rich.sql")).await;

        let first = scene.verified().await;
        assert_eq!(first, wanted(&scene, "7.dump", &first).await, "{version}");
        assert_eq!(scene.stored(), ["7.dump", "7.json"], "{version}");
        let manifest = fs::read(scene.root().join("7612/app/7.json")).unwrap();
        let manifest: Report = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest, Report::new(Outcome::Verified(first.clone())), "{version}");
        let mut magic = [0; 5];
        fs::File::open(scene.root().join("7612/app/7.dump")).unwrap().read_exact(&mut magic).unwrap();
        assert_eq!(&magic, b"PGDMP", "a custom-format dump");

        scene.renew_scratch().await;
        let second = scene.verified().await;
        assert_eq!(second, wanted(&scene, "7.2.dump", &second).await, "{version}");
        assert_eq!(second.content_sha256, first.content_sha256, "{version}");
        assert_eq!(scene.stored(), ["7.2.dump", "7.2.json", "7.dump", "7.json"], "{version}");

        scene.renew_scratch().await;
        scene.tenant("UPDATE users SET state = 'new' WHERE id = 7").await;
        let third = scene.verified().await;
        assert_eq!(third.rows, first.rows, "{version}");
        assert_ne!(third.content_sha256, first.content_sha256, "{version}");
        scene.end().await;
    }
}

#[tokio::test]
async fn an_empty_database_is_an_archive_too() {
    for version in VERSIONS {
        let scene = Scene::new(version).await;
        let report = scene.verified().await;
        assert_eq!((report.tables, report.rows, report.sequences, report.large_objects), (0, 0, 0, 0));
        assert_eq!(scene.stored(), ["7.dump", "7.json"], "{version}");
        scene.end().await;
    }
}

/// `pg_dump` leaves an index out that was never finished, with its comment; one that waits for the partitions' it dumps.
#[tokio::test]
async fn an_index_that_was_never_finished_is_not_missed() {
    for version in VERSIONS {
        let scene = Scene::new(version).await;
        let tables = "CREATE TABLE t AS SELECT 1 AS id FROM generate_series(1, 2); CREATE TABLE p (id integer) PARTITION BY RANGE (id); \
                      CREATE TABLE p1 PARTITION OF p DEFAULT; CREATE INDEX waits ON ONLY p (id); COMMENT ON INDEX waits IS 'for p1'";
        scene.tenant(tables).await;
        let mut session = scene.session().await;
        let owner = AssertSqlSafe(format!("SET ROLE {}", scene.role("owner")));
        session.execute(owner).await.unwrap();
        session.execute("CREATE UNIQUE INDEX CONCURRENTLY never ON t (id)").await.unwrap_err();
        session.execute("COMMENT ON INDEX never IS 'of duplicates'").await.unwrap();
        session.close().await.unwrap();
        assert_eq!(scene.verified().await.rows, 2, "{version}");
        scene.end().await;
    }
}

/// Locks of the archive's own session in the database, while the dump has one there too.
const LOCKS: &str = "WITH own AS (SELECT pid FROM pg_stat_activity WHERE usename = $1 AND datname = $2 ORDER BY backend_start) \
    SELECT (SELECT count(*) FROM pg_locks l WHERE l.pid = (SELECT pid FROM own LIMIT 1)) WHERE (SELECT count(*) FROM own) > 1";

#[tokio::test]
async fn a_snapshot_is_kept_without_the_locks_of_what_was_read_in_it() {
    let scene = Scene::new(VERSIONS[0]).await;
    let create = "DO $$ BEGIN FOR i IN 1..200 LOOP EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY)', i); END LOOP; END $$";
    scene.tenant(create).await;
    let mut watcher = scene.postgres.admin("postgres").await;
    let (mut seen, mut most): (usize, i64) = (0, 0);
    let mut archive = Box::pin(scene.verified());
    let verified = loop {
        let locks = sqlx::query_scalar(LOCKS).bind(&scene.login).bind(&scene.database);
        tokio::select! {
            verified = &mut archive => break verified,
            locks = locks.fetch_all(&mut watcher) => {
                let locks: Vec<i64> = locks.unwrap();
                seen += locks.len();
                most = most.max(locks.into_iter().max().unwrap_or(0));
            }
        }
    };
    drop(archive);
    assert_eq!(verified.tables, 200);
    assert!(seen > 0, "nobody looked while the dump was made");
    assert!(most < 50, "{most} locks");
    drop(watcher);
    scene.end().await;
}
