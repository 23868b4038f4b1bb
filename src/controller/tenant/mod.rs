//! Tenant: a namespace with its limits, policies and owners, and the databases and services of its blueprints.
//!
//! *fetch → validate → build → apply → status*; a tenant that is being deleted goes through [`finalize`] instead.

pub mod admission;
pub mod build;
pub mod fetch;
pub mod finalize;
pub mod status;
pub mod validate;

use std::time::Duration;

use super::apply::{Applied, ApplyError, Gate};
use super::context::Context;
use super::outcome::Next;
use super::publish::{publish, set_finalizers};
use super::worker::Reconciler;
use crate::api::Tenant;
use crate::api::labels::TENANT_FINALIZER;

/// The tenants' controller.
pub struct Controller;

impl Reconciler for Controller {
    type Kind = Tenant;

    async fn reconcile(context: &Context, tenant: Tenant) -> Result<Next, ApplyError> {
        let mut fetched = fetch::fetch(context, tenant);
        if fetched.tenant.metadata.deletion_timestamp.is_some() {
            return finalize::finalize(context, &fetched).await;
        }
        if finalize::is_unguarded(&fetched.tenant) {
            let finalizers = finalize::with(&fetched.tenant, TENANT_FINALIZER);
            set_finalizers(context, &fetched.tenant, &finalizers).await?;
            return Ok(Next::After(Duration::ZERO));
        }
        fetched.namespace = fetch::unwatched(context, &fetched).await?;
        let validated = match validate::validate(&fetched) {
            Ok(validated) => validated,
            Err(problem) => {
                let status = status::refused(&fetched, &problem, context.now());
                let wait = publish(context, &fetched.tenant, status).await?;
                return Ok(Next::Resync.or_sooner(wait));
            }
        };
        let first = status::first(&fetched, &validated, context.now());
        if let Some(first) = first {
            publish(context, &fetched.tenant, first).await?;
        }
        let built = build::build(&validated)?;
        let applied = apply(&context.gate, &validated, &built).await?;
        // Read again: what was made meanwhile may be ready by now, and our first status is in the store.
        let fetched = fetch::again(context, fetched);
        let status = status::status(&fetched, &validated, &applied, context.now());
        let wait = publish(context, &fetched.tenant, status).await?;
        // What terminates may be somebody else's, which no watch of ours tells the end of.
        let settled = applied.failures.is_empty() && !applied.terminating;
        Ok(if settled { Next::Resync.or_sooner(wait) } else { Next::Backoff })
    }
}

/// What came of a build.
#[derive(Debug, Default)]
pub struct TenantApplied {
    /// The namespace, or something in it, is being deleted; the rest follows when it is gone.
    pub terminating: bool,
    /// What could not be made; the rest was.
    pub failures: Vec<ApplyError>,
}

async fn apply(
    gate: &Gate,
    validated: &validate::Validated,
    built: &build::Built,
) -> Result<TenantApplied, ApplyError> {
    let mut applied = TenantApplied::default();
    match gate.apply(&built.namespace).await {
        Ok(Applied::Terminating) => applied.terminating = true,
        Ok(_) => {}
        Err(error @ ApplyError::Conflict { .. }) => return Err(error),
        Err(error) => applied.failures.push(error),
    }
    // Nothing can be made in a namespace that is not there or not ours.
    if applied.terminating || !applied.failures.is_empty() {
        return Ok(applied);
    }
    for declared in &built.contents {
        match gate.apply(declared).await {
            Ok(Applied::Terminating) => applied.terminating = true,
            Ok(_) => {}
            Err(error) => applied.failures.push(error),
        }
    }
    for (kind, key, uid) in build::obsolete(validated, built, gate) {
        if let Err(error) = gate.delete(kind, &key, &uid).await {
            applied.failures.push(error);
        }
    }
    Ok(applied)
}
