//! What is looked at. Each probe asks the API server once and judges the answer.

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::report::Check;
use crate::api::labels::SYSTEM_NAMESPACE;
use crate::cli::api_error::ApiError;
use crate::cli::client::{Client, JSON, Selectors};
use crate::cli::failure::Failure;
use crate::cli::health::{self, Health};
use crate::cli::kinds::{CRD, DATABASE_SERVER, DEPLOYMENT, KINDS, LEASE, TENANT};
use crate::cli::{version, write};
use crate::controller::lease;

/// Oldest minor version of Kubernetes: admission policies are stable since 1.30.
const OLDEST_MINOR: u32 = 30;
/// Seconds by which this machine's clock may differ from the operator's.
const CLOCKS_DIFFER: i64 = 60;
/// What an administrator of tenants does.
const VERBS: [&str; 5] = ["get", "list", "create", "patch", "delete"];

/// Whether the API server answers, and is new enough.
pub(super) async fn reachable(client: &Client) -> (Check, bool) {
    let version: Result<Value, ApiError> = client.read("/version", JSON).await;
    let version = match version {
        Ok(version) => version,
        Err(error) => return (Check::failed("K8S-02", "the API server answers", &error.into()), false),
    };
    let name = version["gitVersion"].as_str().unwrap_or("unknown");
    let minor = version["minor"].as_str().unwrap_or_default().trim_end_matches('+').parse::<u32>();
    let check = match minor {
        Ok(minor) if minor < OLDEST_MINOR => Check::broken(
            "K8S-02",
            format!("the API server is {name}"),
            format!("upgrade to 1.{OLDEST_MINOR} or newer"),
        ),
        _ => Check::ok("K8S-02", format!("the API server answers ({name})")),
    };
    (check, true)
}

/// Whether the user may do what the CLI does.
pub(super) async fn rights(client: &Client) -> Vec<Check> {
    let asked = VERBS.map(|verb| async move { (verb, write::may(client, verb, &TENANT, None).await) });
    let mut missing = vec![];
    for (verb, allowed) in futures::future::join_all(asked).await {
        match allowed {
            Ok(true) => {}
            Ok(false) => missing.push(verb),
            Err(error) => return vec![Check::failed("RBAC-01", "you may manage tenants", &error.into())],
        }
    }
    vec![if missing.is_empty() {
        Check::ok("RBAC-01", "you may manage tenants")
    } else {
        let hint = format!(
            "a ClusterRole must allow: apiGroups: [\"{}\"], resources: [\"tenants\"], verbs: {missing:?}",
            TENANT.group
        );
        Check::warned("RBAC-01", format!("you may not {} tenants", missing.join(", ")), hint)
    }]
}

/// Whether every kind is served.
pub(super) async fn crds(client: &Client) -> Vec<Check> {
    let found = KINDS.each_ref().map(|kind| {
        let name = kind.resource.qualified();
        async move { (client.find(&CRD, None, &name).await, name) }
    });
    let (mut missing, mut pending) = (vec![], vec![]);
    for (crd, name) in futures::future::join_all(found).await {
        match crd {
            Ok(None) => missing.push(name),
            Ok(Some(crd)) if !health::is_true(&crd, "Established") => pending.push(name),
            Ok(Some(_)) => {}
            Err(error) => return vec![Check::failed("CRD-01", "the CRDs are installed", &error.into())],
        }
    }
    let installed = if missing.is_empty() {
        Check::ok("CRD-01", "the CRDs are installed")
    } else {
        Check::broken("CRD-01", format!("CRDs are missing: {}", missing.join(", ")), "run tenantry install")
    };
    if missing.len() == KINDS.len() {
        return vec![installed];
    }
    let served = if pending.is_empty() {
        Check::ok("CRD-02", "the CRDs are established")
    } else {
        let hint = format!("look at: kubectl describe crd {}", pending[0]);
        Check::broken("CRD-02", format!("CRDs are not established: {}", pending.join(", ")), hint)
    };
    vec![installed, served]
}

