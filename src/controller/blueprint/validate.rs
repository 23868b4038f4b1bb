//! What a blueprint's schema cannot say: services use databases and credentials that exist. Pure.

use crate::api::blueprint::BlueprintSpec;
use crate::api::condition::{Summary, reason};

/// Every database that a service names is one of the blueprint, so that a tenant of this blueprint alone works.
pub fn validate(spec: &BlueprintSpec) -> Result<(), Summary> {
    for (index, service) in spec.services().iter().enumerate() {
        for binding in service.spec.databases() {
            let Some(database) = spec.databases().iter().find(|database| database.name == binding.name)
            else {
                let message = format!(
                    "spec.services[{index}].spec.databases: service {} uses the database {}, which spec.databases does not list",
                    service.name, binding.name
                );
                return Err(Summary::Stalled { reason: reason::INVALID_SPEC, message });
            };
            // Those of one that lists none are its tenants' to add to.
            let Some(listed) = &database.credentials else { continue };
            let names: Vec<&str> = listed.iter().map(|credential| &*credential.name).collect();
            if let Some(credential) = binding.credential.as_deref().filter(|it| !names.contains(it)) {
                let message = format!(
                    "spec.services[{index}].spec.databases: service {} uses the credential {credential} of database {}, which has {}",
                    service.name,
                    binding.name,
                    names.join(", ")
                );
                return Err(Summary::Stalled { reason: reason::INVALID_SPEC, message });
            }
        }
    }
    Ok(())
}
