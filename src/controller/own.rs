//! Our seven kinds, seen alike: their store, their status, and what to do with one that cannot be read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::Resource;
use kube::core::object::HasStatus;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::object::Kind;
use crate::api::blueprint::BlueprintStatus;
use crate::api::database_server::DatabaseServerStatus;
use crate::api::microservice::MicroserviceStatus;
use crate::api::plan::PlanStatus;
use crate::api::server_database::ServerDatabaseStatus;
use crate::api::step::Step;
use crate::api::tenant::TenantStatus;
use crate::api::tenant_database::TenantDatabaseStatus;
use crate::api::{Blueprint, DatabaseServer, Microservice, Plan, ServerDatabase, Tenant, TenantDatabase};

/// An object of ours, or what is left of one that does not fit our types (a schema older or newer than we are).
#[derive(Clone, Debug)]
pub enum Own<K> {
    /// Readable.
    Valid(K),
    /// Not readable; it alone fails.
    Invalid {
        /// Its metadata.
        meta: Box<ObjectMeta>,
        /// What is wrong with it.
        error: String,
    },
}

impl<K: Resource> Own<K> {
    /// The object, if it is readable.
    pub fn valid(&self) -> Option<&K> {
        match self {
            Self::Valid(object) => Some(object),
            Self::Invalid { .. } => None,
        }
    }

    /// Its metadata.
    pub fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Valid(object) => object.meta(),
            Self::Invalid { meta, .. } => meta,
        }
    }
}

/// The part that every status of ours has.
pub trait Status: Clone + Default + PartialEq + Serialize + Send + Sync {
    /// Generation of the spec that the status describes.
    fn observed_generation(&self) -> Option<i64>;
    /// Sets [`Status::observed_generation`].
    fn set_observed_generation(&mut self, generation: Option<i64>);
    /// The conditions.
    fn conditions(&self) -> &[Condition];
    /// The conditions, to be changed.
    fn conditions_mut(&mut self) -> &mut Vec<Condition>;
    /// The steps, none where the kind has none.
    fn steps(&self) -> &[Step];
}

/// A kind of ours.
pub trait OwnKind:
    Resource<DynamicType = ()>
    + HasStatus<Status: Status>
    + Clone
    + Serialize
    + DeserializeOwned
    + std::fmt::Debug
    + Send
    + Sync
    + 'static
{
    /// Which one.
    const KIND: Kind;
}

macro_rules! own_kind {
    ($kind:ident, $status:ident, |$this:ident| $steps:expr) => {
        impl OwnKind for $kind {
            const KIND: Kind = Kind::$kind;
        }

        impl Status for $status {
            fn observed_generation(&self) -> Option<i64> {
                self.observed_generation
            }
            fn set_observed_generation(&mut self, generation: Option<i64>) {
                self.observed_generation = generation;
            }
            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }
            fn conditions_mut(&mut self) -> &mut Vec<Condition> {
                &mut self.conditions
            }
            fn steps(&self) -> &[Step] {
                let $this = self;
                $steps
            }
        }
    };
}

own_kind!(Tenant, TenantStatus, |status| &status.steps);
own_kind!(Plan, PlanStatus, |_status| &[]);
own_kind!(Blueprint, BlueprintStatus, |_status| &[]);
own_kind!(DatabaseServer, DatabaseServerStatus, |status| &status.steps);
own_kind!(ServerDatabase, ServerDatabaseStatus, |_status| &[]);
own_kind!(TenantDatabase, TenantDatabaseStatus, |status| &status.steps);
own_kind!(Microservice, MicroserviceStatus, |status| &status.steps);
