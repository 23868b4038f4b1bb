//! `tenantry plan`: what it shows is what the operator then does, and showing it changes nothing.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use tempfile::TempDir;
use tenantry::api::names::TenantId;
use tenantry::api::preview::{Action, PATH, Preview, TOKEN_HEADER};
use tenantry::controller::object::{Key, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::transcripts::{assert_golden, written};
use super::{Outcome, Shell};
use crate::controller::database_drift::looked;
use crate::controller::shop;
use crate::controller::site::{Site, Stage};
use crate::support::Operator;
use crate::support::postgres::SERVER;

/// A stage with an operator that can be asked, and files.
struct Desk<'a> {
    scene: Stage<'a>,
    shell: Shell,
    files: TempDir,
}

impl<'a> Desk<'a> {
    async fn new(site: &'a Site) -> Self {
        let files = TempDir::new().unwrap();
        Self { scene: Stage::new(site).await, shell: Shell::new(site), files }
    }

    fn object(&self, kind: Kind, name: &str, spec: &Value) -> Value {
        let resource = kind.api_resource();
        json!({
            "apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": {"name": self.scene.name(name)}, "spec": spec,
        })
    }

    /// Writes a file and returns its path.
    fn file(&self, name: &str, objects: &[Value]) -> String {
        let path = self.files.path().join(name);
        let documents: Vec<String> = objects.iter().map(|object| format!("---\n{object}\n")).collect();
        std::fs::write(&path, documents.concat()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn plan(&self) -> Value {
        let selector = json!({"matchLabels": {SERVER: self.scene.site.server}});
        let spec = json!({"limits": {"connections": 10}, "serverSelector": selector});
        self.object(Kind::Plan, "small", &spec)
    }

    fn blueprint(&self, databases: &[&str]) -> Value {
        let named: Vec<Value> = databases.iter().map(|name| json!({"name": name})).collect();
        let user =
            |name: &&str| json!({"name": "user", "spec": {"builtin": "user", "databases": [{"name": name}]}});
        let users: Vec<Value> = databases.iter().take(1).map(user).collect();
        self.object(Kind::Blueprint, "demo", &json!({"databases": named, "services": users}))
    }

    /// A file that gives the database `legacy_crm` to the claim `crm` of the tenant `acme`.
    fn given(&self) -> String {
        let mut claim = self.object(Kind::TenantDatabase, "crm", &json!({}));
        claim["metadata"] = json!({"name": "crm", "namespace": self.scene.namespace("acme")});
        let spec = json!({
            "serverRef": {"name": self.scene.site.server}, "physicalName": "legacy_crm", "management": "Adopt",
            "claimRef": {"namespace": self.scene.namespace("acme"), "name": "crm"},
        });
        self.file("given.yaml", &[self.object(Kind::ServerDatabase, "legacy-crm", &spec), claim])
    }

    fn tenant(&self, plan: &str) -> Value {
        let blueprints = json!([{"name": self.scene.name("demo")}]);
        let spec = json!({"planRef": {"name": self.scene.name(plan)}, "blueprints": blueprints});
        self.object(Kind::Tenant, "acme", &spec)
    }

    /// The text with what differs from run to run made equal.
    async fn masked(&self, text: &str) -> String {
        let tenant = self.scene.get(Kind::Tenant, &self.scene.cluster("acme")).await;
        let folder = self.files.path().to_str().unwrap();
        let mut text = text.replace(folder, "FILES").replace(&self.scene.site.server, "main");
        if let Some(uid) = tenant.as_ref().and_then(|tenant| tenant["metadata"]["uid"].as_str()) {
            text = text.replace(TenantId::of_uid(uid).as_str(), "ID").replace(uid, "UID");
        }
        let claims = self.scene.all(Kind::TenantDatabase).await;
        for claim in claims {
            text = text.replace(claim["metadata"]["uid"].as_str().unwrap(), "CLAIM-UID");
        }
        text.replace(&self.scene.name(""), "")
    }

    /// A command and all that it prints.
    async fn said(&self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        let outcome = self.shell.tenantry(&words).await;
        let text = written(&format!("tenantry {command}"), &outcome);
        self.masked(&text).await
    }

    async fn preview(&self, args: &[&str]) -> Preview {
        let args: Vec<&str> = ["plan"].iter().chain(args).copied().chain(["-o", "json"]).collect();
        serde_json::from_str(&self.shell.ok(&args).await).unwrap()
    }
}

/// `Kind namespace/name` of everything that a preview adds.
fn added(preview: &Preview) -> BTreeSet<String> {
    let shown = preview.objects.iter().map(|object| {
        let namespace = object.namespace.as_ref().map(|it| format!("{it}/")).unwrap_or_default();
        format!("{} {namespace}{}", object.kind.to_lowercase(), object.name)
    });
    shown.collect()
}

#[tokio::test]
async fn a_plan_shows_what_the_operator_then_does_and_changes_nothing() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    operator.stands_at_its_door(&site).await;
    let desk = Desk::new(&site).await;
    let platform = desk.file("platform.yaml", &[desk.plan(), desk.blueprint(&["app"])]);
    let tenant = desk.file("tenant.yaml", &[desk.tenant("small")]);
    assert_eq!(desk.shell.kubectl(&["apply", "-f", &platform]).await.code, Some(0));
    for (kind, name) in [(Kind::Plan, "small"), (Kind::Blueprint, "demo")] {
        desk.scene.ready(kind, &desk.scene.cluster(name)).await;
    }
    let server = tenantry::controller::object::Key::cluster(&site.server);
    desk.scene.ready(Kind::DatabaseServer, &server).await;

    // A platform that does not exist yet, with a server that nobody has reached.
    let sample = desk.preview(&["-f", "manifests/samples/demo"]).await;
    let names: Vec<&str> = sample.databases.iter().map(|database| database.database.as_str()).collect();
    assert_eq!((names, sample.problems.len()), (vec!["t_<id>_app", "t_<id>_app"], 0), "{sample:?}");
    let shown = added(&sample);
    for expected in [
        "statefulset tenantry-servers/main",
        "secret tenantry-servers/main-admin",
        "deployment tenant-acme/user",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown:?}");
    }
    assert!(sample.notes[0].starts_with("DatabaseServer main does not exist yet"), "{:?}", sample.notes);

