//! What is told of a claim whose database somebody changed on the server.

use kube::Resource;

use super::fetch::Fetched;
use super::provision::Provisioned;
use super::standing::Held;
use super::status;
use crate::api::TenantDatabase;
use crate::api::condition::{self, DRIFTED};
use crate::controller::context::Context;
use crate::controller::outcome::chain;
use crate::controller::publish::{self, publish};

/// Says by the claim's condition what differs, before it is brought back: if that fails, it is what stands there.
pub(super) async fn announce(context: &Context, fetched: &Fetched, held: &Held) {
    let Some(status) = status::correcting(fetched, held, context.now()) else { return };
    // Whoever cannot be told is helped all the same.
    if let Err(error) = publish(context, &fetched.claim, status).await {
        tracing::warn!(error.message = chain(&error), "failed to say that a database drifted");
    }
}

/// Records an Event: that a database was brought back, or that it is left as somebody made it. `claim` is as it was
/// before the status of this turn.
pub(super) async fn tell(context: &Context, claim: &TenantDatabase, provisioned: &Provisioned) {
    let Some(drift) = provisioned.held.drift.as_ref().filter(|drift| !drift.unfinished) else { return };
    let (database, what) = (&provisioned.physical, drift.message());
    let about = claim.object_ref(&());
    if drift.corrected {
        let note = format!("database {database} was brought back to what is declared: {what}");
        publish::warn(context, &about, "DriftCorrected", "CorrectDrift", note).await;
        return;
    }
    let before = claim.status.as_ref().and_then(|status| condition::find(&status.conditions, DRIFTED));
    if before.is_none_or(|before| before.message != condition::cut(&what)) {
        let note =
            format!("database {database} is not as declared, and is left so (driftPolicy Warn): {what}");
        publish::warn(context, &about, "Drifted", "Compare", note).await;
    }
}
