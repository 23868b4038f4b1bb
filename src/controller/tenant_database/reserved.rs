//! Step 4, before a new database: whether an admin has reserved one for the claim. Objects that are applied together are seen by
//! different watches, so the store may show the claim before the ServerDatabase that was there first: a live list says.

use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};

use super::validate::Validated;
use crate::api::ServerDatabase;
use crate::api::condition::{Summary, reason};
use crate::api::server_database::DatabasePhase;
use crate::controller::apply::ApplyError;
use crate::controller::context::Context;
use crate::controller::object::{Key, Kind};
use crate::controller::outcome;

/// Stands against a new database if somebody gives the claim one that exists already: its turn comes with the event of that object.
pub async fn ask(context: &Context, claim: &Validated) -> Result<(), Summary> {
    let api: Api<ServerDatabase> = Api::all(context.client.clone());
    let (namespace, name) = (&claim.namespace, claim.name.as_str());
    let named = format!("spec.claimRef.namespace={namespace},spec.claimRef.name={name}");
    let listed = api.list(&ListParams::default().fields(&named)).await;
    let listed = listed.map_err(|source| {
        let key = Key::namespaced(namespace, name);
        outcome::summary(&ApplyError::Api {
            verb: "list what is reserved for",
            kind: Kind::TenantDatabase,
            key,
            source,
        })
    })?;
    match listed.items.into_iter().find(|database| is_reserved(database, &claim.uid)) {
        None => Ok(()),
        Some(database) => {
            let message = format!(
                "ServerDatabase {} gives the claim a database: that is looked at first",
                database.name_any()
            );
            Err(Summary::Progressing { reason: reason::PROGRESSING, message })
        }
    }
}

/// Whether the object gives a database to the claim with that UID, rather than to an earlier one of its name.
fn is_reserved(database: &ServerDatabase, uid: &str) -> bool {
    let of = database.spec.claim_ref.uid.as_deref();
    let stays = database.meta().deletion_timestamp.is_none();
    let phase = database.status.as_ref().and_then(|status| status.phase);
    let waits = database.spec.adoption().is_some() || phase == Some(DatabasePhase::Released);
    waits && of.is_none_or(|of| of == uid) && stays
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_exists_already_or_is_released_is_given_to_the_claim_that_it_names_and_to_no_other() {
        let database = |management: Option<&str>, phase: Option<&str>, uid: Option<&str>| -> ServerDatabase {
            serde_json::from_value(json!({
                "apiVersion": "tenantry.dev/v1alpha1", "kind": "ServerDatabase", "metadata": {"name": "it"},
                "spec": {
                    "serverRef": {"name": "main"}, "physicalName": "it", "management": management,
                    "claimRef": {"namespace": "tenant-acme", "name": "app", "uid": uid},
                },
                "status": {"phase": phase},
            }))
            .unwrap()
        };
        for (management, phase, expected) in [
            (Some("Adopt"), None, true),
            (Some("Observe"), Some("Bound"), true),
            (None, Some("Released"), true),
            (None, Some("Bound"), false),
            (None, Some("Tombstoned"), false),
            (None, None, false),
        ] {
            for (uid, named) in [(None, true), (Some("new"), true), (Some("earlier"), false)] {
                let database = database(management, phase, uid);
                assert_eq!(is_reserved(&database, "new"), expected && named, "{database:?}");
            }
        }
        let mut leaving = database(None, Some("Released"), None);
        leaving.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-11-22T10:00:00Z")).unwrap());
        assert!(!is_reserved(&leaving, "new"));
    }
}