    // Before: everything is shown, and nothing is written.
    let (mark, before) = (site.mark().await, desk.scene.state().await);
    let mut transcript = desk.said(&format!("plan -f {tenant}")).await;
    let preview = desk.preview(&["-f", &tenant]).await;
    let code = desk.shell.tenantry(&["plan", "-f", &tenant, "--detailed-exitcode"]).await.code;
    assert_eq!(code, Some(2));
    let mut writes = site.operator_writes_since(mark).await;
    writes.retain(|write| write.resource != "tokenreviews");
    assert_eq!(writes, []);
    desk.scene.state().await.assert_equals(&before);

    // What was shown is what is done, object by object.
    let mark = site.mark().await;
    assert_eq!(desk.shell.kubectl(&["apply", "-f", &tenant]).await.code, Some(0));
    desk.scene.ready(Kind::Tenant, &desk.scene.cluster("acme")).await;
    let made = desk.scene.get(Kind::Tenant, &desk.scene.cluster("acme")).await.unwrap();
    let id = TenantId::of_uid(made["metadata"]["uid"].as_str().unwrap());
    let created = site.operator_writes_since(mark).await.into_iter().filter(|write| write.verb == "create");
    let created: BTreeSet<String> = created
        .filter(|write| write.resource != "tokenreviews")
        .map(|write| {
            let kind = if write.resource == "networkpolicies" {
                "networkpolicy".to_owned()
            } else {
                write.resource.trim_end_matches('s').to_owned()
            };
            let namespace = if write.namespace.is_empty() || kind == "namespace" {
                String::new()
            } else {
                format!("{}/", write.namespace)
            };
            format!("{kind} {namespace}{}", write.name.replace(id.as_str(), "<id>"))
        })
        .collect();
    let mut shown = added(&preview);
    assert!(shown.remove(&format!("tenant {}", desk.scene.name("acme"))), "{shown:?}");
    assert_eq!(shown, created);

    // After: nothing is left to do, seen either way.
    let acme = desk.scene.name("acme");
    transcript += &desk.said(&format!("plan -f {tenant} -f {platform} --detailed-exitcode")).await;
    transcript += &desk.said(&format!("plan tenant {acme} --detailed-exitcode")).await;

