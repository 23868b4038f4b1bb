//! Status: written when it says something new, and not more often than a reader needs.
//!
//! The first status of a generation, errors and the end are written at once. Mere progress between steps is held
//! back until a step has taken two seconds, so that a tenant that is ready at once costs two writes.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::events::{Event, EventType};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::apply::ApplyError;
use super::compare;
use super::context::{Context, StoreOf, Stores};
use super::object::{Key, Kind};
use super::own::{Own, OwnKind, Status};
use super::triggers;
use crate::api::condition::{self, READY, STALLED, SUSPENDED, Summary, reason};
use crate::api::step::StepPhase;

/// Writes `next` as the status of `object`, if it says something new that is worth a write now. Otherwise says
/// when to come back.
pub async fn publish<K: OwnKind>(
    context: &Context,
    object: &K,
    mut next: K::Status,
) -> Result<Option<Duration>, ApplyError>
where
    Stores: StoreOf<K>,
{
    next.set_observed_generation(object.meta().generation);
    let before = object.status().cloned().unwrap_or_default();
    let uid = object.uid().unwrap_or_default();
    if before == next {
        return Ok(None);
    }
    if is_mere_progress(&before, &next) {
        let running = next.steps().iter().find(|step| step.phase == Some(StepPhase::Running));
        let wait = context.progress.wait(&uid, running.map_or("", |step| &step.name), Instant::now());
        if !wait.is_zero() {
            return Ok(Some(wait));
        }
    } else if condition::is_true(next.conditions(), READY, None) {
        context.progress.clear(&uid);
    }
    let json = |status: &K::Status| {
        serde_json::to_value(status).map_err(|source| ApplyError::Serialize { kind: K::KIND, source })
    };
    let Some(patch) = compare::merge_patch(&json(&before)?, &json(&next)?) else { return Ok(None) };
    let key = Key::of(object.meta());
    let written = context.gate.patch(K::KIND, &key, &uid, Some("status"), json!({"status": patch})).await?;
    remember::<K>(context, written);
    tell(context, object, &before, &next).await;
    Ok(None)
}

/// Merge-patches the metadata of an object of ours. What comes back is in the store at once, so that the next turn
/// does not do it again.
pub async fn patch_metadata<K: OwnKind>(
    context: &Context,
    object: &K,
    metadata: Value,
) -> Result<(), ApplyError>
where
    Stores: StoreOf<K>,
{
    let (key, uid) = (Key::of(object.meta()), object.uid().unwrap_or_default());
    let written = context.gate.patch(K::KIND, &key, &uid, None, json!({"metadata": metadata})).await?;
    remember::<K>(context, written);
    Ok(())
}

/// Merge-patches annotations and spec of an object of ours, on the version of it that was read.
pub async fn patch_spec<K: OwnKind>(
    context: &Context,
    object: &K,
    (annotations, spec): (Value, Value),
) -> Result<(), ApplyError>
where
    Stores: StoreOf<K>,
{
    let (key, uid) = (Key::of(object.meta()), object.uid().unwrap_or_default());
    let metadata = json!({"resourceVersion": object.resource_version(), "annotations": annotations});
    let patch = json!({"metadata": metadata, "spec": spec});
    let written = context.gate.patch(K::KIND, &key, &uid, None, patch).await?;
    remember::<K>(context, written);
    Ok(())
}

/// Sets the finalizers of an object of ours, on the version of it that was read.
pub async fn set_finalizers<K: OwnKind>(
    context: &Context,
    object: &K,
    finalizers: &[String],
) -> Result<(), ApplyError>
where
    Stores: StoreOf<K>,
{
    let version = object.resource_version();
    patch_metadata(context, object, json!({"finalizers": finalizers, "resourceVersion": version})).await
}

fn remember<K: OwnKind>(context: &Context, written: DynamicObject)
where
    Stores: StoreOf<K>,
{
    let meta = written.metadata.clone();
    // Without finalizers an object that is being deleted is gone with this very write.
    let gone = meta.deletion_timestamp.is_some() && meta.finalizers.as_ref().is_none_or(Vec::is_empty);
    if let (false, Ok(typed)) = (gone, written.try_parse::<K>()) {
        let change = context.stores.store().observe_write(&meta, Own::Valid(typed));
        if let Some(change) = change {
            triggers::own_changed(context, &change);
        }
    }
}

/// Whether nothing changed but how far we got.
fn is_mere_progress<S: Status>(before: &S, next: &S) -> bool {
    let progressing = |status: &S| {
        condition::find(status.conditions(), READY)
            .is_some_and(|ready| ready.status == "False" && ready.reason == reason::PROGRESSING)
    };
    let failures =
        |status: &S| status.steps().iter().filter(|step| step.phase == Some(StepPhase::Failed)).count();
    let suspended = |status: &S| condition::is_true(status.conditions(), SUSPENDED, None);
    before.observed_generation() == next.observed_generation()
        && suspended(before) == suspended(next)
        && progressing(before)
        && progressing(next)
        && failures(next) <= failures(before)
}

/// One Event when Ready changes its status or its reason, none otherwise.
async fn tell<K: OwnKind>(context: &Context, object: &K, before: &K::Status, next: &K::Status) {
    let Some(now) = condition::find(next.conditions(), READY) else { return };
    let was = condition::find(before.conditions(), READY);
    if was.is_some_and(|was| was.reason == now.reason && was.status == now.status) {
        return;
    }
    // Bad news is what a person has to act on; progress is not.
    let bad = condition::is_true(next.conditions(), STALLED, None)
        || now.status == "False" && now.reason != reason::PROGRESSING && now.reason != reason::TERMINATING;
    let event = Event {
        type_: if bad { EventType::Warning } else { EventType::Normal },
        reason: now.reason.clone(),
        note: Some(now.message.chars().take(1000).collect()),
        action: "Reconcile".into(),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, &object.object_ref(&())).await {
        tracing::debug!(object.kind = %K::KIND, object.name = object.name_any(), %error, "failed to record an event");
    }
}

/// Records an Event that no status tells: what was done about an object, and why.
pub async fn warn(context: &Context, about: &ObjectReference, reason: &str, action: &str, note: String) {
    let event = Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some(note),
        action: action.to_owned(),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, about).await {
        tracing::debug!(object.name = about.name, %error, "failed to record an event");
    }
}

/// Says in the status of an object that we cannot read what is wrong with it.
pub async fn publish_invalid(
    context: &Context,
    kind: Kind,
    meta: &ObjectMeta,
    error: &str,
) -> Result<(), ApplyError> {
    let (key, generation) = (Key::of(meta), meta.generation.unwrap_or_default());
    let live = super::object::dynamic_api(&context.client, kind, &key).get_opt(&key.name).await;
    let live = live.map_err(|source| ApplyError::Api { verb: "get", kind, key: key.clone(), source })?;
    let Some(live) = live else { return Ok(()) };
    let held =
        live.data.get("status").and_then(|status| status.get("conditions")).cloned().unwrap_or_default();
    let mut conditions: Vec<Condition> = serde_json::from_value(held).unwrap_or_default();
    let before = conditions.clone();
    let message = format!(
        "the object does not fit the schema of this operator: {error}; correct it or update the operator"
    );
    Summary::Stalled { reason: reason::INVALID_SPEC, message }.write(
        &mut conditions,
        generation,
        context.now(),
    );
    if before != conditions {
        let patch = json!({"status": {"observedGeneration": generation, "conditions": conditions}});
        context
            .gate
            .patch(kind, &key, meta.uid.as_deref().unwrap_or_default(), Some("status"), patch)
            .await?;
    }
    Ok(())
}