/// Whether the operator is installed, runs, fits this program, and leads.
pub(super) async fn operator(client: &Client, now: Timestamp) -> Vec<Check> {
    let deployment = match client.find(&DEPLOYMENT, Some(SYSTEM_NAMESPACE), "operator").await {
        Ok(Some(deployment)) => deployment,
        Ok(None) => {
            return vec![Check::broken(
                "OPERATOR-01",
                "the operator is not installed",
                "run tenantry install",
            )];
        }
        Err(error) => return vec![Check::failed("OPERATOR-01", "the operator is installed", &error.into())],
    };
    let running = if health::is_true(&deployment, "Available") {
        Check::ok("OPERATOR-01", "the operator is available")
    } else {
        let hint = format!("look at: kubectl -n {SYSTEM_NAMESPACE} describe pods");
        Check::broken("OPERATOR-01", "the operator is not available", hint)
    };
    vec![running, skew(&deployment), leadership(client, now).await]
}

fn skew(deployment: &Value) -> Check {
    match version::operator_version(deployment) {
        Some(operator) if operator == version::CLIENT => {
            Check::ok("OPERATOR-02", format!("the operator has this program's version ({operator})"))
        }
        operator => Check::warned(
            "OPERATOR-02",
            format!(
                "the operator is {}, this program is {}",
                operator.as_deref().unwrap_or("unknown"),
                version::CLIENT
            ),
            "run tenantry install, or use the operator's version of this program",
        ),
    }
}

async fn leadership(client: &Client, now: Timestamp) -> Check {
    let hint = format!("look at: kubectl -n {SYSTEM_NAMESPACE} logs deployment/operator");
    let lease = match client.find(&LEASE, Some(SYSTEM_NAMESPACE), lease::LEASE).await {
        Ok(Some(lease)) => lease,
        Ok(None) => return Check::broken("OPERATOR-03", "no operator has taken the lease", hint),
        Err(error) => {
            return Check::failed("OPERATOR-03", "an operator holds the lease", &Failure::from(error));
        }
    };
    match holder(&lease, now) {
        Some(holder) => Check::ok("OPERATOR-03", format!("an operator holds the lease ({holder})")),
        None => Check::broken("OPERATOR-03", "no operator holds the lease", hint),
    }
}

/// Who holds the lease, unless its time has long passed.
fn holder(lease: &Value, now: Timestamp) -> Option<&str> {
    let spec = &lease["spec"];
    let renewed: Timestamp = spec["renewTime"].as_str()?.parse().ok()?;
    let valid =
        now.as_second() - renewed.as_second() <= spec["leaseDurationSeconds"].as_i64()? + CLOCKS_DIFFER;
    spec["holderIdentity"].as_str().filter(|holder| valid && !holder.is_empty())
}

/// Whether databases can be placed.
pub(super) async fn servers(client: &Client) -> Vec<Check> {
    let servers = match client.list(&DATABASE_SERVER, None, &Selectors::default()).await {
        Ok(servers) => servers,
        Err(error) => {
            return vec![Check::failed("SERVER-01", "database servers can be listed", &error.into())];
        }
    };
    if servers.is_empty() {
        let hint = "create a DatabaseServer: kubectl explain databaseserver.spec";
        return vec![Check::warned("SERVER-01", "there is no database server", hint)];
    }
    servers.iter().map(server).collect()
}

fn server(server: &Value) -> Check {
    let name = server["metadata"]["name"].as_str().unwrap_or_default();
    match Health::of(server) {
        Health::Ready => Check::ok("SERVER-01", format!("database server {name} is ready")),
        health => {
            let why = health::explanation(server).unwrap_or_else(|| health.word().to_owned());
            let hint = format!("look at: kubectl describe databaseserver {name}");
            Check::broken("SERVER-01", format!("database server {name} is not ready: {why}"), hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lease_counts_while_it_is_renewed() {
        let lease = |holder: &str| json!({"spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}});
        let at = |text: &str| text.parse().unwrap();
        assert_eq!(holder(&lease("a"), at("2026-01-01T00:01:15Z")), Some("a"));
        assert_eq!(holder(&lease("a"), at("2026-01-01T00:01:16Z")), None);
        assert_eq!(holder(&lease(""), at("2026-01-01T00:00:01Z")), None);
        assert_eq!(holder(&json!({}), at("2026-01-01T00:00:01Z")), None);
    }
}
