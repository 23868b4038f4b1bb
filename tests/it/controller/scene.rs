//! What every test of the operator starts from: a client, a prefix, and objects written as people write them.

use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tenantry::controller::object::{Key, Kind, dynamic_api};

use crate::support::{ControlPlane, Postgres, Prefix, WholeState, wait_until};

/// Long enough for anything that the operator does by itself: half a minute of backoff, on a busy machine.
pub const A_MINUTE: Duration = Duration::from_mins(1);

/// The surroundings of one test.
pub struct Scene<'a> {
    pub plane: &'a ControlPlane,
    pub client: Client,
    pub prefix: Prefix,
}

impl<'a> Scene<'a> {
    pub async fn new(plane: &'a ControlPlane) -> Self {
        Self { plane, client: plane.client().await, prefix: Prefix::new() }
    }

    /// `rest` with the test's prefix.
    pub fn name(&self, rest: &str) -> String {
        self.prefix.name(rest)
    }

    /// Key of a cluster-scoped object of the test.
    pub fn cluster(&self, rest: &str) -> Key {
        Key::cluster(&self.name(rest))
    }

    /// Key of an object in the namespace of the test's tenant.
    pub fn inside(&self, tenant: &str, name: &str) -> Key {
        Key::namespaced(&self.namespace(tenant), name)
    }

    /// Namespace of the test's tenant.
    pub fn namespace(&self, tenant: &str) -> String {
        format!("tenant-{}", self.name(tenant))
    }

    /// Creates an object of ours, or says why not.
    pub async fn try_create(&self, kind: Kind, key: &Key, spec: Value) -> kube::Result<Value> {
        let resource = kind.api_resource();
        let mut object = json!({
            "apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": {"name": key.name}, "spec": spec,
        });
        if !key.namespace.is_empty() {
            object["metadata"]["namespace"] = json!(key.namespace);
        }
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        dynamic_api(&self.client, kind, key).create(&PostParams::default(), &object).await.map(value)
    }

    /// Creates an object of ours.
    pub async fn create(&self, kind: Kind, key: &Key, spec: Value) -> Value {
        self.try_create(kind, key, spec).await.unwrap()
    }

    /// Merge-patches an object, or says why not.
    pub async fn try_patch(&self, kind: Kind, key: &Key, patch: Value) -> kube::Result<Value> {
        let api = dynamic_api(&self.client, kind, key);
        api.patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(value)
    }

    /// Merge-patches an object.
    pub async fn patch(&self, kind: Kind, key: &Key, patch: Value) -> Value {
        self.try_patch(kind, key, patch).await.unwrap()
    }

    /// The object, if it exists.
    pub async fn get(&self, kind: Kind, key: &Key) -> Option<Value> {
        dynamic_api(&self.client, kind, key).get_opt(&key.name).await.unwrap().map(value)
    }

    /// Asks for an object's deletion, or says why not.
    pub async fn try_delete(&self, kind: Kind, key: &Key) -> kube::Result<Value> {
        let answer =
            dynamic_api(&self.client, kind, key).delete(&key.name, &DeleteParams::background()).await?;
        Ok(answer.either(value, |status| serde_json::to_value(status).unwrap()))
    }

    /// Asks for an object's deletion. `true` if there was one.
    pub async fn delete(&self, kind: Kind, key: &Key) -> bool {
        match dynamic_api(&self.client, kind, key).delete(&key.name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => false,
            answer => answer.is_ok() || panic!("{answer:?}"),
        }
    }

    /// Every object of that kind.
    pub async fn all(&self, kind: Kind) -> Vec<Value> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind.api_resource());
        api.list(&ListParams::default()).await.unwrap().items.into_iter().map(value).collect()
    }

    /// Every object of that kind in a tenant's namespace that is labelled as managed by us.
    pub async fn children(&self, kind: Kind, tenant: &str) -> Vec<Value> {
        let resource = kind.api_resource();
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace(tenant), &resource);
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=tenantry");
        api.list(&ours).await.unwrap().items.into_iter().map(value).collect()
    }

    /// Waits until the object is Ready for its newest spec, and returns it.
    pub async fn ready(&self, kind: Kind, key: &Key) -> Value {
        self.until(kind, key, "is ready", |object| {
            let ready = condition(object, "Ready")?;
            let newest = ready["observedGeneration"] == object["metadata"]["generation"];
            (ready["status"] == "True" && newest).then(|| object.clone())
        })
        .await
    }

    /// Waits until Ready is False for that reason, and returns its message.
    pub async fn refused(&self, kind: Kind, key: &Key, reason: &str) -> String {
        self.until(kind, key, &format!("says {reason}"), |object| {
            let ready = condition(object, "Ready")?;
            let text = ready["message"].as_str()?.to_owned();
            (ready["status"] == "False" && ready["reason"] == reason).then_some(text)
        })
        .await
    }

    /// Waits until the object is as `look` wants it, and returns what that made of it.
    pub async fn until<T>(&self, kind: Kind, key: &Key, what: &str, look: impl Fn(&Value) -> Option<T>) -> T {
        wait_until(A_MINUTE, &format!("{kind} {key} {what}"), async || {
            let object = self.get(kind, key).await.ok_or("it does not exist")?;
            look(&object).ok_or_else(|| object.to_string())
        })
        .await
    }

    /// Waits until the object does not exist.
    pub async fn gone(&self, kind: Kind, key: &Key) {
        wait_until(A_MINUTE, &format!("{kind} {key} is gone"), async || match self.get(kind, key).await {
            None => Ok(()),
            Some(object) => Err(object.to_string()),
        })
        .await;
    }

    /// The whole state of the test's objects and databases.
    pub async fn state(&self, postgres: &Postgres) -> WholeState {
        WholeState::of(self.plane, postgres, &self.prefix).await
    }

    /// Waits until the whole state of the test's objects and databases is `expected` again.
    pub async fn returns_to(&self, postgres: &Postgres, expected: &WholeState) {
        wait_until(A_MINUTE, "everything is as before", async || {
            let difference = self.state(postgres).await.difference(expected);
            difference.map_or(Ok(()), Err)
        })
        .await;
    }
}

/// A condition of an object.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn value(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap()
}
