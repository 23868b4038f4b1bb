//! The end of an operator that may not go on: nothing of it acts any more, and the next one takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tenantry::api::labels::SYSTEM_NAMESPACE;
use tenantry::controller::RunError;
use tenantry::controller::apply::Effect;
use tenantry::controller::lease::LEASE;
use tenantry::controller::object::Kind;

use super::shop;
use super::site::Site;
use crate::support::Operator;

async fn leases(site: &Site) -> Api<Lease> {
    Api::namespaced(site.client().await, SYSTEM_NAMESPACE)
}

/// Who holds the Lease.
async fn holder(site: &Site) -> Option<String> {
    leases(site).await.get(LEASE).await.unwrap().spec.unwrap().holder_identity
}

#[tokio::test]
async fn an_operator_that_lost_its_lease_ends_and_leaves_it_to_its_successor() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let taken = json!({"spec": {"holderIdentity": "successor"}});
    leases(&site).await.patch(LEASE, &PatchParams::default(), &Patch::Merge(taken)).await.unwrap();
    let ended = operator.ended().await;
    assert!(matches!(ended, Err(RunError::Lease(_))), "{ended:?}");
    assert_eq!(holder(&site).await.as_deref(), Some("successor"));
}

/// A panic is a mistake of ours of unknown reach: the whole process starts again rather than go on without a worker.
#[tokio::test]
async fn a_panic_in_one_turn_ends_the_operator_and_the_next_one_goes_on_from_there() {
    let site = Site::own().await;
    let fell = Arc::new(AtomicBool::new(false));
    let falls = Arc::clone(&fell);
    let probe = move |effect: Effect<'_>| {
        let here = effect.kind == Kind::Deployment && &*effect.key.name == "web";
        assert!(!here || falls.swap(true, Ordering::Relaxed), "the test has this worker fall");
    };
    let operator = Operator::launch(&site, Some(Arc::new(probe))).await;
    operator.leads().await;
    let scene = shop::furnish(&site).await;
    scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(&scene)).await;
    let ended = operator.ended().await;
    assert!(matches!(ended, Err(RunError::Worker(_))), "{ended:?}");
    assert!(fell.load(Ordering::Relaxed));
    assert_eq!(holder(&site).await, None, "the next one need not wait for the Lease to expire");
    let next = Operator::start(&site).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    next.stop().await;
}
