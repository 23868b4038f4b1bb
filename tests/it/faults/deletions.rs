//! People delete things in any order, while the operator dies and the database server comes and goes: nothing is stuck and
//! nothing is lost.
//!
//! A trial is a tenant with a row in each of its databases, and a few deletions in a random order. Ten trials share an
//! operator, which is killed or ended between the deletions, a server, which is stopped and started, the definitions of our
//! kinds, which are deleted with every object of the kind and installed again, and an etcd, which is put back to where it was
//! before the first of them. In the end everything that was deleted is gone or made again, everything else is Ready or says
//! what it waits for, and every row is still there. `make test` draws ten trials, `make test-faults` a thousand.

use futures::future::join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, Row};
use tenantry::api::labels;
use tenantry::controller::object::{Key, Kind};

use super::wanted::Share;
use crate::controller::claims::{binding, phase, write_row};
use crate::controller::scene::{A_MINUTE, condition};
use crate::controller::shop;
use crate::controller::site::{Site, Stage};
use crate::support::{Operator, wait_until};

/// How many trials there are at once.
const AT_ONCE: usize = 10;
/// How many share a control plane and a server: what they leave behind slows down those that follow.
const SHIFT: usize = 50;
/// The claims of a trial: one that the blueprint asks for, and one of the tenant's own.
const CLAIMS: [&str; 2] = ["orders", "extra"];

/// A deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Claim(&'static str),
    Binding(&'static str),
    /// The object of a database.
    Database(&'static str),
    Service,
    Deployment,
    Plan,
    Blueprint,
    Namespace,
    Tenant,
    /// The DatabaseServer, which is in use: that is refused.
    Server,
}

impl Blow {
    const ALL: [Self; 13] = [
        Self::Claim("orders"),
        Self::Claim("extra"),
        Self::Binding("orders-app"),
        Self::Binding("extra-app"),
        Self::Database("orders"),
        Self::Database("extra"),
        Self::Service,
        Self::Deployment,
        Self::Plan,
        Self::Blueprint,
        Self::Namespace,
        Self::Tenant,
        Self::Server,
    ];
}

/// A tenant and what becomes of it.
struct Trial<'a> {
    scene: Stage<'a>,
    /// What it deletes.
    blows: Vec<Blow>,
    /// What was deleted, by itself or with its definition, and was not undone by a backup.
    struck: Vec<Blow>,
    /// Names of its databases.
    databases: Vec<String>,
}

impl<'a> Trial<'a> {
    async fn prepare(site: &'a Site, blows: Vec<Blow>) -> Self {
        let scene = Stage::new(site).await;
        let service = json!({"image": "app.test/web:1", "databases": [{"name": "orders"}]});
        let blueprint =
            json!({"databases": [{"name": "orders"}], "services": [{"name": "web", "spec": service}]});
        scene.create(Kind::Plan, &scene.cluster("small"), shop::plan(&scene)).await;
        scene.create(Kind::Blueprint, &scene.cluster("shop"), blueprint).await;
        scene.create(Kind::Tenant, &scene.cluster("acme"), shop::tenant(&scene)).await;
        scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
        let extra = scene.inside("acme", "extra");
        scene.create(Kind::TenantDatabase, &extra, json!({})).await;
        scene.ready(Kind::TenantDatabase, &extra).await;
        let mut databases = vec![];
        for claim in CLAIMS {
            let secret = format!("{claim}-app");
            write_row(&scene, &secret, claim).await;
            databases.push(binding(&scene, &secret).await.remove("database").unwrap());
        }
        Self { scene, blows, struck: vec![], databases }
    }

    /// Deletes what comes next, if it is still there.
    async fn strike(&mut self, round: usize) {
        let Some(blow) = self.blows.get(round).copied() else { return };
        let (scene, inside) = (&self.scene, |name: &str| self.scene.inside("acme", name));
        let object = |claim: &str| {
            let at = CLAIMS.iter().position(|it| *it == claim).unwrap();
            object_of(&self.databases[at])
        };
        let there = match blow {
            Blow::Claim(name) => scene.delete(Kind::TenantDatabase, &inside(name)).await,
            Blow::Binding(name) => scene.delete(Kind::Secret, &inside(name)).await,
            Blow::Database(claim) => scene.delete(Kind::ServerDatabase, &object(claim)).await,
            Blow::Service => scene.delete(Kind::Microservice, &inside("web")).await,
            Blow::Deployment => scene.delete(Kind::Deployment, &inside("web")).await,
            Blow::Plan => scene.delete(Kind::Plan, &scene.cluster("small")).await,
            Blow::Blueprint => scene.delete(Kind::Blueprint, &scene.cluster("shop")).await,
            Blow::Namespace => scene.delete(Kind::Namespace, &Key::cluster(&scene.namespace("acme"))).await,
            Blow::Tenant => scene.delete(Kind::Tenant, &scene.cluster("acme")).await,
            Blow::Server => {
                let server = Key::cluster(&scene.site.server);
                scene.try_delete(Kind::DatabaseServer, &server).await.unwrap_err();
                true
            }
        };
        assert!(there || blow != Blow::Tenant || self.struck.contains(&blow), "there was no tenant");
        self.struck.push(blow);
    }

