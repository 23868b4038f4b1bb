//! What people do while the world stops: a stage is prepared, one change is made, and the operator makes it so.

use std::fmt;
use std::str::FromStr;

use serde_json::json;
use tenantry::controller::object::{Key, Kind};

use crate::controller::claims::{phase, server_database};
use crate::controller::dropping;
use crate::controller::scene::A_MINUTE;
use crate::controller::shop;
use crate::controller::site::{Site, Stage};
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
    /// A claim is deleted: its database is released.
    Release,
    /// A claim is made again: its database is bound again.
    Return,
    /// The grace of an archived tombstone ends: it is dropped.
    Drop,
    /// The whole tenant is deleted: its databases are released, everything else goes.
    Delete,
}

impl Scenario {
    pub const ALL: [Self; 7] =
        [Self::Create, Self::Change, Self::Suspend, Self::Release, Self::Return, Self::Drop, Self::Delete];

    const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Suspend => "suspend",
            Self::Release => "release",
            Self::Return => "return",
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
        if matches!(self, Self::Release | Self::Return | Self::Drop) {
            let extra = scene.inside("acme", EXTRA);
            scene.create(Kind::TenantDatabase, &extra, json!({})).await;
            scene.ready(Kind::TenantDatabase, &extra).await;
            let database = server_database(&scene, EXTRA).await;
            scene.ready(Kind::ServerDatabase, &database).await;
            if self != Self::Release {
                scene.delete(Kind::TenantDatabase, &extra).await;
                phase(&scene, &database, "Released").await;
            }
            if self == Self::Drop {
                dropping::purge(&scene, &database).await;
                dropping::archive(&scene, &database).await;
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
            Self::Return => {
                scene.create(Kind::TenantDatabase, &scene.inside("acme", EXTRA), json!({})).await;
            }
            Self::Drop => dropping::time_passes(scene, &extra(scene).await).await,
            Self::Delete => drop(scene.delete(Kind::Tenant, &acme).await),
        }
    }

    /// Waits until the change has been made, as people would look for it.
    pub async fn done(self, scene: &Stage<'_>) {
        let acme = scene.cluster("acme");
        match self {
            Self::Create | Self::Suspend | Self::Change => drop(scene.ready(Kind::Tenant, &acme).await),
            Self::Release => phase(scene, &extra(scene).await, "Released").await,
            Self::Drop => {
                wait_until(A_MINUTE, "the database's object is gone", async || {
                    find_extra(scene).await.map_or(Ok(()), |key| Err(key.to_string()))
                })
                .await;
            }
            Self::Return => {
                scene.ready(Kind::TenantDatabase, &scene.inside("acme", EXTRA)).await;
            }
            Self::Delete => scene.gone(Kind::Tenant, &acme).await,
        }
    }
}

/// The ServerDatabase of the claim that no blueprint asks for.
async fn find_extra(scene: &Stage<'_>) -> Option<Key> {
    let databases = scene.all(Kind::ServerDatabase).await;
    let extra = databases.iter().find(|it| {
        it["spec"]["claimRef"]["name"] == EXTRA
            && it["spec"]["claimRef"]["namespace"] == scene.namespace("acme")
    });
    extra.map(|it| Key::cluster(it["metadata"]["name"].as_str().unwrap()))
}

async fn extra(scene: &Stage<'_>) -> Key {
    find_extra(scene).await.unwrap()
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
