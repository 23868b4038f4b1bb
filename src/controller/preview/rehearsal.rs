//! A rehearsal: a copy of the world in which turns are gone through, and the answer that grows from it.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use rand::RngExt;
use serde_json::{Value, json};

use crate::api::condition::Summary;
use crate::api::labels::BINDING_HASH;
use crate::api::names::TenantId;
use crate::api::preview::{
    Action, FieldChange, KNOWN_AFTER_APPLY, ObjectChange, Preview, Problem, SENSITIVE, UNKNOWN_ID,
};
use crate::api::{Microservice, ServerDatabase, TenantDatabase};
use crate::controller::apply::{ApplyError, Declared};
use crate::controller::child::Child;
use crate::controller::compare::{self, APPLIED_HASH, Difference};
use crate::controller::context::{Context, StoreOf, Stores};
use crate::controller::declared::Verdict;
use crate::controller::object::{Key, Kind};
use crate::controller::outcome;
use crate::controller::own::{Own, OwnKind};
use crate::controller::worker::key_of;

/// Annotation that kubectl keeps for itself.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A copy of the world, and the answer so far.
pub struct Rehearsal<'a> {
    /// The world as it is. Only read.
    pub(super) real: &'a Context,
    /// The world as it would be.
    pub(super) world: Context,
    /// Servers that exist only in the question.
    pub(super) new_servers: BTreeSet<String>,
    asked_servers: BTreeSet<String>,
    answer: Preview,
    /// Values made up for this rehearsal, and what stands for each in the answer.
    unknown: BTreeMap<String, &'static str>,
}

/// Whether the turns after a declaration may count on its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is there, or would be.
    Firm,
    /// It is in the way, or on its way out.
    Amiss,
}

impl<'a> Rehearsal<'a> {
    /// A copy of the world with the children in those namespaces.
    pub fn new(real: &'a Context, namespaces: &BTreeSet<String>) -> Self {
        Self {
            real,
            world: real.imagine(namespaces),
            new_servers: BTreeSet::new(),
            asked_servers: BTreeSet::new(),
            answer: Preview::default(),
            unknown: BTreeMap::new(),
        }
    }

    /// The answer, with nothing in it that was made up.
    pub fn answer(mut self) -> Result<Preview, serde_json::Error> {
        self.answer.count();
        let mut text = serde_json::to_string(&self.answer)?;
        for (made_up, shown) in &self.unknown {
            text = text.replace(made_up, shown);
        }
        let mut answer: Preview = serde_json::from_str(&text)?;
        if text.contains(UNKNOWN_ID) {
            let note = format!("{UNKNOWN_ID} stands for the id of a new tenant, which is known after apply");
            answer.notes.push(note);
        }
        Ok(answer)
    }

    /// Servers of the question.
    pub fn asked_servers(&self) -> Vec<String> {
        self.asked_servers.iter().cloned().collect()
    }

    /// Lays an object of the question over the world. Whose it is and how it does the world knows better.
    pub fn lay<K: OwnKind>(&mut self, mut object: K) -> Result<(), ApplyError>
    where
        Stores: StoreOf<K>,
    {
        let key = key_of(&object);
        let before: Option<K> = self.real.valid(&key);
        if let Some(before) = &before {
            let (old, meta) = (before.meta().clone(), object.meta_mut());
            meta.uid = old.uid;
            meta.deletion_timestamp = old.deletion_timestamp;
            meta.finalizers = old.finalizers;
            meta.owner_references = old.owner_references;
            *object.status_mut() = before.status().cloned();
        } else {
            object.meta_mut().uid = Some(self.make_up(K::KIND == Kind::Tenant));
            object.meta_mut().generation = Some(1);
            *object.status_mut() = None;
        }
        if K::KIND == Kind::DatabaseServer {
            self.asked_servers.insert(key.name.to_string());
            if before.is_none() {
                self.new_servers.insert(key.name.to_string());
            }
        }
        let value = |object: &K| {
            let value = serde_json::to_value(object);
            value.map(asked_part).map_err(|source| ApplyError::Serialize { kind: K::KIND, source })
        };
        let after = value(&object)?;
        match before.as_ref().map(value).transpose()? {
            None => self.note(Action::Add, K::KIND, &key, vec![]),
            Some(before) => {
                let fields: Vec<FieldChange> = compare::changes(&before, &after).iter().map(shown).collect();
                if !fields.is_empty() {
                    self.note(Action::Change, K::KIND, &key, fields);
                }
            }
        }
        self.put(object);
        Ok(())
    }

