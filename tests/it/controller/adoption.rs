//! Adoption by static provisioning: an admin gives a claim a database that exists already, and nothing else of it changes.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};
use tenantry::api::names::TenantId;
use tenantry::controller::object::{Key, Kind};

use super::claims::{binding, code, phase, session, told};
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use crate::support::postgres::Version;
use crate::support::{Operator, wait_until};

const PASSWORD: &str = "theirs";

/// A database that was there before, with an owner, a reader's role and a table.
struct Legacy<'a> {
    scene: &'a Stage<'a>,
    database: String,
    owner: String,
    reader: String,
}

impl<'a> Legacy<'a> {
    /// One with a name that is none of ours.
    async fn new(scene: &'a Stage<'a>) -> Self {
        let database = format!("Legacy-{}.crm", scene.prefix.as_str());
        let (owner, reader) = (format!("{database}-owner"), format!("{database}-reader"));
        let mut admin = scene.site.postgres.admin("postgres").await;
        for sql in [
            format!("create role \"{owner}\" login password '{PASSWORD}'"),
            format!("create role \"{reader}\""),
            format!("create database \"{database}\" owner \"{owner}\" connection limit 42"),
            format!("alter database \"{database}\" set work_mem = '5MB'"),
        ] {
            run(&mut admin, &sql).await;
        }
        let legacy = Self { scene, database, owner, reader };
        let mut theirs = legacy.theirs().await;
        run(&mut theirs, "create table customers as select 'ada' as name").await;
        run(&mut theirs, &format!("grant select on customers to \"{}\"", legacy.reader)).await;
        legacy
    }

    /// A session of its owner.
    async fn theirs(&self) -> PgConnection {
        self.scene.site.postgres.connect(&self.owner, PASSWORD, &self.database).await.unwrap()
    }

    fn spec(&self, management: &str, claim: &str) -> Value {
        json!({
            "serverRef": {"name": self.scene.site.server}, "physicalName": self.database, "management": management,
            "claimRef": {"namespace": self.scene.namespace("acme"), "name": claim},
        })
    }

    /// Gives it to the claim `crm` of the tenant `acme`, as the ServerDatabase `crm`.
    async fn give(&self, management: &str) -> Key {
        let key = self.scene.cluster("crm");
        self.scene.create(Kind::ServerDatabase, &key, self.spec(management, "crm")).await;
        key
    }

    /// Everything about the database that is not ours to change, without what our own roles were granted.
    async fn as_others_see_it(&self) -> Vec<String> {
        let mut admin = self.scene.site.postgres.admin(&self.database).await;
        let database = "select row(d.datdba::regrole, d.datallowconn, d.datistemplate, d.datconnlimit, \
             shobj_description(d.oid, 'pg_database'))::text from pg_database d where d.datname = current_database() \
            union all select 'grant ' || acl::text from pg_database d, unnest(coalesce(d.datacl, acldefault('d', d.datdba))) acl \
             where d.datname = current_database() and acl::text not like 't\\_%' \
            union all select 'setting ' || setconfig::text from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase \
             where d.datname = current_database() and s.setrole = 0 \
            union all select 'inside ' || n.nspname || ' ' || coalesce(n.nspacl::text, '') from pg_namespace n where nspname = 'public' \
            union all select 'table ' || relname || ' ' || relowner::regrole || ' ' || coalesce(relacl::text, '') from pg_class \
             where relnamespace = 'public'::regnamespace order by 1";
        texts(&mut admin, database).await
    }

