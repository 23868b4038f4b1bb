//! Namespaces that outlive their Tenant: who had them, whether they were let go, and who takes them over. Pure.
//!
//! A deletion cannot be taken back, but a cancelled deletion brake lets go of nothing but the Tenant: its namespace stays, with an
//! annotation that says so, which is the operator's own to write: whoever owns a tenant has no rights on its Namespace. A Tenant of that name that is
//! applied again is another one. It gets the namespace and what is in it only if it names the UID of the one before.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::child::Child;
use crate::api::condition::{Summary, reason};
use crate::api::deletion::DeletionPolicy;
use crate::api::labels::{FORMER_TENANTS, KEPT_BY, OWNER_UID, TAKE_OVER};
use crate::api::server_database::DatabasePhase;
use crate::api::{ServerDatabase, Tenant, names};
use crate::postgres::facts::{Claim, Marker, Phase};

/// The UIDs in the value of [`FORMER_TENANTS`].
fn listed(value: Option<&str>) -> Vec<String> {
    value.unwrap_or_default().split(',').filter(|uid| !uid.is_empty()).map(str::to_owned).collect()
}

/// That list and `uid`, as an annotation says it.
pub fn with(mut former: Vec<String>, uid: &str) -> Vec<String> {
    if !former.iter().any(|known| known == uid) {
        former.push(uid.to_owned());
    }
    former
}

/// The Tenants that had the namespace with that metadata, or have let it go.
pub fn of(namespace: &ObjectMeta) -> Vec<String> {
    listed(namespace.annotations.as_ref().and_then(|all| all.get(FORMER_TENANTS)).map(String::as_str))
}

/// Whether that namespace of the Tenant with that UID was let go.
pub fn is_let_go_by(namespace: &ObjectMeta, uid: &str) -> bool {
    of(namespace).iter().any(|former| former == uid)
}

/// Whether the namespace was let go, and nobody has taken it over since.
pub fn is_let_go(namespace: &Child) -> bool {
    let owner = namespace.owner_uid.as_deref();
    owner.is_some_and(|owner| listed(namespace.former_tenants.as_deref()).iter().any(|it| it == owner))
}

/// Whose databases and objects in the namespace are those of the Tenant with that UID now, which has taken it over.
pub fn taken_over(uid: Option<&str>, namespace: Option<&Child>) -> Vec<String> {
    let own = namespace.filter(|it| uid.is_some() && it.owner_uid.as_deref() == uid);
    let former = listed(own.and_then(|own| own.former_tenants.as_deref()));
    former.into_iter().filter(|former| Some(former.as_str()) != uid).collect()
}

/// The same, when the Tenant takes the namespace over with this turn too. The error is what Ready says of one that is another
/// Tenant's: of that name there is one at a time, so the other one is gone.
pub fn take_over(tenant: &Tenant, namespace: Option<&Child>) -> Result<Vec<String>, Summary> {
    let uid = tenant.metadata.uid.as_deref();
    // What is younger than the tenant is no earlier one's: somebody has changed what it says, which is declared again.
    let since = tenant.metadata.creation_timestamp.as_ref().map(|made| made.0.as_second());
    let earlier = |it: &Child| it.made.zip(since).is_none_or(|(made, since)| made < since);
    let other = namespace.filter(|it| !it.deleting && it.owner_uid.as_deref() != uid && earlier(it));
    let Some((other, owner)) = other.and_then(|other| Some((other, other.owner_uid.as_deref()?))) else {
        return Ok(taken_over(uid, namespace));
    };
    let asked = tenant.annotations().get(TAKE_OVER);
    if asked.is_some_and(|asked| asked == owner) {
        return Ok(with(listed(other.former_tenants.as_deref()), owner));
    }
    let name = tenant.name_any();
    let wrong =
        asked.map(|asked| format!(", and not to {asked}, which {TAKE_OVER} names")).unwrap_or_default();
    let message = format!(
        "Namespace {} belongs to an earlier Tenant of this name{wrong}: what is in it works and stays as it is; to take it over with its \
         databases and services: kubectl annotate tenant {name} --overwrite {TAKE_OVER}={owner}",
        names::tenant_namespace(&name)
    );
    Err(Summary::Stalled { reason: reason::NAMESPACE_TAKEN, message })
}

