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
fn counted(fetched: &Fetched, observed: &Observed) -> MicroserviceStatus {
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
        _ => Err(progressing(format!("waiting until {} of the newest revision serve", pods(wanted)))),
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
        format!("{} serve", pods(validated.replicas))
    };
    Summary::Ready { message }
}

fn pods(count: i32) -> String {
    if count == 1 { "1 pod".into() } else { format!("{count} pods") }
}
