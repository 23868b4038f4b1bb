//! A tenant's database and an empty scratch database, both laid out as the operator lays them out, a login that is only a
//! member of the owner group, and a store.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use rand::distr::{Alphanumeric, SampleString};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;
use tenantry::api::archive::{Failed, Outcome, Report, Verified};
use tenantry::services::archive::{Access, Archive, ArchiveConfig, ObjectName, Store, parse_store, run};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::Postgres;
use crate::support::postgres::Version;
use crate::support::s3::{self, Bucket};

/// What archives are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Folder,
    Bucket,
}

pub struct Scene {
    pub postgres: Postgres,
    /// The tenant's database, which is a tombstone by now: its groups have the name that it had.
    pub database: String,
    /// That name.
    name: String,
    /// The database that is restored into.
    pub scratch: String,
    pub login: String,
    /// The login that restores.
    pub restorer: String,
    pub password: String,
    pub folder: TempDir,
    /// What archives are kept in, if that is not a folder.
    pub bucket: Option<Bucket>,
}

impl Scene {
    pub async fn new(version: Version) -> Self {
        Self::keeping(Kept::Folder, version).await
    }

    pub async fn keeping(kept: Kept, version: Version) -> Self {
        let id = Alphanumeric.sample_string(&mut rand::rng(), 10).to_ascii_lowercase();
        let scene = Self {
            postgres: Postgres::shared_of(version),
            database: format!("tombstone_t_{id}_app"),
            name: format!("t_{id}_app"),
            scratch: format!("t_{id}_scratch"),
            login: format!("t_{id}_app_archive"),
            restorer: format!("t_{id}_app_restore"),
            // What a password file and a shell would trip over.
            password: r#"a:b\c'd"e$f"#.to_owned(),
            folder: tempfile::tempdir().unwrap(),
            bucket: (kept == Kept::Bucket).then(Bucket::new),
        };
        let mut admin = scene.postgres.admin("postgres").await;
        for role in ["owner", "rw", "ro"] {
            let create = format!("CREATE ROLE {} NOLOGIN", scene.role(role));
            admin.execute(AssertSqlSafe(create)).await.unwrap();
        }
        for login in [&scene.login, &scene.restorer] {
            let login = format!(
                "CREATE ROLE {login} LOGIN NOINHERIT PASSWORD '{}' IN ROLE {}",
                scene.password.replace('\'', "''"),
                scene.role("owner")
            );
            admin.execute(AssertSqlSafe(login)).await.unwrap();
        }
        admin.close().await.unwrap();
        for database in [&scene.database, &scene.scratch] {
            scene.prepare(database).await;
        }
        scene.write_binding();
        for folder in ["store", "tools", "access"] {
            fs::create_dir(scene.folder.path().join(folder)).unwrap();
        }
        if let Some(bucket) = &scene.bucket {
            for (file, text) in [
                ("accessKeyId", s3::ACCESS_KEY_ID),
                // As whoever makes a Secret out of a file has it.
                ("secretAccessKey", &format!("{}\n", s3::SECRET_ACCESS_KEY)),
                ("ca.crt", &bucket.ca),
            ] {
                fs::write(scene.access(file), text).unwrap();
            }
        }
        scene
    }

    /// The group role with that last word.
    pub fn role(&self, word: &str) -> String {
        format!("{}_{word}", self.name)
    }

