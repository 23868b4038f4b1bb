//! `tenantry create tenant`: a tenant from the command line.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::args::{DryRun, duration};
use super::client::Client;
use super::health::{self, Health};
use super::kinds::{BLUEPRINT, PLAN, Resource, TENANT};
use super::until::{Subject, Verdict, until};
use super::{Exit, Failure, Session, get, write, yaml};

/// Flags of `create`.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Create a tenant: its namespace, databases and services follow from its plan and its blueprints
    Tenant(TenantArgs),
}

/// Flags of `create tenant`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tenantry create tenant acme --plan small --blueprint web --wait\n  tenantry create tenant acme --plan small --dry-run=client > acme.yaml"
)]
struct TenantArgs {
    /// Name of the tenant
    name: String,
    /// Plan that sets its limits
    #[arg(long, value_name = "NAME")]
    plan: String,
    /// Blueprint that says what it gets; may be repeated
    #[arg(long = "blueprint", value_name = "NAME", value_delimiter = ',')]
    blueprints: Vec<String>,
    /// Name for people
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Who may work in its namespace: user:NAME, group:NAME or serviceaccount:NAMESPACE:NAME; may be repeated
    #[arg(long = "owner", value_name = "SUBJECT", value_parser = owner)]
    owners: Vec<Value>,
    /// Whether the tenant is really made
    #[arg(long, value_name = "MODE", default_value = "none")]
    dry_run: DryRun,
    /// Wait until it is Ready
    #[arg(long)]
    wait: bool,
    /// Longest wait
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

pub(super) async fn run(args: &CreateArgs, session: &mut Session) -> Result<Exit, Failure> {
    let What::Tenant(args) = &args.what;
    let tenant = tenant(args);
    if args.dry_run == DryRun::Client {
        session.output.write(&yaml::document(&tenant))?;
        return Ok(Exit::Success);
    }
    let client = session.client().await?;
    let server_only = args.dry_run == DryRun::Server;
    write::create(&client, &TENANT, None, &tenant, server_only).await?;
    session.output.line(&format!("{} created{}", TENANT.object(&args.name), args.dry_run.suffix()))?;
    session.output.flush()?;
    warn_of_missing(&client, args, session).await;
    if args.wait && !server_only {
        await_ready(&client, &args.name, args.timeout, session).await?;
    }
    Ok(Exit::Success)
}

fn tenant(args: &TenantArgs) -> Value {
    let mut spec = json!({"planRef": {"name": args.plan}});
    if !args.blueprints.is_empty() {
        spec["blueprints"] = args.blueprints.iter().map(|name| json!({"name": name})).collect();
    }
    if let Some(display_name) = &args.display_name {
        spec["displayName"] = json!(display_name);
    }
    if !args.owners.is_empty() {
        spec["owners"] = json!(args.owners);
    }
    json!({
        "apiVersion": TENANT.api_version(),
        "kind": TENANT.kind,
        "metadata": {"name": args.name},
        "spec": spec,
    })
}

/// A plan or blueprint may come later, so its absence is no error; most often it is a typing mistake.
async fn warn_of_missing(client: &Client, args: &TenantArgs, session: &mut Session) {
    let named =
        std::iter::once((&PLAN, &args.plan)).chain(args.blueprints.iter().map(|name| (&BLUEPRINT, name)));
    for (resource, name) in named {
        // Who may not read plans learns of it from the tenant's condition.
        if !matches!(client.find(resource, None, name).await, Ok(None)) {
            continue;
        }
        let kind = resource.kind.to_ascii_lowercase();
        session.output.note(&format!("Warning: {kind} \"{name}\" does not exist; the tenant waits for it"));
        if let Some(hint) = suggestion(client, resource, name).await {
            session.output.note(&format!("hint: {hint}"));
        }
    }
}

async fn suggestion(client: &Client, resource: &Resource, name: &str) -> Option<String> {
    get::suggestion(client, resource, None, name).await
}

/// Waits until a tenant is Ready; gives up at once when it says that somebody has to change something.
pub(super) async fn await_ready(
    client: &Client,
    name: &str,
    timeout: Duration,
    session: &mut Session,
) -> Result<(), Failure> {
    let spinner = session.output.spinner(format!("waiting for tenant {name}"));
    let mut last = None;
    let result = until(client, Subject { resource: &TENANT, namespace: None, name }, timeout, |tenant| {
        let Some(tenant) = tenant else {
            return Verdict::Hopeless(Failure::new(format_args!(
                "tenant \"{name}\" was deleted while waiting for it"
            )));
        };
        last = health::explanation(tenant);
        spinner.set_message(last.clone().unwrap_or_else(|| format!("waiting for tenant {name}")));
        match Health::of(tenant) {
            Health::Ready => Verdict::Met,
            Health::Stalled => Verdict::Hopeless(Failure::new(format_args!(
                "tenant \"{name}\" cannot become ready: {}",
                last.clone().unwrap_or_default()
            ))),
            Health::Progressing | Health::Terminating => Verdict::NotYet,
        }
    })
    .await;
    spinner.finish_and_clear();
    result.map_err(|mut failure| {
        if failure.exit == Exit::TimedOut
            && let Some(last) = last
        {
            failure.lines.push(last);
        }
        failure
    })?;
    session.output.line(&format!("{} condition met", TENANT.object(name)))
}

/// An RBAC subject as kubectl's `--user`, `--group` and `--serviceaccount` would name it.
fn owner(text: &str) -> Result<Value, String> {
    let wrong =
        || format!("{text:?} is not a subject: write user:NAME, group:NAME or serviceaccount:NAMESPACE:NAME");
    let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or_else(wrong)?;
    match kind {
        "user" => Ok(json!({"kind": "User", "name": name})),
        "group" => Ok(json!({"kind": "Group", "name": name})),
        "serviceaccount" => {
            let (namespace, name) = name.split_once(':').ok_or_else(wrong)?;
            Ok(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}))
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_rbac_subjects() {
        assert_eq!(owner("user:oidc:alice"), Ok(json!({"kind": "User", "name": "oidc:alice"})));
        let account = json!({"kind": "ServiceAccount", "name": "bot", "namespace": "ci"});
        assert_eq!(owner("serviceaccount:ci:bot"), Ok(account));
        for wrong in ["alice", "user:", "robot:x", "serviceaccount:x"] {
            assert!(owner(wrong).is_err(), "{wrong}");
        }
    }
}
