//! Adoption: a claim that gets a database that exists already, since an admin made a ServerDatabase that says so. Pure.
//!
//! The object names the claim as a PersistentVolume's `claimRef` reserves a volume. A claim can only ask: without such an object
//! it gets a database of ours, and what is on the server under another name is never looked at.

use kube::ResourceExt;

use super::choose::{Chosen, chosen, left_to, of};
use super::fetch::Fetched;
use super::tenancy::Tenancy;
use super::validate::{Refusal, Validated, released_exists, usable};
use crate::api::condition::{Summary, reason};
use crate::api::names::PhysicalName;
use crate::api::server_database::Management;
use crate::api::{ServerDatabase, labels};
use crate::controller::database::rivals;
use crate::controller::database_server::inventory;
use crate::controller::former;
use crate::postgres::adoption::Adopted;
use crate::postgres::facts::{Marker, Phase};

/// A database that an admin gives to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its name on the server.
    pub database: String,
    /// How it is given.
    pub adopted: Adopted,
    /// Whether an admin has said so of the database as it is now: by this claim's UID, or by taking an earlier one's off an object
    /// that shows a row already. One that was just made from a file knows nothing of what an earlier claim left.
    pub handed_over: bool,
}

/// The server and the database that an admin gives to the claim; `None` if no object does. `named` are all objects of its
/// namespace and name.
pub(super) fn find(
    fetched: &Fetched,
    named: &[&ServerDatabase],
    (uid, tenant_uid): (&str, &str),
) -> Result<Option<(String, Given)>, Refusal> {
    let adoptions = || named.iter().copied().filter(|database| database.spec.adoption().is_some());
    let former = former::taken_over(Some(tenant_uid), fetched.namespace.as_deref());
    let of_another = |database: &ServerDatabase| {
        let claim = database.spec.claim_ref.uid.as_deref();
        claim.is_some_and(|claim| claim != uid) && !former::has(database, tenant_uid, &former)
    };
    let Some(database) = adoptions().find(|database| !of_another(database)) else {
        return match adoptions().next() {
            Some(earlier) if fetched.claim.spec.fresh != Some(true) => {
                Err(released_exists(&earlier.name_any(), uid).into())
            }
            _ => Ok(None),
        };
    };
    if let Some(conflict) = rivals::conflict(database, &fetched.databases) {
        return Err(conflict.into());
    }
    let (server, object) = (&database.spec.server_ref.name, database.name_any());
    if let Some(conflict) = fetched.rows.other_of(database) {
        return Err(conflict.into());
    }
    usable(fetched, server)?;
    refuse_own_server_of_another(fetched, database)?;
    let management = database.spec.management.unwrap_or_default();
    if management == Management::Observe {
        refuse_what_would_write(fetched, &object)?;
    }
    refuse_what_would_set(fetched)?;
    let given = Given {
        database: database.spec.physical_name.clone(),
        adopted: Adopted { management, object },
        handed_over: match database.spec.claim_ref.uid.as_deref() {
            Some(claim) => claim == uid,
            None => database.annotations().contains_key(labels::OWNER_UID),
        },
    };
    Ok(Some((server.clone(), given)))
}

/// A database that is there already does not make a server any less another tenant's own.
fn refuse_own_server_of_another(fetched: &Fetched, database: &ServerDatabase) -> Result<(), Summary> {
    let (object, server) = (database.name_any(), &database.spec.server_ref.name);
    let known = fetched.servers.iter().find(|known| known.name == *server);
    let is_new = database.status.as_ref().is_none_or(|status| status.generation.is_none());
    if !is_new || known.is_none_or(|known| known.tenancy != Tenancy::Others) {
        return Ok(());
    }
    let message = format!(
        "ServerDatabase {object}: DatabaseServer {server} is the own server of another tenant: give the claim a database of another server"
    );
    Err(Summary::Progressing { reason: reason::SERVER_NOT_ALLOWED, message })
}

/// An observed database has neither logins nor limits of ours, so its claim cannot ask for any.
fn refuse_what_would_write(fetched: &Fetched, object: &str) -> Result<(), Summary> {
    let spec = &fetched.claim.spec;
    let fields = [("spec.credentials", spec.credentials.is_some()), ("spec.limits", spec.limits.is_some())];
    let Some((field, _)) = fields.into_iter().find(|(_, asked)| *asked) else { return Ok(()) };
    let message = format!(
        "{field}: nothing is written to a database that is only observed: remove the field, or have an admin set spec.management of \
         ServerDatabase {object} to Adopt"
    );
    Err(Summary::Stalled { reason: reason::INVALID_SPEC, message })
}

