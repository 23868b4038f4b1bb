//! Step 5: what the claim's status says. Pure.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::credentials::{Rotating, Until};
use super::fetch::Fetched;
use super::provision::Provisioned;
use super::standing::Held;
use super::tenancy::OwnServer;
use super::validate::Validated;
use crate::api::condition::{
    self, DRIFTED, READY, ROTATING, SERVER_REACHABLE, SHARED_SERVER, SUSPENDED, Summary, reason,
};
use crate::api::names::Group;
use crate::api::reconcile::Reconciled;
use crate::api::schema::NameRef;
use crate::api::server_database::Management;
use crate::api::step::{Step, StepPhase};
use crate::api::tenant_database::TenantDatabaseStatus;

/// The status of a claim that cannot be done. What it has it keeps; its logins are refused if they were `closed`.
pub fn refused(fetched: &Fetched, problem: &Summary, closed: bool, now: Timestamp) -> TenantDatabaseStatus {
    let mut status = with(fetched, problem, now);
    status.steps = steps(fetched, Some(problem));
    if is_elsewhere(problem) && status.server_database.is_none() {
        status.server = None;
    }
    if closed {
        shut(fetched, &mut status, now);
    }
    status
}

/// What a claim that is on its way out says once its logins are refused.
pub fn closed(fetched: &Fetched, now: Timestamp) -> TenantDatabaseStatus {
    let mut status = fetched.claim.status.clone().unwrap_or_default();
    shut(fetched, &mut status, now);
    status
}

/// What a claim says before its logins are let in again, if they were refused. `Suspended` is never True while a login
/// works: whoever reads it may rely on that.
pub fn resuming(fetched: &Fetched, claim: &Validated, now: Timestamp) -> Option<TenantDatabaseStatus> {
    let before = fetched.claim.status.as_ref()?;
    if claim.suspended || !condition::is_true(&before.conditions, SUSPENDED, None) {
        return None;
    }
    let message = "logins are being let in again".to_owned();
    let mut status = with(fetched, &Summary::Progressing { reason: reason::PROGRESSING, message }, now);
    status.steps = vec![Step::new("database", StepPhase::Running)];
    condition::remove(&mut status.conditions, SUSPENDED);
    Some(status)
}

/// The first status of a claim, before anything is made; `None` if there is one already.
pub fn first(fetched: &Fetched, claim: &Validated, now: Timestamp) -> Option<TenantDatabaseStatus> {
    let before = fetched.claim.status.clone().unwrap_or_default();
    let current = before.observed_generation == fetched.claim.metadata.generation;
    if current || condition::is_true(&before.conditions, READY, None) {
        return None;
    }
    let message = format!("the database is being made on DatabaseServer {}", claim.server);
    let mut status = with(fetched, &Summary::Progressing { reason: reason::PROGRESSING, message }, now);
    status.server = Some(claim.server.clone());
    status.steps = vec![Step::new("database", StepPhase::Running)];
    Some(status)
}

/// The status after a turn.
pub fn status(
    fetched: &Fetched,
    claim: &Validated,
    provisioned: &Result<Provisioned, Summary>,
    now: Timestamp,
) -> TenantDatabaseStatus {
    let mut status = match provisioned {
        Ok(provisioned) => {
            let message = match (claim.suspended, provisioned.logins_allowed) {
                (true, false) => "suspended: logins are refused, everything is kept".to_owned(),
                (true, true) => "suspending: logins are refused when the workloads have ended".to_owned(),
                (false, _) => on_server(claim, provisioned),
            };
            let summary = provisioned.lacking.clone().unwrap_or(Summary::Ready { message });
            let mut status = with(fetched, &summary, now);
            if reached(&summary).is_none() {
                server_is(ANSWERED, fetched, &mut status, now);
            }
            if summary.is_ready() && provisioned.marker.management() == Management::Observe {
                observed(fetched, &mut status, now);
            }
            if provisioned.logins_allowed {
                condition::remove(&mut status.conditions, SUSPENDED);
            } else {
                suspend(fetched, &mut status, now);
            }
            rotate(fetched, &provisioned.rotating, &mut status, now);
            status
        }
        Err(problem) => with(fetched, problem, now),
    };
    let problem = provisioned.as_ref().map_or_else(Some, |provisioned| provisioned.lacking.as_ref());
    status.steps = steps(fetched, problem);
    let elsewhere = provisioned.as_ref().is_err_and(is_elsewhere);
    status.server = Some(claim.server.clone()).filter(|_| !elsewhere || status.server_database.is_some());
    if let Ok(provisioned) = provisioned {
        status.server_database = Some(provisioned.marker.object_name());
        status.binding = claim.credentials.first().map(|it| NameRef::new(it.secret.clone()));
        status.declared.clone_from(&provisioned.held.declared);
        if let Some(requested) = &claim.requested {
            let drift = provisioned.held.drift.as_ref();
            let found = drift.map(|drift| &*drift.found).unwrap_or_default();
            status.last_reconcile = Some(Reconciled::new(
                requested,
                found,
                drift.map(|drift| drift.corrected && !drift.unfinished),
            ));
        }
        if provisioned.held.still_differs() {
            drifted(fetched, &mut status, &provisioned.held, now);
        } else {
            condition::remove(&mut status.conditions, DRIFTED);
        }
        share(fetched, claim, &mut status, now);
    }
    status
}

