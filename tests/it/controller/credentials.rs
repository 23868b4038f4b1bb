//! Credentials of a claim: what each may do, and how its login is replaced without anybody noticing, or at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tenantry::controller::object::{Key, Kind};

use super::claims::{binding, code, rows, session, write_row};
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use super::suspension::limit_admin;
use crate::support::{Operator, PENDING, wait_until};

const TEN_SECONDS: Duration = Duration::from_secs(10);

/// How long an earlier login works in the test of many rotations: as long as its spec says.
const GRACE: Duration = Duration::from_secs(6);
/// How much later it is refused at most: a look a second whether pods roll, and a turn on a busy machine.
const SLACK: Duration = Duration::from_secs(20);
/// Rotations in a row, each as soon as the one before is over.
const ROTATIONS: usize = 3;

/// What a binding Secret holds.
type Binding = BTreeMap<String, String>;

#[tokio::test]
async fn an_access_that_changes_holds_with_the_same_binding() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let claim = scene.inside("acme", "extra");
    let reads = json!([{"name": "app"}, {"name": "report", "access": "ReadOnly"}]);
    scene.create(Kind::TenantDatabase, &claim, json!({"credentials": reads})).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    write_row(&scene, "extra-app", "kept").await;

    let report = binding(&scene, "extra-report").await;
    let mut reader = session(&scene, &report).await.unwrap();
    reader.execute("select * from kept").await.unwrap();
    let refused = reader.execute("insert into kept values ('new')").await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "25006");

    let more = json!([{"name": "app"}, {"name": "report", "access": "ReadWrite"}]);
    scene.patch(Kind::TenantDatabase, &claim, json!({"spec": {"credentials": more}})).await;
    wait_until(A_MINUTE, "the report's session from before has ended", async || {
        match reader.execute("select").await {
            Ok(_) => Err("it lasts".to_owned()),
            Err(_) => Ok(()),
        }
    })
    .await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    assert_eq!(binding(&scene, "extra-report").await, report);
    let mut writer = session(&scene, &report).await.unwrap();
    writer.execute("insert into kept values ('new')").await.unwrap();
}

/// A claim of the tenant's own with one credential, `app`, that is rotated like this, in the Secret `extra-app`.
async fn claim(scene: &Stage<'_>, rotation: Value) -> Key {
    let claim = scene.inside("acme", "extra");
    let spec = json!({"credentials": [{"name": "app", "rotation": rotation}]});
    scene.create(Kind::TenantDatabase, &claim, spec).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    claim
}

/// Asks for something by annotation.
async fn ask(scene: &Stage<'_>, claim: &Key, what: &str, value: &str) {
    let annotation = format!("{what}.tenantry.dev/app");
    scene.patch(Kind::TenantDatabase, claim, json!({"metadata": {"annotations": {annotation: value}}})).await;
}

/// Waits until the binding is another one than that, and returns it.
async fn next_binding(scene: &Stage<'_>, before: &Binding) -> Binding {
    wait_until(A_MINUTE, "the Secret names another login", async || {
        let bound = binding(scene, "extra-app").await;
        if bound["username"] == before["username"] { Err(bound["username"].clone()) } else { Ok(bound) }
    })
    .await
}

/// Waits until that binding is refused.
async fn refused(scene: &Stage<'_>, earlier: &Binding) {
    refused_within(scene, earlier, A_MINUTE).await;
}

/// [`refused`] within that time.
async fn refused_within(scene: &Stage<'_>, earlier: &Binding, limit: Duration) {
    let what = format!("the earlier login {} is refused", earlier["username"]);
    wait_until(limit, &what, async || match session(scene, earlier).await {
        Ok(_) => Err("it works".to_owned()),
        Err(error) => {
            let code = code(Err(error));
            if ["28000", "28P01"].contains(&code.as_str()) { Ok(()) } else { Err(code) }
        }
    })
    .await;
}