/// The settings of a database that we did not make hold for its owner's sessions too, and stay as they are.
fn refuse_what_would_set(fetched: &Fetched) -> Result<(), Summary> {
    let Some(limits) = &fetched.claim.spec.limits else { return Ok(()) };
    let fields = [
        ("statementTimeout", limits.statement_timeout.is_some()),
        ("idleInTransactionTimeout", limits.idle_in_transaction_timeout.is_some()),
        ("tempFiles", limits.temp_files.is_some()),
    ];
    let Some((field, _)) = fields.into_iter().find(|(_, asked)| *asked) else { return Ok(()) };
    let message = format!(
        "spec.limits.{field}: an adopted database keeps its own settings: remove the field, or have the owner run ALTER DATABASE … SET"
    );
    Err(Summary::Stalled { reason: reason::INVALID_SPEC, message })
}

/// Which database `given` is by the marker rows: the claim's own row, if it has one, and the one of that database.
pub(super) fn choose(claim: &Validated, given: &Given, rows: &[Marker]) -> Result<Chosen, Summary> {
    let conflict = |message| Err(Summary::Stalled { reason: reason::CLAIM_CONFLICT, message });
    let object = &given.adopted.object;
    let own = rows.iter().find(|row| row.tenant_uid == claim.tenant_uid && row.name == claim.name.as_str());
    if let Some(other) = own.filter(|row| row.physical_name != given.database) {
        return conflict(format!(
            "the claim has ServerDatabase {} already: let spec.claimRef of ServerDatabase {object} name another claim",
            other.object_name()
        ));
    }
    let shown = |row: &&Marker| row.object_name() == *object && row.physical_name != given.database;
    if let Some(other) = rows.iter().find(shown) {
        return Err(inventory::is_of_another(object, &other.physical_name, &claim.server));
    }
    let row = rows.iter().find(|row| row.physical_name == given.database);
    let Some(row) = row else {
        let physical = PhysicalName::new(&claim.id, &claim.name).of_adopted(&given.database);
        let physical = physical.map_err(|error| Summary::Stalled {
            reason: reason::NAME_CONFLICT,
            message: format!("ServerDatabase {object}: spec.physicalName: {error}"),
        })?;
        return Ok(Chosen { physical, rows: Vec::new() });
    };
    let known = row.adopted.as_ref();
    if known.is_none_or(|known| known.object != *object) {
        return conflict(format!(
            "database {} is given to a claim by ServerDatabase {}: delete ServerDatabase {object}",
            given.database,
            row.object_name()
        ));
    }
    if known.is_some_and(|known| known.management < given.adopted.management) {
        let message = format!("ServerDatabase {object} does not say yet what its marker row says");
        return Err(Summary::Progressing { reason: reason::PROGRESSING, message });
    }
    if own.is_some() {
        return chosen(row.clone());
    }
    match row.phase {
        Phase::Released if given.handed_over && row.name == claim.name.as_str() => {
            chosen(Marker { claim: of(claim), ..row.clone() })
        }
        _ if left_to(claim, row) => chosen(Marker { claim: of(claim), ..row.clone() }),
        Phase::Released if row.name == claim.name.as_str() => Err(released_exists(object, &claim.uid)),
        Phase::Released => conflict(format!(
            "the logins of database {} are named after claim {}: only a claim of that name can have it again",
            given.database, row.name
        )),
        _ => conflict(format!(
            "database {} belongs to TenantDatabase {}/{} of another tenant, which is not gone",
            given.database, row.claim.namespace, row.claim.name
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::super::fixtures::fetched;
    use super::super::validate::validate;
    use super::*;
    use crate::api::deletion::DeletionPolicy;
    use crate::controller::child::Child;
    use crate::controller::object::Kind;
    use crate::postgres::facts::Claim;
    use crate::postgres::settings::Settings;

    const TENANT: &str = "uid-acme";

    fn object(name: &str, change: &Value) -> ServerDatabase {
        let mut object = json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "ServerDatabase", "metadata": {"name": name},
            "spec": {
                "serverRef": {"name": "gold"}, "physicalName": "legacy_crm", "management": "Adopt",
                "claimRef": {"namespace": "tenant-acme", "name": "app"},
            },
        });
        json_patch(&mut object, change);
        serde_json::from_value(object).unwrap()
    }

    fn json_patch(target: &mut Value, change: &Value) {
        for (key, value) in change.as_object().into_iter().flatten() {
            if value.is_object() && target[key].is_object() {
                json_patch(&mut target[key], value);
            } else {
                target[key] = value.clone();
            }
        }
    }

    fn validated(claim: &Value, objects: Vec<ServerDatabase>) -> Result<Validated, Refusal> {
        validate(&Fetched { databases: objects, ..fetched(claim, &json!({})) })
    }

    fn reason_of<T: std::fmt::Debug>(result: Result<T, Refusal>) -> (&'static str, String) {
        match result {
            Err(Refusal::Because(
                Summary::Stalled { reason, message } | Summary::Progressing { reason, message },
            )) => (reason, message),
            other => panic!("{other:?}"),
        }
    }

    fn row(tenant: &str, phase: Phase, management: Management) -> Marker {
        Marker {
            tenant_uid: tenant.into(),
            name: "app".into(),
            tenant_id: "abcdefghij".into(),
            physical_name: "legacy_crm".into(),
            claim: Claim { namespace: "tenant-acme".into(), name: "app".into(), uid: Some("uid-old".into()) },
            phase,
            generation: 2,
            epoch: 0,
            logins: [].into(),
            adopted: Some(Adopted { management, object: "legacy".into() }),
            deletion_policy: DeletionPolicy::Retain,
            own_server: false,
        }
    }

    #[test]
    fn a_claim_gets_the_database_that_an_admin_gives_it() {
        let claim = validated(&json!({}), vec![object("legacy", &json!({}))]).unwrap();
        let adopted = Adopted { management: Management::Adopt, object: "legacy".into() };
        let given = Given { database: "legacy_crm".into(), adopted, handed_over: false };
        assert_eq!((claim.server.as_str(), claim.given.as_ref()), ("gold", Some(&given)));
        let new = choose(&claim, &given, &[]).unwrap();
        let roles = PhysicalName::new(&claim.id, &claim.name);
        assert_eq!((new.physical.as_str(), new.physical.role_prefix()), ("legacy_crm", roles.role_prefix()));
    }

    #[test]
    fn an_observed_database_has_no_credentials_and_none_can_be_asked_for() {
        let observed = || vec![object("legacy", &json!({"spec": {"management": "Observe"}}))];
        assert_eq!(validated(&json!({}), observed()).unwrap().credentials, []);
        for (field, spec) in [
            ("spec.credentials", json!({"credentials": [{"name": "app"}]})),
            ("spec.limits", json!({"limits": {"connections": 3}})),
        ] {
            let (reason, message) = reason_of(validated(&spec, observed()));
            assert_eq!((reason, message.split(':').next()), ("InvalidSpec", Some(field)));
        }
    }

    #[test]
    fn an_adopted_database_keeps_its_own_settings() {
        let adopted = || vec![object("legacy", &json!({}))];
        let limits = |limits| validated(&json!({"limits": limits}), adopted());
        let claim = limits(json!({"connections": 3})).unwrap();
        assert_eq!((claim.connection_limit, claim.settings), (Some(3), Settings::new()));
        for (field, value) in
            [("statementTimeout", "5s"), ("idleInTransactionTimeout", "5s"), ("tempFiles", "1Mi")]
        {
            let (reason, message) = reason_of(limits(json!({field: value})));
            let named = format!("spec.limits.{field}");
            assert_eq!((reason, message.split(':').next()), ("InvalidSpec", Some(named.as_str())));
        }
    }

    #[test]
    fn another_claims_database_is_not_handed_out() {
        let others = || vec![object("legacy", &json!({"spec": {"claimRef": {"uid": "uid-old"}}}))];
        assert_eq!(reason_of(validated(&json!({}), others())).0, "ReleasedDatabaseExists");
        let fresh = validated(&json!({"fresh": true}), others()).unwrap();
        assert_eq!(fresh.given, None);
        let mine = || vec![object("legacy", &json!({"spec": {"claimRef": {"uid": "uid-app"}}}))];
        assert!(validated(&json!({}), mine()).unwrap().given.unwrap().handed_over);

        let claim = |objects| validated(&json!({}), objects).unwrap();
        let chosen = |claim: &Validated, row: Marker| {
            choose(claim, claim.given.as_ref().unwrap(), &[row]).map_err(Refusal::Because)
        };
        let by_name = claim(vec![object("legacy", &json!({}))]);
        let released = || row("uid-other", Phase::Released, Management::Adopt);
        // An object that was made again from a file says nothing of what the earlier claim left.
        assert_eq!(reason_of(chosen(&by_name, released())).0, "ReleasedDatabaseExists");
        assert_eq!(chosen(&claim(mine()), released()).unwrap().rows[0].claim.uid.as_deref(), Some("uid-app"));
        let marked = json!({"metadata": {"annotations": {"tenantry.dev/owner-uid": "legacy_crm"}}});
        assert!(chosen(&claim(vec![object("legacy", &marked)]), released()).is_ok());
        let bound = row("uid-other", Phase::Bound, Management::Adopt);
        assert_eq!(reason_of(chosen(&claim(mine()), bound)).0, "ClaimConflict");
        let own = row(TENANT, Phase::Released, Management::Adopt);
        assert_eq!(chosen(&by_name, own.clone()).unwrap().rows, std::slice::from_ref(&own));
        let elsewhere = Marker { physical_name: "t_abcdefghij_app".into(), adopted: None, ..own };
        assert_eq!(reason_of(chosen(&by_name, elsewhere)).0, "ClaimConflict");
        let crowded = |other: Marker| {
            let object = claim(mine());
            choose(&object, object.given.as_ref().unwrap(), &[other, released()]).map_err(Refusal::Because)
        };
        let other = Marker { physical_name: "legacy_erp".into(), name: "erp".into(), ..released() };
        let (reason, message) = reason_of(crowded(other));
        assert!(reason == "ClaimConflict" && message.contains("legacy_erp"), "{message}");
        let renamed = Marker { name: "older".into(), ..released() };
        assert_eq!(reason_of(chosen(&claim(mine()), renamed)).0, "ClaimConflict");
    }

    #[test]
    fn a_claim_that_was_made_again_gets_what_its_tenant_has_taken_over_and_nobody_released() {
        let shown = |management: Value, phase: &str| {
            let physical = if management.is_null() { "t_old_app" } else { "legacy_crm" };
            object(
                "it",
                &json!({
                    "spec": {"management": management, "physicalName": physical, "claimRef": {"uid": "earlier"}},
                    "status": {"phase": phase, "tenantUID": "old"},
                }),
            )
        };
        let with = |database: ServerDatabase, former: &str| {
            let mut fetched = fetched(&json!({}), &json!({}));
            let annotations = json!({labels::OWNER_UID: TENANT, labels::FORMER_TENANTS: former});
            let meta = serde_json::from_value(json!({"annotations": annotations})).unwrap();
            fetched.namespace = Some(Arc::new(Child::new(Kind::Namespace, &meta)));
            fetched.databases = vec![database];
            validate(&fetched)
        };
        let ours = with(shown(Value::Null, "Bound"), "old").unwrap();
        assert_eq!((ours.server.as_str(), ours.offered.unwrap().as_str()), ("gold", "t_old_app"));
        let adopted = with(shown(json!("Adopt"), "Bound"), "old").unwrap();
        assert_eq!(adopted.given.unwrap().database, "legacy_crm");
        for management in [Value::Null, json!("Adopt")] {
            for (phase, former) in [("Bound", ""), ("Bound", "other"), ("Released", "old")] {
                let refused = reason_of(with(shown(management.clone(), phase), former));
                assert_eq!(refused.0, "ReleasedDatabaseExists", "{management} {phase} {former}");
            }
        }
    }

    #[test]
    fn what_is_adopted_is_never_only_observed_again() {
        let claim =
            validated(&json!({}), vec![object("legacy", &json!({"spec": {"management": "Observe"}}))]);
        let claim = claim.unwrap();
        let adopted = row(TENANT, Phase::Bound, Management::Adopt);
        let chosen = choose(&claim, claim.given.as_ref().unwrap(), &[adopted]).map_err(Refusal::Because);
        assert_eq!(reason_of(chosen).0, "Progressing");
    }

    #[test]
    fn what_we_did_not_make_is_kept_whatever_its_tenant_says_and_its_claim_cannot_ask_for_more() {
        let with = |claim: &Value| {
            let mut fetched = fetched(claim, &json!({}));
            fetched.tenant.as_mut().unwrap().spec.deletion_policy = Some(DeletionPolicy::Delete);
            fetched.databases = vec![object("legacy", &json!({}))];
            validate(&fetched)
        };
        for kept in [json!({}), json!({"deletionPolicy": "Retain"})] {
            assert_eq!(with(&kept).unwrap().deletion_policy, DeletionPolicy::Retain);
        }
        for more in ["Snapshot", "Delete"] {
            let (reason, message) = reason_of(with(&json!({"deletionPolicy": more})));
            assert!(reason == "InvalidSpec" && message.starts_with("spec.deletionPolicy: "), "{message}");
        }
    }

    #[test]
    fn of_two_objects_for_one_claim_neither_is_taken() {
        let two =
            vec![object("legacy", &json!({})), object("second", &json!({"spec": {"physicalName": "other"}}))];
        let (reason, message) = reason_of(validated(&json!({}), two));
        assert!(
            reason == "ClaimConflict" && message.contains("legacy") && message.contains("second"),
            "{message}"
        );
    }
}
