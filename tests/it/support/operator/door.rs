//! The operator's Service leads to the operator of a test: a Pod object stands for it, with the address of this
//! machine as the control plane sees it.

use std::net::UdpSocket;

use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tenantry::api::labels::SYSTEM_NAMESPACE;

use crate::support::control_plane::ControlPlane;

const SERVICE: &str = "operator";

/// Has the Service lead to that port of this machine.
pub async fn open(plane: &ControlPlane, port: u16) {
    let client = plane.client().await;
    let services: Api<Service> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let labels = services.get(SERVICE).await.unwrap().spec.unwrap().selector.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let name = format!("operator-{port}");
    for other in pods.list(&ListParams::default()).await.unwrap() {
        // What an earlier operator left behind.
        if other.name_any() != name {
            let _ = pods.delete(&other.name_any(), &DeleteParams::default().grace_period(0)).await;
        }
    }
    let pod = json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            // No scheduler runs, and no node may be asked for it.
            "schedulerName": "nobody",
            "containers": [{
                "name": "operator", "image": "tenantry.test/tenantry:1",
                "ports": [{"name": "http", "containerPort": port}],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    match pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await {
        // Another test of the same operator was faster.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        answer => drop(answer.unwrap()),
    }
    let address = own_address(&plane.host().await);
    let status = json!({"status": {
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    // No controller makes it, and the service proxy goes only to the address of a Pod that exists.
    let endpoints: Api<Endpoints> = Api::namespaced(client, SYSTEM_NAMESPACE);
    let target = json!({"kind": "Pod", "name": name, "namespace": SYSTEM_NAMESPACE});
    let leads_there = json!({
        "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": SERVICE},
        "subsets": [{
            "addresses": [{"ip": address, "targetRef": target}],
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        }],
    });
    let params = PatchParams::apply("tenantry-tests").force();
    endpoints.patch(SERVICE, &params, &Patch::Apply(leads_there)).await.unwrap();
}

/// The address of this machine towards `host`, or, as endpoints may not be loopback addresses, towards the rest of the
/// world. Nothing is sent.
fn own_address(host: &str) -> String {
    let towards = |host: &str| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect((host, 1)).expect("a machine with a route");
        socket.local_addr().unwrap().ip()
    };
    let near = towards(host);
    let address = if near.is_loopback() { towards("198.51.100.1") } else { near };
    address.to_string()
}