    /// Names of our own roles on the server for this tenant.
    async fn our_roles(&self) -> Vec<String> {
        let prefix = format!("t_{}_", tenant_id(self.scene).await);
        let mut admin = self.scene.site.postgres.admin("postgres").await;
        let sql =
            format!("select rolname::text from pg_roles where starts_with(rolname, '{prefix}') order by 1");
        let roles = texts(&mut admin, &sql).await;
        roles.into_iter().map(|role| role.replace(&prefix, "")).collect()
    }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn texts(connection: &mut PgConnection, sql: &str) -> Vec<String> {
    let rows = connection.fetch_all(AssertSqlSafe(sql.to_owned())).await;
    rows.unwrap_or_else(|error| panic!("{sql}: {error}")).iter().map(|row| row.get(0)).collect()
}

async fn tenant_id(scene: &Stage<'_>) -> String {
    let tenant = scene.get(Kind::Tenant, &scene.cluster("acme")).await.unwrap();
    TenantId::of_uid(tenant["metadata"]["uid"].as_str().unwrap()).to_string()
}

fn plain_tenant(scene: &Stage<'_>) -> Value {
    json!({"planRef": {"name": scene.name("small")}, "owners": [{"kind": "User", "name": "ada"}]})
}

/// A stage with the tenant `acme`, which asks for no databases.
async fn stage(site: &Site) -> Stage<'_> {
    let scene = Stage::new(site).await;
    scene.create(Kind::Plan, &scene.cluster("small"), shop::plan(&scene)).await;
    scene.create(Kind::Tenant, &scene.cluster("acme"), plain_tenant(&scene)).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    scene
}

fn ready_reason(object: &Value) -> Option<&str> {
    condition(object, "Ready")?["reason"].as_str()
}

#[tokio::test]
async fn an_adopted_database_lets_its_claim_in_and_everything_else_stays_as_it_was() {
    is_let_in(&Site::shared().await).await;
}

#[tokio::test]
async fn an_adopted_database_of_postgresql_18_does_so_too() {
    let site = Site::own_of(Version::V18).await;
    let operator = Operator::start(&site).await;
    is_let_in(&site).await;
    observed_and_adopted(&site).await;
    operator.stop().await;
}

async fn is_let_in(site: &Site) {
    let scene = stage(site).await;
    let legacy = Legacy::new(&scene).await;
    let (before, claim) = (legacy.as_others_see_it().await, scene.inside("acme", "crm"));
    let mut theirs = legacy.theirs().await;
    let database = legacy.give("Adopt").await;

    scene.refused(Kind::ServerDatabase, &database, "WaitingForClaim").await;
    let waiting = scene.get(Kind::ServerDatabase, &database).await.unwrap();
    let exposed = condition(&waiting, "Exposed").map(|it| (&it["status"], &it["reason"]));
    assert_eq!(
        (waiting["status"]["owner"].as_str(), exposed),
        (Some(legacy.owner.as_str()), Some((&json!("True"), &json!("PublicMayConnect"))))
    );
    assert_eq!(legacy.our_roles().await, Vec::<String>::new());

    let credentials = json!({"credentials": [{"name": "app"}, {"name": "report", "access": "ReadOnly"}]});
    scene.create(Kind::TenantDatabase, &claim, credentials.clone()).await;
    let bound = scene.ready(Kind::TenantDatabase, &claim).await;
    assert_eq!(bound["status"]["serverDatabase"], database.name.as_ref());
    phase(&scene, &database, "Bound").await;
    assert_eq!(legacy.our_roles().await, ["crm_app_a", "crm_owner", "crm_report_a", "crm_ro", "crm_rw"]);
    assert_eq!(legacy.as_others_see_it().await, before);

    // What one owner makes serves the readers; what was there is its owner's to grant, and stays granted.
    let bound = binding(&scene, "crm-app").await;
    assert_eq!(bound["database"], legacy.database);
    let mut app = session(&scene, &bound).await.unwrap();
    run(&mut app, "create schema own; create table own.notes as select 'kept' as text").await;
    assert_eq!(sqlstate(&mut app, "select name from customers").await, "42501");
    let mut report = session(&scene, &binding(&scene, "crm-report").await).await.unwrap();
    assert_eq!(texts(&mut report, "select text from own.notes").await, ["kept"]);
    let readers = format!("t_{}_crm_ro", tenant_id(&scene).await);
    let mut admin = scene.site.postgres.admin("postgres").await;
    run(&mut admin, &format!("grant \"{}\" to {readers}", legacy.reader)).await;
    run(&mut admin, &format!("alter role {readers} createdb")).await;
    let request = json!({"metadata": {"annotations": {"tenantry.dev/reconcile-requested-at": "now"}}});
    scene.patch(Kind::TenantDatabase, &claim, request).await;
    let found = scene
        .until(Kind::TenantDatabase, &claim, "was compared", |claim| {
            let answer = &claim["status"]["lastReconcile"];
            (answer["requestedAt"] == "now").then(|| answer.to_string())
        })
        .await;
    // The operator's own look may have come first.
    let found = found + &told(&scene, &claim, "DriftCorrected").await.concat();
    assert!(found.contains("NOCREATEDB") && !found.contains(&legacy.reader), "{found}");
    assert_eq!(texts(&mut report, "select name from public.customers").await, ["ada"]);
    run(&mut admin, &format!("revoke \"{}\" from {readers}", legacy.reader)).await;

    // A claim that goes takes its logins along. Everybody else stays where he is.
    scene.delete(Kind::TenantDatabase, &claim).await;
    phase(&scene, &database, "Released").await;
    let refused = code(session(&scene, &bound).await);
    assert!(["28000", "28P01"].contains(&refused.as_str()), "{refused}");
    assert_eq!(texts(&mut theirs, "select name from customers").await, ["ada"]);
    legacy.theirs().await;
    assert_eq!(legacy.as_others_see_it().await, before);

    // It is neither renamed nor dropped, whoever asks.
    let released = scene.get(Kind::ServerDatabase, &database).await.unwrap();
    let purge = json!({"spec": {"purge": {"generation": released["status"]["generation"]}}});
    scene.patch(Kind::ServerDatabase, &database, purge).await;
    let said = scene.refused(Kind::ServerDatabase, &database, "InvalidSpec").await;
    assert!(said.starts_with("spec.purge: "), "{said}");
    phase(&scene, &database, "Released").await;
    legacy.theirs().await;
    scene.patch(Kind::ServerDatabase, &database, json!({"spec": {"purge": null}})).await;

    scene.create(Kind::TenantDatabase, &claim, credentials).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    phase(&scene, &database, "Bound").await;
    let mut app = session(&scene, &binding(&scene, "crm-app").await).await.unwrap();
    assert_eq!(texts(&mut app, "select text from own.notes").await, ["kept"]);
}

