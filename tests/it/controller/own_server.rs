//! Plans whose tenants have servers of their own: who gets which, who is kept out, and what a plan that is edited changes.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use tenantry::controller::object::{Key, Kind};

use super::claims::phase;
use super::dropping::purge;
use super::pool;
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use crate::support::{Operator, Postgres, wait_until};

const RIVALS: [&str; 3] = ["acme", "beta", "gamma"];
const OWN: &str = "is the own server of another tenant";

/// A site whose server is shared, and two more that plans select for tenants with servers of their own.
struct Town<'a> {
    scene: Stage<'a>,
    servers: [(Key, &'a Postgres); 2],
}

impl<'a> Town<'a> {
    async fn new(site: &'a Site, others: &'a [Postgres; 2]) -> Self {
        let scene = Stage::new(site).await;
        let servers = [(scene.cluster("one"), &others[0]), (scene.cluster("two"), &others[1])];
        for (server, postgres) in &servers {
            postgres.register(&scene.client, &server.name).await;
            // Databases that nobody has yet are nobody's.
            let pooled = json!({"metadata": {"labels": {"pool": "own"}}, "spec": {"warmPool": {"size": 1}}});
            scene.patch(Kind::DatabaseServer, server, pooled).await;
        }
        let town = Self { scene, servers };
        town.plan("own", &json!({"isolation": "Server", "serverSelector": {"matchLabels": {"pool": "own"}}}))
            .await;
        let any = json!({"serverSelector": null});
        town.plan("any", &any).await;
        let databases = json!({"databases": [{"name": "orders"}, {"name": "users"}]});
        town.scene.create(Kind::Blueprint, &town.scene.cluster("shop"), databases).await;
        for (server, postgres) in &town.servers {
            town.scene.ready(Kind::DatabaseServer, server).await;
            pool::holds_on(postgres, 1).await;
        }
        town
    }

    async fn plan(&self, name: &str, spec: &Value) {
        self.scene.create(Kind::Plan, &self.scene.cluster(name), spec.clone()).await;
    }

    async fn tenant(&self, name: &str, plan: &str, blueprints: &[&str]) {
        let blueprints: Value = blueprints.iter().map(|it| json!({"name": self.scene.name(it)})).collect();
        let spec = json!({"planRef": {"name": self.scene.name(plan)}, "blueprints": blueprints});
        self.scene.create(Kind::Tenant, &self.scene.cluster(name), spec).await;
    }

    async fn claim(&self, tenant: &str, name: &str, server: Option<&Key>) -> Key {
        let key = self.scene.inside(tenant, name);
        let spec = server.map_or_else(|| json!({}), |server| json!({"serverRef": {"name": server.name}}));
        self.scene.create(Kind::TenantDatabase, &key, spec).await;
        key
    }

    /// The server of each rival that has both of its databases on one, once the others are refused by every server.
    async fn settled(&self) -> BTreeMap<&'static str, String> {
        wait_until(A_MINUTE, "each has a server or is told why not", async || {
            let mut homes = BTreeMap::new();
            for tenant in RIVALS {
                let mut servers = vec![];
                for name in shop::DATABASES {
                    let claim = self.scene.get(Kind::TenantDatabase, &self.scene.inside(tenant, name)).await;
                    let claim = claim.ok_or("there is no claim yet")?;
                    let ready = condition(&claim, "Ready").cloned().unwrap_or_default();
                    let said = ready["message"].as_str().unwrap_or_default();
                    match ready["status"].as_str() {
                        Some("True") => servers.push(claim["status"]["server"].as_str().unwrap().to_owned()),
                        _ if ready["reason"] == "NoServer" && said.matches(OWN).count() == 2 => {}
                        _ => return Err(format!("{tenant}: {ready}")),
                    }
                }
                match &servers[..] {
                    [] => {}
                    [one, other] if one == other => drop(homes.insert(tenant, one.clone())),
                    torn => panic!("{tenant} is on {torn:?}"),
                }
            }
            Ok(homes)
        })
        .await
    }

    /// The tenant that each server says it is of.
    async fn owners(&self) -> BTreeMap<String, Value> {
        let mut owners = BTreeMap::new();
        for (server, _) in &self.servers {
            let server = self.scene.get(Kind::DatabaseServer, server).await.unwrap();
            let name = server["metadata"]["name"].as_str().unwrap().to_owned();
            owners.insert(name, server["status"]["tenant"].clone());
        }
        owners
    }

    /// Waits until the claim names why that server does not take it.
    async fn kept_out(&self, claim: &Key, server: &Key, why: &str) {
        self.scene
            .until(Kind::TenantDatabase, claim, &format!("is kept out: {why}"), |claim| {
                let ready = condition(claim, "Ready")?;
                let said = format!("spec.serverRef: DatabaseServer {} {why}", server.name);
                (ready["reason"] == "ServerNotAllowed" && ready["message"] == said).then_some(())
            })
            .await;
    }

    /// What a DBA does who drops a tenant's databases for good.
    async fn wipe(&self, server: &Key, tenant: &str) {
        let (_, postgres) = self.servers.iter().find(|(key, _)| key == server).unwrap();
        let mut admin = postgres.admin("tenantry").await;
        let namespace = self.scene.namespace(tenant);
        for sql in [
            format!(
                "delete from tenantry.tombstone where physical_name in (select physical_name from tenantry.marker where claim_namespace = '{namespace}')"
            ),
            format!("delete from tenantry.marker where claim_namespace = '{namespace}'"),
        ] {
            admin.execute(AssertSqlSafe(sql)).await.unwrap();
        }
        for database in self.databases(tenant).await {
            self.scene.delete(Kind::ServerDatabase, &database).await;
        }
    }

    /// Keys of the tenant's server databases.
    async fn databases(&self, tenant: &str) -> Vec<Key> {
        let namespace = self.scene.namespace(tenant);
        let all = self.scene.all(Kind::ServerDatabase).await;
        let own = all.iter().filter(|it| it["spec"]["claimRef"]["namespace"] == *namespace);
        own.map(|it| Key::cluster(it["metadata"]["name"].as_str().unwrap())).collect()
    }
}

