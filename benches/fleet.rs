//! A fleet of three servers: how soon a change is applied for 100 healthy tenants while one of the other servers is
//! down and one hangs, and people ask for something on those too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use sqlx::Row;
use tenantry::api::TenantDatabase;
use tenantry::api::condition::{READY, find};
use tenantry::controller::object::{Key, Kind};
use tokio::time::sleep;

use crate::report::Measure;
use crate::scene::Scene;
use crate::support::{ControlPlane, OperatorProcess, Postgres, wait_until};

/// Tenants on the healthy server.
const HEALTHY: usize = 100;
/// Tenants on each of the others.
const SICK: usize = 25;
/// Between two changes.
const PAUSE: Duration = Duration::from_millis(50);
/// Whoever waits longer has been forgotten.
const LIMIT: Duration = Duration::from_mins(5);

/// Measures it twice, with all servers up and with one; both times the catalog has to say in the end what was asked.
pub async fn measure() -> Vec<Measure> {
    let plane = ControlPlane::own().await;
    let operator = OperatorProcess::start(&plane).await;
    let scene = Scene::new(&plane).await;
    let servers = [Postgres::own(), Postgres::own(), Postgres::own()];
    let [well, down, hung] = &servers;
    for (name, postgres) in [("well", well), ("down", down), ("hung", hung)] {
        postgres.register(&scene.client, &scene.name(name)).await;
        scene.ready(Kind::DatabaseServer, &scene.cluster(name)).await;
    }
    scene.create(Kind::Plan, &scene.cluster("small"), json!({"limits": {"connections": 100}})).await;
    let applied = Applied::watch(&scene.client);
    let healthy = claims(&scene, "well", HEALTHY).await;
    let (on_down, on_hung) = (claims(&scene, "down", SICK).await, claims(&scene, "hung", SICK).await);
    let sick: Vec<Key> = on_down.into_iter().zip(on_hung).flat_map(|(down, hung)| [down, hung]).collect();
    for claim in healthy.iter().chain(&sick) {
        scene.ready(Kind::TenantDatabase, claim).await;
    }

    let all_up = change(&scene, &applied, &healthy, &sick, 11).await;
    assert_eq!(limits(well).await, vec![11; HEALTHY]);
    down.stop();
    hung.pause();
    let one_up = change(&scene, &applied, &healthy, &sick, 12).await;
    assert_eq!(limits(well).await, vec![12; HEALTHY]);
    down.start();
    hung.resume();
    wait_until(LIMIT, "the others are served again", async || {
        let limits = (limits(down).await, limits(hung).await);
        if limits == (vec![12; SICK], vec![12; SICK]) { Ok(()) } else { Err(format!("{limits:?}")) }
    })
    .await;
    let (status, log) = operator.terminate();
    assert!(status.success(), "{log}");
    vec![
        Measure::at("fleet p99", "ms", &one_up, 0.99),
        Measure::at("fleet p99, all three servers up", "ms", &all_up, 0.99),
        Measure::new("fleet p50", "ms", &one_up),
        Measure::new("fleet p50, all three servers up", "ms", &all_up),
    ]
}

/// So many tenants with one claim each on that server.
async fn claims(scene: &Scene<'_>, server: &str, count: usize) -> Vec<Key> {
    let tenants: Vec<String> = (0..count).map(|number| format!("{server}{number:03}")).collect();
    for tenant in &tenants {
        let spec = json!({"planRef": {"name": scene.name("small")}});
        scene.create(Kind::Tenant, &scene.cluster(tenant), spec).await;
    }
    let mut claims = vec![];
    for tenant in &tenants {
        scene.ready(Kind::Tenant, &scene.cluster(tenant)).await;
        let key = scene.inside(tenant, "app");
        let spec = json!({"serverRef": {"name": scene.name(server)}, "limits": {"connections": 10}});
        scene.create(Kind::TenantDatabase, &key, spec).await;
        claims.push(key);
    }
    claims
}

/// Changes every claim, one after the other, and says how long each healthy one took to be applied, in milliseconds.
async fn change(
    scene: &Scene<'_>,
    applied: &Applied,
    healthy: &[Key],
    sick: &[Key],
    connections: u32,
) -> Vec<f64> {
    let spec = json!({"spec": {"limits": {"connections": connections}}});
    let mut asked = vec![];
    // Every second time somebody on another server wants something too.
    let others = sick.iter().flat_map(|key| [Some(key), None]).chain(std::iter::repeat(None));
    for (key, other) in healthy.iter().zip(others) {
        if let Some(other) = other {
            scene.patch(Kind::TenantDatabase, other, spec.clone()).await;
        }
        let began = Instant::now();
        let changed = scene.patch(Kind::TenantDatabase, key, spec.clone()).await;
        asked.push((key, changed["metadata"]["generation"].as_i64().unwrap(), began));
        sleep(PAUSE).await;
    }
    wait_until(LIMIT, "every change is applied", async || {
        let missing =
            asked.iter().filter(|(key, generation, _)| applied.at(key, *generation).is_none()).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} are not")) }
    })
    .await;
    let took = asked.iter().map(|(key, generation, began)| applied.at(key, *generation).unwrap() - *began);
    took.map(|took| took.as_secs_f64() * 1e3).collect()
}

/// Connection limits of the tenant databases on a server.
async fn limits(postgres: &Postgres) -> Vec<i32> {
    let mut admin = postgres.admin("postgres").await;
    let sql = "select datconnlimit from pg_database where datname like 't\\_%'";
    let rows = sqlx::query(sql).fetch_all(&mut admin).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// When each generation of each claim was first seen Ready.
#[derive(Clone, Default)]
struct Applied(Arc<Mutex<HashMap<(Key, i64), Instant>>>);

impl Applied {
    fn watch(client: &Client) -> Self {
        let (applied, api) = (Self::default(), Api::<TenantDatabase>::all(client.clone()));
        let seen = applied.clone();
        tokio::spawn(async move {
            let mut events = watcher(api, watcher::Config::default()).applied_objects().boxed();
            while let Some(claim) = events.try_next().await.unwrap() {
                seen.note(&claim);
            }
        });
        applied
    }

    fn note(&self, claim: &TenantDatabase) {
        let ready = claim.status.as_ref().and_then(|status| find(&status.conditions, READY));
        let Some(ready) = ready.filter(|ready| ready.status == "True") else { return };
        let key = Key::namespaced(&claim.namespace().unwrap(), &claim.name_any());
        let generation = ready.observed_generation.unwrap_or_default();
        self.0.lock().unwrap().entry((key, generation)).or_insert_with(Instant::now);
    }

    fn at(&self, key: &Key, generation: i64) -> Option<Instant> {
        self.0.lock().unwrap().get(&(key.clone(), generation)).copied()
    }
}
