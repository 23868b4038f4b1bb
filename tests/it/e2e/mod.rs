//! End to end: a whole cluster, the program in its pods, and the demo as `make demo` leaves it. One cluster for all
//! tests, each with tenants of its own. Needs root, so `tests/run.sh` leaves `e2e::` out without it.

mod calls;
mod crashes;
mod demo;
mod trouble;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use tenantry::controller::object::Kind;
use tokio::sync::RwLock;

use crate::controller::scene::{A_MINUTE, Scene};
use crate::support::wait_until;

/// Read while a test relies on an operator that is left alone, written while one is killed again and again.
static CALM: RwLock<()> = RwLock::const_new(());

/// A Tenant like those of the demo.
fn tenant() -> Value {
    json!({"planRef": {"name": "small"}, "blueprints": [{"name": "demo"}]})
}

/// Waits until the tenant has so many pods and all of them are Ready.
async fn pods(scene: &Scene<'_>, tenant: &str, wanted: usize) {
    let namespace = format!("tenant-{tenant}");
    let pods = Api::<Pod>::namespaced(scene.client.clone(), &namespace);
    wait_until(A_MINUTE, &format!("{namespace} has {wanted} pods, all Ready"), async || {
        let found = pods.list(&ListParams::default()).await.unwrap().items;
        let ready = found.iter().filter(|pod| is_ready(pod)).count();
        if (found.len(), ready) == (wanted, wanted) {
            Ok(())
        } else {
            Err(format!("{} pods, {ready} of them Ready", found.len()))
        }
    })
    .await;
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Creates the test's tenant `rest` and waits until it is Ready.
async fn open(scene: &Scene<'_>, rest: &str) -> String {
    scene.create(Kind::Tenant, &scene.cluster(rest), tenant()).await;
    scene.ready(Kind::Tenant, &scene.cluster(rest)).await;
    scene.name(rest)
}
