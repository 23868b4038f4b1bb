//! What somebody changes on a database server, past the operator: one look at all databases of a server finds it, and it is
//! brought back or told, as the server's admin wants.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};
use tenantry::controller::object::{Key, Kind};

use super::claims::{binding, phase, server_database, session, told};
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use crate::support::postgres::Version;
use crate::support::{Operator, wait_until};

/// Statements that a look at a server takes, whatever the number of its databases.
const LOOK: u64 = 10;

/// The claim `orders` of the tenant `acme`, and who meddles with its database.
struct Case<'a> {
    scene: &'a Stage<'a>,
    claim: Key,
    database: String,
    login: String,
    admin: PgConnection,
}

impl<'a> Case<'a> {
    async fn new(scene: &'a Stage<'a>) -> Self {
        let bound = binding(scene, "orders-app").await;
        let (database, login) = (bound["database"].clone(), bound["username"].clone());
        let admin = scene.site.postgres.admin("postgres").await;
        Self { scene, claim: scene.inside("acme", "orders"), database, login, admin }
    }

    /// Runs the statements as a superuser, with the names filled in.
    async fn meddle(&mut self, statements: &[&str]) {
        for sql in statements {
            let sql = sql.replace("{db}", &self.database).replace("{login}", &self.login);
            self.admin.execute(AssertSqlSafe(sql)).await.unwrap();
        }
    }

    async fn limit(&mut self) -> i32 {
        let sql = "select datconnlimit from pg_database where datname = $1";
        sqlx::query(sql).bind(&self.database).fetch_one(&mut self.admin).await.unwrap().get(0)
    }

    /// What whoever connects gets set.
    async fn settings(&mut self) -> String {
        let sql = "select array(select unnest(s.setconfig) order by 1)::text from pg_db_role_setting s
            join pg_database d on d.oid = s.setdatabase and s.setrole = 0 where d.datname = $1";
        sqlx::query(sql).bind(&self.database).fetch_one(&mut self.admin).await.unwrap().get(0)
    }

    /// The notes of the claim's Events of that reason.
    async fn told(&self, reason: &str) -> Vec<String> {
        told(self.scene, &self.claim, reason).await
    }
}

/// Has the operator look at the server now, and not within a minute.
async fn look(scene: &Stage<'_>, when: &str) {
    let label = json!({"metadata": {"labels": {"tests.tenantry.dev/look": when}}});
    scene.patch(Kind::DatabaseServer, &Key::cluster(&scene.site.server), label).await;
}

/// Waits until the server was compared so many times more.
async fn compared(scene: &Stage<'_>, operator: &Operator, times: u64) {
    let sample = format!("tenantry_drift_checks_total{{server=\"{}\"}}", scene.site.server);
    let before = operator.sample(&sample);
    wait_until(2 * A_MINUTE, "the server was looked at", async || {
        let checks = operator.sample(&sample) - before;
        if checks >= times { Ok(()) } else { Err(format!("{checks} times")) }
    })
    .await;
}

/// Has the operator look at the server, and waits until that is over: it does not within half a minute from then.
pub async fn looked(scene: &Stage<'_>, operator: &Operator) {
    look(scene, &format!("before-{}", operator.sample("tenantry_drift_checks_total"))).await;
    compared(scene, operator, 1).await;
    operator.took_turns(&[]).await;
}

