//! Step 1: what a microservice's turn needs. All of it comes from the stores, but for how its pods fare: the watch
//! knows metadata only, so the Deployment is read when it changed, and its pods when they take their time.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use tokio::time::Instant;

use super::evidence::{self, Trouble};
use super::rollout::Rollout;
use crate::api::labels;
use crate::api::microservice::DatabaseBinding;
use crate::api::tenant_database::Credential;
use crate::api::{DatabaseServer, Microservice, Plan, Tenant, TenantDatabase, names};
use crate::controller::apply::ApplyError;
use crate::controller::child::Child;
use crate::controller::context::Context;
use crate::controller::object::{Key, Kind};
use crate::controller::store;
use crate::controller::worker::key_of;

/// Pods that are looked at to say why a rollout takes its time.
const PODS: u32 = 50;

/// What a microservice's turn needs.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The microservice.
    pub microservice: Microservice,
    /// The tenant that its namespace belongs to.
    pub tenant: Option<Tenant>,
    /// Its namespace, if the watch knows one of ours.
    pub namespace: Option<Arc<Child>>,
    /// The tenant's plan, if it exists.
    pub plan: Option<Plan>,
    /// Whether it, its namespace or its tenant is being deleted.
    pub leaving: bool,
    /// The databases that it names, in the order of the spec.
    pub databases: Vec<Named>,
    /// Its Deployment, if the watch knows one of its own.
    pub deployment: Option<Arc<Child>>,
    /// The operator's own image.
    pub operator_image: String,
}

/// What a microservice's database binding leads to.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// The binding, as the spec has it.
    pub binding: DatabaseBinding,
    /// The claim, if it exists.
    pub claim: Option<TenantDatabase>,
    /// The credential, if the claim has it.
    pub credential: Option<Credential>,
    /// The credential's Secret, if the watch knows one of ours.
    pub secret: Option<Arc<Child>>,
    /// The server that the database is on, if it exists.
    pub server: Option<DatabaseServer>,
}

/// How the pods fare.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// How far the Deployment is, if there is one.
    pub rollout: Option<Rollout>,
    /// Why it is not further.
    pub trouble: Option<Trouble>,
}

/// Reads it.
pub fn fetch(context: &Context, microservice: Microservice) -> Fetched {
    let key = key_of(&microservice);
    let tenant = names::tenant_of_namespace(&key.namespace);
    let tenant: Option<Tenant> = tenant.and_then(|name| context.valid(&Key::cluster(name)));
    let namespace = context.gate.child(Kind::Namespace, &Key::cluster(&key.namespace));
    let owner = namespace.as_ref().and_then(|namespace| namespace.owner_uid.as_deref());
    // A namespace of that name may be somebody else's.
    let tenant = tenant.filter(|tenant| owner.is_some() && owner == tenant.metadata.uid.as_deref());
    let bindings = microservice.spec.databases();
    Fetched {
        leaving: microservice.metadata.deletion_timestamp.is_some()
            || namespace.as_ref().is_some_and(|namespace| namespace.deleting)
            || tenant.as_ref().is_some_and(|tenant| tenant.metadata.deletion_timestamp.is_some()),
        databases: bindings.iter().map(|binding| named(context, &key.namespace, binding)).collect(),
        deployment: own_deployment(context, &microservice),
        operator_image: context.config.image.clone(),
        plan: tenant.as_ref().and_then(|tenant| context.valid(&Key::cluster(&tenant.spec.plan_ref.name))),
        tenant,
        namespace,
        microservice,
    }
}

fn named(context: &Context, namespace: &str, binding: &DatabaseBinding) -> Named {
    let claim: Option<TenantDatabase> = context.valid(&Key::namespaced(namespace, &binding.name));
    let credential = claim.as_ref().and_then(|claim| credential(claim, binding));
    let secret = credential.as_ref().and_then(|credential| {
        context.gate.child(Kind::Secret, &Key::namespaced(namespace, &credential.secret_name(&binding.name)))
    });
    let server = claim.as_ref().and_then(|claim| claim.status.as_ref()?.server.as_deref());
    let server = server.and_then(|name| context.valid(&Key::cluster(name)));
    Named { binding: binding.clone(), claim, credential, secret, server }
}

