//! Archives in a bucket: reached by Secrets that its pods mount, and read where each was written, whatever the server says by then.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tenantry::api::labels::SERVERS_NAMESPACE;
use tenantry::controller::object::{Key, Kind};

use super::archiving::{archived, told};
use super::dropping::{left, looked_at, purged, time_passes};
use super::shop;
use super::site::{Site, Stage};
use crate::support::Operator;
use crate::support::s3::{ACCESS_KEY_ID, Bucket, SECRET_ACCESS_KEY};

fn secrets(scene: &Stage<'_>) -> Api<Secret> {
    Api::namespaced(scene.client.clone(), SERVERS_NAMESPACE)
}

/// Makes a Secret.
async fn secret(scene: &Stage<'_>, name: &str, data: Value) {
    let secret = json!({"metadata": {"name": name}, "stringData": data});
    secrets(scene).create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
}

/// Has the server's archives kept there.
async fn keep_in(scene: &Stage<'_>, archive: Value) {
    let server = Key::cluster(&scene.site.server);
    scene.patch(Kind::DatabaseServer, &server, json!({"spec": {"archive": archive}})).await;
}

#[tokio::test]
async fn an_archive_in_a_bucket_is_made_by_secrets_that_are_there_and_read_again_where_it_was_written() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let users = purged(&scene).await;
    let bucket = Bucket::new();
    let (keys, ca) = (scene.name("keys"), scene.name("ca"));
    let s3 = json!({
        "bucket": bucket.name, "prefix": "eu", "endpoint": bucket.endpoint,
        "credentialsSecretName": keys, "caSecretName": ca,
    });
    keep_in(&scene, json!({"s3": s3})).await;
    let missing =
        format!("there is no Secret tenantry-servers/{keys}: create it with the keys accessKeyId and");
    told(&scene, &users, &missing).await;
    secret(&scene, &keys, json!({"accessKeyId": ACCESS_KEY_ID})).await;
    looked_at(&scene, &users, "with half of its keys").await;
    told(&scene, &users, &format!("Secret tenantry-servers/{keys} has no key secretAccessKey: add it")).await;
    let whole = json!({"stringData": {"secretAccessKey": SECRET_ACCESS_KEY}});
    secrets(&scene).patch(&keys, &PatchParams::default(), &Patch::Merge(&whole)).await.unwrap();
    secret(&scene, &ca, json!({"ca.crt": bucket.ca})).await;
    looked_at(&scene, &users, "with all of its keys").await;

    let mut kept = archived(&scene, &users).await;
    let object = kept["object"].as_str().unwrap().to_owned();
    let key = object.strip_prefix(&format!("s3://{}/", bucket.name)).unwrap().to_owned();
    let file = bucket.folder.join(&key);
    assert!(key.starts_with("eu/"), "{key}");
    assert_eq!(kept["bytes"], std::fs::metadata(&file).unwrap().len(), "{kept}");
    for only_it_knows in ["sha256", "bytes", "takenAt", "verifiedAt"] {
        assert!(!kept[only_it_knows].take().is_null(), "{only_it_knows}");
    }
    let place = json!({
        "bucket": bucket.name, "endpoint": bucket.endpoint, "credentialsSecretName": keys, "caSecretName": ca,
    });
    let expected = json!({
        "object": object, "rows": 1, "s3": place, "sha256": null, "bytes": null, "takenAt": null, "verifiedAt": null,
    });
    assert_eq!(kept, expected);
    let manifest = key.replace(".dump", ".json");
    assert_eq!(bucket.objects(), [key.clone(), manifest], "neither a mark nor anything of the upload");

    // Its server's archives go elsewhere from now on, and somebody removes the credentials for this one.
    keep_in(&scene, json!({"s3": null, "volume": {"claimName": "elsewhere"}})).await;
    secrets(&scene).delete(&keys, &DeleteParams::default()).await.unwrap();
    let before = left(&scene, &users).await;
    time_passes(&scene, &users).await;
    let said = scene.refused(Kind::ServerDatabase, &users, "ArchiveMissing").await;
    assert!(said.contains(&object) && said.contains(&missing), "{said}");

    // They come back wrong: whether the archive is there nobody knows, and nobody says that it is not.
    secret(&scene, &keys, json!({"accessKeyId": ACCESS_KEY_ID, "secretAccessKey": "of another"})).await;
    looked_at(&scene, &users, "with wrong keys").await;
    let reread = Key::namespaced(SERVERS_NAMESPACE, &format!("reread-{}", users.name));
    told(&scene, &users, "has to be read again, which failed: ").await;
    scene.refused(Kind::ServerDatabase, &users, "RereadingArchive").await;
    assert_eq!(left(&scene, &users).await, before);

    // They are right, and what is there is not what was verified; then it is.
    let content = std::fs::read(&file).unwrap();
    std::fs::write(&file, [&content[1..], b"x"].concat()).unwrap();
    secrets(&scene).patch(&keys, &PatchParams::default(), &Patch::Merge(whole)).await.unwrap();
    scene.delete(Kind::Job, &reread).await;
    told(&scene, &users, "failed to find the archive as it was verified").await;
    assert_eq!(left(&scene, &users).await, before);
    std::fs::write(&file, &content).unwrap();
    scene.delete(Kind::Job, &reread).await;
    scene.gone(Kind::ServerDatabase, &users).await;
    assert_eq!(left(&scene, &users).await, Vec::<String>::new());
    assert_eq!(std::fs::read(&file).unwrap(), content, "the archive outlasts everything");
    operator.stop().await;
}