async fn what_somebody_changed_is_brought_back_and_told(version: Version) {
    let site = Site::own_of(version).await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let mut case = Case::new(&scene).await;
    let before = scene.state().await;

    let changes = [
        "alter database {db} connection limit 77",
        "grant connect on database {db} to public",
        "alter database {db} owner to postgres",
        "alter database {db} set statement_timeout = 0",
        "alter role {login} superuser",
        "alter role {login} set statement_timeout = 0",
        "alter role {login} in database {db} set search_path = evil",
        "create role mallory",
        "grant {db}_owner to mallory with admin option",
        "grant {db}_owner to mallory granted by postgres",
    ];
    // At once: a look in between would tell half of it.
    case.meddle(&[&changes.join("; ")]).await;
    look(&scene, "first").await;
    scene.returns_to(&before).await;
    let told = wait_until(A_MINUTE, "the claim's owner is told", async || {
        case.told("DriftCorrected").await.pop().ok_or_else(|| "no Event".to_owned())
    })
    .await;
    let (db, login) = (&case.database, &case.login);
    for finding in [
        format!("database {db} does not belong to tenantry_databases"),
        format!("role {login} is not NOSUPERUSER"),
        format!("role {login} has settings"),
        format!("mallory is a member of {db}_owner"),
        format!("database {db} has not the connection limit 10"),
    ] {
        assert!(told.contains(&finding), "{finding} in {told}");
    }

    // The Secret's password is set again: whoever has it hears of nothing, and no pod is rolled.
    let (secret, bound) = (scene.inside("acme", "orders-app"), binding(&scene, "orders-app").await);
    let written = scene.get(Kind::Secret, &secret).await;
    case.meddle(&["alter role {login} password 'theirs'"]).await;
    assert!(session(&scene, &bound).await.is_err());
    look(&scene, "second").await;
    wait_until(A_MINUTE, "the binding from before opens the database", async || {
        session(&scene, &bound).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    scene.returns_to(&before).await;
    assert_eq!(scene.get(Kind::Secret, &secret).await, written);
    case.meddle(&["drop role mallory"]).await;
    operator.stop().await;
}

#[tokio::test]
async fn what_somebody_changed_on_postgresql_15_is_brought_back_and_told() {
    what_somebody_changed_is_brought_back_and_told(Version::V15).await;
}

#[tokio::test]
async fn what_somebody_changed_on_postgresql_18_is_brought_back_and_told() {
    what_somebody_changed_is_brought_back_and_told(Version::V18).await;
}

/// The shop on a server on which drift is told and left.
async fn open_under_warn(site: &Site) -> Stage<'_> {
    let (stage, server) = (Stage::new(site).await, Key::cluster(&site.server));
    stage.patch(Kind::DatabaseServer, &server, json!({"spec": {"driftPolicy": "Warn"}})).await;
    // A claim's turn that has begun before would correct.
    stage.ready(Kind::DatabaseServer, &server).await;
    shop::open(site).await
}

#[tokio::test]
async fn under_warn_a_change_is_told_and_left_until_what_is_declared_changes() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = open_under_warn(&site).await;
    let mut case = Case::new(&scene).await;
    compared(&scene, &operator, 1).await;

    case.meddle(&["alter database {db} connection limit 77"]).await;
    look(&scene, "first").await;
    let drifted = |claim: &Value| {
        let drifted = condition(claim, "Drifted")?;
        (drifted["status"] == "True").then(|| (drifted["reason"].clone(), drifted["message"].clone()))
    };
    let said = scene.until(Kind::TenantDatabase, &case.claim, "has drifted", drifted).await;
    let finding = format!("database {} has not the connection limit 10", case.database);
    assert_eq!(said, (json!("LeftAlone"), json!(finding)));
    scene.ready(Kind::TenantDatabase, &case.claim).await;
    assert_eq!(case.limit().await, 77);
    // Its Event comes after the condition.
    operator.took_turns(&[]).await;
    assert_eq!(case.told("Drifted").await.len(), 1);

    // Looking again says nothing new, an operator that starts neither.
    let seen = scene.get(Kind::TenantDatabase, &case.claim).await.unwrap();
    look(&scene, "second").await;
    compared(&scene, &operator, 1).await;
    operator.stop().await;
    let operator = Operator::start(&site).await;
    compared(&scene, &operator, 1).await;
    operator.took_turns(&[(Kind::TenantDatabase, 2)]).await;
    assert_eq!(scene.get(Kind::TenantDatabase, &case.claim).await.unwrap(), seen);
    assert_eq!((case.limit().await, case.told("Drifted").await.len()), (77, 1));

    // What is declared changes, and is done as a whole.
    let limits = json!({"connections": 7, "statementTimeout": "1m", "idleInTransactionTimeout": "2m", "tempFiles": "1Gi"});
    scene.patch(Kind::Plan, &scene.cluster("small"), json!({"spec": {"limits": limits}})).await;
    let cleared = |claim: &Value| condition(claim, "Drifted").is_none().then_some(());
    scene.until(Kind::TenantDatabase, &case.claim, "has not drifted", cleared).await;
    assert_eq!(case.limit().await, 7);
    assert_eq!(
        case.settings().await,
        "{idle_in_transaction_session_timeout=120000,log_min_messages=panic,statement_timeout=60000,temp_file_limit=1048576}"
    );

    // So is a change that whoever made it takes back.
    case.meddle(&["alter database {db} is_template true"]).await;
    look(&scene, "third").await;
    scene.until(Kind::TenantDatabase, &case.claim, "has drifted", drifted).await;
    case.meddle(&["alter database {db} is_template false"]).await;
    look(&scene, "fourth").await;
    scene.until(Kind::TenantDatabase, &case.claim, "has not drifted", cleared).await;

    // A password is left like everything else: the Secret says what it said, and nobody writes.
    let secret = scene.inside("acme", "orders-app");
    let written = scene.get(Kind::Secret, &secret).await;
    case.meddle(&["alter role {login} password 'theirs'"]).await;
    look(&scene, "fifth").await;
    let (_, said) = scene.until(Kind::TenantDatabase, &case.claim, "has drifted", drifted).await;
    assert_eq!(said, json!(format!("login {} has another password than its Secret", case.login)));
    operator.took_turns(&[]).await;
    let (turns, writes) =
        (operator.turns(Kind::TenantDatabase), operator.sample("tenantry_api_writes_total"));
    let label = json!({"metadata": {"labels": {"tests.tenantry.dev/turn": "now"}}});
    scene.patch(Kind::TenantDatabase, &case.claim, label).await;
    operator.took_turns(&[(Kind::TenantDatabase, turns + 1)]).await;
    assert_eq!(operator.sample("tenantry_api_writes_total"), writes);
    assert_eq!(scene.get(Kind::Secret, &secret).await, written);
    operator.stop().await;
}

