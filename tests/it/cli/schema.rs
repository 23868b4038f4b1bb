//! A malformed object is refused by the schema, with the field's name.

use crate::support::{ControlPlane, Prefix};

use super::Shell;

struct Case {
    what: &'static str,
    kind: &'static str,
    /// Metadata name; NAME stands for one that is fine.
    name: &'static str,
    spec: &'static str,
    /// What the refusal has to say.
    says: &'static str,
}

const fn case(
    what: &'static str,
    kind: &'static str,
    name: &'static str,
    spec: &'static str,
    says: &'static str,
) -> Case {
    Case { what, kind, name, spec, says }
}

const PLAN: &str = "{planRef: {name: p}}";
const IMAGE: &str = "{image: a}";
const LONG: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

const CASES: &[Case] = &[
    case(
        "a tenant's name of 41 characters",
        "Tenant",
        LONG,
        PLAN,
        "metadata.name must be a DNS label of at most 40",
    ),
    case("a reserved tenant's name", "Tenant", "system", PLAN, "metadata.name is reserved"),
    case("another reserved name", "Tenant", "platform", PLAN, "metadata.name is reserved"),
    case("capitals", "Tenant", "Acme", PLAN, "metadata.name"),
    case("an underscore", "Tenant", "a_b", PLAN, "metadata.name"),
    case("a dot", "Tenant", "a.b", PLAN, "metadata.name must be a DNS label"),
    case("a digit in front", "Tenant", "1a", PLAN, "metadata.name must be a DNS label"),
    case("a hyphen at the end", "Tenant", "a-", PLAN, "metadata.name"),
    case("no plan", "Tenant", "NAME", "{}", "spec.planRef: Required value"),
    case("a plan that is text", "Tenant", "NAME", "{planRef: p}", "spec.planRef"),
    case("an empty plan's name", "Tenant", "NAME", "{planRef: {name: \"\"}}", "spec.planRef.name"),
    case(
        "an unknown state",
        "Tenant",
        "NAME",
        "{planRef: {name: p}, state: Paused}",
        "spec.state: Unsupported value",
    ),
    case(
        "an unknown field",
        "Tenant",
        "NAME",
        "{planRef: {name: p}, size: 3}",
        "unknown field \"spec.size\"",
    ),
    case(
        "a blueprint twice",
        "Tenant",
        "NAME",
        "{planRef: {name: p}, blueprints: [{name: a}, {name: a}]}",
        "spec.blueprints[1]: Duplicate value",
    ),
    case(
        "nine blueprints",
        "Tenant",
        "NAME",
        "{planRef: {name: p}, blueprints: [{name: a}, {name: b}, {name: c}, {name: d}, {name: e}, {name: f}, {name: g}, {name: h}, {name: i}]}",
        "spec.blueprints: Too many: 9",
    ),
    case(
        "an owner of an unknown kind",
        "Tenant",
        "NAME",
        "{planRef: {name: p}, owners: [{kind: Robot, name: r}]}",
        "spec.owners[0].kind: Unsupported value",
    ),
    case(
        "a user in a namespace",
        "Tenant",
        "NAME",
        "{planRef: {name: p}, owners: [{kind: User, name: r, namespace: ns}]}",
        "spec.owners[0]: Invalid value",
    ),
    case(
        "a service account without one",
        "Tenant",
        "NAME",
        "{planRef: {name: p}, owners: [{kind: ServiceAccount, name: r}]}",
        "spec.owners[0]: Invalid value",
    ),
    case("a quantity that is none", "Plan", "NAME", "{quota: {cpu: many}}", "spec.quota.cpu"),
    case("a negative quantity", "Plan", "NAME", "{quota: {memory: -1Gi}}", "spec.quota.memory"),
    case("a number as a quantity", "Plan", "NAME", "{quota: {cpu: 2}}", "spec.quota.cpu"),
    case("no connection at all", "Plan", "NAME", "{limits: {connections: 0}}", "spec.limits.connections"),
    case("too many pods", "Plan", "NAME", "{quota: {pods: 10001}}", "spec.quota.pods"),
    case(
        "external and managed",
        "DatabaseServer",
        "NAME",
        "{external: {host: h, adminSecretName: s}, managed: {version: \"15\", storage: 1Gi}}",
        "exactly one of",
    ),
    case("neither external nor managed", "DatabaseServer", "NAME", "{}", "exactly one of"),
    case(
        "an unknown PostgreSQL",
        "DatabaseServer",
        "NAME",
        "{managed: {version: \"9\", storage: 1Gi}}",
        "spec.managed.version: Unsupported value",
    ),
    case(
        "storage that is no quantity",
        "DatabaseServer",
        "NAME",
        "{managed: {version: \"15\", storage: big}}",
        "spec.managed.storage",
    ),
    case(
        "no storage",
        "DatabaseServer",
        "NAME",
        "{managed: {version: \"15\"}}",
        "spec.managed.storage: Required value",
    ),
    case(
        "a host with a space",
        "DatabaseServer",
        "NAME",
        "{external: {host: \"a b\", adminSecretName: s}}",
        "spec.external.host",
    ),
    case(
        "a port out of range",
        "DatabaseServer",
        "NAME",
        "{external: {host: a, port: 70000, adminSecretName: s}}",
        "spec.external.port",
    ),
    case(
        "a namespace that is none",
        "DatabaseServer",
        "NAME",
        "{managed: {version: \"15\", storage: 1Gi}, allowedNamespaces: [\"A*\"]}",
        "spec.allowedNamespaces[0]",
    ),
    case(
        "a claim's name of 25 characters",
        "TenantDatabase",
        "aaaaaaaaaaaaaaaaaaaaaaaaa",
        "{}",
        "metadata.name must be a DNS label of at most 24",
    ),
    case(
        "a credential twice",
        "TenantDatabase",
        "NAME",
        "{credentials: [{name: a}, {name: a}]}",
        "spec.credentials[1]: Duplicate value",
    ),
    case(
        "a credential's name of 17 characters",
        "TenantDatabase",
        "NAME",
        "{credentials: [{name: aaaaaaaaaaaaaaaaa}]}",
        "spec.credentials[0].name",
    ),
    case(
        "an unknown access",
        "TenantDatabase",
        "NAME",
        "{credentials: [{name: a, access: Admin}]}",
        "spec.credentials[0].access: Unsupported value",
    ),
    case("no credential at all", "TenantDatabase", "NAME", "{credentials: []}", "spec.credentials"),
    case(
        "a hostile credential",
        "TenantDatabase",
        "NAME",
        "{credentials: [{name: 'a\"; DROP'}]}",
        "spec.credentials[0].name",
    ),
    case(
        "image and builtin",
        "Microservice",
        "NAME",
        "{image: a, builtin: user}",
        "exactly one of image and builtin is required",
    ),
    case(
        "neither image nor builtin",
        "Microservice",
        "NAME",
        "{}",
        "exactly one of image and builtin is required",
    ),
    case("an unknown builtin", "Microservice", "NAME", "{builtin: mail}", "spec.builtin: Unsupported value"),
    case(
        "endpoints of a builtin",
        "Microservice",
        "NAME",
        "{builtin: user, endpoints: [{name: http, port: 8080}]}",
        "endpoints are not allowed beside builtin",
    ),
    case("a version that is none", "Microservice", "NAME", "{image: a, version: one}", "spec.version"),
    case("a version of two parts", "Microservice", "NAME", "{image: a, version: \"1.2\"}", "spec.version"),
    case("less than no replica", "Microservice", "NAME", "{image: a, replicas: -1}", "spec.replicas"),
    case(
        "a variable twice",
        "Microservice",
        "NAME",
        "{image: a, env: [{name: A, value: x}, {name: A, value: y}]}",
        "spec.env[1]: Duplicate value",
    ),
    case(
        "a variable that no shell takes",
        "Microservice",
        "NAME",
        "{image: a, env: [{name: A-B, value: x}]}",
        "spec.env[0].name",
    ),
    case(
        "an endpoint twice",
        "Microservice",
        "NAME",
        "{image: a, endpoints: [{name: a, port: 8080}, {name: a, port: 8081}]}",
        "spec.endpoints[1]: Duplicate value",
    ),
    case(
        "a privileged port",
        "Microservice",
        "NAME",
        "{image: a, endpoints: [{name: a, port: 80}]}",
        "spec.endpoints[0].port",
    ),
    case(
        "a database twice",
        "Microservice",
        "NAME",
        "{image: a, databases: [{name: a}, {name: a}]}",
        "spec.databases[1]: Duplicate value",
    ),
    case(
        "CPU that is no quantity",
        "Microservice",
        "NAME",
        "{image: a, resources: {requests: {cpu: some}}}",
        "spec.resources.requests.cpu",
    ),
    case(
        "a microservice's long name",
        "Microservice",
        LONG,
        IMAGE,
        "metadata.name must be a DNS label of at most 40",
    ),
    case(
        "a service twice",
        "Blueprint",
        "NAME",
        "{services: [{name: a, spec: {image: a}}, {name: a, spec: {image: a}}]}",
        "spec.services[1]: Duplicate value",
    ),
    case(
        "a service's bad spec",
        "Blueprint",
        "NAME",
        "{services: [{name: a, spec: {}}]}",
        "spec.services[0].spec",
    ),
    case(
        "a database twice in a blueprint",
        "Blueprint",
        "NAME",
        "{databases: [{name: a}, {name: a}]}",
        "spec.databases[1]: Duplicate value",
    ),
    case(
        "a database's long name",
        "Blueprint",
        "NAME",
        "{databases: [{name: aaaaaaaaaaaaaaaaaaaaaaaaa}]}",
        "spec.databases[0].name",
    ),
    case(
        "a database without a server",
        "ServerDatabase",
        "NAME",
        "{claimRef: {namespace: ns, name: a}, physicalName: a}",
        "spec.serverRef: Required value",
    ),
    case(
        "a hostile physical name",
        "ServerDatabase",
        "NAME",
        "{serverRef: {name: s}, claimRef: {namespace: ns, name: a}, physicalName: 'a\"b'}",
        "spec.physicalName",
    ),
];

