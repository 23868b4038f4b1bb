//! Step 4, on the server: one session that reads the marker rows, chooses the database, observes it, plans and
//! executes. Logins that have to be refused are refused before the rest is looked at: their tenant may hold all
//! connections that are to be had, and then nobody else gets into the database.

use std::time::Duration;

use kube::ResourceExt;

use crate::api::ServerDatabase;
use crate::api::condition::Summary;
use crate::api::names::{DatabaseName, PhysicalName, TenantId};
use crate::controller::context::Context;
use crate::controller::database::extensions::Wanted;
use crate::controller::database::plan::{Conflict, Plan};
use crate::controller::database::want::{CredentialSpec, DatabaseSpec};
use crate::controller::database::{look, plan, pool, refusal};
use crate::controller::former;
use crate::controller::object::{Key, Kind};
use crate::controller::pool::known::Taken;
use crate::controller::worker::key_of;
use crate::postgres::connect::ServerPool;
use crate::postgres::execute::Session;
use crate::postgres::facts::{Facts, Marker, Phase};
use crate::postgres::observe::{self, Markers};
use crate::postgres::record::Cause;
use crate::postgres::settings::Settings;
use crate::postgres::statement::Batch;

use super::binding::{Logins, Secrets};
use super::choose::{self, Chosen, choose};
use super::credentials::{self, Basis, Decided, Rotating};
use super::fetch::{Fetched, SUSPEND_LIMIT};
use super::standing::{self, Held};
use super::validate::Validated;
use super::{drift, extensions, limits, place, quota, reserved, room, tenancy};

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
    /// What the binding Secrets say, by name of the Secret.
    pub logins: Logins,
    /// Whether logins are let in.
    pub logins_allowed: bool,
    /// Rotations under way.
    pub rotating: Vec<Rotating>,
    /// When somebody has to look again though nothing happened.
    pub again: Option<Duration>,
    /// What the turn leaves to the next.
    pub held: Held,
    /// What the database lacks of what is asked for, if all else is there.
    pub lacking: Option<Summary>,
}

/// Makes the server as the claim wants it.
pub async fn provision(
    context: &Context,
    fetched: &Fetched,
    claim: &Validated,
    secrets: &Secrets,
) -> Result<Provisioned, Summary> {
    let key = Key::namespaced(&claim.namespace, claim.name.as_str());
    let pool = context.servers.enter(&claim.server, Kind::TenantDatabase, &key);
    let pool = pool.ok_or_else(|| place::not_ready(&claim.server))?;
    let mut session = open(context, &pool, cause(claim, "provision")).await?;
    if !claim.logins_allowed {
        session = refuse(context, &pool, session, claim).await?;
    }
    match prepare(context, &pool, &mut session, claim, secrets).await {
        Err(summary) => {
            session.close().await;
            Err(summary)
        }
        Ok(Prepared {
            chosen,
            batches,
            logins,
            logins_allowed,
            rotating,
            again,
            mut taken,
            mut held,
            lacking,
        }) => {
            taken.iter_mut().for_each(Taken::uses);
            drift::announce(context, fetched, &held).await;
            let last = batches.iter().position(Batch::makes_extensions).unwrap_or(batches.len());
            let written = session.write(&batches[..last]).await;
            let written = written.map_err(|error| refusal::of_execute(&error))?;
            let made = extensions::make(context, &pool, claim, &batches[last..]).await;
            if made.is_err() {
                // It is still to be made, and not gone. Of what else is newly declared some is there by now: neither that nor what was
                // declared before is what the server has, and whatever is asked for next is to be done and no drift.
                held.declared.take_if(|declared| claim.declared.as_ref() != Some(declared));
                held.is_unfinished();
            }
            let lacking = made.err().into_iter().chain(lacking).reduce(extensions::together);
            let known = chosen.rows.first().filter(|_| batches.is_empty()).cloned();
            let marker = match written.or(known) {
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
                logins,
                logins_allowed,
                rotating,
                again,
                held,
                lacking,
            })
        }
    }
}

/// A session on the server that may change things.
pub(super) async fn open<'a>(
    context: &'a Context,
    pool: &'a ServerPool,
    cause: Cause,
) -> Result<Session<'a>, Summary> {
    context.servers.gate().open(pool, cause).await.map_err(|error| refusal::of_execute(&error))
}

/// Executes what there is to execute, and ends the session.
pub(super) async fn run(session: Session<'_>, batches: &[Batch]) -> Result<(), Summary> {
    session.run(batches).await.map_err(|error| refusal::of_execute(&error))
}

/// Refuses the logins of a database that has one, and goes on in a session that has not executed anything yet.
async fn refuse<'a>(
    context: &'a Context,
    pool: &'a ServerPool,
    mut session: Session<'a>,
    claim: &Validated,
) -> Result<Session<'a>, Summary> {
    let batches = match chosen(&mut session, claim).await {
        Ok(Chosen { physical: _, rows }) => refusing(&mut session, rows).await,
        Err(summary) => Err(summary),
    };
    match batches {
        Ok(batches) if batches.is_empty() => Ok(session),
        Ok(batches) => {
            run(session, &batches).await?;
            open(context, pool, cause(claim, "provision")).await
        }
        Err(summary) => {
            session.close().await;
            Err(summary)
        }
    }
}

