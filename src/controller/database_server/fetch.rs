//! Step 1: what a server's turn needs: its users from the stores, its Secrets by live reads.

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::api::Api;
use kube::{Client, ResourceExt};

use super::certificate::Pair;
use super::managed;
use crate::api::condition::{Summary, reason};
use crate::api::database_server::ExternalServer;
use crate::api::{DatabaseServer, ServerDatabase, labels};
use crate::controller::apply::ApplyError;
use crate::controller::context::Context;
use crate::controller::object::{Key, Kind};
use crate::postgres::connect::AdminTarget;
use crate::postgres::scram::Password;

/// What a server's turn needs.
#[derive(Debug)]
pub struct Fetched {
    /// The server.
    pub server: DatabaseServer,
    /// Its name.
    pub name: String,
    /// Names of the ServerDatabases on it.
    pub users: Vec<String>,
    /// How to reach an external server, or what is wrong with its Secret. Unused for a managed one.
    pub external: Result<AdminTarget, Summary>,
    /// What there is of a managed server.
    pub found: Found,
}

/// What there is of a managed server.
#[derive(Debug, Default)]
pub struct Found {
    /// Its authority.
    pub authority: Option<Pair>,
    /// Its certificate, the authority that it was issued under, and the day on which it is issued again.
    pub leaf: Option<(Pair, String, String)>,
    /// The superuser's password.
    pub password: Option<Password>,
    /// Whether its volume exists: a database with a password of its own may be on it.
    pub volume: bool,
    /// Whether its pod is ready.
    pub ready: bool,
}

/// Reads it.
pub async fn fetch(context: &Context, server: DatabaseServer) -> Result<Fetched, ApplyError> {
    let name = server.name_any();
    let on = |database: &ServerDatabase| database.spec.server_ref.name == name;
    let users =
        context.valid_all::<ServerDatabase>().iter().filter(|it| on(it)).map(ResourceExt::name_any).collect();
    let client = &context.client;
    let external = match &server.spec.external {
        Some(external) => {
            target(external, read::<Secret>(client, Kind::Secret, &external.admin_secret_name).await?)
        }
        None => Err(Summary::Progressing { reason: reason::PROGRESSING, message: String::new() }),
    };
    let found = if server.spec.managed.is_some() { found(client, &name).await? } else { Found::default() };
    Ok(Fetched { server, name, users, external, found })
}

async fn found(client: &Client, server: &str) -> Result<Found, ApplyError> {
    let secret = |name: String| async move { read::<Secret>(client, Kind::Secret, &name).await };
    let authority = secret(managed::authority_secret_name(server)).await?;
    let tls = secret(managed::tls_secret_name(server)).await?;
    let admin = secret(managed::admin_secret_name(server)).await?;
    let volume = claim(client, &managed::volume_claim_name(server)).await?;
    let set = read::<StatefulSet>(client, Kind::StatefulSet, server).await?;
    let leaf = tls.as_ref().and_then(|secret| {
        let renew_on = secret.annotations().get(managed::RENEW_ON).cloned().unwrap_or_default();
        Some((pair(secret)?, text(secret, "ca.crt")?, renew_on))
    });
    Ok(Found {
        authority: authority.as_ref().and_then(pair),
        leaf,
        password: admin.as_ref().and_then(|secret| text(secret, "password")).map(Password::new),
        volume,
        ready: set.is_some_and(|set| is_ready(&set)),
    })
}

fn is_ready(set: &StatefulSet) -> bool {
    set.status.as_ref().is_some_and(|status| {
        status.ready_replicas.unwrap_or(0) > 0 && status.observed_generation == set.metadata.generation
    })
}

fn pair(secret: &Secret) -> Option<Pair> {
    Some(Pair { certificate: text(secret, "tls.crt")?, key: text(secret, "tls.key")? })
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
    let text = String::from_utf8(bytes.clone()).ok()?;
    (!text.is_empty()).then_some(text)
}

/// How to reach an external server by its Secret.
fn target(external: &ExternalServer, secret: Option<Secret>) -> Result<AdminTarget, Summary> {
    let name = format!("Secret {}/{}", labels::SERVERS_NAMESPACE, external.admin_secret_name);
    let wrong = |message: String| Summary::Progressing { reason: reason::SECRET_INVALID, message };
    let secret = secret.ok_or_else(|| {
        wrong(format!("spec.external.adminSecretName: {name} does not exist: create it with username, password and ca.crt"))
    })?;
    let key = |key: &str| text(&secret, key).ok_or_else(|| wrong(format!("{name} has no key {key}: add it")));
    Ok(AdminTarget {
        host: external.host.clone(),
        port: external.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(managed::PORT),
        username: key("username")?,
        password: Password::new(key("password")?),
        ca_pem: key("ca.crt")?,
    })
}

async fn read<K>(client: &Client, kind: Kind, name: &str) -> Result<Option<K>, ApplyError>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), labels::SERVERS_NAMESPACE);
    let key = Key::namespaced(labels::SERVERS_NAMESPACE, name);
    api.get_opt(name).await.map_err(|source| ApplyError::Api { verb: "get", kind, key, source })
}

async fn claim(client: &Client, name: &str) -> Result<bool, ApplyError> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), labels::SERVERS_NAMESPACE);
    let key = Key::namespaced(labels::SERVERS_NAMESPACE, name);
    let live = api.get_opt(name).await;
    // The gate never writes volume claims, so they are no kind of its own; the StatefulSet stands for them.
    live.map(|claim| claim.is_some()).map_err(|source| ApplyError::Api {
        verb: "get the volume claim of",
        kind: Kind::StatefulSet,
        key,
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::database_server::DatabaseServerSpec;

    #[test]
    fn debug_of_what_was_fetched_shows_no_secret() {
        let pair = || Pair { certificate: "cert".into(), key: "hunter1".into() };
        let external = AdminTarget {
            host: "db".into(),
            port: 5432,
            username: "admin".into(),
            password: Password::new("hunter2"),
            ca_pem: String::new(),
        };
        let found = Found {
            authority: Some(pair()),
            leaf: Some((pair(), String::new(), String::new())),
            password: Some(Password::new("hunter3")),
            ..Found::default()
        };
        let server = DatabaseServer::new("main", DatabaseServerSpec::default());
        let fetched = Fetched { server, name: "main".into(), users: vec![], external: Ok(external), found };
        let shown = format!("{fetched:?}");
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
