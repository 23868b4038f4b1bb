//! Bad input gets a condition that names the culprit and the next step; the rest goes on, nothing is lost, and a fix
//! recovers within a minute.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sqlx::Connection;
use tenantry::api::labels;
use tenantry::controller::object::{Key, Kind, dynamic_api};

use super::claims::{binding, session};
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use crate::support::{CRASHING, Operator, UNPULLABLE, UNSCHEDULABLE, wait_until};

/// Name of the operator's ClusterRole.
const ROLE: &str = "tenantry-operator";

fn spec(plan: &str) -> Value {
    json!({"planRef": {"name": plan}})
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_with_the_rule() {
    let site = Site::shared().await;
    let scene = Stage::new(&site).await;
    let label = "metadata.name must be a DNS label of at most 40 characters that starts with a letter";
    let reserved = "metadata.name is reserved: choose another name";
    let long = "a".repeat(41);
    let cases = [
        (Kind::Tenant, long.as_str(), label),
        (Kind::Tenant, "1st", label),
        (Kind::Tenant, "a.b", label),
        (Kind::Tenant, "system", reserved),
        (Kind::Tenant, "servers", reserved),
        (Kind::Tenant, "Acme", "a lowercase RFC 1123 subdomain"),
    ];
    for (kind, name, rule) in cases {
        let error = scene.try_create(kind, &Key::cluster(name), spec("small")).await.unwrap_err();
        assert!(error.to_string().contains(rule), "{name}: {error}");
    }
    let claim = Key::namespaced("default", &"a".repeat(25));
    let error = scene.try_create(Kind::TenantDatabase, &claim, json!({})).await.unwrap_err();
    assert!(error.to_string().contains("metadata.name must be a DNS label of at most 24"), "{error}");
}

/// A DatabaseServer whose archives are kept there.
fn archived(archive: &Value) -> Value {
    json!({"external": {"host": "h", "adminSecretName": "s"}, "archive": archive})
}

/// A DatabaseServer whose archives are kept in a bucket of that server.
fn endpoint(endpoint: &str) -> Value {
    archived(&json!({"s3": {"bucket": "b-1", "endpoint": endpoint, "credentialsSecretName": "s"}}))
}

#[tokio::test]
async fn malformed_objects_are_refused_with_the_field() {
    let site = Site::shared().await;
    let scene = Stage::new(&site).await;
    let cases = [
        (Kind::Tenant, json!({}), "spec.planRef: Required value"),
        (Kind::Tenant, json!({"planRef": {"name": "p"}, "state": "Asleep"}), "spec.state: Unsupported value"),
        (Kind::Plan, json!({"quota": {"cpu": "many"}}), "spec.quota.cpu: Invalid value"),
        (Kind::Plan, json!({"limits": {"connections": 0}}), "spec.limits.connections: Invalid value"),
        (Kind::Plan, json!({"limits": {"statementTimeout": "0s"}}), "must be from 1s to 576h"),
        (Kind::Plan, json!({"limits": {"idleInTransactionTimeout": "577h"}}), "must be from 1s to 576h"),
        (Kind::Plan, json!({"limits": {"tempFiles": "2Ti"}}), "must be at most 1Ti"),
        (Kind::DatabaseServer, json!({}), "exactly one of external and managed is required"),
        (
            Kind::DatabaseServer,
            json!({"external": {"host": "h", "port": 99999, "adminSecretName": "s"}}),
            "spec.external.port: Invalid value",
        ),
        (Kind::DatabaseServer, archived(&json!({})), "exactly one of volume and s3 is required"),
        (
            Kind::DatabaseServer,
            archived(
                &json!({"volume": {"claimName": "c"}, "s3": {"bucket": "b-1", "region": "r", "credentialsSecretName": "s"}}),
            ),
            "exactly one of volume and s3 is required",
        ),
        (
            Kind::DatabaseServer,
            archived(&json!({"s3": {"bucket": "b-1", "credentialsSecretName": "s"}})),
            "endpoint or region is required: name the store's endpoint",
        ),
        (Kind::DatabaseServer, endpoint("http://127.0.0.1:9000"), "spec.archive.s3.endpoint: Invalid value"),
        (Kind::DatabaseServer, endpoint("https://user@s3"), "spec.archive.s3.endpoint: Invalid value"),
        (Kind::DatabaseServer, endpoint("https://s3/path"), "spec.archive.s3.endpoint: Invalid value"),
        (
            Kind::Blueprint,
            json!({"databases": [{"name": "Orders"}]}),
            "spec.databases[0].name: Invalid value",
        ),
        (
            Kind::Blueprint,
            json!({"services": [{"name": "web", "spec": {}}]}),
            "exactly one of image and builtin is required",
        ),
    ];
    for (kind, spec, words) in cases {
        let error = scene.try_create(kind, &scene.cluster("bad"), spec.clone()).await.unwrap_err();
        assert!(error.to_string().contains(words), "{kind} {spec}: {error}");
    }
    for interval in ["59s", "0h", "1h1h", "m"] {
        let spec = json!({"credentials": [{"name": "app", "rotation": {"interval": interval}}]});
        let claim = Key::namespaced("default", "bad");
        let error = scene.try_create(Kind::TenantDatabase, &claim, spec).await.unwrap_err().to_string();
        assert!(
            error.contains("spec.credentials[0].rotation.interval: Invalid value"),
            "{interval}: {error}"
        );
    }
}

/// What may be an image: the registry knows.
const IMAGES: &[&str] = &["Acme", "a-"];
/// Where capitals are allowed.
const CAPITALS: &[&str] = &["Acme"];
/// Where words are: the folder of a bucket.
const WORDS: &[&str] = &["-a", "a-", "Acme"];
/// Labels have empty values, too.
const VALUES: &[&str] = &["", "Acme"];
/// What people and roles may be called: the API server and PostgreSQL know. It is compared and never part of a statement.
const ANYTHING: &[&str] = HOSTILE.split_at(1).1;

/// Every field that holds a name, as a spec with `@` in its place, and which of the wrong ones are fine there.
const NAME_FIELDS: [(Kind, &str, &[&str]); 43] = [
    (Kind::Tenant, r#"{"planRef": {"name": "@"}}"#, &[]),
    (Kind::Tenant, r#"{"planRef": {"name": "p"}, "blueprints": [{"name": "@"}]}"#, &[]),
    (Kind::Blueprint, r#"{"databases": [{"name": "@"}]}"#, &[]),
    (Kind::Blueprint, r#"{"services": [{"name": "@", "spec": {"image": "a"}}]}"#, &[]),
    (Kind::Blueprint, r#"{"services": [{"name": "s", "spec": {"image": "@"}}]}"#, IMAGES),
    (
        Kind::Blueprint,
        r#"{"services": [{"name": "s", "spec": {"image": "a", "databases": [{"name": "@"}]}}]}"#,
        &[],
    ),
    (
        Kind::Blueprint,
        r#"{"services": [{"name": "s", "spec": {"image": "a", "databases": [{"name": "d", "credential": "@"}]}}]}"#,
        &[],
    ),
    (Kind::DatabaseServer, r#"{"external": {"host": "@", "adminSecretName": "s"}}"#, CAPITALS),
    (Kind::DatabaseServer, r#"{"external": {"host": "h", "adminSecretName": "@"}}"#, &[]),
    (
        Kind::DatabaseServer,
        r#"{"external": {"host": "h", "adminSecretName": "s"}, "allowedNamespaces": ["@"]}"#,
        &[],
    ),
    (Kind::TenantDatabase, r#"{"serverRef": {"name": "@"}}"#, &[]),
    (Kind::TenantDatabase, r#"{"credentials": [{"name": "@"}]}"#, &[]),
    (Kind::TenantDatabase, r#"{"credentials": [{"name": "app", "secretName": "@"}]}"#, &[]),
    (
        Kind::ServerDatabase,
        r#"{"physicalName": "@", "serverRef": {"name": "s"}, "claimRef": {"namespace": "n", "name": "c"}}"#,
        &[],
    ),
    (
        Kind::ServerDatabase,
        r#"{"physicalName": "p", "serverRef": {"name": "@"}, "claimRef": {"namespace": "n", "name": "c"}}"#,
        &[],
    ),
    (
        Kind::ServerDatabase,
        r#"{"physicalName": "p", "serverRef": {"name": "s"}, "claimRef": {"namespace": "@", "name": "c"}}"#,
        &[],
    ),
    (
        Kind::ServerDatabase,
        r#"{"physicalName": "p", "serverRef": {"name": "s"}, "claimRef": {"namespace": "n", "name": "@"}}"#,
        &[],
    ),
    (Kind::Microservice, r#"{"image": "@"}"#, IMAGES),
    (Kind::Microservice, r#"{"image": "a", "version": "@"}"#, CAPITALS),
    (Kind::Microservice, r#"{"image": "a", "databases": [{"name": "@"}]}"#, &[]),
    (Kind::Microservice, r#"{"image": "a", "databases": [{"name": "d", "credential": "@"}]}"#, &[]),
    (Kind::Microservice, r#"{"image": "a", "endpoints": [{"name": "@", "port": 80}]}"#, &[]),
    (Kind::Microservice, r#"{"image": "a", "env": [{"name": "@", "value": "x"}]}"#, CAPITALS),
    (Kind::Plan, r#"{"quota": {"cpu": "@"}}"#, CAPITALS),
    (Kind::DatabaseServer, r#"{"managed": {"version": "15", "storage": "@"}}"#, CAPITALS),
    (Kind::DatabaseServer, r#"{"managed": {"version": "@", "storage": "1Gi"}}"#, CAPITALS),
    (
        Kind::DatabaseServer,
        r#"{"managed": {"version": "15", "storage": "1Gi", "storageClassName": "@"}}"#,
        &[],
    ),
    (
        Kind::DatabaseServer,
        r#"{"external": {"host": "h", "adminSecretName": "s"}, "archive": {"volume": {"claimName": "@"}}}"#,
        &[],
    ),
    (
        Kind::DatabaseServer,
        r#"{"external": {"host": "h", "adminSecretName": "s"}, "archive": {"s3": {"bucket": "@", "endpoint": "https://s3", "credentialsSecretName": "s"}}}"#,
        &[],
    ),
    (
        Kind::DatabaseServer,
        r#"{"external": {"host": "h", "adminSecretName": "s"}, "archive": {"s3": {"bucket": "b-1", "endpoint": "https://s3", "credentialsSecretName": "s", "prefix": "@"}}}"#,
        WORDS,
    ),
    (
        Kind::DatabaseServer,
        r#"{"external": {"host": "h", "adminSecretName": "s"}, "archive": {"s3": {"bucket": "b-1", "endpoint": "@", "credentialsSecretName": "s"}}}"#,
        &[],
    ),
    (
        Kind::DatabaseServer,
        r#"{"external": {"host": "h", "adminSecretName": "s"}, "archive": {"s3": {"bucket": "b-1", "endpoint": "https://s3", "credentialsSecretName": "s", "region": "@"}}}"#,
        &[],
    ),
    (
        Kind::DatabaseServer,
        r#"{"external": {"host": "h", "adminSecretName": "s"}, "archive": {"s3": {"bucket": "b-1", "endpoint": "https://s3", "credentialsSecretName": "@"}}}"#,
        &[],
    ),
    (
        Kind::DatabaseServer,
        r#"{"external": {"host": "h", "adminSecretName": "s"}, "archive": {"s3": {"bucket": "b-1", "endpoint": "https://s3", "credentialsSecretName": "s", "caSecretName": "@"}}}"#,
        &[],
    ),
    (
        Kind::DatabaseServer,
        r#"{"external": {"host": "h", "adminSecretName": "s"}, "allowedExtensions": ["@"]}"#,
        CAPITALS,
    ),
    (
        Kind::DatabaseServer,
        r#"{"external": {"host": "h", "adminSecretName": "s"}, "privilegedRoles": ["@"]}"#,
        ANYTHING,
    ),
    (Kind::Plan, r#"{"serverSelector": {"matchLabels": {"tier": "@"}}}"#, VALUES),
    (Kind::Tenant, r#"{"planRef": {"name": "p"}, "owners": [{"kind": "User", "name": "@"}]}"#, ANYTHING),
    (
        Kind::Tenant,
        r#"{"planRef": {"name": "p"}, "owners": [{"kind": "ServiceAccount", "name": "@", "namespace": "n"}]}"#,
        &[],
    ),
    (Kind::Blueprint, r#"{"databases": [{"name": "d", "credentials": [{"name": "@"}]}]}"#, &[]),
    (
        Kind::Blueprint,
        r#"{"databases": [{"name": "d", "credentials": [{"name": "app", "secretName": "@"}]}]}"#,
        &[],
    ),
    (Kind::Blueprint, r#"{"databases": [{"name": "d", "extensions": [{"name": "@"}]}]}"#, CAPITALS),
    (Kind::TenantDatabase, r#"{"extensions": [{"name": "@"}]}"#, CAPITALS),
];

/// What no name is, the empty one first.
const HOSTILE: &[&str] = &[
    "",
    " ",
    "a b",
    "a\"b",
    "a'b",
    "a\\b",
    "$$",
    "a$$b",
    "a\"; DROP DATABASE x; --",
    "'; DROP ROLE x; --",
    "a;b",
    "a\0b",
    "\0",
    "a\nb",
    "a\tb",
    "a\u{fffd}b",
    "\u{430}cme",
    "a\u{200b}b",
    "a\u{202e}b",
    "\u{ff41}",
    "\u{e4}",
    "a%b",
    "-a",
    "a-",
    "Acme",
];

fn no_names() -> Vec<String> {
    HOSTILE.iter().map(ToString::to_string).chain(["a".repeat(1000)]).collect()
}

#[tokio::test]
async fn no_field_takes_a_name_that_is_none() {
    let site = Site::shared().await;
    let scene = Stage::new(&site).await;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let refused = async |kind: Kind, object: Value| {
        let inside = [Kind::TenantDatabase, Kind::Microservice].contains(&kind);
        let key = if inside { Key::namespaced("default", "x") } else { Key::cluster("x") };
        let api = dynamic_api(&scene.client, kind, &key);
        let object = serde_json::from_value(object).unwrap();
        matches!(api.create(&dry_run, &object).await, Err(kube::Error::Api(status)) if [400, 422].contains(&status.code))
    };
    let object = |kind: Kind, name: &str, spec: Value| {
        let resource = kind.api_resource();
        json!({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec})
    };
    let mut taken = vec![];
    for (kind, template, fine) in NAME_FIELDS {
        for name in no_names().into_iter().filter(|name| !fine.contains(&name.as_str())) {
            let encoded = serde_json::to_string(&name).unwrap();
            let spec = serde_json::from_str(&template.replace("\"@\"", &encoded)).unwrap();
            if !refused(kind, object(kind, "x", spec)).await {
                taken.push(format!("{kind} {template}: {name:?}"));
            }
        }
    }
    // The spec of each kind that is said last.
    let specs: BTreeMap<Kind, &str> = NAME_FIELDS.iter().map(|(kind, spec, _)| (*kind, *spec)).collect();
    assert_eq!(specs.len(), Kind::OWN.len());
    for (kind, template) in specs {
        let spec: Value = serde_json::from_str(&template.replace('@', "x")).unwrap();
        for name in no_names().into_iter().filter(|name| !name.is_empty()) {
            if !refused(kind, object(kind, &name, spec.clone())).await {
                taken.push(format!("{kind} metadata.name: {name:?}"));
            }
        }
    }
    assert!(taken.is_empty(), "{} were taken:\n{}", taken.len(), taken[..taken.len().min(10)].join("\n"));

    // Bytes that are no UTF-8 are no name either, whatever becomes of them on the way.
    let mut body = serde_json::to_vec(&object(Kind::Plan, "a?b", json!({}))).unwrap();
    let at = body.iter().position(|byte| *byte == b'?').unwrap();
    body[at] = 0xff;
    let request = http::Request::post("/apis/tenantry.dev/v1alpha1/plans?dryRun=All");
    let request = request.header("content-type", "application/json").body(body).unwrap();
    let error = scene.client.request_text(request).await.unwrap_err();
    assert!(matches!(&error, kube::Error::Api(status) if [400, 422].contains(&status.code)), "{error}");
}

/// Words that SQL reserves, or that PostgreSQL has a meaning of its own for where a role is named.
const RESERVED: [&str; 4] = ["select", "user", "public", "none"];

#[tokio::test]
async fn reserved_words_are_names_like_any_and_owners_are_called_as_they_are() {
    let site = Site::shared().await;
    let scene = Stage::new(&site).await;
    let databases: Value =
        RESERVED.iter().map(|name| json!({"name": name, "credentials": [{"name": name}]})).collect();
    let owners: Value = ANYTHING.iter().map(|name| json!({"kind": "User", "name": name})).collect();
    let (tenant, shop) = (scene.cluster("acme"), scene.cluster("shop"));
    scene.create(Kind::Plan, &scene.cluster("small"), shop::plan(&scene)).await;
    scene.create(Kind::Blueprint, &shop, json!({"databases": databases})).await;
    let spec = json!({"planRef": {"name": scene.name("small")}, "blueprints": [{"name": shop.name}], "owners": owners});
    scene.create(Kind::Tenant, &tenant, spec).await;
    scene.ready(Kind::Tenant, &tenant).await;

    for name in RESERVED {
        let bound = binding(&scene, &format!("{name}-{name}")).await;
        assert!(bound["database"].ends_with(&format!("_{name}")), "{bound:?}");
        let mut session = session(&scene, &bound).await.unwrap();
        let acts_as: String =
            sqlx::query_scalar("select current_user::text").fetch_one(&mut session).await.unwrap();
        assert_eq!(acts_as, format!("{}_owner", bound["database"]));
        session.close().await.unwrap();
    }
    let bound = scene.get(Kind::RoleBinding, &scene.inside("acme", "tenantry-owners")).await.unwrap();
    let subjects = bound["subjects"].as_array().unwrap();
    let called: Vec<&str> = subjects.iter().map(|subject| subject["name"].as_str().unwrap()).collect();
    assert_eq!(called, ANYTHING);
}

#[tokio::test]
async fn an_unknown_plan_is_named_and_its_creation_recovers() {
    let site = Site::shared().await;
    let scene = Stage::new(&site).await;
    let (tenant, plan) = (scene.cluster("acme"), scene.cluster("absent"));
    scene.create(Kind::Tenant, &tenant, spec(&plan.name)).await;
    let said = scene.refused(Kind::Tenant, &tenant, "PlanNotFound").await;
    assert_eq!(said, format!("spec.planRef: Plan {} does not exist: create it or name another", plan.name));
    scene.create(Kind::Plan, &plan, json!({})).await;
    scene.ready(Kind::Tenant, &tenant).await;

    // What runs keeps running without its plan.
    scene.delete(Kind::Plan, &plan).await;
    scene.refused(Kind::Tenant, &tenant, "PlanNotFound").await;
    let namespace = Key::cluster(&scene.namespace("acme"));
    let namespace = scene.get(Kind::Namespace, &namespace).await.unwrap();
    assert!(namespace["metadata"]["deletionTimestamp"].is_null());
}

#[tokio::test]
async fn an_unknown_blueprint_is_named_and_its_removal_recovers() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let (tenant, absent) = (scene.cluster("acme"), scene.name("absent"));
    let asked = json!({"spec": {"blueprints": [{"name": scene.name("shop")}, {"name": absent}]}});
    scene.patch(Kind::Tenant, &tenant, asked).await;
    let said = scene.refused(Kind::Tenant, &tenant, "BlueprintNotFound").await;
    assert_eq!(
        said,
        format!("spec.blueprints: Blueprint {absent} does not exist: create it or remove it here")
    );
    assert!(scene.get(Kind::Deployment, &scene.inside("acme", "web")).await.is_some());
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"blueprints": [{"name": scene.name("shop")}]}})).await;
    scene.ready(Kind::Tenant, &tenant).await;
}

#[tokio::test]
async fn blueprints_that_ask_for_the_same_name_are_both_named() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let (tenant, shop, twin) = (scene.cluster("acme"), scene.name("shop"), scene.name("twin"));
    scene.create(Kind::Blueprint, &scene.cluster("twin"), shop::blueprint()).await;
    scene
        .patch(Kind::Tenant, &tenant, json!({"spec": {"blueprints": [{"name": shop}, {"name": twin}]}}))
        .await;
    let said = scene.refused(Kind::Tenant, &tenant, "BlueprintConflict").await;
    let expected = format!(
        "spec.blueprints: Blueprints {shop} and {twin} both ask for the database orders: rename it in one of them or name only one"
    );
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_namespace_of_somebody_elses_is_never_touched() {
    let site = Site::shared().await;
    let scene = Stage::new(&site).await;
    let (tenant, namespace) = (scene.cluster("acme"), Key::cluster(&scene.namespace("acme")));
    let theirs = scene.create(Kind::Namespace, &namespace, json!({})).await;
    scene.create(Kind::Plan, &scene.cluster("small"), json!({})).await;
    scene.create(Kind::Tenant, &tenant, spec(&scene.name("small"))).await;
    let said = scene.refused(Kind::Tenant, &tenant, "NameConflict").await;
    assert_eq!(said, format!("Namespace {} exists and is not ours: rename or remove it", namespace.name));
    let labels = |object: &Value| object["metadata"]["labels"].clone();
    assert_eq!(labels(&scene.get(Kind::Namespace, &namespace).await.unwrap()), labels(&theirs));

    // Neither with the tenant's end.
    scene.delete(Kind::Tenant, &tenant).await;
    scene.gone(Kind::Tenant, &tenant).await;
    assert!(scene.get(Kind::Namespace, &namespace).await.unwrap()["metadata"]["deletionTimestamp"].is_null());

    scene.create(Kind::Tenant, &tenant, spec(&scene.name("small"))).await;
    scene.refused(Kind::Tenant, &tenant, "NameConflict").await;
    scene.delete(Kind::Namespace, &namespace).await;
    scene.ready(Kind::Tenant, &tenant).await;
}

#[tokio::test]
async fn pods_that_cannot_run_say_why_while_the_old_ones_go_on() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let (blueprint, tenant) = (scene.cluster("shop"), scene.cluster("acme"));
    let image = |image: &str| json!({"spec": {"services": [{"name": "web", "spec": {"image": image}}]}});
    let cases = [
        (UNPULLABLE, "ImagePullFailed", "cannot be pulled"),
        (CRASHING, "CrashLoopBackOff", "kubectl logs --previous"),
        (UNSCHEDULABLE, "Unschedulable", "Insufficient memory"),
    ];
    for (registry, reason, words) in cases {
        scene.patch(Kind::Blueprint, &blueprint, image(&format!("{registry}web:2"))).await;
        let said = scene.refused(Kind::Microservice, &scene.inside("acme", "web"), reason).await;
        assert!(said.contains(words), "{said}");
        let said = scene.refused(Kind::Tenant, &tenant, reason).await;
        assert!(said.starts_with("Microservice web: "), "{said}");
        let deployment = scene.get(Kind::Deployment, &scene.inside("acme", "web")).await.unwrap();
        assert_eq!(deployment["status"]["availableReplicas"], 1, "the old pod was taken away");
    }
    scene.patch(Kind::Blueprint, &blueprint, image("app.test/web:3")).await;
    scene.ready(Kind::Tenant, &tenant).await;
}

#[tokio::test]
async fn a_missing_crd_is_named_until_it_is_installed() {
    let site = Site::own().await;
    let scene = Stage::new(&site).await;
    let crds: Api<CustomResourceDefinition> = Api::all(scene.client.clone());
    let name = "blueprints.tenantry.dev";
    let mut crd = crds.get(name).await.unwrap();
    let allowed = json!({"metadata": {"annotations": {labels::ALLOW_DELETE: "true"}}});
    crds.patch(name, &PatchParams::default(), &Patch::Merge(allowed)).await.unwrap();
    crds.delete(name, &DeleteParams::default()).await.unwrap();
    wait_until(A_MINUTE, "the CRD is gone", async || {
        let left = crds.get_opt(name).await.unwrap();
        left.map_or(Ok(()), |left| Err(format!("{:?}", left.status)))
    })
    .await;

    let operator = Operator::launch(&site, None).await;
    wait_until(A_MINUTE, "readiness names the CRD", async || {
        let said = operator.unready();
        let named = said.iter().any(|said| said.contains(name) && said.ends_with("run: tenantry install"));
        if named { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
    crd.metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
    crds.create(&PostParams::default(), &crd).await.unwrap();
    operator.leads().await;
    scene.create(Kind::Plan, &scene.cluster("small"), json!({})).await;
    scene.ready(Kind::Plan, &scene.cluster("small")).await;
    wait_until(A_MINUTE, "nothing is amiss any more", async || {
        let said = operator.unready();
        if said.is_empty() { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_missing_right_is_named_and_its_grant_recovers() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = Stage::new(&site).await;
    let roles: Api<ClusterRole> = Api::all(scene.client.clone());
    let whole = roles.get(ROLE).await.unwrap();
    let mut less = whole.clone();
    for rule in less.rules.iter_mut().flatten() {
        if rule.resources.iter().flatten().any(|resource| resource == "limitranges") {
            rule.verbs.retain(|verb| verb != "create");
        }
    }
    let restore = |role: &ClusterRole| Patch::Merge(json!({"rules": role.rules}));
    roles.patch(ROLE, &PatchParams::default(), &restore(&less)).await.unwrap();

    let tenant = scene.cluster("acme");
    scene.create(Kind::Plan, &scene.cluster("small"), json!({})).await;
    scene.create(Kind::Tenant, &tenant, spec(&scene.name("small"))).await;
    let said = scene.refused(Kind::Tenant, &tenant, "Forbidden").await;
    assert!(said.contains("failed to create Namespace") && said.contains("forbidden"), "{said}");
    roles.patch(ROLE, &PatchParams::default(), &restore(&whole)).await.unwrap();
    scene.ready(Kind::Tenant, &tenant).await;
    assert!(condition(&scene.get(Kind::Tenant, &tenant).await.unwrap(), "Stalled").is_none());
    operator.stop().await;
}