async fn sqlstate(connection: &mut PgConnection, sql: &str) -> String {
    let error = connection.execute(AssertSqlSafe(sql.to_owned())).await.expect_err(sql);
    error.as_database_error().unwrap_or_else(|| panic!("{error}")).code().unwrap().into_owned()
}

#[tokio::test]
async fn an_observed_database_is_only_looked_at_until_an_admin_has_it_adopted() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    observed_and_adopted(&site).await;
    operator.stop().await;
}

async fn observed_and_adopted(site: &Site) {
    let scene = stage(site).await;
    let legacy = Legacy::new(&scene).await;
    let (before, quiet) = (legacy.as_others_see_it().await, site.postgres.log().len());
    let (database, claim) = (legacy.give("Observe").await, scene.inside("acme", "crm"));
    scene.create(Kind::TenantDatabase, &claim, json!({})).await;
    let observed = scene.ready(Kind::TenantDatabase, &claim).await;
    assert_eq!((ready_reason(&observed), &observed["status"]["binding"]), (Some("Observed"), &Value::Null));
    assert_eq!(scene.children(Kind::Secret, "acme").await, Vec::<Value>::new());
    phase(&scene, &database, "Bound").await;
    let shown = scene.ready(Kind::ServerDatabase, &database).await;
    assert_eq!(shown["status"]["owner"], legacy.owner.as_str());

    let asked = json!({"spec": {"credentials": [{"name": "app"}]}});
    scene.patch(Kind::TenantDatabase, &claim, asked).await;
    let said = scene.refused(Kind::TenantDatabase, &claim, "InvalidSpec").await;
    assert!(said.starts_with("spec.credentials: ") && said.contains(&*database.name), "{said}");
    scene.patch(Kind::TenantDatabase, &claim, json!({"spec": {"credentials": null}})).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    scene.delete(Kind::TenantDatabase, &claim).await;
    phase(&scene, &database, "Released").await;
    scene.create(Kind::TenantDatabase, &claim, json!({})).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    phase(&scene, &database, "Bound").await;

    // All of its life so far: three rows of our own, and no session of ours in it.
    let log = site.postgres.log()[quiet..].to_owned();
    let entered = format!("database={} ", legacy.database);
    let sessions = |log: &str| {
        log.lines().filter(|line| line.contains("connection authorized") && line.contains(&entered)).count()
    };
    assert_eq!(sessions(&log), 0, "nobody of ours has been in it");
    let sent = |line: &&str| line.contains(&legacy.database) && !line.contains("DETAIL:");
    // Lines of a transaction follow its first one.
    let text =
        |line: &str| line.split("statement: ").nth(1).or_else(|| line.strip_prefix('\t')).map(str::to_owned);
    let writes: Vec<String> = log.lines().filter(sent).filter_map(text).collect();
    let verbs: Vec<String> =
        writes.iter().map(|sql| sql.split(' ').take(3).collect::<Vec<_>>().join(" ")).collect();
    let (insert, update) = ("INSERT INTO tenantry.marker", "UPDATE tenantry.marker SET");
    assert_eq!(verbs, [insert, "SELECT 1 WHERE", update, update], "{writes:#?}");
    assert_eq!((legacy.our_roles().await, legacy.as_others_see_it().await), (vec![], before.clone()));

    let adopt = json!({"spec": {"management": "Adopt"}});
    scene.patch(Kind::ServerDatabase, &database, adopt).await;
    let adopted = scene
        .until(Kind::TenantDatabase, &claim, "has a binding", |claim| {
            (ready_reason(claim) == Some("Reconciled")).then(|| claim.clone())
        })
        .await;
    assert_eq!(adopted["status"]["binding"], json!({"name": "crm-app"}));
    assert!(sessions(&site.postgres.log()[quiet + log.len()..]) > 0, "an adopted one is worked in");
    session(&scene, &binding(&scene, "crm-app").await).await.unwrap();
    assert_eq!(legacy.as_others_see_it().await, before);
    let back =
        scene.try_patch(Kind::ServerDatabase, &database, json!({"spec": {"management": "Observe"}})).await;
    assert!(back.unwrap_err().to_string().contains("spec.management: only Observe can become Adopt"));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_and_never_made() {
    let site = Site::shared().await;
    let scene = stage(&site).await;
    let name = format!("nowhere-{}", scene.prefix.as_str());
    let claims = ["adopt", "observe", "adopt2", "adopt3", "adopt4"];
    // Applied together: the operator may see each claim before what was there first, and then makes it no database either.
    for claim in claims {
        let management = if claim == "observe" { "Observe" } else { "Adopt" };
        let spec = json!({
            "serverRef": {"name": site.server}, "physicalName": format!("{name}-{claim}"), "management": management,
            "claimRef": {"namespace": scene.namespace("acme"), "name": claim},
        });
        scene.create(Kind::ServerDatabase, &scene.cluster(claim), spec).await;
        scene.create(Kind::TenantDatabase, &scene.inside("acme", claim), json!({})).await;
    }
    for claim in claims {
        let said = scene.refused(Kind::ServerDatabase, &scene.cluster(claim), "DatabaseMissing").await;
        assert!(said.starts_with("spec.physicalName: ") && said.contains(&name), "{said}");
        scene.refused(Kind::TenantDatabase, &scene.inside("acme", claim), "DatabaseMissing").await;
    }
    let ours = scene.all(Kind::ServerDatabase).await.into_iter().filter(|database| {
        let claim = &database["spec"]["claimRef"];
        claim["namespace"] == scene.namespace("acme") && database["spec"]["management"].is_null()
    });
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<Value>::new());
    let mut admin = site.postgres.admin("postgres").await;
    let made = format!("select datname::text from pg_database where starts_with(datname, '{name}')");
    assert_eq!(texts(&mut admin, &made).await, Vec::<String>::new());

    // Once it is there, nobody has to say so.
    for claim in &claims[..2] {
        run(&mut admin, &format!("create database \"{name}-{claim}\"")).await;
        scene.ready(Kind::TenantDatabase, &scene.inside("acme", claim)).await;
        phase(&scene, &scene.cluster(claim), "Bound").await;
        scene.ready(Kind::ServerDatabase, &scene.cluster(claim)).await;
    }
}