/// Under Warn whatever is taken for drift stays as it is.
#[tokio::test]
async fn what_the_operator_left_half_done_is_no_drift() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = open_under_warn(&site).await;
    let claim = scene.inside("acme", "extra");
    let asks = |connections: u32, names: &[&str]| {
        let extensions: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"limits": {"connections": connections}, "extensions": extensions})
    };
    scene.create(Kind::TenantDatabase, &claim, asks(5, &["citext"])).await;
    scene.ready(Kind::TenantDatabase, &claim).await;

    // It is taken back while it cannot be done as a whole.
    let bound = binding(&scene, "extra-app").await;
    let mut admin = site.postgres.admin(&bound["database"]).await;
    let limit = "select datconnlimit from pg_database where datname = current_database()";
    admin.execute("create type extensions.gtrgm as enum ()").await.unwrap();
    scene.patch(Kind::TenantDatabase, &claim, json!({"spec": asks(7, &["citext", "pg_trgm"])})).await;
    scene.refused(Kind::TenantDatabase, &claim, "ReconcileFailed").await;
    assert_eq!(admin.fetch_one(limit).await.unwrap().get::<i32, _>(0), 7, "all else is done");
    scene.patch(Kind::TenantDatabase, &claim, json!({"spec": asks(5, &["citext"])})).await;
    let ready = scene.ready(Kind::TenantDatabase, &claim).await;
    assert_eq!(admin.fetch_one(limit).await.unwrap().get::<i32, _>(0), 5);
    assert_eq!(condition(&ready, "Drifted"), None);

    // The logins of what has become invalid are refused with the tenant's.
    scene.patch(Kind::TenantDatabase, &claim, json!({"spec": {"serverRef": {"name": "elsewhere"}}})).await;
    scene.refused(Kind::TenantDatabase, &claim, "ServerChangeNotSupported").await;
    let tenant = scene.cluster("acme");
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"state": "Suspended"}})).await;
    let suspended = |claim: &Value| condition(claim, "Suspended").map(|_| ());
    scene.until(Kind::TenantDatabase, &claim, "is suspended", suspended).await;
    assert!(session(&scene, &bound).await.is_err());
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"state": "Active"}})).await;
    scene.patch(Kind::TenantDatabase, &claim, json!({"spec": {"serverRef": null}})).await;
    let ready = scene.ready(Kind::TenantDatabase, &claim).await;
    session(&scene, &bound).await.unwrap();
    assert_eq!(condition(&ready, "Drifted"), None);
    operator.stop().await;
}

