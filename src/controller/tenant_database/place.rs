//! Placement: which server a new database goes to. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::fetch::{Fetched, KnownServer};
use super::validate::Refusal;
use crate::api::condition::{Summary, reason};

/// The server of a claim that has none yet: the one that it names, or of those that its plan selects and that have room the
/// one with the fewest databases.
pub fn place(fetched: &Fetched, namespace: &str) -> Result<String, Refusal> {
    let progressing = |reason, message| Summary::Progressing { reason, message };
    // A server that was not looked at since the start may have the database already.
    if fetched.servers.iter().any(|server| !server.looked_at) {
        return Err(Refusal::Unknown);
    }
    let wanted = fetched.plan.as_ref().and_then(|plan| plan.spec.server_selector.as_ref());
    let wanted = wanted.map(|selector| selector.match_labels.clone()).unwrap_or_default();
    let fits =
        |server: &KnownServer| wanted.iter().all(|(name, value)| server.labels.get(name) == Some(value));
    if let Some(asked) = &fetched.claim.spec.server_ref {
        let Some(server) = fetched.servers.iter().find(|server| server.name == asked.name) else {
            let message = format!(
                "spec.serverRef: DatabaseServer {} does not exist: create it or name another",
                asked.name
            );
            return Err(progressing(reason::SERVER_NOT_FOUND, message).into());
        };
        return match obstacle(server, namespace) {
            None if !fits(server) => {
                let plan = fetched.plan.as_ref().map_or_else(String::new, ResourceExt::name_any);
                let message = format!(
                    "spec.serverRef: Plan {plan} does not select DatabaseServer {}: name another",
                    asked.name
                );
                Err(progressing(reason::SERVER_NOT_ALLOWED, message).into())
            }
            None => Ok(server.name.clone()),
            Some((reason, why)) => {
                Err(progressing(reason, format!("spec.serverRef: DatabaseServer {} {why}", asked.name))
                    .into())
            }
        };
    }
    let selected = fetched
        .servers
        .iter()
        .filter(|server| wanted.iter().all(|(name, value)| server.labels.get(name) == Some(value)));
    let (mut fit, mut unfit) = (Vec::new(), Vec::new());
    for server in selected {
        match obstacle(server, namespace) {
            None => fit.push(server),
            Some((_, why)) => unfit.push(format!("DatabaseServer {} {why}", server.name)),
        }
    }
    let load = |server: &&&KnownServer| (server.databases, server.name.clone());
    match fit.iter().min_by_key(load) {
        Some(server) => Ok(server.name.clone()),
        None => Err(progressing(reason::NO_SERVER, nowhere(fetched, &wanted, &unfit)).into()),
    }
}

fn nowhere(fetched: &Fetched, wanted: &BTreeMap<String, String>, unfit: &[String]) -> String {
    let plan = fetched.plan.as_ref().map_or_else(String::new, ResourceExt::name_any);
    if unfit.is_empty() {
        let labels: Vec<String> = wanted.iter().map(|(name, value)| format!("{name}={value}")).collect();
        return if labels.is_empty() {
            "there is no DatabaseServer: create one, or name one in spec.serverRef".to_owned()
        } else {
            format!(
                "no DatabaseServer has the labels {} that Plan {plan} selects: label or create one",
                labels.join(",")
            )
        };
    }
    format!("no DatabaseServer can take the database: {}", unfit.join("; "))
}

/// What a claim says whose server cannot be used now.
pub fn not_ready(server: &str) -> Summary {
    Summary::Progressing {
        reason: reason::SERVER_UNREACHABLE,
        message: format!("DatabaseServer {server} is not ready"),
    }
}

/// Why a server takes no new database of that namespace.
fn obstacle(server: &KnownServer, namespace: &str) -> Option<(&'static str, String)> {
    if !server.spec.allows(namespace) {
        let why = format!("does not admit namespace {namespace}: add it to its spec.allowedNamespaces");
        return Some((reason::SERVER_NOT_ALLOWED, why));
    }
    if server.leaving {
        return Some((reason::NO_SERVER, "is being deleted".to_owned()));
    }
    if let Some(why) = server.spec.closed_to_new(server.databases) {
        return Some((reason::NO_SERVER, why));
    }
    if !server.open {
        let why = server
            .trouble
            .as_ref()
            .map_or_else(|| "is not ready yet".to_owned(), |trouble| format!("is not ready: {trouble}"));
        return Some((reason::SERVER_UNREACHABLE, why));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixtures::fetched;
    use super::*;

    #[test]
    fn a_claim_may_name_only_a_server_that_its_plan_selects() {
        let place = |server: &str| {
            let plan = json!({"serverSelector": {"matchLabels": {"tier": "gold"}}});
            place(&fetched(&json!({"serverRef": {"name": server}}), &plan), "tenant-acme")
        };
        assert_eq!(place("gold"), Ok("gold".to_owned()));
        let message =
            "spec.serverRef: Plan small does not select DatabaseServer plain: name another".to_owned();
        let refusal = Summary::Progressing { reason: "ServerNotAllowed", message };
        assert_eq!(place("plain"), Err(Refusal::Because(refusal)));
    }

    #[test]
    fn a_server_takes_new_databases_while_it_is_active_and_has_room_and_says_why_not() {
        let place = |gold: Value, plain: Value, on: usize| {
            let mut fetched = fetched(&json!({}), &json!({}));
            for (server, spec) in fetched.servers.iter_mut().zip([gold, plain]) {
                server.spec = serde_json::from_value(spec).unwrap();
                server.databases = on;
            }
            place(&fetched, "tenant-acme")
        };
        let capacity = |databases: usize| json!({"capacity": {"databases": databases}});
        assert_eq!(place(json!({}), json!({}), 2), Ok("gold".to_owned()));
        assert_eq!(place(json!({"scheduling": "Active"}), json!({}), 2), Ok("gold".to_owned()));
        assert_eq!(place(capacity(2), json!({}), 2), Ok("plain".to_owned()));
        assert_eq!(place(capacity(3), json!({}), 2), Ok("gold".to_owned()));
        let refused = |gold: Value, plain: Value| match place(gold, plain, 2) {
            Err(Refusal::Because(Summary::Progressing { reason: "NoServer", message })) => message,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            refused(json!({"scheduling": "Paused"}), json!({"scheduling": "Draining"})),
            "no DatabaseServer can take the database: DatabaseServer gold takes no new databases: its spec.scheduling is \
             Paused; DatabaseServer plain takes no new databases: its spec.scheduling is Draining"
        );
        assert_eq!(
            refused(capacity(2), capacity(0)),
            "no DatabaseServer can take the database: DatabaseServer gold is full: its spec.capacity.databases is 2; \
             DatabaseServer plain is full: its spec.capacity.databases is 0"
        );
    }
}
