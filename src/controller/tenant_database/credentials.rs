//! What becomes of a claim's credentials in this turn: which of its logins each uses, and with which password.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::binding::{self, Login, Logins, Secrets};
use super::rollouts;
use super::rotation::{self, Asked, Seen};
use super::validate::{ValidCredential, Validated};
use crate::api::condition::Summary;
use crate::api::names::{PhysicalName, Side};
use crate::controller::context::Context;
use crate::controller::database::refusal;
use crate::controller::database::want::{CredentialSpec, PasswordWish};
use crate::controller::outcome;
use crate::controller::pool::known::Issued;
use crate::postgres::connect::ServerPool;
use crate::postgres::facts::{Facts, Phase, StoredPassword};
use crate::postgres::issue::{Earlier, Issue};
use crate::postgres::quote::Ident;
use crate::postgres::scram::{Password, Verifier};

/// What the server, the workloads and people are told of the credentials.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    /// What the server is told.
    pub specs: Vec<CredentialSpec>,
    /// What the binding Secrets say, by name of the Secret.
    pub logins: Logins,
    /// Rotations under way.
    pub rotating: Vec<Rotating>,
    /// When somebody has to look again though nothing happened.
    pub again: Option<Duration>,
}

/// A rotation under way: both logins work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotating {
    /// The credential.
    pub credential: String,
    /// The login that is refused in the end.
    pub earlier: String,
    /// What it still works for.
    pub until: Until,
}

/// What an earlier login still works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// The rollout of that Microservice is complete; absent while the Secret is being written.
    RolledOut(Option<String>),
    /// Nobody uses it any more, or this time has come.
    Unused(Timestamp),
}

/// What the decision is made from.
pub(crate) struct Basis<'a> {
    /// The claim.
    pub claim: &'a Validated,
    /// The database.
    pub physical: &'a PhysicalName,
    /// What its server has.
    pub facts: &'a Facts,
    /// What the binding Secrets hold.
    pub held: &'a Secrets,
    /// Whether logins are let in.
    pub logins_allowed: bool,
    /// Whether the Secrets were written with what is recorded of the credentials.
    pub is_written: bool,
    /// The password of the login that the clone brings along, which becomes that of the first credential.
    pub issued: Option<&'a Issued>,
}

/// The credentials as they are recorded, whatever becomes of them now.
pub(crate) fn recorded(claim: &Validated, facts: &Facts) -> Vec<CredentialSpec> {
    let of = |credential: &ValidCredential| {
        let (name, group) = (credential.name.clone(), credential.access.group());
        let issue = facts.issues.get(name.as_str()).cloned();
        let side = issue.as_ref().map_or(Side::A, |issue| issue.side);
        let earlier_works = issue.as_ref().is_some_and(|issue| issue.earlier != Earlier::Refused);
        CredentialSpec {
            side,
            earlier_works,
            issue,
            ..CredentialSpec::plain(name, group, PasswordWish::Keep)
        }
    };
    claim.credentials.iter().map(of).collect()
}

/// Decides it.
pub(crate) async fn decide(
    context: &Context,
    pool: &ServerPool,
    basis: &Basis<'_>,
) -> Result<Decided, Summary> {
    let (mut decided, now) = (Decided::default(), context.now());
    for credential in &basis.claim.credentials {
        basis.decide(context, pool, credential, now, &mut decided).await?;
    }
    Ok(decided)
}

