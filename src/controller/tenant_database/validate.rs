//! Step 2: whose claim it is, what its names are, and which server and database it means. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::ResourceExt;

use super::adoption::{self, Given};
use super::fetch::{Fetched, SUSPEND_LIMIT};
use super::quota::Quota;
use super::rotation::{self, Asked};
use super::tenancy::OwnServer;
use super::{limits, place};
use crate::api::condition::{Summary, reason};
use crate::api::database_server::DriftPolicy;
use crate::api::deletion::DeletionPolicy;
use crate::api::names::{CredentialName, DatabaseName, PhysicalName, TenantId};
use crate::api::reconcile::open_request;
use crate::api::server_database::{DatabasePhase, Management};
use crate::api::tenant_database::{Access, Credential};
use crate::api::{ServerDatabase, Tenant, TenantDatabase, labels, schema};
use crate::controller::former;
use crate::postgres::settings::Settings;

/// A credential is rotated no more often than this, as the schema says too: every time pods roll.
const SHORTEST_INTERVAL: Duration = Duration::from_mins(1);

/// The single input of the later steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    /// Namespace of the claim.
    pub namespace: String,
    /// Name of the claim.
    pub name: DatabaseName,
    /// UID of the claim.
    pub uid: String,
    /// UID of the tenant.
    pub tenant_uid: String,
    /// UIDs of the Tenants that it has its namespace from, if it took it over.
    pub former: Vec<String>,
    /// Id of the tenant.
    pub id: TenantId,
    /// Name of the tenant.
    pub tenant: String,
    /// Credentials.
    pub credentials: Vec<ValidCredential>,
    /// How many databases its tenant may have, if its plan says so.
    pub quota: Option<Quota>,
    /// Whether its server is to be its tenant's own.
    pub own_server: OwnServer,
    /// Extensions.
    pub extensions: BTreeSet<String>,
    /// Those that the server's admin vouches for; none if none are asked for.
    pub allowed_extensions: BTreeSet<String>,
    /// Greatest number of connections.
    pub connection_limit: Option<u32>,
    /// What each session may take.
    pub settings: Settings,
    /// The server that the database is on, or goes to.
    pub server: String,
    /// A released database of an earlier tenant that an admin gave to this claim.
    pub offered: Option<PhysicalName>,
    /// A database that we did not make and that an admin gives to this claim.
    pub given: Option<Given>,
    /// What it may get if the server has no database of it.
    pub past: Past,
    /// Whether the tenant is suspended.
    pub suspended: bool,
    /// Whether logins are let in.
    pub logins_allowed: bool,
    /// What becomes of the database when the claim goes.
    pub deletion_policy: DeletionPolicy,
    /// What becomes of what somebody changed on the server.
    pub drift_policy: DriftPolicy,
    /// Hash of what its database was last brought to.
    pub declared: Option<String>,
    /// Whether somebody may have read a binding of it.
    pub told: bool,
    /// A comparison that somebody asked for, and that was not answered yet.
    pub requested: Option<String>,
}

/// A credential of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidCredential {
    /// Its name.
    pub name: CredentialName,
    /// Name of its Secret.
    pub secret: String,
    /// What it may do.
    pub access: Access,
    /// When its login is replaced.
    pub asked: Asked,
}

/// What is known of a claim's earlier database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// Nothing: it gets a new one.
    None,
    /// It had one, or the tenant's earlier claim of its name had: an empty one in its place would be a loss.
    Known,
    /// An empty one is asked for, whatever there was.
    Waived,
}

/// Why a claim cannot be worked on now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What Ready says.
    Because(Summary),
    /// Something is not known now, a plan that is missing or a server that was not looked at since the start: nothing
    /// is said or done until it is.
    Unknown,
}

impl From<Summary> for Refusal {
    fn from(summary: Summary) -> Self {
        Self::Because(summary)
    }
}

