//! A microservice of the tenant `acme` as the stores show it, for the tests of this folder.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::fetch::{Fetched, Named};
use crate::api::condition::Summary;
use crate::api::labels;
use crate::api::microservice::MicroserviceSpec;
use crate::api::plan::PlanSpec;
use crate::api::schema::NameRef;
use crate::api::tenant::{TenantSpec, TenantState};
use crate::api::tenant_database::{TenantDatabaseSpec, TenantDatabaseStatus};
use crate::api::{DatabaseServer, Microservice, Plan, Tenant, TenantDatabase};
use crate::controller::child::Child;
use crate::controller::object::Kind;

/// The only time in these tests.
pub const NOW: Timestamp = Timestamp::constant(100, 0);

/// A spec from JSON.
pub fn spec(spec: Value) -> MicroserviceSpec {
    serde_json::from_value(spec).unwrap()
}

/// The microservice `shop` with that spec; each database that it names is ready.
pub fn fetched(asked: Value) -> Fetched {
    let mut microservice = Microservice::new("shop", spec(asked));
    microservice.metadata.namespace = Some("tenant-acme".into());
    microservice.metadata.uid = Some("uid-shop".into());
    microservice.metadata.generation = Some(4);
    let databases = microservice.spec.databases().iter().map(|binding| ready(&binding.name)).collect();
    Fetched {
        microservice,
        tenant: Some(tenant(TenantState::Active)),
        namespace: None,
        plan: Some(Plan::new("small", PlanSpec::default())),
        leaving: false,
        databases,
        deployment: None,
        operator_image: "tenantry.test/tenantry:1".into(),
    }
}

/// The tenant `acme`.
pub fn tenant(state: TenantState) -> Tenant {
    let spec = TenantSpec {
        display_name: None,
        plan_ref: NameRef::new("small"),
        blueprints: None,
        state: Some(state),
        owners: None,
        deletion_policy: None,
        deletion_protection: None,
    };
    let mut tenant = Tenant::new("acme", spec);
    tenant.metadata.uid = Some("uid-acme".into());
    tenant
}

/// A database that pods can mount, on the managed server `main`.
pub fn ready(name: &str) -> Named {
    let mut claim = TenantDatabase::new(name, TenantDatabaseSpec::default());
    claim.metadata.uid = Some(format!("uid-{name}"));
    claim.metadata.namespace = Some("tenant-acme".into());
    claim.metadata.generation = Some(2);
    let secret = json!({"uid": "s", "namespace": "tenant-acme", "labels": {labels::TENANT_DATABASE: name},
        "annotations": {labels::BINDING_HASH: format!("hash-of-{name}")}});
    let secret: ObjectMeta = serde_json::from_value(secret).unwrap();
    let server = json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "main"},
        "spec": {"managed": {"version": "15", "storage": "1Gi"}}});
    let server: DatabaseServer = serde_json::from_value(server).unwrap();
    let mut named = Named {
        binding: serde_json::from_value(json!({"name": name})).unwrap(),
        credential: claim.spec.credentials().into_iter().next(),
        claim: Some(claim),
        secret: Some(Arc::new(Child::new(Kind::Secret, &secret))),
        server: Some(server),
    };
    say(&mut named, &Summary::Ready { message: "bound".into() });
    named
}

/// Has the claim say that of itself.
pub fn say(named: &mut Named, summary: &Summary) {
    let claim = named.claim.as_mut().unwrap();
    let mut status = TenantDatabaseStatus {
        observed_generation: claim.metadata.generation,
        server: Some("main".into()),
        ..TenantDatabaseStatus::default()
    };
    summary.write(&mut status.conditions, 2, NOW);
    claim.status = Some(status);
}

/// A Deployment of ours.
pub fn deployment() -> Arc<Child> {
    Arc::new(Child::new(Kind::Deployment, &ObjectMeta::default()))
}
