//! `tenantry reconcile`: the operator compares now, and says what it found.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use tenantry::api::names::TenantId;
use tenantry::controller::object::{Key, Kind};

use super::Shell;
use super::transcripts::{assert_golden, written};
use crate::controller::database_drift::looked;
use crate::controller::scene::condition;
use crate::controller::shop;
use crate::controller::site::{Site, Stage};
use crate::support::Operator;

/// What no two runs have in common, and what stands for it.
struct Transcript<'a> {
    shell: Shell,
    masks: Vec<(String, &'a str)>,
    text: String,
}

impl Transcript<'_> {
    /// Runs `tenantry` with the words of `command`, in which names stand as in the transcript.
    async fn say(&mut self, command: &str) {
        let real = |word: &str| {
            self.masks.iter().rev().fold(word.to_owned(), |word, (from, to)| word.replace(to, from))
        };
        let words: Vec<String> = command.split(' ').map(real).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let outcome = self.shell.tenantry(&words).await;
        let said = written(&format!("tenantry {command}"), &outcome);
        self.text += &self.masks.iter().fold(said, |said, (from, to)| said.replace(from, to));
    }
}

async fn set_policy(scene: &Stage<'_>, policy: &str) {
    let server = Key::cluster(&scene.site.server);
    scene.patch(Kind::DatabaseServer, &server, json!({"spec": {"driftPolicy": policy}})).await;
    scene.ready(Kind::DatabaseServer, &server).await;
}

#[tokio::test]
async fn what_is_compared_on_demand_is_told_as_documented() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let tenant = scene.get(Kind::Tenant, &scene.cluster("acme")).await.unwrap();
    let id = TenantId::of_uid(tenant["metadata"]["uid"].as_str().unwrap()).to_string();
    let masks = vec![(scene.name("acme"), "ACME"), (site.server.clone(), "SERVER"), (id.clone(), "ID")];
    let mut transcript = Transcript { shell: Shell::new(&site), masks, text: String::new() };
    let mut admin = site.postgres.admin("postgres").await;
    let database = format!("t_{id}_orders");
    let meddle = format!(
        "alter database {database} connection limit 77; grant connect on database {database} to public"
    );

    transcript.say("reconcile tenant ACME").await;
    // The operator's own look would find it first, and does not come within half a minute of the last one.
    looked(&scene, &operator).await;
    admin.execute(AssertSqlSafe(meddle.clone())).await.unwrap();
    transcript.say("reconcile tdb orders -n tenant-ACME").await;
    transcript.say("reconcile tdb orders -n tenant-ACME").await;

    set_policy(&scene, "Warn").await;
    looked(&scene, &operator).await;
    admin.execute(AssertSqlSafe(meddle)).await.unwrap();
    transcript.say("reconcile tdb/orders -n tenant-ACME").await;
    admin.execute("create role mallory superuser").await.unwrap();
    transcript.say("reconcile dbs SERVER").await;
    transcript.say("reconcile dbs/SERVER -o json").await;

    transcript.say("reconcile plan small").await;
    transcript.say("reconcile tdb order -n tenant-ACME").await;
    transcript.say("reconcile tenant nobody").await;
    operator.stop().await;
    transcript.say("reconcile tdb orders -n tenant-ACME --timeout 1s").await;
    assert_golden("reconcile.txt", &transcript.text);
}

#[tokio::test]
async fn a_request_is_answered_once_and_inside_the_database_too() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let (claim, shell) = (scene.inside("acme", "orders"), Shell::new(&site));
    let bound = crate::controller::claims::binding(&scene, "orders-app").await;
    // Whatever the tenant's creation still asked of the claim is done before anybody meddles.
    shell.ok(&["reconcile", "tdb", "orders", "-n", &claim.namespace]).await;
    let mut inside = site.postgres.admin(&bound["database"]).await;
    inside.execute("grant create on schema public to public").await.unwrap();
    let said = shell.ok(&["reconcile", "tdb", "orders", "-n", &claim.namespace]).await;
    assert!(said.contains("1 difference corrected\n  PUBLIC has CREATE on schema public\n"), "{said}");

    // The answer stays, and nobody writes it again.
    let answered = |claim: &Value| claim["status"]["lastReconcile"].clone();
    let before = scene.get(Kind::TenantDatabase, &claim).await.unwrap();
    let turns = operator.turns(Kind::TenantDatabase);
    let label = json!({"metadata": {"labels": {"tests.tenantry.dev/turn": "now"}}});
    let labelled = scene.patch(Kind::TenantDatabase, &claim, label).await;
    operator.took_turns(&[(Kind::TenantDatabase, turns + 1)]).await;
    let after = scene.get(Kind::TenantDatabase, &claim).await.unwrap();
    assert_eq!(answered(&before), answered(&after));
    assert_eq!(labelled["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);
    assert_eq!(condition(&after, "Drifted"), None);
    operator.stop().await;
}
