//! `tenantry suspend` and `tenantry resume`: a tenant's `spec.state`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::args::duration;
use super::client::Client;
use super::health;
use super::kinds::TENANT;
use super::until::{Subject, Verdict, until};
use super::{Exit, Failure, Session, get, write};
use crate::api::condition::{READY, SUSPENDED};

/// Flags of `suspend` and `resume`.
#[derive(Debug, Args)]
pub(super) struct StateArgs {
    /// Name of the tenant
    #[arg(value_name = "TENANT")]
    name: String,
    /// Wait until it is done
    #[arg(long)]
    wait: bool,
    /// Longest wait
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

/// What a tenant is asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Running.
    Active,
    /// Workloads at zero, logins refused, data kept.
    Suspended,
}

pub(super) async fn run(args: &StateArgs, state: State, session: &mut Session) -> Result<Exit, Failure> {
    let client = session.client().await?;
    let before = match client.object(&TENANT, None, &args.name).await {
        Ok(tenant) => tenant,
        Err(error) => return Err(not_found(&client, error, &args.name).await),
    };
    let (wanted, done) = match state {
        State::Active => ("Active", "resumed"),
        State::Suspended => ("Suspended", "suspended"),
    };
    let object = TENANT.object(&args.name);
    if before["spec"]["state"].as_str().unwrap_or("Active") == wanted {
        session.output.line(&format!("{object} unchanged"))?;
    } else {
        let patch = json!({"spec": {"state": wanted}});
        write::merge(&client, &TENANT, None, &args.name, &patch).await?;
        session.output.line(&format!("{object} {done}"))?;
    }
    session.output.flush()?;
    if args.wait {
        settle(&client, args, state, session).await?;
    }
    Ok(Exit::Success)
}

async fn not_found(client: &Client, error: super::api_error::ApiError, name: &str) -> Failure {
    let missing = error.is_not_found();
    let mut failure = Failure::from(error);
    if missing {
        failure.hint = get::suggestion(client, &TENANT, None, name).await;
    }
    failure
}

async fn settle(
    client: &Client,
    args: &StateArgs,
    state: State,
    session: &mut Session,
) -> Result<(), Failure> {
    let name = &*args.name;
    let spinner = session.output.spinner(format!("waiting for tenant {name}"));
    let result =
        until(client, Subject { resource: &TENANT, namespace: None, name }, args.timeout, |tenant| {
            let Some(tenant) = tenant else {
                return Verdict::Hopeless(Failure::new(format_args!(
                    "tenant \"{name}\" was deleted while waiting for it"
                )));
            };
            if let Some(explanation) = health::explanation(tenant) {
                spinner.set_message(explanation);
            }
            if reached(tenant, state) { Verdict::Met } else { Verdict::NotYet }
        })
        .await;
    spinner.finish_and_clear();
    result?;
    session.output.line(&format!("{} condition met", TENANT.object(name)))
}

/// Whether the operator has seen the spec, and the tenant is in that state throughout.
fn reached(tenant: &Value, state: State) -> bool {
    let seen = tenant["status"]["observedGeneration"] == tenant["metadata"]["generation"];
    let suspended = health::is_true(tenant, SUSPENDED);
    seen && health::is_true(tenant, READY) && suspended == (state == State::Suspended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_reached_when_the_operator_says_so_of_this_spec() {
        let tenant = |observed: i64, suspended: &str| {
            json!({"metadata": {"generation": 3}, "status": {"observedGeneration": observed, "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Suspended", "status": suspended}]}})
        };
        assert!(reached(&tenant(3, "True"), State::Suspended));
        assert!(!reached(&tenant(2, "True"), State::Suspended));
        assert!(!reached(&tenant(3, "True"), State::Active));
        assert!(reached(&tenant(3, "False"), State::Active));
    }
}
