//! Step 4, on the server: one session that reads the marker rows, chooses the database, observes it, plans and
//! executes.

use crate::api::condition::Summary;
use crate::api::names::{CredentialName, PhysicalName};
use crate::controller::context::Context;
use crate::controller::database::look::look;
use crate::controller::database::plan::plan;
use crate::controller::database::refusal;
use crate::controller::database::want::{CredentialSpec, DatabaseSpec, PasswordWish};
use crate::postgres::connect::ServerPool;
use crate::postgres::execute::Session;
use crate::postgres::facts::{Claim, Facts, Marker, StoredPassword};
use crate::postgres::observe::{self, Markers};
use crate::postgres::quote::Ident;
use crate::postgres::scram::{Password, Verifier};

use super::binding::Passwords;
use super::choose::{Chosen, choose};
use super::place;
use super::validate::Validated;

/// What a claim has on its server.
#[derive(Clone, Debug)]
pub struct Provisioned {
    /// Name of the database.
    pub physical: PhysicalName,
    /// Its marker row, as it is now.
    pub marker: Marker,
    /// Host that clients connect to.
    pub host: String,
    /// Port.
    pub port: u16,
    /// CA that the server's certificate is verified with, PEM.
    pub ca: String,
    /// Passwords of the logins, by name of their Secret.
    pub passwords: Passwords,
}

/// Makes the server as the claim wants it.
pub async fn provision(
    context: &Context,
    claim: &Validated,
    secrets: &Passwords,
) -> Result<Provisioned, Summary> {
    let pool = context.servers.pool(&claim.server).ok_or_else(|| place::not_ready(&claim.server))?;
    let mut session =
        context.servers.gate().open(&pool).await.map_err(|error| refusal::of_execute(&error))?;
    match prepare(context, &pool, &mut session, claim, secrets).await {
        Err(summary) => {
            session.close().await;
            Err(summary)
        }
        Ok(Prepared { chosen, batches, passwords }) => {
            if batches.is_empty() {
                session.close().await;
            } else {
                session.run(&batches).await.map_err(|error| refusal::of_execute(&error))?;
            }
            let known = chosen.rows.first().filter(|_| batches.is_empty()).cloned();
            let marker = match known {
                Some(marker) => marker,
                None => read_back(&pool, &chosen.physical).await?,
            };
            let target = pool.target();
            Ok(Provisioned {
                physical: chosen.physical,
                marker,
                host: target.host.clone(),
                port: target.port,
                ca: target.ca_pem.clone(),
                passwords,
            })
        }
    }
}

struct Prepared {
    chosen: Chosen,
    batches: Vec<crate::postgres::statement::Batch>,
    passwords: Passwords,
}

async fn prepare(
    context: &Context,
    pool: &ServerPool,
    session: &mut Session<'_>,
    claim: &Validated,
    secrets: &Passwords,
) -> Result<Prepared, Summary> {
    let which = Markers::OfClaim {
        tenant_uid: &claim.tenant_uid,
        namespace: &claim.namespace,
        name: claim.name.as_str(),
    };
    let read = observe::markers(session.reader(), &which).await;
    let mut rows = read.map_err(|error| refusal::of_observe(&error))?;
    if let Some(offered) = &claim.offered {
        let read = observe::markers(session.reader(), &Markers::Physical(offered.as_str())).await;
        let more = read.map_err(|error| refusal::of_observe(&error))?;
        rows.extend(
            more.into_iter()
                .filter(|row| !rows.iter().any(|known| known.physical_name == row.physical_name))
                .collect::<Vec<_>>(),
        );
    }
    let chosen = choose(claim, &rows)?;
    let facts = look(pool, session.reader(), &chosen.physical, chosen.rows.clone()).await;
    let facts = facts.map_err(|error| refusal::of_look(&error))?;
    let (credentials, passwords) = credentials(context, pool, claim, &chosen.physical, &facts, secrets).await;
    let want = DatabaseSpec {
        physical: chosen.physical.clone(),
        tenant_uid: claim.tenant_uid.clone(),
        tenant_id: claim.id.to_string(),
        name: claim.name.clone(),
        claim: Claim {
            namespace: claim.namespace.clone(),
            name: claim.name.as_str().to_owned(),
            uid: Some(claim.uid.clone()),
        },
        connection_limit: claim.connection_limit,
        credentials,
        logins_allowed: claim.logins_allowed,
    };
    let plan = plan(&want, &facts).map_err(|conflict| refusal::of_conflict(&conflict))?;
    Ok(Prepared { chosen, batches: plan.batches, passwords })
}

/// What becomes of each password: the Secret's one stays if it opens the login, else there is a new one.
async fn credentials(
    context: &Context,
    pool: &ServerPool,
    claim: &Validated,
    physical: &PhysicalName,
    facts: &Facts,
    secrets: &Passwords,
) -> (Vec<CredentialSpec>, Passwords) {
    let mut specs = Vec::new();
    let mut passwords = Passwords::new();
    for (name, secret) in &claim.credentials {
        let held = secrets.get(secret);
        let opens = match held {
            Some(password) => opens(context, pool, physical, name, facts, password).await,
            None => false,
        };
        let (password, wish) = if let Some(password) = held.filter(|_| opens) {
            (password.clone(), PasswordWish::Keep)
        } else {
            let password = context.random(Password::generate);
            let verifier = context.random(|random| Verifier::generate(&password, random));
            (password, PasswordWish::Set(verifier))
        };
        passwords.insert(secret.clone(), password);
        specs.push(CredentialSpec { name: name.clone(), password: wish });
    }
    (specs, passwords)
}

async fn opens(
    context: &Context,
    pool: &ServerPool,
    physical: &PhysicalName,
    credential: &CredentialName,
    facts: &Facts,
    password: &Password,
) -> bool {
    let login = physical.login(credential);
    let Some(role) = facts.roles.get(&login) else { return false };
    match &role.password {
        StoredPassword::Scram(verifier) => context.verified.verifies(verifier, password),
        StoredPassword::Absent | StoredPassword::Other => false,
        // Our login may not read it: then the only proof is to log in. A login that is refused tells nothing.
        StoredPassword::Unreadable if role.login => {
            pool.try_login(&Ident::from(physical), &login, password).await.is_ok()
        }
        StoredPassword::Unreadable => true,
    }
}

async fn read_back(pool: &ServerPool, physical: &PhysicalName) -> Result<Marker, Summary> {
    let mut connection = pool.operator().await.map_err(|error| refusal::of_connect(&error))?;
    let rows = observe::markers(&mut connection, &Markers::Physical(physical.as_str())).await;
    connection.release().await;
    let row = rows.map_err(|error| refusal::of_observe(&error))?.pop();
    row.ok_or_else(|| Summary::Progressing {
        reason: crate::api::condition::reason::DATABASE_MISSING,
        message: format!("the marker row of database {physical} is gone; it is looked at again"),
    })
}
