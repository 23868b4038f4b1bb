//! The archive of a tombstone, or of a released database that is kept: a login and a scratch database for it, a Job that uses them, and its report.
//!
//! Everything is taken up again from what there is: rows of the pool, the login, Jobs. Whatever an operator that died has left is
//! taken back before anything is made anew; a password is nowhere but in the Secret of the attempt that it was made for.

use std::collections::HashSet;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use rand::RngExt;

use super::act::Act;
use super::admission::{Admitted, Recorded};
use super::attempt::Attempt;
use super::fetch::{Fetched, failed};
use super::job::{ATTEMPTS, Wanted, Work, archive_name, outdated};
use super::line::Candidate;
use super::validate::{Verdict, is_archive_wanted, is_snapshot_wanted, validate};
use super::{evidence, line, place};
use crate::api::condition::{Summary, reason};
use crate::api::database_server::ArchiveStore;
use crate::api::labels::SERVERS_NAMESPACE;
use crate::api::names::PhysicalName;
use crate::api::{DatabaseServer, ServerDatabase};
use crate::controller::apply::{ApplyError, Declared};
use crate::controller::context::Context;
use crate::controller::database::archiving;
use crate::controller::object::{Key, Kind};
use crate::controller::queue::Lane;
use crate::postgres::connect::AdminTarget;
use crate::postgres::facts::Marker;
use crate::postgres::pool::PoolName;
use crate::postgres::quote::Ident;
use crate::postgres::scram::{Password, Verifier};
use crate::postgres::tombstone::source;

/// When it is looked again at what nobody tells us of: a volume that is made, a pod that begins.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// The same for one that waits in line: whoever makes room calls the next ones, but may die before.
const IN_LINE: Duration = Duration::from_mins(5);

/// What the turn did about the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archiving {
    /// Nothing: none is asked for, or it is recorded.
    Idle,
    /// It is under way, or waits.
    Waiting(Awaited),
    /// It is recorded now: the row says so.
    Recorded,
    /// Something stands against it, or against taking back what one was made with.
    Failed(Summary),
}

/// What an archive that there is not yet waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// CamelCase reason of the condition.
    pub reason: &'static str,
    /// In words that follow "there is no verified archive yet, ".
    pub words: String,
    /// When to look again.
    pub again: Option<Duration>,
}

impl Awaited {
    fn new(words: impl Into<String>, again: Option<Duration>) -> Self {
        Self { reason: reason::ARCHIVING, words: words.into(), again }
    }

    /// It waits in line.
    fn in_line(server: &str) -> Self {
        Self { reason: reason::QUEUED, words: line::words(server), again: Some(IN_LINE) }
    }
}

impl From<Awaited> for Archiving {
    fn from(awaited: Awaited) -> Self {
        Self::Waiting(awaited)
    }
}

/// What a step came to, unless the API server failed.
type Stepped = Result<Result<Archiving, Summary>, ApplyError>;

/// Does what there is to do for the archive of the database, if one is wanted, or takes back what one was made with.
pub async fn step(context: &Context, fetched: &Fetched) -> Result<Archiving, ApplyError> {
    let row = fetched.marker.as_ref().ok().and_then(Option::as_ref).filter(|row| row.adopted.is_none());
    let Some(row) = row else { return abandon(context, fetched).await };
    let Ok(physical) = row.physical() else { return Ok(Archiving::Idle) };
    // Bringing a database back, and refusing whoever has no claim any more, wait for nothing of this.
    if matches!(validate(fetched), Verdict::Act(Act::Release | Act::Close | Act::Exhume)) {
        return Ok(Archiving::Idle);
    }
    let database = &fetched.database;
    let server = &database.spec.server_ref.name;
    let jobs = jobs(context, &physical);
    let turn = Turn { context, database, server, row, physical: &physical };
    let wanted =
        is_archive_wanted(database, row, fetched.tombstone.as_ref()) || is_snapshot_wanted(fetched, row);
    let store = store(context, server);
    let stepped = match &store {
        // What stands against the drop stands against its archive too.
        Some(store) if wanted && fetched.obstacle.is_none() => turn.go_on(&jobs, store).await?,
        // The purge was taken back, the database is claimed again, the archive is recorded, or nobody keeps any more.
        _ if !jobs.is_empty() || may_be_left_over(&turn, fetched) => turn.give_up(&jobs).await?,
        _ => Ok(Archiving::Idle),
    };
    Ok(match stepped {
        Ok(_) if wanted && store.is_none() => {
            let words = format!("which it waits for: DatabaseServer {server} has no spec.archive");
            Awaited::new(words, None).into()
        }
        Ok(stepped) => stepped,
        Err(summary) => Archiving::Failed(summary),
    })
}

