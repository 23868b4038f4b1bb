//! Step 2: from what the spec says to what it means, or why it cannot be done. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::fetch::Fetched;
use crate::api::blueprint::{BlueprintDatabase, BlueprintService};
use crate::api::condition::{Summary, reason};
use crate::api::names::{self, TenantId};
use crate::api::plan::PlanSpec;
use crate::api::tenant::Owner;
use crate::controller::former;

/// The single input of the later steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// Name of the tenant.
    pub name: String,
    /// UID of the tenant.
    pub uid: String,
    /// When the tenant was made.
    pub created: Option<Time>,
    /// Id of the tenant.
    pub id: TenantId,
    /// Its namespace.
    pub namespace: String,
    /// Its plan.
    pub plan: PlanSpec,
    /// Claims that its blueprints ask for.
    pub databases: Vec<BlueprintDatabase>,
    /// Microservices that its blueprints ask for.
    pub services: Vec<BlueprintService>,
    /// UIDs of the Tenants that it has the namespace from, if it took it over.
    pub former: Vec<String>,
    /// Managed servers that its pods have to reach.
    pub managed_servers: BTreeSet<String>,
    /// Who may work in its namespace.
    pub owners: Vec<Owner>,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Whether it is protected from deletion.
    pub protected: bool,
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
            if let Some((other, _)) = databases.insert(database.name.clone(), (name, database.clone())) {
                return Err(clash("database", &database.name, other, name));
            }
        }
        for service in blueprint.spec.services() {
            if let Some((other, _)) = services.insert(service.name.clone(), (name, service.clone())) {
                return Err(clash("service", &service.name, other, name));
            }
        }
    }
    let former = former::take_over(tenant, fetched.namespace.as_deref())?;
    let (name, uid) = (tenant.name_any(), tenant.uid().unwrap_or_default());
    Ok(Validated {
        id: TenantId::of_uid(&uid),
        namespace: names::tenant_namespace(&name),
        plan: plan.spec.clone(),
        databases: databases.into_values().map(|(_, database)| database).collect(),
        services: services.into_values().map(|(_, service)| service).collect(),
        former,
        managed_servers: fetched.managed_servers.clone(),
        owners: spec.owners.clone().unwrap_or_default(),
        suspended: spec.is_suspended(),
        protected: spec.is_protected(),
        created: tenant.metadata.creation_timestamp.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::blueprint::BlueprintSpec;
    use crate::api::microservice::MicroserviceSpec;
    use crate::api::schema::NameRef;
    use crate::api::tenant::TenantSpec;
    use crate::api::{Blueprint, Plan, Tenant};

    /// Databases and services of a blueprint, by name.
    type Content<'a> = (&'a [&'a str], &'a [&'a str]);

    fn fetched(blueprints: &[(&str, Option<Content<'_>>)], plan: bool) -> Fetched {
        let mut tenant = Tenant::new(
            "acme",
            TenantSpec {
                display_name: None,
                plan_ref: NameRef::new("small"),
                blueprints: Some(blueprints.iter().map(|(name, _)| NameRef::new(*name)).collect()),
                state: None,
                owners: None,
                deletion_policy: None,
                deletion_protection: None,
            },
        );
        tenant.metadata.uid = Some("uid-1".into());
        let blueprint = |name: &str, databases: &[&str], services: &[&str]| {
            let databases = databases
                .iter()
                .map(|name| BlueprintDatabase { name: (*name).into(), ..BlueprintDatabase::default() });
            let databases = databases.collect();
            let services = services
                .iter()
                .map(|name| BlueprintService { name: (*name).into(), spec: MicroserviceSpec::default() })
                .collect();
            Blueprint::new(name, BlueprintSpec { databases: Some(databases), services: Some(services) })
        };
        Fetched {
            tenant,
            plan: plan.then(|| Plan::new("small", PlanSpec::default())),
            blueprints: blueprints
                .iter()
                .map(|(name, content)| ((*name).to_owned(), content.map(|(d, s)| blueprint(name, d, s))))
                .collect(),
            claims: vec![],
            microservices: vec![],
            managed_servers: BTreeSet::new(),
            namespace: None,
        }
    }

    #[test]
    fn blueprints_add_up() {
        let validated =
            validate(&fetched(&[("a", Some((&["x"], &["s"]))), ("b", Some((&["y"], &["t"])))], true))
                .unwrap();
        let services: Vec<&str> = validated.services.iter().map(|service| &*service.name).collect();
        let databases: Vec<&str> = validated.databases.iter().map(|database| &*database.name).collect();
        assert_eq!((databases, services), (vec!["x", "y"], vec!["s", "t"]));
    }

    #[test]
    fn what_is_missing_or_asked_for_twice_is_named() {
        let problem = |fetched: Fetched| match validate(&fetched) {
            Err(Summary::Progressing { reason, message }) => ("progressing", reason, message),
            Err(Summary::Stalled { reason, message }) => ("stalled", reason, message),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            problem(fetched(&[], false)),
            (
                "progressing",
                "PlanNotFound",
                "spec.planRef: Plan small does not exist: create it or name another".into()
            )
        );
        assert_eq!(
            problem(fetched(&[("a", None)], true)),
            (
                "progressing",
                "BlueprintNotFound",
                "spec.blueprints: Blueprint a does not exist: create it or remove it here".into()
            )
        );
        for (databases, services, what) in [(&["x"][..], &[][..], "database x"), (&[], &["s"], "service s")] {
            let both = [("a", Some((databases, services))), ("b", Some((databases, services)))];
            let message = format!(
                "spec.blueprints: Blueprints a and b both ask for the {what}: rename it in one of them or name only one"
            );
            assert_eq!(problem(fetched(&both, true)), ("stalled", "BlueprintConflict", message));
        }
    }
}
