//! What people do while the world stops: a stage is prepared, one change is made, and the operator makes it so.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use tenantry::controller::object::{Key, Kind};

use crate::controller::claims::{binding, phase, server_database, session};
use crate::controller::scene::{A_MINUTE, condition};
use crate::controller::shop;
use crate::controller::site::{Site, Stage};
use crate::controller::{archiving, dropping};
use crate::support::wait_until;

/// A claim that no blueprint asks for.
const EXTRA: &str = "extra";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// A tenant is created, with two databases and three services.
    Create,
    /// Its plan and its blueprint change: limits of every database and of the namespace, a service's environment.
    Change,
    /// It is suspended.
    Suspend,
    /// A claim is made for a database that an admin gives it.
    Adopt,
    /// A claim is deleted: its database is released.
    Release,
    /// A claim is made again: its database is bound again.
    Return,
    /// A credential is rotated: the pods roll, then the earlier login is refused.
    Rotate,
    /// A released database is purged: it is a tombstone.
    Purge,
    /// The same where archives are kept: it is archived too.
    Archive,
    /// A tombstone comes back as the released database that it was.
    Undelete,
    /// The grace of an archived tombstone ends: it is dropped.
    Drop,
    /// The whole tenant is deleted: its databases are released, everything else goes.
    Delete,
}

impl Scenario {
    pub const ALL: [Self; 12] = [
        Self::Create,
        Self::Change,
        Self::Suspend,
        Self::Adopt,
        Self::Release,
        Self::Return,
        Self::Rotate,
        Self::Purge,
        Self::Archive,
        Self::Undelete,
        Self::Drop,
        Self::Delete,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Suspend => "suspend",
            Self::Adopt => "adopt",
            Self::Release => "release",
            Self::Return => "return",
            Self::Rotate => "rotate",
            Self::Purge => "purge",
            Self::Archive => "archive",
            Self::Undelete => "undelete",
            Self::Drop => "drop",
            Self::Delete => "delete",
        }
    }

    /// Everything before the change, with an operator at work.
    pub async fn prepare(self, site: &Site) -> Stage<'_> {
        if self == Self::Create {
            return shop::furnish(site).await;
        }
        let scene = shop::open(site).await;
        archiving::keep(&scene, self == Self::Archive).await;
        match self {
            Self::Create | Self::Change | Self::Suspend | Self::Delete => {}
            Self::Adopt => legacy(&scene).await,
            Self::Release => drop(extra(&scene).await),
            Self::Return | Self::Purge | Self::Archive => drop(released(&scene).await),
            Self::Undelete | Self::Drop => {
                let database = released(&scene).await;
                dropping::purge(&scene, &database).await;
                if self == Self::Drop {
                    dropping::archive(&scene, &database).await;
                }
            }
            Self::Rotate => {
                extra(&scene).await;
                let service = scene.inside("acme", EXTRA);
                let spec = json!({"image": "app.test/extra:1", "databases": [{"name": EXTRA}]});
                scene.create(Kind::Microservice, &service, spec).await;
                scene.ready(Kind::Microservice, &service).await;
            }
        }
        scene
    }

    /// The change.
    pub async fn act(self, scene: &Stage<'_>) {
        let acme = scene.cluster("acme");
        match self {
            Self::Create => drop(scene.create(Kind::Tenant, &acme, shop::tenant(scene)).await),
            Self::Change => {
                let limits = json!({"spec": {"limits": {"connections": 7}, "quota": {"pods": 30}}});
                scene.patch(Kind::Plan, &scene.cluster("small"), limits).await;
                let mut blueprint = shop::blueprint();
                blueprint["services"][2]["spec"]["env"][0]["value"] = json!("changed");
                scene.patch(Kind::Blueprint, &scene.cluster("shop"), json!({"spec": blueprint})).await;
            }
            Self::Suspend => {
                scene.patch(Kind::Tenant, &acme, json!({"spec": {"state": "Suspended"}})).await;
            }
            Self::Release => drop(scene.delete(Kind::TenantDatabase, &scene.inside("acme", EXTRA)).await),
            Self::Return | Self::Adopt => {
                scene.create(Kind::TenantDatabase, &scene.inside("acme", EXTRA), json!({})).await;
            }
            Self::Rotate => {
                let rotate = json!({"metadata": {"annotations": {"rotate.tenantry.dev/app": "now"}}});
                scene.patch(Kind::TenantDatabase, &scene.inside("acme", EXTRA), rotate).await;
            }
            Self::Purge | Self::Archive => purge(scene, &database(scene).await).await,
            Self::Undelete => {
                let kept = json!({"spec": {"purge": null}});
                scene.patch(Kind::ServerDatabase, &database(scene).await, kept).await;
            }
            Self::Drop => dropping::time_passes(scene, &database(scene).await).await,
            Self::Delete => drop(scene.delete(Kind::Tenant, &acme).await),
        }
    }

    /// Waits until the change has been made, as people would look for it.
    pub async fn done(self, scene: &Stage<'_>) {
        let acme = scene.cluster("acme");
        match self {
            Self::Create | Self::Suspend => drop(scene.ready(Kind::Tenant, &acme).await),
            Self::Change => changed(scene).await,
            Self::Release | Self::Undelete => phase(scene, &database(scene).await, "Released").await,
            Self::Drop => {
                wait_until(A_MINUTE, "the database's object is gone", async || {
                    find_database(scene).await.map_or(Ok(()), |key| Err(key.to_string()))
                })
                .await;
            }
            Self::Purge => phase(scene, &database(scene).await, "Tombstoned").await,
            Self::Archive => drop(archiving::archived(scene, &database(scene).await).await),
            Self::Rotate => rotated(scene).await,
            Self::Return | Self::Adopt => {
                scene.ready(Kind::TenantDatabase, &scene.inside("acme", EXTRA)).await;
            }
            Self::Delete => scene.gone(Kind::Tenant, &acme).await,
        }
    }
}

