//! Plan: nothing is made of it by itself; its status says whether tenants can use it.

pub mod validate;

use super::apply::ApplyError;
use super::context::Context;
use super::outcome::Next;
use super::publish::publish;
use super::worker::Reconciler;
use crate::api::Plan;
use crate::api::condition::Summary;

/// The plans' controller.
pub struct Controller;

impl Reconciler for Controller {
    type Kind = Plan;

    async fn reconcile(context: &Context, plan: Plan) -> Result<Next, ApplyError> {
        if plan.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Never);
        }
        let summary = match validate::validate(&plan.spec) {
            Ok(()) => Summary::Ready { message: "tenants can use it".into() },
            Err(summary) => summary,
        };
        let mut status = plan.status.clone().unwrap_or_default();
        summary.write(&mut status.conditions, plan.metadata.generation.unwrap_or_default(), context.now());
        publish(context, &plan, status).await?;
        Ok(Next::Resync)
    }
}