/// Has the Jobs go whose row the server does not have any more: nobody would ask for what they make.
async fn abandon(context: &Context, fetched: &Fetched) -> Result<Archiving, ApplyError> {
    let physical = PhysicalName::parse(&fetched.database.spec.physical_name);
    if let (Ok(None), Ok(physical)) = (&fetched.marker, physical) {
        delete(context, &jobs(context, &physical)).await?;
    }
    Ok(Archiving::Idle)
}

/// Whether something may be left of an attempt without a Job to tell of it: whoever was about to make one may have died before.
/// What a recorded archive was made with was taken back before that.
fn may_be_left_over(turn: &Turn<'_>, fetched: &Fetched) -> bool {
    let Turn { context, server, row, physical, .. } = *turn;
    let proven = fetched.kept.is_some()
        || fetched.tombstone.as_ref().is_some_and(|tombstone| tombstone.proof(row).is_some());
    row.logins.contains(&archiving::login(physical)) && !proven && !context.swept.is(server, physical)
}

/// Where the server's archives are kept.
pub(super) fn store(context: &Context, server: &str) -> Option<ArchiveStore> {
    let server: Option<DatabaseServer> = context.valid(&Key::cluster(server));
    server?.spec.archive
}

/// The Jobs of attempts at an archive of the database, with their UIDs.
fn jobs(context: &Context, physical: &PhysicalName) -> Vec<(Key, String)> {
    let all = context.gate.children_in(Kind::Job, SERVERS_NAMESPACE).into_iter();
    let own = all.filter(|(key, child)| {
        let own = child.owner_uid.as_deref() == Some(physical.as_str()) && !child.deleting;
        own && key.name.starts_with(ATTEMPTS)
    });
    own.map(|(key, child)| (key, child.uid.to_string())).collect()
}

/// Physical names of the databases of which there was an attempt at an archive: its Job stays for as long as there is none.
fn tried(context: &Context) -> HashSet<String> {
    let all = context.gate.children_in(Kind::Job, SERVERS_NAMESPACE).into_iter();
    let attempts = all.filter(|(key, child)| !child.deleting && key.name.starts_with(ATTEMPTS));
    attempts.filter_map(|(_, child)| child.owner_uid.as_deref().map(str::to_owned)).collect()
}

fn candidate<'a>(database: &'a ServerDatabase, tried: &HashSet<String>) -> Candidate<'a> {
    Candidate { database, tried: tried.contains(&database.spec.physical_name) }
}

/// One turn's view.
pub(super) struct Turn<'a> {
    pub(super) context: &'a Context,
    pub(super) database: &'a ServerDatabase,
    pub(super) server: &'a str,
    pub(super) row: &'a Marker,
    pub(super) physical: &'a PhysicalName,
}