/// Waits until `Rotating` is True for that reason, and returns its message.
async fn rotating(scene: &Stage<'_>, claim: &Key, reason: &str) -> String {
    scene
        .until(Kind::TenantDatabase, claim, &format!("says {reason}"), |claim| {
            let rotating = condition(claim, "Rotating")?;
            (rotating["reason"] == reason).then(|| rotating["message"].as_str().unwrap().to_owned())
        })
        .await
}

/// Waits until nothing rotates.
async fn settled(scene: &Stage<'_>, claim: &Key) {
    scene
        .until(Kind::TenantDatabase, claim, "rotates nothing", |claim| {
            condition(claim, "Rotating").is_none().then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_rotation_waits_for_the_pods_and_then_for_the_last_session() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let claim = claim(&scene, json!({"gracePeriod": "1h"})).await;
    let service = scene.inside("acme", "extra");
    let of = |image: &str| json!({"image": format!("{image}extra:1"), "databases": [{"name": "extra"}]});
    scene.create(Kind::Microservice, &service, of("app.test/")).await;
    scene.ready(Kind::Microservice, &service).await;
    write_row(&scene, "extra-app", "kept").await;
    let first = binding(&scene, "extra-app").await;
    let mut lasting = session(&scene, &first).await.unwrap();

    // Pods that do not get ready: whatever runs still has the first login.
    scene.patch(Kind::Microservice, &service, json!({"spec": of(PENDING)})).await;
    scene.refused(Kind::Microservice, &service, "Progressing").await;
    ask(&scene, &claim, "rotate", "2026-11-21T20:00:00Z").await;
    let second = next_binding(&scene, &first).await;
    let said = rotating(&scene, &claim, "RollingOut").await;
    let earlier = &first["username"];
    let expected = format!(
        "credential app: the earlier login {earlier} works until the rollout of Microservice extra is complete"
    );
    assert!(said == expected || said.ends_with("has reached every pod"), "{said}");
    for works in [&first, &second] {
        session(&scene, works).await.unwrap();
    }

    // A Secret that goes meanwhile is made again for the same login.
    let key = scene.inside("acme", "extra-app");
    let gone = scene.get(Kind::Secret, &key).await.unwrap()["metadata"]["uid"].clone();
    scene.delete(Kind::Secret, &key).await;
    let second = wait_until(A_MINUTE, "the Secret is made again", async || {
        let secret = scene.get(Kind::Secret, &key).await.ok_or_else(|| "there is none".to_owned())?;
        if secret["metadata"]["uid"] == gone {
            return Err("it is the one before".to_owned());
        }
        let bound = binding(&scene, "extra-app").await;
        session(&scene, &bound).await.map(|_| bound).map_err(|error| error.to_string())
    })
    .await;
    assert_ne!(second["username"], first["username"]);
    session(&scene, &first).await.unwrap();

    scene.patch(Kind::Microservice, &service, json!({"spec": of("app.test/")})).await;
    let said = rotating(&scene, &claim, "GracePeriod").await;
    let expected = format!(
        "credential app: the earlier login {earlier} works until nobody uses it, at the latest until "
    );
    assert!(said.starts_with(&expected), "{said}");
    lasting.execute("insert into kept values ('in grace')").await.unwrap();
    lasting.close().await.unwrap();
    refused(&scene, &first).await;
    settled(&scene, &claim).await;
    assert_eq!(rows(&scene, "extra-app").await, ["in grace", "kept"]);
    assert_eq!(binding(&scene, "extra-app").await, second);
}

#[tokio::test]
async fn a_compromised_credential_is_refused_within_ten_seconds() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let claim = claim(&scene, json!({"gracePeriod": "1h"})).await;
    write_row(&scene, "extra-app", "kept").await;
    let first = binding(&scene, "extra-app").await;
    ask(&scene, &claim, "rotate", "once").await;
    let second = next_binding(&scene, &first).await;
    let mut sessions = [session(&scene, &first).await.unwrap(), session(&scene, &second).await.unwrap()];
    rotating(&scene, &claim, "GracePeriod").await;

    let reported = Instant::now();
    ask(&scene, &claim, "compromised", "laptop lost").await;
    for session in &mut sessions {
        ended(session).await;
    }
    let third = next_binding(&scene, &second).await;
    for leaked in [&first, &second] {
        let refused = code(session(&scene, leaked).await);
        assert!(["28000", "28P01"].contains(&refused.as_str()), "{refused}");
    }
    assert!(reported.elapsed() < TEN_SECONDS, "{:?}", reported.elapsed());
    assert_eq!(third["username"], first["username"]);
    settled(&scene, &claim).await;
    assert_eq!(rows(&scene, "extra-app").await, ["kept"]);
}

/// Connects all the time, with what the Secret held at most two seconds ago: a third of the grace period. Returns how often they did.
async fn reconnect(scene: &Stage<'_>, enough: &AtomicBool) -> usize {
    let mut count = 0;
    while !enough.load(Ordering::Relaxed) {
        let (read, bound) = (Instant::now(), binding(scene, "extra-app").await);
        while read.elapsed() < Duration::from_secs(2) {
            let login = session(scene, &bound).await;
            let mut login = login.unwrap_or_else(|error| panic!("{} in grace: {error}", bound["username"]));
            login.execute("select").await.unwrap();
            login.close().await.unwrap();
            count += 1;
        }
    }
    count
}

#[tokio::test]
async fn no_client_notices_a_rotation_and_no_earlier_login_outlasts_its_grace() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let claim = claim(&scene, json!({"gracePeriod": "6s"})).await;
    assert_eq!(GRACE, Duration::from_secs(6));
    let enough = AtomicBool::new(false);
    let clients = join_all((0..4).map(|_| reconnect(&scene, &enough)));
    let watch = async {
        let mut seen = vec![binding(&scene, "extra-app").await];
        while seen.len() <= ROTATIONS {
            ask(&scene, &claim, "rotate", &seen.len().to_string()).await;
            let next = next_binding(&scene, seen.last().unwrap()).await;
            refused_within(&scene, seen.last().unwrap(), GRACE + SLACK).await;
            seen.push(next);
        }
        enough.store(true, Ordering::Relaxed);
        seen
    };
    let (counts, mut seen) = join(clients, watch).await;
    assert!(counts.iter().all(|count| *count > 3), "{counts:?}");
    settled(&scene, &claim).await;
    let last = seen.pop().unwrap();
    drop(session(&scene, &last).await.unwrap());
    for earlier in &seen {
        refused(&scene, earlier).await;
    }

    // Nobody asks: the time comes.
    let each = json!([{"name": "app", "rotation": {"interval": "1h", "gracePeriod": "0s"}}]);
    scene.patch(Kind::TenantDatabase, &claim, json!({"spec": {"credentials": each}})).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    let mut records = site.postgres.admin("tenantry").await;
    let an_hour_ago =
        "update tenantry.credential set issued_at = now() - interval '1h' where physical_name = $1";
    sqlx::query(an_hour_ago).bind(&last["database"]).execute(&mut records).await.unwrap();
    let look = json!({"metadata": {"annotations": {"tenantry.dev/reconcile-requested-at": "now"}}});
    scene.patch(Kind::TenantDatabase, &claim, look).await;
    next_binding(&scene, &last).await;
    refused(&scene, &last).await;
}

