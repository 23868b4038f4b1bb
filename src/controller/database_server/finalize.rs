//! Guarding a server and letting it go: never while databases are on it, and never its volume or its Secrets. An admin who says so all
//! the same, of a server that never comes back say, ends the object and nothing else.

use kube::ResourceExt;
use serde_json::json;

use super::fetch::Fetched;
use super::managed;
use super::reach::Reached;
use crate::api::DatabaseServer;
use crate::api::condition::{Summary, reason};
use crate::api::labels::{DATABASE_SERVER_FINALIZER, IN_USE, SERVERS_NAMESPACE};
use crate::controller::apply::ApplyError;
use crate::controller::context::Context;
use crate::controller::force;
use crate::controller::object::{Key, Kind};
use crate::controller::outcome::Next;
use crate::controller::publish::{patch_metadata, publish, set_finalizers};

/// Names that a message lists at most.
const LISTED: usize = 5;

/// Whether the server still lacks our finalizer.
pub fn is_unguarded(server: &DatabaseServer) -> bool {
    !server.finalizers().iter().any(|finalizer| finalizer == DATABASE_SERVER_FINALIZER)
}

/// Sets our finalizer.
pub async fn guard(context: &Context, server: &DatabaseServer) -> Result<(), ApplyError> {
    let own = [DATABASE_SERVER_FINALIZER.to_owned()];
    let finalizers: Vec<String> = server.finalizers().iter().cloned().chain(own).collect();
    set_finalizers(context, server, &finalizers).await
}

/// Mirrors whether databases are on the server into a label, by which admission refuses its deletion.
pub async fn mark_use(context: &Context, fetched: &Fetched) -> Result<(), ApplyError> {
    let marked = fetched.server.labels().get(IN_USE).map(String::as_str);
    let wanted = (!fetched.users.is_empty()).then_some("true");
    if marked == wanted {
        return Ok(());
    }
    patch_metadata(context, &fetched.server, json!({"labels": {IN_USE: wanted}})).await
}

/// Whether a managed server's workload is going or gone: it cannot be asked any more.
pub fn is_taken_down(context: &Context, fetched: &Fetched) -> bool {
    let key = Key::namespaced(SERVERS_NAMESPACE, &fetched.name);
    let child = context.gate.child(Kind::StatefulSet, &key);
    fetched.server.spec.managed.is_some()
        && fetched.users.is_empty()
        && child.is_none_or(|child| child.deleting)
}

/// Lets a server go on which nothing is any more, or says what is. `reached` is absent when there is nothing to ask.
pub async fn finalize(
    context: &Context,
    fetched: &Fetched,
    reached: Option<Result<Reached, Summary>>,
) -> Result<Next, ApplyError> {
    let server = &fetched.server;
    let waiting = match stays(fetched, reached, context.pools.trouble(&fetched.name)) {
        Some(summary) => Some(summary),
        None => take_down(context, fetched).await?,
    };
    let Some(summary) = waiting else { return let_go(context, fetched).await };
    let mut status = server.status.clone().unwrap_or_default();
    summary.write(&mut status.conditions, server.metadata.generation.unwrap_or_default(), context.now());
    publish(context, server, status).await?;
    Ok(Next::Backoff)
}

/// Lets the server go as somebody says, if anybody does: neither what is on it nor what it runs on is asked or touched.
pub async fn force(context: &Context, fetched: &Fetched) -> Result<Option<Next>, ApplyError> {
    let Some(who) = force::asked(context, &fetched.server).await? else { return Ok(None) };
    let kept = match listed(&fetched.users) {
        Some(users) => {
            format!("{users} stay on it as they are, and so does what a managed server consists of")
        }
        None => "what a managed server consists of stays as it is".to_owned(),
    };
    force::record(context, &fetched.server, &who, &kept).await;
    let_go(context, fetched).await.map(Some)
}

async fn let_go(context: &Context, fetched: &Fetched) -> Result<Next, ApplyError> {
    let server = &fetched.server;
    let rest: Vec<String> =
        server.finalizers().iter().filter(|it| *it != DATABASE_SERVER_FINALIZER).cloned().collect();
    set_finalizers(context, server, &rest).await?;
    context.servers.forget(&fetched.name);
    Ok(Next::Never)
}

/// Why the server has to stay. Objects can be deleted by anybody: the marker rows are the truth, and a server that
/// had databases once and cannot be asked now may still have them. `trouble` is what keeps its warm pool from being dropped.
fn stays(
    fetched: &Fetched,
    reached: Option<Result<Reached, Summary>>,
    trouble: Option<String>,
) -> Option<Summary> {
    let known = fetched.server.status.as_ref().is_some_and(|status| status.system_identifier.is_some());
    let how = || force::how("dbs", &fetched.server, "keeps and changes nothing that is on the server");
    let unreached = match &reached {
        Some(Err(Summary::Progressing { message, .. } | Summary::Stalled { message, .. })) => {
            format!(", which cannot be used now ({message})")
        }
        _ => String::new(),
    };
    let in_use = |users: &[String]| {
        let listed = listed(users)?;
        let message = format!("the server stays while databases are on it{unreached}: {listed}{}", how());
        Some(Summary::Progressing { reason: reason::IN_USE, message })
    };
    match reached {
        _ if !fetched.users.is_empty() => in_use(&fetched.users),
        Some(Ok(reached)) if !reached.markers.is_empty() => {
            let names: Vec<String> = reached.markers.into_iter().map(|marker| marker.physical_name).collect();
            in_use(&names)
        }
        // A managed server's volume is kept as it is.
        Some(Ok(reached)) if !reached.pool.is_empty() && fetched.server.spec.external.is_some() => {
            let names: Vec<&str> = reached.pool.iter().map(|it| it.name.as_str()).take(LISTED).collect();
            let why = trouble.map(|trouble| format!("; {trouble}")).unwrap_or_default();
            let names = names.join(", ");
            let message = format!("the server stays until its warm pool is dropped: {names}{why}{}", how());
            Some(Summary::Progressing { reason: reason::IN_USE, message })
        }
        Some(Err(Summary::Progressing { message, .. } | Summary::Stalled { message, .. })) if known => {
            let message =
                format!("cannot tell whether databases are still on the server: {message}{}", how());
            Some(Summary::Progressing { reason: reason::IN_USE, message })
        }
        _ => None,
    }
}

/// Names of some, and how many more there are.
fn listed(users: &[String]) -> Option<String> {
    let listed = users.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    let more = users.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!users.is_empty()).then(|| format!("{listed}{more}"))
}

/// Takes a managed server's workload down; what is waited for, if anything. Volume and Secrets stay.
async fn take_down(context: &Context, fetched: &Fetched) -> Result<Option<Summary>, ApplyError> {
    let key = Key::namespaced(SERVERS_NAMESPACE, &fetched.name);
    let owner = managed::identity(&fetched.name);
    let mut left = None;
    // The pod is shut off until it is gone.
    for kind in [Kind::StatefulSet, Kind::Service, Kind::NetworkPolicy] {
        if kind == Kind::NetworkPolicy && left.is_some() {
            continue;
        }
        let Some(child) = context.gate.child(kind, &key) else { continue };
        if child.owner_uid.as_deref() != Some(&owner) {
            continue;
        }
        if !child.deleting {
            context.gate.delete(kind, &key, &child.uid).await?;
        }
        left = Some(kind);
    }
    Ok(left.map(|kind| {
        let message = format!("waiting until {kind} {key} is gone; its volume and its Secrets are kept");
        Summary::Progressing { reason: reason::TERMINATING, message }
    }))
}