    /// Waits until what had to go is gone and nothing else is undone without a word, and looks for the rows.
    async fn ends(&self) {
        let (scene, tenant) = (&self.scene, self.scene.cluster("acme"));
        if self.struck.contains(&Blow::Tenant) {
            scene.gone(Kind::Tenant, &tenant).await;
        } else if self.struck.contains(&Blow::Plan) {
            scene.refused(Kind::Tenant, &tenant, "PlanNotFound").await;
        } else if self.struck.contains(&Blow::Blueprint) {
            scene.refused(Kind::Tenant, &tenant, "BlueprintNotFound").await;
        } else {
            self.whole().await;
            if self.struck.contains(&Blow::Claim("extra")) {
                self.is_released(1).await;
            }
        }
        self.settles().await;
        self.has_its_rows().await;

        // Whatever is missing, its tenant can be deleted, and loses nothing by that either.
        if !self.struck.contains(&Blow::Tenant) {
            scene.delete(Kind::Tenant, &tenant).await;
            scene.gone(Kind::Tenant, &tenant).await;
        }
        scene.gone(Kind::Namespace, &Key::cluster(&scene.namespace("acme"))).await;
        for at in 0..self.databases.len() {
            self.is_released(at).await;
        }
        self.settles().await;
        self.has_its_rows().await;
    }

    async fn is_released(&self, at: usize) {
        phase(&self.scene, &object_of(&self.databases[at]), "Released").await;
    }

    /// A tenant that lives and has its plan and blueprint gets everything back that they ask for.
    async fn whole(&self) {
        wait_until(A_MINUTE, "the tenant and what it asks for are Ready", async || {
            let mut wrong = vec![];
            let inside = |name| self.scene.inside("acme", name);
            for (kind, key) in [
                (Kind::TenantDatabase, inside("orders")),
                (Kind::Microservice, inside("web")),
                (Kind::Tenant, self.scene.cluster("acme")),
            ] {
                let object = self.scene.get(kind, &key).await.unwrap_or_default();
                let ready = condition(&object, "Ready").filter(|ready| ready["status"] == "True");
                if ready.is_none() || !object["metadata"]["deletionTimestamp"].is_null() {
                    wrong.push(format!("{kind} {key}: {object}"));
                }
            }
            if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
        })
        .await;
    }

    /// Waits until none of its objects is being deleted, and each is Ready or says why not.
    async fn settles(&self) {
        wait_until(A_MINUTE, "nothing is stuck", async || {
            let mut wrong = vec![];
            for kind in Kind::OWN {
                for object in self.scene.all(kind).await {
                    if object.to_string().contains(self.scene.prefix.as_str()) && !is_settled(&object) {
                        wrong.push(object.to_string());
                    }
                }
            }
            if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
        })
        .await;
    }

    async fn has_its_rows(&self) {
        for (claim, database) in CLAIMS.iter().zip(&self.databases) {
            let mut admin = self.scene.site.postgres.admin(database).await;
            let rows = admin.fetch_all("select text from kept").await.unwrap();
            let rows: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
            assert_eq!(rows, [*claim], "{database}");
            admin.close().await.unwrap();
        }
    }
}

/// The object of a database.
fn object_of(database: &str) -> Key {
    Key::cluster(&database.replace('_', "-"))
}

fn is_settled(object: &Value) -> bool {
    let says = |ready: &Value| ready["message"].as_str().is_some_and(|message| !message.is_empty());
    let ready = condition(object, "Ready");
    object["metadata"]["deletionTimestamp"].is_null()
        && ready.is_some_and(|ready| ready["status"] == "True" || says(ready))
}

/// What a trial deletes, in which order.
fn draw(random: &mut StdRng) -> Vec<Blow> {
    let mut blows = Blow::ALL.to_vec();
    blows.shuffle(random);
    blows.truncate(random.random_range(2..=6));
    blows
}