/// Waits until the session has ended.
async fn ended(session: &mut PgConnection) {
    wait_until(TEN_SECONDS, "the session has ended", async || match session.execute("select").await {
        Ok(_) => Err("it lasts".to_owned()),
        Err(_) => Ok(()),
    })
    .await;
}

/// Reports the credential as compromised: its session ends and that binding is refused within ten seconds.
async fn leaks(scene: &Stage<'_>, claim: &Key, leaked: &Binding) {
    let mut lasting = session(scene, leaked).await.unwrap();
    let reported = Instant::now();
    ask(scene, claim, "compromised", "laptop lost").await;
    ended(&mut lasting).await;
    let refused = code(session(scene, leaked).await);
    assert!(["28000", "28P01"].contains(&refused.as_str()), "{refused}");
    assert!(reported.elapsed() < TEN_SECONDS, "{:?}", reported.elapsed());
}

/// A new login is there, the leaked one is still refused, and nothing was lost.
async fn recovered(scene: &Stage<'_>, claim: &Key, leaked: &Binding) {
    scene.ready(Kind::TenantDatabase, claim).await;
    next_binding(scene, leaked).await;
    refused(scene, leaked).await;
    assert_eq!(rows(scene, "extra-app").await, ["kept"]);
}

#[tokio::test]
async fn a_leaked_login_of_a_claim_with_a_bad_spec_is_refused_and_stays_so_without_its_report() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let claim = claim(&scene, json!({"gracePeriod": "1h"})).await;
    write_row(&scene, "extra-app", "kept").await;
    let leaked = binding(&scene, "extra-app").await;
    let elsewhere = json!({"spec": {"serverRef": {"name": "elsewhere"}}});
    scene.patch(Kind::TenantDatabase, &claim, elsewhere).await;
    scene.refused(Kind::TenantDatabase, &claim, "ServerChangeNotSupported").await;
    leaks(&scene, &claim, &leaked).await;
    let note = "until then no login works of what was reported as compromised: credential app";
    scene
        .until(Kind::TenantDatabase, &claim, "says that it has no login", |claim| {
            condition(claim, "Ready")?["message"].as_str()?.ends_with(note).then_some(())
        })
        .await;

    let taken_back = json!({
        "metadata": {"annotations": {"compromised.tenantry.dev/app": null}}, "spec": {"serverRef": null},
    });
    scene.patch(Kind::TenantDatabase, &claim, taken_back).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    refused(&scene, &leaked).await;
    assert_eq!(rows(&scene, "extra-app").await, ["kept"]);
}