#[tokio::test]
async fn an_object_that_has_the_name_of_another_databases_is_told_and_gives_nothing() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = stage(&site).await;
    let legacy = Legacy::new(&scene).await;
    let (database, claim) = (legacy.give("Adopt").await, scene.inside("acme", "crm"));
    scene.create(Kind::TenantDatabase, &claim, json!({})).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    phase(&scene, &database, "Bound").await;
    operator.stop().await;

    let mut admin = site.postgres.admin("postgres").await;
    let other = format!("other-{}", scene.prefix.as_str());
    run(&mut admin, &format!("create database \"{other}\"")).await;
    scene.delete(Kind::ServerDatabase, &database).await;
    let mut spec = legacy.spec("Adopt", "erp");
    spec["physicalName"] = json!(other);
    scene.create(Kind::ServerDatabase, &database, spec).await;
    let erp = scene.inside("acme", "erp");
    scene.create(Kind::TenantDatabase, &erp, json!({})).await;
    let operator = Operator::start(&site).await;
    for (kind, key) in [(Kind::ServerDatabase, &database), (Kind::TenantDatabase, &erp)] {
        let said = scene.refused(kind, key, "ClaimConflict").await;
        assert!(said.contains(&*database.name) && said.contains(&legacy.database), "{said}");
    }
    let rows = "select physical_name from tenantry.marker";
    let mut records = site.postgres.admin("tenantry").await;
    assert_eq!(texts(&mut records, rows).await, [legacy.database.as_str()]);
    session(&scene, &binding(&scene, "crm-app").await).await.unwrap();

    // It goes: the first is shown again, and the claim gets a database of ours.
    scene.delete(Kind::ServerDatabase, &database).await;
    phase(&scene, &database, "Bound").await;
    for claim in [&claim, &erp] {
        scene.ready(Kind::TenantDatabase, claim).await;
    }
    let shown = scene.get(Kind::ServerDatabase, &database).await.unwrap();
    assert_eq!(shown["spec"]["physicalName"], legacy.database.as_str());
    operator.stop().await;
}

