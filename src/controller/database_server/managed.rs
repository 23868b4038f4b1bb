//! What a managed server consists of: a StatefulSet with one pod, its Service, its NetworkPolicy and three Secrets. Pure.
//!
//! The contract with the image (mounts, user, probes) is in images/README.md. None of these objects has an owner
//! reference: deleting the DatabaseServer goes through its finalizer, and volume and Secrets stay.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, ExecAction, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    SeccompProfile, Secret, SecretVolumeSource, SecurityContext, Service, ServicePort, ServiceSpec, Volume,
    VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::certificate::Pair;
use crate::api::database_server::ManagedServer;
use crate::api::labels;
use crate::postgres::scram::Password;

/// Port of every managed server.
pub const PORT: u16 = 5432;
/// Login of the operator on a managed server.
pub const SUPERUSER: &str = "postgres";
/// Annotation on the certificate's Secret: the day on which it is issued again.
pub const RENEW_ON: &str = "tenantry.dev/renew-on";
/// Label that Kubernetes puts on every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// User and group of the image.
const POSTGRES: i64 = 26;

/// What a managed server's objects belong to. Volume and Secrets outlast the DatabaseServer, so its UID is not it: made
/// again under its name, it takes back what it left.
pub fn identity(server: &str) -> String {
    format!("database-server/{server}")
}

/// Name of the Secret with the authority.
pub fn authority_secret_name(server: &str) -> String {
    format!("{server}-ca")
}

/// Name of the Secret with the server's certificate.
pub fn tls_secret_name(server: &str) -> String {
    format!("{server}-tls")
}

/// Name of the Secret with the operator's login: username, password, ca.crt.
pub fn admin_secret_name(server: &str) -> String {
    format!("{server}-admin")
}

/// Name of the volume's claim, as the StatefulSet makes it.
pub fn volume_claim_name(server: &str) -> String {
    format!("data-{server}-0")
}

/// Host that clients connect to; the certificate is valid for it.
pub fn host(server: &str) -> String {
    format!("{server}.{}.svc", labels::SERVERS_NAMESPACE)
}

/// Every name that the certificate is valid for, [`host`] first.
pub fn hosts(server: &str) -> Vec<String> {
    let namespace = labels::SERVERS_NAMESPACE;
    vec![
        host(server),
        format!("{server}.{namespace}.svc.cluster.local"),
        format!("{server}.{namespace}"),
        server.to_owned(),
        "localhost".to_owned(),
    ]
}

