//! Step 3: everything that a microservice consists of. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{Service, ServiceAccount, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Resource;

use super::pod;
use super::validate::{Bound, HTTP, Program, Server, Validated};
use crate::api::{Microservice, labels};
use crate::controller::apply::{ApplyError, Declared};
use crate::controller::object::Kind;

/// Label that Kubernetes gives every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Port of managed servers.
const POSTGRES_PORT: i32 = 5432;

/// Builds it, in the order in which it is made: what pods run under and behind first, the pods last.
///
/// What depends on databases is there only when they can be used: pods would hang on a Secret that is missing.
pub fn build(microservice: &Validated) -> Result<Vec<Declared>, ApplyError> {
    let declare = Declare { uid: &microservice.uid };
    let mut declared = vec![
        declare.one(Kind::ServiceAccount, &service_account(microservice))?,
        declare.one(Kind::Service, &service(microservice))?,
        declare.one(Kind::PodDisruptionBudget, &disruption_budget(microservice))?,
    ];
    if let Some(bound) = microservice.databases.bound.as_ref().filter(|_| microservice.databases.usable) {
        declared.push(declare.one(Kind::NetworkPolicy, &network_policy(microservice, bound))?);
        declared.push(declare.one(Kind::Deployment, &deployment(microservice, bound))?);
    }
    Ok(declared)
}

struct Declare<'a> {
    uid: &'a str,
}

impl Declare<'_> {
    fn one<T: serde::Serialize>(&self, kind: Kind, object: &T) -> Result<Declared, ApplyError> {
        Declared::new(kind, self.uid, object)
    }
}

/// Labels of every child and of the pods.
pub fn all_labels(microservice: &Validated) -> BTreeMap<String, String> {
    let name = match &microservice.program {
        Program::Builtin { role, .. } => role.role(),
        Program::Image(_) => &microservice.name,
    };
    let version = microservice.version.iter().map(|version| (labels::APP_VERSION, version.as_str()));
    [
        (labels::NAME, name),
        (labels::INSTANCE, &microservice.name),
        (labels::COMPONENT, "microservice"),
        (labels::PART_OF, labels::MANAGER),
        (labels::MANAGED_BY, labels::MANAGER),
        (labels::TENANT, &microservice.tenant),
        (labels::MICROSERVICE, &microservice.name),
    ]
    .into_iter()
    .chain(version)
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// Label selector of the pods, as text: the scale subresource shows it.
pub fn selector_text(microservice: &str) -> String {
    format!("{}={microservice}", labels::MICROSERVICE)
}

/// Selector of the pods. A Deployment's can never be changed, so it has nothing that may.
pub fn selector(microservice: &Validated) -> LabelSelector {
    matching(labels::MICROSERVICE, &microservice.name)
}

fn matching(label: &str, value: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(BTreeMap::from([(label.to_owned(), value.to_owned())])),
        ..LabelSelector::default()
    }
}