    // Drift on the server and in the cluster. The operator's own look would find it first, and does not come within half a minute
    // of the last one.
    looked(&desk.scene, &operator).await;
    let mut admin = site.postgres.admin("postgres").await;
    let login = format!("t_{id}_app_app_a");
    admin.execute(AssertSqlSafe(format!("alter role {login} connection limit 77 superuser"))).await.unwrap();
    transcript += &desk.said(&format!("plan tn/{acme} --detailed-exitcode")).await;
    admin
        .execute(AssertSqlSafe(format!("alter role {login} connection limit 10 nosuperuser")))
        .await
        .unwrap();

    // A database that was there before, given to a claim: what the claim would get, and nothing of what is there.
    admin.execute("create database legacy_crm").await.unwrap();
    let given = desk.given();
    transcript += &desk.said(&format!("plan -f {given}")).await;

    // A claim that nobody asks for any more: released, not dropped.
    let smaller = desk.file("smaller.yaml", &[desk.blueprint(&[])]);
    transcript += &desk.said(&format!("plan -f {smaller}")).await;
    assert!(!transcript.contains("DROP"), "{transcript}");
    let suspended = desk.file(
        "suspended.yaml",
        &[{
            let mut tenant = desk.tenant("small");
            tenant["spec"]["state"] = json!("Suspended");
            tenant
        }],
    );
    transcript += &desk.said(&format!("plan -f {suspended}")).await;
    assert_golden("plan.txt", &transcript);
    assert!(desk.preview(&["tenant", &acme]).await.is_empty(), "nothing of that was done");

    a_purge_is_shown_with_the_release(&desk, &smaller).await;
    passwords_are_replaced_and_not_shown(&desk, &operator, &mut admin, &login).await;
    operator.stop().await;
}

/// Under the policy Delete what is released is renamed out of the way, too.
async fn a_purge_is_shown_with_the_release(desk: &Desk<'_>, smaller: &str) {
    let (tenant, claim) = (desk.scene.cluster("acme"), desk.scene.inside("acme", "app"));
    desk.scene.patch(Kind::Tenant, &tenant, json!({"spec": {"deletionPolicy": "Delete"}})).await;
    let claim = desk.scene.ready(Kind::TenantDatabase, &claim).await;
    let database = Key::cluster(claim["status"]["serverDatabase"].as_str().unwrap());
    let heard = |database: &Value| (database["status"]["deletionPolicy"] == "Delete").then_some(());
    desk.scene.until(Kind::ServerDatabase, &database, "says Delete", heard).await;
    let purged = desk.preview(&["-f", smaller]).await;
    let [change] = &purged.databases[..] else { panic!("{purged:?}") };
    let last = change.steps.last().unwrap().statements.last().unwrap();
    assert_eq!((change.action, change.released, change.purged), (Action::Destroy, true, true));
    assert!(last.destructive && last.sql.contains("RENAME TO \"tombstone_t_"), "{last:?}");
    desk.scene.patch(Kind::Tenant, &tenant, json!({"spec": {"deletionPolicy": null}})).await;
    let heard = |database: &Value| (database["status"]["deletionPolicy"] == "Retain").then_some(());
    desk.scene.until(Kind::ServerDatabase, &database, "says Retain", heard).await;
}

/// Neither the password that was there nor the next one is in a plan, whether the login is replaced or set right.
async fn passwords_are_replaced_and_not_shown(
    desk: &Desk<'_>,
    operator: &Operator,
    admin: &mut PgConnection,
    login: &str,
) {
    let acme = desk.scene.name("acme");
    let secret = desk.scene.get(Kind::Secret, &desk.scene.inside("acme", "app-app")).await.unwrap();
    let (claim, rotate) = (desk.scene.inside("acme", "app"), json!({"rotate.tenantry.dev/app": "now"}));
    let mut claim = desk.scene.get(Kind::TenantDatabase, &claim).await.unwrap();
    claim["metadata"] =
        json!({"name": "app", "namespace": desk.scene.namespace("acme"), "annotations": rotate});
    claim.as_object_mut().unwrap().remove("status");
    let replaced = desk.shell.ok(&["plan", "-f", &desk.file("rotated.yaml", &[claim])]).await;
    assert!(replaced.contains("~ data.password: (sensitive) -> (sensitive)"), "{replaced}");
    for known in ["password", "uri"].map(|key| secret["data"][key].as_str().unwrap()) {
        assert!(!replaced.contains(known), "{replaced}");
    }
    assert!(!replaced.contains("SCRAM-SHA-256"), "{replaced}");

    // One that somebody changed on the server is set again from the Secret, which stays.
    looked(&desk.scene, operator).await;
    admin.execute(AssertSqlSafe(format!("alter role {login} password 'changed by hand'"))).await.unwrap();
    let set_again = desk.shell.ok(&["plan", "tenant", &acme]).await;
    assert!(set_again.contains(&format!("ALTER ROLE \"{login}\" PASSWORD '********'")), "{set_again}");
    assert!(!set_again.contains("Secret"), "{set_again}");
    assert!(!set_again.contains("SCRAM-SHA-256"), "{set_again}");
}

