//! `tenantry undelete`: a released or purged database is given back to the claim of its namespace and name.
//!
//! The data is as it was left; the claim's credentials are issued anew. It writes `spec.claimRef.uid` and removes
//! `spec.purge`, and the operator does the rest; whoever may not write ServerDatabases may not undelete.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::args::duration;
use super::client::{Client, Selectors};
use super::kinds::{SERVER_DATABASE, TENANT_DATABASE};
use super::until::{Subject, Verdict, until};
use super::{Exit, Failure, Session, get, health, write};
use crate::api::names;

/// Flags of `undelete`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tenantry undelete t-kq3v5wz2ab-orders\n  tenantry undelete --tenant acme --wait"
)]
pub(super) struct UndeleteArgs {
    /// Names of ServerDatabases, as tenantry get serverdatabases prints them
    #[arg(value_name = "NAME", required_unless_present = "tenant", conflicts_with = "tenant")]
    names: Vec<String>,
    /// All released databases of this tenant's namespace
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Wait until their claims have them
    #[arg(long)]
    wait: bool,
    /// Longest wait
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

/// What has to be written, and what is said of it.
#[derive(Debug, PartialEq)]
enum Step {
    /// It has its claim already.
    Bound,
    /// The object says so already.
    Said,
    /// This is merged into it.
    Merge(Value),
}

pub(super) async fn run(args: &UndeleteArgs, session: &mut Session) -> Result<Exit, Failure> {
    let client = session.client().await?;
    let databases = match &args.tenant {
        Some(tenant) => of_tenant(&client, tenant).await?,
        None => named(&client, &args.names).await?,
    };
    // All of it is decided before anything is written.
    let mut steps = Vec::new();
    for database in &databases {
        let (namespace, name) = claim_of(database);
        let claim = client.find(&TENANT_DATABASE, Some(namespace), name).await?;
        let claim = claim.filter(|claim| claim["metadata"]["deletionTimestamp"].is_null());
        steps.push((database, step(database, claim.as_ref())?, claim.is_some()));
    }
    for (database, step, claimed) in &steps {
        let name = database["metadata"]["name"].as_str().unwrap_or_default();
        let object = SERVER_DATABASE.object(name);
        if let Step::Merge(change) = step {
            write::merge(&client, &SERVER_DATABASE, None, name, change).await?;
            session.output.line(&format!("{object} undeleted"))?;
        } else {
            session.output.line(&format!("{object} unchanged"))?;
        }
        if !claimed {
            let (namespace, name) = claim_of(database);
            let note =
                format!("There is no TenantDatabase {namespace}/{name}; the next one gets the database.");
            session.output.note(&note);
        }
    }
    session.output.flush()?;
    if args.wait {
        for (database, _, _) in &steps {
            settle(&client, database, args.timeout, session).await?;
        }
    }
    Ok(Exit::Success)
}

async fn named(client: &Client, names: &[String]) -> Result<Vec<Value>, Failure> {
    let mut databases = Vec::new();
    for name in names {
        match client.object(&SERVER_DATABASE, None, name).await {
            Ok(database) => databases.push(database),
            Err(error) => {
                let missing = error.is_not_found();
                let mut failure = Failure::from(error);
                if missing {
                    failure.hint = get::suggestion(client, &SERVER_DATABASE, None, name).await;
                }
                return Err(failure);
            }
        }
    }
    Ok(databases)
}

/// The released databases of the tenant's namespace. Of two that one claim had, nobody can tell which is meant.
async fn of_tenant(client: &Client, tenant: &str) -> Result<Vec<Value>, Failure> {
    let everything = Selectors { labels: None, fields: None };
    let namespace = names::tenant_namespace(tenant);
    let all = client.list(&SERVER_DATABASE, None, &everything).await?;
    let of_tenant = |it: &Value| claim_of(it).0 == namespace && it["status"]["phase"] == "Released";
    let databases: Vec<Value> = all.into_iter().filter(of_tenant).collect();
    for (index, database) in databases.iter().enumerate() {
        if let Some(other) = databases[..index].iter().find(|other| claim_of(other) == claim_of(database)) {
            let names = [other, database].map(|it| it["metadata"]["name"].as_str().unwrap_or_default());
            return Err(Failure::new(format_args!(
                "ServerDatabases {} were both claimed by {namespace}/{}",
                names.join(" and "),
                claim_of(database).1
            ))
            .hint("name the one that is meant: tenantry undelete NAME"));
        }
    }
    if databases.is_empty() {
        return Err(Failure::new(format_args!("tenant {tenant} has no released databases"))
            .hint("list all databases with: tenantry get serverdatabases"));
    }
    Ok(databases)
}

/// Namespace and name of the claim that the database is bound to, or was last.
fn claim_of(database: &Value) -> (&str, &str) {
    let claim = &database["spec"]["claimRef"];
    (claim["namespace"].as_str().unwrap_or_default(), claim["name"].as_str().unwrap_or_default())
}

/// What has to be written so that the claim gets the database. Without a claim the next one of that name gets it.
fn step(database: &Value, claim: Option<&Value>) -> Result<Step, Failure> {
    let name = database["metadata"]["name"].as_str().unwrap_or_default();
    match database["status"]["phase"].as_str() {
        Some("Released" | "Tombstoned" | "Dropping") => {}
        Some("Bound") => return Ok(Step::Bound),
        phase => {
            return Err(Failure::new(format_args!(
                "ServerDatabase {name} is {}, and only a released or purged database can be given back",
                phase.unwrap_or("in no phase yet")
            )));
        }
    }
    let has = claim.and_then(|claim| claim["status"]["serverDatabase"].as_str());
    if let Some(other) = has.filter(|other| *other != name) {
        let (namespace, claim) = claim_of(database);
        return Err(Failure::new(format_args!("claim {namespace}/{claim} has the database {other}"))
            .hint(format!("delete the claim first: kubectl delete tdb {claim} -n {namespace}")));
    }
    let uid = claim.map_or(&Value::Null, |claim| &claim["metadata"]["uid"]);
    let spec = match &database["spec"] {
        spec if spec["purge"].is_object() => json!({"claimRef": {"uid": uid}, "purge": null}),
        spec if spec["claimRef"]["uid"] == *uid => return Ok(Step::Said),
        _ => json!({"claimRef": {"uid": uid}}),
    };
    // What was decided on is what is written to: neither a later object of that name nor a later state of it.
    let (of, version) = (&database["metadata"]["uid"], &database["metadata"]["resourceVersion"]);
    Ok(Step::Merge(json!({
        "metadata": {"uid": of, "resourceVersion": version},
        "spec": spec,
    })))
}

async fn settle(
    client: &Client,
    database: &Value,
    timeout: Duration,
    session: &mut Session,
) -> Result<(), Failure> {
    let name = database["metadata"]["name"].as_str().unwrap_or_default();
    let spinner = session.output.spinner(format!("waiting until {name} is bound"));
    let subject = Subject { resource: &SERVER_DATABASE, namespace: None, name };
    let bound = until(client, subject, timeout, |object| match object {
        Some(object) if object["status"]["phase"] == "Bound" => Verdict::Met,
        Some(object) => {
            if let Some(explanation) = health::explanation(object) {
                spinner.set_message(explanation);
            }
            Verdict::NotYet
        }
        None => Verdict::NotYet,
    })
    .await;
    spinner.finish_and_clear();
    bound?;
    session.output.line(&format!("{} condition met", SERVER_DATABASE.object(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(phase: &str, claim_uid: Option<&str>) -> Value {
        json!({
            "metadata": {"name": "t-x-app", "uid": "u", "resourceVersion": "7"},
            "spec": {"claimRef": {"namespace": "tenant-acme", "name": "app", "uid": claim_uid}},
            "status": {"phase": phase},
        })
    }

    fn claim(has: Option<&str>) -> Value {
        json!({"metadata": {"uid": "new"}, "status": {"serverDatabase": has}})
    }

    fn given(uid: &Value) -> Step {
        let metadata = json!({"uid": "u", "resourceVersion": "7"});
        Step::Merge(json!({"metadata": metadata, "spec": {"claimRef": {"uid": uid}}}))
    }

    #[test]
    fn a_released_database_is_given_to_the_claim_that_there_is_or_to_the_next() {
        let released = database("Released", Some("old"));
        assert_eq!(step(&released, Some(&claim(None))).unwrap(), given(&json!("new")));
        assert_eq!(step(&released, Some(&claim(Some("t-x-app")))).unwrap(), given(&json!("new")));
        assert_eq!(step(&released, None).unwrap(), given(&Value::Null));
        assert_eq!(step(&database("Released", Some("new")), Some(&claim(None))).unwrap(), Step::Said);
        assert_eq!(step(&database("Released", None), None).unwrap(), Step::Said);
        assert_eq!(step(&database("Bound", Some("old")), Some(&claim(None))).unwrap(), Step::Bound);
    }

    #[test]
    fn a_purge_is_taken_back() {
        let spec = |claimed: &str| {
            let claim = json!({"namespace": "tenant-acme", "name": "app", "uid": claimed});
            json!({"claimRef": claim, "purge": {"generation": 1}})
        };
        for phase in ["Tombstoned", "Released"] {
            for claimed in ["old", "new"] {
                let mut purged = database(phase, None);
                purged["spec"] = spec(claimed);
                let Step::Merge(change) = step(&purged, Some(&claim(None))).unwrap() else {
                    panic!("{phase} {claimed}")
                };
                assert_eq!(change["spec"], json!({"claimRef": {"uid": "new"}, "purge": null}));
            }
        }
    }

    #[test]
    fn a_claim_that_has_another_database_keeps_it() {
        let failure = step(&database("Released", Some("old")), Some(&claim(Some("t-y-app")))).unwrap_err();
        assert_eq!(failure.lines, ["error: claim tenant-acme/app has the database t-y-app"]);
        assert_eq!(
            failure.hint.as_deref(),
            Some("delete the claim first: kubectl delete tdb app -n tenant-acme")
        );
    }
}
