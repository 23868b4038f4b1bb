//! Standing: claims whose databases are known to be as declared, so that nobody has to look again.
//!
//! A turn that went through leaves what it wanted and what it found. As long as the claim means the same, its Secrets are
//! as they were written and the server's own look finds the database as it was left ([`Standings::compare`]: one
//! observation for all databases of a server), the claim's next turns ask the server nothing. Only the inside of the
//! database, which nobody sees from outside, is looked into by the claim itself, every [`INSIDE`].
//!
//! Nothing is lost with it: whoever finds no standing, after a start for one, observes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::binding::{Logins, Secrets};
use super::provision::Provisioned;
use super::validate::Validated;
use crate::api::database_server::DriftPolicy;
use crate::api::names::CredentialName;
use crate::api::server_database::Management;
use crate::controller::context::Context;
use crate::controller::database::drift::{self, Drift};
use crate::controller::database::fleet::Fleet;
use crate::controller::database::inside;
use crate::controller::database::plan::{self, Conflict, Plan};
use crate::controller::database::want::{DatabaseSpec, PasswordWish};
use crate::controller::object::{Key, Kind};
use crate::postgres::facts::{Facts, Inside, Phase, Server};
use crate::postgres::observe;
use crate::postgres::quote::Ident;

/// The inside of a database is looked into this often.
pub const INSIDE: Duration = Duration::from_mins(10);
/// What no look at the server has confirmed for so long is observed by the claim itself.
const STALE: Duration = Duration::from_mins(5);

/// What a turn leaves to the next.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Hash of what is declared.
    pub declared: Option<String>,
    /// What somebody changed since that was done.
    pub drift: Option<Drift>,
    /// What is wanted, and what a look from outside will find to differ: nothing, or what is left alone.
    expected: Option<Expected>,
}

/// What a look at the server is compared with.
#[derive(Clone, Debug)]
struct Expected {
    want: DatabaseSpec,
    server: Server,
    differs: Plan,
}

impl Held {
    /// What differed was not all brought back.
    pub fn is_unfinished(&mut self) {
        if let Some(drift) = &mut self.drift {
            drift.unfinished = true;
        }
    }

    /// Whether what differs is still there after the turn.
    pub fn still_differs(&self) -> bool {
        self.drift.as_ref().is_some_and(|drift| !drift.corrected || drift.unfinished)
    }

    /// Whether what differs stays as it is.
    pub fn is_left_alone(&self) -> bool {
        self.drift.as_ref().is_some_and(|drift| !drift.corrected)
    }
}

/// Judges a plan: is it what is asked for, or what somebody changed? `secrets` is what the claim's Secrets hold.
pub(super) fn hold(
    claim: &Validated,
    want: &DatabaseSpec,
    have: &Facts,
    secrets: &Secrets,
    plan: &Plan,
) -> Result<Held, Conflict> {
    let declared = want.declared();
    let bound = have.marker(want.physical.as_str()).is_some_and(|row| {
        row.phase == Phase::Bound && row.claim == want.claim && row.tenant_uid == want.tenant_uid
    });
    // A Secret that is gone was not changed on the server: without it nobody can log in.
    let complete = claim.credentials.iter().all(|it| secrets.contains_key(&it.secret));
    let made = claim.declared.as_deref() == Some(&*declared) && bound && complete && want.is_recorded(have);
    let drift = (made && !plan.is_empty()).then(|| Drift {
        found: drift::found(plan, &have.server.admin),
        corrected: claim.drift_policy == DriftPolicy::Correct,
        unfinished: false,
    });
    let left_alone = drift.as_ref().is_some_and(|drift| !drift.corrected);
    // A credential in the middle of a rotation is its turn's to look after, whatever stands still.
    let settled = want.credentials.iter().all(|it| !it.earlier_works);
    let known = want.seen_from_outside(have).filter(|_| settled && (!left_alone || keeps_all(want)));
    let expected = match known {
        None => None,
        Some(want) => {
            let outside = || Facts { inside: [].into(), ..have.clone() };
            let differs = if left_alone { plan::plan(&want, &outside())? } else { Plan::default() };
            Some(Expected { want, server: have.server.clone(), differs })
        }
    };
    Ok(Held { declared: Some(declared), drift, expected })
}

/// Whether every password of the server is the one that it has to be. A wrong one that is left alone cannot be told from
/// a right one later.
fn keeps_all(want: &DatabaseSpec) -> bool {
    want.credentials.iter().all(|credential| credential.password == PasswordWish::Keep)
}

/// One claim's standing.
#[derive(Clone, Debug)]
struct Standing {
    settled: Arc<Settled>,
    /// When the server was last seen to have it so.
    confirmed: Instant,
    /// When the database was last looked into.
    entered: Instant,
    /// When a credential is to be rotated next.
    until: Option<Instant>,
}

#[derive(Debug)]
struct Settled {
    claim: Validated,
    expected: Expected,
    provisioned: Provisioned,
}

/// What a look at a server says of the claims on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// The databases that were compared, by this look or by their claims' own since.
    pub compared: BTreeSet<String>,
    /// Those whose databases are not as they were left.
    pub differing: Vec<Key>,
    /// How many databases differ from what is declared, those that are left alone too.
    pub drifted: usize,
}

/// The standing of every claim that has one.
#[derive(Debug, Default)]
pub struct Standings(Mutex<HashMap<Key, Standing>>);

impl Standings {
    fn all(&self) -> MutexGuard<'_, HashMap<Key, Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The claim has to observe again.
    pub fn forget(&self, claim: &Key) {
        self.all().remove(claim);
    }

    /// Every claim on that server has to observe again.
    pub fn forget_server(&self, server: &str) {
        self.all().retain(|_, standing| standing.settled.claim.server != server);
    }

