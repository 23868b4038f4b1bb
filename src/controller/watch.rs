//! The watches: they feed the stores and say who has to look again. They never act.
//!
//! Our own kinds are watched whole; what we made of Kubernetes' kinds is watched as metadata only, and of that only
//! what tells a change is kept. Lists are streamed (KEP-3157), so a start holds one object at a time.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::{Backoff, ResetTimerBackoff};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::child::Child;
use super::context::{Context, StoreOf, Stores};
use super::object::{Key, Kind};
use super::own::{Own, OwnKind};
use super::store::{Change, Store};
use super::triggers;
use crate::api::labels;

/// Objects in one page of the first list.
const PAGE: u32 = 250;

const FIRST_WAIT: Duration = Duration::from_millis(800);
/// A CRD that is installed again, and an API server that is back, are seen within so long. kube's own backoff waits up to a
/// minute, and takes two to forget the failures of before.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long a watch that failed waits until it is tried again; `random` draws from 0..1.
struct Waits<R> {
    random: R,
    failures: u32,
}

impl<R: FnMut() -> f64> Iterator for Waits<R> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        Some(wait.mul_f64(0.5 + (self.random)() / 2.0))
    }
}

impl<R: FnMut() -> f64 + Send + Sync + Unpin> Backoff for Waits<R> {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

fn backoff(context: &Context) -> impl Backoff {
    // A watch that starts and fails at once did not succeed.
    ResetTimerBackoff::new(Waits { random: || context.jitter(), failures: 0 }, LONGEST_WAIT)
}

/// Label selector of everything that we made.
fn ours() -> String {
    format!("{}={}", labels::MANAGED_BY, labels::MANAGER)
}

/// Reads the bodies of everything that we made, once, so that the first turns can compare without a GET each.
pub async fn seed(context: &Context) -> Result<(), kube::Error> {
    for kind in Kind::CHILDREN {
        let api: Api<DynamicObject> = Api::all_with(context.client.clone(), &kind.api_resource());
        let mut params = ListParams::default().labels(&ours()).limit(PAGE);
        loop {
            let page = api.list(&params).await?;
            let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
            page.items.into_iter().for_each(|object| context.seeds.put(kind, object));
            let Some(next) = next else { break };
            params = params.continue_token(&next);
        }
    }
    Ok(())
}

/// Starts every watch.
pub fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
    for kind in Kind::CHILDREN {
        let (context, shutdown) = (Arc::clone(context), shutdown.clone());
        tasks.spawn(async move {
            shutdown.run_until_cancelled(watch_children(&context, kind)).await;
        });
    }
    let (watched, ended) = (Arc::clone(context), shutdown.clone());
    tasks.spawn(async move {
        ended.run_until_cancelled(watch_admin_secrets(&watched)).await;
    });
    own::<crate::api::Tenant>(context, tasks, shutdown);
    own::<crate::api::Plan>(context, tasks, shutdown);
    own::<crate::api::Blueprint>(context, tasks, shutdown);
    own::<crate::api::DatabaseServer>(context, tasks, shutdown);
    own::<crate::api::ServerDatabase>(context, tasks, shutdown);
    own::<crate::api::TenantDatabase>(context, tasks, shutdown);
    own::<crate::api::Microservice>(context, tasks, shutdown);
}

fn own<K: OwnKind>(context: &Arc<Context>, tasks: &mut JoinSet<()>, shutdown: &CancellationToken)
where
    Stores: StoreOf<K>,
{
    let (context, shutdown) = (Arc::clone(context), shutdown.clone());
    tasks.spawn(async move {
        shutdown.run_until_cancelled(watch_own::<K>(&context)).await;
    });
}

/// Waits until every store is complete.
pub async fn synced(context: &Context) {
    let stores = &context.stores;
    tokio::join!(
        stores.tenants.wait_synced(),
        stores.plans.wait_synced(),
        stores.blueprints.wait_synced(),
        stores.database_servers.wait_synced(),
        stores.server_databases.wait_synced(),
        stores.tenant_databases.wait_synced(),
        stores.microservices.wait_synced(),
    );
    for store in context.children.values() {
        store.wait_synced().await;
    }
}

async fn watch_own<K: OwnKind>(context: &Context)
where
    Stores: StoreOf<K>,
{
    let api: Api<DeserializeGuard<K>> = Api::all(context.client.clone());
    let config = watcher::Config::default().streaming_lists();
    let events = kube::runtime::watcher(api, config).backoff(backoff(context));
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                mirror(context, K::KIND, &event);
                let event = event.modify(|DeserializeGuard(result)| match result {
                    Ok(object) => object.meta_mut().managed_fields = None,
                    Err(invalid) => invalid.metadata.managed_fields = None,
                });
                let store: &Store<Own<K>> = context.stores.store();
                let listed = matches!(event, Event::InitDone);
                for change in store.observe_event(event, guarded_meta::<K>, guarded_own::<K>) {
                    triggers::own_changed(context, &change);
                }
                if listed {
                    triggers::own_listed(context, K::KIND);
                }
            }
            Err(error) => tracing::warn!(object.kind = %K::KIND, %error, "watch failed; trying again"),
        }
    }
}