#[tokio::test]
async fn a_malformed_object_is_refused_by_the_name_of_its_field() {
    let plane = ControlPlane::shared().await;
    let shell = Shell::new(plane);
    let fine = Prefix::new().name("x");
    let mut wrong = vec![];
    for Case { what, kind, name, spec, says } in CASES {
        let name = if *name == "NAME" { &*fine } else { name };
        let yaml = format!(
            "apiVersion: tenantry.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name:?}}}\nspec: {spec}\n"
        );
        let outcome = shell.feed(&["create", "--dry-run=server", "-f", "-"], &yaml).await;
        if outcome.code == Some(0) || !outcome.stderr.contains(says) {
            wrong.push(format!("{what}: expected {says:?}, got {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_cannot_change_is_kept() {
    let plane = ControlPlane::shared().await;
    let shell = Shell::new(plane);
    let name = Prefix::new().name("pg");
    let server = |storage: &str| {
        format!(
            "apiVersion: tenantry.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {{name: {name}}}\nspec: {{managed: {{version: \"15\", storage: {storage}}}}}\n"
        )
    };
    shell.apply(&server("1Gi")).await;
    let changed = shell.feed(&["apply", "-f", "-"], &server("2Gi")).await;
    assert!(
        changed.stderr.contains("version, storage and storageClassName of a managed server cannot change"),
        "{changed:?}"
    );
    shell.ok(&["delete", "dbs", &name, "--yes"]).await;
}