/// What comes between two deletions, beside nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The operator dies.
    Kill,
    /// The operator ends as it is told to.
    Stop,
    /// The server is down from here on.
    Down,
    /// It is up again.
    Up,
    /// An earlier backup of etcd is restored.
    Restore,
    /// The definition of a kind is deleted, and installed again.
    Definition,
    Nothing,
}

impl Turn {
    const ALL: [Self; 7] =
        [Self::Kill, Self::Stop, Self::Down, Self::Up, Self::Restore, Self::Definition, Self::Nothing];
}

/// Definitions that are deleted. That of the servers goes only with the servers, which stay as long as databases are on them.
const DEFINITIONS: [(&str, Option<Blow>); 6] = [
    ("plans", Some(Blow::Plan)),
    ("blueprints", Some(Blow::Blueprint)),
    ("tenants", Some(Blow::Tenant)),
    // Those of a blueprint are made again by whoever made them, as are those of the other kinds.
    ("tenantdatabases", Some(Blow::Claim("extra"))),
    ("serverdatabases", None),
    ("microservices", None),
];

/// Deletes the definition of a kind, with every object of the kind, and installs it again.
async fn undefine(site: &Site, plural: &str) {
    let crds: Api<CustomResourceDefinition> = Api::all(site.client().await);
    let name = format!("{plural}.{}", tenantry::api::GROUP);
    crds.delete(&name, &DeleteParams::default()).await.unwrap_err();
    let allowed = Patch::Merge(json!({"metadata": {"annotations": {labels::ALLOW_DELETE: "true"}}}));
    crds.patch(&name, &PatchParams::default(), &allowed).await.unwrap();
    crds.delete(&name, &DeleteParams::default()).await.unwrap();
    wait_until(A_MINUTE, &format!("{name} is gone"), async || {
        let left = crds.get_opt(&name).await.unwrap();
        left.map_or(Ok(()), |left| Err(format!("{:?}", left.status)))
    })
    .await;
    site.install().await;
}

/// Trials at once.
async fn run(site: &Site, random: &mut StdRng, count: usize) {
    let mut operator = Operator::start(site).await;
    let drawn: Vec<Vec<Blow>> = (0..count).map(|_| draw(random)).collect();
    let mut trials: Vec<Trial<'_>> =
        join_all(drawn.into_iter().map(|blows| Trial::prepare(site, blows))).await;
    let rounds = trials.iter().map(|trial| trial.blows.len()).max().unwrap_or_default();
    let turns: Vec<Turn> = (0..rounds).map(|_| *Turn::ALL.choose(random).unwrap()).collect();
    let backup = turns.contains(&Turn::Restore).then(|| site.back_up());
    let mut down = false;
    for (round, turn) in turns.into_iter().enumerate() {
        join_all(trials.iter_mut().map(|trial| trial.strike(round))).await;
        match turn {
            Turn::Kill => {
                operator.kill().await;
                operator = Operator::start(site).await;
            }
            Turn::Stop => {
                operator.stop().await;
                operator = Operator::start(site).await;
            }
            Turn::Restore => {
                operator.kill().await;
                site.restore(backup.as_ref().unwrap());
                for trial in &mut trials {
                    trial.struck.clear();
                }
                operator = Operator::start(site).await;
            }
            Turn::Definition => {
                let (plural, blow) = *DEFINITIONS.choose(random).unwrap();
                undefine(site, plural).await;
                for trial in &mut trials {
                    trial.struck.extend(blow);
                }
            }
            Turn::Down if !down => {
                site.postgres.stop();
                down = true;
            }
            Turn::Up if down => {
                site.postgres.start();
                down = false;
            }
            Turn::Down | Turn::Up | Turn::Nothing => {}
        }
    }
    if down {
        site.postgres.start();
    }
    join_all(trials.iter().map(Trial::ends)).await;
    operator.stop().await;
}

#[tokio::test]
async fn whatever_is_deleted_in_whatever_order_nothing_is_stuck_and_nothing_is_lost() {
    let share = Share::of("deletions");
    share.say("deletions in a random order");
    let mut random = StdRng::seed_from_u64(share.seed);
    let (all, mut done) = (share.of_all(1000), 0);
    while done < all {
        let site = Site::own().await;
        let until = all.min(done + SHIFT);
        while done < until {
            let count = AT_ONCE.min(until - done);
            run(&site, &mut random, count).await;
            done += count;
        }
        share.say(&format!("{done} of {all} trials of deletions, none stuck, none lost"));
    }
}