#[tokio::test]
async fn of_two_objects_for_one_database_or_one_claim_both_are_told_and_nothing_is_done() {
    let site = Site::shared().await;
    let scene = stage(&site).await;
    let legacy = Legacy::new(&scene).await;
    let (one, two) = (scene.cluster("one"), scene.cluster("two"));
    let (crm, erp) = (scene.inside("acme", "crm"), scene.inside("acme", "erp"));
    scene.create(Kind::ServerDatabase, &one, legacy.spec("Adopt", "crm")).await;
    scene.create(Kind::ServerDatabase, &two, legacy.spec("Adopt", "erp")).await;
    for (kind, key) in [(Kind::ServerDatabase, &one), (Kind::ServerDatabase, &two)] {
        let said = scene.refused(kind, key, "ClaimConflict").await;
        assert!(said.contains(&*one.name) && said.contains(&*two.name), "{said}");
    }
    for claim in [&crm, &erp] {
        scene.create(Kind::TenantDatabase, claim, json!({})).await;
        scene.refused(Kind::TenantDatabase, claim, "ClaimConflict").await;
    }
    assert_eq!(legacy.our_roles().await, Vec::<String>::new());

    // One goes: the other is meant.
    scene.delete(Kind::ServerDatabase, &two).await;
    scene.ready(Kind::TenantDatabase, &crm).await;
    phase(&scene, &one, "Bound").await;
    // The claim without gets a database of ours, and is not given a second one.
    let own = scene.ready(Kind::TenantDatabase, &erp).await;
    let own = Key::cluster(own["status"]["serverDatabase"].as_str().unwrap());
    let mut admin = site.postgres.admin("postgres").await;
    let other = format!("other-{}", scene.prefix.as_str());
    run(&mut admin, &format!("create database \"{other}\"")).await;
    let mut spec = legacy.spec("Adopt", "erp");
    spec["physicalName"] = json!(other);
    scene.create(Kind::ServerDatabase, &two, spec).await;
    for (kind, key) in
        [(Kind::ServerDatabase, &two), (Kind::ServerDatabase, &own), (Kind::TenantDatabase, &erp)]
    {
        let said = scene.refused(kind, key, "ClaimConflict").await;
        assert!(said.contains(&*own.name) && said.contains(&*two.name), "{said}");
    }
    scene.delete(Kind::ServerDatabase, &two).await;
    for (kind, key) in [(Kind::ServerDatabase, &own), (Kind::TenantDatabase, &erp)] {
        scene.ready(kind, key).await;
    }
}

