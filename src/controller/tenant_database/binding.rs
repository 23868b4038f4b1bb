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
use crate::controller::apply::{ApplyError, Declared, Gate};
use crate::controller::child;
use crate::controller::context::Context;
use crate::controller::declared::{Ownership, ownership};
use crate::controller::former;
use crate::controller::object::{Key, Kind};
use crate::postgres::issue::Issue;
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
    /// Since when it is in use; absent for one that has never been rotated.
    pub issued_at: Option<String>,
}

/// What the Secrets are to hold, by name of the Secret.
pub type Logins = BTreeMap<String, Login>;

/// What a Secret holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How to log in, by its account.
    pub login: Login,
    /// Whether it is as this process has written it, or found it right, and nobody has touched it since.
    pub as_written: bool,
    /// Whether its content has the hash that stands beside it. Who edits it by hand leaves that as it was.
    pub whole: bool,
}

/// What the Secrets hold, by name of the Secret.
pub type Secrets = BTreeMap<String, Found>;

impl Found {
    /// Whether it was written for that login as it is issued now. One from before, that a backup brings back for one, may hold what
    /// others know.
    pub fn is_of(&self, login: &str, issue: Option<&Issue>) -> bool {
        self.login.name == login && self.login.issued_at == issued_at(issue)
    }
}

/// How a Secret says since when its login is in use.
pub fn issued_at(issue: Option<&Issue>) -> Option<String> {
    issue.map(|issue| issue.issued_at.to_string())
}

/// Reads the claim's Secrets, which `gate` writes. One of that name that is not ours stands against the claim before anything
/// is made.
pub async fn fetch(
    context: &Context,
    gate: &Gate,
    claim: &Validated,
) -> Result<Result<Secrets, Summary>, ApplyError> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &claim.namespace);
    let mut secrets = Secrets::new();
    for name in claim.credentials.iter().map(|it| &it.secret) {
        let key = Key::namespaced(&claim.namespace, name);
        let live = api.get_opt(name).await;
        let live = live.map_err(|source| ApplyError::Api {
            verb: "get",
            kind: Kind::Secret,
            key: key.clone(),
            source,
        })?;
        let Some(secret) = live else { continue };
        let marks = ownership(&secret.metadata, &claim.tenant_uid, None);
        let ours = matches!(marks, Ownership::Ours | Ownership::Marked)
            || former::belonged(&secret.metadata, &claim.former);
        if !ours || is_of_another(context, claim, &secret, name) {
            let message = format!(
                "Secret {name} exists and is not this claim's: rename or remove it, or set spec.credentials[].secretName"
            );
            return Ok(Err(Summary::Progressing { reason: reason::NAME_CONFLICT, message }));
        }
        let as_written = gate.is_echo(Kind::Secret, &key, child::token(Kind::Secret, &secret.metadata));
        if let Some(found) = read(&secret, as_written) {
            secrets.insert(name.clone(), found);
        }
    }
    Ok(Ok(secrets))
}

/// What a Secret holds; `None` without a password of ours.
fn read(secret: &Secret, as_written: bool) -> Option<Found> {
    let text = |key: &str| {
        let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
        String::from_utf8(bytes.clone()).ok()
    };
    // One that somebody made up, and gave their login too, would be written into a URI as it is.
    let ours =
        |password: &String| !password.is_empty() && password.bytes().all(|it| it.is_ascii_alphanumeric());
    let password = Password::new(text("password").filter(ours)?);
    let annotation = |name: &str| secret.annotations().get(name).cloned();
    let login = Login {
        name: text("username").unwrap_or_default(),
        password,
        issued_at: annotation(labels::ISSUED_AT),
    };
    let whole = secret.data.as_ref().map(hash) == annotation(labels::BINDING_HASH);
    Some(Found { login, as_written, whole })
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
            let built = build(claim, &name, secret, login, provisioned);
            let declared = Declared::new(Kind::Secret, &claim.tenant_uid, &built);
            Some(declared.map(|declared| declared.taking_from(&claim.former)))
        })
        .collect()
}

fn build(
    claim: &Validated,
    name: &str,
    secret: &str,
    Login { name: login, password, issued_at }: &Login,
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
    let mut annotations = BTreeMap::from([(labels::BINDING_HASH.to_owned(), hash(&data))]);
    annotations.extend(issued_at.iter().map(|time| (labels::ISSUED_AT.to_owned(), time.clone())));
    Secret {
        metadata: ObjectMeta {
            name: Some(secret.to_owned()),
            namespace: Some(claim.namespace.clone()),
            labels: Some(all),
            annotations: Some(annotations),
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