/// The claim and its database, whose credential's earlier login works for a moment.
async fn extra(scene: &Stage<'_>) -> Key {
    let extra = scene.inside("acme", EXTRA);
    let credentials = json!([{"name": "app", "rotation": {"gracePeriod": "1s"}}]);
    scene.create(Kind::TenantDatabase, &extra, json!({"credentials": credentials})).await;
    scene.ready(Kind::TenantDatabase, &extra).await;
    let database = server_database(scene, EXTRA).await;
    scene.ready(Kind::ServerDatabase, &database).await;
    database
}

/// A database that somebody else made, and the object that gives it to the claim, which there is not yet.
async fn legacy(scene: &Stage<'_>) {
    let name = format!("legacy-{}", scene.prefix.as_str());
    let mut admin = scene.site.postgres.admin("postgres").await;
    admin.execute(AssertSqlSafe(format!("create database \"{name}\""))).await.unwrap();
    let spec = json!({
        "serverRef": {"name": scene.site.server}, "physicalName": name, "management": "Adopt",
        "claimRef": {"namespace": scene.namespace("acme"), "name": EXTRA},
    });
    let object = scene.cluster("legacy");
    scene.create(Kind::ServerDatabase, &object, spec).await;
    scene.refused(Kind::ServerDatabase, &object, "WaitingForClaim").await;
}

/// The claim's database after the claim is gone.
async fn released(scene: &Stage<'_>) -> Key {
    let database = extra(scene).await;
    scene.delete(Kind::TenantDatabase, &scene.inside("acme", EXTRA)).await;
    phase(scene, &database, "Released").await;
    database
}

/// The database's object, by the claim that it names.
async fn database(scene: &Stage<'_>) -> Key {
    find_database(scene).await.unwrap()
}

/// The same, if there is one.
async fn find_database(scene: &Stage<'_>) -> Option<Key> {
    let namespace = scene.namespace("acme");
    let claims = |database: &&Value| {
        let claim = &database["spec"]["claimRef"];
        claim["name"] == EXTRA && claim["namespace"] == namespace.as_str()
    };
    let all = scene.all(Kind::ServerDatabase).await;
    all.iter().find(claims).map(|it| Key::cluster(it["metadata"]["name"].as_str().unwrap()))
}

async fn purge(scene: &Stage<'_>, database: &Key) {
    let object = scene.get(Kind::ServerDatabase, database).await.unwrap();
    let generation = object["status"]["generation"].clone();
    scene.patch(Kind::ServerDatabase, database, json!({"spec": {"purge": {"generation": generation}}})).await;
}

/// Waits until service and databases are as plan and blueprint say by now: a tenant that is Ready may not know yet.
async fn changed(scene: &Stage<'_>) {
    let orders = scene.inside("acme", "orders");
    scene
        .until(Kind::Deployment, &orders, "has the blueprint's environment", |deployment| {
            let container = &deployment["spec"]["template"]["spec"]["containers"][0];
            let mut env = container["env"].as_array()?.iter();
            env.any(|it| it["name"] == "MODE" && it["value"] == "changed").then_some(())
        })
        .await;
    scene.ready(Kind::Microservice, &orders).await;
    for claim in ["orders", "users"] {
        let database = binding(scene, &format!("{claim}-app")).await.remove("database").unwrap();
        let mut admin = scene.site.postgres.admin("postgres").await;
        wait_until(A_MINUTE, "the database lets in as many as the plan says", async || {
            let limit = sqlx::query_scalar("select datconnlimit from pg_database where datname = $1");
            let limit: i32 = limit.bind(&database).fetch_one(&mut admin).await.unwrap();
            if limit == 7 { Ok(()) } else { Err(limit.to_string()) }
        })
        .await;
        scene.ready(Kind::TenantDatabase, &scene.inside("acme", claim)).await;
    }
    scene.ready(Kind::Tenant, &scene.cluster("acme")).await;
}

/// Waits until the binding names the second login and the first one is refused.
async fn rotated(scene: &Stage<'_>) {
    let secret = wait_until(A_MINUTE, "the binding names the second login", async || {
        let bound = binding(scene, "extra-app").await;
        if bound["username"].ends_with("_b") { Ok(bound) } else { Err(bound["username"].clone()) }
    })
    .await;
    drop(session(scene, &secret).await.unwrap());
    scene
        .until(Kind::TenantDatabase, &scene.inside("acme", EXTRA), "rotates nothing", |claim| {
            condition(claim, "Rotating").is_none().then_some(())
        })
        .await;
    scene.ready(Kind::Microservice, &scene.inside("acme", EXTRA)).await;
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scenario| scenario.name() == text);
        known.ok_or_else(|| format!("{text:?} is no scenario"))
    }
}
