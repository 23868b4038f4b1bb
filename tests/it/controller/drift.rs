//! Every field that the operator owns is brought back, whoever changed it and whether or not anybody watched.

use std::collections::BTreeSet;

use futures::future::join_all;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tenantry::api::labels::{self, SERVERS_NAMESPACE};
use tenantry::controller::object::{Key, Kind, dynamic_api};

use super::owned::{changes, essence, pointers};
use super::scene::A_MINUTE;
use super::shop;
use super::site::{Site, Stage};
use crate::support::{Operator, wait_until};

/// An object that the operator made, as it was when all was well.
struct Owned {
    kind: Kind,
    key: Key,
    object: Value,
}

impl Owned {
    /// Changes what is at `pointer`, if the API server lets anybody do that.
    async fn change(&self, scene: &Stage<'_>, pointer: &str) -> bool {
        let api = dynamic_api(&scene.client, self.kind, &self.key);
        for change in changes(&self.object, pointer) {
            let patch = Patch::Json::<()>(serde_json::from_value(change).unwrap());
            match api.patch(&self.key.name, &PatchParams::default(), &patch).await {
                // The API server may put a default back, which is no change.
                Ok(changed) if essence(&serde_json::to_value(&changed).unwrap()) != essence(&self.object) => {
                    return true;
                }
                Ok(_) => {}
                Err(kube::Error::Api(status)) if [400, 403, 409, 422].contains(&status.code) => {}
                Err(error) => panic!("{} {} {pointer}: {error}", self.kind, self.key),
            }
        }
        false
    }

    /// What of it the operator can be asked to keep. The spec of the site's server is anybody's to change, other tests too.
    fn ours(&self, object: &Value) -> Value {
        let mut essence = essence(object);
        if self.kind == Kind::DatabaseServer {
            essence["spec"].take();
        }
        essence
    }

    async fn is_restored(&self, scene: &Stage<'_>, what: &str) {
        let what = format!("{} {} is as before after a change of {what}", self.kind, self.key);
        wait_until(A_MINUTE, &what, async || {
            let live = scene.get(self.kind, &self.key).await.ok_or("it does not exist")?;
            let (live, before) = (self.ours(&live), self.ours(&self.object));
            if live == before { Ok(()) } else { Err(format!("{live}, not {before}")) }
        })
        .await;
    }
}

/// The managed server's objects, which nobody runs here.
const MANAGED: [Kind; 3] = [Kind::StatefulSet, Kind::Service, Kind::NetworkPolicy];

/// Has the operator make a managed server.
async fn managed(scene: &Stage<'_>) -> Vec<(Kind, Key)> {
    let spec = json!({"managed": {"version": "15", "storage": "1Gi"}});
    scene.create(Kind::DatabaseServer, &scene.cluster("pg"), spec).await;
    let objects = MANAGED.map(|kind| (kind, Key::namespaced(SERVERS_NAMESPACE, &scene.name("pg"))));
    for (kind, key) in &objects {
        scene.until(*kind, key, "is there", |_| Some(())).await;
    }
    objects.into()
}

/// Everything that the operator made for the test's tenant and a managed server, and what it only marked: tenant and server.
async fn everything(scene: &Stage<'_>) -> Vec<Owned> {
    let mut keys = managed(scene).await;
    keys.extend([
        (Kind::Tenant, scene.cluster("acme")),
        (Kind::Namespace, Key::cluster(&scene.namespace("acme"))),
        (Kind::DatabaseServer, Key::cluster(&scene.site.server)),
    ]);
    for name in shop::DATABASES {
        let claim = scene.get(Kind::TenantDatabase, &scene.inside("acme", name)).await.unwrap();
        keys.push((Kind::ServerDatabase, Key::cluster(claim["status"]["serverDatabase"].as_str().unwrap())));
    }
    for kind in shop::CHILDREN {
        for object in scene.children(kind, "acme").await {
            keys.push((kind, scene.inside("acme", object["metadata"]["name"].as_str().unwrap())));
        }
    }
    let mut all = vec![];
    for (kind, key) in keys {
        let object = scene.get(kind, &key).await.unwrap();
        all.push(Owned { kind, key, object });
    }
    assert_eq!(all.iter().map(|owned| owned.kind).collect::<BTreeSet<_>>().len(), shop::CHILDREN.len() + 5);
    all
}

/// Fields that the API server filled in when the object was created. The operator does not declare them, so whoever
/// changes one keeps the change.
const DEFAULTS: [&str; 27] = [
    "Deployment /spec/progressDeadlineSeconds",
    "Deployment /spec/template/spec/containers/*/imagePullPolicy",
    "Deployment /spec/template/spec/containers/*/livenessProbe/httpGet/scheme",
    "Deployment /spec/template/spec/containers/*/livenessProbe/successThreshold",
    "Deployment /spec/template/spec/containers/*/readinessProbe/failureThreshold",
    "Deployment /spec/template/spec/containers/*/readinessProbe/httpGet/scheme",
    "Deployment /spec/template/spec/containers/*/readinessProbe/successThreshold",
    "Deployment /spec/template/spec/containers/*/resources",
    "Deployment /spec/template/spec/containers/*/terminationMessagePath",
    "Deployment /spec/template/spec/containers/*/terminationMessagePolicy",
    "Deployment /spec/template/spec/dnsPolicy",
    "Deployment /spec/template/spec/restartPolicy",
    "Deployment /spec/template/spec/schedulerName",
    "Service /spec/internalTrafficPolicy",
    "Service /spec/sessionAffinity",
    "StatefulSet /spec/podManagementPolicy",
    "StatefulSet /spec/revisionHistoryLimit",
    "StatefulSet /spec/template/spec/containers/*/readinessProbe/successThreshold",
    "StatefulSet /spec/template/spec/containers/*/startupProbe/successThreshold",
    "StatefulSet /spec/template/spec/containers/*/terminationMessagePath",
    "StatefulSet /spec/template/spec/containers/*/terminationMessagePolicy",
    "StatefulSet /spec/template/spec/dnsPolicy",
    "StatefulSet /spec/template/spec/restartPolicy",
    "StatefulSet /spec/template/spec/schedulerName",
    "StatefulSet /spec/updateStrategy/rollingUpdate/partition",
    "StatefulSet /spec/updateStrategy/type",
    "StatefulSet /spec/volumeClaimTemplates",
];

