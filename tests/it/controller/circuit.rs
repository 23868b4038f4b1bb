//! The circuit of a database server: who does not answer costs nobody else anything, is asked seldom, is not given up
//! after one silence, and is used again as soon as it answers or is corrected.

use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tenantry::api::labels::SERVERS_NAMESPACE;
use tenantry::controller::object::{Key, Kind};

use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use crate::support::{Operator, Postgres, Relay, Relaying, wait_until};

/// Who waited for one of the others would wait longer than this: a silence takes five seconds, and three open a circuit.
const APPLIED: Duration = Duration::from_secs(10);

/// A tenant whose plan admits any server, and a server besides the site's.
async fn furnish<'a>(site: &'a Site, others: &[(&str, &Postgres)]) -> Stage<'a> {
    let scene = shop::open(site).await;
    scene.patch(Kind::Plan, &scene.cluster("small"), json!({"spec": {"serverSelector": null}})).await;
    for (name, postgres) in others {
        postgres.register(&scene.client, &scene.name(name)).await;
        scene.ready(Kind::DatabaseServer, &scene.cluster(name)).await;
    }
    scene
}

/// Claims on a server of the test, each of them Ready.
async fn claims(scene: &Stage<'_>, server: &str, count: usize) -> Vec<Key> {
    let keys: Vec<Key> = (0..count).map(|index| scene.inside("acme", &format!("{server}{index}"))).collect();
    for key in &keys {
        let spec = json!({"serverRef": {"name": scene.name(server)}});
        scene.create(Kind::TenantDatabase, key, spec).await;
    }
    for key in &keys {
        scene.ready(Kind::TenantDatabase, key).await;
    }
    shop::in_use(scene, &scene.name(server)).await;
    keys
}

/// Changes the spec of each claim, so that somebody asks its server for something.
async fn touch(scene: &Stage<'_>, claims: &[Key], connections: u32) {
    for key in claims {
        let spec = json!({"spec": {"limits": {"connections": connections}}});
        scene.patch(Kind::TenantDatabase, key, spec).await;
    }
}

/// Waits until the server's circuit is in that state.
async fn circuit(scene: &Stage<'_>, server: &Key, state: &str) {
    scene
        .until(Kind::DatabaseServer, server, &format!("has its circuit {state}"), |server| {
            (server["status"]["circuit"] == state).then_some(())
        })
        .await;
}

