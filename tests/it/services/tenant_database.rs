//! A database as a tenant's service gets it: an operator-owned database, a group role that may create, and a login
//! that is not the group role but becomes it.

use std::fs;
use std::path::{Path, PathBuf};

use rand::distr::{Alphanumeric, SampleString};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

use crate::support::Postgres;

/// A database with one login, and the binding directory that a pod would see.
pub struct TenantDatabase {
    pub postgres: Postgres,
    pub name: String,
    pub password: String,
    root: TempDir,
}

impl TenantDatabase {
    /// Creates it on the server that all tests share.
    pub async fn shared() -> Self {
        Self::on(Postgres::shared()).await
    }

    /// Creates it on `postgres`, laid out as DESIGN.md says ("Database on a server").
    pub async fn on(postgres: Postgres) -> Self {
        let name = format!("t_{}_main", random(10).to_ascii_lowercase());
        let this = Self { postgres, name, password: random(24), root: tempfile::tempdir().unwrap() };
        let (name, owner, login) = (&this.name, this.owner(), this.login());
        let mut admin = this.postgres.admin("postgres").await;
        for statement in [
            format!("CREATE DATABASE {name}"),
            format!("CREATE ROLE {owner} NOLOGIN"),
            format!("CREATE ROLE {login} LOGIN NOINHERIT PASSWORD '{}' IN ROLE {owner}", this.password),
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
            format!("GRANT CONNECT, TEMP, CREATE ON DATABASE {name} TO {owner}"),
            format!("GRANT CONNECT ON DATABASE {name} TO {login}"),
            format!("ALTER ROLE {login} IN DATABASE {name} SET role = '{owner}'"),
        ] {
            admin.execute(AssertSqlSafe(statement)).await.unwrap();
        }
        admin.close().await.unwrap();
        let mut inside = this.admin().await;
        inside.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC").await.unwrap();
        this.write_binding(&this.password);
        this
    }

    /// The group role that owns what is inside.
    pub fn owner(&self) -> String {
        format!("{}_owner", self.name)
    }

    /// The service's login.
    pub fn login(&self) -> String {
        format!("{}_app_a", self.name)
    }

    /// The superuser, inside the database.
    pub async fn admin(&self) -> PgConnection {
        self.postgres.admin(&self.name).await
    }

    /// What `SERVICE_BINDING_ROOT` would point to.
    pub fn bindings(&self) -> PathBuf {
        self.root.path().to_owned()
    }

    /// Gives the login another password, in the server only.
    pub async fn change_password(&self, password: &str) {
        let statement = format!("ALTER ROLE {} PASSWORD '{password}'", self.login());
        self.admin().await.execute(AssertSqlSafe(statement)).await.unwrap();
    }

    /// Writes the binding with that password.
    pub fn write_binding(&self, password: &str) {
        let access = self.postgres.access();
        let keys = [
            ("type", "postgresql".to_owned()),
            ("provider", "tenantry".to_owned()),
            ("host", access.host.clone()),
            ("port", access.port.to_string()),
            ("database", self.name.clone()),
            ("username", self.login()),
            ("password", password.to_owned()),
            ("ca.crt", self.postgres.ca()),
        ];
        let directory = self.root.path().join("main");
        fs::create_dir_all(&directory).unwrap();
        for (key, value) in keys {
            replace(&directory.join(key), &value);
        }
    }

    /// Has the binding trust another CA than the server's.
    pub fn write_ca(&self, pem: &str) {
        replace(&self.root.path().join("main/ca.crt"), pem);
    }
}

/// Writes a file so that a reader sees the old or the new text, never half of one.
fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, path).unwrap();
}

fn random(length: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), length)
}
