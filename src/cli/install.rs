//! `tenantry install`: CRDs, namespaces, RBAC, policies and the operator, by server-side apply.
//!
//! Applying twice changes nothing. Each line says what became of an object, in kubectl's words.

use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use serde_json::Value;

use super::api_error::ApiError;
use super::args::duration;
use super::client::Client;
use super::kinds::{CRD, DEPLOYMENT, Resource};
use super::until::{Subject, Verdict, until};
use super::{Exit, Failure, Session, health, manifests, write, yaml};
use crate::api::labels::SYSTEM_NAMESPACE;

/// Flags of `install`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tenantry install\n  tenantry install --print --image registry.example/tenantry:1.0 > tenantry.yaml"
)]
pub(super) struct InstallArgs {
    /// Print everything as YAML, for GitOps; no request is made
    #[arg(long)]
    print: bool,
    /// Image of the operator
    #[arg(long, value_name = "REF", default_value = manifests::DEFAULT_IMAGE)]
    image: String,
    /// Image of managed PostgreSQL 15 servers
    #[arg(long, value_name = "REF", default_value = manifests::DEFAULT_POSTGRES_IMAGE)]
    postgres_image: String,
    /// Image of the pods that make archives
    #[arg(long, value_name = "REF", default_value = manifests::DEFAULT_ARCHIVE_IMAGE)]
    archive_image: String,
    /// Take over fields that another field manager owns
    #[arg(long)]
    force_conflicts: bool,
    /// Do not wait until the CRDs are served and the operator runs
    #[arg(long)]
    no_wait: bool,
    /// Longest wait
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = duration)]
    timeout: Duration,
}

/// Metadata is all that a comparison of versions needs.
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

pub(super) async fn run(args: &InstallArgs, session: &mut Session) -> Result<Exit, Failure> {
    let images = manifests::Images {
        tenantry: &args.image,
        postgres: &args.postgres_image,
        archive: &args.archive_image,
    };
    let objects = manifests::values(images)
        .map_err(|error| Failure::from_error("failed to build the manifests", &error))?;
    if args.print {
        for object in &objects {
            session.output.write("---\n")?;
            session.output.write(&yaml::document(object))?;
        }
        return Ok(Exit::Success);
    }
    let client = session.client().await?;
    let progress = session.output.steps(objects.len() as u64);
    for object in &objects {
        let installed = Installed::of(object)?;
        progress.set_message(installed.to_string());
        let change = apply(&client, &installed, object, args.force_conflicts).await?;
        progress.suspend(|| {
            session.output.line(&format!("{installed} {change}")).and_then(|()| session.output.flush())
        })?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    if !args.no_wait {
        session.output.flush()?;
        settle(&client, &objects, args.timeout, session).await?;
    }
    Ok(Exit::Success)
}

/// One object of an installation.
pub(super) struct Installed<'a> {
    /// Its resource.
    pub resource: &'static Resource,
    /// Its namespace, if it has one.
    pub namespace: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
}

impl<'a> Installed<'a> {
    /// Reads where an object of the manifests belongs.
    pub(super) fn of(object: &'a Value) -> Result<Self, Failure> {
        let resource = Resource::of_object(object);
        let name = object["metadata"]["name"].as_str();
        let (Some(resource), Some(name)) = (resource, name) else {
            return Err(Failure::new(format_args!(
                "a built-in manifest has no known kind or no name: {object}"
            )));
        };
        Ok(Self { resource, namespace: object["metadata"]["namespace"].as_str(), name })
    }
}

impl std::fmt::Display for Installed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.resource.object(self.name))
    }
}

async fn apply(
    client: &Client,
    installed: &Installed<'_>,
    object: &Value,
    force: bool,
) -> Result<&'static str, Failure> {
    let Installed { resource, namespace, name } = installed;
    let before: Result<Value, ApiError> = client.read(&resource.path(*namespace, Some(name)), METADATA).await;
    let before = match before {
        Ok(before) => Some(before),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error.into()),
    };
    let after = write::apply(client, resource, *namespace, name, object, force).await.map_err(conflict)?;
    Ok(match before {
        None => "created",
        Some(before) if same(&before["metadata"], &after["metadata"]) => "unchanged",
        Some(_) => "configured",
    })
}

/// Whether an apply changed nothing. Controllers write status in between, which counts as nothing: where a kind has
/// generations, they tell.
fn same(before: &Value, after: &Value) -> bool {
    let equal = |field: &str| before[field] == after[field];
    equal("resourceVersion")
        || before["generation"].is_i64() && ["generation", "labels", "annotations"].into_iter().all(equal)
}

fn conflict(error: ApiError) -> Failure {
    let conflict = matches!(&error, ApiError::Status(status) if status.reason == "Conflict");
    let failure = Failure::from(error);
    if conflict { failure.hint("take these fields over with --force-conflicts") } else { failure }
}

/// Waits until every CRD is established and the operator's Deployment has rolled out.
async fn settle(
    client: &Client,
    objects: &[Value],
    timeout: Duration,
    session: &mut Session,
) -> Result<(), Failure> {
    let spinner = session.output.spinner("waiting for the CRDs and the operator");
    let waits = objects.iter().filter_map(|object| Installed::of(object).ok()).filter_map(|installed| {
        let Installed { resource, namespace, name } = installed;
        let ready: fn(&Value) -> bool = match *resource {
            CRD => |crd| health::is_true(crd, "Established"),
            DEPLOYMENT => rolled_out,
            _ => return None,
        };
        let judge = move |object: Option<&Value>| match object {
            Some(object) if ready(object) => Verdict::Met,
            _ => Verdict::NotYet,
        };
        Some(until(client, Subject { resource, namespace, name }, timeout, judge))
    });
    let results: Vec<Result<(), Failure>> = futures::stream::iter(waits).buffered(8).collect().await;
    spinner.finish_and_clear();
    results.into_iter().collect::<Result<(), Failure>>().map_err(|failure| match failure.exit {
        Exit::TimedOut => failure.hint(format!("look at: kubectl -n {SYSTEM_NAMESPACE} describe pods")),
        _ => failure,
    })
}

/// `kubectl rollout status`, for a Deployment that is not paused.
fn rolled_out(deployment: &Value) -> bool {
    let status = &deployment["status"];
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && status["updatedReplicas"].as_i64().unwrap_or(0) >= wanted
        && health::is_true(deployment, "Available")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_written_in_between_is_no_change_of_ours() {
        let meta = |version: &str, generation: i64, label: &str| json!({"resourceVersion": version, "generation": generation, "labels": {"a": label}});
        assert!(same(&meta("1", 1, "x"), &meta("2", 1, "x")));
        assert!(!same(&meta("1", 1, "x"), &meta("2", 1, "y")));
        assert!(!same(&meta("1", 1, "x"), &meta("2", 2, "x")));
        assert!(!same(&json!({"resourceVersion": "1"}), &json!({"resourceVersion": "2"})));
    }

    #[test]
    fn an_old_rollout_does_not_count() {
        let deployment = |observed: i64, updated: i64| {
            json!({"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": {
                "observedGeneration": observed, "updatedReplicas": updated,
                "conditions": [{"type": "Available", "status": "True"}]}})
        };
        assert!(rolled_out(&deployment(2, 1)));
        assert!(!rolled_out(&deployment(1, 1)));
        assert!(!rolled_out(&deployment(2, 0)));
    }
}
