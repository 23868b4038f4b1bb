//! What a blueprint's schema cannot say: services use databases and credentials that exist, and each credential has a Secret of
//! its own. Pure.

use std::collections::BTreeMap;

use crate::api::blueprint::BlueprintSpec;
use crate::api::condition::{Summary, reason};

/// All of it holds, so that a tenant of this blueprint alone works.
pub fn validate(spec: &BlueprintSpec) -> Result<(), Summary> {
    services(spec)?;
    secrets(spec)
}

/// No two credentials have their bindings in one Secret: every tenant's claim would be refused.
fn secrets(spec: &BlueprintSpec) -> Result<(), Summary> {
    let mut taken = BTreeMap::new();
    for database in spec.databases() {
        for credential in database.claim().credentials() {
            let (secret, of) = (credential.secret_name(&database.name), (&database.name, credential.name));
            if let Some((first, other)) = taken.insert(secret.clone(), of.clone()) {
                let message = format!(
                    "spec.databases: credential {} of database {} and credential {other} of database {first} are both bound by Secret {secret}: give \
                     one of them another secretName",
                    of.1, of.0
                );
                return Err(Summary::Stalled { reason: reason::INVALID_SPEC, message });
            }
        }
    }
    Ok(())
}

/// Every database that a service names is one of the blueprint.
fn services(spec: &BlueprintSpec) -> Result<(), Summary> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_credentials_are_never_bound_by_one_secret() {
        let refused = |databases| {
            let spec = serde_json::from_value(json!({"databases": databases})).unwrap();
            validate(&spec).err().map(|summary| match summary {
                Summary::Stalled { message, .. } => message,
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(refused(json!([{"name": "orders"}, {"name": "users"}])), None);
        let named = json!([{"name": "orders", "credentials": [
            {"name": "app", "secretName": "db"}, {"name": "report", "secretName": "db"},
        ]}]);
        assert_eq!(
            refused(named).unwrap(),
            "spec.databases: credential report of database orders and credential app of database orders are both bound by Secret db: give \
             one of them another secretName"
        );
        // The names that they have by themselves collide too.
        let hyphens = json!([
            {"name": "a", "credentials": [{"name": "b-c"}]},
            {"name": "a-b", "credentials": [{"name": "c"}]},
        ]);
        assert!(refused(hyphens).unwrap().contains("Secret a-b-c"));
    }
}