#[tokio::test]
async fn a_leaked_login_is_refused_without_a_plan() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let claim = claim(&scene, json!({"gracePeriod": "1h"})).await;
    write_row(&scene, "extra-app", "kept").await;
    let leaked = binding(&scene, "extra-app").await;
    scene.delete(Kind::Plan, &scene.cluster("small")).await;
    scene.refused(Kind::Tenant, &scene.cluster("acme"), "PlanNotFound").await;
    leaks(&scene, &claim, &leaked).await;
    scene.create(Kind::Plan, &scene.cluster("small"), shop::plan(&scene)).await;
    recovered(&scene, &claim, &leaked).await;
}

#[tokio::test]
async fn a_leaked_login_is_refused_where_anothers_secret_is_in_the_way() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let claim = claim(&scene, json!({"gracePeriod": "1h"})).await;
    write_row(&scene, "extra-app", "kept").await;
    let leaked = binding(&scene, "extra-app").await;
    let named = |secret: Value| json!({"spec": {"credentials": [{"name": "app", "secretName": secret}]}});
    scene.patch(Kind::TenantDatabase, &claim, named(json!("users-app"))).await;
    scene.refused(Kind::TenantDatabase, &claim, "NameConflict").await;
    leaks(&scene, &claim, &leaked).await;
    scene.patch(Kind::TenantDatabase, &claim, named(Value::Null)).await;
    recovered(&scene, &claim, &leaked).await;
}

#[tokio::test]
async fn a_leaked_login_is_refused_also_of_a_claim_that_was_made_again_with_a_bad_spec() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let claim = claim(&scene, json!({"gracePeriod": "1h"})).await;
    let leaked = binding(&scene, "extra-app").await;
    operator.stop().await;
    scene.delete(Kind::TenantDatabase, &claim).await;
    let elsewhere = json!({"serverRef": {"name": "elsewhere"}, "credentials": [{"name": "app"}]});
    scene.create(Kind::TenantDatabase, &claim, elsewhere).await;
    ask(&scene, &claim, "compromised", "laptop lost").await;
    let mut lasting = session(&scene, &leaked).await.unwrap();
    let operator = Operator::start(&site).await;
    ended(&mut lasting).await;
    refused(&scene, &leaked).await;
    operator.stop().await;
}

/// What somebody does to a Secret, which was written like this so far.
type Change<'a> = &'a dyn Fn(&[Value]) -> Value;

