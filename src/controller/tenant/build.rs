//! Step 3: everything that a tenant consists of. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec,
};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::validate::Validated;
use crate::api::microservice::MicroserviceSpec;
use crate::api::plan::PlanQuota;
use crate::api::tenant::{Owner, OwnerKind};
use crate::api::{Microservice, TenantDatabase, labels};
use crate::controller::apply::{ApplyError, Declared, Gate};
use crate::controller::object::{Key, Kind};

/// ClusterRole that owners are bound to.
pub const OWNER_ROLE: &str = "tenantry-tenant-owner";
/// Name of the objects of which a namespace has one.
const SINGLE: &str = "tenantry";

/// What a container may use when it says nothing. The quota counts every pod, so every pod needs figures.
const DEFAULT_LIMITS: [(&str, &str); 2] = [("cpu", "500m"), ("memory", "256Mi")];
/// What a container is sure to get when it says nothing.
const DEFAULT_REQUESTS: [(&str, &str); 2] = [("cpu", "20m"), ("memory", "64Mi")];

/// Everything that a tenant consists of, in the order in which it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// The namespace.
    pub namespace: Declared,
    /// What is in it: limits and policies first, so that nothing ever runs without them.
    pub contents: Vec<Declared>,
}

/// Builds it.
pub fn build(tenant: &Validated) -> Result<Built, ApplyError> {
    let declare = Declare { tenant };
    let mut contents = Vec::new();
    if let Some(quota) = tenant.plan.quota.as_ref().and_then(|quota| resource_quota(tenant, quota)) {
        contents.push(declare.one(Kind::ResourceQuota, &quota)?);
    }
    contents.push(declare.one(Kind::LimitRange, &limit_range(tenant))?);
    contents.push(declare.one(Kind::NetworkPolicy, &default_deny(tenant))?);
    contents.push(declare.one(Kind::NetworkPolicy, &allow_dns(tenant))?);
    if !tenant.owners.is_empty() {
        contents.push(declare.one(Kind::RoleBinding, &role_binding(tenant))?);
    }
    for database in &tenant.databases {
        let mut claim = TenantDatabase::new(&database.name, database.claim());
        claim.metadata = meta(tenant, &database.name);
        contents.push(declare.one(Kind::TenantDatabase, &claim)?);
    }
    for service in &tenant.services {
        contents.push(declare.one(Kind::Microservice, &microservice(tenant, &service.name, &service.spec))?);
    }
    // Whoever may bind roles in a namespace reads its Secrets: one that somebody has prepared is not the tenant's.
    let namespace = declare.one(Kind::Namespace, &namespace(tenant))?.made_since(tenant.created.as_ref());
    Ok(Built { namespace, contents })
}

/// What belongs to the tenant and is no longer declared.
pub fn obsolete(tenant: &Validated, built: &Built, gate: &Gate) -> Vec<(Kind, Key, String)> {
    let prunable = [
        Kind::ResourceQuota,
        Kind::NetworkPolicy,
        Kind::RoleBinding,
        Kind::Microservice,
        Kind::TenantDatabase,
    ];
    let declared = |kind: Kind, key: &Key| built.contents.iter().any(|d| d.kind == kind && d.key == *key);
    prunable
        .into_iter()
        .flat_map(|kind| {
            gate.children_in(kind, &tenant.namespace).into_iter().map(move |(key, child)| (kind, key, child))
        })
        .filter(|(kind, key, child)| {
            let owner = child.owner_uid.as_deref();
            let own = owner.is_some_and(|uid| uid == tenant.uid || tenant.former.iter().any(|it| it == uid));
            own && !child.deleting && !declared(*kind, key)
        })
        .map(|(kind, key, child)| (kind, key, child.uid.to_string()))
        .collect()
}

struct Declare<'a> {
    tenant: &'a Validated,
}

impl Declare<'_> {
    fn one<T: serde::Serialize>(&self, kind: Kind, object: &T) -> Result<Declared, ApplyError> {
        Ok(Declared::new(kind, &self.tenant.uid, object)?.taking_from(&self.tenant.former))
    }
}