#[tokio::test]
async fn a_plan_shows_which_databases_are_taken_from_a_warm_pool() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    operator.stands_at_its_door(&site).await;
    let desk = Desk::new(&site).await;
    let server = Key::cluster(&site.server);
    let sized = json!({"spec": {"warmPool": {"size": 1}, "capacity": {"databases": 9}}});
    desk.scene.patch(Kind::DatabaseServer, &server, sized).await;
    desk.scene.ready(Kind::DatabaseServer, &server).await;
    let held = crate::controller::pool::holds(&site, 1).await;
    let clone = held.iter().find_map(|it| it.strip_prefix("row ")?.strip_suffix(" Ready")).unwrap();
    let files = [desk.plan(), desk.blueprint(&["one", "two"]), desk.tenant("small")];
    let file = desk.file("all.yaml", &files);
    let shown = desk.preview(&["-f", &file]).await;
    let sql = |claim: &str| -> Vec<String> {
        let change = shown.databases.iter().find(|change| change.claim == claim).unwrap();
        change.steps.iter().flat_map(|step| &step.statements).map(|it| it.sql.clone()).collect()
    };
    // One of them: the other finds the pool empty, and is made.
    let (one, two) = (sql("one"), sql("two"));
    let renamed = format!("ALTER DATABASE \"{clone}\" RENAME TO \"t_<id>_one\"");
    assert_eq!(one.iter().filter(|it| **it == renamed).count(), 1, "{one:?}");
    assert!(two.iter().any(|it| it.starts_with("CREATE DATABASE \"t_<id>_two\"")), "{two:?}");
    for statements in [&one, &two] {
        assert!(statements[1].ends_with("(SELECT count(*) FROM tenantry.marker) < 9"), "{statements:?}");
    }
    let note = format!("database t_<id>_one is taken from the warm pool of DatabaseServer {}", site.server);
    assert_eq!(shown.notes.iter().filter(|it| it.starts_with(&note)).count(), 1, "{:?}", shown.notes);
    assert_eq!(crate::controller::pool::holds(&site, 1).await, held, "and nothing was taken");
    operator.stop().await;
}

