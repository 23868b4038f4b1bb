//! Bad input gets a condition that names the culprit and the next step; the rest goes on, and a fix recovers.

use kube::Api;
use kube::api::PostParams;
use tenantry::api::condition::{READY, find};
use tenantry::api::plan::PlanSpec;
use tenantry::api::schema::NameRef;
use tenantry::api::tenant::TenantSpec;
use tenantry::api::{Plan, Tenant};

use crate::support::{ControlPlane, Operator, Prefix, wait_until};

const A_MINUTE: std::time::Duration = std::time::Duration::from_mins(1);

#[tokio::test]
async fn an_unknown_plan_is_named_and_its_creation_recovers() {
    let plane = ControlPlane::shared().await;
    Operator::shared().await;
    let client = plane.client().await;
    let prefix = Prefix::new();
    let (name, plan) = (prefix.name("acme"), prefix.name("absent"));
    let spec = TenantSpec {
        display_name: None,
        plan_ref: NameRef::new(plan.clone()),
        blueprints: None,
        state: None,
        owners: None,
    };
    let tenants: Api<Tenant> = Api::all(client.clone());
    tenants.create(&PostParams::default(), &Tenant::new(&name, spec)).await.unwrap();
    let says = async |reason: &str, message: &str| {
        let status = tenants.get(&name).await.unwrap().status.unwrap();
        let ready = find(&status.conditions, READY).ok_or("no Ready yet")?;
        let said = (ready.reason.as_str(), ready.message.as_str());
        if said == (reason, message) { Ok(()) } else { Err(format!("{said:?}")) }
    };
    let message = format!("spec.planRef: Plan {plan} does not exist: create it or name another");
    wait_until(A_MINUTE, "Ready names the plan", async || says("PlanNotFound", &message).await).await;

    let plan = Plan::new(&plan, PlanSpec::default());
    Api::all(client.clone()).create(&PostParams::default(), &plan).await.unwrap();
    let message = "0 databases and 0 services are ready";
    wait_until(A_MINUTE, "the tenant is ready", async || says("Reconciled", message).await).await;
}
