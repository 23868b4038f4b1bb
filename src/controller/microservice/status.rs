//! Step 5: what the microservice's status says. Pure.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::MicroserviceApplied;
use super::build;
use super::evidence::Trouble;
use super::fetch::{Fetched, Observed};
use super::validate::Validated;
use crate::api::condition::{self, READY, Summary, reason};
use crate::api::microservice::MicroserviceStatus;
use crate::api::step::{Step, StepPhase};
use crate::controller::apply::ApplyError;
use crate::controller::outcome;

/// Name of the step that waits for databases.
const DATABASE: &str = "database";
/// Name of the step that makes the objects.
const OBJECTS: &str = "objects";
/// Name of the step that waits for the pods.
const ROLLOUT: &str = "rollout";

/// The status of a microservice whose spec cannot be done. What runs keeps running.
pub fn refused(
    fetched: &Fetched,
    problem: &Summary,
    observed: &Observed,
    now: Timestamp,
) -> MicroserviceStatus {
    let mut status = counted(fetched, observed);
    problem.write(&mut status.conditions, generation(fetched), now);
    status
}

/// What a turn did and saw.
#[derive(Debug)]
pub struct Turn<'a> {
    /// What was needed.
    pub fetched: &'a Fetched,
    /// What was asked for.
    pub validated: &'a Validated,
    /// What was written.
    pub applied: &'a MicroserviceApplied,
    /// How the pods fare.
    pub observed: &'a Observed,
}

/// The status after the writes of a turn.
pub fn status(turn: &Turn<'_>, now: Timestamp) -> MicroserviceStatus {
    let mut status = counted(turn.fetched, turn.observed);
    let before = status.clone();
    let parts = parts(turn, &before);
    status.steps = steps(&parts, &before.steps);
    summary(&parts, turn.validated).write(&mut status.conditions, generation(turn.fetched), now);
    status
}

fn generation(fetched: &Fetched) -> i64 {
    fetched.microservice.metadata.generation.unwrap_or_default()
}

/// The status so far, with what the scale subresource shows.
pub fn counted(fetched: &Fetched, observed: &Observed) -> MicroserviceStatus {
    let mut status = fetched.microservice.status.clone().unwrap_or_default();
    status.replicas = Some(observed.rollout.as_ref().map_or(0, |rollout| rollout.replicas));
    status.selector = Some(build::selector_text(&fetched.microservice.name_any()));
    status
}