/// Whether a claim that has no database has nothing on the server that it was placed on, and may find another one.
fn is_elsewhere(problem: &Summary) -> bool {
    matches!(problem, Summary::Progressing { reason: reason::NO_SERVER, .. })
}

/// Says of a database whose plan asks for a server of the tenant's own that others are on its server. It is never moved.
fn share(fetched: &Fetched, claim: &Validated, status: &mut TenantDatabaseStatus, now: Timestamp) {
    if claim.own_server != OwnServer::Shared {
        condition::remove(&mut status.conditions, SHARED_SERVER);
        return;
    }
    let plan = fetched.plan.as_ref().map(ResourceExt::name_any).unwrap_or_default();
    let message = format!(
        "Plan {plan} asks for a server of the tenant's own, and DatabaseServer {} has databases of other tenants: the database stays          there; to move it, copy it into the database of a new claim, which is placed anew",
        claim.server
    );
    let generation = fetched.claim.metadata.generation.unwrap_or_default();
    let reason = reason::NEVER_MOVED;
    condition::set(&mut status.conditions, SHARED_SERVER, "True", reason, &message, generation, now);
}

/// Where the database is, and how much of it is ours.
fn on_server(claim: &Validated, provisioned: &Provisioned) -> String {
    let (physical, server) = (&provisioned.physical, &claim.server);
    match provisioned.marker.management() {
        Management::Full => format!("the database is on DatabaseServer {server}"),
        Management::Observe => {
            format!(
                "database {physical} of DatabaseServer {server} is observed: nothing is written to it, and there are no logins"
            )
        }
        Management::Adopt => format!(
            "database {physical} of DatabaseServer {server} is adopted: what is in it is its owner's to grant to {}",
            Group::ALL.map(|group| physical.group(group)).join(", ")
        ),
    }
}

/// Ready, but not as other claims are: whoever looks for a binding finds here why there is none.
fn observed(fetched: &Fetched, status: &mut TenantDatabaseStatus, now: Timestamp) {
    let Some(ready) = condition::find(&status.conditions, READY).cloned() else { return };
    let generation = fetched.claim.metadata.generation.unwrap_or_default();
    condition::set(&mut status.conditions, READY, "True", reason::OBSERVED, &ready.message, generation, now);
}

/// What a claim says before its database is brought back to what is declared; `None` if there is nothing to bring back.
pub fn correcting(fetched: &Fetched, held: &Held, now: Timestamp) -> Option<TenantDatabaseStatus> {
    held.drift.as_ref().filter(|drift| drift.corrected)?;
    let mut status = fetched.claim.status.clone().unwrap_or_default();
    drifted(fetched, &mut status, held, now);
    Some(status)
}

fn drifted(fetched: &Fetched, status: &mut TenantDatabaseStatus, held: &Held, now: Timestamp) {
    let Some(drift) = &held.drift else { return };
    let reason = if drift.corrected { reason::CORRECTING } else { reason::LEFT_ALONE };
    let generation = fetched.claim.metadata.generation.unwrap_or_default();
    condition::set(&mut status.conditions, DRIFTED, "True", reason, &drift.message(), generation, now);
}

/// Its logins are refused, past what was declared last: whoever lets them in again corrects no drift.
fn shut(fetched: &Fetched, status: &mut TenantDatabaseStatus, now: Timestamp) {
    suspend(fetched, status, now);
    status.declared = None;
}

fn suspend(fetched: &Fetched, status: &mut TenantDatabaseStatus, now: Timestamp) {
    let (reason, message) = (reason::SUSPENDED, "logins are refused");
    let generation = fetched.claim.metadata.generation.unwrap_or_default();
    condition::set(&mut status.conditions, SUSPENDED, "True", reason, message, generation, now);
}