fn tenant_labels(tenant: &Validated) -> BTreeMap<String, String> {
    [
        (labels::MANAGED_BY, labels::MANAGER),
        (labels::PART_OF, labels::MANAGER),
        (labels::TENANT, &tenant.name),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

fn meta(tenant: &Validated, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(tenant.namespace.clone()),
        labels: Some(tenant_labels(tenant)),
        ..ObjectMeta::default()
    }
}

fn namespace(tenant: &Validated) -> Namespace {
    let mut all = tenant_labels(tenant);
    for mode in ["enforce", "warn"] {
        all.insert(format!("pod-security.kubernetes.io/{mode}"), "restricted".into());
    }
    if tenant.protected {
        all.insert(labels::PROTECTED.into(), "true".into());
    }
    all.extend(
        tenant.managed_servers.iter().map(|it| (format!("{}{it}", labels::ON_SERVER), "true".to_owned())),
    );
    let name = Some(tenant.namespace.clone());
    let former = (labels::FORMER_TENANTS.to_owned(), tenant.former.join(","));
    let annotations = (!tenant.former.is_empty()).then(|| [former].into());
    Namespace {
        metadata: ObjectMeta { name, labels: Some(all), annotations, ..ObjectMeta::default() },
        ..Namespace::default()
    }
}

/// `None` if nothing of it is for Kubernetes to count.
fn resource_quota(tenant: &Validated, quota: &PlanQuota) -> Option<ResourceQuota> {
    let PlanQuota { cpu, memory, pods, databases } = quota;
    let mut hard = BTreeMap::new();
    for (name, value) in [("cpu", cpu), ("memory", memory)] {
        if let Some(value) = value {
            hard.insert(format!("limits.{name}"), Quantity(value.clone()));
            hard.insert(format!("requests.{name}"), Quantity(value.clone()));
        }
    }
    if let Some(pods) = pods {
        hard.insert("pods".into(), Quantity(pods.to_string()));
    }
    let is_for_us_alone = hard.is_empty() && databases.is_some();
    (!is_for_us_alone).then(|| ResourceQuota {
        metadata: meta(tenant, SINGLE),
        spec: Some(ResourceQuotaSpec { hard: Some(hard), ..ResourceQuotaSpec::default() }),
        ..ResourceQuota::default()
    })
}

fn limit_range(tenant: &Validated) -> LimitRange {
    let amounts = |pairs: [(&str, &str); 2]| {
        Some(pairs.into_iter().map(|(name, value)| (name.to_owned(), Quantity(value.to_owned()))).collect())
    };
    let item = LimitRangeItem {
        type_: "Container".into(),
        default: amounts(DEFAULT_LIMITS),
        default_request: amounts(DEFAULT_REQUESTS),
        ..LimitRangeItem::default()
    };
    LimitRange { metadata: meta(tenant, SINGLE), spec: Some(LimitRangeSpec { limits: vec![item] }) }
}

fn default_deny(tenant: &Validated) -> NetworkPolicy {
    let spec = NetworkPolicySpec {
        pod_selector: Some(LabelSelector::default()),
        policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
        ..NetworkPolicySpec::default()
    };
    NetworkPolicy { metadata: meta(tenant, "default-deny"), spec: Some(spec) }
}

fn allow_dns(tenant: &Validated) -> NetworkPolicy {
    let port = |protocol: &str| NetworkPolicyPort {
        port: Some(IntOrString::Int(53)),
        protocol: Some(protocol.into()),
        ..NetworkPolicyPort::default()
    };
    let kube_system = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), "kube-system".to_owned())]);
    let peer = NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some(kube_system),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    };
    let egress =
        NetworkPolicyEgressRule { ports: Some(vec![port("UDP"), port("TCP")]), to: Some(vec![peer]) };
    let spec = NetworkPolicySpec {
        pod_selector: Some(LabelSelector::default()),
        policy_types: Some(vec!["Egress".into()]),
        egress: Some(vec![egress]),
        ..NetworkPolicySpec::default()
    };
    NetworkPolicy { metadata: meta(tenant, "allow-dns"), spec: Some(spec) }
}

fn role_binding(tenant: &Validated) -> RoleBinding {
    RoleBinding {
        metadata: meta(tenant, "tenantry-owners"),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".into(),
            kind: "ClusterRole".into(),
            name: OWNER_ROLE.into(),
        },
        subjects: Some(tenant.owners.iter().map(subject).collect()),
    }
}

fn subject(owner: &Owner) -> Subject {
    let (kind, group) = match owner.kind {
        OwnerKind::User => ("User", Some("rbac.authorization.k8s.io".to_owned())),
        OwnerKind::Group => ("Group", Some("rbac.authorization.k8s.io".to_owned())),
        OwnerKind::ServiceAccount => ("ServiceAccount", None),
    };
    Subject {
        api_group: group,
        kind: kind.into(),
        name: owner.name.clone(),
        namespace: owner.namespace.clone(),
    }
}