    /// Compares every claim on `server` that had a standing when it was looked at, at `at`, with what the server had. One
    /// whose database is not as it was left loses its standing: it is for its own turn to find out what that means.
    pub fn compare(&self, server: &str, fleet: &Fleet, at: Instant) -> Compared {
        let on = |(key, standing): (&Key, &Standing)| {
            let here = standing.settled.claim.server == server;
            here.then(|| (key.clone(), Arc::clone(&standing.settled), standing.confirmed < at))
        };
        let standing: Vec<(Key, Arc<Settled>, bool)> = self.all().iter().filter_map(on).collect();
        let mut result = Compared::default();
        for (key, settled, before) in standing {
            let Expected { want, differs, server: then } = &settled.expected;
            result.compared.insert(want.physical.to_string());
            if !before {
                // Its own turn has looked since.
                continue;
            }
            let have = fleet.of(want);
            let found = plan::plan(want, &have);
            // What our login may set since then is what is asked for now, and nobody's doing.
            let same =
                found.as_ref() == Ok(differs) && have.server.forbidden_settings == then.forbidden_settings;
            result.drifted += usize::from(found != Ok(Plan::default()));
            let mut all = self.all();
            // Whoever settled meanwhile knows better.
            let Some(now_held) = all.get_mut(&key).filter(|it| Arc::ptr_eq(&it.settled, &settled)) else {
                continue;
            };
            if same {
                now_held.confirmed = at;
            } else {
                all.remove(&key);
                result.differing.push(key);
            }
        }
        result
    }
}

/// Remembers what a turn that went through wanted and found.
pub(super) fn keep(context: &Context, claim: &Validated, provisioned: &Provisioned) {
    let still = provisioned.rotating.is_empty() && provisioned.lacking.is_none();
    let Some(expected) = provisioned.held.expected.clone().filter(|_| still) else { return };
    let held = Held {
        drift: provisioned.held.drift.clone().filter(|drift| !drift.corrected),
        expected: None,
        ..provisioned.held.clone()
    };
    // Passwords are the Secrets' to keep.
    let left = Provisioned { logins: Logins::new(), held, ..provisioned.clone() };
    let claim = Validated { declared: left.held.declared.clone(), requested: None, ..claim.clone() };
    let now = Instant::now();
    let until = left.again.and_then(|again| now.checked_add(again));
    let settled = Arc::new(Settled { claim, expected, provisioned: left });
    let key = key_of(&settled.claim);
    context.standings.all().insert(key, Standing { settled, confirmed: now, entered: now, until });
}

/// What the claim has, if it is known to be as declared.
pub(super) async fn recall(context: &Context, claim: &Validated) -> Option<Provisioned> {
    let key = key_of(claim);
    let Standing { settled, confirmed, entered, until } = context.standings.all().get(&key)?.clone();
    let again = until.map(|until| until.saturating_duration_since(Instant::now()));
    let fits = settled.claim == *claim
        && confirmed.elapsed() < STALE
        && again != Some(Duration::ZERO)
        && context.servers.is_usable(&claim.server)
        && is_where_it_was(context, &claim.server, &settled.provisioned)
        && claim.credentials.iter().all(|it| is_as_written(context, &claim.namespace, &it.secret));
    if !fits {
        return None;
    }
    if entered.elapsed() >= INSIDE {
        if !is_right_inside(context, &key, &settled).await? {
            context.standings.forget(&key);
            return None;
        }
        if let Some(standing) = context.standings.all().get_mut(&key) {
            standing.entered = Instant::now();
        }
    }
    Some(Provisioned { again, ..settled.provisioned.clone() })
}

/// Whether the claim stands with every one of those reports of leaks seen to.
pub(super) fn has_seen_to(
    context: &Context,
    claim: &Key,
    reports: &BTreeMap<CredentialName, String>,
) -> bool {
    context.standings.all().get(claim).is_some_and(|standing| {
        let seen_to = |(name, report): (&CredentialName, &String)| {
            let mut credentials = standing.settled.claim.credentials.iter();
            credentials.any(|it| it.name == *name && it.asked.compromised.as_ref() == Some(report))
        };
        reports.iter().all(seen_to)
    })
}

fn key_of(claim: &Validated) -> Key {
    Key::namespaced(&claim.namespace, claim.name.as_str())
}

/// Whether the server is reached as the claim's Secrets say: a turn may have begun before that changed.
fn is_where_it_was(context: &Context, server: &str, told: &Provisioned) -> bool {
    context.servers.proven(server).is_some_and(|target| {
        (&*target.host, target.port, &*target.ca_pem) == (&*told.host, told.port, &*told.ca)
    })
}

/// Whether the Secret is the one that was written last.
fn is_as_written(context: &Context, namespace: &str, secret: &str) -> bool {
    let key = Key::namespaced(namespace, secret);
    let child = context.gate.child(Kind::Secret, &key).filter(|child| !child.deleting);
    child.is_some_and(|child| context.gate.is_echo(Kind::Secret, &key, child.token))
}

/// Looks into the database. `None` if that cannot be told now.
async fn is_right_inside(context: &Context, key: &Key, settled: &Settled) -> Option<bool> {
    if settled.provisioned.held.is_left_alone() {
        return Some(false);
    }
    if settled.expected.want.management() == Management::Observe {
        // It has nothing of ours to look for.
        return Some(true);
    }
    let pool = context.servers.enter(&settled.claim.server, Kind::TenantDatabase, key)?;
    let physical = &settled.provisioned.physical;
    let mut session = pool.database(&Ident::from(physical)).await.ok()?;
    let inside: Inside = observe::inside(&mut session).await.ok()?;
    session.release().await;
    inside::is_right(&settled.expected.want, &settled.expected.server, inside).ok()
}