/// Says of which credentials two logins work, and for how long.
fn rotate(fetched: &Fetched, rotating: &[Rotating], status: &mut TenantDatabaseStatus, now: Timestamp) {
    let Some(first) = rotating.first() else {
        condition::remove(&mut status.conditions, ROTATING);
        return;
    };
    let reason = match first.until {
        Until::RolledOut(_) => reason::ROLLING_OUT,
        Until::Unused(_) => reason::GRACE_PERIOD,
    };
    let said: Vec<String> = rotating.iter().map(say).collect();
    let generation = fetched.claim.metadata.generation.unwrap_or_default();
    condition::set(&mut status.conditions, ROTATING, "True", reason, &said.join("; "), generation, now);
}

fn say(Rotating { credential, earlier, until }: &Rotating) -> String {
    let works = format!("credential {credential}: the earlier login {earlier} works");
    match until {
        Until::RolledOut(None) => format!("{works} until the new one has reached every pod"),
        Until::RolledOut(Some(name)) => {
            format!("{works} until the rollout of Microservice {name} is complete")
        }
        Until::Unused(ends) => format!("{works} until nobody uses it, at the latest until {ends:.0}"),
    }
}

fn with(fetched: &Fetched, summary: &Summary, now: Timestamp) -> TenantDatabaseStatus {
    let mut status = fetched.claim.status.clone().unwrap_or_default();
    let generation = fetched.claim.metadata.generation.unwrap_or_default();
    summary.write(&mut status.conditions, generation, now);
    if let Some(reached) = reached(summary) {
        server_is(reached, fetched, &mut status, now);
    }
    status
}

/// Status, reason and message of ServerReachable.
type Reached<'a> = (&'static str, &'static str, &'a str);

const ANSWERED: Reached = ("True", reason::RECONCILED, "the server answered");

/// What it tells about the server, if it does.
fn reached(summary: &Summary) -> Option<Reached<'_>> {
    match summary {
        Summary::Progressing {
            reason: reason @ (reason::SERVER_UNREACHABLE | reason::TOO_MANY_CONNECTIONS),
            message,
        } => Some(("False", *reason, message)),
        // What is wrong it is PostgreSQL that says.
        Summary::Ready { .. }
        | Summary::Progressing {
            reason: reason::PRIVILEGE_MISSING | reason::DISK_FULL | reason::OUT_OF_MEMORY | reason::READ_ONLY,
            ..
        } => Some(ANSWERED),
        Summary::Progressing { .. } | Summary::Stalled { .. } => None,
    }
}

fn server_is(reached: Reached<'_>, fetched: &Fetched, status: &mut TenantDatabaseStatus, now: Timestamp) {
    let (is, reason, message) = reached;
    let generation = fetched.claim.metadata.generation.unwrap_or_default();
    condition::set(&mut status.conditions, SERVER_REACHABLE, is, reason, message, generation, now);
}

fn steps(fetched: &Fetched, problem: Option<&Summary>) -> Vec<Step> {
    let before = fetched.claim.status.as_ref().map(|status| &*status.steps).unwrap_or_default();
    vec![match problem {
        None | Some(Summary::Ready { .. }) => Step::new("database", StepPhase::Succeeded),
        Some(Summary::Progressing { reason: reason::PROGRESSING, .. }) => {
            Step::new("database", StepPhase::Running)
        }
        Some(Summary::Progressing { message, .. } | Summary::Stalled { message, .. }) => {
            Step::failed("database", message, before)
        }
    }]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures::fetched;
    use super::*;

    #[test]
    fn a_server_that_answers_is_no_longer_said_to_be_unreachable() {
        let mut fetched = fetched(&json!({}), &json!({}));
        let mut said = |reason: &'static str| {
            let problem = Summary::Progressing { reason, message: format!("it says {reason}") };
            let status = refused(&fetched, &problem, false, Timestamp::UNIX_EPOCH);
            fetched.claim.status = Some(status.clone());
            let reachable = condition::find(&status.conditions, SERVER_REACHABLE).unwrap();
            (reachable.status.clone(), reachable.message.clone())
        };
        let unreachable = ("False".to_owned(), "it says ServerUnreachable".to_owned());
        let answered = ("True".to_owned(), "the server answered".to_owned());
        assert_eq!(said(reason::SERVER_UNREACHABLE), unreachable);
        assert_eq!(said(reason::PLAN_NOT_FOUND), unreachable, "which tells nothing about the server");
        assert_eq!(said(reason::DISK_FULL), answered);
        assert_eq!(said(reason::TOO_MANY_CONNECTIONS).0, "False");
        assert_eq!(said(reason::PRIVILEGE_MISSING), answered);
    }
}