    /// Compares a declaration with its live object, notes what would change, and has the world be so.
    pub(super) async fn declare(&mut self, declared: &Declared) -> Standing {
        let (kind, key) = (declared.kind, &declared.key);
        match self.real.gate.look(declared).await {
            Ok(Some(Verdict::Same)) => return Standing::Firm,
            Ok(None) => {
                self.note(Action::Add, kind, key, vec![]);
            }
            Ok(Some(Verdict::Different(live))) => {
                let fields = fields(kind, &compare::differences(&live, declared.body()));
                self.note(Action::Change, kind, key, fields);
            }
            Ok(Some(Verdict::Leaving)) => {
                self.answer
                    .notes
                    .push(format!("{kind} {key} is being deleted; it is made again when it is gone"));
                return Standing::Amiss;
            }
            Err(error) => {
                self.problem(kind, key, &outcome::summary(&error));
                return Standing::Amiss;
            }
        }
        if kind == Kind::Secret {
            // Its content is made when it is written.
            let hash = declared.body()["metadata"]["annotations"][BINDING_HASH].as_str();
            self.unknown.extend(hash.map(|hash| (hash.to_owned(), KNOWN_AFTER_APPLY)));
        }
        self.settle(declared);
        Standing::Firm
    }

    /// Notes that an object would be removed, and has the world be so.
    pub(super) fn destroy(&mut self, kind: Kind, key: &Key) {
        self.note(Action::Destroy, kind, key, vec![]);
        match kind {
            Kind::TenantDatabase => self.world.stores.tenant_databases.take(key),
            Kind::Microservice => self.world.stores.microservices.take(key),
            _ => {}
        }
        if let Some(store) = self.world.children.get(&kind) {
            store.take(key);
        }
    }

    /// Notes what stands against going further with an object.
    pub(super) fn problem(&mut self, kind: Kind, key: &Key, summary: &Summary) {
        let (Summary::Progressing { reason, message } | Summary::Stalled { reason, message }) = summary
        else {
            return;
        };
        self.answer.problems.push(Problem {
            object: format!("{kind} {key}"),
            reason: (*reason).to_owned(),
            message: message.clone(),
        });
    }

    /// The answer so far.
    pub(super) fn so_far(&mut self) -> &mut Preview {
        &mut self.answer
    }

    /// Holds an object of ours from now on.
    pub(super) fn put<K: OwnKind>(&self, object: K)
    where
        Stores: StoreOf<K>,
    {
        let key = key_of(&object);
        if let Some(children) = self.world.children.get(&K::KIND) {
            children.put(key.clone(), Child::new(K::KIND, object.meta()));
        }
        self.world.stores.store().put(key, Own::Valid(object));
    }

    fn note(&mut self, action: Action, kind: Kind, key: &Key, fields: Vec<FieldChange>) {
        let namespace = Some(key.namespace.to_string()).filter(|namespace| !namespace.is_empty());
        let change =
            ObjectChange { action, kind: kind.to_string(), namespace, name: key.name.to_string(), fields };
        // An object of the question may be one that a blueprint asks for, too.
        let same = |known: &&mut ObjectChange| {
            (&known.kind, &known.namespace, &known.name) == (&change.kind, &change.namespace, &change.name)
        };
        match self.answer.objects.iter_mut().find(same) {
            Some(known) => known.fields.extend(change.fields),
            None => self.answer.objects.push(change),
        }
    }

    /// The world after a declaration was applied.
    fn settle(&mut self, declared: &Declared) {
        let (kind, key) = (declared.kind, &declared.key);
        match kind {
            Kind::TenantDatabase => self.settle_own::<TenantDatabase>(declared),
            Kind::Microservice => self.settle_own::<Microservice>(declared),
            Kind::ServerDatabase => self.settle_own::<ServerDatabase>(declared),
            _ => {}
        }
        let Some(store) = self.world.children.get(&kind) else { return };
        let meta = serde_json::from_value(declared.body()["metadata"].clone());
        let Ok(meta) = meta else { return };
        let uid = store.get(key).map(|child| child.uid.clone());
        store.put(key.clone(), Child { uid: uid.unwrap_or_default(), ..Child::new(kind, &meta) });
    }

    fn settle_own<K: OwnKind>(&mut self, declared: &Declared)
    where
        Stores: StoreOf<K>,
    {
        let Ok(mut object) = serde_json::from_value::<K>(declared.body().clone()) else { return };
        let before: Option<K> = self.world.valid(&declared.key);
        if let Some(before) = before {
            object.meta_mut().uid = before.uid();
            object.meta_mut().generation = before.meta().generation;
            *object.status_mut() = before.status().cloned();
        } else {
            object.meta_mut().uid = Some(self.make_up(false));
            object.meta_mut().generation = Some(1);
        }
        self.put(object);
    }

