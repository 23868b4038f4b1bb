//! `tenantry delete`: an object of ours, after saying what goes and what stays.

use std::time::Duration;

use clap::Args;

use super::args::duration;
use super::kinds::{DATABASE_SERVER, Kind, TENANT, TENANT_DATABASE};
use super::until::{Subject, Verdict, until};
use super::write::{self, Propagation};
use super::{Exit, Failure, Session, get};

/// Flags of `delete`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tenantry delete tenant acme\n  tenantry delete msvc/web -n tenant-acme --yes"
)]
pub(super) struct DeleteArgs {
    /// TYPE NAME…, or TYPE/NAME…
    #[arg(required = true, value_name = "TYPE NAME")]
    targets: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Wait until it is gone
    #[arg(long)]
    wait: bool,
    /// Longest wait
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

pub(super) async fn run(args: &DeleteArgs, session: &mut Session) -> Result<Exit, Failure> {
    let targets = get::named(&args.targets)?;
    let client = session.client().await?;
    for (kind, name) in targets {
        let resource = &kind.resource;
        let namespace = resource.namespaced.then(|| client.namespace());
        let live = match client.object(resource, namespace, name).await {
            Ok(live) => live,
            Err(error) => {
                let missing = error.is_not_found();
                let mut failure = Failure::from(error);
                if missing {
                    failure.hint = get::suggestion(&client, resource, namespace, name).await;
                }
                return Err(failure);
            }
        };
        if !args.yes {
            confirm(kind, name, session)?;
        }
        // The object that was looked at, and not one that has its name since.
        let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
        write::delete(&client, resource, namespace, name, uid, Propagation::Background).await?;
        if args.wait {
            let spinner = session.output.spinner(format!("waiting until {} is gone", resource.object(name)));
            let gone =
                until(&client, Subject { resource, namespace, name }, args.timeout, |object| match object {
                    Some(object) if object["metadata"]["uid"] == uid => Verdict::NotYet,
                    _ => Verdict::Met,
                });
            let gone = gone.await;
            spinner.finish_and_clear();
            gone?;
        }
        let singular = kind.resource.object("");
        session.output.line(&format!("{} \"{name}\" deleted", singular.trim_end_matches('/')))?;
        if let Some(kept) = kept(kind, name) {
            session.output.note(&kept);
        }
    }
    Ok(Exit::Success)
}

/// What a deletion leaves, where that is not obvious.
fn kept(kind: &Kind, name: &str) -> Option<String> {
    let list = "tenantry get serverdatabases";
    match kind.resource {
        TENANT => Some(format!("The databases of tenant {name} are kept, Released: {list}")),
        TENANT_DATABASE => Some(format!(
            "The database of {name} is kept; it refuses logins until it is claimed again: {list}"
        )),
        _ => None,
    }
}

/// Whoever deletes a tenant or a server types its name; for the rest a yes is enough.
fn confirm(kind: &Kind, name: &str, session: &mut Session) -> Result<(), Failure> {
    if !session.output.can_ask() {
        return Err(Failure::usage("delete asks first, and there is no terminal to ask on")
            .hint("confirm with --yes"));
    }
    let singular = kind.singular;
    let expected = if matches!(kind.resource, TENANT | DATABASE_SERVER) { name } else { "yes" };
    let effect = match kind.resource {
        TENANT => "Its namespace and services go, its databases are kept. ",
        _ => "",
    };
    let answer =
        session.output.ask(&format!("Delete {singular} {name}? {effect}Type {expected} to confirm:"))?;
    if answer == expected { Ok(()) } else { Err(Failure::new("nothing was deleted")) }
}