#[tokio::test]
async fn all_databases_of_a_server_are_compared_with_ten_statements_and_nothing_is_written() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = Stage::new(&site).await;
    let names: Vec<String> = (0..8).map(|number| format!("db-{number}")).collect();
    let databases: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    scene.create(Kind::Plan, &scene.cluster("small"), shop::plan(&scene)).await;
    scene.create(Kind::Blueprint, &scene.cluster("shop"), json!({"databases": databases})).await;
    scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(&scene)).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    // One whose credential was rotated, and is to be again, stands like the others.
    let rotated = scene.inside("acme", "rotated");
    let each = json!([{"name": "app", "rotation": {"interval": "720h", "gracePeriod": "0s"}}]);
    scene.create(Kind::TenantDatabase, &rotated, json!({"credentials": each})).await;
    scene.ready(Kind::TenantDatabase, &rotated).await;
    let (key, first) = (scene.inside("acme", "rotated-app"), binding(&scene, "rotated-app").await);
    let rotate = json!({"metadata": {"annotations": {"rotate.tenantry.dev/app": "now"}}});
    scene.patch(Kind::TenantDatabase, &rotated, rotate).await;
    scene
        .until(Kind::Secret, &key, "names the other login", |secret| {
            let name = STANDARD.encode(&first["username"]);
            (secret["data"]["username"] != name.as_str()).then_some(())
        })
        .await;
    let settled = |claim: &Value| condition(claim, "Rotating").is_none().then_some(());
    scene.until(Kind::TenantDatabase, &rotated, "rotates nothing", settled).await;
    // The first look after all of them are there may still find news for others.
    compared(&scene, &operator, 1).await;
    operator.took_turns(&[(Kind::TenantDatabase, 9)]).await;

    compared(&scene, &operator, 1).await;
    let (from, writes) = (site.postgres.log().len(), operator.sample("tenantry_api_writes_total"));
    compared(&scene, &operator, 1).await;
    let log = site.postgres.log();
    assert_eq!(statements(&log[from..]), LOOK, "{}", &log[from..]);
    assert_eq!(operator.sample("tenantry_api_writes_total"), writes);

    // A claim that has a turn asks the server nothing, for nothing has changed.
    let turns = operator.turns(Kind::TenantDatabase);
    let from = site.postgres.log().len();
    for name in names.iter().map(String::as_str).chain(["rotated"]) {
        let label = json!({"metadata": {"labels": {"tests.tenantry.dev/turn": "now"}}});
        scene.patch(Kind::TenantDatabase, &scene.inside("acme", name), label).await;
    }
    operator.took_turns(&[(Kind::TenantDatabase, turns + 9)]).await;
    let log = site.postgres.log();
    let claims =
        log[from..].lines().filter(|line| line.contains("tenantry.marker m WHERE (tenant_uid")).count();
    assert_eq!(claims, 0, "{}", &log[from..]);

    // The look would have found something.
    let bound = binding(&scene, "db-7-app").await;
    let mut admin = site.postgres.admin("postgres").await;
    let sql = format!("alter database {} connection limit 77", bound["database"]);
    admin.execute(AssertSqlSafe(sql)).await.unwrap();
    look(&scene, "now").await;
    let limit = "select datconnlimit from pg_database where datname = $1";
    wait_until(A_MINUTE, "the limit is as declared", async || {
        let limit: i32 =
            sqlx::query_scalar(limit).bind(&bound["database"]).fetch_one(&mut admin).await.unwrap();
        if limit == 10 { Ok(()) } else { Err(limit.to_string()) }
    })
    .await;
    operator.stop().await;
}