/// What refuses the logins of the database of the first of those rows. One that is not bound has none that work.
async fn refusing(session: &mut Session<'_>, rows: Vec<Marker>) -> Result<Vec<Batch>, Summary> {
    let Some(row) = rows.first().filter(|row| row.phase == Phase::Bound).cloned() else { return Ok(vec![]) };
    let physical = row.physical().map_err(|error| refusal::of_conflict(&Conflict::Unnamed(error)))?;
    let facts = look::outside(session.reader(), &physical, rows).await;
    let facts = facts.map_err(|error| refusal::of_look(&error))?;
    Ok(plan::close(&row, &facts).map_err(|conflict| refusal::of_conflict(&conflict))?.batches)
}

/// Refuses the logins of a suspended tenant's database, whatever else the claim asks for. `true` if there is one and its
/// logins are refused now.
pub async fn close(context: &Context, fetched: &Fetched) -> Result<bool, Summary> {
    let Some(tenant) = fetched.tenant.as_ref().filter(|tenant| tenant.spec.is_suspended()) else {
        return Ok(false);
    };
    let ended = fetched.workloads == 0 || fetched.suspended_since.is_some_and(|since| since >= SUSPEND_LIMIT);
    let (tenant_uid, name) = (tenant.uid().unwrap_or_default(), fetched.claim.name_any());
    let Ok(name) = DatabaseName::parse(&name) else { return Ok(false) };
    let own = PhysicalName::new(&TenantId::of_uid(&tenant_uid), &name);
    let former = former::taken_over(Some(&tenant_uid), fetched.namespace.as_deref());
    let is_own = |database: &&ServerDatabase| {
        database.spec.physical_name == own.as_str()
            || database.spec.claim_ref.name == name.as_str() && former::has(database, &tenant_uid, &former)
    };
    let Some(database) = fetched.databases.iter().find(is_own).filter(|_| ended) else { return Ok(false) };
    let server = &database.spec.server_ref.name;
    let pool = context.servers.enter(server, Kind::TenantDatabase, &key_of(&fetched.claim));
    let pool = pool.ok_or_else(|| place::not_ready(server))?;
    let cause = Cause::new(format_args!("{} {}", Kind::TenantDatabase, key_of(&fetched.claim)), "suspend");
    let physical = &database.spec.physical_name;
    context.standings.forget(&key_of(&fetched.claim));
    let mut session = open(context, &pool, cause).await?;
    let read = observe::markers(session.reader(), &Markers::Physical(physical)).await;
    let batches = match read.map_err(|error| refusal::of_observe(&error)) {
        Ok(rows) => refusing(&mut session, rows).await,
        Err(summary) => Err(summary),
    };
    match batches {
        Ok(batches) => run(session, &batches).await.map(|()| true),
        Err(summary) => {
            session.close().await;
            Err(summary)
        }
    }
}

/// What the server has to be told, and what the workloads are then told.
pub(crate) struct Prepared<'a> {
    /// Which database it is.
    pub chosen: Chosen,
    /// What makes the server as the claim wants it.
    pub batches: Vec<Batch>,
    /// What the binding Secrets say, by name of the Secret.
    pub logins: Logins,
    /// Whether logins are let in.
    pub logins_allowed: bool,
    /// Rotations under way.
    pub rotating: Vec<Rotating>,
    /// When somebody has to look again though nothing happened.
    pub again: Option<Duration>,
    /// The clone that it is made from, which nobody else is given as long.
    pub taken: Option<Taken<'a>>,
    /// What the turn leaves to the next.
    pub held: Held,
    /// What the database will lack of what is asked for.
    pub lacking: Option<Summary>,
}

/// For what a claim's statements are sent.
pub(crate) fn cause(claim: &Validated, reason: &'static str) -> Cause {
    Cause::new(format_args!("{} {}/{}", Kind::TenantDatabase, claim.namespace, claim.name.as_str()), reason)
}

