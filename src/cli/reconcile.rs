//! `tenantry reconcile`: has the operator compare objects with their servers now, and prints what it found.
//!
//! The request is an annotation, as Flux has it: whoever may write the object may ask, from anywhere. The operator answers in
//! the object's status.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::args::{Format, duration};
use super::client::{Client, Selectors};
use super::kinds::{DATABASE_SERVER, Resource, TENANT, TENANT_DATABASE};
use super::until::{Subject, Verdict, until};
use super::{Exit, Failure, Session, get, health, json as go_json, write};
use crate::api::labels::RECONCILE_REQUESTED_AT;
use crate::api::names;

/// Flags of `reconcile`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tenantry reconcile tenant acme\n  tenantry reconcile tdb orders -n tenant-acme\n  tenantry reconcile dbs main -o json"
)]
pub(super) struct ReconcileArgs {
    /// TYPE NAME…, or TYPE/NAME…: tenantdatabase, databaseserver, or tenant for all databases of one
    #[arg(required = true, value_name = "TYPE NAME")]
    targets: Vec<String>,
    /// Longest wait for the operator
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    timeout: Duration,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// One object that is compared.
struct Asked {
    resource: Resource,
    namespace: Option<String>,
    name: String,
}

pub(super) async fn run(args: &ReconcileArgs, session: &mut Session) -> Result<Exit, Failure> {
    let targets = get::named(&args.targets)?;
    let client = session.client().await?;
    let mut asked = Vec::new();
    for (kind, name) in targets {
        match kind.resource {
            TENANT => asked.extend(databases_of(&client, name).await?),
            TENANT_DATABASE | DATABASE_SERVER => {
                let namespace = kind.resource.namespaced.then(|| client.namespace().to_owned());
                asked.push(Asked { resource: kind.resource, namespace, name: name.to_owned() });
            }
            _ => {
                return Err(Failure::usage(format_args!(
                    "a {} is not compared with a server",
                    kind.singular
                ))
                .hint("name a tenantdatabase, a databaseserver, or a tenant for all its databases"));
            }
        }
    }
    // All of them are asked for before the first is waited for: the operator works on them together.
    let requested_at = session.environment.now.to_string();
    for asked in &asked {
        request(&client, asked, &requested_at).await?;
    }
    let mut answers = Vec::new();
    for asked in &asked {
        let answer = answer(&client, asked, &requested_at, args.timeout, session).await?;
        match args.output {
            Format::Text => session.output.write(&text(asked, &answer))?,
            Format::Json => answers.push(json!({
                "kind": asked.resource.kind,
                "namespace": asked.namespace,
                "name": asked.name,
                "found": answer["found"].as_array().cloned().unwrap_or_default(),
                "corrected": answer["corrected"],
            })),
        }
    }
    if args.output == Format::Json {
        session.output.line(&go_json::pretty(&json!({"items": answers})))?;
    }
    Ok(Exit::Success)
}

/// The claims of a tenant.
async fn databases_of(client: &Client, tenant: &str) -> Result<Vec<Asked>, Failure> {
    if let Err(error) = client.object(&TENANT, None, tenant).await {
        let missing = error.is_not_found();
        let mut failure = Failure::from(error);
        if missing {
            failure.hint = get::suggestion(client, &TENANT, None, tenant).await;
        }
        return Err(failure);
    }
    let namespace = names::tenant_namespace(tenant);
    let everything = Selectors { labels: None, fields: None };
    let claims = client.list(&TENANT_DATABASE, Some(&namespace), &everything).await?;
    let names = claims.iter().filter_map(|claim| claim["metadata"]["name"].as_str());
    let asked = |name: &str| Asked {
        resource: TENANT_DATABASE,
        namespace: Some(namespace.clone()),
        name: name.to_owned(),
    };
    Ok(names.map(asked).collect())
}

async fn request(client: &Client, asked: &Asked, requested_at: &str) -> Result<(), Failure> {
    let Asked { resource, namespace, name } = asked;
    let change = json!({"metadata": {"annotations": {RECONCILE_REQUESTED_AT: requested_at}}});
    match write::merge(client, resource, namespace.as_deref(), name, &change).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let missing = error.is_not_found();
            let mut failure = Failure::from(error);
            if missing {
                failure.hint = get::suggestion(client, resource, namespace.as_deref(), name).await;
            }
            Err(failure)
        }
    }
}

/// Waits for the operator's answer.
async fn answer(
    client: &Client,
    asked: &Asked,
    requested_at: &str,
    timeout: Duration,
    session: &mut Session,
) -> Result<Value, Failure> {
    let Asked { resource, namespace, name } = asked;
    let subject = Subject { resource, namespace: namespace.as_deref(), name };
    let object = resource.object(name);
    let spinner = session.output.spinner(format!("waiting for {object}"));
    let (mut answer, mut last) = (Value::Null, None);
    let waited = until(client, subject, timeout, |live| {
        let Some(live) = live else {
            return Verdict::Hopeless(Failure::new(format_args!(
                "{object} was deleted while waiting for it"
            )));
        };
        let said = &live["status"]["lastReconcile"];
        if said["requestedAt"] == requested_at {
            answer = said.clone();
            return Verdict::Met;
        }
        last = health::explanation(live).filter(|_| !health::is_true(live, crate::api::condition::READY));
        Verdict::NotYet
    })
    .await;
    spinner.finish_and_clear();
    waited.map_err(|mut failure| {
        if failure.exit == Exit::TimedOut {
            failure.lines.extend(last);
            failure.hint = Some("see whether the operator runs: tenantry check".to_owned());
        }
        failure
    })?;
    Ok(answer)
}

/// What was found, for people.
fn text(asked: &Asked, answer: &Value) -> String {
    let object = asked.resource.object(&asked.name);
    let found: Vec<&str> =
        answer["found"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let count = match found.len() {
        0 => return format!("{object} reconciled: everything is as declared\n"),
        1 => "1 difference".to_owned(),
        count => format!("{count} differences"),
    };
    let became = match answer["corrected"].as_bool() {
        Some(true) => " corrected",
        Some(false) => " left alone",
        None => "",
    };
    let lines = found.iter().fold(String::new(), |lines, finding| lines + "  " + finding + "\n");
    format!("{object} reconciled: {count}{became}\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_in_one_line_and_one_for_each_finding() {
        let asked = Asked { resource: TENANT_DATABASE, namespace: None, name: "app".into() };
        let line = "tenantdatabase.tenantry.dev/app reconciled: ";
        assert_eq!(text(&asked, &json!({"requestedAt": "x"})), format!("{line}everything is as declared\n"));
        assert_eq!(
            text(&asked, &json!({"found": ["a is b"], "corrected": true})),
            format!("{line}1 difference corrected\n  a is b\n")
        );
        assert_eq!(
            text(&asked, &json!({"found": ["a", "b"], "corrected": false})),
            format!("{line}2 differences left alone\n  a\n  b\n")
        );
        assert_eq!(text(&asked, &json!({"found": ["a"]})), format!("{line}1 difference\n  a\n"));
    }
}
