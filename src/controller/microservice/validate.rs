//! Step 2: from what the spec says to what it means, or why it cannot be done. Pure.

use std::collections::HashSet;

use kube::ResourceExt;

use super::fetch::{Fetched, Named};
use crate::api::condition::{self, READY, STALLED, Summary, reason};
use crate::api::database_server::ExternalServer;
use crate::api::microservice::{Builtin, Endpoint, EnvVar, MicroserviceSpec, Resources};
use crate::api::tenant_database::TenantDatabaseStatus;
use crate::controller::compare;

/// Environment variable that tells a service where its bindings are.
pub const BINDING_ROOT: &str = "SERVICE_BINDING_ROOT";
/// Name of Service port 80.
pub const HTTP: &str = "http";
/// Port that every role of ours listens on.
const ROLE_PORT: i32 = 8080;
/// Port of an external server that names none.
const POSTGRES_PORT: i32 = 5432;

/// The single input of the later steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    /// Name of the microservice and of all its children.
    pub name: String,
    /// UID of the microservice.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Name of its tenant.
    pub tenant: String,
    /// Whether its tenant is suspended.
    pub suspended: bool,
    /// Pods that have to run: none while suspended.
    pub replicas: i32,
    /// What runs.
    pub program: Program,
    /// Version, as the spec says it.
    pub version: Option<String>,
    /// CPU and memory of each pod.
    pub resources: Resources,
    /// Environment variables of the spec.
    pub env: Vec<EnvVar>,
    /// Ports that it serves, at least one.
    pub endpoints: Vec<Endpoint>,
    /// Its databases.
    pub databases: Databases,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A role of the operator's own image.
    Builtin {
        /// The role.
        role: Builtin,
        /// The image.
        image: String,
    },
    /// Somebody's image, with tag or digest.
    Image(String),
}

/// How far the databases of a microservice are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Databases {
    /// All of them, if a pod that mounts them would start.
    pub bound: Option<Vec<Bound>>,
    /// Why one cannot be used; a database in trouble may still have all that its pods need.
    pub waiting: Option<Summary>,
    /// Whether pods may be made, or remade.
    pub usable: bool,
}

/// A database that pods can mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Name of the claim.
    pub name: String,
    /// Name of the binding Secret.
    pub secret: String,
    /// Hash of the binding Secret's content.
    pub hash: String,
    /// Where the database is.
    pub server: Server,
}

/// Where a database is, as the network sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// A managed server of that name.
    Managed(String),
    /// Somewhere else, on that port.
    External(i32),
}

/// Validates it. The error is what Ready says.
pub fn validate(fetched: &Fetched) -> Result<Validated, Summary> {
    let (microservice, spec) = (&fetched.microservice, &fetched.microservice.spec);
    let namespace = microservice.namespace().unwrap_or_default();
    let Some(tenant) = &fetched.tenant else {
        let message = format!(
            "Namespace {namespace} belongs to no tenant: create the microservice in a tenant's namespace"
        );
        return Err(Summary::Stalled { reason: reason::NOT_A_TENANT_NAMESPACE, message });
    };
    let program = program(spec, &fetched.operator_image)?;
    environment(spec)?;
    resources(spec)?;
    let suspended = fetched.is_suspended();
    Ok(Validated {
        name: microservice.name_any(),
        uid: microservice.uid().unwrap_or_default(),
        namespace,
        tenant: tenant.name_any(),
        suspended,
        replicas: if suspended { 0 } else { spec.replicas.unwrap_or(1) },
        program,
        version: spec.version.clone(),
        resources: spec.resources.clone().unwrap_or_default(),
        env: spec.env.clone().unwrap_or_default(),
        endpoints: endpoints(spec)?,
        databases: databases(fetched)?,
    })
}

fn invalid(message: String) -> Summary {
    Summary::Stalled { reason: reason::INVALID_SPEC, message }
}

