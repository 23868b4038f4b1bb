//! Warm pools: filled in the background, taken by claims, filled up again, and gone when they are not wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, Row};
use tenantry::controller::object::{Key, Kind};

use super::claims::{binding, session};
use super::scene::A_MINUTE;
use super::shop;
use super::site::{Site, Stage};
use crate::support::{Operator, OperatorProcess, Postgres, wait_until};

/// A database of a pool that is not there counts as never made after a minute, and a server is looked at every 30 s.
const TWO_MINUTES: Duration = Duration::from_mins(2);

/// Databases, roles and rows of the site's pool: `kind name phase`.
async fn pool(postgres: &Postgres) -> BTreeSet<String> {
    let mut operator = postgres.admin("tenantry").await;
    let sql = r"SELECT 'database ' || datname || ' ' || datallowconn FROM pg_database WHERE datname LIKE 'tenantry\_%'
        UNION ALL SELECT 'role ' || rolname || ' ' || rolcanlogin FROM pg_roles
        WHERE rolname LIKE 'tenantry\_%' AND rolname <> 'tenantry_databases'
        UNION ALL SELECT 'row ' || name || ' ' || phase FROM tenantry.pool";
    let rows = sqlx::query(sql).fetch_all(&mut operator).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Waits until the pool is exactly a template and so many clones, all of them ready.
pub async fn holds(site: &Site, clones: usize) -> BTreeSet<String> {
    holds_on(&site.postgres, clones).await
}

/// The same of any server.
pub async fn holds_on(postgres: &Postgres, clones: usize) -> BTreeSet<String> {
    wait_until(TWO_MINUTES, &format!("the pool holds {clones}"), async || {
        let pool = pool(postgres).await;
        let names: BTreeSet<&str> = pool.iter().filter_map(|it| it.split(' ').nth(1)).collect();
        let bases = names.iter().filter(|name| name.matches('_').count() == 2);
        let mut expected = BTreeSet::new();
        for base in bases.clone() {
            expected.insert(format!("database {base} false"));
            expected.insert(format!("row {base} Ready"));
            if base.starts_with("tenantry_pool") {
                expected
                    .extend(["owner", "rw", "ro", "login"].map(|role| format!("role {base}_{role} false")));
            }
        }
        let template = names.iter().filter(|name| name.starts_with("tenantry_template")).count();
        let whole = bases.count() == clones + 1 && template == 1;
        if pool == expected && whole { Ok(pool) } else { Err(format!("{pool:#?}")) }
    })
    .await
}

/// Waits until nothing of a pool is left.
async fn emptied(site: &Site) {
    let postgres = &site.postgres;
    wait_until(TWO_MINUTES, "the pool is dropped", async || {
        let pool = pool(postgres).await;
        if pool.is_empty() { Ok(()) } else { Err(format!("{pool:#?}")) }
    })
    .await;
}

/// How many clones were being made at once at most: from the first statement that names one to the last.
fn at_once(log: &str) -> usize {
    let lines: Vec<&str> = log.lines().collect();
    let name = |line: &str| {
        let (_, from) = line.split_once("tenantry_pool_")?;
        Some(from.chars().take_while(char::is_ascii_hexdigit).collect::<String>())
    };
    let mut spans = BTreeMap::<String, (usize, usize)>::new();
    for (at, name) in lines.iter().enumerate().filter_map(|(at, line)| Some((at, name(line)?))) {
        spans.entry(name).or_insert((at, at)).1 = at;
    }
    let open = |at: usize| spans.values().filter(|(first, last)| (*first..=*last).contains(&at)).count();
    spans.values().map(|(first, _)| open(*first)).max().unwrap_or_default()
}

fn sized(size: usize) -> Value {
    json!({"spec": {"warmPool": {"size": size}}})
}

#[tokio::test]
async fn claims_take_databases_of_the_pool_and_it_is_filled_up_again() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let server = Key::cluster(&site.server);
    let scene = shop::furnish(&site).await;
    scene.ready(Kind::DatabaseServer, &server).await;
    assert_eq!(pool(&site.postgres).await, BTreeSet::new(), "nobody has asked for a pool");

    scene.patch(Kind::DatabaseServer, &server, sized(3)).await;
    let first = holds(&site, 3).await;
    assert_eq!(at_once(&site.postgres.log()), 2, "a server is not asked for more at a time");
    let databases = json!([{"name": "orders", "extensions": [{"name": "citext"}]}, {"name": "users"}]);
    scene.patch(Kind::Blueprint, &scene.cluster("shop"), json!({"spec": {"databases": databases}})).await;
    scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(&scene)).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    let log = site.postgres.log();
    assert_eq!(log.matches("RENAME TO \"t_").count(), 2 * 5, "both databases are from the pool");
    let has_password = |line: &str| line.contains("ROLE \"t_") && line.contains(" PASSWORD ");
    assert!(!log.lines().any(has_password), "and their logins had their passwords");
    assert!(!log.contains("CREATE DATABASE \"t_"), "and none was made on demand");
    let second = holds(&site, 3).await;
    assert_eq!(
        first.intersection(&second).count(),
        2 + 6,
        "the template and the clone that nobody took stay"
    );

    // Too small a pool is no obstacle, and one that is not wanted any more goes.
    scene.patch(Kind::DatabaseServer, &server, sized(1)).await;
    let last = holds(&site, 1).await;
    assert!(last.is_subset(&second));

    // A tenant sees every role's name and may grant it something: that keeps this one from going, and nobody else.
    let role = last.iter().find_map(|it| it.strip_prefix("role ")?.strip_suffix("_ro false")).unwrap();
    let mut tenant = session(&scene, &binding(&scene, "orders-app").await).await.unwrap();
    let grant = format!("create table mine (text citext); grant select on mine to {role}_ro");
    tenant.execute(sqlx::raw_sql(AssertSqlSafe(grant))).await.unwrap();
    let unwanted = json!({"spec": {"warmPool": null}});
    scene.patch(Kind::DatabaseServer, &server, unwanted.clone()).await;
    wait_until(TWO_MINUTES, "only what is in use is left", async || {
        let pool = pool(&site.postgres).await;
        let left = ["owner", "rw", "ro", "login"].map(|it| format!("role {role}_{it} false"));
        let left: BTreeSet<String> = left.into_iter().chain([format!("row {role} Retiring")]).collect();
        if pool == left { Ok(()) } else { Err(format!("{pool:#?}")) }
    })
    .await;
    scene.patch(Kind::DatabaseServer, &server, sized(1)).await;
    wait_until(TWO_MINUTES, "the pool has another clone", async || {
        let pool = pool(&site.postgres).await;
        let is_new = |row: &&String| row.starts_with("row tenantry_pool_") && row.ends_with(" Ready");
        pool.iter().find(is_new).map(drop).ok_or_else(|| format!("{pool:#?}"))
    })
    .await;
    tenant.execute("drop table mine").await.unwrap();
    scene.patch(Kind::DatabaseServer, &server, unwanted).await;
    emptied(&site).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    operator.stop().await;
}

