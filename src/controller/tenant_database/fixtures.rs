//! The claim `app` of the tenant `acme` as the stores show it, for the tests of this folder.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fetch::{Fetched, KnownServer};
use crate::api::{Plan, Tenant, TenantDatabase};

/// The claim with that spec and a plan with that one, beside the open servers `gold` and `plain`, which are labelled with
/// their names as `tier`.
pub fn fetched(claim: &Value, plan: &Value) -> Fetched {
    let meta = |name: &str| json!({"name": name, "namespace": "tenant-acme", "uid": format!("uid-{name}")});
    let claim: TenantDatabase = serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "TenantDatabase", "metadata": meta("app"), "spec": claim,
    }))
    .unwrap();
    let plan: Plan = serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "Plan", "metadata": {"name": "small"}, "spec": plan,
    }))
    .unwrap();
    let tenant: Tenant = serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme", "uid": "uid-acme"},
        "spec": {"planRef": {"name": "small"}},
    }))
    .unwrap();
    let server = |name: &str| KnownServer {
        name: name.into(),
        labels: [("tier".to_owned(), name.to_owned())].into(),
        open: true,
        looked_at: true,
        ..KnownServer::default()
    };
    Fetched {
        claim,
        tenant: Some(tenant),
        namespace: None,
        plan: Some(plan),
        leaving: false,
        servers: vec![server("gold"), server("plain")],
        databases: vec![],
        rows: Arc::default(),
        workloads: 0,
        suspended_since: None,
    }
}