    /// A UID for an object that does not exist. It never shows.
    fn make_up(&mut self, tenant: bool) -> String {
        let uid = format!("{:032x}", self.real.random(RngExt::random::<u128>));
        if tenant {
            self.unknown.insert(TenantId::of_uid(&uid).to_string(), UNKNOWN_ID);
        }
        self.unknown.insert(uid.clone(), KNOWN_AFTER_APPLY);
        uid
    }
}

/// The fields of a change, without what is nobody's to see.
fn fields(kind: Kind, differences: &[Difference<'_>]) -> Vec<FieldChange> {
    let bookkeeping = |difference: &&Difference<'_>| difference.path.contains(APPLIED_HASH);
    let telling: Vec<_> = differences.iter().filter(|difference| !bookkeeping(difference)).collect();
    // A field that is no longer declared shows only in the hash of the declaration.
    let telling = if telling.is_empty() { differences.iter().collect() } else { telling };
    let secret = |path: &str| kind == Kind::Secret && path.starts_with("data");
    telling
        .into_iter()
        .map(|difference| match shown(difference) {
            FieldChange { path, before, after } if secret(&path) => FieldChange {
                path,
                before: before.map(|_| json!(SENSITIVE)),
                after: after.map(|_| json!(SENSITIVE)),
            },
            plain => plain,
        })
        .collect()
}

fn shown(difference: &Difference<'_>) -> FieldChange {
    FieldChange {
        path: difference.path.clone(),
        before: difference.live.cloned(),
        after: difference.desired.cloned(),
    }
}

/// The part of an object that people write.
fn asked_part(mut object: Value) -> Value {
    let metadata = &mut object["metadata"];
    if let Some(annotations) = metadata["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    let kept = ["labels", "annotations"].map(|field| (field, metadata[field].take()));
    let kept: Value = kept
        .into_iter()
        .filter(|(_, value)| value.as_object().is_some_and(|map| !map.is_empty()))
        .map(|(field, value)| (field.to_owned(), value))
        .collect();
    json!({"metadata": kept, "spec": object["spec"].take()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: Kind, live: &Value, desired: &Value) -> Vec<(String, Option<Value>, Option<Value>)> {
        let fields = fields(kind, &compare::differences(live, desired));
        fields.into_iter().map(|field| (field.path, field.before, field.after)).collect()
    }

    #[test]
    fn no_value_of_a_secret_is_shown() {
        let live = json!({"type": "a", "data": {"password": "b2xk", "uri": "eA=="}});
        let desired = json!({"type": "b", "data": {"password": "bmV3", "uri": "eA==", "ca.crt": "eQ=="}});
        let hidden = || Some(json!(SENSITIVE));
        assert_eq!(
            change(Kind::Secret, &live, &desired),
            [
                ("data[\"ca.crt\"]".to_owned(), None, hidden()),
                ("data.password".to_owned(), hidden(), hidden()),
                ("type".to_owned(), Some(json!("a")), Some(json!("b"))),
            ]
        );
        let whole = change(Kind::Secret, &json!({}), &desired);
        assert_eq!(whole[0], ("data".to_owned(), None, hidden()));
    }

    #[test]
    fn the_hash_of_a_declaration_shows_only_where_nothing_else_does() {
        let object = |hash: &str, replicas: u8| json!({"metadata": {"annotations": {APPLIED_HASH: hash}}, "spec": replicas});
        let paths = |live: &Value, desired: &Value| -> Vec<String> {
            change(Kind::Deployment, live, desired).into_iter().map(|(path, ..)| path).collect()
        };
        assert_eq!(paths(&object("a", 1), &object("b", 2)), ["spec"]);
        assert_eq!(
            paths(&object("a", 1), &object("b", 1)),
            [format!("metadata.annotations[\"{APPLIED_HASH}\"]")]
        );
    }

    #[test]
    fn of_an_object_only_what_people_write_counts() {
        let object = json!({
            "metadata": {
                "name": "a", "uid": "u", "labels": {"team": "red"}, "generation": 7,
                "annotations": {LAST_APPLIED: "{}"},
            },
            "spec": {"a": 1}, "status": {"b": 2},
        });
        assert_eq!(asked_part(object), json!({"metadata": {"labels": {"team": "red"}}, "spec": {"a": 1}}));
    }
}