#[tokio::test]
async fn neither_an_operator_that_dies_while_it_fills_a_pool_nor_a_server_that_goes_leaves_anything_behind() {
    let site = Site::own().await;
    let scene = Stage::new(&site).await;
    let server = Key::cluster(&site.server);
    scene.patch(Kind::DatabaseServer, &server, sized(4)).await;
    // Each dies at another point: while the template is made, while clones are, while one of them is dropped.
    for rows in [1, 2, 4] {
        let operator = OperatorProcess::start(&site).await;
        scene.ready(Kind::DatabaseServer, &server).await;
        wait_until(A_MINUTE, "the pool is being filled", async || {
            let pool = pool(&site.postgres).await;
            let count = pool.iter().filter(|it| it.starts_with("row ")).count();
            if count >= rows { Ok(()) } else { Err(format!("{pool:?}")) }
        })
        .await;
        operator.kill(&site).await;
    }
    let operator = OperatorProcess::start(&site).await;
    holds(&site, 4).await;
    // A server that is given up has nothing of it left.
    scene.delete(Kind::DatabaseServer, &server).await;
    scene.gone(Kind::DatabaseServer, &server).await;
    assert_eq!(pool(&site.postgres).await, BTreeSet::new());
    operator.terminate();
}

#[tokio::test]
async fn a_server_takes_no_more_databases_than_it_may_and_none_while_it_is_paused_or_drained() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let (scene, server) = (shop::furnish(&site).await, Key::cluster(&site.server));
    let patch = async |spec: Value| scene.patch(Kind::DatabaseServer, &server, json!({"spec": spec})).await;
    let full = |capacity: u32| {
        format!("DatabaseServer {} is full: its spec.capacity.databases is {capacity}", site.server)
    };
    scene.ready(Kind::DatabaseServer, &server).await;
    // Two claims at once, and room for one.
    patch(json!({"capacity": {"databases": 1}, "warmPool": {"size": 2}})).await;
    holds(&site, 1).await;
    scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(&scene)).await;
    let claims = shop::DATABASES.map(|name| scene.inside("acme", name));
    let refused = wait_until(A_MINUTE, "one has a database and one has none", async || {
        let mut messages = vec![];
        for claim in &claims {
            let object = scene.get(Kind::TenantDatabase, claim).await.unwrap_or_default();
            let Some(ready) = super::scene::condition(&object, "Ready") else {
                return Err(object.to_string());
            };
            messages.push((
                ready["status"] == "True",
                ready["reason"] == "NoServer",
                ready["message"].to_string(),
            ));
        }
        messages.sort();
        match &messages[..] {
            [(false, true, refused), (true, false, _)] => Ok(refused.clone()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(refused.contains(&full(1)), "{refused}");
    emptied(&site).await;
    patch(json!({"capacity": {"databases": 2}})).await;
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
    emptied(&site).await;

    // Whatever it may take: nothing new while it is paused, and what is on it is served.
    patch(json!({"capacity": null, "scheduling": "Paused"})).await;
    let extra = scene.inside("acme", "extra");
    scene.create(Kind::TenantDatabase, &extra, json!({})).await;
    let expected = format!(
        "no DatabaseServer can take the database: DatabaseServer {} takes no new databases: its spec.scheduling is Paused",
        site.server
    );
    // The claim may be seen before the server's change is.
    scene
        .until(Kind::TenantDatabase, &extra, &expected, |claim| {
            let ready = super::scene::condition(claim, "Ready")?;
            (ready["reason"] == "NoServer" && ready["message"] == *expected).then_some(())
        })
        .await;
    scene.patch(Kind::TenantDatabase, &claims[0], json!({"spec": {"limits": {"connections": 7}}})).await;
    scene.ready(Kind::TenantDatabase, &claims[0]).await;
    assert_eq!(pool(&site.postgres).await, BTreeSet::new());
    patch(json!({"scheduling": "Active"})).await;
    scene.ready(Kind::TenantDatabase, &extra).await;
    holds(&site, 2).await;
    patch(json!({"scheduling": "Draining"})).await;
    emptied(&site).await;
    scene
        .until(Kind::DatabaseServer, &server, "says that it is not empty", |object| {
            let ready = super::scene::condition(object, "Ready")?["message"].as_str()?.to_owned();
            ready.ends_with("spec.scheduling is Draining, and databases are still on it").then_some(())
        })
        .await;
    operator.stop().await;
}