fn all_labels(server: &str) -> BTreeMap<String, String> {
    let own = [
        (labels::NAME, "postgresql"),
        (labels::INSTANCE, server),
        (labels::COMPONENT, "database-server"),
        (labels::PART_OF, labels::MANAGER),
        (labels::MANAGED_BY, labels::MANAGER),
        (labels::DATABASE_SERVER, server),
    ];
    own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn selector(server: &str) -> BTreeMap<String, String> {
    let own = [(labels::COMPONENT, "database-server"), (labels::DATABASE_SERVER, server)];
    own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn meta(server: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(labels::SERVERS_NAMESPACE.to_owned()),
        labels: Some(all_labels(server)),
        ..ObjectMeta::default()
    }
}

fn secret(server: &str, name: &str, type_: &str, data: &[(&str, &str)]) -> Secret {
    let bytes = |value: &str| ByteString(value.as_bytes().to_vec());
    Secret {
        metadata: meta(server, name),
        type_: Some(type_.to_owned()),
        data: Some(data.iter().map(|(key, value)| ((*key).to_owned(), bytes(value))).collect()),
        ..Secret::default()
    }
}

/// The Secret with the authority.
pub fn authority_secret(server: &str, authority: &Pair) -> Secret {
    let data = [("tls.crt", &*authority.certificate), ("tls.key", &*authority.key)];
    secret(server, &authority_secret_name(server), "kubernetes.io/tls", &data)
}

/// The Secret with the server's certificate.
pub fn tls_secret(server: &str, authority: &Pair, leaf: &Pair, renew_on: &str) -> Secret {
    let data =
        [("tls.crt", &*leaf.certificate), ("tls.key", &*leaf.key), ("ca.crt", &*authority.certificate)];
    let mut secret = secret(server, &tls_secret_name(server), "kubernetes.io/tls", &data);
    secret.metadata.annotations = Some(BTreeMap::from([(RENEW_ON.to_owned(), renew_on.to_owned())]));
    secret
}

/// The Secret with the operator's login.
pub fn admin_secret(server: &str, authority: &Pair, password: &Password) -> Secret {
    let data =
        [("username", SUPERUSER), ("password", password.expose()), ("ca.crt", &*authority.certificate)];
    secret(server, &admin_secret_name(server), "Opaque", &data)
}

/// The Service, of the server's name.
pub fn service(server: &str) -> Service {
    let port = ServicePort {
        name: Some("postgresql".into()),
        port: i32::from(PORT),
        target_port: Some(IntOrString::String("postgresql".into())),
        protocol: Some("TCP".into()),
        ..ServicePort::default()
    };
    let spec = ServiceSpec {
        type_: Some("ClusterIP".into()),
        selector: Some(selector(server)),
        ports: Some(vec![port]),
        ..ServiceSpec::default()
    };
    Service { metadata: meta(server, server), spec: Some(spec), ..Service::default() }
}

/// The NetworkPolicy, of the server's name: who reaches its port. The operator, the pods that make archives of its databases, and
/// those of tenants that have databases there, by a label of their namespace: a list of tenants would grow without end.
pub fn network_policy(server: &str) -> NetworkPolicy {
    let matching = |pairs: &[(&str, &str)]| LabelSelector {
        match_labels: Some(
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ),
        ..LabelSelector::default()
    };
    let operator = NetworkPolicyPeer {
        namespace_selector: Some(matching(&[(NAMESPACE_NAME, labels::SYSTEM_NAMESPACE)])),
        pod_selector: Some(matching(&[(labels::NAME, labels::MANAGER), (labels::COMPONENT, "operator")])),
        ..NetworkPolicyPeer::default()
    };
    let archives = NetworkPolicyPeer {
        pod_selector: Some(matching(&[(labels::COMPONENT, "archive"), (labels::DATABASE_SERVER, server)])),
        ..NetworkPolicyPeer::default()
    };
    let tenants = NetworkPolicyPeer {
        namespace_selector: Some(matching(&[(&format!("{}{server}", labels::ON_SERVER), "true")])),
        ..NetworkPolicyPeer::default()
    };
    let port = NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(PORT))),
        protocol: Some("TCP".into()),
        ..NetworkPolicyPort::default()
    };
    let rule =
        NetworkPolicyIngressRule { from: Some(vec![operator, archives, tenants]), ports: Some(vec![port]) };
    let spec = NetworkPolicySpec {
        pod_selector: Some(LabelSelector {
            match_labels: Some(selector(server)),
            ..LabelSelector::default()
        }),
        policy_types: Some(vec!["Ingress".into()]),
        ingress: Some(vec![rule]),
        ..NetworkPolicySpec::default()
    };
    NetworkPolicy { metadata: meta(server, server), spec: Some(spec) }
}

/// The StatefulSet, of the server's name.
pub fn stateful_set(server: &str, managed: &ManagedServer, image: &str) -> StatefulSet {
    let keep = || Some("Retain".to_owned());
    let spec = StatefulSetSpec {
        replicas: Some(1),
        service_name: Some(server.to_owned()),
        selector: LabelSelector { match_labels: Some(selector(server)), ..LabelSelector::default() },
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: Some(all_labels(server)), ..ObjectMeta::default() }),
            spec: Some(pod(server, image)),
        },
        volume_claim_templates: Some(vec![volume_claim(server, managed)]),
        persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
            when_deleted: keep(),
            when_scaled: keep(),
        }),
        ..StatefulSetSpec::default()
    };
    StatefulSet { metadata: meta(server, server), spec: Some(spec), ..StatefulSet::default() }
}

fn volume_claim(server: &str, managed: &ManagedServer) -> PersistentVolumeClaim {
    let storage = BTreeMap::from([("storage".to_owned(), Quantity(managed.storage.clone()))]);
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("data".into()),
            labels: Some(all_labels(server)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: managed.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(storage),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

fn pod(server: &str, image: &str) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(120),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(POSTGRES),
            run_as_group: Some(POSTGRES),
            fs_group: Some(POSTGRES),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(image)],
        volumes: Some(vec![
            memory("run", Some("16Mi")),
            memory("tmp", None),
            from_secret("admin", &admin_secret_name(server)),
            from_secret("tls", &tls_secret_name(server)),
        ]),
        ..PodSpec::default()
    }
}

