//! Declarations: what an object has to be, and how a live one shows whose it is. Pure.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::DynamicObject;
use serde::Serialize;
use serde_json::Value;

use super::apply::ApplyError;
use super::compare::{self, APPLIED_HASH};
use super::former;
use super::object::{Key, Kind};
use crate::api::labels;

/// A declaration: what an object has to be.
#[derive(Clone, PartialEq)]
pub struct Declared {
    /// Kind of the object.
    pub kind: Kind,
    /// Key of the object.
    pub key: Key,
    /// UID of the object that this one belongs to; [`Gate::apply`](super::apply::Gate::apply) refuses a live one of another owner.
    pub owner_uid: String,
    /// Whether people make such an object, for us to go on with.
    takes_over: bool,
    /// UIDs of earlier owners, whose objects become ours.
    former: Vec<String>,
    /// When its owner was made, where what is older is ours only if it says so.
    since: Option<Time>,
    body: Value,
    hash: String,
}

impl Declared {
    /// Declares `object`, which belongs to the object with the UID `owner_uid`.
    ///
    /// The owner is recorded in an annotation, also where a controller reference says the same: whoever removes
    /// the one leaves the other as a proof.
    pub fn new<T: Serialize>(kind: Kind, owner_uid: &str, object: &T) -> Result<Self, ApplyError> {
        let mut body =
            serde_json::to_value(object).map_err(|source| ApplyError::Serialize { kind, source })?;
        let resource = kind.api_resource();
        body["apiVersion"] = resource.api_version.into();
        body["kind"] = resource.kind.into();
        body["metadata"]["annotations"][labels::OWNER_UID] = owner_uid.into();
        body.as_object_mut().map(|fields| fields.remove("status"));
        let hash = compare::declaration_hash(&body);
        body["metadata"]["annotations"][APPLIED_HASH] = hash.as_str().into();
        let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
        let key = Key::namespaced(&text(&body["metadata"]["namespace"]), &text(&body["metadata"]["name"]));
        Ok(Self {
            kind,
            key,
            owner_uid: owner_uid.to_owned(),
            takes_over: false,
            former: vec![],
            since: None,
            body,
            hash,
        })
    }

    /// The same of an object that a person has made to give us something: one that bears nobody's mark becomes ours.
    #[must_use]
    pub fn taking_over(self) -> Self {
        Self { takes_over: true, ..self }
    }

    /// The same of an object that goes over to its owner from one of those.
    #[must_use]
    pub fn taking_from(self, former: &[String]) -> Self {
        Self { former: former.to_vec(), ..self }
    }

    /// The same of an object that people make too, and that lets them in: one that names no owner is ours only if it was not there before
    /// its own.
    #[must_use]
    pub fn made_since(self, since: Option<&Time>) -> Self {
        Self { since: since.cloned(), ..self }
    }

    /// Hash of the declaration.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The declaration as it is sent; golden tests compare it.
    pub fn body(&self) -> &Value {
        &self.body
    }
}

/// Secrets pass through here, so only the name is shown.
impl fmt::Debug for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// What a live object is, seen from its declaration.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// As declared.
    Same,
    /// Different; this is what it is.
    Different(Value),
    /// Being deleted, or left over from an earlier owner of the same name and on its way out.
    Leaving,
}

/// Compares a live object with its declaration. `known` is the UID that the object of that key had when we last wrote
/// it or found it right.
pub fn judge(declared: &Declared, live: &DynamicObject, known: Option<&str>) -> Result<Verdict, ApplyError> {
    let kind = declared.kind;
    if live.metadata.deletion_timestamp.is_some() {
        return Ok(Verdict::Leaving);
    }
    match ownership(&live.metadata, &declared.owner_uid, known) {
        Ownership::Ours => {}
        Ownership::Marked if is_since(&live.metadata, declared.since.as_ref()) => {}
        Ownership::Orphaned => return Ok(Verdict::Leaving),
        Ownership::Foreign if former::belonged(&live.metadata, &declared.former) => {}
        Ownership::Foreign if declared.takes_over && is_unmarked(&live.metadata) => {}
        Ownership::Marked | Ownership::Foreign => {
            return Err(ApplyError::Foreign { kind, key: declared.key.clone() });
        }
    }
    let live = serde_json::to_value(live).map_err(|source| ApplyError::Serialize { kind, source })?;
    Ok(if compare::contains(&live, declared.body()) { Verdict::Same } else { Verdict::Different(live) })
}

fn is_unmarked(meta: &ObjectMeta) -> bool {
    let marked = meta.annotations.as_ref().is_some_and(|all| all.contains_key(labels::OWNER_UID));
    !marked && meta.owner_references.iter().flatten().all(|owner| owner.controller != Some(true))
}

