//! The pods of a microservice, under the `restricted` Pod Security profile. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, HTTPGetAction, Lifecycle,
    LifecycleHandler, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    SeccompProfile, SecretVolumeSource, SecurityContext, SleepAction, TCPSocketAction,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::build;
use super::validate::{BINDING_ROOT, Bound, Program, Validated};
use crate::api::labels;
use crate::api::microservice::{POOL_MAX, POOL_MIN, ResourceAmounts};

/// Where bindings are mounted, each in a directory of its name.
const BINDINGS: &str = "/bindings";
/// Name and number of the port for probes and scrapes of our own roles.
const ADMIN: (&str, i32) = ("admin", 9090);
/// Group that may read the mounted Secrets, whatever user an image runs as.
const SECRETS_GROUP: i64 = 65_532;
/// What a pod may write to /tmp.
const TMP_SIZE: &str = "256Mi";
/// How long a pod still serves after it left its Service: the news has to reach every node and the gateway.
const LEAVE_SECONDS: i64 = 3;
/// From leaving to being killed.
const GRACE_SECONDS: i64 = 30;

/// The pods' template.
pub fn template(microservice: &Validated, bound: &[Bound]) -> PodTemplateSpec {
    // New credentials change the hash, and with it the template: the pods roll.
    let hashes = bound.iter().map(|one| (format!("{}-{}", labels::BINDING_HASH, one.name), one.hash.clone()));
    let hashes: BTreeMap<String, String> = hashes.collect();
    let metadata = ObjectMeta {
        labels: Some(build::all_labels(microservice)),
        annotations: (!hashes.is_empty()).then_some(hashes),
        ..ObjectMeta::default()
    };
    let spread = TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".into(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(build::selector(microservice)),
        ..TopologySpreadConstraint::default()
    };
    let spec = PodSpec {
        service_account_name: Some(microservice.name.clone()),
        automount_service_account_token: Some(false),
        // Variables about other Services are noise at best and collide with the service's own at worst.
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            fs_group: Some(SECRETS_GROUP),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        topology_spread_constraints: Some(vec![spread]),
        init_containers: Some(vec![]),
        containers: vec![container(microservice, bound)],
        volumes: Some(volumes(bound)),
        ..PodSpec::default()
    };
    PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
}

fn container(microservice: &Validated, bound: &[Bound]) -> Container {
    let endpoints = microservice.endpoints.iter().map(|endpoint| port(&endpoint.name, endpoint.port));
    let mut container = Container {
        name: microservice.name.clone(),
        // Declared though empty, as the init containers are: nobody else decides what runs.
        command: Some(vec![]),
        args: Some(vec![]),
        env_from: Some(vec![]),
        env: Some(environment(microservice, bound)),
        ports: Some(endpoints.collect()),
        resources: resources(microservice),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: LEAVE_SECONDS }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        volume_mounts: Some(mounts(bound)),
        ..Container::default()
    };
    match &microservice.program {
        Program::Builtin { role, image } => {
            container.image = Some(image.clone());
            container.image_pull_policy = Some("IfNotPresent".into());
            container.args = Some(vec!["run".into(), role.role().into()]);
            container.ports.iter_mut().for_each(|ports| ports.push(port(ADMIN.0, ADMIN.1)));
            container.readiness_probe = Some(Probe { period_seconds: Some(2), ..get("/readyz", ADMIN.0) });
            // A minute of silence: what only a restart can help is rare, and a restart loses what is under way.
            container.liveness_probe = Some(Probe {
                period_seconds: Some(10),
                failure_threshold: Some(6),
                ..get("/healthz", ADMIN.0)
            });
        }
        Program::Image(image) => {
            container.image = Some(image.clone());
            container.readiness_probe = readiness(microservice);
        }
    }
    container
}

