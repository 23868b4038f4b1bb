//! What a blueprint's schema cannot say: services use databases that exist. Pure.

use crate::api::blueprint::BlueprintSpec;
use crate::api::condition::{Summary, reason};

/// Every database that a service names is one of the blueprint, so that a tenant of this blueprint alone works.
pub fn validate(spec: &BlueprintSpec) -> Result<(), Summary> {
    for (index, service) in spec.services().iter().enumerate() {
        for binding in service.spec.databases() {
            if !spec.databases().iter().any(|database| database.name == binding.name) {
                let message = format!(
                    "spec.services[{index}].spec.databases: service {} uses the database {}, which spec.databases does not list",
                    service.name, binding.name
                );
                return Err(Summary::Stalled { reason: reason::INVALID_SPEC, message });
            }
        }
    }
    Ok(())
}
