//! `tenantry wait`: until a condition holds, or an object is gone.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::args::duration;
use super::until::{Subject, Verdict, until};
use super::{Exit, Failure, Session, get, health};

/// Flags of `wait`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tenantry wait tenant/acme --for=condition=Ready --timeout=60s\n  tenantry wait tenant/acme --for=delete"
)]
pub(super) struct WaitArgs {
    /// TYPE/NAME, or TYPE NAME…
    #[arg(required = true, value_name = "TYPE/NAME")]
    targets: Vec<String>,
    /// condition=NAME[=VALUE] or delete
    #[arg(long = "for", value_name = "WHAT", value_parser = goal)]
    goal: Goal,
    /// Longest wait
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    timeout: Duration,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Goal {
    Condition { kind: String, value: String },
    Delete,
}

fn goal(text: &str) -> Result<Goal, String> {
    if text.eq_ignore_ascii_case("delete") {
        return Ok(Goal::Delete);
    }
    let Some(condition) = text.strip_prefix("condition=").filter(|condition| !condition.is_empty()) else {
        return Err(format!("unrecognized condition: {text:?}; write condition=Ready or delete"));
    };
    let (kind, value) = condition.split_once('=').unwrap_or((condition, "True"));
    Ok(Goal::Condition { kind: kind.to_owned(), value: value.to_owned() })
}

pub(super) async fn run(args: &WaitArgs, session: &mut Session) -> Result<Exit, Failure> {
    let targets = get::named(&args.targets)?;
    let client = session.client().await?;
    // All of them together get the time that one would get.
    let deadline = tokio::time::Instant::now() + args.timeout;
    for (kind, name) in targets {
        let namespace = kind.resource.namespaced.then(|| client.namespace());
        let subject = Subject { resource: &kind.resource, namespace, name };
        if args.goal != Goal::Delete {
            client.object(&kind.resource, namespace, name).await?;
        }
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        until(&client, subject, left, |object| args.goal.judge(object, subject)).await?;
        let object = kind.resource.object(name);
        session.output.line(&match args.goal {
            Goal::Condition { .. } => format!("{object} condition met"),
            Goal::Delete => format!("{object} deleted"),
        })?;
    }
    Ok(Exit::Success)
}

impl Goal {
    fn judge(&self, object: Option<&Value>, subject: Subject<'_>) -> Verdict {
        match (self, object) {
            (Self::Delete, None) => Verdict::Met,
            (Self::Delete, Some(_)) => Verdict::NotYet,
            (Self::Condition { .. }, None) => Verdict::Hopeless(Failure::new(format_args!(
                "{}/{} was deleted while waiting for it",
                subject.resource.plural, subject.name
            ))),
            (Self::Condition { kind, value }, Some(object)) => {
                let met = health::condition(object, kind).is_some_and(|condition| {
                    let generation = &object["metadata"]["generation"];
                    let current = match condition["observedGeneration"].as_i64() {
                        Some(observed) => generation.as_i64().is_none_or(|generation| observed >= generation),
                        None => true,
                    };
                    current
                        && condition["status"]
                            .as_str()
                            .is_some_and(|status| status.eq_ignore_ascii_case(value))
                });
                if met { Verdict::Met } else { Verdict::NotYet }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_kubectls() {
        let condition = |kind: &str, value: &str| Goal::Condition { kind: kind.into(), value: value.into() };
        assert_eq!(goal("condition=Ready"), Ok(condition("Ready", "True")));
        assert_eq!(goal("condition=ready=false"), Ok(condition("ready", "false")));
        assert_eq!(goal("delete"), Ok(Goal::Delete));
        assert!(goal("Ready").is_err() && goal("condition=").is_err());
    }
}
