//! Step 5: what the tenant's status says. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::TenantApplied;
use super::fetch::Fetched;
use super::validate::Validated;
use crate::api::blueprint::BlueprintDatabase;
use crate::api::condition::{self, READY, STALLED, SUSPENDED, Summary, reason};
use crate::api::names::{self, TenantId};
use crate::api::step::{Step, StepPhase};
use crate::api::tenant::TenantStatus;
use crate::api::{Microservice, TenantDatabase};
use crate::controller::outcome;
use crate::controller::own::Status;

/// The status of a tenant whose spec cannot be done. What runs keeps running.
pub fn refused(fetched: &Fetched, problem: &Summary, now: Timestamp) -> TenantStatus {
    let mut status = fetched.tenant.status.clone().unwrap_or_default();
    identify(fetched, &mut status);
    problem.write(&mut status.conditions, generation(fetched), now);
    // Its claims and microservices obey the state, whatever else cannot be done.
    suspended(fetched, &mut status, now);
    status
}

/// The first status of a generation, before anything is made; `None` if there is one already.
pub fn first(fetched: &Fetched, validated: &Validated, now: Timestamp) -> Option<TenantStatus> {
    let before = fetched.tenant.status.clone().unwrap_or_default();
    if before.observed_generation == fetched.tenant.metadata.generation {
        return None;
    }
    // A change of a running tenant needs no news before its result.
    if before.id.is_some() && condition::is_true(&before.conditions, READY, None) {
        return None;
    }
    Some(status(fetched, validated, &TenantApplied::default(), now))
}

/// The status after the writes of a turn.
pub fn status(
    fetched: &Fetched,
    validated: &Validated,
    applied: &TenantApplied,
    now: Timestamp,
) -> TenantStatus {
    let mut status = fetched.tenant.status.clone().unwrap_or_default();
    identify(fetched, &mut status);
    let parts = parts(fetched, validated, applied);
    status.steps = steps(&parts, &status.steps);
    let summary = summary(&parts, validated);
    summary.write(&mut status.conditions, generation(fetched), now);
    suspended(fetched, &mut status, now);
    status
}

fn generation(fetched: &Fetched) -> i64 {
    fetched.tenant.metadata.generation.unwrap_or_default()
}

fn identify(fetched: &Fetched, status: &mut TenantStatus) {
    status.id = Some(TenantId::of_uid(&fetched.tenant.uid().unwrap_or_default()).to_string());
    status.namespace = Some(names::tenant_namespace(&fetched.tenant.name_any()));
}

