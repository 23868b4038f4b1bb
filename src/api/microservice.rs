//! Microservice: one service of one tenant.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
use super::step::Step;

/// What a microservice is asked to be.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "Microservice",
    plural = "microservices",
    shortname = "msvc",
    category = "tenantry",
    namespaced,
    status = "MicroserviceStatus",
    derive = "PartialEq",
    doc = "A Microservice runs one service of a tenant: a Deployment with a Service of the same name, a PodDisruptionBudget, a NetworkPolicy and a ServiceAccount.",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.replicas", label_selector_path = ".status.selector"),
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be a DNS label of at most 40 characters that starts with a letter: the Service has the same name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether the microservice is as its spec asks"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Reason of the Ready condition"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version", description = "Version of the service"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas", description = "Pods of the service"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", description = "Container image", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since the microservice was created")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.image) != has(self.builtin)").message("exactly one of image and builtin is required"))]
#[x_kube(validation = Rule::new("!has(self.builtin) || !has(self.endpoints)").message("endpoints are not allowed beside builtin: every builtin service listens on 8080"))]
pub struct MicroserviceSpec {
    /// Container image. Without a tag or a digest, `version` is its tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), pattern("^[a-zA-Z0-9][-a-zA-Z0-9._/:@]*$"))]
    pub image: Option<String>,
    /// A service that the operator's own image brings along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builtin: Option<Builtin>,
    /// Version of the service, as in Semantic Versioning 2.0.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 63),
        pattern(r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$")
    )]
    pub version: Option<String>,
    /// Number of pods. Absent means 1. A suspended tenant runs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    /// CPU and memory of each pod. What is absent is filled in by the namespace's LimitRange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Environment variables. Secrets do not belong here: databases are bound by `databases`. Of a builtin service the
    /// operator lowers TENANTRY_POOL_MIN and TENANTRY_POOL_MAX, whether or not they are given here, to the pod's share
    /// of the connections that its database admits: the limit of claim and plan, divided by `replicas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Option<Vec<EnvVar>>,
    /// Tenant databases that the service uses. Each binding Secret is mounted at /bindings/NAME, where
    /// SERVICE_BINDING_ROOT points (Service Binding Specification 1.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub databases: Option<Vec<DatabaseBinding>>,
    /// Ports that the image serves. Absent means one: `http` on 8080. The first is Service port 80.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub endpoints: Option<Vec<Endpoint>>,
}

/// Environment variable that says how many connections a builtin service keeps open, and what it is when nobody sets it.
pub const POOL_MIN: (&str, u32) = ("TENANTRY_POOL_MIN", 1);
/// Environment variable that says how many connections a builtin service may have, and what it is when nobody sets it.
pub const POOL_MAX: (&str, u32) = ("TENANTRY_POOL_MAX", 10);

/// A service that the operator's own image brings along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Builtin {
    /// Users of the tenant: CRUD and search at /api/users, in the one database that `databases` names.
    User,
}

impl Builtin {
    /// Name of the role, as in `tenantry run NAME`.
    pub const fn role(self) -> &'static str {
        match self {
            Self::User => "user",
        }
    }
}

/// CPU and memory of each pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What each pod is sure to get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceAmounts>,
    /// What each pod may use at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceAmounts>,
}

/// An amount of CPU and memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceAmounts {
    /// CPU, for example `100m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::quantity")]
    pub cpu: Option<String>,
    /// Memory, for example `128Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::quantity")]
    pub memory: Option<String>,
}

/// An environment variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 128), pattern("^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// Value of the variable.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// A tenant database that the service uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseBinding {
    /// Name of the TenantDatabase in the same namespace.
    #[schemars(length(min = 1, max = 24), pattern("^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Name of the credential of that TenantDatabase. Absent means its first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), pattern("^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub credential: Option<String>,
}

/// A port that the image serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Name of the port, for example `http`.
    #[schemars(length(min = 1, max = 15), pattern("^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Port that the container listens on.
    #[schemars(range(min = 1024, max = 65535))]
    pub port: i32,
    /// Path that answers 200 when the pod can serve; becomes the readiness probe. Absent means that the port is
    /// only checked for being open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), pattern("^/[-A-Za-z0-9._~/]*$"))]
    pub health_path: Option<String>,
}

/// What a microservice is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MicroserviceStatus {
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Number of pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub replicas: Option<i32>,
    /// Label selector of the pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,
    /// Steps on the way to Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::steps")]
    pub steps: Vec<Step>,
}

impl MicroserviceSpec {
    /// The databases, none if absent.
    pub fn databases(&self) -> &[DatabaseBinding] {
        self.databases.as_deref().unwrap_or_default()
    }
}
