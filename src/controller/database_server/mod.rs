//! DatabaseServer: a PostgreSQL server, external or managed, that is proven to be the right one and prepared.
//!
//! *fetch → validate → build → apply* bring a managed server about; then every server is reached, recognised by its
//! system identifier, prepared (`postgres::bootstrap`) and opened to the other controllers ([`reach`]); its marker
//! rows get their ServerDatabases ([`inventory`]). A server that is being deleted goes through [`finalize`].

pub mod admin;
pub mod certificate;
pub mod credentials;
pub mod drift;
pub mod fetch;
pub mod finalize;
pub mod inventory;
pub mod managed;
pub mod reach;
pub mod status;
pub mod travel;

use std::time::Duration;

use self::admin::Admin;
use self::fetch::Fetched;
use self::reach::Reached;
use super::apply::ApplyError;
use super::brake;
use super::context::Context;
use super::database::pool;
use super::outcome::{Next, spread};
use super::publish::publish;
use super::worker::Reconciler;
use crate::api::DatabaseServer;
use crate::api::condition::Summary;

/// A server is looked at this often, so that one that went down is known before somebody stumbles over it.
const LOOK: Duration = Duration::from_secs(30);

/// The servers' controller.
pub struct Controller;

impl Reconciler for Controller {
    type Kind = DatabaseServer;
    const WORKERS: usize = 4;

    async fn reconcile(context: &Context, server: DatabaseServer) -> Result<Next, ApplyError> {
        let fetched = fetch::fetch(context, server).await?;
        if fetched.server.metadata.deletion_timestamp.is_some() {
            return leave(context, &fetched).await;
        }
        if finalize::is_unguarded(&fetched.server) {
            finalize::guard(context, &fetched.server).await?;
            return Ok(Next::After(Duration::ZERO));
        }
        finalize::mark_use(context, &fetched).await?;
        if let Some(first) = status::first(&fetched, context.now()) {
            publish(context, &fetched.server, first).await?;
        }
        let Some(reached) = look(context, &fetched).await? else { return Ok(Next::Backoff) };
        let compared = reached.as_ref().ok().map(|reached| drift::compare(context, &fetched, reached));
        let released = reached.as_ref().ok().and_then(|reached| reached.released);
        let stand = brake::stand(context, &fetched.server, released).await?;
        let circuit = context.servers.circuit(&fetched.name);
        let status = status::status(&fetched, &reached, compared.as_ref(), circuit, context.now());
        let status = status::with_brake(status, &stand, &fetched, context.now());
        let wait = publish(context, &fetched.server, status).await?;
        if let Some(compared) = &compared {
            drift::tell(context, &fetched, compared).await;
        }
        Ok(match context.servers.wait(&fetched.name) {
            // It is probed as soon as its circuit lets somebody.
            Some(probe) => Next::After(probe),
            None if reached.is_err() => Next::Backoff,
            None => Next::After(spread(LOOK, context.jitter())).or_sooner(wait),
        })
    }

    async fn removed(context: &Context, key: &super::object::Key) -> Result<Next, ApplyError> {
        context.servers.forget(&key.name);
        context.pools.forget(&key.name);
        context.brakes.forget(&key.name);
        context.standings.forget_server(&key.name);
        context.swept.forget_server(&key.name);
        context.metrics.forget_server(&key.name);
        inventory::tell(context, &context.inventory.forget(&key.name));
        Ok(Next::Never)
    }
}

/// A server that is being deleted serves its databases for as long as there are any.
async fn leave(context: &Context, fetched: &Fetched) -> Result<Next, ApplyError> {
    if finalize::is_unguarded(&fetched.server) {
        return Ok(Next::Never);
    }
    if let Some(next) = finalize::force(context, fetched).await? {
        return Ok(next);
    }
    if finalize::is_taken_down(context, fetched) {
        return finalize::finalize(context, fetched, None).await;
    }
    let Some(reached) = look(context, fetched).await? else { return Ok(Next::Backoff) };
    finalize::finalize(context, fetched, Some(reached)).await
}

/// One turn, and whether the server can be used after it; `None` if it was silent and is asked again before anybody is
/// told.
async fn look(context: &Context, fetched: &Fetched) -> Result<Option<Result<Reached, Summary>>, ApplyError> {
    let reached = match turn(context, fetched).await {
        Err(error @ ApplyError::Conflict { .. }) => return Err(error),
        Err(error) => Err(super::outcome::summary(&error)),
        Ok(reached) => reached,
    };
    let news = match &reached {
        Ok(_) => context.servers.can_be_used(&fetched.name),
        Err(_) if context.servers.is_in_doubt(&fetched.name) => return Ok(None),
        Err(why) => context.servers.cannot_be_used(&fetched.name, why),
    };
    if news {
        // What was known of the databases is from before.
        context.standings.forget_server(&fetched.name);
        context.swept.forget_server(&fetched.name);
        super::triggers::server_changed(context, &fetched.name);
    }
    Ok(Some(reached))
}

/// Everything between what is wanted and what is known about the server afterwards.
async fn turn(context: &Context, fetched: &Fetched) -> Result<Result<Reached, Summary>, ApplyError> {
    let target = match fetched.server.spec.managed.as_ref() {
        Some(managed) => match credentials::stand_up(context, fetched, managed).await? {
            Ok(target) => target,
            Err(summary) => return Ok(Err(summary)),
        },
        None => match &fetched.external {
            Ok(target) => target.clone(),
            Err(summary) => return Ok(Err(summary.clone())),
        },
    };
    let known = fetched.server.status.as_ref().and_then(|status| status.system_identifier.clone());
    let reading = context.pools.reading(&fetched.name);
    let Admin { target, refused } = admin::choose(context, &fetched.name, target).await;
    let reached = match reach::reach(context, &fetched.name, target, known.as_deref()).await {
        Ok(reached) => Reached { refused, ..reached },
        Err(summary) => return Ok(Err(summary)),
    };
    inventory::project(context, &fetched.name, &reached.markers).await;
    if let Ok(layout) = pool::layout(&reached.server) {
        context.pools.see(&fetched.name, &reading, layout, reached.pool.clone());
    }
    Ok(Ok(reached))
}
