//! Plan: the pure difference between what is wanted and what a server has, as ordered statements.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::names::Names;
use super::stages::Stages;
use super::target::{Login, Target};
use super::want::{DatabaseSpec, PasswordWish};
use super::{adopted, extensions, inside};
use crate::api::names::CredentialName;
use crate::postgres::adoption::NameError;
use crate::postgres::facts::{DATABASE_OWNER, Facts, Marker, Phase};
use crate::postgres::issue::Issue;
use crate::postgres::quote::{Ident, QuoteError};
use crate::postgres::scram::Verifier;
use crate::postgres::statement::{Batch, Statement};

/// What has to be done, in order; each batch is one effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The batches.
    pub batches: Vec<Batch>,
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// A database or role of that name is not ours.
    #[error(
        "{what} {name:?} exists on the server and is not ours; rename or remove it, or choose another name"
    )]
    NameConflict {
        /// `database` or `role`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The database belongs to another claim.
    #[error("database {name:?} belongs to the claim {namespace}/{claim} of another tenant")]
    Claimed {
        /// Name of the database.
        name: String,
        /// Namespace of the claim that has it.
        namespace: String,
        /// Name of the claim that has it.
        claim: String,
    },
    /// The tenant has another database of that logical name already.
    #[error("the tenant has the database {name:?} of this name already")]
    SecondDatabase {
        /// Name of the database that there is.
        name: String,
    },
    /// The marker row says that there is a database, and there is none.
    #[error(
        "database {name:?} is gone from the server; restore it, or delete its row in tenantry.marker and its ServerDatabase, and set spec.fresh to true, to start empty"
    )]
    Missing {
        /// Name of the database.
        name: String,
    },
    /// Somebody dropped the database, and was cut short.
    #[error(
        "database {name:?} is what a DROP DATABASE that was cut short left of it: nobody can get into it any more, and PostgreSQL can only drop \
         it; restore it from a backup, or from its archive"
    )]
    CutShort {
        /// Name of the database.
        name: String,
    },
    /// A tombstone takes connections although its archive is made.
    #[error(
        "database {name:?} was opened after its archive was made: what was written since is in no archive; take the purge back, and purge it again for another"
    )]
    Reopened {
        /// Name of the database.
        name: String,
    },
    /// A database that was to be there is not, and is not ours to make.
    #[error(
        "database {name:?} does not exist on the server, and one that is adopted or observed is never made: create it there, or name another one in a new ServerDatabase"
    )]
    Absent {
        /// Name of the database.
        name: String,
    },
    /// Nobody gets into the database, and it is not ours to open.
    #[error(
        "database {name:?} takes no connections, and an adopted one is not opened: run ALTER DATABASE … ALLOW_CONNECTIONS true"
    )]
    Closed {
        /// Name of the database.
        name: String,
    },
    /// A row names a database or roles that are not ours to touch.
    #[error("failed to tell the names of the database and its roles")]
    Unnamed(#[source] NameError),
    /// A login has to be made and no password was given for it.
    #[error("login {name:?} does not exist and no password was given for it")]
    PasswordNeeded {
        /// Name of the login.
        name: String,
    },
    /// A name or text that no statement can hold.
    #[error("failed to quote a name")]
    Quote(#[source] QuoteError),
}

/// Statements that make the server as `want` says. Empty when it is so already.
pub fn plan(want: &DatabaseSpec, have: &Facts) -> Result<Plan, Conflict> {
    if let Some(adopted) = &want.adopted {
        return adopted::plan(want, adopted, have);
    }
    let marker = standing(want, have)?;
    let mut stages = Stages::default();
    let logins = logins(want, marker, have);
    markers(want, marker, logins.keys().cloned().collect(), &mut stages);
    stages.first.extend(issues(want, have));
    let names = Names::new(&want.physical).map_err(Conflict::Quote)?;
    let target = Target::new(names, have, logins);
    target.groups(&mut stages)?;
    target.logins(want.connection_limit, &mut stages)?;
    target.memberships(&mut stages)?;
    target.database(want.connection_limit, &want.settings, &mut stages)?;
    target.end_sessions(&mut stages)?;
    if let Some(known) = target.known_inside(marker.map(|marker| marker.phase)) {
        let statements = inside::statements(&target.names, &have.server, &have.memberships, &known);
        stages.inside = statements.map_err(Conflict::Quote)?;
        let made = extensions::statements(&target.names, &want.extensions, &known);
        stages.extensions = made.map_err(Conflict::Quote)?;
    }
    Ok(stages.plan(&target.names.database))
}

/// The logins as they have to be: those that are wanted, and refused those that were.
pub(super) fn logins<'a>(
    want: &'a DatabaseSpec,
    marker: Option<&Marker>,
    have: &Facts,
) -> BTreeMap<String, Login<'a>> {
    let recorded = marker.map(|marker| marker.logins.clone()).unwrap_or_default();
    let mut logins: BTreeMap<String, Login<'_>> =
        recorded.iter().map(|name| (name.clone(), Login::CLOSED)).collect();
    for credential in &want.credentials {
        let (name, group) = (&credential.name, Some(credential.group));
        let login = Login { open: want.logins_allowed, group, password: Some(&credential.password) };
        logins.insert(want.physical.login(name, credential.side), login);
        let earlier = want.physical.login(name, credential.side.other());
        if recorded.contains(&earlier) {
            // One that somebody dropped is not made again: nobody has its password.
            let works = credential.earlier_works && have.roles.contains_key(&earlier);
            let password = works.then_some(&PasswordWish::Keep);
            logins.insert(earlier, Login { open: works && want.logins_allowed, group, password });
        }
    }
    logins
}