#[tokio::test]
async fn what_cannot_be_planned_is_named() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    operator.stands_at_its_door(&site).await;
    let desk = Desk::new(&site).await;
    let refused = async |args: &[&str]| {
        let Outcome { code, stdout: _, stderr } = desk.shell.tenantry(args).await;
        (code, desk.masked(&stderr).await)
    };
    // A blueprint whose service uses a database that it does not list.
    let mut blueprint = desk.blueprint(&["app"]);
    blueprint["spec"]["databases"] = json!([]);
    let lacking = desk.file("lacking.yaml", &[blueprint]);
    let (code, said) = refused(&["plan", "-f", &lacking]).await;
    let expected = "error: Blueprint demo: spec.services[0].spec.databases: service user uses the database app, which spec.databases does not list (InvalidSpec)\n";
    assert_eq!((code, said.as_str()), (Some(1), expected));
    // The tenant's plan does not exist, in the cluster or in the files.
    let tenant = desk.file("tenant.yaml", &[desk.blueprint(&["app"]), desk.tenant("large")]);
    let missing = "error: Tenant acme: spec.planRef: Plan large does not exist: create it or name another (PlanNotFound)\n";
    assert_eq!(refused(&["plan", "-f", &tenant, "--detailed-exitcode"]).await, (Some(1), missing.to_owned()));
    // The API server refuses the object, and says so in its own words.
    let mut wrong = desk.plan();
    wrong["spec"]["limits"]["connections"] = json!("many");
    let wrong = desk.file("wrong.yaml", &[wrong]);
    let (code, said) = refused(&["plan", "-f", &wrong]).await;
    let apply = desk.shell.kubectl(&["create", "--dry-run=server", "-f", &wrong]).await;
    assert_eq!(code, Some(1));
    let (words, hint) = said.split_once("hint: ").unwrap();
    assert!(
        desk.masked(&apply.stderr).await.contains(words.trim_end().rsplit(": ").next().unwrap()),
        "{said}\n{apply:?}"
    );
    assert_eq!(hint, "the object is in FILES/wrong.yaml\n");
    // Others' objects are left out, and named.
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    let others = desk.file("others.yaml", &[secret]);
    let (code, said) = refused(&["plan", "-f", &others]).await;
    assert_eq!(code, Some(0));
    assert_eq!(
        said,
        "Warning: FILES/others.yaml: v1 Secret \"s\" is not of tenantry.dev: left out of the plan\n"
    );
    // Nothing to look at.
    for (args, code) in [
        (&["plan"][..], 2),
        (&["plan", "plan", "small"], 2),
        (&["plan", "-f", "/nonexistent"], 1),
        (&["plan", "tenant", &desk.scene.name("nobody")], 1),
    ] {
        let (actual, said) = refused(args).await;
        assert_eq!(actual, Some(code), "{args:?}: {said}");
    }
    // Standard input is a file like any other.
    let tenantry = Path::new(env!("CARGO_BIN_EXE_tenantry"));
    let piped = desk.shell.fed(tenantry, &["plan", "-f", "-"], &desk.plan().to_string()).await;
    let expected =
        format!("+ Plan {}\n\nPlan: 1 to add, 0 to change, 0 to destroy\n", desk.scene.name("small"));
    assert_eq!((piped.code, piped.stdout), (Some(0), expected), "{}", piped.stderr);
}

#[tokio::test]
async fn only_whom_kubernetes_vouches_for_is_answered() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    operator.stands_at_its_door(&site).await;
    let (scene, shell) = (shop::open(&site).await, Shell::new(&site));
    let acme = scene.name("acme");
    let nobody = ["plan", "tenant", &acme, "--as", "nobody"];
    let refused = shell.tenantry(&nobody).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("cannot create resource \"serviceaccounts/token\""), "{refused:?}");
    let planner = scene.name("planner");
    let role = ["create", "rolebinding", &planner, "-n", "tenantry-system", "--role=tenantry-planner"];
    let user = format!("--user={planner}");
    let bound: Vec<&str> = role.iter().copied().chain([user.as_str()]).collect();
    assert_eq!(shell.kubectl(&bound).await.code, Some(0));
    let answered = shell.tenantry(&["plan", "tenant", &acme, "--as", &planner]).await;
    assert_eq!((answered.code, answered.stderr.as_str()), (Some(0), ""));

    // Whoever reaches the port without the API server has no such token; others are not good for it.
    let token = async |account: &str, audience: &str| {
        let audience = format!("--audience={audience}");
        let words = ["create", "token", account, "-n", "tenantry-system", &audience];
        shell.kubectl(&words).await.stdout.trim().to_owned()
    };
    let good = token("tenantry-plan", "tenantry-plan").await;
    let operators = token("operator", "tenantry-plan").await;
    let elsewhere = token("tenantry-plan", "https://kubernetes.default.svc").await;
    let cases = [
        ("", "{}", 403),
        ("nonsense", "{}", 403),
        (&operators, "{}", 403),
        (&elsewhere, "{}", 403),
        (&good, "{}", 200),
        (&good, "{\"tenants\": 7}", 400),
        (&good, "{\"objects\": [{\"kind\": \"Secret\", \"apiVersion\": \"v1\"}]}", 400),
    ];
    for (token, body, expected) in cases {
        assert_eq!(status(operator.port(), token, body.len(), body).await, expected, "{body}");
    }
    assert_eq!(status(operator.port(), &good, LARGE, &" ".repeat(LARGE)).await, 413);
}

/// One byte more than a question may have.
const LARGE: usize = (4 << 20) + 1;

/// HTTP status of a question that comes without the API server.
async fn status(port: u16, token: &str, length: usize, body: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{TOKEN_HEADER}: {token}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // It may be refused before it is read.
    let _ = stream.write_all(body.as_bytes()).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
}