/// Chooses, observes and plans. Nothing on the server is changed: a preview ends here.
pub(crate) async fn prepare<'a>(
    context: &'a Context,
    pool: &ServerPool,
    session: &mut Session<'_>,
    claim: &Validated,
    secrets: &Secrets,
) -> Result<Prepared<'a>, Summary> {
    let chosen = chosen(session, claim).await?;
    // One that is there already takes no room, and is not made.
    let new = chosen.rows.is_empty() && claim.given.is_none();
    if new {
        quota::ask(context, claim)?;
        reserved::ask(context, claim).await?;
    }
    let capacity = if new { room::ask(context, session, claim).await? } else { None };
    let mut taken = new.then(|| context.pools.take(&claim.server)).flatten();
    let facts = match &taken {
        Some(taken) => look::beside(session.reader(), &chosen.physical, taken.name()).await,
        None => look::look(pool, session.reader(), &chosen.physical, chosen.rows.clone()).await,
    };
    let facts = facts.map_err(|error| refusal::of_look(&error))?;
    // While a suspended tenant's workloads end, what is open stays open, and what is closed closed.
    let logins_allowed = claim.logins_allowed && !(claim.suspended && all_closed(&chosen, &facts));
    let extensions::Asked { wanted, refused, is_unseen } =
        extensions::ask(session, claim, &chosen.physical, &facts).await;
    let recorded = credentials::recorded(claim, &facts);
    let (settings, forbidden) = limits::settable(claim, &chosen.physical, &facts);
    let possible = Possible { logins_allowed, settings, extensions: wanted };
    let recorded = want(claim, &chosen, recorded, possible.clone());
    let basis = Basis {
        claim,
        physical: &chosen.physical,
        facts: &facts,
        held: secrets,
        logins_allowed,
        issued: taken.as_ref().and_then(Taken::issued),
        is_written: claim.declared.as_deref() == Some(&*recorded.declared()),
    };
    let Decided { specs, mut logins, rotating, again } = credentials::decide(context, pool, &basis).await?;
    let want = want(claim, &chosen, specs, possible);
    let plan = planned(&want, &facts, taken.as_mut()).map_err(|conflict| refusal::of_conflict(&conflict))?;
    let held = standing::hold(claim, &want, &facts, secrets, &plan);
    let mut held = held.map_err(|conflict| refusal::of_conflict(&conflict))?;
    let mut lacking = forbidden.into_iter().chain(refused).reduce(extensions::together);
    if is_unseen && held.declared != claim.declared {
        lacking = Some(extensions::unseen(&chosen.physical));
        // Whoever sees it as declared would take what is missing for drift.
        held.declared.clone_from(&claim.declared);
    }
    let mut batches = plan.batches;
    if held.is_left_alone() {
        batches.clear();
        // A password that the server does not get is nobody's: its Secret stays as it is.
        logins.retain(|secret, login| {
            secrets.get(secret).is_some_and(|found| found.login.password == login.password)
        });
    }
    room::hold(&mut batches, capacity);
    tenancy::hold(&mut batches, chosen.rows.first(), &claim.tenant_uid);
    Ok(Prepared { chosen, batches, logins, logins_allowed, rotating, again, taken, held, lacking })
}

/// What of a claim its server lets us do.
#[derive(Clone, Debug)]
pub(crate) struct Possible {
    /// Whether logins are let in.
    pub logins_allowed: bool,
    /// What stands with the database.
    pub settings: Settings,
    /// Extensions.
    pub extensions: Wanted,
}

/// What the claim's database is to be like.
pub(crate) fn want(
    claim: &Validated,
    Chosen { physical, rows }: &Chosen,
    credentials: Vec<CredentialSpec>,
    Possible { logins_allowed, settings, extensions }: Possible,
) -> DatabaseSpec {
    DatabaseSpec {
        physical: physical.clone(),
        tenant_uid: claim.tenant_uid.clone(),
        tenant_id: claim.id.to_string(),
        name: claim.name.clone(),
        claim: choose::of(claim),
        connection_limit: claim.connection_limit,
        settings,
        credentials,
        logins_allowed,
        adopted: claim.given.as_ref().map(|given| given.adopted.clone()),
        deletion_policy: claim.deletion_policy,
        own_server: claim.own_server.recorded(rows.first()),
        extensions,
    }
}

/// The plan, from the clone if it can be.
fn planned(want: &DatabaseSpec, facts: &Facts, taken: Option<&mut Taken<'_>>) -> Result<Plan, Conflict> {
    if let Some(taken) = taken {
        if let Some(plan) = pool::adopt(want, facts, taken.name())? {
            return Ok(plan);
        }
        // It is not as it was prepared: the pool has to look at it.
        taken.uses();
    }
    plan::plan(want, facts)
}

/// Which database it is, by the marker rows.
async fn chosen(session: &mut Session<'_>, claim: &Validated) -> Result<Chosen, Summary> {
    let which = Markers::OfClaim {
        tenant_uid: &claim.tenant_uid,
        namespace: &claim.namespace,
        name: claim.name.as_str(),
    };
    let read = observe::markers(session.reader(), &which).await;
    let mut rows = read.map_err(|error| refusal::of_observe(&error))?;
    let given = claim.given.as_ref();
    let given = given.map(|it| Markers::Given { database: &it.database, object: &it.adopted.object });
    let offered = claim.offered.as_ref().map(|physical| Markers::Physical(physical.as_str()));
    if let Some(which) = given.or(offered) {
        let read = observe::markers(session.reader(), &which).await;
        let more = read.map_err(|error| refusal::of_observe(&error))?;
        rows.extend(
            more.into_iter()
                .filter(|row| !rows.iter().any(|known| known.physical_name == row.physical_name))
                .collect::<Vec<_>>(),
        );
    }
    choose(claim, &rows)
}

fn all_closed(chosen: &Chosen, facts: &Facts) -> bool {
    let logins = chosen.rows.iter().flat_map(|row| &row.logins);
    logins.filter_map(|login| facts.roles.get(login)).all(|role| !role.login)
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