/// How far one step is: nothing is missing, or why it is.
type Part = (&'static str, Result<(), Summary>);

fn parts(fetched: &Fetched, validated: &Validated, applied: &TenantApplied) -> [Part; 3] {
    let claims = validated.databases.iter().map(|BlueprintDatabase { name, .. }| {
        let claim = fetched.claims.iter().find(|claim| claim.name_any() == *name);
        let state = claim.and_then(|claim| Some((claim.metadata.generation, claim.status.as_ref()?)));
        child_state("TenantDatabase", name, state)
    });
    let claims = claims.collect::<Result<(), Summary>>();
    let services = validated.services.iter().map(|service| {
        let found = fetched.microservices.iter().find(|microservice| microservice.name_any() == service.name);
        let state = found
            .and_then(|microservice| Some((microservice.metadata.generation, microservice.status.as_ref()?)));
        child_state("Microservice", &service.name, state)
    });
    let services = services.collect::<Result<(), Summary>>();
    [
        ("namespace", namespace_state(fetched, validated, applied)),
        ("databases", claims.and_then(|()| logins(fetched, validated))),
        ("services", services.and_then(|()| pods(fetched, validated))),
    ]
}

/// Suspending and resuming change no spec of a claim, so its Ready may be of before: what it says of its logins counts.
/// Claims that users made count while suspended, too, and those that somebody holds on their way out: a login is a login.
fn logins(fetched: &Fetched, validated: &Validated) -> Result<(), Summary> {
    let lags = |claim: &&TenantDatabase| {
        let Some(status) = &claim.status else { return false };
        let refused = condition::is_true(&status.conditions, SUSPENDED, None);
        if validated.suspended {
            !refused && status.server_database.is_some()
        } else {
            refused && validated.databases.iter().any(|database| database.name == claim.name_any())
        }
    };
    let what = if validated.suspended { "refused" } else { "let in again" };
    let lagging = fetched.claims.iter().find(lags).map(ResourceExt::name_any);
    lagging.map_or(Ok(()), |name| waits(&format!("logins of TenantDatabase {name} are {what}")))
}

/// The same for the pods of microservices.
fn pods(fetched: &Fetched, validated: &Validated) -> Result<(), Summary> {
    let lags = |microservice: &&Microservice| {
        let pods = microservice.status.as_ref().and_then(|status| status.replicas);
        let asked = |name: &str| validated.services.iter().any(|service| service.name == name);
        if validated.suspended {
            pods.unwrap_or(0) > 0
        } else if microservice.metadata.deletion_timestamp.is_some() {
            false
        } else {
            pods == Some(0) && microservice.spec.replicas != Some(0) && asked(&microservice.name_any())
        }
    };
    let what = if validated.suspended { "have ended" } else { "run again" };
    let lagging = fetched.microservices.iter().find(lags).map(ResourceExt::name_any);
    lagging.map_or(Ok(()), |name| waits(&format!("pods of Microservice {name} {what}")))
}

fn waits(until: &str) -> Result<(), Summary> {
    Err(Summary::Progressing { reason: reason::PROGRESSING, message: format!("waiting until {until}") })
}

fn namespace_state(fetched: &Fetched, validated: &Validated, applied: &TenantApplied) -> Result<(), Summary> {
    if let Some(failure) = applied.failures.first() {
        return Err(outcome::summary(failure));
    }
    let progressing = |message: String| Err(Summary::Progressing { reason: reason::PROGRESSING, message });
    if applied.terminating {
        return progressing(format!(
            "Namespace {} is being deleted; it is made again when it is gone, databases are kept",
            validated.namespace
        ));
    }
    match &fetched.namespace {
        Some(_) => Ok(()),
        None => progressing(format!("Namespace {} is being made", validated.namespace)),
    }
}

/// A child's own Ready, as its tenant sees it: a status for an older spec counts as progress.
fn child_state<S: Status>(kind: &str, name: &str, state: Option<(Option<i64>, &S)>) -> Result<(), Summary> {
    let waiting = || Summary::Progressing {
        reason: reason::PROGRESSING,
        message: format!("{kind} {name} is being made"),
    };
    let (generation, status) = state.ok_or_else(waiting)?;
    let conditions: &[Condition] = status.conditions();
    let ready = condition::find(conditions, READY).ok_or_else(waiting)?;
    if status.observed_generation() != generation {
        return Err(waiting());
    }
    if ready.status == "True" {
        return Ok(());
    }
    let message = format!("{kind} {name}: {}", ready.message);
    let reason = known(&ready.reason);
    Err(if condition::is_true(conditions, STALLED, None) {
        Summary::Stalled { reason, message }
    } else {
        Summary::Progressing { reason, message }
    })
}

/// The child's reason where a reader of the tenant can act on it.
fn known(child: &str) -> &'static str {
    const SHOWN: [&str; 20] = [
        reason::RELEASED_DATABASE_EXISTS,
        reason::NAME_CONFLICT,
        reason::CLAIM_CONFLICT,
        reason::SERVER_NOT_FOUND,
        reason::NO_SERVER,
        reason::SERVER_NOT_ALLOWED,
        reason::SERVER_UNREACHABLE,
        reason::TOO_MANY_CONNECTIONS,
        reason::DISK_FULL,
        reason::OUT_OF_MEMORY,
        reason::SETTING_REFUSED,
        reason::READ_ONLY,
        reason::PRIVILEGE_MISSING,
        reason::AUTHENTICATION_FAILED,
        reason::CERTIFICATE_UNTRUSTED,
        reason::IMAGE_PULL_FAILED,
        reason::CRASH_LOOP,
        reason::QUOTA_EXCEEDED,
        reason::UNSCHEDULABLE,
        reason::INVALID_SPEC,
    ];
    SHOWN.into_iter().find(|shown| *shown == child).unwrap_or(reason::PROGRESSING)
}

