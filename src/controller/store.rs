//! What we know of the cluster: one store a kind, fed by its watch and by the answers to our own writes.
//!
//! # Guarantees
//! - A store never goes back: an event older than what it holds is dropped (resource versions are compared as
//!   numbers, as Kubernetes allows since 1.35 and etcd has always made true).
//! - It shows our own writes at once. A reconcile that follows a write therefore never sees the world before it,
//!   which would make it write again.
//! - An answer that arrives after the watch has passed it is ignored: the object may be gone by then.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use super::object::Key;

/// Resource version as a number; what is none counts as oldest.
pub fn version_number(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// What a store keeps of an object.
struct Entry<T> {
    version: u64,
    relist: u64,
    value: Arc<T>,
}

struct Inner<T> {
    entries: BTreeMap<Key, Entry<T>>,
    /// Newest version that the watch has delivered.
    high_water: u64,
    /// Number of the relist under way or last done.
    relist: u64,
    /// Newest version that this relist has delivered.
    relist_high: u64,
}

/// The objects of one kind.
pub struct Store<T> {
    inner: RwLock<Inner<T>>,
    synced: watch::Sender<bool>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self {
            inner: RwLock::new(Inner { entries: BTreeMap::new(), high_water: 0, relist: 0, relist_high: 0 }),
            synced: watch::Sender::new(false),
        }
    }
}

/// What an event did to a store.
#[derive(Debug)]
pub enum Change<T> {
    /// The object is new or changed.
    Upserted {
        /// Its key.
        key: Key,
        /// What the store held before.
        before: Option<Arc<T>>,
        /// What it holds now.
        after: Arc<T>,
    },
    /// The object is gone.
    Removed {
        /// Its key.
        key: Key,
        /// What the store held last.
        before: Arc<T>,
    },
}

impl<T> Store<T> {
    fn read(&self) -> RwLockReadGuard<'_, Inner<T>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<T>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object of that key.
    pub fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.read().entries.get(key).map(|entry| Arc::clone(&entry.value))
    }

    /// Resource version of that object, as a number: status counts here too.
    pub fn version(&self, key: &Key) -> Option<u64> {
        self.read().entries.get(key).map(|entry| entry.version)
    }

    /// Every object.
    pub fn all(&self) -> Vec<(Key, Arc<T>)> {
        self.read().entries.iter().map(|(key, entry)| (key.clone(), Arc::clone(&entry.value))).collect()
    }

    /// Shows every object, without copying any. `look` must not come back to this store.
    pub fn each(&self, mut look: impl FnMut(&T)) {
        self.read().entries.values().for_each(|entry| look(&entry.value));
    }

    /// Every object of a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<(Key, Arc<T>)> {
        let from = Key::namespaced(namespace, "");
        self.read()
            .entries
            .range((Bound::Included(&from), Bound::Unbounded))
            .take_while(|(key, _)| &*key.namespace == namespace)
            .map(|(key, entry)| (key.clone(), Arc::clone(&entry.value)))
            .collect()
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.read().entries.len()
    }

    /// Whether the store holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of what `keep` names, to think something through in: no watch feeds it.
    #[must_use]
    pub fn fork(&self, keep: impl Fn(&Key) -> bool) -> Self {
        let kept = Self::default();
        let inner = self.read();
        let entries = inner.entries.iter().filter(|(key, _)| keep(key)).map(|(key, entry)| {
            let value = Arc::clone(&entry.value);
            (key.clone(), Entry { version: entry.version, relist: entry.relist, value })
        });
        kept.write().entries.extend(entries);
        kept
    }

    /// Holds `value` from now on, whatever was there; for copies that no watch feeds.
    pub fn put(&self, key: Key, value: T) {
        self.write().entries.insert(key, Entry { version: 0, relist: 0, value: Arc::new(value) });
    }

    /// Holds nothing of that key from now on; for copies that no watch feeds.
    pub fn take(&self, key: &Key) {
        self.write().entries.remove(key);
    }

    /// Whether the first list is complete.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until the first list is complete.
    pub async fn wait_synced(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Takes the answer to a write of ours. The watch will not tell of it again, so whoever depends on the object has
    /// to be told by what this returns.
    pub fn observe_write(&self, meta: &ObjectMeta, value: T) -> Option<Change<T>> {
        let mut inner = self.write();
        let version = version_number(meta);
        if version <= inner.high_water {
            return None;
        }
        let relist = inner.relist;
        inner.upsert(Key::of(meta), version, relist, value)
    }

    /// Takes an event of the watch. `into` says what to keep of the object.
    pub fn observe_event<K>(
        &self,
        event: Event<K>,
        meta: impl Fn(&K) -> &ObjectMeta,
        into: impl Fn(K) -> T,
    ) -> Vec<Change<T>> {
        let mut inner = self.write();
        match event {
            Event::Init => {
                inner.relist += 1;
                inner.relist_high = 0;
                Vec::new()
            }
            Event::InitApply(object) => {
                let (key, version) = (Key::of(meta(&object)), version_number(meta(&object)));
                inner.relist_high = inner.relist_high.max(version);
                let relist = inner.relist;
                // A list is at least as new as all that we held when it began. If its versions are lower, the
                // cluster was restored to the past, and the past is what counts now.
                if let Some(entry) = inner.entries.get_mut(&key).filter(|entry| entry.relist < relist) {
                    entry.version =
                        entry.version.min(version.saturating_sub(u64::from(entry.version != version)));
                }
                inner.upsert(key, version, relist, into(object)).into_iter().collect()
            }
            Event::Apply(object) => {
                let (key, version) = (Key::of(meta(&object)), version_number(meta(&object)));
                inner.high_water = inner.high_water.max(version);
                let relist = inner.relist;
                inner.upsert(key, version, relist, into(object)).into_iter().collect()
            }
            Event::Delete(object) => {
                let (key, version) = (Key::of(meta(&object)), version_number(meta(&object)));
                inner.high_water = inner.high_water.max(version);
                if inner.entries.get(&key).is_some_and(|entry| entry.version > version) {
                    return Vec::new();
                }
                inner
                    .entries
                    .remove(&key)
                    .map(|entry| Change::Removed { key, before: entry.value })
                    .into_iter()
                    .collect()
            }
            Event::InitDone => {
                inner.high_water = inner.relist_high;
                let relist = inner.relist;
                let gone: Vec<Key> = inner
                    .entries
                    .iter()
                    .filter(|(_, e)| e.relist < relist)
                    .map(|(key, _)| key.clone())
                    .collect();
                let changes = gone
                    .into_iter()
                    .filter_map(|key| {
                        let entry = inner.entries.remove(&key)?;
                        Some(Change::Removed { key, before: entry.value })
                    })
                    .collect();
                drop(inner);
                self.synced.send_replace(true);
                changes
            }
        }
    }
}