fn program(spec: &MicroserviceSpec, operator_image: &str) -> Result<Program, Summary> {
    match (&spec.image, spec.builtin) {
        (Some(image), None) => tagged(image, spec.version.as_deref()).map(Program::Image),
        (None, Some(role)) => {
            let count = spec.databases().len();
            if count != 1 {
                let role = role.role();
                return Err(invalid(format!(
                    "spec.databases: builtin {role} needs exactly one database, not {count}: name one"
                )));
            }
            Ok(Program::Builtin { role, image: operator_image.to_owned() })
        }
        (None, None) | (Some(_), Some(_)) => {
            Err(invalid("spec: exactly one of image and builtin is required: set one of them".into()))
        }
    }
}

/// The image with a tag or a digest: its own, or the version.
fn tagged(image: &str, version: Option<&str>) -> Result<String, Summary> {
    // What comes before the last slash may have a colon too: the registry's port.
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) {
        return Ok(image.to_owned());
    }
    let version = version.ok_or_else(|| {
        invalid(format!(
            "spec.image: {image} has neither tag nor digest, and spec.version is absent: add one of them"
        ))
    })?;
    Ok(format!("{image}:{version}"))
}

fn environment(spec: &MicroserviceSpec) -> Result<(), Summary> {
    let mut names = HashSet::new();
    for variable in spec.env.iter().flatten() {
        if variable.name == BINDING_ROOT {
            return Err(invalid(format!("spec.env: {BINDING_ROOT} is set by the operator: remove it")));
        }
        if !names.insert(&variable.name) {
            return Err(invalid(format!("spec.env: {} is there twice: remove one", variable.name)));
        }
    }
    Ok(())
}

fn resources(spec: &MicroserviceSpec) -> Result<(), Summary> {
    let resources = spec.resources.clone().unwrap_or_default();
    let (requests, limits) = (resources.requests.unwrap_or_default(), resources.limits.unwrap_or_default());
    for (name, request, limit) in
        [("cpu", requests.cpu, limits.cpu), ("memory", requests.memory, limits.memory)]
    {
        for (field, amount) in [("requests", &request), ("limits", &limit)] {
            if let Some(amount) = amount.as_ref().filter(|amount| compare::thousandths(amount).is_none()) {
                return Err(invalid(format!(
                    "spec.resources.{field}.{name}: {amount} is no quantity: write for example 100m or 128Mi"
                )));
            }
        }
        if let (Some(request), Some(limit)) = (&request, &limit)
            && compare::thousandths(request) > compare::thousandths(limit)
        {
            return Err(invalid(format!(
                "spec.resources: requests.{name} ({request}) is more than limits.{name} ({limit}): lower the one or raise the other"
            )));
        }
    }
    Ok(())
}

fn endpoints(spec: &MicroserviceSpec) -> Result<Vec<Endpoint>, Summary> {
    let Some(endpoints) = spec.endpoints.clone().filter(|endpoints| !endpoints.is_empty()) else {
        return Ok(vec![Endpoint { name: HTTP.into(), port: ROLE_PORT, health_path: None }]);
    };
    if spec.builtin.is_some() {
        return Err(invalid(
            "spec.endpoints: not allowed beside builtin, which listens on 8080: remove them".into(),
        ));
    }
    let (mut names, mut ports, mut healthy) = (HashSet::new(), HashSet::new(), None);
    for (index, Endpoint { name, port, health_path }) in endpoints.iter().enumerate() {
        if name.contains("--") {
            return Err(invalid(format!(
                "spec.endpoints: the name {name} has two hyphens in a row: rename it"
            )));
        }
        if !names.insert(name) {
            return Err(invalid(format!("spec.endpoints: the name {name} is there twice: rename one")));
        }
        if !ports.insert(port) {
            return Err(invalid(format!(
                "spec.endpoints: the port {port} is there twice: an endpoint needs a port of its own"
            )));
        }
        if index > 0 && name == HTTP {
            return Err(invalid("spec.endpoints: only the first may be named http, as Service port 80 is: move it to the front or rename it".into()));
        }
        if let (Some(_), Some(other)) = (health_path, health_path.as_ref().and(healthy)) {
            return Err(invalid(format!(
                "spec.endpoints: {other} and {name} both have a healthPath, but a pod has one readiness probe: keep one"
            )));
        }
        healthy = healthy.or(health_path.as_ref().map(|_| name));
    }
    Ok(endpoints)
}

