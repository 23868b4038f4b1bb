//! TenantDatabase: the claim. Finds its database, or makes one, and says how to log in to it.
//!
//! *fetch* what the stores know → refuse what has *leaked*, whatever comes next → *validate* (pure: identity, names, server) → in one session on the server *choose*
//! (pure) by the marker rows which database it is, observe, decide which login each credential uses, plan, execute → build and apply ServerDatabase and binding
//! Secrets → *status*. It has no finalizer: a claim goes at once, its database stays (see `server_database`).

pub mod adoption;
pub mod binding;
pub mod choose;
pub mod credentials;
pub mod drift;
mod extensions;
pub mod fetch;
#[cfg(test)]
mod fixtures;
pub mod home;
pub mod leak;
pub mod limits;
pub mod place;
pub mod provision;
pub mod quota;
mod reserved;
pub mod rollouts;
pub mod room;
pub mod rotation;
pub mod standing;
pub mod status;
pub mod tenancy;
pub mod validate;

use kube::ResourceExt;

use self::fetch::Fetched;
use self::provision::Provisioned;
use self::validate::{Refusal, Validated};
use super::apply::{Applied, ApplyError, Declared};
use super::context::Context;
use super::database::{project, protection};
use super::object::{Key, Kind};
use super::outcome::{self, Next};
use super::publish::publish;
use super::queue::Lane;
use super::triggers;
use super::worker::{Reconciler, key_of};
use crate::api::TenantDatabase;
use crate::api::condition::{Summary, reason};
use crate::api::names::CredentialName;

/// The claims' controller.
pub struct Controller;

impl Reconciler for Controller {
    type Kind = TenantDatabase;
    const WORKERS: usize = 4;

    async fn reconcile(context: &Context, claim: TenantDatabase) -> Result<Next, ApplyError> {
        let mut fetched = fetch::fetch(context, claim);
        let leaked = leak::refuse(context, &fetched).await;
        if fetched.leaving {
            return leave(context, &fetched, leaked.is_ok()).await;
        }
        let validated = match validate::validate(&fetched) {
            Ok(validated) => validated,
            Err(refusal) => return refuse(context, &fetched, refusal, leaked).await,
        };
        if let Some(first) = status::first(&fetched, &validated, context.now()) {
            publish(context, &fetched.claim, first).await?;
        }
        if let Some(resuming) = status::resuming(&fetched, &validated, context.now()) {
            publish(context, &fetched.claim, resuming).await?;
            // What is told on the way goes on from there.
            fetched = fetch::again(context, fetched);
        }
        let provisioned = provision(context, &fetched, &validated).await?;
        let leaked = leaked.unwrap_or_default();
        let provisioned = provisioned.map_err(|problem| leak::noted(problem, &leaked));
        if let (Err(_), Some(next)) = (
            &provisioned,
            context.servers.holds_back(&validated.server, Kind::TenantDatabase, &key_of(&fetched.claim)),
        ) {
            return Ok(next);
        }
        // Written meanwhile: the status before.
        let fetched = fetch::again(context, fetched);
        let mut status = status::status(&fetched, &validated, &provisioned, context.now());
        if provisioned.is_err() {
            leak::ends_rotation(&mut status, &leaked);
        }
        let wait = publish(context, &fetched.claim, status).await?;
        if let Ok(provisioned) = &provisioned {
            drift::tell(context, &fetched.claim, provisioned).await;
        }
        let next = match &provisioned {
            // What is missing may be there the next time, and nobody says so. What somebody has to allow first, he says.
            Ok(Provisioned { lacking: Some(Summary::Progressing { .. }), again, .. }) => {
                Next::Backoff.or_sooner(*again)
            }
            Ok(provisioned) => Next::Resync.or_sooner(wait).or_sooner(provisioned.again),
            // Who makes room wakes it: a tenant's claims beyond his quota take nobody else's places on the server meanwhile.
            Err(Summary::Stalled { reason: reason::QUOTA_EXCEEDED, .. }) => Next::Resync.or_sooner(wait),
            Err(_) => Next::Backoff,
        };
        Ok(next.or_sooner(fetched.until_closed().filter(|_| validated.logins_allowed)))
    }

    async fn removed(context: &Context, key: &Key) -> Result<Next, ApplyError> {
        context.progress.clear(&fetch::suspension(key));
        context.standings.forget(key);
        Ok(Next::Never)
    }
}

