//! The operator dies at random moments while ten tenants are made, and what comes of it is what comes of a quiet run.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use rand::seq::index;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tenantry::api::labels::SYSTEM_NAMESPACE;
use tenantry::controller::object::Kind;

use super::{pods, tenant};
use crate::controller::scene::{A_MINUTE, Scene};
use crate::support::{FullCluster, WholeState, Write, kill_operator_process, wait_until};

const TENANTS: usize = 10;
const DEATHS: usize = 5;
/// A look at the end state waits for all ten tenants.
const LONG: Duration = Duration::from_mins(3);

#[tokio::test]
async fn an_operator_killed_five_times_makes_what_an_undisturbed_one_makes() {
    let _calm = super::CALM.write().await;
    let cluster = FullCluster::shared().await;
    let quiet = Scene::new(&cluster.plane).await;
    let mark = cluster.plane.mark().await;
    create_tenants(&quiet).await;
    let undisturbed = wait_until(LONG, "the undisturbed run stands still", async || {
        let (state, later) = (end_state(cluster, &quiet).await, end_state(cluster, &quiet).await);
        later.difference(&state).map_or(Ok(later), Err)
    })
    .await;
    let writes = about(&quiet, cluster.plane.operator_writes_since(mark).await);

    // Moments are counts of the operator's writes: the same seed kills at the same places. A death saves some that an undisturbed
    // run makes, such as a status between two others, so the last of them may never come.
    let seed: u64 = rand::rng().random();
    let mut moments = index::sample(&mut StdRng::seed_from_u64(seed), writes * 3 / 4, DEATHS).into_vec();
    moments.sort_unstable();
    let told = format!("seed {seed}: killed after {moments:?} of {writes} writes");
    let disturbed = Scene::new(&cluster.plane).await;
    let mark = cluster.plane.mark().await;
    create_tenants(&disturbed).await;
    for moment in moments {
        wait_until(LONG, &format!("the next death ({told})"), async || {
            let done = about(&disturbed, cluster.plane.operator_writes_since(mark).await);
            if done >= moment { Ok(()) } else { Err(format!("{done} writes")) }
        })
        .await;
        kill_operator(&disturbed).await;
    }
    // Tenants are Ready a moment before the last status of their databases is written.
    wait_until(LONG, &format!("the end state is that of an undisturbed run ({told})"), async || {
        let difference = end_state(cluster, &disturbed).await.difference(&undisturbed);
        difference.map_or(Ok(()), Err)
    })
    .await;
}

async fn create_tenants(scene: &Scene<'_>) {
    for number in 0..TENANTS {
        scene.create(Kind::Tenant, &scene.cluster(&number.to_string()), tenant()).await;
    }
}

/// How many of the writes are about the scene's tenants.
fn about(scene: &Scene<'_>, writes: Vec<Write>) -> usize {
    let of_scene =
        |write: &Write| [&write.namespace, &write.name].iter().any(|it| it.contains(scene.prefix.as_str()));
    writes.into_iter().filter(of_scene).count()
}

/// Kills the operator's process, and its pod, so that the kubelet does not hold the next one back.
async fn kill_operator(scene: &Scene<'_>) {
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), SYSTEM_NAMESPACE);
    let operators = ListParams::default().labels("app.kubernetes.io/component=operator");
    let pod = wait_until(A_MINUTE, "the operator runs", async || {
        let found = pods.list(&operators).await.unwrap().items;
        let running = |pod: &Pod| {
            let state = pod
                .status
                .as_ref()
                .and_then(|status| status.container_statuses.as_ref()?.first()?.state.clone());
            pod.metadata.deletion_timestamp.is_none() && state.is_some_and(|state| state.running.is_some())
        };
        found.into_iter().find(running).ok_or_else(|| "no pod does".to_owned())
    })
    .await;
    kill_operator_process(pod.metadata.uid.as_deref().unwrap());
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    pods.delete(pod.metadata.name.as_deref().unwrap(), &now).await.unwrap();
}

/// What there is in the end, when every tenant is Ready and every pod runs.
async fn end_state(cluster: &FullCluster, scene: &Scene<'_>) -> WholeState {
    for number in 0..TENANTS {
        let key = scene.cluster(&number.to_string());
        scene.ready(Kind::Tenant, &key).await;
        pods(scene, &key.name, 1).await;
    }
    let mut state = scene.state(&cluster.postgres).await;
    for (name, object) in &mut state.0 {
        // These tell of ReplicaSets by name, and in the order in which things happened.
        if name.starts_with("Deployment ") {
            object["status"].as_object_mut().unwrap().remove("conditions");
        }
    }
    state
}