fn databases(fetched: &Fetched) -> Result<Databases, Summary> {
    let mut bound = Some(Vec::new());
    let mut waiting: Option<Summary> = None;
    for named in &fetched.databases {
        credential(named)?;
        if let Some(summary) = problem(named) {
            // What a person has to see to is said before what passes by itself.
            let passes = |summary: &Summary| {
                matches!(summary, Summary::Progressing { reason: reason::PROGRESSING, .. })
            };
            waiting = waiting.filter(|earlier| !passes(earlier)).or(Some(summary));
        }
        bound = bound.zip(mountable(named)).map(|(mut all, one): (Vec<Bound>, Bound)| {
            all.push(one);
            all
        });
    }
    // Pods that run keep being looked after while a database has trouble; the first wait until all is well.
    let usable = bound.is_some() && (waiting.is_none() || fetched.deployment.is_some());
    Ok(Databases { bound, waiting, usable })
}

fn waits(what: &str) -> Summary {
    Summary::Progressing { reason: reason::PROGRESSING, message: format!("waiting for {what}") }
}

fn credential(named: &Named) -> Result<(), Summary> {
    let (name, asked) = (&named.binding.name, named.binding.credential.as_deref().unwrap_or_default());
    if named.claim.is_some() && named.credential.is_none() {
        return Err(invalid(format!(
            "spec.databases: TenantDatabase {name} has no credential {asked}: name one of its spec.credentials"
        )));
    }
    Ok(())
}

/// Why the database cannot be used; `None` if it can.
fn problem(named: &Named) -> Option<Summary> {
    let name = &named.binding.name;
    let Some(claim) = &named.claim else {
        let message =
            format!("spec.databases: TenantDatabase {name} does not exist: create it or remove it here");
        return Some(Summary::Progressing { reason: reason::DATABASE_NOT_FOUND, message });
    };
    let default = TenantDatabaseStatus::default();
    let status = claim.status.as_ref().unwrap_or(&default);
    let ready = condition::find(&status.conditions, READY)
        .filter(|_| status.observed_generation == claim.metadata.generation);
    match ready {
        Some(ready) if ready.status == "True" => {
            let missing = mountable(named).is_none();
            missing.then(|| waits(&format!("the binding of TenantDatabase {name}")))
        }
        Some(ready)
            if ready.reason != reason::PROGRESSING
                || condition::is_true(&status.conditions, STALLED, None) =>
        {
            let message = format!("TenantDatabase {name}: {}", ready.message);
            Some(Summary::Progressing { reason: reason::DATABASE_NOT_READY, message })
        }
        _ => Some(waits(&format!("TenantDatabase {name}"))),
    }
}

/// The database, if a pod that mounts it would start.
fn mountable(named: &Named) -> Option<Bound> {
    let (claim, secret) = (named.claim.as_ref()?, named.secret.as_ref()?);
    let spec = &named.server.as_ref()?.spec;
    let server = match &spec.external {
        Some(ExternalServer { port, .. }) => Server::External(port.unwrap_or(POSTGRES_PORT)),
        None => Server::Managed(named.server.as_ref()?.name_any()),
    };
    // A Secret of that name may be another claim's.
    let own = secret.owner_uid.as_deref() == claim.metadata.uid.as_deref() && !secret.deleting;
    let hash = secret.binding_hash.as_deref().filter(|_| own)?;
    Some(Bound {
        name: named.binding.name.clone(),
        secret: named.credential.as_ref()?.secret_name(&named.binding.name),
        hash: hash.to_owned(),
        server,
    })
}