/// Statements that release a database: every login is refused, everything else stays as it is. A database that is still
/// being made has never let anybody in: there is nothing to refuse, and it stays what it is.
pub fn release(marker: &Marker, have: &Facts) -> Result<Plan, Conflict> {
    let mut stages = Stages::default();
    if marker.phase == Phase::Bound {
        let released = Marker { phase: Phase::Released, generation: marker.generation + 1, ..marker.clone() };
        stages
            .first
            .push(Statement::UpdateMarker { marker: released, expected_generation: marker.generation });
    }
    refuse(marker, have, &marker.logins, stages)
}

/// Statements that refuse every login of a database and end their sessions, and no more: it stays bound. They need no
/// look into the database, so a tenant that holds all its connections cannot keep them from being made or run.
pub fn close(marker: &Marker, have: &Facts) -> Result<Plan, Conflict> {
    refuse(marker, have, &marker.logins, Stages::default())
}

/// Statements that refuse these logins of a database, whose passwords others know, and end their sessions. Each one, also if it
/// is refused already, gets the password that stands beside it, and what is recorded of the credentials says that none of
/// them is in use.
pub fn refuse_leaked(
    marker: &Marker,
    have: &Facts,
    leaked: &BTreeMap<String, Option<Verifier>>,
    replaced: &BTreeMap<CredentialName, Issue>,
) -> Result<Plan, Conflict> {
    let mut stages = Stages::default();
    let database = marker.physical().map_err(Conflict::Unnamed)?;
    stages.first.extend(replaced.iter().map(|(credential, issue)| Statement::WriteIssue {
        database: database.clone(),
        credential: credential.clone(),
        issue: issue.clone(),
    }));
    for (login, verifier) in leaked.iter().filter(|(login, _)| have.roles.contains_key(*login)) {
        let role = Ident::parse(login).map_err(Conflict::Quote)?;
        stages.first.extend(verifier.clone().map(|verifier| Statement::SetPassword { role, verifier }));
    }
    refuse(marker, have, &leaked.keys().cloned().collect(), stages)
}

fn refuse(
    marker: &Marker,
    have: &Facts,
    logins: &BTreeSet<String>,
    mut stages: Stages,
) -> Result<Plan, Conflict> {
    if marker.phase == Phase::Creating {
        return Ok(Plan::default());
    }
    let physical = marker.physical().map_err(Conflict::Unnamed)?;
    // One that we did not make may go without us: its logins are refused all the same.
    if marker.adopted.is_none() && !have.databases.contains_key(&marker.physical_name) {
        return Err(Conflict::Missing { name: marker.physical_name.clone() });
    }
    let closed = |name: &String| (name.clone(), Login::CLOSED);
    let names = Names::new(&physical).map_err(Conflict::Quote)?;
    let target = Target::new(names, have, logins.iter().map(closed).collect());
    target.close_logins(&mut stages)?;
    target.end_sessions(&mut stages)?;
    Ok(stages.plan(&target.names.database))
}

/// The marker row of the wanted database, if no row stands against it.
pub(super) fn own_row<'a>(want: &DatabaseSpec, have: &'a Facts) -> Result<Option<&'a Marker>, Conflict> {
    let physical = want.physical.as_str();
    let own = |marker: &&Marker| marker.tenant_uid == want.tenant_uid && marker.name == want.name.as_str();
    if let Some(other) = have.markers.iter().find(|marker| own(marker) && marker.physical_name != physical) {
        return Err(Conflict::SecondDatabase { name: other.physical_name.clone() });
    }
    let marker = have.marker(physical);
    let given = |marker: &&Marker| is_offered(marker, want) || is_left(marker, want);
    if let Some(marker) = marker.filter(|marker| !own(marker) && !given(marker)) {
        return Err(Conflict::Claimed {
            name: physical.to_owned(),
            namespace: marker.claim.namespace.clone(),
            claim: marker.claim.name.clone(),
        });
    }
    Ok(marker)
}

/// The same, if the server has nothing else that stands against it.
pub(super) fn standing<'a>(want: &DatabaseSpec, have: &'a Facts) -> Result<Option<&'a Marker>, Conflict> {
    let (marker, physical) = (own_row(want, have)?, want.physical.as_str());
    let conflict = |what, name: &str| Err(Conflict::NameConflict { what, name: name.to_owned() });
    let database = have.databases.get(physical);
    match (marker.map(|marker| marker.phase), database) {
        (None | Some(Phase::Tombstoned | Phase::Dropping), Some(_)) => return conflict("database", physical),
        // We give the database to its owner in the statement that makes it: another owner means another maker.
        (Some(Phase::Creating), Some(it)) if it.owner != DATABASE_OWNER => {
            return conflict("database", physical);
        }
        (Some(Phase::Bound | Phase::Released | Phase::Tombstoned | Phase::Dropping), None) => {
            return Err(Conflict::Missing { name: physical.to_owned() });
        }
        _ => {}
    }
    roles_are_ours(want, marker, have)?;
    Ok(marker)
}