/// Of somebody's image we know when it can serve, not when only a restart helps: so no liveness probe.
fn readiness(microservice: &Validated) -> Option<Probe> {
    let checked =
        microservice.endpoints.iter().find_map(|endpoint| Some((endpoint, endpoint.health_path.as_ref()?)));
    let probe = match checked {
        Some((endpoint, path)) => get(path, &endpoint.name),
        None => Probe {
            tcp_socket: Some(TCPSocketAction {
                port: IntOrString::String(microservice.endpoints.first()?.name.clone()),
                host: None,
            }),
            timeout_seconds: Some(2),
            ..Probe::default()
        },
    };
    Some(Probe { period_seconds: Some(5), ..probe })
}

fn get(path: &str, port: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(port.to_owned()),
            ..HTTPGetAction::default()
        }),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}

fn environment(microservice: &Validated, bound: &[Bound]) -> Vec<EnvVar> {
    let variable = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..EnvVar::default()
    };
    let root = (!bound.is_empty()).then(|| variable(BINDING_ROOT, BINDINGS));
    let pool = pool(microservice, bound);
    let lowered = |name: &str| pool.iter().any(|(bound, _)| *bound == name);
    let own = microservice.env.iter().filter(|asked| !lowered(&asked.name));
    let own = own.map(|asked| variable(&asked.name, &asked.value));
    root.into_iter().chain(own).chain(pool.iter().map(|(name, most)| variable(name, most))).collect()
}

/// The bounds of a builtin service's pool that would be above the pod's share of what its database admits, lowered to it:
/// a pool that asks for more than there is lets requests wait for nothing. During an update there is one more pod than
/// asked for, which starts with what the others leave.
fn pool(microservice: &Validated, bound: &[Bound]) -> Vec<(&'static str, String)> {
    let limit = bound.iter().filter_map(|database| database.connection_limit).min();
    let (Program::Builtin { .. }, Some(limit)) = (&microservice.program, limit) else { return Vec::new() };
    let pods = u32::try_from(microservice.active_replicas).unwrap_or(1).max(1);
    let share = (limit / pods).max(1);
    let asked = |name: &str| microservice.env.iter().find(|asked| asked.name == name);
    [POOL_MIN, POOL_MAX]
        .into_iter()
        .filter(|(name, unless_asked)| match asked(name) {
            // What is no number is the service's to refuse.
            Some(asked) => asked.value.parse().is_ok_and(|asked: u32| asked > share),
            None => *unless_asked > share,
        })
        .map(|(name, _)| (name, share.to_string()))
        .collect()
}

fn resources(microservice: &Validated) -> Option<ResourceRequirements> {
    let amounts = |amounts: Option<&ResourceAmounts>| {
        let amounts = amounts?;
        let pairs = [("cpu", &amounts.cpu), ("memory", &amounts.memory)];
        let pairs =
            pairs.into_iter().filter_map(|(name, amount)| Some((name.to_owned(), Quantity(amount.clone()?))));
        Some(pairs.collect::<BTreeMap<_, _>>()).filter(|amounts| !amounts.is_empty())
    };
    let (requests, limits) = (&microservice.resources.requests, &microservice.resources.limits);
    let (requests, limits) = (amounts(requests.as_ref()), amounts(limits.as_ref()));
    (requests.is_some() || limits.is_some()).then(|| ResourceRequirements {
        requests,
        limits,
        ..ResourceRequirements::default()
    })
}

fn mounts(bound: &[Bound]) -> Vec<VolumeMount> {
    let tmp = VolumeMount { name: "tmp".into(), mount_path: "/tmp".into(), ..VolumeMount::default() };
    let bindings = bound.iter().map(|database| VolumeMount {
        name: volume_name(database),
        mount_path: format!("{BINDINGS}/{}", database.name),
        read_only: Some(true),
        ..VolumeMount::default()
    });
    std::iter::once(tmp).chain(bindings).collect()
}