/// Statements in a server's log but for the guard's, which looks five times a second.
fn statements(log: &str) -> u64 {
    let process = |line: &str| line.split(['[', ']']).nth(1).map(str::to_owned);
    let guards: Vec<String> =
        log.lines().filter(|line| line.contains("pg_stat_clear_snapshot")).filter_map(process).collect();
    let sent = log.lines().filter(|line| {
        let statement = line.contains("LOG:  statement: ") || line.contains("LOG:  execute ");
        statement && !line.contains("SQLx ping") && !process(line).is_some_and(|it| guards.contains(&it))
    });
    u64::try_from(sent.count()).unwrap()
}

#[tokio::test]
async fn roles_with_elevated_rights_are_named_until_an_admin_vouches_for_them() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = Stage::new(&site).await;
    let server = Key::cluster(&site.server);
    let ready = scene.ready(Kind::DatabaseServer, &server).await;
    assert_eq!(condition(&ready, "Drifted"), None);
    let mut admin = site.postgres.admin("postgres").await;
    let roles = "create role mallory superuser; create role spy; grant pg_read_server_files to spy";
    admin.execute(roles).await.unwrap();
    look(&scene, "first").await;
    let says = |text: String| {
        move |server: &Value| {
            let drifted = condition(server, "Drifted")?;
            (drifted["status"] == "True" && drifted["message"] == text.as_str()).then_some(())
        }
    };
    let next = "take these rights away, or name the roles in spec.privilegedRoles";
    let (mallory, spy) = ("role mallory is SUPERUSER", "role spy is a member of pg_read_server_files");
    scene.until(Kind::DatabaseServer, &server, "names both", says(format!("{mallory}; {spy}: {next}"))).await;
    scene.ready(Kind::DatabaseServer, &server).await;

    let vouched = json!({"spec": {"privilegedRoles": ["mallory"]}});
    scene.patch(Kind::DatabaseServer, &server, vouched).await;
    scene.until(Kind::DatabaseServer, &server, "names the other", says(format!("{spy}: {next}"))).await;
    admin.execute("revoke pg_read_server_files from spy").await.unwrap();
    look(&scene, "second").await;
    let cleared = |server: &Value| condition(server, "Drifted").is_none().then_some(());
    scene.until(Kind::DatabaseServer, &server, "names nobody", cleared).await;
    // They are an admin's: nobody else touches them.
    let rights = "select rolsuper from pg_roles where rolname = 'mallory'";
    assert!(sqlx::query_scalar::<_, bool>(rights).fetch_one(&mut admin).await.unwrap());
    operator.stop().await;
}

#[tokio::test]
async fn a_role_that_gained_rights_by_a_group_of_its_group_or_after_its_claim_is_named_too() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let (extra, server) = (scene.inside("acme", "extra"), Key::cluster(&site.server));
    scene.create(Kind::TenantDatabase, &extra, json!({})).await;
    let database = server_database(&scene, "extra").await;
    let login = binding(&scene, "extra-app").await["username"].clone();
    scene.delete(Kind::TenantDatabase, &extra).await;
    phase(&scene, &database, "Released").await;

    let mut admin = site.postgres.admin("postgres").await;
    let roles = "create role dba superuser; create role deputy; create role helper;
        grant dba to deputy; grant deputy to helper";
    admin.execute(roles).await.unwrap();
    admin.execute(AssertSqlSafe(format!("alter role {login} superuser"))).await.unwrap();
    scene.patch(Kind::DatabaseServer, &server, json!({"spec": {"privilegedRoles": ["dba"]}})).await;
    let named = ["role deputy is a member of dba", "role helper is a member of dba"];
    let said = format!("{}; role {login} is SUPERUSER: ", named.join("; "));
    let says_so = |server: &Value| {
        condition(server, "Drifted")?["message"].as_str().unwrap().starts_with(&said).then_some(())
    };
    scene.until(Kind::DatabaseServer, &server, "names all of them", says_so).await;
    operator.stop().await;
}