#[tokio::test]
async fn a_binding_that_somebody_edits_is_healed_and_one_whose_password_is_lost_is_replaced_by_a_rotation() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let claim = claim(&scene, json!({"gracePeriod": "0s"})).await;
    write_row(&scene, "extra-app", "kept").await;
    let (key, first) = (scene.inside("acme", "extra-app"), binding(&scene, "extra-app").await);
    let edited =
        json!({"stringData": {"host": "elsewhere", "username": "somebody", "uri": "postgresql://elsewhere"}});
    scene.patch(Kind::Secret, &key, edited).await;
    wait_until(A_MINUTE, "the binding is what it was", async || {
        let bound = binding(&scene, "extra-app").await;
        if bound == first { Ok(()) } else { Err(format!("{bound:?}")) }
    })
    .await;

    // Only the Secret held the password. Whoever had it from there goes on until the other login has taken over, and what
    // somebody puts there opens nothing.
    let service = scene.inside("acme", "extra");
    let of = |image: &str| json!({"image": format!("{image}extra:1"), "databases": [{"name": "extra"}]});
    scene.create(Kind::Microservice, &service, of("app.test/")).await;
    let (mut before, mut written) = (first, vec![]);
    // Whole, as a backup has it: of the login that was refused when the one in use had taken over.
    let earlier = |written: &[Value]| {
        let Value::Object(metadata) = &written[written.len() - 2]["metadata"]["annotations"] else {
            panic!()
        };
        let mut annotations = json!({"tenantry.dev/issued-at": null});
        annotations.as_object_mut().unwrap().extend(metadata.clone());
        json!({"data": written[written.len() - 2]["data"], "metadata": {"annotations": annotations}})
    };
    let changes: [(&str, Change<'_>); 5] = [
        ("guessed", &|_| json!({"stringData": {"password": "guessed"}})),
        ("brought back", &earlier),
        ("emptied", &|_| json!({"data": null})),
        ("a URI of its own", &|_| json!({"stringData": {"password": "x@elsewhere/db?sslmode=disable#"}})),
        ("deleted", &|_| Value::Null),
    ];
    for (how, change) in changes {
        written.push(scene.get(Kind::Secret, &key).await.unwrap());
        let change = change(&written);
        scene.ready(Kind::Microservice, &service).await;
        scene.patch(Kind::Microservice, &service, json!({"spec": of(PENDING)})).await;
        scene.refused(Kind::Microservice, &service, "Progressing").await;
        if change.is_null() {
            scene.delete(Kind::Secret, &key).await;
        } else {
            scene.patch(Kind::Secret, &key, change).await;
        }
        let next = wait_until(A_MINUTE, &format!("{how}: another login opens the database"), async || {
            let Some(secret) = scene.get(Kind::Secret, &key).await else { return Err("none".to_owned()) };
            if secret["data"]["username"].is_null() {
                return Err("it is empty".to_owned());
            }
            let bound = binding(&scene, "extra-app").await;
            if bound["username"] == before["username"] {
                return Err(format!("it names {}", bound["username"]));
            }
            // Whoever is about to log in with a password while it is replaced may still get in, the next one does not.
            for _ in 0..2 {
                session(&scene, &bound).await.map_err(|error| error.to_string())?;
            }
            Ok(bound)
        })
        .await;
        rotating(&scene, &claim, "RollingOut").await;
        session(&scene, &before).await.unwrap_or_else(|error| panic!("{how}: {error}"));
        let with = |password: &str| {
            let password = Binding::from([("password".to_owned(), password.to_owned())]);
            next.clone().into_iter().chain(password).collect::<Binding>()
        };
        assert_eq!(code(session(&scene, &with("guessed")).await), "28P01");
        assert_eq!(code(session(&scene, &with(&before["password"])).await), "28P01");
        scene.patch(Kind::Microservice, &service, json!({"spec": of("app.test/")})).await;
        settled(&scene, &claim).await;
        refused(&scene, &before).await;
        before = next;
    }
    assert_eq!(rows(&scene, "extra-app").await, ["kept"]);
}