/// Whether the object with that metadata was not there before `since`.
pub fn is_since(meta: &ObjectMeta, since: Option<&Time>) -> bool {
    since.is_none_or(|since| meta.creation_timestamp.as_ref().is_some_and(|made| made >= since))
}

/// Whose a live object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It belongs to the object that declares it.
    Ours,
    /// It bears our marks and names nobody: it may have lost its owner's, or somebody made it so.
    Marked,
    /// It belonged to an earlier object of the same name and goes with it.
    Orphaned,
    /// It is somebody else's.
    Foreign,
}

/// Whose the object with that metadata is, seen from the object with the UID `owner`. `known` is the UID of the
/// object of that key which we last wrote or found right.
///
/// Any proof is enough, since somebody may have removed the other. Without any, our labels and the hash of our
/// declaration tell that we may have made it; with one of another owner they tell nothing.
pub fn ownership(meta: &ObjectMeta, owner: &str, known: Option<&str>) -> Ownership {
    let text = |map: &Option<std::collections::BTreeMap<String, String>>, name: &str| {
        map.as_ref().and_then(|all| all.get(name)).cloned()
    };
    let annotated = text(&meta.annotations, labels::OWNER_UID);
    let controller = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    if annotated.as_deref() == Some(owner) || controller.is_some_and(|controller| controller.uid == owner) {
        return Ownership::Ours;
    }
    if known.is_some() && known == meta.uid.as_deref() {
        return Ownership::Ours;
    }
    let made_by_us = text(&meta.labels, labels::MANAGED_BY).as_deref() == Some(labels::MANAGER)
        && text(&meta.annotations, APPLIED_HASH).is_some();
    match (made_by_us, controller.is_some(), annotated.is_some()) {
        (true, true, _) => Ownership::Orphaned,
        (true, false, false) => Ownership::Marked,
        _ => Ownership::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn any_proof_is_enough_and_another_owners_is_none() {
        let with = |fields: Value| -> ObjectMeta { serde_json::from_value(fields).unwrap() };
        let reference = |uid: &str| json!([{"apiVersion": "v1", "kind": "K", "name": "n", "uid": uid, "controller": true}]);
        let made = json!({"app.kubernetes.io/managed-by": "tenantry"});
        let annotations = |owner: Option<&str>| match owner {
            Some(owner) => json!({"tenantry.dev/applied-hash": "h", "tenantry.dev/owner-uid": owner}),
            None => json!({"tenantry.dev/applied-hash": "h"}),
        };
        let cases = [
            (json!({"annotations": annotations(Some("me"))}), Ownership::Ours),
            (json!({"ownerReferences": reference("me")}), Ownership::Ours),
            (json!({"uid": "known"}), Ownership::Ours),
            (json!({"labels": made, "annotations": annotations(None)}), Ownership::Marked),
            (
                json!({"labels": made, "annotations": annotations(Some("old")), "ownerReferences": reference("old")}),
                Ownership::Orphaned,
            ),
            (json!({"labels": made, "annotations": annotations(Some("old"))}), Ownership::Foreign),
            (json!({"ownerReferences": reference("other")}), Ownership::Foreign),
            (json!({"labels": made}), Ownership::Foreign),
            (json!({}), Ownership::Foreign),
        ];
        for (meta, expected) in cases {
            assert_eq!(ownership(&with(meta.clone()), "me", Some("known")), expected, "{meta}");
        }
    }

    #[test]
    fn a_namespace_that_was_there_before_its_tenant_is_ours_only_if_it_says_so() {
        let time = |second: u32| -> Time {
            serde_json::from_value(json!(format!("2026-11-22T10:00:0{second}Z"))).unwrap()
        };
        let verdict = |made: u32, owner: Option<&str>, known: Option<&str>| {
            let mut live = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {
                    "name": "tenant-acme", "uid": "ns", "creationTimestamp": time(made),
                    "labels": {"app.kubernetes.io/managed-by": "tenantry"},
                    "annotations": {"tenantry.dev/applied-hash": "h"},
                },
            });
            if let Some(owner) = owner {
                live["metadata"]["annotations"]["tenantry.dev/owner-uid"] = owner.into();
            }
            let wanted = json!({"metadata": {"name": "tenant-acme"}});
            let declared =
                Declared::new(Kind::Namespace, "acme", &wanted).unwrap().made_since(Some(&time(5)));
            judge(&declared, &serde_json::from_value(live).unwrap(), known).is_ok()
        };
        assert!(!verdict(4, None, None));
        assert!(verdict(5, None, None) && verdict(6, None, None), "it lost its owner's mark");
        assert!(verdict(4, None, Some("ns")), "we have seen it as ours");
        assert!(verdict(4, Some("acme"), None) && !verdict(6, Some("other"), None));
    }
}
