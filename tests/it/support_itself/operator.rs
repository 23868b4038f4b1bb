//! The operator as tests get it, and the state it leaves.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use tenantry::api::condition::{READY, is_true};
use tenantry::api::labels::SYSTEM_NAMESPACE;
use tenantry::api::plan::PlanSpec;
use tenantry::api::schema::NameRef;
use tenantry::api::tenant::TenantSpec;
use tenantry::api::{Plan, Tenant};
use tenantry::controller::lease::LEASE;

use crate::support::{ControlPlane, Operator, OperatorProcess, Postgres, Prefix, WholeState, wait_until};

async fn tenant_of(plane: &ControlPlane) -> Prefix {
    let client = plane.client().await;
    let prefix = Prefix::new();
    let plan = Plan::new(&prefix.name("small"), PlanSpec::default());
    Api::all(client.clone()).create(&PostParams::default(), &plan).await.unwrap();
    let spec = TenantSpec {
        plan_ref: NameRef::new(plan.name_any()),
        display_name: None,
        blueprints: None,
        state: None,
        owners: None,
        deletion_policy: None,
        deletion_protection: None,
    };
    let tenants: Api<Tenant> = Api::all(client);
    let name = prefix.name("acme");
    tenants.create(&PostParams::default(), &Tenant::new(&name, spec)).await.unwrap();
    wait_until(std::time::Duration::from_secs(30), "the tenant is ready", async || {
        let tenant = tenants.get(&name).await.unwrap();
        let conditions = tenant.status.unwrap_or_default().conditions;
        if is_true(&conditions, READY, tenant.metadata.generation) {
            Ok(())
        } else {
            Err(format!("{conditions:?}"))
        }
    })
    .await;
    prefix
}

#[tokio::test]
async fn operators_take_turns_and_two_runs_end_in_the_same_state() {
    let (plane, postgres) = (ControlPlane::own().await, Postgres::shared());
    let first = Operator::start(&plane).await;
    let mark = plane.mark().await;
    let one = tenant_of(&plane).await;
    let writes = plane.operator_writes_since(mark).await;
    assert!(writes.iter().any(|write| write.resource == "namespaces"), "{writes:?}");
    first.stop().await;
    let second = OperatorProcess::start(&plane).await;
    let other = tenant_of(&plane).await;
    second.kill(&plane).await;
    let third = OperatorProcess::start(&plane).await;

    let expected = WholeState::of(&plane, &postgres, &one).await;
    assert!(expected.0.contains_key("Namespace tenant-PREFIX-acme"), "{expected:?}");
    WholeState::of(&plane, &postgres, &other).await.assert_equals(&expected);
    let (ended, log) = third.terminate();
    assert!(ended.success(), "{log}");
    // It has released the Lease: the next one need not wait until it expires.
    let leases: Api<Lease> = Api::namespaced(plane.client().await, SYSTEM_NAMESPACE);
    let lease = leases.get(LEASE).await.unwrap().spec.unwrap();
    assert_eq!(lease.holder_identity, None, "{lease:?}");
    Operator::start(&plane).await.kill().await;
}
