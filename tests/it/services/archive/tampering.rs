//! What is changed between the dump and its proof is found, whatever it is.

use std::fs;

use tenantry::api::archive::{Lost, Outcome, Stage, Unchanged, Verified};
use tenantry::services::archive::{ArchiveConfig, Cause, RereadConfig, reread};
use tokio_util::sync::CancellationToken;

use super::VERSIONS;
use super::scene::{Kept, Scene};
use crate::support::postgres::Version;

/// The stage and the message of the failure to verify, after `tamper` did something to what `dump` stored.
async fn verdict(scene: &Scene, tamper: impl AsyncFnOnce(&std::path::Path)) -> (Stage, String) {
    let archive = scene.archive().await;
    let dumped = archive.dump().await.unwrap();
    let file = scene.file(&dumped.url());
    tamper(&file).await;
    let error = archive.verify(&dumped).await.unwrap_err();
    assert!(!file.with_extension("json").exists(), "no manifest, no archive");
    (error.stage, error.message())
}

#[tokio::test]
async fn a_byte_a_piece_or_the_whole_object_that_changed_in_the_store_is_found_by_reading_it_back() {
    for kept in [Kept::Folder, Kept::Bucket] {
        let scene = Scene::keeping(kept, VERSIONS[0]).await;
        scene
            .tenant("CREATE TABLE t AS SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 2000) i")
            .await;
        for change in ["first byte", "a byte in the middle", "the last byte", "the end", "one byte more"] {
            let (stage, message) = verdict(&scene, async |path| {
                let mut bytes = fs::read(path).unwrap();
                let middle = bytes.len() / 2;
                match change {
                    "first byte" => bytes[0] ^= 1,
                    "a byte in the middle" => bytes[middle] ^= 0x40,
                    "the last byte" => *bytes.last_mut().unwrap() ^= 1,
                    "the end" => bytes.truncate(middle),
                    _ => bytes.push(0),
                }
                fs::write(path, bytes).unwrap();
            })
            .await;
            assert_eq!(stage, Stage::Fetch, "{kept:?}, {change}: {message}");
            assert!(
                message.starts_with("failed to read back what was written: "),
                "{kept:?}, {change}: {message}"
            );
        }
        let (stage, message) = verdict(&scene, async |path| fs::remove_file(path).unwrap()).await;
        assert_eq!(stage, Stage::Fetch, "{message}");
        scene.end().await;
    }
}

#[tokio::test]
async fn an_archive_is_read_again_without_a_database_and_has_to_be_what_was_verified() {
    for kept in [Kept::Folder, Kept::Bucket] {
        let scene = Scene::keeping(kept, VERSIONS[0]).await;
        scene.tenant("CREATE TABLE t AS SELECT 1 AS id").await;
        let verified = scene.verified().await;
        let read = async || {
            let ArchiveConfig { store, name, .. } = scene.config();
            let config = RereadConfig { store, name, sha256: verified.sha256.clone() };
            reread(config, CancellationToken::new()).await.outcome
        };
        let Verified { object, sha256, bytes, .. } = verified.clone();
        assert_eq!(read().await, Outcome::Unchanged(Unchanged { object, sha256, bytes }));

        let lost = async |what: &str| match read().await {
            Outcome::Lost(Lost { message }) => assert!(message.contains(what), "{message}"),
            other => panic!("{other:?}"),
        };
        let (dump, manifest) = (scene.root().join("7612/app/7.dump"), scene.root().join("7612/app/7.json"));
        let (whole, report) = (fs::read(&dump).unwrap(), fs::read(&manifest).unwrap());
        fs::write(&dump, &whole[1..]).unwrap();
        lost(&format!("failed to find the archive as it was verified: its SHA-256 was {}", verified.sha256))
            .await;
        fs::write(&dump, &whole).unwrap();
        fs::remove_file(&manifest).unwrap();
        lost("there is no such dump with its manifest").await;
        fs::write(&manifest, report).unwrap();
        fs::remove_file(&dump).unwrap();
        lost("there is no such dump with its manifest").await;
        scene.end().await;
    }
}

