//! A real PostgreSQL with TLS: one of each version that all tests share, or one of a test's own that it may stop and
//! pause. What names no version is version 15, which Debian has and our image runs.

mod front;
mod server;
mod template;
mod version;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection};
use tenantry::api::DatabaseServer;
use tenantry::api::database_server::{DatabaseServerSpec, ExternalServer};
use tenantry::api::labels::SERVERS_NAMESPACE;

use front::Front;
use server::Server;
pub(super) use server::write_certificates;
pub use version::Version;

/// Label by which the Plans of tests select a DatabaseServer.
pub const SERVER: &str = "tests.tenantry.dev/server";

/// Where a server is and how its superuser logs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Host that the certificate is valid for.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name of a superuser.
    pub username: String,
    /// Password of the superuser.
    pub password: String,
    /// Path of the CA's certificate.
    pub ca: PathBuf,
}

/// A PostgreSQL server.
#[derive(Clone, Debug)]
pub struct Postgres {
    access: Access,
    server: Option<Arc<Server>>,
    /// Keeps TLS before a server that has none.
    front: Option<Arc<Front>>,
    version: Version,
}

impl Postgres {
    /// The server that all tests share. Databases and logins need a name of their own, see [`super::Prefix`].
    pub fn shared() -> Self {
        Self::shared_of(Version::V15)
    }

    /// The server of that version that all tests share.
    pub fn shared_of(version: Version) -> Self {
        static SHARED: [OnceLock<Postgres>; 2] = [const { OnceLock::new() }; 2];
        let (cell, name) = match version {
            Version::V15 => (&SHARED[0], "pg15"),
            Version::V18 => (&SHARED[1], "pg18"),
        };
        cell.get_or_init(|| Self::started(Server::shared(name, version), version)).clone()
    }

    /// The server that the run's one shared operator looks after. An operator releases every database that its own
    /// control plane has no claim for, so nobody else makes databases of ours on it.
    pub fn operated() -> Self {
        static OPERATED: OnceLock<Postgres> = OnceLock::new();
        let started = || Self::started(Server::shared("pg15-operated", Version::V15), Version::V15);
        OPERATED.get_or_init(started).clone()
    }

    /// A server of the test's own. It ends when the last clone is dropped.
    pub fn own() -> Self {
        Self::own_of(Version::V15)
    }

    /// A server of that version of the test's own.
    pub fn own_of(version: Version) -> Self {
        Self::started(Server::own(version), version)
    }

    /// A server that is somebody else's to start and stop.
    pub fn at(access: Access) -> Self {
        Self::reached(access, None, Version::V15)
    }

    fn started(server: Server, version: Version) -> Self {
        Self::reached(server.access().clone(), Some(Arc::new(server)), version)
    }

    fn reached(mut access: Access, server: Option<Arc<Server>>, version: Version) -> Self {
        let front = (!version.speaks_tls()).then(|| Arc::new(Front::before(&access)));
        if let Some(front) = &front {
            access.port = front.port();
        }
        Self { access, server, front, version }
    }

    /// Where it is, and how its superuser logs in.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Folder of `pg_dump` and `pg_restore` of its version. Where those were built without TLS, as the server was, they are
    /// scripts in `folder` that go to the server directly, whatever they are told.
    pub fn client_tools(&self, folder: &Path) -> PathBuf {
        let programs = self.version.programs();
        let Some(front) = &self.front else { return programs.into() };
        for tool in ["pg_dump", "pg_restore"] {
            let port = front.server_port();
            let script =
                format!("#!/bin/sh\nPGSSLMODE=disable PGPORT={port} exec '{programs}/{tool}' \"$@\"\n");
            let path = folder.join(tool);
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        }
        folder.into()
    }

    /// The CA's certificate, PEM.
    pub fn ca(&self) -> String {
        std::fs::read_to_string(&self.access.ca).unwrap()
    }

    /// How `login` connects to `database`: always encrypted, the server's certificate and name verified.
    pub fn options(&self, login: &str, password: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host(&self.access.host)
            .port(self.access.port)
            .username(login)
            .password(password)
            .database(database)
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert(&self.access.ca)
    }

    /// A connection of `login` to `database`, or why there is none.
    pub async fn connect(
        &self,
        login: &str,
        password: &str,
        database: &str,
    ) -> Result<PgConnection, sqlx::Error> {
        self.options(login, password, database).connect().await
    }

    /// A connection of the superuser to `database`.
    pub async fn admin(&self, database: &str) -> PgConnection {
        self.connect(&self.access.username, &self.access.password, database).await.unwrap()
    }

    /// Asks the server to end, as `pg_ctl stop -m fast` does, and waits for it.
    pub fn stop(&self) {
        self.own_server().stop();
    }

    /// Starts it again, at the same address, and waits until it takes connections.
    pub fn start(&self) {
        self.own_server().start();
    }

    /// Stops every process of the server in its tracks: connections hang and neither open nor end.
    pub fn pause(&self) {
        self.own_server().signal("STOP");
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.own_server().signal("CONT");
    }

    /// Everything the server has logged: each statement, each connection, each error.
    pub fn log(&self) -> String {
        self.own_server().log()
    }

    fn own_server(&self) -> &Server {
        self.server.as_deref().expect("a server that somebody else started is not ours to control")
    }

    /// The admin Secret that a DatabaseServer of this server names.
    pub fn admin_secret(&self, name: &str) -> Secret {
        let data = [
            ("username", self.access.username.clone()),
            ("password", self.access.password.clone()),
            ("ca.crt", self.ca()),
        ];
        Secret {
            metadata: ObjectMeta {
                name: Some(name.into()),
                namespace: Some(SERVERS_NAMESPACE.into()),
                ..ObjectMeta::default()
            },
            string_data: Some(data.map(|(key, value)| (key.to_owned(), value)).into()),
            ..Secret::default()
        }
    }

    /// The DatabaseServer `name` of this server, whose admin Secret and label [`SERVER`] have the same value.
    pub fn database_server(&self, name: &str) -> DatabaseServer {
        let external = ExternalServer {
            host: self.access.host.clone(),
            port: Some(self.access.port.into()),
            admin_secret_name: name.into(),
        };
        let spec = DatabaseServerSpec { external: Some(external), ..DatabaseServerSpec::default() };
        let mut server = DatabaseServer::new(name, spec);
        server.metadata.labels = Some([(SERVER.into(), name.into())].into());
        server
    }

    /// Makes the DatabaseServer `name` and its admin Secret, or brings them to what they have to be.
    pub async fn register(&self, client: &Client, name: &str) -> DatabaseServer {
        let params = PatchParams::apply("tenantry-tests").force();
        let secrets: Api<Secret> = Api::namespaced(client.clone(), SERVERS_NAMESPACE);
        secrets.patch(name, &params, &Patch::Apply(self.admin_secret(name))).await.unwrap();
        let servers: Api<DatabaseServer> = Api::all(client.clone());
        servers.patch(name, &params, &Patch::Apply(self.database_server(name))).await.unwrap()
    }
}
