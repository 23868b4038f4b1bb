//! Step 5: what the server's status says. Pure.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::drift::Found;
use super::fetch::Fetched;
use super::reach::Reached;
use crate::api::condition::{self, DELETION_BRAKE, DRIFTED, EXPOSED, SERVER_REACHABLE, Summary, reason};
use crate::api::database_server::{CircuitState, DatabaseServerStatus, Scheduling, TenantLog};
use crate::api::reconcile::{Reconciled, open_request};
use crate::api::step::{Step, StepPhase};
use crate::api::{labels, names};
use crate::controller::brake::{Engaged, Stand};
use crate::postgres::facts::{Marker, Server};
use crate::postgres::settings::Setting;

/// The first status of a server, before anything is tried; `None` if there is one already.
pub fn first(fetched: &Fetched, now: Timestamp) -> Option<DatabaseServerStatus> {
    let before = fetched.server.status.clone().unwrap_or_default();
    // Until it has been looked at, a running server is what it was.
    if !before.conditions.is_empty() {
        return None;
    }
    let message = "the server is being looked at".to_owned();
    let mut status =
        status_with(fetched, &Summary::Progressing { reason: reason::PROGRESSING, message }, now);
    status.steps = vec![Step::new("server", StepPhase::Running)];
    Some(status)
}

/// The status after a turn.
pub fn status(
    fetched: &Fetched,
    reached: &Result<Reached, Summary>,
    found: Option<&Found>,
    circuit: CircuitState,
    now: Timestamp,
) -> DatabaseServerStatus {
    let mut status = DatabaseServerStatus { circuit: Some(circuit), ..looked_at(fetched, reached, now) };
    if let Some(found) = found {
        compared(fetched, &mut status, found, now);
    }
    status
}

fn compared(fetched: &Fetched, status: &mut DatabaseServerStatus, found: &Found, now: Timestamp) {
    let generation = fetched.server.metadata.generation.unwrap_or_default();
    match found.privileged() {
        Some(message) => {
            let reason = reason::PRIVILEGED_ROLES;
            condition::set(&mut status.conditions, DRIFTED, "True", reason, &message, generation, now);
        }
        None => condition::remove(&mut status.conditions, DRIFTED),
    }
    let annotation = fetched.server.annotations().get(labels::RECONCILE_REQUESTED_AT);
    if let Some(requested) = open_request(annotation, status.last_reconcile.as_ref()) {
        status.last_reconcile = Some(Reconciled::new(requested, &found.findings(), None));
    }
}

/// The same, and what it says of the deletion brake.
pub fn with_brake(
    mut status: DatabaseServerStatus,
    stand: &Stand,
    fetched: &Fetched,
    now: Timestamp,
) -> DatabaseServerStatus {
    let generation = fetched.server.metadata.generation.unwrap_or_default();
    match stand {
        Stand::AsBefore => {}
        Stand::Over => {
            status.deletion_brake = None;
            condition::remove(&mut status.conditions, DELETION_BRAKE);
        }
        Stand::Engaged(Engaged { nonce, message }) => {
            status.deletion_brake = Some(nonce.clone());
            let reason = reason::DELETION_BRAKE;
            condition::set(&mut status.conditions, DELETION_BRAKE, "True", reason, message, generation, now);
        }
    }
    status
}

fn looked_at(fetched: &Fetched, reached: &Result<Reached, Summary>, now: Timestamp) -> DatabaseServerStatus {
    let generation = fetched.server.metadata.generation.unwrap_or_default();
    let before = fetched.server.status.as_ref().map(|status| &*status.steps).unwrap_or_default();
    match reached {
        Ok(reached) => {
            let message = ready(fetched, reached);
            let mut status = status_with(fetched, &Summary::Ready { message }, now);
            status.version = Some(reached.server.version.clone());
            status.system_identifier = Some(reached.server.system_identifier.clone());
            status.tenant = owner(&reached.markers);
            status.steps = vec![Step::new("server", StepPhase::Succeeded)];
            let (reason, message) = match &reached.refused {
                None => (reason::RECONCILED, "the admin login works".to_owned()),
                Some(refused) => (
                    reason::AUTHENTICATION_FAILED,
                    format!(
                        "the admin login that worked before is still used: {refused}; correct username and password in the admin Secret, or on the server"
                    ),
                ),
            };
            condition::set(
                &mut status.conditions,
                SERVER_REACHABLE,
                "True",
                reason,
                &message,
                generation,
                now,
            );
            expose(fetched, &mut status, &reached.server, now);
            status
        }
        Err(summary) => {
            let mut status = status_with(fetched, summary, now);
            if let Summary::Progressing { reason, message } | Summary::Stalled { reason, message } = summary {
                let waits = *reason == reason::PROGRESSING;
                let step = if waits {
                    Step::new("server", StepPhase::Running)
                } else {
                    Step::failed("server", message, before)
                };
                status.steps = vec![step];
                condition::set(
                    &mut status.conditions,
                    SERVER_REACHABLE,
                    "False",
                    reason,
                    message,
                    generation,
                    now,
                );
            }
            status
        }
    }
}

/// Says that tenants may fill the server's log: our login may not forbid it them.
fn expose(fetched: &Fetched, status: &mut DatabaseServerStatus, server: &Server, now: Timestamp) {
    let log = fetched.server.spec.tenant_log.unwrap_or_default();
    if log == TenantLog::Keep || !server.forbidden_settings.contains(&Setting::LogMinMessages) {
        return condition::remove(&mut status.conditions, EXPOSED);
    }
    let (name, admin) = (Setting::LogMinMessages.name(), &server.admin);
    let message = format!(
        "tenants' sessions may fill the server's log, since the admin login {admin:?} may not set {name}: have a superuser run \
         GRANT SET ON PARAMETER {name} TO {admin:?}, or let spec.tenantLog be Keep"
    );
    let generation = fetched.server.metadata.generation.unwrap_or_default();
    condition::set(&mut status.conditions, EXPOSED, "True", reason::LOG_OPEN, &message, generation, now);
}

/// What a server says that can be used: whether it takes new databases, and if it is to be emptied, whether it is empty.
fn ready(fetched: &Fetched, reached: &Reached) -> String {
    let (spec, version) = (&fetched.server.spec, &reached.server.version);
    let said = spec.closed_to_new(reached.markers.len()).unwrap_or_else(|| {
        let of = owner(&reached.markers).map(|tenant| format!(" of tenant {tenant} only"));
        format!("takes databases{}", of.unwrap_or_default())
    });
    let drained = match spec.scheduling() {
        Scheduling::Draining if reached.markers.is_empty() => ", and no database is on it any more",
        Scheduling::Draining => ", and databases are still on it",
        Scheduling::Active | Scheduling::Paused => "",
    };
    format!("PostgreSQL {version} {said}{drained}")
}

/// The tenant that has the server for its own, by the claims of its databases.
fn owner(markers: &[Marker]) -> Option<String> {
    let row = markers.iter().find(|row| row.own_server)?;
    names::tenant_of_namespace(&row.claim.namespace).map(str::to_owned)
}

fn status_with(fetched: &Fetched, summary: &Summary, now: Timestamp) -> DatabaseServerStatus {
    let mut status = fetched.server.status.clone().unwrap_or_default();
    summary.write(&mut status.conditions, fetched.server.metadata.generation.unwrap_or_default(), now);
    status
}
