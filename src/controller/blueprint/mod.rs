//! Blueprint: nothing is made of it by itself; its status says whether tenants can use it.

pub mod validate;

use super::apply::ApplyError;
use super::context::Context;
use super::outcome::Next;
use super::publish::publish;
use super::worker::Reconciler;
use crate::api::Blueprint;
use crate::api::condition::Summary;

/// The blueprints' controller.
pub struct Controller;

impl Reconciler for Controller {
    type Kind = Blueprint;

    async fn reconcile(context: &Context, blueprint: Blueprint) -> Result<Next, ApplyError> {
        if blueprint.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Never);
        }
        let summary = match validate::validate(&blueprint.spec) {
            Ok(()) => Summary::Ready { message: "tenants can use it".into() },
            Err(summary) => summary,
        };
        let mut status = blueprint.status.clone().unwrap_or_default();
        summary.write(
            &mut status.conditions,
            blueprint.metadata.generation.unwrap_or_default(),
            context.now(),
        );
        publish(context, &blueprint, status).await?;
        Ok(Next::Resync)
    }
}
