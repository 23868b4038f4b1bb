//! Step 2: from what the spec says to what it means, or why it cannot be done. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::fetch::Fetched;
use crate::api::blueprint::BlueprintService;
use crate::api::condition::{Summary, reason};
use crate::api::names::{self, TenantId};
use crate::api::plan::PlanSpec;
use crate::api::tenant::Owner;

/// The single input of the later steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// Name of the tenant.
    pub name: String,
    /// UID of the tenant.
    pub uid: String,
    /// Id of the tenant.
    pub id: TenantId,
    /// Its namespace.
    pub namespace: String,
    /// Its plan.
    pub plan: PlanSpec,
    /// Names of the claims that its blueprints ask for.
    pub databases: Vec<String>,
    /// Microservices that its blueprints ask for.
    pub services: Vec<BlueprintService>,
    /// Who may work in its namespace.
    pub owners: Vec<Owner>,
    /// Whether it is suspended.
    pub suspended: bool,
}

/// Validates it. The error is what Ready says.
pub fn validate(fetched: &Fetched) -> Result<Validated, Summary> {
    let (tenant, spec) = (&fetched.tenant, &fetched.tenant.spec);
    let Some(plan) = &fetched.plan else {
        let message =
            format!("spec.planRef: Plan {} does not exist: create it or name another", spec.plan_ref.name);
        return Err(Summary::Progressing { reason: reason::PLAN_NOT_FOUND, message });
    };
    let mut databases = BTreeMap::new();
    let mut services = BTreeMap::new();
    for (name, blueprint) in &fetched.blueprints {
        let Some(blueprint) = blueprint else {
            let message =
                format!("spec.blueprints: Blueprint {name} does not exist: create it or remove it here");
            return Err(Summary::Progressing { reason: reason::BLUEPRINT_NOT_FOUND, message });
        };
        for database in blueprint.spec.databases() {
            if let Some(other) = databases.insert(database.name.clone(), name) {
                return Err(clash("database", &database.name, other, name));
            }
        }
        for service in blueprint.spec.services() {
            if let Some((other, _)) = services.insert(service.name.clone(), (name, service.clone())) {
                return Err(clash("service", &service.name, other, name));
            }
        }
    }
    let (name, uid) = (tenant.name_any(), tenant.uid().unwrap_or_default());
    Ok(Validated {
        id: TenantId::of_uid(&uid),
        namespace: names::tenant_namespace(&name),
        plan: plan.spec.clone(),
        databases: databases.into_keys().collect(),
        services: services.into_values().map(|(_, service)| service).collect(),
        owners: spec.owners.clone().unwrap_or_default(),
        suspended: spec.is_suspended(),
        name,
        uid,
    })
}

fn clash(what: &str, name: &str, one: &str, other: &str) -> Summary {
    let message = format!(
        "spec.blueprints: Blueprints {one} and {other} both ask for the {what} {name}: rename it in one of them or name only one"
    );
    Summary::Stalled { reason: reason::BLUEPRINT_CONFLICT, message }
}
