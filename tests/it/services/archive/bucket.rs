//! A bucket as the store: what it takes that a folder does not, and what stands against it.

use std::fs::{self, File};
use std::time::SystemTime;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tenantry::api::archive::{Failed, Stage};
use tenantry::services::archive::{Access, ObjectName, Store, StoreError, parse_store};
use uuid::Uuid;

use super::VERSIONS;
use super::scene::{Kept, Scene};
use crate::support::s3::{ACCESS_KEY_ID, Bucket, SECRET_ACCESS_KEY};

/// A part of an upload, and a bit.
const LARGE: usize = 32 * 1024 * 1024 + 5;

/// A bucket, its credentials, and the store in it.
struct Place {
    bucket: Bucket,
    access: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let (bucket, access) = (Bucket::new(), tempfile::tempdir().unwrap());
        for (file, text) in
            [("accessKeyId", ACCESS_KEY_ID), ("secretAccessKey", SECRET_ACCESS_KEY), ("ca.crt", &bucket.ca)]
        {
            fs::write(access.path().join(file), text).unwrap();
        }
        Self { bucket, access }
    }

    fn open(&self, endpoint: &str) -> Result<Store, StoreError> {
        let access = Access {
            endpoint: Some(endpoint.to_owned()),
            region: None,
            credentials: self.access.path().to_owned(),
            ca: Some(self.access.path().join("ca.crt")),
        };
        Store::open(parse_store(&format!("s3://{}", self.bucket.name)).unwrap(), Some(access))
    }

    fn store(&self) -> Store {
        self.open(&self.bucket.endpoint).unwrap()
    }
}

fn name(name: &str) -> ObjectName {
    ObjectName::parse(name).unwrap()
}

#[tokio::test]
async fn a_dump_of_many_parts_comes_back_as_it_was_and_nothing_is_written_over() {
    let place = Place::new();
    let unsafe_one = place.open(&place.bucket.endpoint.replace("https", "http")).unwrap_err();
    assert!(unsafe_one.to_string().ends_with("it must be https://host or https://host:port"), "{unsafe_one}");
    let (store, name) = (place.store(), name("1/t_abc_app/7"));
    let begin = async || store.upload(&name, Uuid::now_v7(), Timestamp::now()).await.unwrap();
    let large = b"no part is like the other".repeat(LARGE / 25 + 1)[..LARGE].to_vec();
    let mut upload = begin().await;
    for piece in large.chunks(5_000_000) {
        upload.write(piece).await.unwrap();
    }
    // A mark, and what the server keeps of the parts: nothing that could be taken for a dump.
    assert!(place.bucket.folder.join("1/t_abc_app/7.part").exists());
    assert!(!place.bucket.folder.join("1/t_abc_app/7.dump").exists());
    // Another attempt at the same name, at the same time.
    let mut other = begin().await;
    other.write(b"other").await.unwrap();
    let first = upload.finish().await.unwrap();
    let (sha256, bytes) = first.read().await.unwrap().finish().await.unwrap();
    assert_eq!((&*sha256, bytes), first.written());
    assert_eq!(bytes, LARGE as u64);
    assert!(fs::read(place.bucket.folder.join("1/t_abc_app/7.dump")).unwrap() == large);
    first.write_manifest("{}".into(), Uuid::now_v7()).await.unwrap();
    // An answer that was lost is asked for again; another text is another manifest.
    first.write_manifest("{}".into(), Uuid::now_v7()).await.unwrap();
    first.write_manifest("[]".into(), Uuid::now_v7()).await.unwrap_err();
    let second = other.finish().await.unwrap();
    assert_eq!(second.url(), format!("s3://{}/1/t_abc_app/7.2.dump", place.bucket.name));
    let folder =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| format!("1/t_abc_app/{name}")).collect() };
    assert_eq!(place.bucket.objects(), folder(&["7.2.dump", "7.2.part", "7.dump", "7.json"]));
    assert_eq!(fs::read(place.bucket.folder.join("1/t_abc_app/7.json")).unwrap(), b"{}");
    second.remove().await.unwrap();

    // What is given up leaves nothing, in whatever state.
    let mut given_up = begin().await;
    given_up.write(&large).await.unwrap();
    given_up.abandon().await;
    let mut whole = begin().await;
    whole.write(b"whole").await.unwrap();
    whole.finish().await.unwrap();
    whole.abandon().await;
    begin().await.abandon().await;
    assert_eq!(place.bucket.objects(), folder(&["7.dump", "7.json"]));
}