/// Whether every role of a wanted name is one that the row tells of.
pub(super) fn roles_are_ours(
    want: &DatabaseSpec,
    marker: Option<&Marker>,
    have: &Facts,
) -> Result<(), Conflict> {
    let conflict = |what, name: &str| Err(Conflict::NameConflict { what, name: name.to_owned() });
    let names = Names::new(&want.physical).map_err(Conflict::Quote)?;
    if let Some(group) = names.groups().iter().find(|group| have.roles.contains_key(group.as_str()))
        && marker.is_none()
    {
        return conflict("role", group.as_str());
    }
    for credential in &want.credentials {
        // Claim `app` with credential `b-c` and claim `app-b` with credential `c` mean the same login.
        let login = want.physical.login(&credential.name, credential.side);
        let ours = marker.is_some_and(|marker| marker.logins.contains(&login));
        if have.roles.contains_key(&login) && !ours {
            return conflict("role", &login);
        }
    }
    Ok(())
}

/// Whether an admin gave the released database of an earlier tenant to this claim.
fn is_offered(marker: &Marker, want: &DatabaseSpec) -> bool {
    let (from, to) = (&marker.claim, &want.claim);
    marker.phase == Phase::Released
        && (&from.namespace, &from.name) == (&to.namespace, &to.name)
        && (from.uid.is_none() || from.uid == to.uid)
}

/// Whether it is the very claim's, whose tenant has taken its namespace over from another.
fn is_left(marker: &Marker, want: &DatabaseSpec) -> bool {
    let held = matches!(marker.phase, Phase::Creating | Phase::Bound);
    held && marker.claim == want.claim && want.claim.uid.is_some()
}

/// The intent before the first effect, and the outcome after the last.
pub(super) fn markers(
    want: &DatabaseSpec,
    marker: Option<&Marker>,
    logins: BTreeSet<String>,
    stages: &mut Stages,
) {
    // One that is kept is kept until it is bound: nobody may come to do that.
    let released = marker.filter(|marker| marker.phase == Phase::Released);
    let intent = Marker {
        logins,
        adopted: want.adopted.clone(),
        deletion_policy: want
            .deletion_policy
            .max(released.map_or(want.deletion_policy, |it| it.deletion_policy)),
        own_server: want.own_server,
        ..marker.cloned().unwrap_or_else(|| Marker { phase: Phase::Creating, ..bound(want) })
    };
    let rebound =
        intent.phase == Phase::Released || intent.claim != want.claim || intent.tenant_uid != want.tenant_uid;
    let outcome = Marker {
        tenant_uid: want.tenant_uid.clone(),
        name: want.name.as_str().to_owned(),
        claim: want.claim.clone(),
        phase: Phase::Bound,
        generation: intent.generation + i64::from(rebound),
        deletion_policy: want.deletion_policy,
        ..intent.clone()
    };
    match marker {
        None => stages.first.push(Statement::InsertMarker(intent.clone())),
        Some(before) if *before != intent => {
            let expected_generation = before.generation;
            stages.first.push(Statement::UpdateMarker { marker: intent.clone(), expected_generation });
        }
        Some(_) => {}
    }
    if outcome != intent {
        stages.outcome =
            Some(Statement::UpdateMarker { marker: outcome, expected_generation: intent.generation });
    }
}

/// The row of a database that is made for its claim.
pub(super) fn bound(want: &DatabaseSpec) -> Marker {
    Marker {
        tenant_uid: want.tenant_uid.clone(),
        name: want.name.as_str().to_owned(),
        tenant_id: want.tenant_id.clone(),
        physical_name: want.physical.as_str().to_owned(),
        claim: want.claim.clone(),
        phase: Phase::Bound,
        generation: 1,
        epoch: 0,
        logins: logins(want, None, &Facts::default()).into_keys().collect(),
        adopted: want.adopted.clone(),
        deletion_policy: want.deletion_policy,
        own_server: want.own_server,
    }
}

/// What has to be recorded of the credentials, with the first effect.
pub(super) fn issues<'a>(want: &'a DatabaseSpec, have: &'a Facts) -> impl Iterator<Item = Statement> + 'a {
    want.credentials.iter().filter_map(|credential| {
        let issue = credential.issue.as_ref()?;
        let news = have.issues.get(credential.name.as_str()) != Some(issue);
        news.then(|| Statement::WriteIssue {
            database: want.physical.clone(),
            credential: credential.name.clone(),
            issue: issue.clone(),
        })
    })
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

/// One line a statement, without secrets; a line before each batch says where it runs.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for batch in &self.batches {
            writeln!(f, "-- {}", batch.place)?;
            for statement in &batch.statements {
                writeln!(f, "{statement};")?;
            }
        }
        Ok(())
    }
}
