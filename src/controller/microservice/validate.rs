//! Step 2: from what the spec says to what it means, or why it cannot be done. Pure.

use std::collections::HashSet;

use kube::ResourceExt;

use super::fetch::{Fetched, Named};
use crate::api::condition::{self, READY, STALLED, Summary, reason};
use crate::api::database_server::ExternalServer;
use crate::api::microservice::{Builtin, Endpoint, EnvVar, MicroserviceSpec, Resources};
use crate::api::tenant_database::TenantDatabaseStatus;
use crate::controller::compare;
use crate::controller::former;
use crate::controller::object::Kind;
use crate::controller::tenant_database::limits::connection_limit;
use crate::controller::worker::key_of;

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
    /// Pods that run while the tenant is active.
    pub active_replicas: i32,
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
    /// Greatest number of connections to the database.
    pub connection_limit: Option<u32>,
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
        return Err(former::without_tenant("microservice", &namespace, fetched.namespace.as_deref()));
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
        active_replicas: spec.replicas.unwrap_or(1),
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
        if let Some(summary) = problem(fetched, named) {
            // What a person has to see to is said before what passes by itself.
            let passes = |summary: &Summary| {
                matches!(summary, Summary::Progressing { reason: reason::PROGRESSING, .. })
            };
            waiting = waiting.filter(|earlier| !passes(earlier)).or(Some(summary));
        }
        bound = bound.zip(mountable(fetched, named)).map(|(mut all, one): (Vec<Bound>, Bound)| {
            all.push(one);
            all
        });
    }
    // Pods that run keep being looked after while a database has trouble; the first wait until all is well. Without
    // the plan nobody knows what a database admits, and pods stay as they are.
    let known = fetched.databases.is_empty() || fetched.plan.is_some();
    let usable = known && bound.is_some() && (waiting.is_none() || fetched.deployment.is_some());
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
fn problem(fetched: &Fetched, named: &Named) -> Option<Summary> {
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
        // One that is only observed never has a binding, and says so.
        Some(ready) if ready.status == "True" && ready.reason != reason::OBSERVED => {
            let missing = mountable(fetched, named).is_none();
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
fn mountable(fetched: &Fetched, named: &Named) -> Option<Bound> {
    let (claim, secret) = (named.claim.as_ref()?, named.secret.as_ref()?);
    let spec = &named.server.as_ref()?.spec;
    let server = match &spec.external {
        Some(ExternalServer { port, .. }) => Server::External(port.unwrap_or(POSTGRES_PORT)),
        None => Server::Managed(named.server.as_ref()?.name_any()),
    };
    // A Secret of that name may be another claim's.
    let owner = Some((Kind::TenantDatabase, key_of(claim)));
    let own = secret.owner == owner && !secret.deleting;
    let hash = secret.binding_hash.as_deref().filter(|_| own)?;
    Some(Bound {
        name: named.binding.name.clone(),
        secret: named.credential.as_ref()?.secret_name(&named.binding.name),
        hash: hash.to_owned(),
        connection_limit: connection_limit(fetched.plan.as_ref(), claim),
        server,
    })
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "a case reads better with the value itself")]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixtures::{self, fetched, say};
    use super::*;
    use crate::api::tenant::TenantState;

    fn image(spec: Value) -> Value {
        let mut whole = json!({"image": "shop:1"});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        whole
    }

    fn refusal(fetched: &Fetched) -> String {
        match validate(fetched) {
            Err(Summary::Stalled { reason, message }) => format!("{reason} {message}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_image_keeps_its_tag_or_digest_and_else_gets_the_version() {
        let run = |image: &str| {
            let validated = validate(&fetched(json!({"image": image, "version": "1.2.3-rc.1"}))).unwrap();
            match validated.program {
                Program::Image(image) => image,
                builtin @ Program::Builtin { .. } => panic!("{builtin:?}"),
            }
        };
        assert_eq!(run("shop"), "shop:1.2.3-rc.1");
        assert_eq!(run("registry:5000/team/shop"), "registry:5000/team/shop:1.2.3-rc.1");
        assert_eq!(run("registry:5000/team/shop:7"), "registry:5000/team/shop:7");
        assert_eq!(run("shop@sha256:abc"), "shop@sha256:abc");
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let validated = validate(&fetched(image(json!({})))).unwrap();
        let http = Endpoint { name: "http".into(), port: 8080, health_path: None };
        let nothing = Databases { bound: Some(vec![]), waiting: None, usable: true };
        assert_eq!(
            validated,
            Validated {
                name: "shop".into(),
                uid: "uid-shop".into(),
                namespace: "tenant-acme".into(),
                tenant: "acme".into(),
                suspended: false,
                replicas: 1,
                active_replicas: 1,
                program: Program::Image("shop:1".into()),
                version: None,
                resources: Resources::default(),
                env: vec![],
                endpoints: vec![http],
                databases: nothing,
            }
        );
    }

    #[test]
    fn a_spec_that_contradicts_itself_is_refused_and_the_field_named() {
        let cases = [
            (json!({}), "spec: exactly one of image and builtin is required: set one of them"),
            (
                image(json!({"builtin": "user"})),
                "spec: exactly one of image and builtin is required: set one of them",
            ),
            (
                json!({"image": "r:5/shop"}),
                "spec.image: r:5/shop has neither tag nor digest, and spec.version is absent: add one of them",
            ),
            (
                json!({"builtin": "user"}),
                "spec.databases: builtin user needs exactly one database, not 0: name one",
            ),
            (
                json!({"builtin": "user", "databases": [{"name": "a"}, {"name": "b"}]}),
                "spec.databases: builtin user needs exactly one database, not 2: name one",
            ),
            (
                json!({"builtin": "user", "databases": [{"name": "a"}], "endpoints": [{"name": "http", "port": 8081}]}),
                "spec.endpoints: not allowed beside builtin, which listens on 8080: remove them",
            ),
            (
                image(json!({"env": [{"name": "SERVICE_BINDING_ROOT", "value": "/x"}]})),
                "spec.env: SERVICE_BINDING_ROOT is set by the operator: remove it",
            ),
            (
                image(json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]})),
                "spec.env: A is there twice: remove one",
            ),
            (
                image(json!({"resources": {"requests": {"cpu": "1.5"}, "limits": {"cpu": "1499m"}}})),
                "spec.resources: requests.cpu (1.5) is more than limits.cpu (1499m): lower the one or raise the other",
            ),
            (
                image(json!({"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1G"}}})),
                "spec.resources: requests.memory (1Gi) is more than limits.memory (1G): lower the one or raise the other",
            ),
            (
                image(json!({"resources": {"limits": {"memory": "lots"}}})),
                "spec.resources.limits.memory: lots is no quantity: write for example 100m or 128Mi",
            ),
            (
                image(json!({"endpoints": [{"name": "a", "port": 8080}, {"name": "a", "port": 8081}]})),
                "spec.endpoints: the name a is there twice: rename one",
            ),
            (
                image(json!({"endpoints": [{"name": "a", "port": 8080}, {"name": "b", "port": 8080}]})),
                "spec.endpoints: the port 8080 is there twice: an endpoint needs a port of its own",
            ),
            (
                image(json!({"endpoints": [{"name": "a", "port": 8080}, {"name": "http", "port": 8081}]})),
                "spec.endpoints: only the first may be named http, as Service port 80 is: move it to the front or rename it",
            ),
            (
                image(json!({"endpoints": [{"name": "a--b", "port": 8080}]})),
                "spec.endpoints: the name a--b has two hyphens in a row: rename it",
            ),
            (
                image(
                    json!({"endpoints": [{"name": "a", "port": 8080, "healthPath": "/"}, {"name": "b", "port": 8081}, {"name": "c", "port": 8082, "healthPath": "/"}]}),
                ),
                "spec.endpoints: a and c both have a healthPath, but a pod has one readiness probe: keep one",
            ),
        ];
        for (spec, message) in cases {
            assert_eq!(refusal(&fetched(spec)), format!("InvalidSpec {message}"));
        }
    }

    #[test]
    fn amounts_that_are_equal_in_other_units_are_fine() {
        let amounts = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1024Mi"}});
        assert!(validate(&fetched(image(json!({"resources": amounts})))).is_ok());
    }

    #[test]
    fn a_namespace_without_tenant_is_refused() {
        let mut fetched = fetched(image(json!({})));
        fetched.tenant = None;
        let message =
            "Namespace tenant-acme belongs to no tenant: create the microservice in a tenant's namespace";
        assert_eq!(refusal(&fetched), format!("NotATenantNamespace {message}"));
    }

    #[test]
    fn a_suspended_tenant_has_no_pods() {
        let mut fetched = fetched(image(json!({"replicas": 3})));
        assert_eq!(validate(&fetched).unwrap().replicas, 3);
        fetched.tenant = Some(fixtures::tenant(TenantState::Suspended));
        let validated = validate(&fetched).unwrap();
        assert_eq!((validated.suspended, validated.replicas), (true, 0));
    }

    /// What the databases of the microservice say, and whether pods may be made.
    fn databases(change: impl Fn(&mut Fetched)) -> (Option<Summary>, bool) {
        let mut fetched = fetched(image(json!({"databases": [{"name": "app"}]})));
        change(&mut fetched);
        let databases = validate(&fetched).unwrap().databases;
        (databases.waiting, databases.usable)
    }

    fn progressing(reason: &'static str, message: &str) -> Summary {
        Summary::Progressing { reason, message: message.into() }
    }

    #[test]
    fn pods_wait_for_each_database() {
        assert_eq!(databases(|_| ()), (None, true));
        let absent = "spec.databases: TenantDatabase app does not exist: create it or remove it here";
        let named = |change: &dyn Fn(&mut Named)| databases(|fetched| change(&mut fetched.databases[0]));
        let claimless = |named: &mut Named| {
            *named = Named { binding: named.binding.clone(), ..Named::default() };
        };
        assert_eq!(named(&claimless), (Some(progressing("DatabaseNotFound", absent)), false));
        assert_eq!(
            named(&|named| named.claim.as_mut().unwrap().status = None),
            (Some(progressing("Progressing", "waiting for TenantDatabase app")), false)
        );
        assert_eq!(
            named(&|named| named.claim.as_mut().unwrap().metadata.generation = Some(3)),
            (Some(progressing("Progressing", "waiting for TenantDatabase app")), false)
        );
        let refused = Summary::Progressing { reason: "ServerUnreachable", message: "main is down".into() };
        assert_eq!(
            named(&|named| say(named, &refused)),
            (Some(progressing("DatabaseNotReady", "TenantDatabase app: main is down")), false)
        );
        let observed = named(&|named| {
            let status = named.claim.as_mut().unwrap().status.as_mut().unwrap();
            let ready = status.conditions.iter_mut().find(|it| it.type_ == READY).unwrap();
            (ready.reason, ready.message) = ("Observed".into(), "there are no logins".into());
            named.secret = None;
        });
        assert_eq!(
            observed,
            (Some(progressing("DatabaseNotReady", "TenantDatabase app: there are no logins")), false)
        );
        let unbound =
            (Some(progressing("Progressing", "waiting for the binding of TenantDatabase app")), false);
        assert_eq!(named(&|named| named.secret = None), unbound);
        assert_eq!(named(&|named| named.server = None), unbound);
        assert_eq!(
            named(&|named| named.claim.as_mut().unwrap().metadata.name = Some("another".into())),
            unbound
        );
    }

    #[test]
    fn pods_that_run_are_looked_after_while_a_database_has_trouble() {
        let refused = Summary::Progressing { reason: "ServerUnreachable", message: "main is down".into() };
        let trouble = databases(|fetched| {
            fetched.deployment = Some(fixtures::deployment());
            say(&mut fetched.databases[0], &refused);
        });
        assert_eq!(
            trouble,
            (Some(progressing("DatabaseNotReady", "TenantDatabase app: main is down")), true)
        );
        let unmountable = databases(|fetched| {
            fetched.deployment = Some(fixtures::deployment());
            fetched.databases[0].secret = None;
        });
        assert!(!unmountable.1);
    }

    #[test]
    fn trouble_is_said_before_what_only_takes_its_time() {
        let mut fetched = fetched(image(json!({"databases": [{"name": "a"}, {"name": "b"}, {"name": "c"}]})));
        fetched.databases[0].secret = None;
        say(&mut fetched.databases[1], &Summary::Stalled { reason: "ClaimConflict", message: "two".into() });
        fetched.databases[2].secret = None;
        let waiting = validate(&fetched).unwrap().databases.waiting;
        assert_eq!(waiting, Some(progressing("DatabaseNotReady", "TenantDatabase b: two")));
    }

    #[test]
    fn an_unknown_credential_is_named() {
        let mut fetched = fetched(image(json!({"databases": [{"name": "app", "credential": "report"}]})));
        fetched.databases[0].binding.credential = Some("report".into());
        fetched.databases[0].credential = None;
        let message =
            "spec.databases: TenantDatabase app has no credential report: name one of its spec.credentials";
        assert_eq!(refusal(&fetched), format!("InvalidSpec {message}"));
    }
}