#[tokio::test]
async fn what_dead_attempts_have_left_goes_a_day_later_and_archives_stay() {
    let place = Place::new();
    let folder = place.bucket.folder.join("76/t_x_app");
    fs::create_dir_all(&folder).unwrap();
    let long_ago = SystemTime::from(Timestamp::now() - SignedDuration::from_hours(25));
    for (file, is_old) in [
        ("3-0000000a.dump", true),
        ("3-0000000a.part", true),
        ("3-0000000b.dump", true),
        ("3-0000000b.json", true),
        ("3-0000000c.dump", false),
        ("3-0000000c.part", false),
        ("by-hand.dump", true),
    ] {
        let file = File::create(folder.join(file)).unwrap();
        if is_old {
            file.set_modified(long_ago).unwrap();
        }
    }
    let objects =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| format!("76/t_x_app/{name}")).collect() };
    let attempt = async |id: &str, now: Timestamp| {
        let upload = place.store().upload(&name(&format!("76/t_x_app/4-{id}")), Uuid::now_v7(), now).await;
        let mut upload = upload.unwrap();
        upload.write(b"x").await.unwrap();
        upload.abandon().await;
    };
    attempt("0000000d", Timestamp::now()).await;
    let kept = ["3-0000000b.dump", "3-0000000b.json", "3-0000000c.dump", "3-0000000c.part", "by-hand.dump"];
    assert_eq!(place.bucket.objects(), objects(&kept));
    attempt("0000000e", Timestamp::now() + SignedDuration::from_hours(25)).await;
    assert_eq!(place.bucket.objects(), objects(&["3-0000000b.dump", "3-0000000b.json", "by-hand.dump"]));
}

/// What each does to a store that works, and what is said of it.
const AGAINST: [(&str, &str); 6] = [
    ("accessKeyId", "No user exists with the provided access key ID."),
    ("secretAccessKey", ": secretAccessKey of the credentials' Secret does not belong to accessKeyId"),
    ("no secretAccessKey", "the credentials have no secretAccessKey"),
    ("bucket", " answers NoSuchBucket (The specified bucket does not exist.): create bucket "),
    ("region", ": correct spec.archive.s3.region"),
    ("ca.crt", "name the CA that has signed it by spec.archive.s3.caSecretName"),
];

#[tokio::test]
async fn what_stands_against_a_bucket_is_told_by_name_and_leaves_nothing() {
    let scene = Scene::keeping(Kept::Bucket, VERSIONS[0]).await;
    let bucket = scene.bucket.clone().unwrap();
    let (key, secret) = (scene.access("accessKeyId"), scene.access("secretAccessKey"));
    for (what, expected) in AGAINST {
        let mut access = Access {
            endpoint: Some(bucket.endpoint.clone()),
            region: None,
            credentials: scene.access(""),
            ca: Some(scene.access("ca.crt")),
        };
        let mut url = scene.url();
        match what {
            "accessKeyId" => fs::write(&key, "somebody").unwrap(),
            "secretAccessKey" => fs::write(&secret, "guessed").unwrap(),
            "no secretAccessKey" => fs::remove_file(&secret).unwrap(),
            "bucket" => url = "s3://not-there/eu".into(),
            "region" => access.region = Some("eu-west-1".into()),
            // The public authorities have not signed it.
            _ => access.ca = None,
        }
        let store = Store::open(parse_store(&url).unwrap(), Some(access)).unwrap();
        let Failed { stage, message, object } = scene.failed_in(store).await;
        fs::write(&key, ACCESS_KEY_ID).unwrap();
        fs::write(&secret, SECRET_ACCESS_KEY).unwrap();
        assert_eq!((stage, object), (Stage::Store, None), "{what}: {message}");
        assert!(message.contains(expected), "{what}: {message}");
        assert!(!message.contains("guessed") && message.len() < 700, "{what}: {message}");
        assert_eq!(bucket.objects(), [""; 0], "{what}");
    }
    scene.verified().await;
    scene.end().await;
}
