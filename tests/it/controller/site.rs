//! Where a test takes place: a control plane with a PostgreSQL that only it has.

use std::ops::Deref;

use super::scene::Scene;
use crate::support::postgres::Version;
use crate::support::{ControlPlane, Operator, Postgres, WholeState};

/// A control plane and its PostgreSQL, which is registered there as the DatabaseServer [`Site::server`].
pub struct Site {
    plane: Plane,
    pub postgres: Postgres,
    /// Name of the DatabaseServer.
    pub server: String,
}

enum Plane {
    Shared(&'static ControlPlane),
    Own(ControlPlane),
}

impl Site {
    /// The one of the run's shared operator, which runs.
    pub async fn shared() -> Self {
        let plane = ControlPlane::shared().await;
        Operator::shared().await;
        Self::at(Plane::Shared(plane), Postgres::operated()).await
    }

    /// One of the test's own, without an operator.
    pub async fn own() -> Self {
        Self::of(ControlPlane::own().await, Postgres::own()).await
    }

    /// One of the test's own, with that server.
    pub async fn of(plane: ControlPlane, postgres: Postgres) -> Self {
        Self::at(Plane::Own(plane), postgres).await
    }

    /// The same with that version of PostgreSQL.
    pub async fn own_of(version: Version) -> Self {
        Self::at(Plane::Own(ControlPlane::own().await), Postgres::own_of(version)).await
    }

    async fn at(plane: Plane, postgres: Postgres) -> Self {
        // A control plane may outlive its first server: the port tells a later one from it.
        let server = format!("pg-{}", postgres.access().port);
        let site = Self { plane, postgres, server };
        site.postgres.register(&site.client().await, &site.server).await;
        site
    }
}

impl Deref for Site {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        match &self.plane {
            Plane::Shared(plane) => plane,
            Plane::Own(plane) => plane,
        }
    }
}

/// A scene at a site.
pub struct Stage<'a> {
    pub site: &'a Site,
    scene: Scene<'a>,
}

impl<'a> Stage<'a> {
    pub async fn new(site: &'a Site) -> Self {
        Self { site, scene: Scene::new(site).await }
    }

    /// The whole state of the test's objects and databases.
    pub async fn state(&self) -> WholeState {
        self.scene.state(&self.site.postgres).await
    }

    /// Waits until the whole state of the test's objects and databases is `expected` again.
    pub async fn returns_to(&self, expected: &WholeState) {
        self.scene.returns_to(&self.site.postgres, expected).await;
    }
}

impl<'a> Deref for Stage<'a> {
    type Target = Scene<'a>;

    fn deref(&self) -> &Scene<'a> {
        &self.scene
    }
}