#[tokio::test]
async fn a_lost_object_comes_back_as_the_admin_made_it_and_a_later_tenant_does_not_get_the_data() {
    let site = Site::shared().await;
    let scene = stage(&site).await;
    let legacy = Legacy::new(&scene).await;
    let (database, claim) = (legacy.give("Adopt").await, scene.inside("acme", "crm"));
    scene.create(Kind::TenantDatabase, &claim, json!({})).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    phase(&scene, &database, "Bound").await;
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap().to_owned();
    let first = scene.get(Kind::ServerDatabase, &database).await.unwrap();
    scene.delete(Kind::ServerDatabase, &database).await;
    let again = wait_until(A_MINUTE, "the object is projected again", async || {
        let again = scene.get(Kind::ServerDatabase, &database).await.ok_or("it does not exist")?;
        if uid(&again) == uid(&first) { Err("it is the first one".to_owned()) } else { Ok(again) }
    })
    .await;
    assert_eq!(again["spec"], first["spec"]);
    scene.ready(Kind::ServerDatabase, &database).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    session(&scene, &binding(&scene, "crm-app").await).await.unwrap();

    let tenant = scene.cluster("acme");
    scene.delete(Kind::Tenant, &tenant).await;
    scene.gone(Kind::Tenant, &tenant).await;
    phase(&scene, &database, "Released").await;
    scene.create(Kind::Tenant, &tenant, plain_tenant(&scene)).await;
    scene.ready(Kind::Tenant, &tenant).await;
    scene.create(Kind::TenantDatabase, &claim, json!({})).await;
    let said = scene.refused(Kind::TenantDatabase, &claim, "ReleasedDatabaseExists").await;
    assert!(said.contains(&*database.name), "{said}");
    assert_eq!(legacy.our_roles().await, Vec::<String>::new(), "nothing was made for the successor");

    let successor = uid(&scene.get(Kind::TenantDatabase, &claim).await.unwrap());
    let handed = json!({"spec": {"claimRef": {"uid": successor}}});
    scene.patch(Kind::ServerDatabase, &database, handed).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    let mut app = session(&scene, &binding(&scene, "crm-app").await).await.unwrap();
    assert_eq!(texts(&mut app, "select current_database()::text").await, [legacy.database.as_str()]);
}

#[tokio::test]
async fn what_is_ours_or_the_servers_own_is_not_adopted_and_no_tenant_can_give_itself_a_database() {
    let site = Site::shared().await;
    let scene = Stage::new(&site).await;
    let spec = |physical: &str, management: &str| {
        json!({
            "serverRef": {"name": site.server}, "physicalName": physical, "management": management,
            "claimRef": {"namespace": scene.namespace("acme"), "name": "crm"},
        })
    };
    let own = [
        "t_abcdefghij_app",
        "tenantry",
        "tenantry_pool_1",
        "tombstone_x",
        "postgres",
        "template1",
        "template_x",
    ];
    for name in own {
        for management in ["Adopt", "Observe"] {
            let refused =
                scene.try_create(Kind::ServerDatabase, &scene.cluster("crm"), spec(name, management)).await;
            let said = refused.unwrap_err().to_string();
            assert!(
                said.contains("spec.physicalName: a database that is adopted or observed"),
                "{name}: {said}"
            );
        }
    }
    for name in ["", "a b", "a\"b", "a;b", "ä", "-a", "a%b", &"a".repeat(64)] {
        let refused =
            scene.try_create(Kind::ServerDatabase, &scene.cluster("crm"), spec(name, "Adopt")).await;
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("spec.physicalName"), "{name}: {said}");
    }
    let full = scene.try_create(Kind::ServerDatabase, &scene.cluster("crm"), spec("legacy", "Full")).await;
    assert!(full.unwrap_err().to_string().contains("every other one begins with t_"));

    let scene = stage(&site).await;
    let reviews: Api<SubjectAccessReview> = Api::all(scene.client.clone());
    for verb in ["create", "update", "patch", "delete"] {
        let attributes = ResourceAttributes {
            group: Some("tenantry.dev".into()),
            resource: Some("serverdatabases".into()),
            verb: Some(verb.into()),
            ..ResourceAttributes::default()
        };
        let ada = SubjectAccessReviewSpec {
            user: Some("ada".into()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec: ada, ..SubjectAccessReview::default() };
        let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
        assert!(!answer.status.unwrap().allowed, "{verb}");
    }
}
