//! Rivals: two ServerDatabases for one database, or for one claim. Pure.
//!
//! What we make cannot be two: it follows from marker rows. What admins create can, and then nobody but they can tell which
//! one is meant: both say so, and nothing is done for either.

use kube::ResourceExt;

use crate::api::ServerDatabase;
use crate::api::condition::{Summary, reason};

/// What two objects have in common that only one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shared {
    Database,
    Claim,
}

/// What stands against working on `database` among `others`, which may contain it.
pub fn conflict<'a>(
    database: &ServerDatabase,
    others: impl IntoIterator<Item = &'a ServerDatabase>,
) -> Option<Summary> {
    let rival = |other: &'a ServerDatabase| Some((shared(database, other)?, other));
    let (shared, other) = others.into_iter().filter_map(rival).min_by_key(|(_, other)| other.name_any())?;
    let (mut names, spec) = ([database.name_any(), other.name_any()], &database.spec);
    names.sort();
    let [one, two] = names;
    let message = match shared {
        Shared::Database => format!(
            "ServerDatabases {one} and {two} are both for database {} on DatabaseServer {}: delete one of them",
            spec.physical_name, spec.server_ref.name
        ),
        Shared::Claim => format!(
            "ServerDatabases {one} and {two} are both given to TenantDatabase {}/{}: delete one that is adopted or observed, or let its \
             spec.claimRef name another claim",
            spec.claim_ref.namespace, spec.claim_ref.name
        ),
    };
    Some(Summary::Stalled { reason: reason::CLAIM_CONFLICT, message })
}

/// Whether one of the two has to go.
pub fn are(one: &ServerDatabase, other: &ServerDatabase) -> bool {
    shared(one, other).is_some()
}

fn shared(one: &ServerDatabase, other: &ServerDatabase) -> Option<Shared> {
    let adopted = one.spec.adoption().is_some() || other.spec.adoption().is_some();
    let stays = |it: &ServerDatabase| it.metadata.deletion_timestamp.is_none();
    if !adopted || one.name_any() == other.name_any() || !stays(one) || !stays(other) {
        return None;
    }
    let (a, b) = (&one.spec, &other.spec);
    if a.server_ref == b.server_ref && a.physical_name == b.physical_name {
        return Some(Shared::Database);
    }
    let (a, b) = (&a.claim_ref, &b.claim_ref);
    // A claim that was made again is another one: what the earlier one had may wait beside what the new one gets.
    let another = a.uid.is_some() && b.uid.is_some() && a.uid != b.uid;
    (a.namespace == b.namespace && a.name == b.name && !another).then_some(Shared::Claim)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn database(name: &str, physical: &str, claim: &str, uid: Option<&str>) -> ServerDatabase {
        let management = if physical.starts_with("t_") { "Full" } else { "Adopt" };
        serde_json::from_value(json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "ServerDatabase", "metadata": {"name": name},
            "spec": {
                "serverRef": {"name": "main"}, "physicalName": physical, "management": management,
                "claimRef": {"namespace": "tenant-acme", "name": claim, "uid": uid},
            },
        }))
        .unwrap()
    }

    #[test]
    fn each_of_two_names_both() {
        let all = [
            database("a", "legacy", "crm", None),
            database("b", "legacy", "erp", None),
            database("c", "other", "web", Some("u1")),
            database("t-x-web", "t_x_web", "web", Some("u1")),
            database("t-y-web", "t_y_web", "web", Some("u2")),
            database("t-x-free", "t_x_free", "free", None),
        ];
        let said = |index: usize| match conflict(&all[index], &all) {
            None => String::new(),
            Some(Summary::Stalled { reason: "ClaimConflict", message }) => {
                message.split(':').next().unwrap().to_owned()
            }
            other => panic!("{other:?}"),
        };
        let one = "ServerDatabases a and b are both for database legacy on DatabaseServer main";
        let two = "ServerDatabases c and t-x-web are both given to TenantDatabase tenant-acme/web";
        assert_eq!((0..6).map(said).collect::<Vec<_>>(), [one, one, two, two, "", ""]);
    }

    #[test]
    fn another_server_has_a_database_of_the_same_name() {
        let (one, mut other) = (database("a", "legacy", "crm", None), database("b", "legacy", "erp", None));
        assert!(are(&one, &other));
        other.spec.server_ref.name = "second".into();
        assert!(!are(&one, &other));
    }
}
