//! The one gate through which the operator writes Kubernetes objects.
//!
//! # Flow
//! A declaration whose hash and whose live token are those of the last look is not touched: no call at all. An
//! object that we do not know is POSTed; the answer 409 tells of one that somebody else made, which is compared
//! and never adopted. A known object whose token moved is read once (or taken from the first list after a start)
//! and compared, desired ⊆ live; only a real difference is written, with the resourceVersion that was read.
//!
//! # Guarantees
//! - A second run on unchanged inputs, and a run after a restart, writes nothing.
//! - Nothing is written over an object that belongs to somebody else, or to an earlier object of the same name.
//! - Every write is an [`Effect`] with a number, seen by the probe before and after it.
//!
//! The Lease and Events are written elsewhere; they are no state of anybody's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Client;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use serde_json::Value;

use super::child::{self, Child};
use super::compare;
pub use super::declared::Declared;
use super::declared::{self, Verdict};
use super::lease::{LeaseError, Term};
use super::metrics::Metrics;
use super::object::{Key, Kind, dynamic_api};
use super::seeds::Seeds;
use super::store::Store;
use crate::api::FIELD_MANAGER;

/// What [`Gate::apply`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The live object was as declared.
    Unchanged,
    /// The object is new.
    Created,
    /// The object was brought back to its declaration.
    Changed,
    /// The object, or its namespace, is being deleted; it can be made again afterwards.
    Terminating,
}

/// Why a write was not done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The object exists and belongs to somebody else.
    #[error("{kind} {key} exists and is not ours: rename or remove it")]
    Foreign {
        /// Kind of the object.
        kind: Kind,
        /// Key of the object.
        key: Key,
    },
    /// The object changed between the read and the write; the next turn sees it.
    #[error("{kind} {key} changed meanwhile")]
    Conflict {
        /// Kind of the object.
        kind: Kind,
        /// Key of the object.
        key: Key,
    },
    /// The object is gone; there is nothing to write any more.
    #[error("{kind} {key} is gone")]
    Gone {
        /// Kind of the object.
        kind: Kind,
        /// Key of the object.
        key: Key,
    },
    /// RBAC or admission refuses us.
    #[error("failed to {verb} {kind} {key}: forbidden: {message}")]
    Forbidden {
        /// What we wanted to do.
        verb: &'static str,
        /// Kind of the object.
        kind: Kind,
        /// Key of the object.
        key: Key,
        /// The server's words.
        message: String,
    },
    /// The API server finds the object invalid.
    #[error("failed to {verb} {kind} {key}: {message}")]
    Invalid {
        /// What we wanted to do.
        verb: &'static str,
        /// Kind of the object.
        kind: Kind,
        /// Key of the object.
        key: Key,
        /// The server's words.
        message: String,
    },
    /// Anything else; it is tried again.
    #[error("failed to {verb} {kind} {key}")]
    Api {
        /// What we wanted to do.
        verb: &'static str,
        /// Kind of the object.
        kind: Kind,
        /// Key of the object.
        key: Key,
        /// The cause.
        #[source]
        source: kube::Error,
    },
    /// A declaration that cannot be written as JSON.
    #[error("failed to serialize {kind}")]
    Serialize {
        /// Kind of the object.
        kind: Kind,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

/// One write, as a probe sees it.
#[derive(Clone, Copy, Debug)]
pub struct Effect<'a> {
    /// Counts from 1, over all writes of this process.
    pub number: u64,
    /// `create`, `update`, `patch` or `delete`.
    pub verb: &'static str,
    /// Kind of the object.
    pub kind: Kind,
    /// Key of the object.
    pub key: &'a Key,
    /// Whether the answer has come.
    pub done: bool,
}

/// Called before and after every write; tests stop the world in it.
pub type Probe = Arc<dyn Fn(Effect<'_>) + Send + Sync>;

/// What we last saw to be right.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    hash: Box<str>,
    token: u64,
    uid: Box<str>,
}

/// The gate.
pub struct Gate {
    client: Client,
    children: HashMap<Kind, Arc<Store<Child>>>,
    seeds: Arc<Seeds>,
    metrics: Arc<Metrics>,
    seen: Mutex<HashMap<(Kind, Key), Seen>>,
    effects: AtomicU64,
    probe: Option<Probe>,
    term: Option<Term>,
}