impl Basis<'_> {
    async fn decide(
        &self,
        context: &Context,
        pool: &ServerPool,
        credential: &ValidCredential,
        now: Timestamp,
        decided: &mut Decided,
    ) -> Result<(), Summary> {
        let ValidCredential { name, secret, access, asked } = credential;
        let before = self.facts.issues.get(name.as_str());
        let in_use = before.map_or(Side::A, |issue| issue.side);
        let found = self.held.get(secret);
        // What was written for the login as it is issued now. Any other may be known to who should not have it.
        let current = found.filter(|found| found.is_of(&self.physical.login(name, in_use), before));
        let opens = self.opens(context, pool, credential, (in_use, current.is_some())).await?;
        let lagging = match before.map(|issue| issue.earlier) {
            Some(Earlier::Rolling) if opens => rollouts::lagging(context, self.claim, credential)
                .await
                .map_err(|error| outcome::summary(&error))?,
            _ => None,
        };
        let unused_for = self.unused_for(context, credential, before);
        let seen = Seen {
            issue: before.cloned(),
            made: self.facts.roles.contains_key(&self.physical.login(name, Side::A)),
            rebound: self.is_rebound(),
            lost: !opens && self.is_lost(credential, in_use, current.is_some()),
            may_rotate: self.logins_allowed && !self.claim.suspended,
            rolled_out: opens && lagging.is_none(),
            unused_for,
        };
        let issue = rotation::next(asked, &seen, now);
        let side = issue.as_ref().map_or(in_use, |issue| issue.side);
        let login = self.physical.login(name, side);
        let goes_on = side == in_use;
        let (password, wish) = match (found.filter(|_| opens && goes_on), current.filter(|_| goes_on)) {
            (Some(found), _) => (found.login.password.clone(), PasswordWish::Keep),
            (None, Some(current)) if current.as_written && self.is_readable(credential, in_use) => {
                set_again(context, &current.login.password)
            }
            _ => self.issued(context, goes_on, decided.specs.is_empty()),
        };
        let issued_at = binding::issued_at(issue.as_ref());
        decided.logins.insert(secret.clone(), Login { name: login, password, issued_at });
        if let Some(issue) = &issue {
            decided.rotating.extend(self.rotating(credential, asked, issue, lagging));
            let again = rotation::look_again(asked, issue, &seen, now);
            decided.again = decided.again.into_iter().chain(again).min();
        }
        decided.specs.push(CredentialSpec {
            name: name.clone(),
            group: access.group(),
            side,
            password: wish,
            earlier_works: issue.as_ref().is_some_and(|issue| issue.earlier != Earlier::Refused),
            issue,
        });
        Ok(())
    }

    /// Whether pods may have a password of the login in use that nobody else can tell any more: they go on with it until
    /// they have heard of the other login.
    fn is_lost(&self, credential: &ValidCredential, in_use: Side, is_current: bool) -> bool {
        let [login, other] = [in_use, in_use.other()].map(|side| self.physical.login(&credential.name, side));
        let gone = match self.held.get(&credential.secret) {
            None => true,
            // One that names the other login was not written yet, or is an earlier one that somebody has brought back since. If nobody did
            // that or edited it, somebody changed the server: only who did that gets in.
            Some(found) => (found.login.name != other || self.is_written) && !(found.whole && is_current),
        };
        // Before the first turn that wrote one, nobody has been told of any.
        let told = self.claim.told;
        gone && told && self.facts.roles.get(&login).is_some_and(|role| role.login)
    }

    /// Whether we read what password the server has for the login. Where we may not, what a Secret holds may have been believed and never
    /// proved.
    fn is_readable(&self, credential: &ValidCredential, side: Side) -> bool {
        let role = self.facts.roles.get(&self.physical.login(&credential.name, side));
        role.is_none_or(|role| role.password != StoredPassword::Unreadable)
    }

    /// Whether the database is another claim's, or nobody's, until the end of this turn.
    fn is_rebound(&self) -> bool {
        self.facts.marker(self.physical.as_str()).is_none_or(|marker| {
            marker.phase != Phase::Bound || marker.claim.uid.as_deref() != Some(&*self.claim.uid)
        })
    }

    fn rotating(
        &self,
        credential: &ValidCredential,
        asked: &Asked,
        issue: &Issue,
        lagging: Option<String>,
    ) -> Option<Rotating> {
        let until = match issue.earlier {
            Earlier::Refused => return None,
            Earlier::Rolling => Until::RolledOut(lagging),
            Earlier::Grace { .. } => Until::Unused(rotation::grace_ends(asked, issue)?),
        };
        let earlier = self.physical.login(&credential.name, issue.side.other());
        Some(Rotating { credential: credential.name.as_str().to_owned(), earlier, until })
    }

    /// How long nobody has been seen to use the earlier login, as far as this process saw.
    fn unused_for(
        &self,
        context: &Context,
        credential: &ValidCredential,
        issue: Option<&Issue>,
    ) -> Option<Duration> {
        let key = format!("{}/{}/unused", self.physical, credential.name.as_str());
        let grace = issue.filter(|issue| matches!(issue.earlier, Earlier::Grace { .. }));
        let used = grace.map(|issue| {
            let earlier = self.physical.login(&credential.name, issue.side.other());
            self.facts.sessions_of(&[earlier].into())
        });
        if used == Some(0) {
            return Some(context.progress.watched(&key, "unused", Instant::now(), rotation::BLIND));
        }
        context.progress.clear(&key);
        None
    }

    /// A new password, for a login that goes on or for one that begins anew.
    fn issued(&self, context: &Context, goes_on: bool, is_first: bool) -> (Password, PasswordWish) {
        let ready = self.issued.filter(|_| is_first).cloned();
        let Issued { password, verifier } = ready.unwrap_or_else(|| context.random(Issued::new));
        let wish = if goes_on { PasswordWish::Set(verifier) } else { PasswordWish::Reissue(verifier) };
        (password, wish)
    }

    /// Whether what the binding Secret holds opens that login.
    async fn opens(
        &self,
        context: &Context,
        pool: &ServerPool,
        credential: &ValidCredential,
        (side, is_current): (Side, bool),
    ) -> Result<bool, Summary> {
        let login = self.physical.login(&credential.name, side);
        let (Some(found), Some(role)) = (self.held.get(&credential.secret), self.facts.roles.get(&login))
        else {
            return Ok(false);
        };
        let password = &found.login.password;
        Ok(match &role.password {
            // One that is refused may be so for a leak, and have been given the stolen password again before its session ended.
            StoredPassword::Scram(_) if !role.login && !is_current => false,
            StoredPassword::Scram(verifier) => context.verified.verifies(verifier, password),
            StoredPassword::Absent | StoredPassword::Other => false,
            // Our login may not read it: then the only proof is to log in. A login that is refused tells nothing, and the
            // Secret is believed to hold what it says that it holds.
            StoredPassword::Unreadable if role.login => {
                match pool.try_login(&Ident::from(self.physical), &login, password).await {
                    Ok(()) => true,
                    Err(error) if error.is_wrong_password() => false,
                    // Nor does whatever else the server answers: the login is in full use, may not enter, is kept out by
                    // pg_hba.conf or by a setting of its own. What is there stays, and the rest of the turn heals what it can.
                    Err(error) if error.is_answer() => is_current,
                    // A server that is slow says nothing about a password.
                    Err(error) => return Err(refusal::of_connect(&error)),
                }
            }
            StoredPassword::Unreadable => is_current,
        })
    }
}

/// The password that the login had: who changed it has changed it for nobody else.
fn set_again(context: &Context, password: &Password) -> (Password, PasswordWish) {
    let verifier = context.random(|random| Verifier::generate(password, random));
    (password.clone(), PasswordWish::Set(verifier))
}
