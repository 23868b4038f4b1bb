//! What is told of an intervention, beside the record that the gate leaves for the audit log: a line and a metric at
//! once, and an Event on the claim soon after.

use std::collections::HashMap;
use std::time::Duration;

use kube::Resource;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::api::{DatabaseServer, ServerDatabase, TenantDatabase};
use crate::controller::context::Context;
use crate::controller::object::Key;
use crate::controller::publish;
use crate::postgres::guard::decide::Intervention;

/// A tenant that goes on and on gets one Event for each reason in this time: a login's attacks must not become the
/// operator's on the API server.
const QUIET: Duration = Duration::from_mins(1);

/// An intervention on a server.
pub(super) struct Told {
    server: String,
    intervention: Intervention,
}

/// Logs the intervention, counts it, and passes it on. Waits for nothing.
pub(super) fn tell(context: &Context, sender: &mpsc::Sender<Told>, server: &str, intervention: Intervention) {
    let reason = intervention.reason.name();
    context.metrics.ended_session(server, reason);
    tracing::warn!(
        server.name = server,
        database.name = intervention.database,
        database.login = intervention.login,
        session.pid = intervention.pid,
        guard.reason = reason,
        "the guard ended a session: it {}",
        intervention.reason
    );
    // With no room left the Event is what is missed.
    drop(sender.try_send(Told { server: server.to_owned(), intervention }));
}

/// The Events of late.
#[derive(Default)]
pub(super) struct Events {
    recent: HashMap<(String, String, &'static str), Instant>,
}

impl Events {
    /// Records an Event on the claim whose login it was, or on the server if there is no such claim any more.
    pub(super) async fn record(&mut self, context: &Context, told: Told) {
        let Told { server, intervention } = told;
        let now = Instant::now();
        self.recent.retain(|_, at| now.duration_since(*at) < QUIET);
        let key = (server.clone(), intervention.database.clone(), intervention.reason.name());
        if self.recent.insert(key, now).is_some() {
            return;
        }
        let note = format!(
            "ended a session of login {} on DatabaseServer {server}: it {}",
            intervention.login, intervention.reason
        );
        let claim = claim(context, &server, &intervention.database);
        let about = claim.map(|claim| claim.object_ref(&())).or_else(|| {
            let server = context.valid::<DatabaseServer>(&Key::cluster(&server));
            server.map(|server| server.object_ref(&()))
        });
        if let Some(about) = about {
            publish::warn(context, &about, "SessionEnded", "EndSession", note).await;
        }
    }
}

/// The claim that has the database.
fn claim(context: &Context, server: &str, database: &str) -> Option<TenantDatabase> {
    let has = |it: &ServerDatabase| it.spec.server_ref.name == server && it.spec.physical_name == database;
    let claim = context.valid_all::<ServerDatabase>().into_iter().find(has)?.spec.claim_ref;
    context.valid(&Key::namespaced(&claim.namespace, &claim.name))
}