/// What is said of something in a namespace that no Tenant has: `what` it is, as it is to be created.
pub fn without_tenant(what: &str, name: &str, namespace: Option<&Child>) -> Summary {
    let owner = namespace.and_then(|namespace| namespace.owner_uid.as_deref());
    if let (Some(tenant), Some(owner)) = (names::tenant_of_namespace(name), owner) {
        let message = format!(
            "Tenant {tenant} is gone, and all that is in Namespace {name} stays as it is: create it again with the annotation \
             {TAKE_OVER}: {owner}"
        );
        return Summary::Stalled { reason: reason::TENANT_GONE, message };
    }
    let message = format!("Namespace {name} belongs to no tenant: create the {what} in a tenant's namespace");
    Summary::Stalled { reason: reason::NOT_A_TENANT_NAMESPACE, message }
}

/// Whether a row is that of the claim, by namespace and name, from a Tenant whose namespace was taken over: its claim may have been
/// made again since, as the same Tenant's may. A released one is not: it was given up before.
pub fn left(row: &Marker, claim: &Claim, former: &[String]) -> bool {
    let held = matches!(row.phase, Phase::Creating | Phase::Bound);
    let named = (&row.claim.namespace, &row.claim.name) == (&claim.namespace, &claim.name);
    held && named && former.contains(&row.tenant_uid)
}

/// Whether what says that it is the Tenant's with the UID `of` is the one's with `uid` by now, which has that namespace.
pub fn holds(uid: Option<&str>, of: &str, namespace: Option<&Child>) -> bool {
    uid.is_some_and(|uid| uid == of) || taken_over(uid, namespace).iter().any(|former| former == of)
}

/// Whether the object shows a database of the Tenant with that UID: one of its own, or one that it has from those and that was not
/// released.
pub fn has(database: &ServerDatabase, uid: &str, former: &[String]) -> bool {
    let Some(status) = &database.status else { return false };
    let held = matches!(status.phase, Some(DatabasePhase::Bound));
    let of = status.tenant_uid.as_deref();
    of.is_some_and(|of| of == uid || held && former.iter().any(|former| former == of))
}

/// What a Tenant that goes leaves with the object of a database to say what it `said` of it, unless the object shows that already,
/// or that the database is none of its own. One that it has from a former Tenant, and whose row still says so, keeps what that one
/// left if it keeps more.
pub fn word(
    database: &ServerDatabase,
    (uid, said): (&str, DeletionPolicy),
    former: &[String],
) -> Option<String> {
    let left = database.annotations().get(KEPT_BY).and_then(|left| left.split_once('/'));
    let shown = database.status.as_ref();
    let of = shown.and_then(|status| status.tenant_uid.as_deref()).or(left.map(|(of, _)| of)).unwrap_or(uid);
    let kept = left.filter(|(by, _)| *by == of).and_then(|(_, said)| DeletionPolicy::parse(said));
    let kept = kept.max(shown.and_then(|status| status.deletion_policy));
    let own = of == uid || former.iter().any(|former| former == of);
    (own && kept.unwrap_or(DeletionPolicy::Delete) < said).then(|| format!("{of}/{}", said.as_str()))
}