impl Turn<'_> {
    /// Takes back what an archive was made with, if anything, and then its Jobs.
    async fn give_up(&self, jobs: &[(Key, String)]) -> Stepped {
        if let Err(summary) = self.withdraw().await {
            return Ok(Err(summary));
        }
        self.delete(jobs).await?;
        Ok(Ok(Archiving::Idle))
    }

    async fn go_on(&self, jobs: &[(Key, String)], store: &ArchiveStore) -> Stepped {
        let mut attempts = vec![];
        for (key, _) in jobs {
            attempts.extend(read(self.context, key).await?.as_ref().and_then(Attempt::of));
        }
        attempts.retain(|attempt| attempt.generation == self.row.generation);
        attempts.sort_by_key(|attempt| attempt.number);
        let Some(newest) = attempts.pop() else {
            // What is left is of an earlier purge.
            self.delete(jobs).await?;
            return self.begin(1, store).await;
        };
        let others: Vec<_> = jobs.iter().filter(|(key, _)| *key.name != *newest.job).cloned().collect();
        self.delete(&others).await?;
        match newest.ended {
            Some(ended) => self.conclude(&newest, ended, store).await,
            None => self.look_at(&newest, jobs).await,
        }
    }

    /// An attempt that is under way.
    async fn look_at(&self, attempt: &Attempt, jobs: &[(Key, String)]) -> Stepped {
        let secret = Key::namespaced(SERVERS_NAMESPACE, &attempt.job);
        if self.context.gate.child(Kind::Secret, &secret).is_none() {
            // Whoever made the Job did not come to its Secret, and nobody knows the password.
            self.delete(jobs).await?;
        }
        let live = place::of(self.context, Some(&attempt.place)).await?;
        let pods = pods(self.context, attempt).await?;
        let words = match evidence::held_up(attempt, &pods, &live, self.context.now()) {
            Some(why) => format!("which Job {} is to make: {why}", attempt.job),
            None => format!("which Job {} makes", attempt.job),
        };
        Ok(Ok(Awaited::new(words, Some(LOOK_AGAIN)).into()))
    }

    /// An attempt that has ended: its archive is recorded, or the next one begins when it is due.
    async fn conclude(&self, attempt: &Attempt, ended: i64, store: &ArchiveStore) -> Stepped {
        let system = match self.withdraw().await {
            Ok(system) => system,
            Err(summary) => return Ok(Err(summary)),
        };
        let report = attempt.report(&pods(self.context, attempt).await?);
        let live = place::of(self.context, Some(&attempt.place)).await?;
        let why = match attempt.archive(report.as_ref(), &self.source(), &system, &live) {
            Ok(archive) => match self.record(archive).await {
                Recorded::Yes => return Ok(Ok(Archiving::Recorded)),
                Recorded::NotYet(summary) => return Ok(Err(summary)),
                Recorded::Outdated(summary) => {
                    // The Job stays, since it counts.
                    let key = Key::namespaced(SERVERS_NAMESPACE, &attempt.job);
                    self.context.gate.patch(Kind::Job, &key, &attempt.uid, None, outdated()).await?;
                    return Ok(Err(summary));
                }
            },
            Err(why) => why,
        };
        let due = ended.saturating_add(i64::try_from(attempt.wait().as_secs()).unwrap_or(i64::MAX));
        let left = due - self.context.now().as_second();
        let Ok(left @ 1..) = u64::try_from(left) else {
            return self.begin(attempt.number + 1, store).await;
        };
        let words = format!(
            "which attempt {} did not make ({why}), and the next one will be made after a while",
            attempt.number
        );
        Ok(Ok(Awaited::new(words, Some(Duration::from_secs(left))).into()))
    }

    /// Makes login, scratch database, Job and Secret, in this order.
    async fn begin(&self, attempt: u32, store: &ArchiveStore) -> Stepped {
        let (context, physical) = (self.context, self.physical);
        let soon = |wait| -> Stepped { Ok(Ok(Awaited::new("which it waits for", wait).into())) };
        if !line::has_room(0, self.ahead(attempt)) {
            return Ok(Ok(Awaited::in_line(self.server).into()));
        }
        let place = match place::read(context, store).await?.writable() {
            Ok(place) => place,
            Err(why) => {
                let words =
                    format!("which it waits for: spec.archive of DatabaseServer {}: {why}", self.server);
                return Ok(Ok(Awaited::new(words, Some(LOOK_AGAIN)).into()));
            }
        };
        let Some(target) = context.servers.target(self.server) else { return soon(None) };
        let object = self.row.object_name();
        let name = Wanted::job_name(&object, attempt);
        if context.gate.child(Kind::Job, &Key::namespaced(SERVERS_NAMESPACE, &name)).is_some() {
            // One of that name is on its way out, and its event tells when it is.
            return soon(Some(LOOK_AGAIN));
        }
        let system = match self.withdraw().await {
            Ok(system) => system,
            Err(summary) => return Ok(Err(summary)),
        };
        let (scratch, id): (u64, u32) = context.random(|random| (random.random(), random.random()));
        let (scratch, password) = (PoolName::clone_of(scratch), context.random(Password::generate));
        let verifier = context.random(|random| Verifier::generate(&password, random));
        match self.admit(attempt, &scratch, verifier).await {
            Ok(Admitted::Yes) => {}
            Ok(Admitted::Full) => return Ok(Ok(Awaited::in_line(self.server).into())),
            Err(summary) => return Ok(Err(summary)),
        }
        let wanted = Wanted {
            physical,
            source: &self.source(),
            object: &object,
            namespace: &self.row.claim.namespace,
            server: self.server,
            generation: self.row.generation,
            attempt,
            archive: archive_name(&system, physical, self.row.generation, id),
            work: Work::Archive(&scratch),
            place: &place,
            image: &context.config.archive_image,
        };
        self.send(&wanted, &target, &password).await?;
        Ok(Ok(Awaited::new(format!("which Job {} makes", wanted.name()), Some(LOOK_AGAIN)).into()))
    }

    /// Makes the Job, and then its Secret.
    async fn send(
        &self,
        wanted: &Wanted<'_>,
        target: &AdminTarget,
        password: &Password,
    ) -> Result<(), ApplyError> {
        let (gate, owner) = (&self.context.gate, self.physical.as_str());
        let job = Declared::new(Kind::Job, owner, &wanted.job())?;
        gate.apply(&job).await?;
        if let Some(child) = gate.child(Kind::Job, &job.key) {
            let secret = wanted.secret(&child.uid, target, password);
            gate.apply(&Declared::new(Kind::Secret, owner, &secret)?).await?;
        }
        Ok(())
    }

    /// The database that the archive is of.
    pub(super) fn source(&self) -> Ident {
        source(self.physical, self.row)
    }

    /// How many wait in line before this one, of which that is the next attempt.
    pub(super) fn ahead(&self, attempt: u32) -> usize {
        let (tried, mut ahead) = (tried(self.context), 0);
        let own = Candidate { database: self.database, tried: attempt > 1 };
        self.context.stores.server_databases.each(|other| {
            let other = other.valid().map(|other| candidate(other, &tried));
            ahead += usize::from(other.is_some_and(|other| line::is_ahead(other, own)));
        });
        ahead
    }

    /// Has those looked at that are next in line.
    pub(super) fn call_next(&self) {
        let (tried, mut waiting) = (tried(self.context), vec![]);
        self.context.stores.server_databases.each(|other| {
            let other = other.valid().filter(|other| line::is_of(other, self.server));
            waiting.extend(other.and_then(|other| line::place(candidate(other, &tried))));
        });
        waiting.sort_unstable();
        for (_, _, name) in waiting.into_iter().take(line::AT_ONCE) {
            self.context.enqueue(Kind::ServerDatabase, &Key::cluster(&name), Lane::Background);
        }
    }

    async fn delete(&self, jobs: &[(Key, String)]) -> Result<(), ApplyError> {
        delete(self.context, jobs).await
    }
}

async fn delete(context: &Context, jobs: &[(Key, String)]) -> Result<(), ApplyError> {
    for (key, uid) in jobs {
        context.gate.delete(Kind::Job, key, uid).await?;
    }
    Ok(())
}

/// Reads a Job live.
pub(super) async fn read(context: &Context, key: &Key) -> Result<Option<Job>, ApplyError> {
    let api: Api<Job> = Api::namespaced(context.client.clone(), SERVERS_NAMESPACE);
    api.get_opt(&key.name).await.map_err(|source| failed(Kind::Job, key, source))
}

/// Reads the pods that say they are an attempt's.
pub(super) async fn pods(context: &Context, attempt: &Attempt) -> Result<Vec<Pod>, ApplyError> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), SERVERS_NAMESPACE);
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={}", attempt.job));
    let key = Key::namespaced(SERVERS_NAMESPACE, &attempt.job);
    let pods = api.list(&of_job).await.map_err(|source| failed(Kind::Job, &key, source))?;
    Ok(pods.items)
}