#[tokio::test]
async fn of_tenants_that_come_at_once_each_gets_a_server_of_its_own_or_is_told_that_there_is_none() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let others = [Postgres::own(), Postgres::own()];
    let town = Town::new(&site, &others).await;
    let scene = &town.scene;
    futures::future::join_all(RIVALS.map(|tenant| town.tenant(tenant, "own", &["shop"]))).await;
    let homes = town.settled().await;
    assert_eq!(homes.len(), 2, "{homes:?}");
    let owners: BTreeMap<String, Value> =
        homes.iter().map(|(tenant, server)| (server.clone(), json!(scene.name(tenant)))).collect();
    wait_until(A_MINUTE, "each server says whose it is", async || {
        let said = town.owners().await;
        if said == owners { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;

    // A tenant that shares servers cannot name its way onto one, and is placed on neither.
    let (&first, server) = homes.first_key_value().unwrap();
    let server = Key::cluster(server);
    town.tenant("hostile", "any", &[]).await;
    scene.ready(Kind::Tenant, &scene.cluster("hostile")).await;
    let spy = town.claim("hostile", "spy", Some(&server)).await;
    town.kept_out(&spy, &server, OWN).await;
    let honest = town.claim("hostile", "honest", None).await;
    let honest = scene.ready(Kind::TenantDatabase, &honest).await;
    assert_eq!(honest["status"]["server"], *site.server);
    // Nor does a database that an admin gives there.
    let given = json!({
        "serverRef": {"name": server.name}, "physicalName": "legacy", "management": "Observe",
        "claimRef": {"namespace": scene.namespace("hostile"), "name": "given"},
    });
    scene.create(Kind::ServerDatabase, &scene.cluster("given"), given).await;
    let claim = town.claim("hostile", "given", None).await;
    let said = scene.refused(Kind::TenantDatabase, &claim, "ServerNotAllowed").await;
    assert!(said.contains(OWN), "{said}");
    scene.delete(Kind::TenantDatabase, &claim).await;
    scene.delete(Kind::ServerDatabase, &scene.cluster("given")).await;
    // And nobody takes a second one.
    let (_, other) = town.servers.iter().map(|(key, _)| key).partition::<Vec<_>, _>(|key| **key == server);
    let greedy = town.claim(first, "greedy", Some(other[0])).await;
    town.kept_out(&greedy, other[0], OWN).await;

    // Another leader knows it from the rows, and puts the next one beside the others.
    operator.stop().await;
    let operator = Operator::start(&site).await;
    let late = town.claim(first, "late", None).await;
    assert_eq!(scene.ready(Kind::TenantDatabase, &late).await["status"]["server"], *server.name);
    scene.patch(Kind::TenantDatabase, &spy, json!({"metadata": {"labels": {"looked": "at"}}})).await;
    town.kept_out(&spy, &server, OWN).await;
    assert_eq!(town.owners().await, owners);

    // What the tenant leaves behind keeps others out, until it is gone.
    let left = town.databases(first).await;
    scene.delete(Kind::Tenant, &scene.cluster(first)).await;
    for database in &left {
        phase(scene, database, "Released").await;
        purge(scene, database).await;
    }
    scene.gone(Kind::Tenant, &scene.cluster(first)).await;
    scene.patch(Kind::TenantDatabase, &spy, json!({"metadata": {"labels": {"looked": "again"}}})).await;
    town.kept_out(&spy, &server, OWN).await;
    scene.delete(Kind::TenantDatabase, &spy).await;
    assert_eq!(town.owners().await, owners);
    town.wipe(&server, first).await;
    let last = RIVALS.into_iter().find(|tenant| !homes.contains_key(tenant)).unwrap();
    for name in shop::DATABASES {
        let claim = scene.ready(Kind::TenantDatabase, &scene.inside(last, name)).await;
        assert_eq!(claim["status"]["server"], *server.name);
    }
    operator.stop().await;
}

#[tokio::test]
async fn a_database_stays_where_it_is_when_its_plan_begins_to_ask_for_a_server_of_its_own_and_says_so() {
    let site = Site::shared().await;
    let scene = shop::open(&site).await;
    let plan = scene.cluster("small");
    // Somebody else is on the server.
    scene.create(Kind::Plan, &scene.cluster("other"), shop::plan(&scene)).await;
    let other =
        json!({"planRef": {"name": scene.name("other")}, "blueprints": [{"name": scene.name("shop")}]});
    scene.create(Kind::Tenant, &scene.cluster("other"), other).await;
    scene.ready(Kind::TenantDatabase, &scene.inside("other", "orders")).await;

    let key = scene.inside("acme", "orders");
    let before = scene.ready(Kind::TenantDatabase, &key).await;
    scene.patch(Kind::Plan, &plan, json!({"spec": {"isolation": "Server"}})).await;
    let said = scene
        .until(Kind::TenantDatabase, &key, "says that it shares its server", |claim| {
            let shared = condition(claim, "SharedServer").filter(|it| it["status"] == "True")?;
            Some(shared["message"].as_str()?.to_owned())
        })
        .await;
    let start =
        format!("Plan {} asks for a server of the tenant's own, and DatabaseServer", scene.name("small"));
    assert!(said.starts_with(&start), "{said}");
    let after = scene.ready(Kind::TenantDatabase, &key).await;
    for field in ["server", "serverDatabase"] {
        assert_eq!(after["status"][field], before["status"][field]);
    }
    // A new one does not go there, and the others still do.
    let more = scene.inside("acme", "more");
    scene.create(Kind::TenantDatabase, &more, json!({})).await;
    let said = scene.refused(Kind::TenantDatabase, &more, "NoServer").await;
    assert!(said.contains("has databases of other tenants, and Plan"), "{said}");
    scene.create(Kind::TenantDatabase, &scene.inside("other", "more"), json!({})).await;
    scene.ready(Kind::TenantDatabase, &scene.inside("other", "more")).await;
    let server = scene.get(Kind::DatabaseServer, &Key::cluster(&site.server)).await.unwrap();
    assert_eq!(server["status"]["tenant"], Value::Null, "it is nobody's own");

    scene.patch(Kind::Plan, &plan, json!({"spec": {"isolation": null}})).await;
    scene.ready(Kind::TenantDatabase, &more).await;
    scene
        .until(Kind::TenantDatabase, &key, "shares as its plan has it", |claim| {
            condition(claim, "SharedServer").is_none().then_some(())
        })
        .await;
}
