//! `tenantry status`: one screen about a tenant, or one line a tenant. The exit code is the health.

mod screen;

use clap::Args;
use serde_json::{Value, json};

use super::api_error::ApiError;
use super::args::Format;
use super::client::{Client, Selectors};
use super::health::Health;
use super::kinds::{EVENT, MICROSERVICE, TENANT, TENANT_DATABASE};
use super::table::columns;
use super::{Exit, Failure, Session, get, json as go_json};
use crate::api::names;
use screen::{View, newest, row, summary};

/// Flags of `status`.
#[derive(Debug, Args)]
#[command(after_help = "Exit code: 0 if all is ready, 1 if not.")]
pub(super) struct StatusArgs {
    /// Name of the tenant; without it, all tenants
    #[arg(value_name = "TENANT")]
    name: Option<String>,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) async fn run(args: &StatusArgs, session: &mut Session) -> Result<Exit, Failure> {
    let client = session.client().await?;
    match &args.name {
        Some(name) => one(&client, name, args.output, session).await,
        None => all(&client, args.output, session).await,
    }
}

async fn all(client: &Client, format: Format, session: &mut Session) -> Result<Exit, Failure> {
    let tenants = client.list(&TENANT, None, &Selectors::default()).await?;
    let healthy = tenants.iter().filter(|tenant| Health::of(tenant) == Health::Ready).count();
    match format {
        Format::Json => {
            let list: Vec<Value> = tenants.iter().map(summary).collect();
            let report = json!({"ready": healthy, "total": tenants.len(), "tenants": list});
            session.output.line(&go_json::pretty(&report))?;
        }
        Format::Text if tenants.is_empty() => session.output.note("No resources found"),
        Format::Text => {
            let now = session.environment.now;
            let rows = tenants.iter().map(|tenant| row(tenant, now)).collect();
            session.output.write(&columns(&["NAME", "HEALTH", "PLAN", "AGE", "MESSAGE"], rows))?;
            session.output.line(&format!("\n{healthy} of {} tenants are ready", tenants.len()))?;
        }
    }
    Ok(if healthy == tenants.len() { Exit::Success } else { Exit::Failure })
}

async fn one(client: &Client, name: &str, format: Format, session: &mut Session) -> Result<Exit, Failure> {
    let tenant = match client.object(&TENANT, None, name).await {
        Ok(tenant) => tenant,
        Err(error) => {
            let missing = error.is_not_found();
            let mut failure = Failure::from(error);
            if missing {
                failure.hint = get::suggestion(client, &TENANT, None, name).await;
            }
            return Err(failure);
        }
    };
    let namespace = names::tenant_namespace(name);
    let every = Selectors::default();
    let of_tenant = Selectors {
        labels: None,
        fields: Some(format!("involvedObject.kind=Tenant,involvedObject.name={name}")),
    };
    let (databases, services, inside, about) = futures::join!(
        client.list(&TENANT_DATABASE, Some(&namespace), &every),
        client.list(&MICROSERVICE, Some(&namespace), &every),
        client.list(&EVENT, Some(&namespace), &every),
        client.list(&EVENT, None, &of_tenant),
    );
    let mut events = readable(inside)?;
    events.extend(readable(about)?);
    let view = View { tenant, databases: databases?, services: services?, events: newest(events) };
    match format {
        Format::Json => session.output.line(&go_json::pretty(&view.report()))?,
        Format::Text => session.output.write(&view.screen(&namespace, session.environment.now))?,
    }
    Ok(if view.is_ready() { Exit::Success } else { Exit::Failure })
}

/// Who may see a tenant may not always see events: the rest of the screen is worth showing.
fn readable(events: Result<Vec<Value>, ApiError>) -> Result<Vec<Value>, ApiError> {
    match events {
        Err(error) if error.is_forbidden() => Ok(vec![]),
        events => events,
    }
}
