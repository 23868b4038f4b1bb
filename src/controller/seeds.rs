//! Bodies from the first list after a start, until they are compared once.
//!
//! A restart has to look at every object that we own, since it may have been changed while nobody watched. One list
//! a kind, page by page, costs the API server a fifth of as many GETs. The bodies are kept as text, without status
//! and managed fields, up to a budget; what does not fit is read one by one instead.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::api::{DynamicObject, TypeMeta};

use super::object::{Key, Kind};

/// Bytes of bodies that are kept at most.
const BUDGET: usize = 8 << 20;

#[derive(Default)]
struct Inner {
    bodies: HashMap<(Kind, Key), Box<str>>,
    bytes: usize,
    closed: bool,
}

/// Bodies from the first list.
#[derive(Default)]
pub struct Seeds(Mutex<Inner>);

impl Seeds {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a body of the first list, if it fits.
    pub fn put(&self, kind: Kind, mut object: DynamicObject) {
        // Items of a list come without their type, and the comparison is by whole objects.
        let resource = kind.api_resource();
        object.types = Some(TypeMeta { api_version: resource.api_version, kind: resource.kind });
        object.metadata.managed_fields = None;
        if let Some(fields) = object.data.as_object_mut() {
            fields.remove("status");
        }
        let Ok(text) = serde_json::to_string(&object) else { return };
        let mut inner = self.lock();
        if !inner.closed && inner.bytes + text.len() <= BUDGET {
            inner.bytes += text.len();
            inner.bodies.insert((kind, Key::of(&object.metadata)), text.into());
        }
    }

    /// The body of that object, once.
    pub fn take(&self, kind: Kind, key: &Key) -> Option<DynamicObject> {
        let mut inner = self.lock();
        let text = inner.bodies.remove(&(kind, key.clone()))?;
        inner.bytes -= text.len();
        drop(inner);
        serde_json::from_str(&text).ok()
    }

    /// The object changed since the list: its body is no longer true.
    pub fn discard(&self, kind: Kind, key: &Key) {
        let mut inner = self.lock();
        if let Some(text) = inner.bodies.remove(&(kind, key.clone())) {
            inner.bytes -= text.len();
        }
    }

    /// The first pass is over: forgets what nobody asked for and keeps nothing any more.
    pub fn close(&self) {
        *self.lock() = Inner { closed: true, ..Inner::default() };
    }
}