fn container(image: &str) -> Container {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let amounts = |cpu: &str, memory: &str| {
        Some(BTreeMap::from([
            ("cpu".into(), Quantity(cpu.into())),
            ("memory".into(), Quantity(memory.into())),
        ]))
    };
    Container {
        name: "postgresql".into(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".into()),
        ports: Some(vec![ContainerPort {
            name: Some("postgresql".into()),
            container_port: i32::from(PORT),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        resources: Some(ResourceRequirements {
            requests: amounts("100m", "256Mi"),
            limits: Some(BTreeMap::from([("memory".into(), Quantity("1Gi".into()))])),
            ..ResourceRequirements::default()
        }),
        // The first start runs initdb: it may take its time, a running server may not.
        startup_probe: Some(probe(1, 300)),
        readiness_probe: Some(probe(5, 3)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), ..Capabilities::default() }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![
            mount("data", "/var/lib/postgresql/data", false),
            mount("run", "/run/postgresql", false),
            mount("tmp", "/tmp", false),
            mount("admin", "/etc/tenantry/admin", true),
            mount("tls", "/etc/tenantry/tls", true),
        ]),
        ..Container::default()
    }
}

fn probe(period: i32, failures: i32) -> Probe {
    let command = ["pg_isready", "-q", "-h", "/run/postgresql"];
    Probe {
        exec: Some(ExecAction { command: Some(command.map(str::to_owned).to_vec()) }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn memory(name: &str, limit: Option<&str>) -> Volume {
    let source = EmptyDirVolumeSource {
        medium: limit.map(|_| "Memory".to_owned()),
        size_limit: limit.map(|limit| Quantity(limit.to_owned())),
    };
    Volume { name: name.to_owned(), empty_dir: Some(source), ..Volume::default() }
}

fn from_secret(name: &str, secret: &str) -> Volume {
    let source = SecretVolumeSource {
        secret_name: Some(secret.to_owned()),
        default_mode: Some(0o440),
        ..SecretVolumeSource::default()
    };
    Volume { name: name.to_owned(), secret: Some(source), ..Volume::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_port_is_open_to_the_operator_to_archives_of_the_server_and_to_tenants_that_are_on_it() {
        let ours =
            json!({"app.kubernetes.io/component": "database-server", "tenantry.dev/database-server": "main"});
        let labels = json!({
            "app.kubernetes.io/component": "database-server",
            "app.kubernetes.io/instance": "main",
            "app.kubernetes.io/managed-by": "tenantry",
            "app.kubernetes.io/name": "postgresql",
            "app.kubernetes.io/part-of": "tenantry",
            "tenantry.dev/database-server": "main",
        });
        let operator =
            json!({"app.kubernetes.io/component": "operator", "app.kubernetes.io/name": "tenantry"});
        let archive =
            json!({"app.kubernetes.io/component": "archive", "tenantry.dev/database-server": "main"});
        let expected = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "main", "namespace": "tenantry-servers", "labels": labels},
            "spec": {
                "podSelector": {"matchLabels": ours},
                "policyTypes": ["Ingress"],
                "ingress": [{"ports": [{"port": 5432, "protocol": "TCP"}], "from": [
                    {
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tenantry-system"}},
                        "podSelector": {"matchLabels": operator},
                    },
                    {"podSelector": {"matchLabels": archive}},
                    {"namespaceSelector": {"matchLabels": {"on-server.tenantry.dev/main": "true"}}},
                ]}],
            },
        });
        assert_eq!(serde_json::to_value(network_policy("main")).unwrap(), expected);
        // The peer is the pod that an archive's Job makes, and the operator's own.
        let deployment = include_str!("../../../manifests/operator/deployment.yaml");
        for (label, value) in operator.as_object().unwrap() {
            assert!(deployment.contains(&format!("{label}: {}", value.as_str().unwrap())));
        }
    }
}