/// The turn of a claim that cannot be worked on. What is wrong with it keeps no logins open that have to be refused.
async fn refuse(
    context: &Context,
    fetched: &Fetched,
    refusal: Refusal,
    leaked: Result<Vec<CredentialName>, Summary>,
) -> Result<Next, ApplyError> {
    let closed = provision::close(context, fetched).await;
    let refused = closed.as_ref().is_ok_and(|closed| *closed);
    let done = closed.is_ok() && leaked.is_ok();
    let mut next = if done { Next::Resync } else { Next::Backoff };
    // What is not known yet is not told: the server's first look, or the plan, wakes the claim.
    if let Refusal::Because(problem) = refusal {
        let leaked = leaked.unwrap_or_default();
        let problem = leak::noted(problem, &leaked);
        let mut status = status::refused(fetched, &problem, refused, context.now());
        leak::ends_rotation(&mut status, &leaked);
        let wait = publish(context, &fetched.claim, status).await?;
        next = next.or_sooner(wait.filter(|_| done));
    }
    Ok(next.or_sooner(fetched.until_closed().filter(|_| !refused)))
}

/// What becomes of the database is its own turn's to say. Who holds the claim's object with a finalizer must not keep a
/// suspended tenant's logins open with it.
async fn leave(context: &Context, fetched: &Fetched, leaks_are_refused: bool) -> Result<Next, ApplyError> {
    let closed = provision::close(context, fetched).await;
    let next = if leaks_are_refused && closed.is_ok() { Next::Resync } else { Next::Backoff };
    if closed.is_ok_and(|closed| closed) {
        let status = status::closed(fetched, context.now());
        return Ok(next.or_sooner(publish(context, &fetched.claim, status).await?));
    }
    Ok(next.or_sooner(fetched.until_closed()))
}

/// Everything between what is wanted and what is there afterwards, or what stands against it.
async fn provision(
    context: &Context,
    fetched: &Fetched,
    validated: &Validated,
) -> Result<Result<Provisioned, Summary>, ApplyError> {
    let _moving_in = match home::move_in(context, fetched, validated) {
        Ok(moving_in) => moving_in,
        Err(summary) => return Ok(Err(summary)),
    };
    let recalled = standing::recall(context, validated).await;
    let provisioned = if let Some(provisioned) = recalled {
        provisioned
    } else {
        // Until this turn has gone through, nothing is known: what an earlier one found must not speak for it.
        context.standings.forget(&key_of(&fetched.claim));
        match observed(context, fetched, validated).await? {
            Ok(provisioned) => provisioned,
            Err(summary) => return Ok(Err(summary)),
        }
    };
    // The rest is for the API server to write.
    context.servers.is_done(&validated.server, Kind::TenantDatabase, &key_of(&fetched.claim));
    let protected = protection::of(context, &provisioned.marker);
    let mut declared = binding::declare(fetched, validated, &provisioned)?;
    declared.push(project::declared(&provisioned.marker, &validated.server, protected)?);
    if let Some(trouble) = apply(context, &declared).await {
        return trouble.map(Err);
    }
    standing::keep(context, validated, &provisioned);
    tracing::debug!(claim = fetched.claim.name_any(), database.name = %provisioned.physical, "the claim has its database");
    Ok(Ok(provisioned))
}

/// Writes all of it, and says what stood against the first that was not written. The server has what the Secrets say by now:
/// whatever becomes of another object, each of them is written.
async fn apply(context: &Context, declared: &[Declared]) -> Option<Result<Summary, ApplyError>> {
    let mut trouble = None;
    for declared in declared {
        let met = match context.gate.apply(declared).await {
            Ok(Applied::Terminating) => {
                let message = format!("{declared:?} is being deleted; it is made again when it is gone");
                Ok(Summary::Progressing { reason: reason::PROGRESSING, message })
            }
            Ok(Applied::Created | Applied::Changed) => {
                // What we wrote ourselves the watch may not tell.
                triggers::binding_changed(context, declared.kind, &declared.key);
                continue;
            }
            Ok(Applied::Unchanged) => continue,
            Err(error @ ApplyError::Conflict { .. }) => Err(error),
            Err(error) => Ok(outcome::summary(&error)),
        };
        trouble.get_or_insert(met);
    }
    trouble
}

/// What the claim has after a look at its server.
async fn observed(
    context: &Context,
    fetched: &Fetched,
    validated: &Validated,
) -> Result<Result<Provisioned, Summary>, ApplyError> {
    match binding::fetch(context, &context.gate, validated).await? {
        Ok(secrets) => {
            let provisioned = provision::provision(context, fetched, validated, &secrets).await;
            if matches!(provisioned, Err(Summary::Progressing { reason: reason::AUTHENTICATION_FAILED, .. }))
            {
                // The server's own turn reads the admin Secret again.
                context.enqueue(Kind::DatabaseServer, &Key::cluster(&validated.server), Lane::Urgent);
            }
            Ok(provisioned)
        }
        // The tenant's owners say what the Secrets are called; that must not keep a suspended tenant's logins open.
        Err(summary) => Ok(Err(provision::close(context, fetched).await.err().unwrap_or(summary))),
    }
}
