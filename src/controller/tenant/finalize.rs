//! The end of a tenant: its namespace goes first, its databases are released and kept.
//!
//! The finalizer guards the namespace only. Databases are released by the server databases' controller, which sees
//! that the claims are gone; a server that is down therefore holds no tenant back. What the tenant said last of its databases is
//! left with their objects. If a deletion brake was cancelled, its namespace says that it was let go before the tenant is, and stays.

use std::time::Duration;

use kube::api::DynamicObject;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::admission::{self, Admission};
use super::fetch::Fetched;
use crate::api::condition::{Summary, reason};
use crate::api::labels::{FORMER_TENANTS, KEPT_BY, PROTECTED, TAKE_OVER, TENANT_FINALIZER};
use crate::api::{Tenant, names};
use crate::controller::apply::ApplyError;
use crate::controller::brake;
use crate::controller::child::Child;
use crate::controller::context::Context;
use crate::controller::declared::{Ownership, is_since, ownership};
use crate::controller::force;
use crate::controller::former;
use crate::controller::object::{Key, Kind, dynamic_api};
use crate::controller::outcome::Next;
use crate::controller::publish::{self, patch_metadata, publish, set_finalizers};

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
    let live = ours(context, &key, tenant).await?;
    let namespace = live.as_ref().map(|live| Child::new(Kind::Namespace, &live.metadata));
    let former = former::taken_over(Some(&uid), namespace.as_ref());
    if !former.is_empty() {
        // Nobody knows what it had taken over when its namespace is gone.
        leave_word(context, tenant, &former).await?;
    }
    if let Some(who) = force::asked(context, tenant).await? {
        return force(context, tenant, &key, (live, &who)).await;
    }
    let stays = live.as_ref().is_some_and(|live| former::is_let_go_by(&live.metadata, &uid));
    if let Some(live) = live.filter(|_| !stays) {
        if live.metadata.deletion_timestamp.is_none() {
            let objection = tenant.spec.is_protected().then(|| protected(tenant));
            match admission::admits(context, tenant, objection).await? {
                Admission::Go => {}
                Admission::Held(summary) => return held(context, tenant, summary).await,
                Admission::LetGo(by) => return let_go(context, tenant, &key, (&live, &by)).await,
            }
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
            remains(tenant, &live)
        );
        let mut status = tenant.status.clone().unwrap_or_default();
        let generation = tenant.metadata.generation.unwrap_or_default();
        let summary = Summary::Progressing { reason: reason::TERMINATING, message };
        summary.write(&mut status.conditions, generation, context.now());
        publish(context, tenant, status).await?;
        // The watch tells when it is gone, unless somebody took the label off by which we watch it.
        return Ok(Next::Backoff);
    }
    leave(context, tenant).await
}

/// Leaves the tenant's word, and lets it go.
async fn leave(context: &Context, tenant: &Tenant) -> Result<Next, ApplyError> {
    leave_word(context, tenant, &[]).await?;
    let rest: Vec<String> = tenant.finalizers().iter().filter(|f| *f != TENANT_FINALIZER).cloned().collect();
    set_finalizers(context, tenant, &rest).await?;
    context.progress.clear(&tenant.uid().unwrap_or_default());
    Ok(Next::Never)
}

/// Lets the tenant go as somebody says. A namespace that is not on its way out stays, and says so.
async fn force(
    context: &Context,
    tenant: &Tenant,
    key: &Key,
    (live, who): (Option<DynamicObject>, &str),
) -> Result<Next, ApplyError> {
    let going = live.as_ref().is_none_or(|live| live.metadata.deletion_timestamp.is_some());
    let becomes = if going { "goes when what keeps it does" } else { "stays with all that is in it" };
    if let Some(live) = live.filter(|_| !going) {
        keep(context, tenant, key, &live).await?;
    }
    force::record(context, tenant, who, &format!("Namespace {} {becomes}; no database is touched", key.name))
        .await;
    leave(context, tenant).await
}

/// Writes to the namespace that the tenant lets it go: whoever comes next goes by that.
async fn keep(context: &Context, tenant: &Tenant, key: &Key, live: &DynamicObject) -> Result<(), ApplyError> {
    let former = former::with(former::of(&live.metadata), &tenant.uid().unwrap_or_default()).join(",");
    let record = json!({"metadata": {"annotations": {FORMER_TENANTS: former}}});
    context.gate.patch(Kind::Namespace, key, &live.uid().unwrap_or_default(), None, record).await?;
    brake::look_again(context, tenant);
    Ok(())
}

/// Lets go of the tenant, whose deletion was cancelled. The next turn does it.
async fn let_go(
    context: &Context,
    tenant: &Tenant,
    key: &Key,
    (live, by): (&DynamicObject, &str),
) -> Result<Next, ApplyError> {
    let (name, uid) = (tenant.name_any(), tenant.uid().unwrap_or_default());
    let note = format!(
        "the deletion was cancelled, by {by}: Namespace {} stays with its databases and services; to take it over, create the Tenant again \
         with the annotation {TAKE_OVER}: {uid}",
        key.name
    );
    tracing::info!(
        target: "audit",
        {
            object.kind = %Kind::Tenant,
            object.name = name,
            object.uid = uid,
            object.reason = "cancel",
            object.by = by,
        },
        "{note}"
    );
    keep(context, tenant, key, live).await?;
    publish::warn(context, &tenant.object_ref(&()), reason::LET_GO, "LetGo", note).await;
    Ok(Next::After(Duration::ZERO))
}

/// Leaves what the tenant says of its databases with those that are shown to keep less: their servers may not have been reached since
/// it was said, and afterwards there is nobody to ask. Those of `former` tenants are its own too.
async fn leave_word(context: &Context, tenant: &Tenant, former: &[String]) -> Result<(), ApplyError> {
    let (uid, said) = (tenant.uid().unwrap_or_default(), tenant.spec.deletion_policy.unwrap_or_default());
    let namespace = names::tenant_namespace(&tenant.name_any());
    let mut words = vec![];
    context.stores.server_databases.each(|own| {
        let own = own.valid().filter(|it| it.spec.claim_ref.namespace == namespace);
        let own = own.filter(|database| database.spec.adoption().is_none());
        if let Some((database, word)) = own.and_then(|it| Some((it, former::word(it, (&uid, said), former)?)))
        {
            words.push((database.clone(), word));
        }
    });
    for (database, word) in words {
        patch_metadata(context, &database, json!({"annotations": {KEPT_BY: word}})).await?;
    }
    Ok(())
}

/// What the namespace says that keeps it. What merely takes its time has counts in it, which change all the while.
fn remains(tenant: &Tenant, namespace: &DynamicObject) -> String {
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
    let keeps: String = messages.flat_map(|message| ["; ", message]).collect();
    let how = (!keeps.is_empty()).then(|| force::how("tenant", tenant, "touches no database"));
    keeps + &how.unwrap_or_default()
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
async fn ours(context: &Context, key: &Key, tenant: &Tenant) -> Result<Option<DynamicObject>, ApplyError> {
    let live = dynamic_api(&context.client, Kind::Namespace, key).get_opt(&key.name).await;
    let live = live.map_err(|source| ApplyError::Api {
        verb: "get",
        kind: Kind::Namespace,
        key: key.clone(),
        source,
    })?;
    Ok(live.filter(|live| match ownership(&live.metadata, &tenant.uid().unwrap_or_default(), None) {
        Ownership::Ours => true,
        Ownership::Marked => is_since(&live.metadata, tenant.metadata.creation_timestamp.as_ref()),
        Ownership::Orphaned | Ownership::Foreign => false,
    }))
}
