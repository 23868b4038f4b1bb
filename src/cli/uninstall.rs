//! `tenantry uninstall`: takes the operator away and leaves everything that holds data.
//!
//! CRDs, objects, namespaces, Secrets and databases stay. Tenants' services go on running; nobody tends them.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::args::duration;
use super::install::Installed;
use super::kinds::{CRD, DEPLOYMENT};
use super::until::{Subject, Verdict, until};
use super::write::{self, Propagation};
use super::{Exit, Failure, Session, manifests};
use crate::api;

/// Flags of `uninstall`.
#[derive(Debug, Args)]
pub(super) struct UninstallArgs {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Longest wait until the operator has stopped
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    timeout: Duration,
}

pub(super) async fn run(args: &UninstallArgs, session: &mut Session) -> Result<Exit, Failure> {
    if !args.yes {
        confirm(session)?;
    }
    let objects = manifests::values(manifests::Images::default())
        .map_err(|error| Failure::from_error("failed to build the manifests", &error))?;
    let client = session.client().await?;
    // Backwards: the operator first, and it is waited for, so that it never runs without its rights and policies.
    for object in objects.iter().rev() {
        let installed = Installed::of(object)?;
        if *installed.resource == CRD || installed.resource.kind == "Namespace" {
            continue;
        }
        let Installed { resource, namespace, name } = installed;
        let Some(live) = client.find(resource, namespace, name).await? else { continue };
        let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
        let operator = *resource == DEPLOYMENT;
        let propagation = if operator { Propagation::Foreground } else { Propagation::Background };
        match write::delete(&client, resource, namespace, name, uid, propagation).await {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
        if operator {
            let gone = |object: Option<&Value>| if object.is_none() { Verdict::Met } else { Verdict::NotYet };
            until(&client, Subject { resource, namespace, name }, args.timeout, gone).await?;
        }
        session.output.line(&format!("{} \"{name}\" deleted", kind(resource.object(name))))?;
    }
    farewell(session);
    Ok(Exit::Success)
}

fn confirm(session: &mut Session) -> Result<(), Failure> {
    if !session.output.can_ask() {
        return Err(Failure::usage("uninstall asks first, and there is no terminal to ask on")
            .hint("confirm with --yes"));
    }
    let question = "Remove the operator, its rights and its policies? Objects and databases stay. [y/N]";
    let answer = session.output.ask(question)?;
    if answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    Err(Failure::new("nothing was removed"))
}

fn farewell(session: &mut Session) {
    let crds: Vec<String> =
        api::crds().iter().map(|crd| format!("crd/{}.{}", crd.spec.names.plural, api::GROUP)).collect();
    for line in [
        "Kept: the CRDs with every object, all namespaces, Secrets, database servers and databases.",
        "Tenants' services go on running; `tenantry install` takes them back under care.",
        "Deleting the CRDs deletes every object of ours, and objects with finalizers wait for an operator. If that is meant:",
    ] {
        session.output.note(line);
    }
    session.output.note(&format!("  kubectl delete {}", crds.join(" ")));
}

/// `deployment.apps` of `deployment.apps/operator`.
fn kind(object: String) -> String {
    object.split('/').next().map(str::to_owned).unwrap_or(object)
}