fn credential(claim: &TenantDatabase, binding: &DatabaseBinding) -> Option<Credential> {
    let mut all = claim.spec.credentials().into_iter();
    match &binding.credential {
        Some(name) => all.find(|credential| credential.name == *name),
        None => all.next(),
    }
}

impl Fetched {
    /// Whether the tenant is suspended.
    pub fn is_suspended(&self) -> bool {
        self.tenant.as_ref().is_some_and(|tenant| tenant.spec.is_suspended())
    }
}

/// Reads how the pods fare, after the writes of this turn.
///
/// A Deployment that the watch has not seen change since the last read is not read again. Pods are listed only
/// when a rollout has taken longer than what passes by itself.
pub async fn observe(context: &Context, fetched: &Fetched) -> Result<Observed, ApplyError> {
    let Some(rollout) = rollout(context, &fetched.microservice).await? else {
        return Ok(Observed::default());
    };
    if rollout.is_complete() {
        stop_waiting(context, &fetched.microservice);
        return Ok(Observed { rollout: Some(rollout), trouble: None });
    }
    // Each spec has its own time: before the pods of a new one are there, those of the last one would be asked.
    let step = format!("pods of generation {}", fetched.microservice.metadata.generation.unwrap_or_default());
    let wait = context.progress.wait(&waiting(&fetched.microservice), &step, Instant::now());
    let trouble = if wait.is_zero() {
        let pods = pods(&context.client, &key_of(&fetched.microservice)).await?;
        evidence::trouble(&fetched.microservice.spec, &rollout, &pods)
    } else {
        None
    };
    Ok(Observed { rollout: Some(rollout), trouble })
}

/// Under which name [`Context::progress`] knows since when a rollout has not been complete.
fn waiting(microservice: &Microservice) -> String {
    format!("{}/pods", microservice.uid().unwrap_or_default())
}

/// Nobody waits for the pods any more.
pub fn stop_waiting(context: &Context, microservice: &Microservice) {
    context.progress.clear(&waiting(microservice));
}

async fn rollout(context: &Context, microservice: &Microservice) -> Result<Option<Rollout>, ApplyError> {
    let key = key_of(microservice);
    if own_deployment(context, microservice).is_none() {
        return Ok(None);
    }
    let version = context.children.get(&Kind::Deployment).and_then(|store| store.version(&key));
    if let Some(rollout) = version.and_then(|version| context.rollouts.at(&key, version)) {
        return Ok(Some(rollout));
    }
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), &key.namespace);
    let live = api.get_opt(&key.name).await.map_err(|source| failed("get", &key, source))?;
    let Some(live) = live else { return Ok(None) };
    let rollout = Rollout::of(&live);
    context.rollouts.remember(key, store::version_number(&live.metadata), rollout.clone());
    Ok(Some(rollout))
}

/// The Deployment of that name, unless it is somebody else's.
fn own_deployment(context: &Context, microservice: &Microservice) -> Option<Arc<Child>> {
    let child = context.gate.child(Kind::Deployment, &key_of(microservice));
    child.filter(|child| child.owner_uid.as_deref() == microservice.metadata.uid.as_deref())
}

async fn pods(client: &Client, key: &Key) -> Result<Vec<Pod>, ApplyError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &key.namespace);
    let params = ListParams::default().labels(&format!("{}={}", labels::MICROSERVICE, key.name)).limit(PODS);
    let list = api.list(&params).await.map_err(|source| failed("list the pods of", key, source))?;
    Ok(list.items)
}

fn failed(verb: &'static str, key: &Key, source: kube::Error) -> ApplyError {
    ApplyError::Api { verb, kind: Kind::Deployment, key: key.clone(), source }
}