impl Gate {
    /// A gate over `client`, for as long as `term` lasts; `children` are the stores that the watches feed.
    pub fn new(
        client: Client,
        children: HashMap<Kind, Arc<Store<Child>>>,
        seeds: Arc<Seeds>,
        metrics: Arc<Metrics>,
        probe: Option<Probe>,
        term: Option<Term>,
    ) -> Self {
        let (seen, effects) = Default::default();
        Self { client, children, seeds, metrics, seen, effects, probe, term }
    }

    /// What the watch knows of an object.
    pub fn child(&self, kind: Kind, key: &Key) -> Option<Arc<Child>> {
        self.children.get(&kind).and_then(|store| store.get(key))
    }

    /// What the watch knows of a kind in a namespace.
    pub fn children_in(&self, kind: Kind, namespace: &str) -> Vec<(Key, Arc<Child>)> {
        self.children.get(&kind).map(|store| store.in_namespace(namespace)).unwrap_or_default()
    }

    /// Brings one object to its declaration.
    pub async fn apply(&self, declared: &Declared) -> Result<Applied, ApplyError> {
        let known = self.child(declared.kind, &declared.key);
        match &known {
            Some(child) if child.deleting => return Ok(Applied::Terminating),
            Some(child) if self.is_seen(declared, child.token) => return Ok(Applied::Unchanged),
            _ => {}
        }
        let seed = self.seeds.take(declared.kind, &declared.key);
        let live = match (seed, known) {
            (Some(live), Some(child)) if child::token(declared.kind, &live.metadata) == child.token => live,
            (_, Some(_)) => match self.read(declared).await? {
                Some(live) => live,
                None => return self.create(declared).await,
            },
            (_, None) => return self.create(declared).await,
        };
        self.converge(declared, live).await
    }

    async fn create(&self, declared: &Declared) -> Result<Applied, ApplyError> {
        let (kind, key) = (declared.kind, &declared.key);
        let object = dynamic(declared, declared.body().clone())?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let result = self
            .write("create", kind, key, dynamic_api(&self.client, kind, key).create(&params, &object))
            .await;
        match result {
            Ok(made) => {
                self.remember(declared, &made);
                Ok(Applied::Created)
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => match self.read(declared).await? {
                Some(live) => self.converge(declared, live).await,
                None => Ok(Applied::Terminating),
            },
            Err(kube::Error::Api(status)) if namespace_is_going(&status) => Ok(Applied::Terminating),
            Err(error) => Err(classify("create", kind, key, error)),
        }
    }

    async fn converge(&self, declared: &Declared, live: DynamicObject) -> Result<Applied, ApplyError> {
        let (kind, key) = (declared.kind, &declared.key);
        let live_value = match declared::judge(declared, &live, self.known(kind, key).as_deref())? {
            Verdict::Leaving => return Ok(Applied::Terminating),
            Verdict::Same => {
                self.remember(declared, &live);
                return Ok(Applied::Unchanged);
            }
            Verdict::Different(live) => live,
        };
        let next = dynamic(declared, compare::replacement(&live_value, declared.body()))?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let api = dynamic_api(&self.client, kind, key);
        match self.write("update", kind, key, api.replace(&key.name, &params, &next)).await {
            Ok(made) => {
                self.remember(declared, &made);
                Ok(Applied::Changed)
            }
            Err(kube::Error::Api(status)) if namespace_is_going(&status) => Ok(Applied::Terminating),
            Err(error) => Err(classify("update", kind, key, error)),
        }
    }

    /// What [`Self::apply`] would find, without writing anything; `None` if there is no such object.
    pub async fn look(&self, declared: &Declared) -> Result<Option<Verdict>, ApplyError> {
        let (kind, key) = (declared.kind, &declared.key);
        if self.child(kind, key).is_some_and(|child| !child.deleting && self.is_seen(declared, child.token)) {
            return Ok(Some(Verdict::Same));
        }
        let live = self.read(declared).await?;
        live.map(|live| declared::judge(declared, &live, self.known(kind, key).as_deref())).transpose()
    }

    /// Deletes the object with that UID. `true` when it is gone already.
    pub async fn delete(&self, kind: Kind, key: &Key, uid: &str) -> Result<bool, ApplyError> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        self.forget(kind, key);
        let api = dynamic_api(&self.client, kind, key);
        match self.write("delete", kind, key, api.delete(&key.name, &params)).await {
            Ok(_) => Ok(false),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(true),
            Err(error) => Err(classify("delete", kind, key, error)),
        }
    }