/// Our kinds are children too (a tenant makes claims and microservices), so the gate knows their metadata as well.
fn mirror<K: OwnKind>(context: &Context, kind: Kind, event: &Event<DeserializeGuard<K>>) {
    let Some(store) = context.children.get(&kind) else { return };
    let meta = |guard: &DeserializeGuard<K>| guarded_meta(guard).clone();
    let event = match event {
        Event::Apply(object) => Event::Apply(meta(object)),
        Event::Delete(object) => Event::Delete(meta(object)),
        Event::InitApply(object) => Event::InitApply(meta(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    };
    for change in store.observe_event(event, |meta| meta, |meta| Child::new(kind, &meta)) {
        child_changed(context, kind, &change);
    }
}

fn guarded_meta<K: OwnKind>(guard: &DeserializeGuard<K>) -> &ObjectMeta {
    match &guard.0 {
        Ok(object) => object.meta(),
        Err(invalid) => &invalid.metadata,
    }
}

fn guarded_own<K: OwnKind>(guard: DeserializeGuard<K>) -> Own<K> {
    match guard.0 {
        Ok(object) => Own::Valid(object),
        Err(invalid) => Own::Invalid { meta: Box::new(invalid.metadata), error: invalid.error },
    }
}

async fn watch_children(context: &Context, kind: Kind) {
    let Some(store) = context.children.get(&kind) else { return };
    let resource: ApiResource = kind.api_resource();
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(context.client.clone(), &resource);
    let config = watcher::Config::default().labels(&ours()).streaming_lists();
    let events = kube::runtime::watcher(api, config).backoff(backoff(context));
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let meta = |object: &PartialObjectMeta<DynamicObject>| object.metadata.clone();
                if let Event::Apply(object) | Event::Delete(object) = &event {
                    context.seeds.discard(kind, &Key::of(&object.metadata));
                }
                let event = match event {
                    Event::Apply(object) => Event::Apply(meta(&object)),
                    Event::Delete(object) => Event::Delete(meta(&object)),
                    Event::InitApply(object) => Event::InitApply(meta(&object)),
                    Event::Init => Event::Init,
                    Event::InitDone => Event::InitDone,
                };
                for change in store.observe_event(event, |meta| meta, |meta| Child::new(kind, &meta)) {
                    child_changed(context, kind, &change);
                }
            }
            Err(error) => tracing::warn!(object.kind = %kind, %error, "watch failed; trying again"),
        }
    }
}

/// Admin Secrets of external servers are people's: a corrected one is tried at once. Nothing of them is kept.
async fn watch_admin_secrets(context: &Context) {
    let resource = Kind::Secret.api_resource();
    let api: Api<PartialObjectMeta<DynamicObject>> =
        Api::namespaced_with(context.client.clone(), labels::SERVERS_NAMESPACE, &resource);
    let events =
        kube::runtime::watcher(api, watcher::Config::default().streaming_lists()).backoff(backoff(context));
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(secret) | Event::Delete(secret)) => {
                triggers::admin_secret_changed(context, &secret.name_any());
            }
            Ok(Event::Init | Event::InitApply(_) | Event::InitDone) => {}
            Err(error) => tracing::warn!(%error, "watch of admin Secrets failed; trying again"),
        }
    }
}

fn child_changed(context: &Context, kind: Kind, change: &Change<Child>) {
    match change {
        Change::Removed { key, before } => {
            context.gate.forget(kind, key);
            triggers::owner_of(context, kind, before);
        }
        Change::Upserted { key, before, after } => {
            // Workloads carry what we report, so each of their events counts; of the rest only what we did not
            // do ourselves.
            let echo = context.gate.is_echo(kind, key, after.token) && !after.deleting;
            if !echo || matches!(kind, Kind::Deployment | Kind::StatefulSet | Kind::Job) {
                triggers::owner_of(context, kind, after);
                if let Some(before) = before.as_ref().filter(|before| before.owner != after.owner) {
                    triggers::owner_of(context, kind, before);
                }
            }
            // New credentials roll the pods that use them.
            if before.as_ref().is_some_and(|before| before.binding_hash != after.binding_hash)
                || before.is_none()
            {
                triggers::binding_changed(context, kind, key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_tried_again_within_ten_seconds_however_often_it_failed() {
        let seconds = |random: f64| -> Vec<f64> {
            Waits { random: || random, failures: 0 }.take(6).map(|wait| wait.as_secs_f64()).collect()
        };
        assert_eq!(seconds(0.0), [0.4, 0.8, 1.6, 3.2, 5.0, 5.0]);
        assert_eq!(seconds(1.0), [0.8, 1.6, 3.2, 6.4, 10.0, 10.0]);
        let mut waits = Waits { random: || 1.0, failures: u32::MAX };
        assert_eq!(waits.next(), Some(LONGEST_WAIT));
        waits.reset();
        assert_eq!(waits.next(), Some(FIRST_WAIT));
    }
}
