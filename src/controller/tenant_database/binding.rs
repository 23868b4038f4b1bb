//! Binding Secrets: how a workload logs in, in the form of the Service Binding Specification 1.1.
//!
//! A Secret belongs to its tenant and not to its claim, so a claim that was made again finds the one that there is.
//! It has no owner reference: nothing that holds keys goes by garbage collection.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::Api;
use sha2::{Digest, Sha256};

use super::fetch::Fetched;
use super::provision::Provisioned;
use super::validate::{ValidCredential, Validated};
use crate::api::condition::{Summary, reason};
use crate::api::{TenantDatabase, labels};
use crate::controller::apply::{ApplyError, Declared};
use crate::controller::context::Context;
use crate::controller::declared::{Ownership, ownership};
use crate::controller::object::{Key, Kind};
use crate::postgres::scram::Password;

/// Type of a binding Secret.
const TYPE: &str = "servicebinding.io/postgresql";

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Name of the login.
    pub name: String,
    /// Its password.
    pub password: Password,
}

/// What the Secrets hold, by name of the Secret.
pub type Logins = BTreeMap<String, Login>;

/// Reads the claim's Secrets. One of that name that is not ours stands against the claim before anything is made.
pub async fn fetch(context: &Context, claim: &Validated) -> Result<Result<Logins, Summary>, ApplyError> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &claim.namespace);
    let mut logins = Logins::new();
    for name in claim.credentials.iter().map(|it| &it.secret) {
        let key = Key::namespaced(&claim.namespace, name);
        let live = api.get_opt(name).await;
        let live = live.map_err(|source| ApplyError::Api { verb: "get", kind: Kind::Secret, key, source })?;
        let Some(secret) = live else { continue };
        let ours = ownership(&secret.metadata, &claim.tenant_uid, None) == Ownership::Ours;
        if !ours || is_of_another(context, claim, &secret, name) {
            let message = format!(
                "Secret {name} exists and is not this claim's: rename or remove it, or set spec.credentials[].secretName"
            );
            return Ok(Err(Summary::Progressing { reason: reason::NAME_CONFLICT, message }));
        }
        let text = |key: &str| {
            let value = secret.data.as_ref().and_then(|data| data.get(key));
            value.and_then(|ByteString(bytes)| String::from_utf8(bytes.clone()).ok()).unwrap_or_default()
        };
        let password = text("password");
        if !password.is_empty() {
            logins.insert(name.clone(), Login { name: text("username"), password: Password::new(password) });
        }
    }
    Ok(Ok(logins))
}

/// Whether another claim of the namespace has the Secret. A label that names no such claim has been tampered with.
fn is_of_another(context: &Context, claim: &Validated, secret: &Secret, name: &str) -> bool {
    let of = secret.labels().get(labels::TENANT_DATABASE).filter(|of| *of != claim.name.as_str());
    of.is_some_and(|of| {
        let other: Option<TenantDatabase> = context.valid(&Key::namespaced(&claim.namespace, of));
        other.is_some_and(|other| other.spec.credentials().iter().any(|it| it.secret_name(of) == name))
    })
}

/// The Secrets of a claim that has its database.
pub fn declare(
    fetched: &Fetched,
    claim: &Validated,
    provisioned: &Provisioned,
) -> Result<Vec<Declared>, ApplyError> {
    let name = fetched.claim.name_any();
    claim
        .credentials
        .iter()
        .filter_map(|ValidCredential { secret, .. }| {
            let login = provisioned.logins.get(secret)?;
            Some(Declared::new(
                Kind::Secret,
                &claim.tenant_uid,
                &build(claim, &name, secret, login, provisioned),
            ))
        })
        .collect()
}

fn build(
    claim: &Validated,
    name: &str,
    secret: &str,
    Login { name: login, password }: &Login,
    provisioned: &Provisioned,
) -> Secret {
    let (host, port, database) = (&provisioned.host, provisioned.port, provisioned.physical.as_str());
    // An IPv6 address stands in brackets (RFC 3986).
    let authority = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    // The password is letters and digits, so nothing in it has to be escaped.
    let uri = format!(
        "postgresql://{login}:{}@{authority}:{port}/{database}?sslmode=verify-full",
        password.expose()
    );
    let data: BTreeMap<String, ByteString> = [
        ("type", "postgresql"),
        ("provider", labels::MANAGER),
        ("host", host),
        ("port", &port.to_string()),
        ("database", database),
        ("username", login),
        ("password", password.expose()),
        ("uri", &uri),
        ("ca.crt", &provisioned.ca),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec())))
    .collect();
    let all = [
        (labels::MANAGED_BY, labels::MANAGER),
        (labels::PART_OF, labels::MANAGER),
        (labels::TENANT, &claim.tenant),
        (labels::TENANT_DATABASE, name),
    ];
    let all = all.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
    Secret {
        metadata: ObjectMeta {
            name: Some(secret.to_owned()),
            namespace: Some(claim.namespace.clone()),
            labels: Some(all),
            annotations: Some(BTreeMap::from([(labels::BINDING_HASH.to_owned(), hash(&data))])),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE.to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

/// Hash of a Secret's content. It has 190 random bits in it, so it gives nothing away.
fn hash(data: &BTreeMap<String, ByteString>) -> String {
    let mut digest = Sha256::new();
    for (key, ByteString(value)) in data {
        // Lengths keep neighbours apart.
        digest.update((key.len() as u64).to_be_bytes());
        digest.update(key.as_bytes());
        digest.update((value.len() as u64).to_be_bytes());
        digest.update(value);
    }
    data_encoding::HEXLOWER.encode(&digest.finalize()[..16])
}