    /// Merge-patches the object (or its `status`) that has the UID in `meta`, and returns what came of it.
    pub async fn patch(
        &self,
        kind: Kind,
        key: &Key,
        uid: &str,
        subresource: Option<&'static str>,
        mut patch: Value,
    ) -> Result<DynamicObject, ApplyError> {
        // The UID is a precondition: an object that was made again under the same name is another one.
        patch["metadata"]["uid"] = uid.into();
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let api = dynamic_api(&self.client, kind, key);
        let patch = Patch::Merge(&patch);
        let result = match subresource {
            Some(_) => self.write("patch", kind, key, api.patch_status(&key.name, &params, &patch)).await,
            None => self.write("patch", kind, key, api.patch(&key.name, &params, &patch)).await,
        };
        let object = match result {
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                return Err(ApplyError::Gone { kind, key: key.clone() });
            }
            result => result.map_err(|error| classify("patch", kind, key, error))?,
        };
        self.observe(kind, &object);
        Ok(object)
    }

    /// Number of writes so far.
    pub fn effects(&self) -> u64 {
        self.effects.load(Ordering::Relaxed)
    }

    async fn read(&self, declared: &Declared) -> Result<Option<DynamicObject>, ApplyError> {
        let (kind, key) = (declared.kind, &declared.key);
        dynamic_api(&self.client, kind, key)
            .get_opt(&key.name)
            .await
            .map_err(|error| classify("get", kind, key, error))
    }

    async fn write<T>(
        &self,
        verb: &'static str,
        kind: Kind,
        key: &Key,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, kube::Error> {
        // Whoever stood still while another process took over has nothing to say any more.
        if self.term.as_ref().is_some_and(|term| !term.lasts()) {
            return Err(kube::Error::Service(Box::new(LeaseError::Lost)));
        }
        let number = self.effects.fetch_add(1, Ordering::Relaxed) + 1;
        let effect = |done| Effect { number, verb, kind, key, done };
        if let Some(probe) = &self.probe {
            probe(effect(false));
        }
        let result = call.await;
        self.metrics.api_write(verb, kind, result.is_ok());
        tracing::debug!(effect.number = number, effect.verb = verb, object.kind = %kind, object.key = %key, ok = result.is_ok(), "wrote to the API server");
        if let Some(probe) = &self.probe {
            probe(effect(true));
        }
        result
    }

    fn remember(&self, declared: &Declared, live: &DynamicObject) {
        let token = child::token(declared.kind, &live.metadata);
        self.observe(declared.kind, live);
        let uid = live.metadata.uid.as_deref().unwrap_or_default().into();
        let seen = Seen { hash: declared.hash().into(), token, uid };
        self.lock().insert((declared.kind, declared.key.clone()), seen);
    }

    fn observe(&self, kind: Kind, live: &DynamicObject) {
        if let Some(store) = self.children.get(&kind) {
            store.observe_write(&live.metadata, Child::new(kind, &live.metadata));
        }
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, kind: Kind, key: &Key) {
        self.lock().remove(&(kind, key.clone()));
    }

    /// UID of the object of that key, as we last wrote it or found it right.
    fn known(&self, kind: Kind, key: &Key) -> Option<Box<str>> {
        self.lock().get(&(kind, key.clone())).map(|seen| seen.uid.clone())
    }

    fn is_seen(&self, declared: &Declared, token: u64) -> bool {
        self.lock()
            .get(&(declared.kind, declared.key.clone()))
            .is_some_and(|seen| seen.token == token && *seen.hash == *declared.hash())
    }

    /// Whether the live object of that token is the one that we last saw to be right: its event is our own echo.
    pub fn is_echo(&self, kind: Kind, key: &Key, token: u64) -> bool {
        self.lock().get(&(kind, key.clone())).is_some_and(|seen| seen.token == token)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Kind, Key), Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn dynamic(declared: &Declared, body: Value) -> Result<DynamicObject, ApplyError> {
    serde_json::from_value(body).map_err(|source| ApplyError::Serialize { kind: declared.kind, source })
}

/// The namespace is gone or going: what was to be made in it can only be made afterwards.
fn namespace_is_going(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_not_found() || causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

fn classify(verb: &'static str, kind: Kind, key: &Key, error: kube::Error) -> ApplyError {
    let key = key.clone();
    match error {
        kube::Error::Api(status) if status.is_conflict() => ApplyError::Conflict { kind, key },
        kube::Error::Api(status) if status.is_forbidden() => {
            ApplyError::Forbidden { verb, kind, key, message: status.message }
        }
        kube::Error::Api(status) if status.is_invalid() => {
            ApplyError::Invalid { verb, kind, key, message: status.message }
        }
        source => ApplyError::Api { verb, kind, key, source },
    }
}