/// Each changes one thing in the restored database.
const CHANGES: &[&str] = &[
    "UPDATE users SET ratio = 0 WHERE id = 3",
    "DELETE FROM fast WHERE id IS NULL",
    "SELECT nextval('app.numbers')",
    "SELECT nextval('app.untouched')",
    "ALTER SEQUENCE app.untouched INCREMENT 2",
    "SELECT lo_put(4712, 3000000, 'x')",
    "REVOKE SELECT ON LARGE OBJECT 4712 FROM PUBLIC; GRANT UPDATE ON LARGE OBJECT 4711 TO PUBLIC",
    "GRANT SELECT ON hidden TO PUBLIC",
    "ALTER TABLE child ALTER b SET DEFAULT 'x'",
    "DROP INDEX by_state",
    "ALTER TABLE orders DROP CONSTRAINT orders_user_fkey",
    "ALTER TABLE users DROP CONSTRAINT users_state_check",
    "DROP POLICY only_new ON users",
    "ALTER TABLE users ENABLE TRIGGER changed",
    "DROP RULE no_delete ON hidden",
    "COMMENT ON TABLE users IS NULL",
    "ALTER TYPE app.mood RENAME VALUE 'ok' TO 'okay'",
    "ALTER DOMAIN app.mail DROP DEFAULT",
    "ALTER FUNCTION app.twice COST 9",
    "CREATE OR REPLACE VIEW app.olds AS SELECT id, email FROM users",
    "ALTER PUBLICATION changes SET (publish = 'update')",
    "DROP STATISTICS app.both",
    "DROP OPERATOR app.@+@ (integer, integer)",
    "DROP CAST (users AS text)",
    "DROP COLLATION app.plain",
    "ALTER TEXT SEARCH CONFIGURATION app.search DROP MAPPING FOR word",
    "REFRESH MATERIALIZED VIEW app.empty",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE SELECT ON TABLES FROM PUBLIC",
    "CREATE TABLE more ()",
];

/// What is found of that, in order.
fn differences(version: Version, owner: &str) -> Vec<String> {
    // PostgreSQL 18 counts NOT NULL as a constraint.
    let (before, after) = if version == Version::V18 { (4, 3) } else { (2, 1) };
    let found = format!(
        "cast public.users AS text: not restored
        collation app.plain: not restored
        comment table public.users: not restored
        constraint public.orders.orders_user_fkey: not restored
        constraint public.orders_new: {before} restored as {after}
        constraint public.orders_old: {before} restored as {after}
        constraint public.users.users_state_check: not restored
        content of large object 4712: content differs
        default rights {owner} r app: not restored
        function app.twice(integer): definition differs
        index public.by_state: not restored
        large object 4711: rights differs
        materialized view app.empty: populated false restored as true
        operator app.@+@(integer,integer): not restored
        policy public.users.only_new: not restored
        position of sequence app.numbers: last value 15 restored as 20
        position of sequence app.untouched: is called false restored as true
        publication changes: pubinsert true restored as false, pubupdate false restored as true
        rows of table public.fast: content differs, rows 3 restored as 2
        rows of table public.more: restored, but not in the database
        rows of table public.users: content differs
        rule public.hidden.no_delete: not restored
        sequence app.untouched: increment 1 restored as 2
        statistics app.\"both\": not restored
        table public.child: columns differs
        table public.hidden: rights differs
        table public.more: restored, but not in the database
        text search configuration app.search: map differs
        trigger public.users.changed: enabled differs
        type app.mail: default differs
        type app.mood: labels differs
        view app.olds: options differs, query differs"
    );
    found.lines().map(|line| line.trim_start().to_owned()).collect()
}

#[tokio::test]
async fn whatever_differs_in_the_restored_database_is_named() {
    for version in VERSIONS {
        let scene = Scene::new(version).await;
        scene.tenant(include_str!("rich.sql")).await;
        let archive = scene.archive().await;
        let dumped = archive.dump().await.unwrap();
        archive.restore(&dumped).await.unwrap();
        archive.compare(&dumped).await.unwrap();
        let owner = scene.role("owner");
        for change in CHANGES {
            scene.admin(&scene.scratch, &format!("SET ROLE {owner}; {change}")).await;
        }
        let error = archive.compare(&dumped).await.unwrap_err();
        let Cause::Differences(found) = error.cause else { panic!("{error}") };
        assert_eq!((error.stage, found), (Stage::Compare, differences(version, &owner)), "{version}");
        scene.end().await;
    }
}
