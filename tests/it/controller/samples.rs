//! The samples, applied as their reader applies them. Those of the demo run in pods: tests/it/e2e.

use std::path::Path;
use std::process::Command;

use sqlx::Executor;
use tenantry::controller::object::{Key, Kind};

use super::scene::Scene;
use super::site::Site;
use crate::support::{Operator, kubectl};

/// `kubectl apply` of one file of the sample.
fn apply(scene: &Scene<'_>, file: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples/shop").join(file);
    let mut command = Command::new(kubectl());
    command.env("KUBECONFIG", scene.plane.kubeconfig()).args(["apply", "-f"]).arg(file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_shop_becomes_ready_when_its_server_is_a_real_one() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = Scene::new(&site).await;
    apply(&scene, "1-server.yaml");
    let server = Key::cluster("warehouse");
    let said = scene.refused(Kind::DatabaseServer, &server, "SecretInvalid").await;
    assert!(said.contains("ca.crt"), "{said}");

    // The two things that the sample's reader has to replace: where the server is, and what the Secret holds.
    site.postgres.register(&scene.client, "warehouse").await;
    scene.ready(Kind::DatabaseServer, &server).await;
    apply(&scene, "2-platform.yaml");
    apply(&scene, "3-tenant.yaml");
    scene.ready(Kind::Tenant, &Key::cluster("northwind")).await;
    apply(&scene, "4-own-objects.yaml");
    let reports = Key::namespaced("tenant-northwind", "reports");
    let claim = scene.ready(Kind::TenantDatabase, &reports).await;
    assert_eq!(claim["status"]["server"], "warehouse");
    scene.ready(Kind::Microservice, &reports).await;
    let secret = Key::namespaced("tenant-northwind", "reports-nightly");
    assert!(scene.get(Kind::Secret, &secret).await.is_some());

    let mut admin = site.postgres.admin("postgres").await;
    admin.execute("create database legacy_crm").await.unwrap();
    apply(&scene, "5-adopted.yaml");
    let crm = scene.ready(Kind::TenantDatabase, &Key::namespaced("tenant-northwind", "crm")).await;
    assert_eq!(crm["status"]["serverDatabase"], "legacy-crm");
    operator.stop().await;
}
