//! Which object: its kind and its key. Every cache, queue and effect of the operator names objects this way.

use std::fmt;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::Job,
    core::v1::{LimitRange, Namespace, ResourceQuota, Secret, Service as CoreService, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
    rbac::v1::RoleBinding,
};
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};

use crate::api::{Blueprint, DatabaseServer, Microservice, Plan, ServerDatabase, Tenant, TenantDatabase};

/// Every kind that the operator watches or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Ours.
    Tenant,
    /// Ours.
    Plan,
    /// Ours.
    Blueprint,
    /// Ours.
    DatabaseServer,
    /// Ours.
    ServerDatabase,
    /// Ours.
    TenantDatabase,
    /// Ours.
    Microservice,
    /// core/v1
    Namespace,
    /// core/v1
    ResourceQuota,
    /// core/v1
    LimitRange,
    /// networking.k8s.io/v1
    NetworkPolicy,
    /// rbac.authorization.k8s.io/v1
    RoleBinding,
    /// core/v1
    ServiceAccount,
    /// core/v1
    Secret,
    /// core/v1
    Service,
    /// apps/v1
    Deployment,
    /// apps/v1
    StatefulSet,
    /// policy/v1
    PodDisruptionBudget,
    /// batch/v1
    Job,
}

impl Kind {
    /// Our seven.
    pub const OWN: [Self; 7] = [
        Self::Tenant,
        Self::Plan,
        Self::Blueprint,
        Self::DatabaseServer,
        Self::ServerDatabase,
        Self::TenantDatabase,
        Self::Microservice,
    ];

    /// Kinds of Kubernetes that we make, in no order.
    pub const CHILDREN: [Self; 12] = [
        Self::Namespace,
        Self::ResourceQuota,
        Self::LimitRange,
        Self::NetworkPolicy,
        Self::RoleBinding,
        Self::ServiceAccount,
        Self::Secret,
        Self::Service,
        Self::Deployment,
        Self::StatefulSet,
        Self::PodDisruptionBudget,
        Self::Job,
    ];

    /// Group, version, kind and plural, without a discovery call.
    pub fn api_resource(self) -> ApiResource {
        match self {
            Self::Tenant => ApiResource::erase::<Tenant>(&()),
            Self::Plan => ApiResource::erase::<Plan>(&()),
            Self::Blueprint => ApiResource::erase::<Blueprint>(&()),
            Self::DatabaseServer => ApiResource::erase::<DatabaseServer>(&()),
            Self::ServerDatabase => ApiResource::erase::<ServerDatabase>(&()),
            Self::TenantDatabase => ApiResource::erase::<TenantDatabase>(&()),
            Self::Microservice => ApiResource::erase::<Microservice>(&()),
            Self::Namespace => ApiResource::erase::<Namespace>(&()),
            Self::ResourceQuota => ApiResource::erase::<ResourceQuota>(&()),
            Self::LimitRange => ApiResource::erase::<LimitRange>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::RoleBinding => ApiResource::erase::<RoleBinding>(&()),
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::Service => ApiResource::erase::<CoreService>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::Job => ApiResource::erase::<Job>(&()),
        }
    }

    /// Name of the kind, as in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "Tenant",
            Self::Plan => "Plan",
            Self::Blueprint => "Blueprint",
            Self::DatabaseServer => "DatabaseServer",
            Self::ServerDatabase => "ServerDatabase",
            Self::TenantDatabase => "TenantDatabase",
            Self::Microservice => "Microservice",
            Self::Namespace => "Namespace",
            Self::ResourceQuota => "ResourceQuota",
            Self::LimitRange => "LimitRange",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::RoleBinding => "RoleBinding",
            Self::ServiceAccount => "ServiceAccount",
            Self::Secret => "Secret",
            Self::Service => "Service",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::Job => "Job",
        }
    }

    /// Whether the API server counts changes of the spec in `metadata.generation`. Where it does not, only the
    /// resourceVersion tells that something changed.
    pub const fn has_generation(self) -> bool {
        matches!(
            self,
            Self::Tenant
                | Self::Plan
                | Self::Blueprint
                | Self::DatabaseServer
                | Self::ServerDatabase
                | Self::TenantDatabase
                | Self::Microservice
                | Self::NetworkPolicy
                | Self::Deployment
                | Self::StatefulSet
                | Self::PodDisruptionBudget
                | Self::Job
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Namespace (empty for cluster-scoped kinds) and name. Ordered by namespace, so that a namespace is a range.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Namespace, empty for cluster-scoped kinds.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
}

impl Key {
    /// Key of a cluster-scoped object.
    pub fn cluster(name: &str) -> Self {
        Self { namespace: "".into(), name: name.into() }
    }

    /// Key of a namespaced object.
    pub fn namespaced(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Key of whatever carries that metadata.
    pub fn of(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.as_deref().unwrap_or_default().into(),
            name: meta.name.as_deref().unwrap_or_default().into(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// A client for objects of `kind`, in the namespace of `key` where it has one.
pub fn dynamic_api(client: &Client, kind: Kind, key: &Key) -> Api<DynamicObject> {
    let resource = kind.api_resource();
    if key.namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), &key.namespace, &resource)
    }
}
