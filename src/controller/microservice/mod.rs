//! Microservice: one service of a tenant, as a Deployment with what it runs under and behind.
//!
//! *fetch → validate → build → apply → observe → status*. It has no finalizer: its children are its own, in the same
//! namespace, and go with it.

pub mod build;
pub mod evidence;
pub mod fetch;
#[cfg(test)]
mod fixtures;
pub mod pod;
pub mod rollout;
pub mod status;
pub mod validate;

use serde_json::json;

use self::fetch::{Fetched, Observed};
use super::apply::{Applied, ApplyError, Declared, Gate};
use super::context::Context;
use super::object::{Key, Kind};
use super::outcome::Next;
use super::publish::publish;
use super::worker::{Reconciler, key_of};
use crate::api::Microservice;

/// The microservices' controller.
pub struct Controller;

impl Reconciler for Controller {
    type Kind = Microservice;

    async fn reconcile(context: &Context, microservice: Microservice) -> Result<Next, ApplyError> {
        let fetched = fetch::fetch(context, microservice);
        if fetched.leaving {
            // Its children go with it, or with the namespace.
            fetch::stop_waiting(context, &fetched.microservice);
            return leave(context, &fetched).await;
        }
        let validated = validate::validate(&fetched);
        let declared = validated.as_ref().map_or_else(|_| Ok(Vec::new()), build::build)?;
        let applied = apply(&context.gate, &declared).await?;
        let observed = fetch::observe(context, &fetched).await?;
        if !declared.iter().any(|declared| declared.kind == Kind::Deployment) {
            halt(&context.gate, &fetched, &observed).await?;
        }
        let (status, settled) = match &validated {
            Ok(validated) => {
                let turn =
                    status::Turn { fetched: &fetched, validated, applied: &applied, observed: &observed };
                let complete = observed.rollout.as_ref().is_none_or(rollout::Rollout::is_complete);
                (status::status(&turn, context.now()), complete && applied.is_done())
            }
            Err(problem) => (status::refused(&fetched, problem, &observed, context.now()), true),
        };
        let wait = publish(context, &fetched.microservice, status).await?;
        // Pods are not watched: while they take their time, somebody has to look.
        let next = if settled { Next::Resync } else { Next::Backoff };
        Ok(next.or_sooner(wait))
    }

    async fn removed(context: &Context, key: &Key) -> Result<Next, ApplyError> {
        context.rollouts.forget(key);
        Ok(Next::Never)
    }
}

/// Who holds the object with a finalizer must not keep a suspended tenant's pods running with it.
async fn leave(context: &Context, fetched: &Fetched) -> Result<Next, ApplyError> {
    if !fetched.is_suspended() {
        return Ok(Next::Resync);
    }
    let observed = fetch::observe(context, fetched).await?;
    halt(&context.gate, fetched, &observed).await?;
    let wait = publish(context, &fetched.microservice, status::counted(fetched, &observed)).await?;
    let settled = observed.rollout.is_none_or(|rollout| rollout.wanted == 0 && rollout.is_complete());
    let next = if settled { Next::Resync } else { Next::Backoff };
    Ok(next.or_sooner(wait))
}

/// What came of a build.
#[derive(Debug, Default)]
pub struct MicroserviceApplied {
    /// A child that is being deleted; it is made again when it is gone.
    pub terminating: Option<String>,
    /// What could not be made; the rest was.
    pub failures: Vec<ApplyError>,
}

impl MicroserviceApplied {
    /// Whether nothing has to be tried again. What is in the way may be unknown to the watches.
    fn is_done(&self) -> bool {
        self.terminating.is_none() && self.failures.is_empty()
    }
}

async fn apply(gate: &Gate, declared: &[Declared]) -> Result<MicroserviceApplied, ApplyError> {
    let mut applied = MicroserviceApplied::default();
    for declared in declared {
        match gate.apply(declared).await {
            Ok(Applied::Terminating) => applied.terminating = Some(format!("{declared:?}")),
            Ok(_) => {}
            Err(error @ ApplyError::Conflict { .. }) => return Err(error),
            Err(error) => applied.failures.push(error),
        }
    }
    Ok(applied)
}

/// A suspended tenant runs nothing, not even what can no longer be declared.
async fn halt(gate: &Gate, fetched: &Fetched, observed: &Observed) -> Result<(), ApplyError> {
    let runs = observed.rollout.as_ref().is_some_and(|rollout| rollout.wanted != 0);
    if let Some(deployment) = fetched.deployment.as_ref().filter(|_| runs && fetched.is_suspended()) {
        let key = key_of(&fetched.microservice);
        gate.patch(Kind::Deployment, &key, &deployment.uid, None, json!({"spec": {"replicas": 0}})).await?;
    }
    Ok(())
}