/// How far one step is: nothing is missing, or why it is not done.
type Part = (&'static str, Result<(), Summary>);

fn parts(turn: &Turn<'_>, before: &MicroserviceStatus) -> Vec<Part> {
    let mut parts = Vec::new();
    // While suspended nothing runs that could miss its database.
    if !turn.fetched.databases.is_empty() && !turn.validated.suspended {
        parts.push((DATABASE, turn.validated.databases.waiting.clone().map_or(Ok(()), Err)));
    }
    parts.push((OBJECTS, objects(turn.applied)));
    parts.push((ROLLOUT, rollout(turn, before)));
    parts
}

fn progressing(message: String) -> Summary {
    Summary::Progressing { reason: reason::PROGRESSING, message }
}

fn objects(applied: &MicroserviceApplied) -> Result<(), Summary> {
    // One that is somebody else's needs a person; the others are tried again.
    let foreign = applied.failures.iter().find(|failure| matches!(failure, ApplyError::Foreign { .. }));
    if let Some(failure) = foreign.or(applied.failures.first()) {
        return Err(outcome::summary(failure));
    }
    match &applied.terminating {
        Some(object) => {
            Err(progressing(format!("{object} is being deleted; it is made again when it is gone")))
        }
        None => Ok(()),
    }
}

fn rollout(turn: &Turn<'_>, before: &MicroserviceStatus) -> Result<(), Summary> {
    let wanted = turn.validated.replicas;
    if let Some(trouble) = &turn.observed.trouble {
        return Err(told(trouble, before, generation(turn.fetched)));
    }
    match &turn.observed.rollout {
        Some(rollout) if rollout.is_complete() && rollout.wanted == wanted => Ok(()),
        // Nothing runs, and nothing is to run.
        None if turn.validated.suspended => Ok(()),
        _ if wanted == 0 => Err(progressing("waiting until no pod is left".into())),
        _ if wanted == 1 => Err(progressing("waiting until 1 pod of the newest revision serves".into())),
        _ => Err(progressing(format!("waiting until {wanted} pods of the newest revision serve"))),
    }
}

/// The same trouble in other words is no news: an error of a registry may name another port or time at each attempt.
fn told(trouble: &Trouble, before: &MicroserviceStatus, generation: i64) -> Summary {
    let earlier = condition::find(&before.conditions, READY).filter(|ready| {
        ready.reason == trouble.reason
            && ready.observed_generation == Some(generation)
            && ready.message.starts_with(&trouble.head)
    });
    let message = earlier.map_or_else(|| trouble.message(), |ready| ready.message.clone());
    if trouble.stalled {
        Summary::Stalled { reason: trouble.reason, message }
    } else {
        Summary::Progressing { reason: trouble.reason, message }
    }
}

fn steps(parts: &[Part], before: &[Step]) -> Vec<Step> {
    let mut blocked = false;
    let step = |(name, state): &Part| match state {
        Ok(()) => Step::new(name, StepPhase::Succeeded),
        Err(Summary::Progressing { reason: reason::PROGRESSING, .. } | Summary::Ready { .. }) => {
            let phase = if blocked { StepPhase::Pending } else { StepPhase::Running };
            blocked = true;
            Step::new(name, phase)
        }
        Err(Summary::Progressing { message, .. } | Summary::Stalled { message, .. }) => {
            blocked = true;
            Step::failed(name, message, before)
        }
    };
    parts.iter().map(step).collect()
}

fn summary(parts: &[Part], validated: &Validated) -> Summary {
    // What a person has to act on comes before what goes on by itself.
    let worst = |summary: &&Summary| match summary {
        Summary::Stalled { .. } => 0,
        Summary::Progressing { reason, .. } if *reason != reason::PROGRESSING => 1,
        Summary::Progressing { .. } | Summary::Ready { .. } => 2,
    };
    if let Some(summary) = parts.iter().filter_map(|(_, state)| state.as_ref().err()).min_by_key(worst) {
        return summary.clone();
    }
    let message = if validated.suspended {
        "suspended: 0 replicas".into()
    } else if validated.replicas == 1 {
        "1 pod serves".into()
    } else {
        format!("{} pods serve", validated.replicas)
    };
    Summary::Ready { message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures::{self, NOW, fetched};
    use super::super::rollout::Rollout;
    use super::super::validate::validate;
    use super::*;
    use crate::api::tenant::TenantState;
    use crate::controller::object::{Key, Kind};

    const COMPLETE: Rollout = Rollout {
        current: true,
        wanted: 2,
        replicas: 2,
        updated: 2,
        available: 2,
        refused: None,
        stuck: false,
    };

    fn shop(databases: bool) -> Fetched {
        let databases = if databases { json!([{"name": "app"}]) } else { json!([]) };
        fetched(json!({"image": "shop:1", "replicas": 2, "databases": databases}))
    }

    fn observed(rollout: Rollout) -> Observed {
        Observed { rollout: Some(rollout), trouble: None }
    }

    fn written(fetched: &Fetched, applied: &MicroserviceApplied, observed: &Observed) -> MicroserviceStatus {
        let validated = validate(fetched).unwrap();
        status(&Turn { fetched, validated: &validated, applied, observed }, NOW)
    }

    /// Ready's status, reason and message, and the phases of the steps.
    fn said(status: &MicroserviceStatus) -> (String, Vec<(String, StepPhase)>) {
        let ready = condition::find(&status.conditions, READY).unwrap();
        let steps = status.steps.iter().map(|step| (step.name.clone(), step.phase.unwrap())).collect();
        (format!("{} {}: {}", ready.status, ready.reason, ready.message), steps)
    }

    fn steps(phases: &[(&str, StepPhase)]) -> Vec<(String, StepPhase)> {
        phases.iter().map(|(name, phase)| ((*name).to_owned(), *phase)).collect()
    }

    use StepPhase::{Failed, Pending, Running, Succeeded};

    #[test]
    fn ready_is_the_whole_of_it() {
        let status = written(&shop(true), &MicroserviceApplied::default(), &observed(COMPLETE));
        let expected = steps(&[("database", Succeeded), ("objects", Succeeded), ("rollout", Succeeded)]);
        assert_eq!(said(&status), ("True Reconciled: 2 pods serve".into(), expected));
        assert_eq!(
            (status.replicas, status.selector.as_deref()),
            (Some(2), Some("tenantry.dev/microservice=shop"))
        );
    }

    #[test]
    fn a_rollout_under_way_is_progress() {
        let status = written(
            &shop(false),
            &MicroserviceApplied::default(),
            &observed(Rollout { updated: 1, ..COMPLETE }),
        );
        let expected = steps(&[("objects", Succeeded), ("rollout", Running)]);
        assert_eq!(
            said(&status),
            ("False Progressing: waiting until 2 pods of the newest revision serve".into(), expected)
        );
        let other = written(
            &shop(false),
            &MicroserviceApplied::default(),
            &observed(Rollout { wanted: 1, replicas: 1, updated: 1, available: 1, ..COMPLETE }),
        );
        assert_eq!(
            said(&other),
            said(&status),
            "a Deployment that was scaled by somebody else is not as asked"
        );
    }

    #[test]
    fn a_database_comes_before_the_pods() {
        let mut shop = shop(true);
        shop.databases[0].secret = None;
        let status = written(&shop, &MicroserviceApplied::default(), &Observed::default());
        let expected = steps(&[("database", Running), ("objects", Succeeded), ("rollout", Pending)]);
        assert_eq!(
            said(&status),
            ("False Progressing: waiting for the binding of TenantDatabase app".into(), expected)
        );
        assert_eq!(status.replicas, Some(0));
    }

    #[test]
    fn an_object_of_somebody_else_is_named_while_the_rest_goes_on() {
        let mut shop = shop(true);
        shop.databases[0].secret = None;
        let key = Key::namespaced("tenant-acme", "shop");
        let failures = vec![
            ApplyError::Conflict { kind: Kind::ServiceAccount, key: key.clone() },
            ApplyError::Foreign { kind: Kind::Service, key },
        ];
        let applied = MicroserviceApplied { failures, ..MicroserviceApplied::default() };
        let status = written(&shop, &applied, &Observed::default());
        let expected = steps(&[("database", Running), ("objects", Failed), ("rollout", Pending)]);
        let message = "Service tenant-acme/shop exists and is not ours: rename or remove it";
        assert_eq!(said(&status), (format!("False NameConflict: {message}"), expected));
        assert!(condition::is_true(&status.conditions, condition::STALLED, Some(4)));
    }

    #[test]
    fn suspended_is_ready_with_nothing_left() {
        let mut shop = shop(true);
        shop.tenant = Some(fixtures::tenant(TenantState::Suspended));
        shop.databases[0].secret = None;
        let nothing = Rollout { current: true, ..Rollout::default() };
        let status = written(&shop, &MicroserviceApplied::default(), &observed(nothing.clone()));
        let expected = steps(&[("objects", Succeeded), ("rollout", Succeeded)]);
        assert_eq!(said(&status), ("True Reconciled: suspended: 0 replicas".into(), expected));
        let leaving = observed(Rollout { replicas: 1, ..nothing });
        let status = written(&shop, &MicroserviceApplied::default(), &leaving);
        let expected = steps(&[("objects", Succeeded), ("rollout", Running)]);
        assert_eq!(said(&status), ("False Progressing: waiting until no pod is left".into(), expected));
    }

    #[test]
    fn the_same_trouble_in_other_words_is_no_news() {
        let mut shop = shop(false);
        let trouble = |head: &str, detail: &str| Observed {
            rollout: Some(Rollout { available: 0, ..COMPLETE }),
            trouble: Some(Trouble {
                reason: reason::IMAGE_PULL_FAILED,
                head: head.into(),
                detail: Some(detail.into()),
                advice: "correct it".into(),
                stalled: false,
            }),
        };
        let applied = MicroserviceApplied::default();
        let first = written(&shop, &applied, &trouble("image a cannot be pulled", "port 1"));
        let expected = steps(&[("objects", Succeeded), ("rollout", Failed)]);
        assert_eq!(
            said(&first),
            ("False ImagePullFailed: image a cannot be pulled: port 1; correct it".into(), expected.clone())
        );
        shop.microservice.status = Some(first.clone());
        assert_eq!(written(&shop, &applied, &trouble("image a cannot be pulled", "port 2")), first);
        let other = written(&shop, &applied, &trouble("image b cannot be pulled", "port 3"));
        assert_eq!(
            said(&other),
            ("False ImagePullFailed: image b cannot be pulled: port 3; correct it".into(), expected)
        );
    }

    #[test]
    fn a_refused_spec_leaves_the_counts_true() {
        let shop = shop(false);
        let problem = Summary::Stalled { reason: reason::INVALID_SPEC, message: "no".into() };
        let status = refused(&shop, &problem, &observed(COMPLETE), NOW);
        assert_eq!(said(&status), ("False InvalidSpec: no".into(), vec![]));
        assert_eq!(status.replicas, Some(2));
    }
}
