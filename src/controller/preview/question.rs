//! The objects of a question: read, laid over the copied world, and whom they concern.

use std::collections::BTreeSet;

use kube::ResourceExt;
use serde_json::Value;

use super::PreviewError;
use super::rehearsal::Rehearsal;
use crate::api::{
    Blueprint, DatabaseServer, Microservice, Plan, ServerDatabase, Tenant, TenantDatabase, names,
};
use crate::controller::apply::ApplyError;
use crate::controller::context::{Context, StoreOf, Stores};
use crate::controller::object::Kind;
use crate::controller::own::OwnKind;
use crate::controller::worker::key_of;
use crate::controller::{blueprint, plan};

/// An object of a question.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A tenant.
    Tenant(Box<Tenant>),
    /// A plan.
    Plan(Box<Plan>),
    /// A blueprint.
    Blueprint(Box<Blueprint>),
    /// A database server.
    DatabaseServer(Box<DatabaseServer>),
    /// A server database.
    ServerDatabase(Box<ServerDatabase>),
    /// A claim.
    TenantDatabase(Box<TenantDatabase>),
    /// A microservice.
    Microservice(Box<Microservice>),
}

impl Asked {
    /// Reads one.
    pub fn read(object: Value) -> Result<Self, PreviewError> {
        let kind =
            object["kind"].as_str().and_then(|kind| Kind::OWN.into_iter().find(|own| own.as_str() == kind));
        let kind =
            kind.filter(|kind| object["apiVersion"].as_str() == Some(&*kind.api_resource().api_version));
        match kind {
            Some(Kind::Tenant) => typed(object).map(Self::Tenant),
            Some(Kind::Plan) => typed(object).map(Self::Plan),
            Some(Kind::Blueprint) => typed(object).map(Self::Blueprint),
            Some(Kind::DatabaseServer) => typed(object).map(Self::DatabaseServer),
            Some(Kind::ServerDatabase) => typed(object).map(Self::ServerDatabase),
            Some(Kind::TenantDatabase) => typed(object).map(Self::TenantDatabase),
            Some(Kind::Microservice) => typed(object).map(Self::Microservice),
            _ => Err(PreviewError::Unreadable {
                object: named(&object),
                message: "it is of no kind of tenantry.dev/v1alpha1".to_owned(),
            }),
        }
    }

    /// Lays it over what there is, and notes what would change and what its own condition would say against it.
    pub fn lay(&self, rehearsal: &mut Rehearsal<'_>) -> Result<(), ApplyError> {
        match self {
            Self::Plan(plan) => {
                if let Err(summary) = plan::validate::validate(&plan.spec) {
                    rehearsal.problem(Kind::Plan, &key_of(&**plan), &summary);
                }
            }
            Self::Blueprint(blueprint) => {
                if let Err(summary) = blueprint::validate::validate(&blueprint.spec) {
                    rehearsal.problem(Kind::Blueprint, &key_of(&**blueprint), &summary);
                }
            }
            _ => {}
        }
        match self {
            Self::Tenant(object) => rehearsal.lay((**object).clone()),
            Self::Plan(object) => rehearsal.lay((**object).clone()),
            Self::Blueprint(object) => rehearsal.lay((**object).clone()),
            Self::DatabaseServer(object) => rehearsal.lay((**object).clone()),
            Self::ServerDatabase(object) => rehearsal.lay((**object).clone()),
            Self::TenantDatabase(object) => rehearsal.lay((**object).clone()),
            Self::Microservice(object) => rehearsal.lay((**object).clone()),
        }
    }
}

fn named(object: &Value) -> String {
    let text = |field: &Value| field.as_str().unwrap_or("?").to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

fn typed<K: OwnKind>(object: Value) -> Result<Box<K>, PreviewError>
where
    Stores: StoreOf<K>,
{
    let name = named(&object);
    let read: Result<K, _> = serde_json::from_value(object);
    let unreadable = |message: String| PreviewError::Unreadable { object: name.clone(), message };
    let object = read.map_err(|error| unreadable(error.to_string()))?;
    if object.meta().name.as_deref().unwrap_or_default().is_empty() {
        return Err(unreadable("metadata.name is missing".to_owned()));
    }
    Ok(Box::new(object))
}

/// Tenants that the objects concern: those in them, those that use them, and those whose namespace they are in.
pub fn concerned(context: &Context, asked: &[Asked]) -> BTreeSet<String> {
    let tenants: Vec<Tenant> = context.valid_all();
    // A file may name what another file makes: tenants of the question count, too.
    let new = asked.iter().filter_map(|asked| match asked {
        Asked::Tenant(tenant) => Some((**tenant).clone()),
        _ => None,
    });
    let all: Vec<Tenant> = tenants.into_iter().chain(new).collect();
    let users = |uses: &dyn Fn(&Tenant) -> bool| -> Vec<String> {
        all.iter().filter(|tenant| uses(tenant)).map(ResourceExt::name_any).collect()
    };
    let home = |namespace: Option<String>| -> Vec<String> {
        namespace.as_deref().and_then(names::tenant_of_namespace).map(str::to_owned).into_iter().collect()
    };
    let of = |asked: &Asked| match asked {
        Asked::Tenant(tenant) => vec![tenant.name_any()],
        Asked::Plan(plan) => users(&|tenant| tenant.spec.plan_ref.name == plan.name_any()),
        Asked::Blueprint(blueprint) => {
            let name = blueprint.name_any();
            users(&|tenant| tenant.spec.blueprints.iter().flatten().any(|it| it.name == name))
        }
        Asked::DatabaseServer(_) => waiting(context),
        Asked::ServerDatabase(database) => home(Some(database.spec.claim_ref.namespace.clone())),
        Asked::TenantDatabase(claim) => home(claim.namespace()),
        Asked::Microservice(microservice) => home(microservice.namespace()),
    };
    asked.iter().flat_map(of).collect()
}

/// Tenants with a claim that has no database yet: it may be placed on a new server.
fn waiting(context: &Context) -> Vec<String> {
    let claims: Vec<TenantDatabase> = context.valid_all();
    let without = claims
        .iter()
        .filter(|claim| claim.status.as_ref().is_none_or(|status| status.server_database.is_none()));
    let homes = without.filter_map(|claim| Some(names::tenant_of_namespace(&claim.namespace()?)?.to_owned()));
    homes.collect()
}