impl<T> Inner<T> {
    fn upsert(&mut self, key: Key, version: u64, relist: u64, value: T) -> Option<Change<T>> {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.relist = relist;
            if entry.version >= version && version != 0 {
                return None;
            }
            let before = Some(Arc::clone(&entry.value));
            entry.version = version;
            entry.value = Arc::new(value);
            return Some(Change::Upserted { key, before, after: Arc::clone(&entry.value) });
        }
        let value = Arc::new(value);
        self.entries.insert(key.clone(), Entry { version, relist, value: Arc::clone(&value) });
        Some(Change::Upserted { key, before: None, after: value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(name: &str, version: u64) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.into()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        }
    }

    fn event(store: &Store<u64>, event: Event<ObjectMeta>) -> usize {
        store.observe_event(event, |m| m, |m| version_number(&m)).len()
    }

    fn held(store: &Store<u64>, name: &str) -> Option<u64> {
        store.get(&Key::cluster(name)).map(|value| *value)
    }

    #[test]
    fn shows_own_writes_and_drops_older_events() {
        let store = Store::default();
        event(&store, Event::Apply(meta("a", 5)));
        store.observe_write(&meta("a", 8), 8);
        assert_eq!(held(&store, "a"), Some(8));
        assert_eq!(event(&store, Event::Apply(meta("a", 6))), 0);
        assert_eq!(held(&store, "a"), Some(8));
        assert_eq!(event(&store, Event::Apply(meta("a", 8))), 0, "the echo of our own write is no change");
        assert_eq!(event(&store, Event::Apply(meta("a", 9))), 1);
    }

    #[test]
    fn an_answer_that_comes_after_the_deletion_does_not_bring_the_object_back() {
        let store = Store::default();
        event(&store, Event::Apply(meta("a", 5)));
        event(&store, Event::Apply(meta("a", 6)));
        event(&store, Event::Delete(meta("a", 7)));
        store.observe_write(&meta("a", 6), 6);
        assert_eq!(held(&store, "a"), None);
    }

    #[test]
    fn a_relist_removes_what_it_does_not_name_but_keeps_what_we_wrote_meanwhile() {
        let store = Store::default();
        event(&store, Event::Init);
        event(&store, Event::InitApply(meta("old", 1)));
        event(&store, Event::InitApply(meta("kept", 2)));
        assert!(!store.is_synced());
        event(&store, Event::InitDone);
        assert!(store.is_synced());
        event(&store, Event::Init);
        store.observe_write(&meta("new", 9), 9);
        event(&store, Event::InitApply(meta("kept", 2)));
        assert_eq!(event(&store, Event::InitDone), 1);
        assert_eq!(
            (held(&store, "old"), held(&store, "kept"), held(&store, "new")),
            (None, Some(2), Some(9))
        );
    }

    #[test]
    fn a_cluster_restored_to_the_past_is_believed() {
        let store = Store::default();
        event(&store, Event::Apply(meta("a", 90)));
        event(&store, Event::Init);
        assert_eq!(event(&store, Event::InitApply(meta("a", 40))), 1);
        event(&store, Event::InitDone);
        assert_eq!(event(&store, Event::Apply(meta("a", 41))), 1);
        store.observe_write(&meta("a", 42), 42);
        assert_eq!(held(&store, "a"), Some(42));
    }

    #[test]
    fn a_relist_that_repeats_what_is_held_changes_nothing() {
        let store = Store::default();
        event(&store, Event::Apply(meta("a", 5)));
        event(&store, Event::Init);
        assert_eq!(event(&store, Event::InitApply(meta("a", 5))), 0);
    }

    #[test]
    fn a_namespace_is_a_range() {
        let store: Store<u64> = Store::default();
        for (namespace, name) in [("a", "x"), ("b", "x"), ("b", "y"), ("b-c", "z")] {
            let meta = ObjectMeta { namespace: Some(namespace.into()), ..meta(name, 1) };
            event(&store, Event::Apply(meta));
        }
        let names: Vec<String> =
            store.in_namespace("b").into_iter().map(|(key, _)| key.to_string()).collect();
        assert_eq!(names, ["b/x", "b/y"]);
    }
}