fn steps(parts: &[Part; 3], before: &[Step]) -> Vec<Step> {
    let mut blocked = false;
    parts
        .iter()
        .map(|(name, state)| match state {
            Ok(()) => Step::new(name, StepPhase::Succeeded),
            Err(_) if blocked => Step::new(name, StepPhase::Pending),
            Err(Summary::Progressing { reason: reason::PROGRESSING, .. } | Summary::Ready { .. }) => {
                blocked = true;
                Step::new(name, StepPhase::Running)
            }
            Err(Summary::Progressing { message, .. } | Summary::Stalled { message, .. }) => {
                blocked = true;
                Step::failed(name, message, before)
            }
        })
        .collect()
}

fn summary(parts: &[Part; 3], validated: &Validated) -> Summary {
    // What a person has to act on comes before what goes on by itself.
    let worst = |summary: &&Summary| match summary {
        Summary::Stalled { .. } => 0,
        Summary::Progressing { reason, .. } if *reason != reason::PROGRESSING => 1,
        Summary::Progressing { .. } | Summary::Ready { .. } => 2,
    };
    if let Some(summary) = parts.iter().filter_map(|(_, state)| state.as_ref().err()).min_by_key(worst) {
        return summary.clone();
    }
    let databases = counted(validated.databases.len(), "database");
    let message = if validated.suspended {
        let verb = if validated.databases.len() == 1 { "is" } else { "are" };
        format!("suspended: workloads are at zero, logins are refused, {databases} {verb} kept")
    } else {
        format!("{databases} and {} are ready", counted(validated.services.len(), "service"))
    };
    Summary::Ready { message }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn suspended(fetched: &Fetched, status: &mut TenantStatus, now: Timestamp) {
    if fetched.tenant.spec.is_suspended() {
        let (reason, message) = (reason::SUSPENDED, "set spec.state to Active to resume");
        condition::set(&mut status.conditions, SUSPENDED, "True", reason, message, generation(fetched), now);
    } else {
        condition::remove(&mut status.conditions, SUSPENDED);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::Tenant;
    use crate::api::blueprint::BlueprintService;
    use crate::api::microservice::{MicroserviceSpec, MicroserviceStatus};
    use crate::api::plan::PlanSpec;
    use crate::api::schema::NameRef;
    use crate::api::tenant::{TenantSpec, TenantState};
    use crate::api::tenant_database::{TenantDatabaseSpec, TenantDatabaseStatus};
    use crate::controller::child::Child;
    use crate::controller::object::Kind;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

    use StepPhase::{Pending, Running, Succeeded};

    const NOW: Timestamp = Timestamp::constant(100, 0);

    fn validated(suspended: bool) -> Validated {
        Validated {
            name: "acme".into(),
            uid: "uid-1".into(),
            created: None,
            id: TenantId::of_uid("uid-1"),
            namespace: "tenant-acme".into(),
            plan: PlanSpec::default(),
            databases: vec![BlueprintDatabase { name: "app".into(), ..BlueprintDatabase::default() }],
            services: vec![BlueprintService { name: "user".into(), spec: MicroserviceSpec::default() }],
            former: vec![],
            managed_servers: BTreeSet::new(),
            owners: vec![],
            suspended,
            protected: false,
        }
    }

    fn conditions(summary: Option<Summary>) -> Vec<Condition> {
        let mut conditions = vec![];
        if let Some(summary) = summary {
            summary.write(&mut conditions, 1, NOW);
        }
        conditions
    }

    fn fetched(claim: Option<Summary>, service: Option<Summary>) -> Fetched {
        let mut tenant = Tenant::new(
            "acme",
            TenantSpec {
                display_name: None,
                plan_ref: NameRef::new("p"),
                blueprints: None,
                state: None,
                owners: None,
                deletion_policy: None,
                deletion_protection: None,
            },
        );
        tenant.metadata = ObjectMeta { uid: Some("uid-1".into()), generation: Some(1), ..tenant.metadata };
        let mut tdb = TenantDatabase::new("app", TenantDatabaseSpec::default());
        tdb.metadata.generation = Some(1);
        tdb.status = Some(TenantDatabaseStatus {
            observed_generation: Some(1),
            conditions: conditions(claim),
            ..TenantDatabaseStatus::default()
        });
        let mut msvc = Microservice::new("user", MicroserviceSpec::default());
        msvc.metadata.generation = Some(1);
        msvc.status = Some(MicroserviceStatus {
            observed_generation: Some(1),
            conditions: conditions(service),
            ..MicroserviceStatus::default()
        });
        let child = Child::new(Kind::Namespace, &ObjectMeta::default());
        Fetched {
            tenant,
            plan: None,
            blueprints: vec![],
            claims: vec![tdb],
            microservices: vec![msvc],
            managed_servers: BTreeSet::new(),
            namespace: Some(std::sync::Arc::new(child)),
        }
    }

    /// A child that is ready.
    const RIGHT: Option<Summary> = Some(Summary::Ready { message: String::new() });

    fn said(fetched: &Fetched, suspended: bool) -> (String, String, Vec<Option<StepPhase>>) {
        let status = status(fetched, &validated(suspended), &TenantApplied::default(), NOW);
        let ready = condition::find(&status.conditions, READY).unwrap();
        let phases = status.steps.iter().map(|step| step.phase).collect();
        (ready.reason.clone(), ready.message.clone(), phases)
    }

    #[test]
    fn a_tenant_is_ready_when_all_that_it_consists_of_is() {
        let phases = |phases: [StepPhase; 3]| phases.map(Some).to_vec();
        assert_eq!(
            said(&fetched(RIGHT, RIGHT), false),
            ("Reconciled".into(), "1 database and 1 service are ready".into(), phases([Succeeded; 3]))
        );
        assert_eq!(
            said(&fetched(None, None), false),
            (
                "Progressing".into(),
                "TenantDatabase app is being made".into(),
                phases([Succeeded, Running, Pending])
            )
        );
        assert_eq!(
            said(&fetched(RIGHT, None), false),
            (
                "Progressing".into(),
                "Microservice user is being made".into(),
                phases([Succeeded, Succeeded, Running])
            )
        );
    }

    #[test]
    fn a_tenant_is_suspended_when_no_login_and_no_pod_is_left_and_resumed_when_all_are_back() {
        let refuse = |claim: &mut TenantDatabase| {
            let conditions = &mut claim.status.as_mut().unwrap().conditions;
            condition::set(conditions, SUSPENDED, "True", reason::SUSPENDED, "", 1, NOW);
        };
        let has = |claim: &mut TenantDatabase| {
            claim.status.as_mut().unwrap().server_database = Some("t-1".into());
        };
        let mut fetched = fetched(RIGHT, RIGHT);
        has(&mut fetched.claims[0]);
        let ready = "1 database and 1 service are ready";
        assert_eq!(said(&fetched, false).1, ready);
        assert_eq!(said(&fetched, true).1, "waiting until logins of TenantDatabase app are refused");
        refuse(&mut fetched.claims[0]);
        let suspended = "suspended: workloads are at zero, logins are refused, 1 database is kept";
        assert_eq!(said(&fetched, true), ("Reconciled".into(), suspended.into(), vec![Some(Succeeded); 3]));
        fetched.microservices[0].status.as_mut().unwrap().replicas = Some(2);
        assert_eq!(said(&fetched, true).1, "waiting until pods of Microservice user have ended");

        assert_eq!(said(&fetched, false).1, "waiting until logins of TenantDatabase app are let in again");
        let claim = &mut fetched.claims[0];
        condition::remove(&mut claim.status.as_mut().unwrap().conditions, SUSPENDED);
        fetched.microservices[0].status.as_mut().unwrap().replicas = Some(0);
        assert_eq!(said(&fetched, false).1, "waiting until pods of Microservice user run again");
        fetched.microservices[0].spec.replicas = Some(0);
        assert_eq!(said(&fetched, false).1, ready, "none are asked for");
    }

    #[test]
    fn a_tenant_that_cannot_be_done_is_as_suspended_as_its_spec_says() {
        let problem = Summary::Progressing { reason: reason::PLAN_NOT_FOUND, message: String::new() };
        let mut fetched = fetched(RIGHT, RIGHT);
        let mut is_suspended = |state| {
            fetched.tenant.spec.state = Some(state);
            fetched.tenant.status = Some(refused(&fetched, &problem, NOW));
            let conditions = &fetched.tenant.status.as_ref().unwrap().conditions;
            condition::is_true(conditions, SUSPENDED, None)
        };
        assert!(is_suspended(TenantState::Suspended));
        assert!(!is_suspended(TenantState::Active));
    }

    #[test]
    fn a_claim_that_a_user_made_counts_while_suspended() {
        let mut fetched = fetched(RIGHT, RIGHT);
        let mut extra = TenantDatabase::new("extra", TenantDatabaseSpec::default());
        extra.status = Some(TenantDatabaseStatus::default());
        fetched.claims.push(extra);
        let suspended = "suspended: workloads are at zero, logins are refused, 1 database is kept";
        assert_eq!(said(&fetched, true).1, suspended, "it has no database yet");
        fetched.claims[1].status.as_mut().unwrap().server_database = Some("t-1".into());
        let waits = "waiting until logins of TenantDatabase extra are refused";
        assert_eq!(said(&fetched, true).1, waits);
        fetched.claims[1].metadata.deletion_timestamp = Some(Time(NOW));
        assert_eq!(said(&fetched, true).1, waits, "somebody's finalizer may hold it for ever");
        assert_eq!(said(&fetched, false).1, "1 database and 1 service are ready", "it is its user's affair");
    }

    #[test]
    fn what_a_person_has_to_act_on_comes_first_and_names_the_culprit() {
        let stalled =
            Summary::Stalled { reason: reason::IMAGE_PULL_FAILED, message: "image x: not found".into() };
        let fetched = fetched(None, Some(stalled));
        let (reason, message, _) = said(&fetched, false);
        assert_eq!((&*reason, &*message), ("ImagePullFailed", "Microservice user: image x: not found"));
        let status = status(&fetched, &validated(false), &TenantApplied::default(), NOW);
        assert!(condition::is_true(&status.conditions, STALLED, Some(1)));
    }

    #[test]
    fn a_childs_status_for_an_older_spec_counts_as_progress() {
        let mut fetched = fetched(RIGHT, RIGHT);
        fetched.claims[0].metadata.generation = Some(2);
        assert_eq!(said(&fetched, false).1, "TenantDatabase app is being made");
    }

    #[test]
    fn the_same_inputs_give_the_same_status() {
        let mut fetched = fetched(RIGHT, None);
        let first = status(&fetched, &validated(true), &TenantApplied::default(), NOW);
        fetched.tenant.status = Some(first.clone());
        let later = Timestamp::constant(500, 0);
        assert_eq!(status(&fetched, &validated(true), &TenantApplied::default(), later), first);
    }
}
