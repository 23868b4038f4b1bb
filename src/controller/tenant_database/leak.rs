//! Before all other steps: a login whose password others know is refused and its sessions end, whatever else stands against
//! the claim. Nothing that is wrong with its spec, its plan or its Secrets keeps a stolen password working.
//!
//! The next login is issued by the rest of the turn ([`rotation`]), as soon as nothing stands against that. That it has to be is
//! recorded with the refusal, and the refused ones have passwords that nobody knows, those of a suspended tenant too: who takes
//! the report back does not let the stolen one in again.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::fetch::Fetched;
use super::{place, provision, rotation, standing};
use crate::api::condition::{self, ROTATING, Summary};
use crate::api::names::{CredentialName, Side};
use crate::api::tenant_database::TenantDatabaseStatus;
use crate::api::{ServerDatabase, TenantDatabase, labels};
use crate::controller::context::Context;
use crate::controller::database::plan::{self, Conflict};
use crate::controller::database::{look, refusal};
use crate::controller::object::Kind;
use crate::controller::worker::key_of;
use crate::postgres::execute::Session;
use crate::postgres::facts::{Marker, Phase};
use crate::postgres::observe::{self, Markers};
use crate::postgres::record::Cause;
use crate::postgres::scram::{Password, Verifier};
use crate::postgres::statement::Batch;

/// What was reported, by credential, as it is recorded once its logins were refused for it.
type Reports = BTreeMap<CredentialName, String>;

/// Refuses what was reported. Returns the credentials that have no login now.
pub async fn refuse(context: &Context, fetched: &Fetched) -> Result<Vec<CredentialName>, Summary> {
    let reports = reports(&fetched.claim);
    let (key, mut refused) = (key_of(&fetched.claim), vec![]);
    if reports.is_empty() || standing::has_seen_to(context, &key, &reports) {
        return Ok(refused);
    }
    let claims = |database: &&ServerDatabase| {
        let claim = &database.spec.claim_ref;
        (&*claim.namespace, &*claim.name) == (&*key.namespace, &*key.name)
    };
    for database in fetched.databases.iter().filter(claims) {
        let physical = &database.spec.physical_name;
        let server = &database.spec.server_ref.name;
        let pool = context.servers.enter(server, Kind::TenantDatabase, &key);
        let pool = pool.ok_or_else(|| place::not_ready(server))?;
        let cause = Cause::new(format_args!("{} {key}", Kind::TenantDatabase), "compromised");
        let mut session = provision::open(context, &pool, cause).await?;
        match refusing(context, &mut session, fetched, physical, &reports).await {
            Ok((leaked, batches)) => {
                if !batches.is_empty() {
                    context.standings.forget(&key);
                }
                provision::run(session, &batches).await?;
                refused.extend(leaked);
            }
            Err(summary) => {
                session.close().await;
                return Err(summary);
            }
        }
    }
    Ok(refused)
}

/// What the claim says that stays undone, with the credentials that have no login until it is done.
pub fn noted(problem: Summary, refused: &[CredentialName]) -> Summary {
    if refused.is_empty() {
        return problem;
    }
    let names: Vec<&str> = refused.iter().map(CredentialName::as_str).collect();
    let note = format!(
        "; until then no login works of what was reported as compromised: credential {}",
        names.join(", ")
    );
    match problem {
        Summary::Ready { message } => Summary::Ready { message },
        Summary::Progressing { reason, message } => Summary::Progressing { reason, message: message + &note },
        Summary::Stalled { reason, message } => Summary::Stalled { reason, message: message + &note },
    }
}

/// Neither login works of what was reported, whatever was said of a rotation that was under way.
pub fn ends_rotation(status: &mut TenantDatabaseStatus, refused: &[CredentialName]) {
    if !refused.is_empty() {
        condition::remove(&mut status.conditions, ROTATING);
    }
}

fn reports(claim: &TenantDatabase) -> Reports {
    let report = |(name, value): (&String, &String)| {
        let name = CredentialName::parse(name.strip_prefix(labels::COMPROMISED)?).ok()?;
        Some((name, rotation::request(value)))
    };
    claim.annotations().iter().filter_map(report).collect()
}

/// The credentials of the claim's database that were reported and have no login now, and what refuses the logins of those that
/// were reported.
async fn refusing(
    context: &Context,
    session: &mut Session<'_>,
    fetched: &Fetched,
    physical: &str,
    reports: &Reports,
) -> Result<(Vec<CredentialName>, Vec<Batch>), Summary> {
    let rows = observe::markers(session.reader(), &Markers::Physical(physical)).await;
    let rows = rows.map_err(|error| refusal::of_observe(&error))?;
    let (key, tenant) = (key_of(&fetched.claim), fetched.tenant.as_ref().and_then(ResourceExt::uid));
    // One that was made again has the database of the one before, as long as it is the same tenant's.
    let is_its = |row: &&Marker| {
        let same = (&*row.claim.namespace, &*row.claim.name) == (&*key.namespace, &*key.name);
        let own = row.claim.uid == fetched.claim.uid() || tenant.as_deref() == Some(&*row.tenant_uid);
        row.phase == Phase::Bound && same && own
    };
    let Some(row) = rows.iter().find(is_its).cloned() else { return Ok((vec![], vec![])) };
    let physical = row.physical().map_err(|error| refusal::of_conflict(&Conflict::Unnamed(error)))?;
    let issues = observe::issues(session.reader(), &physical).await;
    let issues = issues.map_err(|error| refusal::of_observe(&error))?;
    let facts = look::outside(session.reader(), &physical, rows).await;
    let facts = facts.map_err(|error| refusal::of_look(&error))?;
    let works = |login: &String| facts.roles.get(login).is_some_and(|role| role.login);
    let (mut without, mut leaked, mut replaced) = (vec![], BTreeMap::new(), BTreeMap::new());
    for (name, report) in reports {
        let own = [Side::A, Side::B].map(|side| physical.login(name, side));
        let own: Vec<String> = own.into_iter().filter(|login| row.logins.contains(login)).collect();
        match issues.get(name.as_str()) {
            _ if own.is_empty() => continue,
            // Sessions may have outlasted a refusal that was cut short.
            Some(issue) if issue.compromised_for.as_ref() == Some(report) => {
                let sessions = |login: &String| facts.sessions_of(&[login.clone()].into());
                let lasting = own.into_iter().filter(|login| !works(login) && sessions(login) > 0);
                leaked.extend(lasting.map(|login| (login, None)));
                if works(&physical.login(name, issue.side)) {
                    continue;
                }
            }
            before => {
                let rotate = fetched.claim.annotations().get(&format!("{}{}", labels::ROTATE, name.as_str()));
                let rotate = rotate.map(|value| rotation::request(value));
                replaced.insert(name.clone(), rotation::leaked(before, report, rotate, context.now()));
                leaked.extend(own.into_iter().map(|login| (login, Some(unknown(context)))));
            }
        }
        without.push(name.clone());
    }
    if leaked.is_empty() {
        return Ok((without, vec![]));
    }
    let plan = plan::refuse_leaked(&row, &facts, &leaked, &replaced);
    Ok((without, plan.map_err(|error| refusal::of_conflict(&error))?.batches))
}

/// A verifier of a password that nobody keeps.
fn unknown(context: &Context) -> Verifier {
    let password = context.random(Password::generate);
    context.random(|random| Verifier::generate(&password, random))
}