    /// Makes a database as the operator does: src/controller/database/plan.rs, tests/it/database_plan/new.sql.
    async fn prepare(&self, database: &str) {
        let (owner, rw, ro) = (self.role("owner"), self.role("rw"), self.role("ro"));
        let mut admin = self.postgres.admin("postgres").await;
        let login = if database == self.scratch { &self.restorer } else { &self.login };
        for statement in [
            format!("CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8'"),
            format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
            format!("GRANT CONNECT ON DATABASE {database} TO {login}"),
            format!("GRANT CONNECT, TEMP, CREATE ON DATABASE {database} TO {owner}"),
        ] {
            admin.execute(AssertSqlSafe(statement)).await.unwrap();
        }
        admin.close().await.unwrap();
        let inside = format!(
            "CREATE EXTENSION hstore;
            REVOKE ALL ON SCHEMA public FROM PUBLIC;
            GRANT ALL ON SCHEMA public TO {owner};
            GRANT USAGE ON SCHEMA public TO {rw}, {ro};
            ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {rw};
            ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON TABLES TO {ro};
            ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE, SELECT, UPDATE ON SEQUENCES TO {rw};
            ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT EXECUTE ON FUNCTIONS TO {rw}, {ro};
            ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE ON SCHEMAS TO {rw}, {ro};
            REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC;
            GRANT EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) TO {owner}, {rw}"
        );
        self.admin(database, &inside).await;
    }

    /// The superuser's statements in `database`.
    pub async fn admin(&self, database: &str, statements: &str) {
        let mut session = self.postgres.admin(database).await;
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut session).await.unwrap();
        session.close().await.unwrap();
    }

    /// The tenant's statements in its database, in which `rw` and `ro` are its group roles.
    pub async fn tenant(&self, statements: &str) {
        let (rw, ro) = (self.role("rw"), self.role("ro"));
        let statements = statements
            .replace(" TO rw", &format!(" TO {rw}"))
            .replace(" TO ro", &format!(" TO {ro}"))
            .replace(" FROM rw, ro", &format!(" FROM {rw}, {ro}"))
            .replace(" FROM rw", &format!(" FROM {rw}"));
        self.admin(&self.database, &format!("SET ROLE {}; {statements}", self.role("owner"))).await;
    }

    fn write_binding(&self) {
        let access = self.postgres.access();
        let folder = self.folder.path().join("bindings/archive");
        fs::create_dir_all(&folder).unwrap();
        for (key, value) in [
            ("type", "postgresql"),
            ("host", &access.host),
            ("port", &access.port.to_string()),
            ("database", &self.database),
            ("username", &self.login),
            ("password", &self.password),
            ("ca.crt", &self.postgres.ca()),
        ] {
            fs::write(folder.join(key), value).unwrap();
        }
    }

    pub fn config(&self) -> ArchiveConfig {
        ArchiveConfig {
            bindings: self.folder.path().join("bindings"),
            scratch: self.scratch.clone(),
            restorer: Some(self.restorer.clone()),
            store: self.store(),
            now: Timestamp::now(),
            name: ObjectName::parse("7612/app/7").unwrap(),
            tools: self.postgres.client_tools(&self.folder.path().join("tools")),
            temporary: self.folder.path().to_owned(),
            lock_wait: Duration::from_secs(30),
            new_id: Uuid::now_v7,
        }
    }

    /// A file of the credentials for the bucket.
    pub fn access(&self, file: &str) -> PathBuf {
        self.folder.path().join("access").join(file)
    }

    pub fn store(&self) -> Store {
        let access = self.bucket.as_ref().map(|bucket| Access {
            endpoint: Some(bucket.endpoint.clone()),
            region: None,
            credentials: self.access(""),
            ca: Some(self.access("ca.crt")),
        });
        Store::open(parse_store(&self.url()).unwrap(), access).unwrap()
    }

    /// URL of the store.
    pub fn url(&self) -> String {
        match &self.bucket {
            None => format!("file://{}", self.root().display()),
            Some(bucket) => format!("s3://{}/eu/prod", bucket.name),
        }
    }

    /// Where the store's files are.
    pub fn root(&self) -> PathBuf {
        match &self.bucket {
            None => self.folder.path().join("store"),
            Some(bucket) => bucket.folder.join("eu/prod"),
        }
    }

    /// The file of what has that URL.
    pub fn file(&self, url: &str) -> PathBuf {
        self.root().join(url.strip_prefix(&format!("{}/", self.url())).unwrap())
    }

    /// Names of the files in the store, below the folder of the archive.
    pub fn stored(&self) -> Vec<String> {
        files(&self.root().join("7612/app"))
    }

    pub async fn run(&self) -> Outcome {
        let Report { version, outcome } = run(self.config(), CancellationToken::new()).await;
        assert_eq!(version, 1);
        outcome
    }

    pub async fn verified(&self) -> Verified {
        match self.run().await {
            Outcome::Verified(verified) => verified,
            other => panic!("{other:?}"),
        }
    }

    pub async fn failed(&self) -> Failed {
        match self.run().await {
            Outcome::Failed(failed) => failed,
            other => panic!("{other:?}"),
        }
    }

    /// The failure with another store.
    pub async fn failed_in(&self, store: Store) -> Failed {
        let config = ArchiveConfig { store, ..self.config() };
        match run(config, CancellationToken::new()).await.outcome {
            Outcome::Failed(failed) => failed,
            other => panic!("{other:?}"),
        }
    }

    pub async fn archive(&self) -> Archive {
        Archive::open(self.config()).await.unwrap()
    }

    /// Makes the scratch database anew.
    pub async fn renew_scratch(&self) {
        self.admin("postgres", &format!("DROP DATABASE {}", self.scratch)).await;
        self.prepare(&self.scratch).await;
    }

    /// Removes databases and roles: the server is shared.
    pub async fn end(self) {
        let (database, scratch) = (&self.database, &self.scratch);
        let logins = format!("{}, {}", self.login, self.restorer);
        for statement in [
            format!("DROP DATABASE {database} WITH (FORCE)"),
            format!("DROP DATABASE {scratch} WITH (FORCE)"),
            format!("DROP ROLE {logins}, {}, {}, {}", self.role("owner"), self.role("rw"), self.role("ro")),
        ] {
            self.admin("postgres", &statement).await;
        }
    }

    /// A session of the superuser in the tenant's database.
    pub async fn session(&self) -> PgConnection {
        self.postgres.admin(&self.database).await
    }
}

/// Names of the files in a folder, in order; none if there is no folder.
pub fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