/// Whether the object with that metadata is one of those Tenants'.
pub fn belonged(meta: &ObjectMeta, former: &[String]) -> bool {
    let owner = meta.annotations.as_ref().and_then(|all| all.get(OWNER_UID));
    owner.is_some_and(|owner| former.contains(owner))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::api::server_database::{ServerDatabaseSpec, ServerDatabaseStatus};
    use crate::controller::object::Kind;

    fn namespace(owner: &str, former: Option<&str>) -> Child {
        let mut annotations = json!({OWNER_UID: owner});
        if let Some(former) = former {
            annotations[FORMER_TENANTS] = former.into();
        }
        Child::new(Kind::Namespace, &serde_json::from_value(json!({"annotations": annotations})).unwrap())
    }

    fn tenant(uid: &str, take_over: Option<&str>) -> Tenant {
        let mut tenant =
            Tenant::new("acme", serde_json::from_value(json!({"planRef": {"name": "small"}})).unwrap());
        tenant.metadata.uid = Some(uid.to_owned());
        if let Some(uid) = take_over {
            tenant.metadata.annotations = Some([(TAKE_OVER.to_owned(), uid.to_owned())].into());
        }
        tenant
    }

    fn list(uids: &[&str]) -> Vec<String> {
        uids.iter().map(|&uid| uid.to_owned()).collect()
    }

    #[test]
    fn only_who_names_the_tenant_before_takes_its_namespace_over() {
        let left = namespace("old", Some("old"));
        assert!(is_let_go(&left));
        let asks = |uid| take_over(&tenant("new", uid), Some(&left));
        assert_eq!(asks(Some("old")), Ok(list(&["old"])));
        let refused = |uid| match asks(uid) {
            Err(Summary::Stalled { reason: "NamespaceTaken", message }) => message,
            other => panic!("{other:?}"),
        };
        let how = "what is in it works and stays as it is; to take it over with its databases and services: kubectl annotate tenant acme \
                   --overwrite tenantry.dev/take-over=old";
        assert_eq!(
            refused(None),
            format!("Namespace tenant-acme belongs to an earlier Tenant of this name: {how}")
        );
        let wrong = "earlier Tenant of this name, and not to other, which tenantry.dev/take-over names: what";
        assert!(refused(Some("other")).contains(wrong));
        assert!(refused(Some("")).contains("to , which"), "nobody has an empty UID");
    }

    #[test]
    fn a_namespace_that_is_younger_than_its_tenant_is_no_earlier_ones_whatever_it_says() {
        let time = |second: i64| Time(Timestamp::from_second(second).unwrap());
        let mut tenant = tenant("new", None);
        tenant.metadata.creation_timestamp = Some(time(100));
        for (made, taken) in [(Some(99), true), (Some(100), false), (Some(101), false), (None, true)] {
            let own = Child { made, ..namespace("tampered", None) };
            assert_eq!(take_over(&tenant, Some(&own)).is_err(), taken, "{made:?}");
        }
    }

    #[test]
    fn what_was_taken_over_stays_so_whatever_the_annotation_of_the_tenant_says_then() {
        let own = namespace("new", Some("older,old"));
        assert!(!is_let_go(&own));
        for asked in [None, Some("old"), Some("other")] {
            assert_eq!(take_over(&tenant("new", asked), Some(&own)), Ok(list(&["older", "old"])));
        }
        assert_eq!(taken_over(Some("old"), Some(&own)), list(&[]), "it is another's by now");
        assert_eq!(taken_over(None, None), list(&[]));
        assert_eq!(take_over(&tenant("new", Some("old")), None), Ok(list(&[])), "there is none");
        // The next one to let it go has had what those before it had.
        let again = namespace("new", Some("older,old,new"));
        assert!(is_let_go(&again));
        assert_eq!(
            take_over(&tenant("newest", Some("new")), Some(&again)),
            Ok(list(&["older", "old", "new"]))
        );
    }

    #[test]
    fn only_the_row_of_a_claim_that_a_former_tenant_had_is_taken_over_also_when_the_claim_was_made_again() {
        let claim = Claim { namespace: "tenant-acme".into(), name: "app".into(), uid: Some("claim".into()) };
        let bound = Marker {
            claim: claim.clone(),
            tenant_uid: "old".into(),
            phase: Phase::Bound,
            ..Marker::sample()
        };
        let again = Claim { uid: Some("made-again".into()), ..claim.clone() };
        let former = list(&["older", "old"]);
        assert!(left(&bound, &claim, &former));
        assert!(left(&bound, &again, &former));
        for other in [
            Claim { name: "other".into(), ..claim.clone() },
            Claim { namespace: "tenant-other".into(), ..claim.clone() },
        ] {
            assert!(!left(&bound, &other, &former));
        }
        assert!(!left(&bound, &claim, &list(&["older"])));
        assert!(!left(&Marker { phase: Phase::Released, ..bound }, &claim, &former));
    }

    /// The object of a database, as it shows that Tenant, that policy and that word.
    fn shown(tenant: Option<&str>, policy: DeletionPolicy, word: Option<&str>) -> ServerDatabase {
        let mut database = ServerDatabase::new("t-i-app", ServerDatabaseSpec::default());
        database.metadata.annotations = word.map(|word| [(KEPT_BY.to_owned(), word.to_owned())].into());
        database.status = Some(ServerDatabaseStatus {
            phase: Some(DatabasePhase::Bound),
            tenant_uid: tenant.map(str::to_owned),
            deletion_policy: Some(policy),
            ..ServerDatabaseStatus::default()
        });
        database
    }

    #[test]
    fn a_tenant_leaves_its_word_with_its_own_databases_and_those_that_it_took_over_and_no_others() {
        use DeletionPolicy::{Delete, Retain, Snapshot};
        let says =
            |database: &ServerDatabase, said, former: &[&str]| word(database, ("new", said), &list(former));
        assert_eq!(says(&shown(Some("new"), Delete, None), Retain, &[]), Some("new/Retain".into()));
        assert_eq!(says(&shown(Some("new"), Retain, None), Retain, &[]), None, "it shows that");
        assert_eq!(says(&shown(Some("new"), Delete, Some("new/Retain")), Retain, &[]), None, "it is left");
        assert_eq!(
            says(&shown(Some("new"), Delete, Some("old/Retain")), Retain, &[]),
            Some("new/Retain".into())
        );
        // Another Tenant's, whose word stays.
        for database in
            [shown(Some("old"), Delete, Some("old/Retain")), shown(None, Delete, Some("old/Retain"))]
        {
            for said in [Delete, Retain, Snapshot] {
                assert_eq!(says(&database, said, &[]), None);
            }
        }
        // It was taken over, and its row has not moved yet: what is left has to name the Tenant that the row does.
        let taken = |word| shown(Some("old"), Delete, word);
        assert_eq!(says(&taken(None), Retain, &["old"]), Some("old/Retain".into()));
        assert_eq!(says(&taken(Some("old/Snapshot")), Retain, &["old"]), None, "that keeps more");
        assert_eq!(says(&taken(Some("old/Retain")), Snapshot, &["old"]), Some("old/Snapshot".into()));
        assert_eq!(
            says(&shown(None, Delete, None), Retain, &[]),
            Some("new/Retain".into()),
            "nobody else is named"
        );
    }

    #[test]
    fn what_a_former_tenant_had_is_the_new_ones_while_nobody_has_released_it() {
        let own = namespace("new", Some("old"));
        for (of, expected) in [("new", true), ("old", true), ("other", false)] {
            assert_eq!(holds(Some("new"), of, Some(&own)), expected, "{of}");
            assert_eq!(
                has(&shown(Some(of), DeletionPolicy::Delete, None), "new", &list(&["old"])),
                expected,
                "{of}"
            );
        }
        assert!(!holds(Some("new"), "old", Some(&namespace("old", Some("old")))), "nobody has taken it over");
        assert!(!holds(Some("new"), "old", None) && !holds(None, "old", Some(&own)));
        let mut released = shown(Some("old"), DeletionPolicy::Delete, None);
        released.status.as_mut().unwrap().phase = Some(DatabasePhase::Released);
        assert!(!has(&released, "new", &list(&["old"])));
    }
}
