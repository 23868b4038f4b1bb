//! Placement: which server a new database goes to. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::fetch::{Fetched, KnownServer};
use super::tenancy::{OwnServer, Tenancy};
use super::validate::Refusal;
use crate::api::condition::{Summary, reason};
use crate::api::plan::Isolation;

/// The server of a claim that has none yet: the one that it names, or of those that its plan selects and that have room the
/// one with the fewest databases. A tenant that has a server for its own has all new ones there.
pub fn place(fetched: &Fetched, namespace: &str) -> Result<String, Refusal> {
    // A server that was not looked at since the start may have the database already.
    if fetched.servers.iter().any(|server| !server.looked_at) {
        return Err(Refusal::Unknown);
    }
    let wanted = fetched.plan.as_ref().and_then(|plan| plan.spec.server_selector.as_ref());
    let wanted = wanted.map(|selector| selector.match_labels.clone()).unwrap_or_default();
    let fits =
        |server: &KnownServer| wanted.iter().all(|(name, value)| server.labels.get(name) == Some(value));
    let mut selected: Vec<&KnownServer> = fetched.servers.iter().filter(|server| fits(server)).collect();
    let is_home =
        |server: &&KnownServer| isolation(fetched) == Isolation::Server && server.tenancy == Tenancy::Alone;
    let home = selected.iter().copied().find(is_home);
    if let Some(asked) = &fetched.claim.spec.server_ref {
        return named(fetched, namespace, &asked.name, &selected, home);
    }
    if home.is_some() {
        selected.retain(is_home);
    }
    let (mut fit, mut unfit) = (Vec::new(), Vec::new());
    for server in selected {
        match obstacle(fetched, server, namespace) {
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

fn progressing(reason: &'static str, message: String) -> Summary {
    Summary::Progressing { reason, message }
}

/// The server that the claim names, if it can have it: one that its plan selects, and the one that its tenant has for its own if
/// it has one.
fn named(
    fetched: &Fetched,
    namespace: &str,
    asked: &str,
    selected: &[&KnownServer],
    home: Option<&KnownServer>,
) -> Result<String, Refusal> {
    let Some(server) = fetched.servers.iter().find(|server| server.name == asked) else {
        let message =
            format!("spec.serverRef: DatabaseServer {asked} does not exist: create it or name another");
        return Err(progressing(reason::SERVER_NOT_FOUND, message).into());
    };
    let (reason, message) = match (obstacle(fetched, server, namespace), home) {
        (Some((reason, why)), _) => (reason, format!("DatabaseServer {asked} {why}")),
        (None, _) if !selected.iter().any(|selected| selected.name == asked) => {
            let plan = plan_of(fetched);
            let why = format!("Plan {plan} does not select DatabaseServer {asked}: name another");
            (reason::SERVER_NOT_ALLOWED, why)
        }
        (None, Some(home)) if server.tenancy != Tenancy::Alone => {
            let home = &home.name;
            let why = format!(
                "the tenant has DatabaseServer {home} for its own, and its databases are kept together: name {home} or remove the field"
            );
            (reason::SERVER_NOT_ALLOWED, why)
        }
        (None, _) => return Ok(server.name.clone()),
    };
    Err(progressing(reason, format!("spec.serverRef: {message}")).into())
}

fn isolation(fetched: &Fetched) -> Isolation {
    fetched.plan.as_ref().map(|plan| plan.spec.isolation()).unwrap_or_default()
}

fn plan_of(fetched: &Fetched) -> String {
    fetched.plan.as_ref().map_or_else(String::new, ResourceExt::name_any)
}

fn tenancy_of(fetched: &Fetched, server: &str) -> Tenancy {
    fetched.servers.iter().find(|known| known.name == server).map(|known| known.tenancy).unwrap_or_default()
}

/// Whether that server is to be the own one of the claim's tenant.
pub(super) fn own_server(fetched: &Fetched, server: &str) -> OwnServer {
    OwnServer::of(isolation(fetched), tenancy_of(fetched, server))
}

/// What of other tenants' keeps a new database of the claim's from that server.
pub(super) fn barred(fetched: &Fetched, server: &str) -> Option<String> {
    tenancy_of(fetched, server).obstacle(isolation(fetched), &plan_of(fetched))
}

/// The server that the claim was placed on, if objects were lost since: its rows know more than we do. A claim that
/// never got its database may be sent elsewhere, and is if another tenant was faster.
pub(super) fn known_server(fetched: &Fetched) -> Option<&str> {
    let status = fetched.claim.status.as_ref()?;
    let server = status.server.as_deref()?;
    let asked = fetched.claim.spec.server_ref.as_ref().is_none_or(|asked| asked.name == server);
    let may_stay = || asked && barred(fetched, server).is_none();
    (status.server_database.is_some() || may_stay()).then_some(server)
}

fn nowhere(fetched: &Fetched, wanted: &BTreeMap<String, String>, unfit: &[String]) -> String {
    let plan = plan_of(fetched);
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

/// Why a server takes no new database of the claim's namespace.
fn obstacle(fetched: &Fetched, server: &KnownServer, namespace: &str) -> Option<(&'static str, String)> {
    if !server.spec.allows(namespace) {
        let why = format!("does not admit namespace {namespace}: add it to its spec.allowedNamespaces");
        return Some((reason::SERVER_NOT_ALLOWED, why));
    }
    if server.leaving {
        return Some((reason::NO_SERVER, "is being deleted".to_owned()));
    }
    if let Some(why) = barred(fetched, &server.name) {
        return Some((reason::SERVER_NOT_ALLOWED, why));
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

    /// Where that claim goes on a plan with that isolation, with these servers.
    fn placed(claim: &Value, isolation: &str, tenancies: [Tenancy; 2]) -> Result<String, String> {
        let mut fetched = fetched(claim, &json!({"isolation": isolation}));
        for (server, tenancy) in fetched.servers.iter_mut().zip(tenancies) {
            server.tenancy = tenancy;
        }
        place(&fetched, "tenant-acme").map_err(|refusal| match refusal {
            Refusal::Because(Summary::Progressing { reason, message }) => format!("{reason}: {message}"),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_server_of_ones_own_is_one_that_nobody_else_is_on_and_it_says_why_there_is_none() {
        use Tenancy::{Alone, Free, Others, Shared};
        let (any, gold, plain) = (&json!({}), Ok("gold".to_owned()), Ok("plain".to_owned()));
        assert_eq!(placed(any, "Server", [Shared, Free]), plain);
        assert_eq!(placed(any, "Server", [Free, Alone]), plain, "where the others are");
        assert_eq!(placed(any, "Server", [Free, Free]), gold);
        assert_eq!(placed(any, "Database", [Shared, Free]), gold);
        assert_eq!(placed(any, "Database", [Others, Shared]), plain);
        let none = "NoServer: no DatabaseServer can take the database: DatabaseServer gold is the own server of another tenant; \
                    DatabaseServer plain has databases of other tenants, and Plan small asks for a server of the tenant's own";
        assert_eq!(placed(any, "Server", [Others, Shared]), Err(none.to_owned()));
    }

    #[test]
    fn a_claim_that_names_a_server_gets_it_only_if_it_is_nobody_elses_and_where_its_tenants_others_are() {
        use Tenancy::{Alone, Free, Others, Shared};
        let named = |isolation: &str, tenancies| {
            placed(&json!({"serverRef": {"name": "gold"}}), isolation, tenancies)
        };
        let refused = |why: &str| Err(format!("ServerNotAllowed: spec.serverRef: {why}"));
        for isolation in ["Server", "Database"] {
            let why = "DatabaseServer gold is the own server of another tenant";
            assert_eq!(named(isolation, [Others, Free]), refused(why));
            assert_eq!(named(isolation, [Alone, Alone]), Ok("gold".to_owned()));
        }
        let why = "DatabaseServer gold has databases of other tenants, and Plan small asks for a server of the tenant's own";
        assert_eq!(named("Server", [Shared, Free]), refused(why));
        assert_eq!(named("Database", [Shared, Free]), Ok("gold".to_owned()));
        // A tenant would else take one free server after the other.
        let why = "the tenant has DatabaseServer plain for its own, and its databases are kept together: name plain or \
                   remove the field";
        assert_eq!(named("Server", [Free, Alone]), refused(why));
        assert_eq!(named("Database", [Free, Alone]), Ok("gold".to_owned()));
    }

    #[test]
    fn a_tenant_whose_own_server_is_full_gets_no_second_one() {
        let mut fetched = fetched(&json!({}), &json!({"isolation": "Server"}));
        let own = &mut fetched.servers[1];
        own.tenancy = Tenancy::Alone;
        own.spec = serde_json::from_value(json!({"capacity": {"databases": 0}})).unwrap();
        let message = "no DatabaseServer can take the database: DatabaseServer plain is full: its spec.capacity.databases is 0";
        let refusal = Summary::Progressing { reason: "NoServer", message: message.to_owned() };
        assert_eq!(place(&fetched, "tenant-acme"), Err(Refusal::Because(refusal)));
    }
}