fn volumes(bound: &[Bound]) -> Vec<Volume> {
    let tmp = Volume {
        name: "tmp".into(),
        empty_dir: Some(EmptyDirVolumeSource { size_limit: Some(Quantity(TMP_SIZE.into())), medium: None }),
        ..Volume::default()
    };
    let bindings = bound.iter().map(|database| Volume {
        name: volume_name(database),
        secret: Some(SecretVolumeSource {
            secret_name: Some(database.secret.clone()),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    });
    std::iter::once(tmp).chain(bindings).collect()
}

fn volume_name(database: &Bound) -> String {
    format!("binding-{}", database.name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixtures::fetched;
    use super::super::validate::validate;
    use super::*;
    use crate::api::tenant::TenantState;

    /// The bounds of the pool in the pods of a microservice whose plan admits `limit` connections.
    fn pool(asked: &Value, limit: Option<i32>, suspended: bool) -> Vec<(String, String)> {
        let mut fetched = fetched(asked.clone());
        let limits = json!({"limits": {"connections": limit}});
        fetched.plan.as_mut().unwrap().spec = serde_json::from_value(limits).unwrap();
        if suspended {
            fetched.tenant = Some(super::super::fixtures::tenant(TenantState::Suspended));
        }
        let validated = validate(&fetched).unwrap();
        let bound = validated.databases.bound.clone().unwrap();
        let pod = template(&validated, &bound).spec.unwrap();
        let variables = pod.containers[0].env.iter().flatten().filter(|it| it.name.contains("POOL"));
        variables.map(|it| (it.name.clone(), it.value.clone().unwrap())).collect()
    }

    fn max(value: &str) -> Vec<(String, String)> {
        vec![("TENANTRY_POOL_MAX".to_owned(), value.to_owned())]
    }

    #[test]
    fn pools_share_what_the_database_admits_and_are_left_alone_where_they_fit() {
        let user =
            |replicas: i32| json!({"builtin": "user", "replicas": replicas, "databases": [{"name": "app"}]});
        assert_eq!(pool(&user(1), None, false), []);
        assert_eq!(pool(&user(1), Some(10), false), []);
        assert_eq!(pool(&user(1), Some(9), false), max("9"));
        assert_eq!(pool(&user(3), Some(10), false), max("3"));
        assert_eq!(pool(&user(3), Some(2), false), max("1"));
        // The template of a suspended service is that of the active one: resuming changes nothing else.
        assert_eq!(pool(&user(3), Some(10), true), max("3"));
        let image = json!({"image": "shop:1", "replicas": 3, "databases": [{"name": "app"}]});
        assert_eq!(pool(&image, Some(2), false), [], "of somebody else's program we know no pool");
    }

    #[test]
    fn what_is_asked_for_counts_as_far_as_it_fits() {
        let user = |min: &str, max: &str| {
            let variable = |name: &str, value: &str| json!({"name": name, "value": value});
            let env = [variable("TENANTRY_POOL_MIN", min), variable("TENANTRY_POOL_MAX", max)];
            json!({"builtin": "user", "replicas": 2, "env": env, "databases": [{"name": "app"}]})
        };
        let both = |min: &str, max: &str| {
            ["TENANTRY_POOL_MIN", "TENANTRY_POOL_MAX"]
                .map(str::to_owned)
                .into_iter()
                .zip([min.to_owned(), max.to_owned()])
                .collect::<Vec<_>>()
        };
        assert_eq!(pool(&user("5", "50"), Some(100), false), both("5", "50"));
        assert_eq!(pool(&user("5", "50"), Some(40), false), both("5", "20"));
        assert_eq!(pool(&user("5", "50"), Some(6), false), both("3", "3"));
        assert_eq!(
            pool(&user("5", "many"), Some(6), false),
            both("3", "many").into_iter().rev().collect::<Vec<_>>()
        );
    }

    #[test]
    fn without_its_plan_a_microservice_with_databases_keeps_its_pods_as_they_are() {
        let mut user = fetched(json!({"builtin": "user", "databases": [{"name": "app"}]}));
        assert!(validate(&user).unwrap().databases.usable);
        user.plan = None;
        assert!(!validate(&user).unwrap().databases.usable);
    }
}
