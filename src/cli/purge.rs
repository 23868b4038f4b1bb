//! `tenantry purge`: the end of a released database is asked for, in exactly the state that was looked at.
//!
//! It writes one field, `spec.purge`, and the operator does the rest: it renames the database out of the way and keeps it.

use clap::Args;
use serde_json::{Value, json};

use super::kinds::{DATABASE_SERVER, SERVER_DATABASE};
use super::{Exit, Failure, Session, get, write};
use crate::api::labels::{PROTECTED, SERVERS_NAMESPACE};

/// Flags of `purge`.
#[derive(Debug, Args)]
#[command(
    after_help = "The database is renamed out of the way and kept for seven days. After that it is dropped, never without a verified archive: spec.archive of its DatabaseServer says where that goes. Until it is dropped, tenantry undelete brings it back.\n\nExamples:\n  tenantry purge t-kq3v5wz2ab-orders --dry-run\n  tenantry purge t-kq3v5wz2ab-orders"
)]
pub(super) struct PurgeArgs {
    /// Name of the ServerDatabase, as tenantry get serverdatabases prints it
    #[arg(value_name = "NAME")]
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Only say what would be done; the API server checks the change and keeps nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: &PurgeArgs, session: &mut Session) -> Result<Exit, Failure> {
    let client = session.client().await?;
    let name = &*args.name;
    let database = match client.object(&SERVER_DATABASE, None, name).await {
        Ok(database) => database,
        Err(error) => {
            let missing = error.is_not_found();
            let mut failure = Failure::from(error);
            if missing {
                failure.hint = get::suggestion(&client, &SERVER_DATABASE, None, name).await;
            }
            return Err(failure);
        }
    };
    let object = SERVER_DATABASE.object(name);
    let Some(change) = change(&database)? else {
        session.output.line(&format!("{object} unchanged"))?;
        return Ok(Exit::Success);
    };
    session.output.note(&described(&database));
    let server = database["spec"]["serverRef"]["name"].as_str().unwrap_or_default();
    let found = client.find(&DATABASE_SERVER, None, server).await?;
    session.output.note(&archived(server, &found.unwrap_or_default(), &database));
    if args.dry_run {
        write::try_merge(&client, &SERVER_DATABASE, None, name, &change).await?;
        session.output.line(&format!("{object} purged (server dry run)"))?;
        return Ok(Exit::Success);
    }
    if !args.yes {
        confirm(name, session)?;
    }
    write::merge(&client, &SERVER_DATABASE, None, name, &change).await?;
    session.output.line(&format!("{object} purged"))?;
    session.output.note(&format!("It is kept for now; to get it back: tenantry undelete {name}"));
    Ok(Exit::Success)
}

/// What has to be written; None if it says so already.
fn change(database: &Value) -> Result<Option<Value>, Failure> {
    let metadata = &database["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    if let Some(management) = database["spec"]["management"].as_str().filter(|it| *it != "Full") {
        return Err(Failure::new(format_args!(
            "ServerDatabase {name} has spec.management {management}: Tenantry did not make the database, and neither renames nor drops it"
        )));
    }
    match database["status"]["phase"].as_str() {
        Some("Released") => {}
        Some("Tombstoned" | "Dropping") => return Ok(None),
        phase => {
            let claim = &database["spec"]["claimRef"];
            let text = |field: &str| claim[field].as_str().unwrap_or_default().to_owned();
            return Err(Failure::new(format_args!(
                "ServerDatabase {name} is {}, and only a released database can be purged",
                phase.unwrap_or("in no phase yet")
            ))
            .hint(format!(
                "delete its claim first: kubectl delete tdb {} -n {}",
                text("name"),
                text("namespace")
            )));
        }
    }
    if metadata["labels"].get(PROTECTED).is_some() {
        let tenant = metadata["labels"]["tenantry.dev/tenant"].as_str().unwrap_or_default();
        return Err(Failure::new(format_args!("tenant {tenant} is protected from deletion")).hint(format!(
            "if that is meant, first run: kubectl patch tenant {tenant} --type=merge -p '{{\"spec\":{{\"deletionProtection\":false}}}}'"
        )));
    }
    let generation = &database["status"]["generation"];
    if database["spec"]["purge"]["generation"] == *generation {
        return Ok(None);
    }
    // What was looked at is what is purged: neither a later object of that name nor a later state of it.
    Ok(Some(json!({
        "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        "spec": {"purge": {"generation": generation}},
    })))
}