#[tokio::test]
async fn a_secret_that_is_lost_while_an_extension_cannot_be_made_locks_nobody_out() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let (claim, key) = (scene.inside("acme", "extra"), scene.inside("acme", "extra-app"));
    let asks = |names: &[&str]| {
        let extensions: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"extensions": extensions})
    };
    scene.create(Kind::TenantDatabase, &claim, asks(&["citext"])).await;
    scene.ready(Kind::TenantDatabase, &claim).await;
    let bound = binding(&scene, "extra-app").await;
    // In use: its grace lasts.
    let mut pods = session(&scene, &bound).await.unwrap();
    let mut admin = site.postgres.admin(&bound["database"]).await;
    admin.execute("create type extensions.gtrgm as enum ()").await.unwrap();
    scene.patch(Kind::TenantDatabase, &claim, json!({"spec": asks(&["citext", "pg_trgm"])})).await;
    scene.refused(Kind::TenantDatabase, &claim, "ReconcileFailed").await;

    let uid = scene.get(Kind::Secret, &key).await.unwrap()["metadata"]["uid"].clone();
    scene.delete(Kind::Secret, &key).await;
    wait_until(A_MINUTE, "the Secret is written again", async || match scene.get(Kind::Secret, &key).await {
        Some(secret) if secret["metadata"]["uid"] != uid => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // Of the other login, unless a turn that was under way still knew the password.
    let next = binding(&scene, "extra-app").await;
    session(&scene, &next).await.unwrap();
    session(&scene, &bound).await.unwrap();
    pods.execute("select").await.unwrap();
}

#[tokio::test]
async fn a_login_that_cannot_get_in_holds_up_nothing_where_passwords_cannot_be_read() {
    let site = Site::own().await;
    limit_admin(&site, &Stage::new(&site).await).await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let claim = claim(&scene, json!({})).await;
    let bound = binding(&scene, "extra-app").await;
    let healed = async |what: &str| {
        let asked = json!({"metadata": {"annotations": {"tenantry.dev/reconcile-requested-at": what}}});
        scene.patch(Kind::TenantDatabase, &claim, asked).await;
        wait_until(A_MINUTE, what, async || {
            session(&scene, &bound).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        scene.ready(Kind::TenantDatabase, &claim).await;
    };
    // Any login of a tenant can do that to itself.
    let mut tenant = session(&scene, &bound).await.unwrap();
    tenant.execute("set role none; alter role current_user set local_preload_libraries = 'x'").await.unwrap();
    assert_eq!(code(session(&scene, &bound).await), "58P01");
    healed("a library that is not there").await;

    let mut admin = site.postgres.admin("postgres").await;
    let revoke = format!("revoke connect on database {} from {}", bound["database"], bound["username"]);
    admin.execute(AssertSqlSafe(revoke)).await.unwrap();
    assert_eq!(code(session(&scene, &bound).await), "42501");
    healed("no right to connect").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_password_that_a_tenant_gives_its_own_login_is_drift() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let claim = claim(&scene, json!({})).await;
    write_row(&scene, "extra-app", "kept").await;
    let (key, bound) = (scene.inside("acme", "extra-app"), binding(&scene, "extra-app").await);
    let written = scene.get(Kind::Secret, &key).await;
    let mut tenant = session(&scene, &bound).await.unwrap();
    tenant.execute("set role none; alter role current_user password 'of my own'").await.unwrap();
    let mut own = bound.clone();
    own.insert("password".to_owned(), "of my own".to_owned());
    let asked = json!({"metadata": {"annotations": {"tenantry.dev/reconcile-requested-at": "now"}}});
    scene.patch(Kind::TenantDatabase, &claim, asked).await;
    refused(&scene, &own).await;
    // The Secret's password is set again: no pod hears of it.
    wait_until(A_MINUTE, "the binding from before opens the database", async || {
        session(&scene, &bound).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(scene.get(Kind::Secret, &key).await, written);
    assert_eq!(rows(&scene, "extra-app").await, ["kept"]);
}

/// The side of the login that the operator database says is in use.
async fn side(scene: &Stage<'_>, database: &str) -> Option<String> {
    let mut records = scene.site.postgres.admin("tenantry").await;
    let sql = "select side from tenantry.credential where physical_name = $1 and name = 'app'";
    sqlx::query_scalar(sql).bind(database).fetch_optional(&mut records).await.unwrap()
}

#[tokio::test]
async fn a_leaked_login_that_a_suspension_refused_already_never_works_again() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let (claim, tenant) = (claim(&scene, json!({"gracePeriod": "1h"})).await, scene.cluster("acme"));
    write_row(&scene, "extra-app", "kept").await;
    let (key, leaked) = (scene.inside("acme", "extra-app"), binding(&scene, "extra-app").await);
    let stolen = scene.get(Kind::Secret, &key).await.unwrap();
    let elsewhere = json!({"spec": {"serverRef": {"name": "elsewhere"}}});
    scene.patch(Kind::TenantDatabase, &claim, elsewhere).await;
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"state": "Suspended"}})).await;
    refused(&scene, &leaked).await;
    // Two reports: what is in use then has the name of the login that was stolen.
    for (report, next) in [("laptop lost", "b"), ("and found by somebody", "a")] {
        ask(&scene, &claim, "compromised", report).await;
        wait_until(A_MINUTE, "it is recorded that it is replaced", async || {
            let in_use = side(&scene, &leaked["database"]).await;
            if in_use.as_deref() == Some(next) { Ok(()) } else { Err(format!("{in_use:?}")) }
        })
        .await;
    }

    let taken_back = json!({
        "metadata": {"annotations": {"compromised.tenantry.dev/app": null}}, "spec": {"serverRef": null},
    });
    scene.patch(Kind::TenantDatabase, &claim, taken_back).await;
    scene.patch(Kind::Tenant, &tenant, json!({"spec": {"state": "Active"}})).await;
    let renewed = async || {
        wait_until(A_MINUTE, "a new password opens the database", async || {
            let bound = binding(&scene, "extra-app").await;
            session(&scene, &bound).await.map(drop).map_err(|error| error.to_string())?;
            if bound["password"] == leaked["password"] { Err("it is stolen".to_owned()) } else { Ok(()) }
        })
        .await;
        assert_eq!(code(session(&scene, &leaked).await), "28P01");
    };
    renewed().await;

    // A backup brings the Secret back, for a login of the same name: it opens nothing.
    let hash = &stolen["metadata"]["annotations"]["tenantry.dev/binding-hash"];
    let annotations = json!({"tenantry.dev/binding-hash": hash, "tenantry.dev/issued-at": null});
    let restored = json!({"data": stolen["data"], "metadata": {"annotations": annotations}});
    scene.patch(Kind::Secret, &key, restored).await;
    renewed().await;
    assert_eq!(rows(&scene, "extra-app").await, ["kept"]);
}

#[tokio::test]
async fn an_operator_that_dies_in_the_middle_of_a_rotation_leaves_a_login_that_works_and_the_next_one_ends_it()
 {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    let claim = claim(&scene, json!({"gracePeriod": "20s"})).await;
    write_row(&scene, "extra-app", "kept").await;
    let first = binding(&scene, "extra-app").await;
    // Somebody uses it to the end: only the end of the grace refuses it.
    let mut lasting = session(&scene, &first).await.unwrap();
    ask(&scene, &claim, "rotate", "once").await;
    let second = next_binding(&scene, &first).await;
    operator.kill().await;
    for works in [&first, &second] {
        session(&scene, works).await.unwrap();
    }

    let operator = Operator::start(&site).await;
    rotating(&scene, &claim, "GracePeriod").await;
    session(&scene, &first).await.unwrap();
    lasting.execute("insert into kept values ('in grace')").await.unwrap();
    refused_within(&scene, &first, Duration::from_secs(20) + SLACK).await;
    ended(&mut lasting).await;
    settled(&scene, &claim).await;
    assert_eq!(binding(&scene, "extra-app").await, second);
    assert_eq!(rows(&scene, "extra-app").await, ["in grace", "kept"]);
    operator.stop().await;
}