/// Waits until each claim says that its server cannot be reached.
async fn parked(scene: &Stage<'_>, claims: &[Key]) {
    for key in claims {
        scene
            .until(Kind::TenantDatabase, key, "is parked", |claim| {
                let reachable = condition(claim, "ServerReachable")?;
                let ready = condition(claim, "Ready")?;
                (reachable["status"] == "False" && ready["reason"] == "ServerUnreachable").then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn claims_on_a_healthy_server_do_not_notice_that_one_is_down_and_one_hangs() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let (down, hung) = (Postgres::own(), Postgres::own());
    let scene = furnish(&site, &[("down", &down), ("hung", &hung)]).await;
    let servers = [scene.cluster("down"), scene.cluster("hung")];
    let (on_down, on_hung) = (claims(&scene, "down", 2).await, claims(&scene, "hung", 20).await);

    down.stop();
    hung.pause();
    // More turns than there are workers meet the silence.
    touch(&scene, &on_hung, 3).await;
    touch(&scene, &on_down, 3).await;
    let mut slowest = Duration::ZERO;
    for index in 0..5 {
        let key = scene.inside("acme", &format!("well{index}"));
        let begun = Instant::now();
        scene.create(Kind::TenantDatabase, &key, json!({"serverRef": {"name": site.server}})).await;
        scene.ready(Kind::TenantDatabase, &key).await;
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < APPLIED, "{slowest:?}");
    for server in &servers {
        circuit(&scene, server, "Open").await;
        scene.refused(Kind::DatabaseServer, server, "ServerUnreachable").await;
    }
    parked(&scene, &on_down).await;
    parked(&scene, &on_hung).await;

    down.start();
    hung.resume();
    for key in on_down.iter().chain(&on_hung) {
        let claim = scene.ready(Kind::TenantDatabase, key).await;
        assert_eq!(condition(&claim, "ServerReachable").unwrap()["status"], "True");
    }
    for server in &servers {
        circuit(&scene, server, "Closed").await;
        scene.ready(Kind::DatabaseServer, server).await;
    }
    operator.stop().await;
}

#[tokio::test]
async fn a_dead_server_is_asked_by_one_probe_now_and_then_and_at_once_when_it_is_corrected() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let second = Postgres::own();
    let relay = Relay::start(&second);
    let scene = furnish(&site, &[("far", &relay.postgres())]).await;
    let (server, far) = (scene.cluster("far"), claims(&scene, "far", 8).await);

    relay.set(Relaying::Refuse);
    let before = relay.attempts();
    touch(&scene, &far, 3).await;
    circuit(&scene, &server, "Open").await;
    let opened = Instant::now();
    // Three in a row open it, each time with as many as use a server at once.
    let asked = relay.attempts() - before;
    assert!(asked <= 3 * 5, "{asked}");
    parked(&scene, &far).await;
    for connections in 4..8 {
        touch(&scene, &far, connections).await;
    }
    let turns = operator.turns(Kind::TenantDatabase);
    touch(&scene, &far, 9).await;
    let all = turns + u64::try_from(far.len()).unwrap();
    wait_until(A_MINUTE, "every claim has had its turn", async || {
        let taken = operator.turns(Kind::TenantDatabase);
        if taken >= all { Ok(()) } else { Err(format!("{taken} of {all} turns")) }
    })
    .await;
    // Waits of at least 1, 2, 4 and 8 seconds.
    wait_until(A_MINUTE, "its third probe has failed", async || {
        let probes = relay.attempts() - before - asked;
        if probes >= 3 { Ok(()) } else { Err(format!("{probes} probes")) }
    })
    .await;
    assert!(opened.elapsed() >= Duration::from_secs(6), "{:?}", opened.elapsed());

    // It would be asked again in eight seconds at the earliest.
    relay.set(Relaying::Forward);
    let corrected = Instant::now();
    let secrets: Api<Secret> = Api::namespaced(scene.client.clone(), SERVERS_NAMESPACE);
    let authority = ("ca.crt".to_owned(), ByteString(format!("{}\n", second.ca()).into_bytes()));
    let data = Secret { data: Some([authority].into()), ..Secret::default() };
    secrets.patch(&server.name, &PatchParams::default(), &Patch::Merge(&data)).await.unwrap();
    scene.ready(Kind::DatabaseServer, &server).await;
    circuit(&scene, &server, "Closed").await;
    assert!(corrected.elapsed() < Duration::from_secs(6), "{:?}", corrected.elapsed());
    for key in &far {
        scene.ready(Kind::TenantDatabase, key).await;
    }
    operator.stop().await;
}

#[tokio::test]
async fn a_new_leader_tells_nobody_of_one_silence_at_its_first_look() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let second = Postgres::own();
    let relay = Relay::start(&second);
    let scene = furnish(&site, &[("far", &relay.postgres())]).await;
    let (server, far) = (scene.cluster("far"), claims(&scene, "far", 2).await);
    operator.stop().await;

    let seen = async || {
        let mut all: Vec<Value> = vec![scene.get(Kind::DatabaseServer, &server).await.unwrap()];
        for key in &far {
            all.push(scene.get(Kind::TenantDatabase, key).await.unwrap());
        }
        all
    };
    let (before, attempts) = (seen().await, relay.attempts());
    relay.set(Relaying::Silence(1));
    let operator = Operator::start(&site).await;
    // The silence, the look after it, and the claims that it wakes.
    wait_until(A_MINUTE, "the server was looked at again", async || {
        let made = relay.attempts() - attempts;
        if made >= 3 { Ok(()) } else { Err(format!("{made} connections")) }
    })
    .await;
    operator.took_turns(&[(Kind::TenantDatabase, 4)]).await;
    assert_eq!(seen().await, before);
    operator.stop().await;
}