fn microservice(tenant: &Validated, name: &str, spec: &MicroserviceSpec) -> Microservice {
    let mut microservice = Microservice::new(name, spec.clone());
    microservice.metadata = meta(tenant, name);
    microservice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::blueprint::{BlueprintDatabase, BlueprintService};
    use crate::api::microservice::Builtin;
    use crate::api::names::TenantId;
    use crate::api::plan::PlanSpec;
    use crate::api::tenant_database::{Credential, Extension};
    use serde_json::{Value, json};

    fn tenant() -> Validated {
        Validated {
            name: "acme".into(),
            uid: "uid-1".into(),
            created: None,
            id: TenantId::of_uid("uid-1"),
            namespace: "tenant-acme".into(),
            plan: PlanSpec {
                quota: Some(PlanQuota {
                    cpu: Some("2".into()),
                    memory: Some("2Gi".into()),
                    pods: Some(10),
                    databases: Some(2),
                }),
                ..PlanSpec::default()
            },
            databases: vec![BlueprintDatabase {
                name: "app".into(),
                extensions: Some(vec![Extension { name: "citext".into() }]),
                credentials: Some(vec![Credential { name: "job".into(), ..Credential::default() }]),
            }],
            services: vec![BlueprintService {
                name: "user".into(),
                spec: MicroserviceSpec { builtin: Some(Builtin::User), ..MicroserviceSpec::default() },
            }],
            former: vec![],
            managed_servers: ["main".to_owned()].into(),
            owners: vec![Owner { kind: OwnerKind::User, name: "alice".into(), namespace: None }],
            suspended: false,
            protected: false,
        }
    }

    /// The declaration without its hash, which says nothing to a reader.
    fn shown(declared: &Declared) -> Value {
        let mut body = declared.body().clone();
        body["metadata"]["annotations"].as_object_mut().unwrap().remove("tenantry.dev/applied-hash").unwrap();
        body
    }

    fn metadata(name: &str) -> Value {
        json!({
            "name": name,
            "namespace": "tenant-acme",
            "labels": {
                "app.kubernetes.io/managed-by": "tenantry",
                "app.kubernetes.io/part-of": "tenantry",
                "tenantry.dev/tenant": "acme",
            },
            "annotations": {"tenantry.dev/owner-uid": "uid-1"},
        })
    }

    #[test]
    fn a_tenant_is_these_objects_in_this_order() {
        let built = build(&tenant()).unwrap();
        assert_eq!(
            shown(&built.namespace),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
                "name": "tenant-acme",
                "labels": {
                    "app.kubernetes.io/managed-by": "tenantry",
                    "app.kubernetes.io/part-of": "tenantry",
                    "on-server.tenantry.dev/main": "true",
                    "pod-security.kubernetes.io/enforce": "restricted",
                    "pod-security.kubernetes.io/warn": "restricted",
                    "tenantry.dev/tenant": "acme",
                },
                "annotations": {"tenantry.dev/owner-uid": "uid-1"},
            }})
        );
        let contents: Vec<Value> = built.contents.iter().map(shown).collect();
        assert_eq!(
            contents,
            [
                json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata("tenantry"), "spec": {"hard": {
                    "limits.cpu": "2", "requests.cpu": "2", "limits.memory": "2Gi", "requests.memory": "2Gi", "pods": "10"}}}),
                json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata("tenantry"), "spec": {"limits": [{
                    "type": "Container",
                    "default": {"cpu": "500m", "memory": "256Mi"},
                    "defaultRequest": {"cpu": "20m", "memory": "64Mi"}}]}}),
                json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata("default-deny"),
                    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}),
                json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata("allow-dns"),
                    "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{
                        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
                        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]}]}}),
                json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata("tenantry-owners"),
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tenantry-tenant-owner"},
                    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]}),
                json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "TenantDatabase", "metadata": metadata("app"),
                    "spec": {"credentials": [{"name": "job"}], "extensions": [{"name": "citext"}]}}),
                json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Microservice", "metadata": metadata("user"), "spec": {"builtin": "user"}}),
            ]
        );
    }

    #[test]
    fn the_namespace_of_a_protected_tenant_says_so() {
        let label = |protected| {
            let built = build(&Validated { protected, ..tenant() }).unwrap();
            shown(&built.namespace)["metadata"]["labels"].get(labels::PROTECTED).cloned()
        };
        assert_eq!((label(true), label(false)), (Some(json!("true")), None));
    }

    #[test]
    fn without_quota_and_owners_neither_object_is_declared() {
        let plain = Validated { plan: PlanSpec::default(), owners: vec![], ..tenant() };
        let kinds: Vec<Kind> = build(&plain).unwrap().contents.iter().map(|declared| declared.kind).collect();
        assert!(!kinds.contains(&Kind::ResourceQuota) && !kinds.contains(&Kind::RoleBinding), "{kinds:?}");
    }
}