/// Validates it.
pub fn validate(fetched: &Fetched) -> Result<Validated, Refusal> {
    let claim = &fetched.claim;
    let namespace = claim.namespace().unwrap_or_default();
    let Some(tenant) = &fetched.tenant else {
        return Err(former::without_tenant("claim", &namespace, fetched.namespace.as_deref()).into());
    };
    if fetched.plan.is_none() {
        // The tenant says so. Without its plan nobody knows the limits, and what runs keeps those that it has.
        return Err(Refusal::Unknown);
    }
    let name =
        DatabaseName::parse(&claim.name_any()).map_err(|error| invalid(format!("metadata.name: {error}")))?;
    let (uid, tenant_uid) = (claim.uid().unwrap_or_default(), tenant.uid().unwrap_or_default());
    let id = TenantId::of_uid(&tenant_uid);
    let own = PhysicalName::new(&id, &name);
    let Found { server, offered, given } = find(fetched, &namespace, (&uid, &tenant_uid), &own)?;
    let physical = given.as_ref().map_or(offered.as_ref().unwrap_or(&own).as_str(), |given| &given.database);
    if let Some(conflict) = fetched.rows.conflict(physical, &tenant_uid, name.as_str()) {
        return Err(conflict.into());
    }
    let ended = fetched.workloads == 0 || fetched.suspended_since.is_some_and(|since| since >= SUSPEND_LIMIT);
    let shown = |database: &ServerDatabase| {
        let seen = database.status.as_ref().is_some_and(|status| status.generation.is_some());
        database.spec.physical_name == own.as_str() && seen
    };
    let told = claim.status.as_ref().is_some_and(|status| status.server_database.is_some());
    Ok(Validated {
        former: former::taken_over(Some(&tenant_uid), fetched.namespace.as_deref()),
        past: match claim.spec.fresh {
            Some(true) => Past::Waived,
            _ if told || fetched.databases.iter().any(shown) => Past::Known,
            _ => Past::None,
        },
        credentials: match &given {
            Some(given) if given.adopted.management == Management::Observe => vec![],
            _ => credentials(fetched)?,
        },
        quota: fetched.plan.as_ref().and_then(Quota::of),
        own_server: place::own_server(fetched, &server),
        extensions: claim.spec.extensions.iter().flatten().map(|it| it.name.clone()).collect(),
        allowed_extensions: allowed_extensions(fetched, &server),
        connection_limit: limits::connection_limit(fetched.plan.as_ref(), claim),
        settings: match &given {
            Some(_) => Settings::new(),
            None => limits::all(fetched, &server).map_err(invalid)?,
        },
        suspended: tenant.spec.is_suspended(),
        logins_allowed: !(tenant.spec.is_suspended() && ended),
        deletion_policy: deletion_policy(tenant, claim, given.as_ref())?,
        drift_policy: drift_policy(fetched, &server),
        declared: claim.status.as_ref().and_then(|status| status.declared.clone()),
        told: claim.status.as_ref().is_some_and(|status| status.binding.is_some()),
        requested: requested(claim),
        tenant: tenant.name_any(),
        namespace,
        name,
        uid,
        tenant_uid,
        id,
        server,
        offered,
        given,
    })
}

/// What becomes of the claim's database when the claim goes. One that we did not make stays as it is, whatever its tenant says.
fn deletion_policy(
    tenant: &Tenant,
    claim: &TenantDatabase,
    given: Option<&Given>,
) -> Result<DeletionPolicy, Summary> {
    let asked = claim.spec.deletion_policy;
    if given.is_none() {
        return Ok(DeletionPolicy::of(tenant.spec.deletion_policy, asked));
    }
    match asked.filter(|asked| *asked != DeletionPolicy::Retain) {
        None => Ok(DeletionPolicy::Retain),
        Some(asked) => Err(invalid(format!(
            "spec.deletionPolicy: Tenantry did not make the database, and neither archives nor drops it: remove the field, or say \
             Retain and not {}",
            asked.as_str()
        ))),
    }
}

fn requested(claim: &TenantDatabase) -> Option<String> {
    let answered = claim.status.as_ref().and_then(|status| status.last_reconcile.as_ref());
    open_request(claim.annotations().get(labels::RECONCILE_REQUESTED_AT), answered).map(str::to_owned)
}

/// What the server's admin wants to become of drift.
fn drift_policy(fetched: &Fetched, server: &str) -> DriftPolicy {
    let server = fetched.servers.iter().find(|known| known.name == server);
    server.and_then(|known| known.spec.drift_policy).unwrap_or_default()
}

