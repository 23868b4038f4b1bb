//! The contract: every kind of `tenantry.dev/v1alpha1`, its names, labels and conditions. Pure: no I/O, no clock.
//!
//! The operator, the services, the CLI and the generated CRDs all read the same types, so a field exists in
//! one place only. [`crds`] lists the kinds in the order in which they are installed.

pub mod archive;
pub mod blueprint;
pub mod condition;
pub mod database_server;
pub mod deletion;
pub mod labels;
pub mod microservice;
pub mod names;
pub mod plan;
pub mod preview;
pub mod reconcile;
pub mod schema;
pub mod server_database;
pub mod step;
pub mod tenant;
pub mod tenant_database;

pub use blueprint::Blueprint;
pub use database_server::DatabaseServer;
pub use microservice::Microservice;
pub use plan::Plan;
pub use server_database::ServerDatabase;
pub use tenant::Tenant;
pub use tenant_database::TenantDatabase;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of every kind.
pub const GROUP: &str = "tenantry.dev";
/// The API version of every kind.
pub const VERSION: &str = "v1alpha1";
/// The field manager of every write of the operator.
pub const FIELD_MANAGER: &str = "tenantry";

/// Every CRD, in the order in which they are installed and printed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [
        Tenant::crd(),
        Plan::crd(),
        Blueprint::crd(),
        DatabaseServer::crd(),
        ServerDatabase::crd(),
        TenantDatabase::crd(),
        Microservice::crd(),
    ]
    .into_iter()
    .map(schema::normalise)
    .collect()
}