/// Fields that nobody can change, not by themselves at least: the API server refuses it or puts them back.
const UNCHANGEABLE: [&str; 21] = [
    "Deployment /spec/selector",
    "Deployment /spec/strategy/type",
    "Deployment /spec/template/metadata/labels/tenantry.dev~1microservice",
    "Deployment /spec/template/spec/containers/*/volumeMounts/*/name",
    "Deployment /spec/template/spec/serviceAccount",
    "Deployment /spec/template/spec/volumes/*/name",
    "Microservice /spec/builtin",
    "Namespace /metadata/labels/kubernetes.io~1metadata.name",
    "NetworkPolicy /spec/policyTypes",
    "RoleBinding /roleRef",
    "Secret /type",
    "ServerDatabase /spec/physicalName",
    "ServerDatabase /spec/serverRef/name",
    "StatefulSet /spec/selector",
    "StatefulSet /spec/serviceName",
    "StatefulSet /spec/template/metadata/labels/app.kubernetes.io~1component",
    "StatefulSet /spec/template/metadata/labels/tenantry.dev~1database-server",
    "StatefulSet /spec/template/spec/containers/*/volumeMounts/*/name",
    "StatefulSet /spec/template/spec/volumes/*/emptyDir",
    "StatefulSet /spec/template/spec/volumes/*/name",
    "TenantDatabase /spec",
];

/// The field without the place of its item in a list.
fn field(kind: Kind, pointer: &str) -> String {
    let steps = pointer.split('/').map(|step| if step.parse::<usize>().is_ok() { "*" } else { step });
    format!("{kind} {}", steps.collect::<Vec<_>>().join("/"))
}

/// Fields that hold a password: a changed one is not brought back, a new one takes its place (see `databases`).
const PASSWORDS: [&str; 2] = ["Secret /data/password", "Secret /data/uri"];

/// Marks of a Secret: with another value it is somebody else's, whom admission and the operator leave alone.
const MARKS: [&str; 2] = [
    "Secret /metadata/annotations/tenantry.dev~1owner-uid",
    "Secret /metadata/labels/app.kubernetes.io~1managed-by",
];

/// The fields of the object that the operator declares, as JSON pointers.
fn declared(owned: &Owned) -> Vec<String> {
    let mut pointers = pointers(&owned.object);
    pointers.retain(|pointer| {
        let field = field(owned.kind, pointer);
        ![&DEFAULTS[..], &PASSWORDS, &MARKS].concat().contains(&field.as_str())
    });
    pointers
}

#[tokio::test]
async fn each_changed_field_of_each_object_is_restored() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let everything = everything(&scene).await;
    let unchanged = join_all(everything.iter().map(async |owned| {
        let mut unchanged = vec![];
        for pointer in declared(owned) {
            if owned.change(&scene, &pointer).await {
                owned.is_restored(&scene, &pointer).await;
            } else {
                unchanged.push(field(owned.kind, &pointer));
            }
        }
        unchanged
    }));
    let unchanged: BTreeSet<String> = unchanged.await.into_iter().flatten().collect();
    assert_eq!(unchanged, UNCHANGEABLE.map(str::to_owned).into());
    scene.delete(Kind::DatabaseServer, &scene.cluster("pg")).await;
    scene.gone(Kind::DatabaseServer, &scene.cluster("pg")).await;
}

#[tokio::test]
async fn what_changed_while_no_operator_ran_is_restored_by_the_next() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let everything = everything(&scene).await;
    operator.stop().await;

    // Without any mark of ours an object is somebody else's, so one mark stays.
    let mark = "/metadata/annotations/tenantry.dev~1owner-uid";
    let mut changed = 0;
    for owned in &everything {
        for pointer in declared(owned).iter().filter(|pointer| *pointer != mark) {
            changed += usize::from(owned.change(&scene, pointer).await);
        }
    }
    assert!(changed > 100, "only {changed} changes");
    let operator = Operator::start(&site).await;
    join_all(everything.iter().map(|owned| owned.is_restored(&scene, "all fields"))).await;
    operator.stop().await;

    // And that mark alone.
    for owned in everything.iter().filter(|owned| owned.object.pointer(mark).is_some()) {
        let removal = json!({"metadata": {"annotations": {labels::OWNER_UID: null}}});
        scene.patch(owned.kind, &owned.key, removal).await;
    }
    let operator = Operator::start(&site).await;
    join_all(everything.iter().map(|owned| owned.is_restored(&scene, mark))).await;
    operator.stop().await;
}