/// What is about to go, and what is done to it.
fn described(database: &Value) -> String {
    let (spec, status) = (&database["spec"], &database["status"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let physical = text(&spec["physicalName"]);
    format!(
        "Database {physical} on DatabaseServer {}, released by TenantDatabase {}/{}, generation {}, becomes tombstone_{physical}.",
        text(&spec["serverRef"]["name"]),
        text(&spec["claimRef"]["namespace"]),
        text(&spec["claimRef"]["name"]),
        status["generation"]
    )
}

/// Where the archive goes without which nothing is dropped.
fn archived(server: &str, found: &Value, database: &Value) -> String {
    let archive = &found["spec"]["archive"];
    let physical = database["spec"]["physicalName"].as_str().unwrap_or_default();
    let folder = format!("{}/{physical}", found["status"]["systemIdentifier"].as_str().unwrap_or_default());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let place = if let Some(volume) = text(&archive["volume"]["claimName"]) {
        format!("in folder {folder} of PersistentVolumeClaim {SERVERS_NAMESPACE}/{volume}")
    } else if let Some(bucket) = text(&archive["s3"]["bucket"]) {
        let prefix = text(&archive["s3"]["prefix"]).map(|prefix| format!("/{prefix}")).unwrap_or_default();
        let server =
            text(&archive["s3"]["endpoint"]).or_else(|| text(&archive["s3"]["region"])).unwrap_or_default();
        format!("as s3://{bucket}{prefix}/{folder} ({server})")
    } else {
        return format!(
            "DatabaseServer {server} has no spec.archive: no archive is made, and without one nothing is dropped."
        );
    };
    format!("It is archived {place}, and dropped after seven days if the archive is verified.")
}

fn confirm(name: &str, session: &mut Session) -> Result<(), Failure> {
    if !session.output.can_ask() {
        return Err(
            Failure::usage("purge asks first, and there is no terminal to ask on").hint("confirm with --yes")
        );
    }
    let answer = session.output.ask(&format!("Purge {name}? Type {name} to confirm:"))?;
    if answer == name { Ok(()) } else { Err(Failure::new("nothing was purged")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(phase: &str, purge: Option<i64>, labels: &Value) -> Value {
        json!({
            "metadata": {"name": "t-x-app", "uid": "u", "resourceVersion": "7", "labels": labels},
            "spec": {
                "serverRef": {"name": "main"}, "physicalName": "t_x_app",
                "claimRef": {"namespace": "tenant-acme", "name": "app"},
                "purge": purge.map(|generation| json!({"generation": generation})),
            },
            "status": {"phase": phase, "generation": 2},
        })
    }

    #[test]
    fn the_generation_that_was_looked_at_is_named_once() {
        let asked = json!({
            "metadata": {"uid": "u", "resourceVersion": "7"}, "spec": {"purge": {"generation": 2}},
        });
        for stale in [None, Some(1)] {
            assert_eq!(change(&database("Released", stale, &json!({}))).unwrap().as_ref(), Some(&asked));
        }
        assert_eq!(change(&database("Released", Some(2), &json!({}))).unwrap(), None);
        assert_eq!(change(&database("Tombstoned", Some(1), &json!({}))).unwrap(), None);
        assert_eq!(
            described(&database("Released", None, &json!({}))),
            "Database t_x_app on DatabaseServer main, released by TenantDatabase tenant-acme/app, generation 2, \
             becomes tombstone_t_x_app."
        );
    }

    #[test]
    fn where_the_archive_goes_is_said_before_anything_is_done() {
        let database = database("Released", None, &json!({}));
        let server = |spec: Value| json!({"spec": spec, "status": {"systemIdentifier": "76"}});
        assert_eq!(
            archived("main", &server(json!({"archive": {"volume": {"claimName": "archives"}}})), &database),
            "It is archived in folder 76/t_x_app of PersistentVolumeClaim tenantry-servers/archives, and dropped after seven days if \
             the archive is verified."
        );
        let aws = json!({"bucket": "b", "region": "eu-central-1"});
        let own = json!({"bucket": "b", "prefix": "p/q", "endpoint": "https://s3:9000", "region": "r"});
        for (bucket, place) in
            [(aws, "s3://b/76/t_x_app (eu-central-1)"), (own, "s3://b/p/q/76/t_x_app (https://s3:9000)")]
        {
            assert_eq!(
                archived("main", &server(json!({"archive": {"s3": bucket}})), &database),
                format!(
                    "It is archived as {place}, and dropped after seven days if the archive is verified."
                )
            );
        }
        for none in [server(json!({})), Value::Null] {
            assert_eq!(
                archived("main", &none, &database),
                "DatabaseServer main has no spec.archive: no archive is made, and without one nothing is dropped."
            );
        }
    }

    #[test]
    fn what_is_in_use_or_protected_is_not_purged() {
        let bound = change(&database("Bound", None, &json!({}))).unwrap_err();
        assert_eq!(
            bound.lines,
            ["error: ServerDatabase t-x-app is Bound, and only a released database can be purged"]
        );
        assert_eq!(
            bound.hint.as_deref(),
            Some("delete its claim first: kubectl delete tdb app -n tenant-acme")
        );
        let labels = json!({"tenantry.dev/protected": "true", "tenantry.dev/tenant": "acme"});
        let protected = change(&database("Released", None, &labels)).unwrap_err();
        assert_eq!(protected.lines, ["error: tenant acme is protected from deletion"]);
        for management in ["Adopt", "Observe"] {
            let mut given = database("Released", None, &json!({}));
            given["spec"]["management"] = json!(management);
            let said = change(&given).unwrap_err().lines;
            assert!(said[0].contains(&format!("has spec.management {management}")), "{said:?}");
        }
    }
}