/// What the server's admin lets claims have of extensions, for a claim that asks for some.
fn allowed_extensions(fetched: &Fetched, server: &str) -> BTreeSet<String> {
    let asks = fetched.claim.spec.extensions.as_ref().is_some_and(|asked| !asked.is_empty());
    let server = fetched.servers.iter().find(|known| asks && known.name == server);
    server.and_then(|known| known.spec.allowed_extensions.clone()).into_iter().flatten().collect()
}

fn invalid(message: String) -> Summary {
    Summary::Stalled { reason: reason::INVALID_SPEC, message }
}

fn credentials(fetched: &Fetched) -> Result<Vec<ValidCredential>, Summary> {
    let (mut all, mut secrets) = (Vec::new(), BTreeSet::new());
    for (index, credential) in fetched.claim.spec.credentials().iter().enumerate() {
        let at = format!("spec.credentials[{index}]");
        let name = CredentialName::parse(&credential.name)
            .map_err(|error| invalid(format!("{at}.name: {error}")))?;
        let secret = credential.secret_name(&fetched.claim.name_any());
        if !secrets.insert(secret.clone()) {
            return Err(invalid(format!(
                "{at}.secretName: two credentials name the Secret {secret}: give each its own"
            )));
        }
        let access = credential.access.unwrap_or_default();
        all.push(ValidCredential { asked: asked(fetched, &at, credential)?, name, secret, access });
    }
    Ok(all)
}

/// What spec and annotations say of a credential's rotation.
fn asked(fetched: &Fetched, at: &str, credential: &Credential) -> Result<Asked, Summary> {
    let rotation = credential.rotation.clone().unwrap_or_default();
    let duration = |field: &str, text: &Option<String>, least: Duration| {
        let length = |text: &String| {
            schema::length(text).filter(|length| *length >= least).ok_or_else(|| {
                invalid(format!(
                    "{at}.rotation.{field}: {text:?} is not a duration of at least {} s: write 45s, 1h30m or 720h",
                    least.as_secs()
                ))
            })
        };
        text.as_ref().map(length).transpose()
    };
    let annotation = |prefix: &str| {
        let value = fetched.claim.annotations().get(&format!("{prefix}{}", credential.name));
        value.map(|value| rotation::request(value))
    };
    let (tenant, claim) = (fetched.tenant.as_ref().and_then(ResourceExt::uid), fetched.claim.name_any());
    let of = format!("{}/{claim}/{}", tenant.unwrap_or_default(), credential.name);
    let interval = duration("interval", &rotation.interval, SHORTEST_INTERVAL)?;
    Ok(Asked {
        interval: interval.map(|interval| rotation::spread(interval, &of)),
        grace: duration("gracePeriod", &rotation.grace_period, Duration::ZERO)?.unwrap_or(rotation::GRACE),
        rotate: annotation(labels::ROTATE),
        compromised: annotation(labels::COMPROMISED),
    })
}

/// Where a claim's database is, or goes to.
struct Found {
    server: String,
    offered: Option<PhysicalName>,
    given: Option<Given>,
}