fn meta(microservice: &Validated) -> ObjectMeta {
    let owner = OwnerReference {
        api_version: Microservice::api_version(&()).into(),
        kind: Microservice::kind(&()).into(),
        name: microservice.name.clone(),
        uid: microservice.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    ObjectMeta {
        name: Some(microservice.name.clone()),
        namespace: Some(microservice.namespace.clone()),
        labels: Some(all_labels(microservice)),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    }
}

/// The pods' identity. It may do nothing, and no token of it is mounted.
fn service_account(microservice: &Validated) -> ServiceAccount {
    ServiceAccount {
        metadata: meta(microservice),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// Port 80 is the first endpoint; the others keep their own. The admin port is nobody's business but the node's.
fn service(microservice: &Validated) -> Service {
    let ports = microservice.endpoints.iter().enumerate().map(|(index, endpoint)| {
        let (name, port) = if index == 0 { (HTTP, 80) } else { (&*endpoint.name, endpoint.port) };
        ServicePort {
            name: Some(name.to_owned()),
            port,
            protocol: Some("TCP".into()),
            target_port: Some(IntOrString::String(endpoint.name.clone())),
            ..ServicePort::default()
        }
    });
    let spec = ServiceSpec {
        type_: Some("ClusterIP".into()),
        selector: selector(microservice).match_labels,
        ports: Some(ports.collect()),
        ..ServiceSpec::default()
    };
    Service { metadata: meta(microservice), spec: Some(spec), ..Service::default() }
}

/// One pod at a time: with `minAvailable` a node could never be drained of a service that has one pod.
fn disruption_budget(microservice: &Validated) -> PodDisruptionBudget {
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(1)),
        selector: Some(selector(microservice)),
        ..PodDisruptionBudgetSpec::default()
    };
    PodDisruptionBudget { metadata: meta(microservice), spec: Some(spec), ..PodDisruptionBudget::default() }
}

/// In: its endpoints, from the tenant's pods and from the platform. Out: the tenant's pods and its databases' servers.
fn network_policy(microservice: &Validated, bound: &[Bound]) -> NetworkPolicy {
    let tenants_pods =
        || NetworkPolicyPeer { pod_selector: Some(LabelSelector::default()), ..NetworkPolicyPeer::default() };
    let platform = NetworkPolicyPeer {
        namespace_selector: Some(matching(NAMESPACE_NAME, labels::SYSTEM_NAMESPACE)),
        ..NetworkPolicyPeer::default()
    };
    let ingress = NetworkPolicyIngressRule {
        from: Some(vec![tenants_pods(), platform]),
        ports: Some(microservice.endpoints.iter().map(|endpoint| tcp(endpoint.port)).collect()),
    };
    let servers: BTreeSet<&Server> = bound.iter().map(|database| &database.server).collect();
    let to_pods = NetworkPolicyEgressRule { to: Some(vec![tenants_pods()]), ports: None };
    let egress = std::iter::once(to_pods).chain(servers.into_iter().map(to_server)).collect();
    let spec = NetworkPolicySpec {
        pod_selector: Some(selector(microservice)),
        policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
        ingress: Some(vec![ingress]),
        egress: Some(egress),
    };
    NetworkPolicy { metadata: meta(microservice), spec: Some(spec) }
}

fn tcp(port: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some("TCP".into()),
        ..NetworkPolicyPort::default()
    }
}

/// The addresses of an external server are not known here and may change, so only its port is.
fn to_server(server: &Server) -> NetworkPolicyEgressRule {
    match server {
        Server::Managed(name) => {
            let peer = NetworkPolicyPeer {
                namespace_selector: Some(matching(NAMESPACE_NAME, labels::SERVERS_NAMESPACE)),
                pod_selector: Some(matching(labels::DATABASE_SERVER, name)),
                ..NetworkPolicyPeer::default()
            };
            NetworkPolicyEgressRule { to: Some(vec![peer]), ports: Some(vec![tcp(POSTGRES_PORT)]) }
        }
        Server::External(port) => NetworkPolicyEgressRule { to: None, ports: Some(vec![tcp(*port)]) },
    }
}

