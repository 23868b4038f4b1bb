//! The end of a tenant: its namespace goes first, its databases are released and kept.
//!
//! The finalizer guards the namespace only. Databases are released by the server databases' controller, which sees
//! that the claims are gone; a server that is down therefore holds no tenant back. What the tenant said last of its databases is
//! left with their objects.

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::fetch::Fetched;
use crate::api::condition::{Summary, reason};
use crate::api::deletion::DeletionPolicy;
use crate::api::labels::{KEPT_BY, PROTECTED, TENANT_FINALIZER};
use crate::api::{Tenant, names};
use crate::controller::apply::ApplyError;
use crate::controller::brake;
use crate::controller::context::Context;
use crate::controller::declared::{Ownership, ownership};
use crate::controller::object::{Key, Kind, dynamic_api};
use crate::controller::outcome::Next;
use crate::controller::publish::{patch_metadata, publish, set_finalizers};

/// Whether the tenant still lacks our finalizer.
pub fn is_unguarded(tenant: &Tenant) -> bool {
    !tenant.finalizers().iter().any(|finalizer| finalizer == TENANT_FINALIZER)
}

/// The tenant's finalizers and `finalizer`.
pub fn with(tenant: &Tenant, finalizer: &str) -> Vec<String> {
    tenant.finalizers().iter().cloned().chain([finalizer.to_owned()]).collect()
}

/// Deletes the tenant's namespace, waits until it is gone, and lets the tenant go.
pub async fn finalize(context: &Context, fetched: &Fetched) -> Result<Next, ApplyError> {
    let tenant = &fetched.tenant;
    if is_unguarded(tenant) {
        return Ok(Next::Never);
    }
    let key = Key::cluster(&names::tenant_namespace(&tenant.name_any()));
    let uid = tenant.uid().unwrap_or_default();
    if let Some(live) = ours(context, &key, &uid).await? {
        if live.metadata.deletion_timestamp.is_none() && tenant.spec.is_protected() {
            return held(context, tenant, protected(tenant)).await;
        }
        if live.metadata.deletion_timestamp.is_none()
            && let Err(summary) = brake::admits_tenant(context, tenant).await?
        {
            return held(context, tenant, summary).await;
        }
        if live.metadata.deletion_timestamp.is_none() {
            // What a tenant was protected by must not outlive its protection: admission obeys the label.
            if live.labels().contains_key(PROTECTED) {
                let lifted = json!({"metadata": {"labels": {PROTECTED: null}}});
                let uid = live.uid().unwrap_or_default();
                context.gate.patch(Kind::Namespace, &key, &uid, None, lifted).await?;
            }
            context.gate.delete(Kind::Namespace, &key, &live.uid().unwrap_or_default()).await?;
        }
        let message = format!(
            "waiting until Namespace {} is gone; its databases are released, and kept or purged as their deletionPolicy says{}",
            key.name,
            remains(&live)
        );
        let mut status = tenant.status.clone().unwrap_or_default();
        let generation = tenant.metadata.generation.unwrap_or_default();
        let summary = Summary::Progressing { reason: reason::TERMINATING, message };
        summary.write(&mut status.conditions, generation, context.now());
        publish(context, tenant, status).await?;
        // The watch tells when it is gone, unless somebody took the label off by which we watch it.
        return Ok(Next::Backoff);
    }
    leave_word(context, tenant).await?;
    let rest: Vec<String> = tenant.finalizers().iter().filter(|f| *f != TENANT_FINALIZER).cloned().collect();
    set_finalizers(context, tenant, &rest).await?;
    context.progress.clear(&uid);
    Ok(Next::Never)
}

/// Leaves what the tenant says of its databases with those that are shown to keep less: their servers may not have been reached since
/// it was said, and afterwards there is nobody to ask.
async fn leave_word(context: &Context, tenant: &Tenant) -> Result<(), ApplyError> {
    let (uid, said) = (tenant.uid().unwrap_or_default(), tenant.spec.deletion_policy.unwrap_or_default());
    let namespace = names::tenant_namespace(&tenant.name_any());
    let mut keeping_less = vec![];
    context.stores.server_databases.each(|own| {
        let Some(database) = own.valid().filter(|it| it.spec.claim_ref.namespace == namespace) else {
            return;
        };
        let shown = database.status.as_ref().and_then(|status| status.deletion_policy);
        if database.spec.adoption().is_none() && shown.unwrap_or(DeletionPolicy::Delete) < said {
            keeping_less.push(database.clone());
        }
    });
    for database in keeping_less {
        let word = format!("{uid}/{}", said.as_str());
        patch_metadata(context, &database, json!({"annotations": {KEPT_BY: word}})).await?;
    }
    Ok(())
}

/// What the namespace says that keeps it. What merely takes its time has counts in it, which change all the while.
fn remains(namespace: &DynamicObject) -> String {
    const KEEP: [&str; 4] = [
        "NamespaceFinalizersRemaining",
        "NamespaceDeletionDiscoveryFailure",
        "NamespaceDeletionGroupVersionParsingFailure",
        "NamespaceDeletionContentFailure",
    ];
    let conditions = namespace.data.pointer("/status/conditions").and_then(Value::as_array);
    let keeps =
        |it: &&Value| it["status"] == "True" && it["type"].as_str().is_some_and(|it| KEEP.contains(&it));
    let messages = conditions.into_iter().flatten().filter(keeps).filter_map(|it| it["message"].as_str());
    messages.flat_map(|message| ["; ", message]).collect()
}

/// Admission refuses the deletion of a protected tenant. One that was protected since, or deleted past admission, stays
/// as it is.
fn protected(tenant: &Tenant) -> Summary {
    let message = format!(
        "spec.deletionProtection: the tenant is being deleted and protected from it, so nothing is removed; to let it go: \
         kubectl patch tenant {} --type=merge -p '{{\"spec\":{{\"deletionProtection\":false}}}}'",
        tenant.name_any()
    );
    Summary::Stalled { reason: reason::DELETION_PROTECTED, message }
}

/// Nothing is removed until somebody has changed what the status then names.
async fn held(context: &Context, tenant: &Tenant, summary: Summary) -> Result<Next, ApplyError> {
    let mut status = tenant.status.clone().unwrap_or_default();
    summary.write(&mut status.conditions, tenant.metadata.generation.unwrap_or_default(), context.now());
    publish(context, tenant, status).await?;
    Ok(Next::Resync)
}

/// The tenant's namespace by a live read: a finalizer must not go by what a cache says. One that is not ours is
/// none of our business.
async fn ours(context: &Context, key: &Key, uid: &str) -> Result<Option<DynamicObject>, ApplyError> {
    let live = dynamic_api(&context.client, Kind::Namespace, key).get_opt(&key.name).await;
    let live = live.map_err(|source| ApplyError::Api {
        verb: "get",
        kind: Kind::Namespace,
        key: key.clone(),
        source,
    })?;
    Ok(live.filter(|live| ownership(&live.metadata, uid, None) == Ownership::Ours))
}
