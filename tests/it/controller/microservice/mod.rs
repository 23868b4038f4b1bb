//! Microservices: what one costs and consists of, what is restored, and what goes wrong with its pods.

mod drift;
mod lifecycle;
mod trouble;

use std::time::Duration;

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tenantry::api::condition::{READY, find};
use tenantry::api::plan::PlanSpec;
use tenantry::api::{Microservice, Plan, Tenant};
use tenantry::controller::object::{Key, Kind, dynamic_api};

use crate::support::{Prefix, wait_until};

const A_MINUTE: Duration = Duration::from_mins(1);

/// What a microservice without databases consists of.
const CHILDREN: [Kind; 5] =
    [Kind::ServiceAccount, Kind::Service, Kind::PodDisruptionBudget, Kind::NetworkPolicy, Kind::Deployment];

/// A tenant whose namespace is there.
struct Home {
    client: Client,
    tenant: String,
    namespace: String,
}

impl Home {
    async fn new(client: Client) -> Self {
        let prefix = Prefix::new();
        let (plan, tenant) = (prefix.name("small"), prefix.name("acme"));
        let plans: Api<Plan> = Api::all(client.clone());
        plans.create(&PostParams::default(), &Plan::new(&plan, PlanSpec::default())).await.unwrap();
        let body = json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": tenant},
            "spec": {"planRef": {"name": plan}}});
        let tenants: Api<Tenant> = Api::all(client.clone());
        tenants.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await.unwrap();
        wait_until(A_MINUTE, "the tenant is ready", async || {
            let status = tenants.get(&tenant).await.unwrap().status.unwrap();
            let ready = find(&status.conditions, READY).cloned();
            ready.filter(|ready| ready.status == "True").map(drop).ok_or(format!("{status:?}"))
        })
        .await;
        Self { client, namespace: format!("tenant-{tenant}"), tenant }
    }

    fn microservices(&self) -> Api<Microservice> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn create(&self, name: &str, spec: Value) {
        let body = json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Microservice", "metadata": {"name": name}, "spec": spec});
        let microservice = serde_json::from_value(body).unwrap();
        self.microservices().create(&PostParams::default(), &microservice).await.unwrap();
    }

    async fn change(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.microservices().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    async fn set_state(&self, state: &str) {
        let tenants: Api<Tenant> = Api::all(self.client.clone());
        let patch = Patch::Merge(json!({"spec": {"state": state}}));
        tenants.patch(&self.tenant, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until Ready has that reason and message, for the newest spec.
    async fn says(&self, name: &str, reason: &str, message: &str) {
        wait_until(A_MINUTE, &format!("{name} says {reason}: {message}"), async || {
            let microservice = self.microservices().get(name).await.unwrap();
            let status = microservice.status.unwrap();
            let ready = find(&status.conditions, READY).ok_or("no Ready yet")?;
            let said = (status.observed_generation, ready.reason.as_str(), ready.message.as_str());
            if said == (microservice.metadata.generation, reason, message) {
                Ok(())
            } else {
                Err(format!("{said:?}"))
            }
        })
        .await;
    }

    async fn serves(&self, name: &str) {
        self.says(name, "Reconciled", "1 pod serves").await;
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        dynamic_api(&self.client, kind, &Key::namespaced(&self.namespace, ""))
    }

    async fn child(&self, kind: Kind, name: &str) -> DynamicObject {
        self.api(kind).get(name).await.unwrap()
    }

    /// Which of the children there are.
    async fn children(&self, name: &str) -> Vec<Kind> {
        let mut found = vec![];
        for kind in CHILDREN {
            let child = self.api(kind).get_opt(name).await.unwrap();
            found.extend(child.filter(|child| !child.owner_references().is_empty()).map(|_| kind));
        }
        found
    }
}

/// What we declare of a child: everything but identity, what others record, and status.
fn declared(child: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(child).unwrap();
    let fields = value.as_object_mut().unwrap();
    fields.remove("status");
    let metadata = fields["metadata"].as_object_mut().unwrap();
    metadata.retain(|name, _| ["name", "labels", "annotations", "ownerReferences"].contains(&name.as_str()));
    value
}