/// An update starts one new pod before it ends an old one, so nothing is lost on the way. The tenant's quota needs
/// room for that pod: without it the update waits (QuotaExceeded) and the old pods go on.
fn deployment(microservice: &Validated, bound: &[Bound]) -> Deployment {
    let rolling = RollingUpdateDeployment {
        max_surge: Some(IntOrString::Int(1)),
        max_unavailable: Some(IntOrString::Int(0)),
    };
    let strategy = DeploymentStrategy { type_: Some("RollingUpdate".into()), rolling_update: Some(rolling) };
    let spec = DeploymentSpec {
        replicas: Some(microservice.replicas),
        revision_history_limit: Some(3),
        selector: selector(microservice),
        strategy: Some(strategy),
        template: pod::template(microservice, bound),
        ..DeploymentSpec::default()
    };
    Deployment { metadata: meta(microservice), spec: Some(spec), status: None }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixtures::{self, fetched};
    use super::super::validate::validate;
    use super::*;
    use crate::api::tenant::TenantState;

    /// What is declared, by kind in order, and each declaration without its hash, which says nothing to a reader.
    fn built(fetched: &super::super::fetch::Fetched) -> Vec<Value> {
        let declared = build(&validate(fetched).unwrap()).unwrap();
        let shown = |declared: &Declared| {
            let mut body = declared.body().clone();
            body["metadata"]["annotations"]
                .as_object_mut()
                .unwrap()
                .remove("tenantry.dev/applied-hash")
                .unwrap();
            body
        };
        declared.iter().map(shown).collect()
    }

    fn golden(yaml: &str) -> Vec<Value> {
        serde_saphyr::from_multiple(yaml).unwrap()
    }

    #[test]
    fn a_builtin_service_is_these_objects_in_this_order() {
        let user = fetched(json!({"builtin": "user", "databases": [{"name": "app"}]}));
        pretty_assert(&built(&user), &golden(include_str!("golden/builtin.yaml")));
    }

    #[test]
    fn somebodys_image_with_all_that_a_spec_can_say_is_these_objects() {
        let mut shop = fetched(json!({
            "image": "registry.test/shop", "version": "2.1.0", "replicas": 3,
            "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "128Mi"}},
            "env": [{"name": "MODE", "value": "fast"}],
            "databases": [{"name": "app"}, {"name": "logs", "credential": "app"}],
            "endpoints": [{"name": "web", "port": 3000}, {"name": "grpc", "port": 3001, "healthPath": "/ok"}],
        }));
        let server = json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "far"},
            "spec": {"external": {"host": "db.test", "port": 6432, "adminSecretName": "far"}}});
        shop.databases[1].server = serde_json::from_value(server).unwrap();
        pretty_assert(&built(&shop), &golden(include_str!("golden/image.yaml")));
    }

    /// Whole-value comparison that shows the object that differs.
    fn pretty_assert(built: &[Value], golden: &[Value]) {
        for (built, golden) in built.iter().zip(golden) {
            assert_eq!(built, golden, "{}", serde_json::to_string_pretty(built).unwrap());
        }
        assert_eq!(built.len(), golden.len());
    }

    fn kinds(fetched: &super::super::fetch::Fetched) -> Vec<String> {
        built(fetched).iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn without_its_databases_there_is_nothing_that_needs_them() {
        let mut user = fetched(json!({"builtin": "user", "databases": [{"name": "app"}]}));
        user.databases[0].secret = None;
        assert_eq!(kinds(&user), ["ServiceAccount", "Service", "PodDisruptionBudget"]);
    }

    fn deployment(fetched: &super::super::fetch::Fetched) -> Value {
        built(fetched).pop().unwrap()
    }

    #[test]
    fn new_credentials_change_the_pods() {
        let mut user = fetched(json!({"builtin": "user", "databases": [{"name": "app"}]}));
        let before = deployment(&user);
        let mut rotated = (**user.databases[0].secret.as_ref().unwrap()).clone();
        rotated.binding_hash = Some("new".into());
        user.databases[0].secret = Some(std::sync::Arc::new(rotated));
        let mut expected = before;
        expected["spec"]["template"]["metadata"]["annotations"]["tenantry.dev/binding-hash-app"] =
            "new".into();
        assert_eq!(deployment(&user), expected);
    }

    #[test]
    fn suspending_changes_nothing_but_the_number_of_pods() {
        let mut shop = fetched(json!({"image": "shop:1", "replicas": 3}));
        let mut expected = deployment(&shop);
        shop.tenant = Some(fixtures::tenant(TenantState::Suspended));
        expected["spec"]["replicas"] = 0.into();
        assert_eq!(deployment(&shop), expected);
    }
}