/// The server and, if an admin gave one, the database of an earlier tenant or one that we did not make.
fn find(
    fetched: &Fetched,
    namespace: &str,
    (uid, tenant_uid): (&str, &str),
    own: &PhysicalName,
) -> Result<Found, Refusal> {
    let mut named: Vec<&ServerDatabase> = fetched
        .databases
        .iter()
        .filter(|database| names(database, namespace, &fetched.claim.name_any()))
        .collect();
    if let Some((server, given)) = adoption::find(fetched, &named, (uid, tenant_uid))? {
        return Ok(Found { server, offered: None, given: Some(given) });
    }
    named.retain(|database| database.spec.adoption().is_none());
    // A database that was given back or taken over keeps the name of the tenant that it was made for.
    let former = former::taken_over(Some(tenant_uid), fetched.namespace.as_deref());
    let given = |database: &&ServerDatabase| former::has(database, tenant_uid, &former);
    let mine = fetched.databases.iter().find(|database| database.spec.physical_name == own.as_str());
    let mine = mine.or_else(|| named.iter().copied().find(given));
    let taken = named.iter().copied().find(|database| is_of(database, uid) && !is_released(database));
    let offered: Vec<&ServerDatabase> = named
        .iter()
        .copied()
        .filter(|database| mine.is_none_or(|mine| mine.spec.physical_name != database.spec.physical_name))
        .filter(|database| database.spec.physical_name != own.as_str() && is_released(database))
        .filter(|database| database.spec.claim_ref.uid.is_none() || is_of(database, uid))
        .collect();
    if offered.len() > 1 || (mine.is_some() && !offered.is_empty()) {
        let listed: Vec<String> = offered.iter().copied().chain(mine).map(ResourceExt::name_any).collect();
        let message = format!(
            "ServerDatabases {} are all given to this claim: let spec.claimRef of one of them name it",
            listed.join(", ")
        );
        return Err(Summary::Stalled { reason: reason::CLAIM_CONFLICT, message }.into());
    }
    let database = taken.or(mine).or_else(|| offered.first().copied());
    let Some(database) = database else {
        refuse_silent_loss(fetched, &named, uid)?;
        // The rows of the servers know more than a claim whose objects were lost.
        let rows = fetched.rows.server_of(own.as_str(), tenant_uid, &fetched.claim.name_any());
        if let Some(server) = rows.or_else(|| place::known_server(fetched)) {
            usable(fetched, server)?;
            return Ok(Found { server: server.to_owned(), offered: None, given: None });
        }
        return Ok(Found { server: place::place(fetched, namespace)?, offered: None, given: None });
    };
    let server = &database.spec.server_ref.name;
    usable(fetched, server)?;
    let physical = PhysicalName::parse(&database.spec.physical_name)
        .map_err(|error| Summary::Stalled { reason: reason::NAME_CONFLICT, message: error.to_string() })?;
    Ok(Found { server: server.clone(), offered: (physical != *own).then_some(physical), given: None })
}

fn names(database: &ServerDatabase, namespace: &str, name: &str) -> bool {
    database.spec.claim_ref.namespace == namespace && database.spec.claim_ref.name == name
}

fn is_of(database: &ServerDatabase, uid: &str) -> bool {
    database.spec.claim_ref.uid.as_deref() == Some(uid)
}

fn is_released(database: &ServerDatabase) -> bool {
    database.status.as_ref().and_then(|status| status.phase) == Some(DatabasePhase::Released)
}

/// A claim never gets an empty database where one of an earlier tenant waits under its name.
fn refuse_silent_loss(fetched: &Fetched, named: &[&ServerDatabase], uid: &str) -> Result<(), Summary> {
    let other = named.iter().find(|database| !is_of(database, uid));
    match other {
        Some(database) if fetched.claim.spec.fresh != Some(true) => {
            Err(released_exists(&database.name_any(), uid))
        }
        _ => Ok(()),
    }
}

/// What a claim says that finds a released database of an earlier tenant.
pub fn released_exists(object: &str, uid: &str) -> Summary {
    let message = format!(
        "ServerDatabase {object} of an earlier tenant has this namespace and name: \
         to get it back, have an admin set its spec.claimRef.uid to {uid}; for an empty database set spec.fresh to true"
    );
    Summary::Stalled { reason: reason::RELEASED_DATABASE_EXISTS, message }
}

/// Whether the server that the database is on can be used, and is the one that the claim names.
pub(super) fn usable(fetched: &Fetched, server: &str) -> Result<(), Refusal> {
    if let Some(asked) = fetched.claim.spec.server_ref.as_ref().filter(|asked| asked.name != server) {
        let message = format!(
            "spec.serverRef: the database is on DatabaseServer {server} and cannot move to {}: name {server} or remove the field",
            asked.name
        );
        return Err(Summary::Stalled { reason: reason::SERVER_CHANGE, message }.into());
    }
    let known = fetched.servers.iter().find(|known| known.name == server);
    if known.is_some_and(|known| known.open) {
        return Ok(());
    }
    if known.is_some_and(|known| !known.looked_at) {
        return Err(Refusal::Unknown);
    }
    let message = match known {
        None => format!("DatabaseServer {server}, which has the database, does not exist: create it again"),
        Some(known) => {
            let why = known.trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
            format!("DatabaseServer {server} is not ready{why}")
        }
    };
    let reason = if known.is_some() { reason::SERVER_UNREACHABLE } else { reason::SERVER_NOT_FOUND };
    Err(Summary::Progressing { reason, message }.into())
}
