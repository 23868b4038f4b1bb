//! The archive of a tombstone, or of a released database that is kept: a login and a scratch database for it, a Job that uses them, and its report.
//!
//! Everything is taken up again from what there is: rows of the pool, the login, Jobs. Whatever an operator that died has left is
//! taken back before anything is made anew; a password is nowhere but in the Secret of the attempt that it was made for.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use rand::RngExt;

use super::ending;
use super::fetch::{Fetched, failed};
use super::job::{Attempt, Wanted, archive_name};
use super::validate::{is_archive_wanted, is_snapshot_wanted};
use crate::api::condition::{Summary, reason};
use crate::api::labels::SERVERS_NAMESPACE;
use crate::api::names::PhysicalName;
use crate::api::{DatabaseServer, ServerDatabase};
use crate::controller::apply::{ApplyError, Declared};
use crate::controller::context::Context;
use crate::controller::database::plan::Plan;
use crate::controller::database::{archiving, look, refusal, tombstone};
use crate::controller::object::{Key, Kind};
use crate::controller::outcome::chain;
use crate::controller::worker::key_of;
use crate::postgres::execute::{ExecuteError, Session};
use crate::postgres::facts::{Facts, Marker, Phase};
use crate::postgres::observe::{self, Scope, catalog};
use crate::postgres::pool::{Member, PoolName};
use crate::postgres::quote::Ident;
use crate::postgres::record::Cause;
use crate::postgres::scram::{Password, Verifier};
use crate::postgres::tombstone::{Archive, TombstoneName, source};

/// What the turn did about the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archiving {
    /// Nothing: none is asked for, or it is recorded.
    Idle,
    /// It is under way, or waits: in words, and when to look again.
    Waiting(String, Option<Duration>),
    /// It is recorded now: the row says so.
    Recorded,
    /// Something stands against it.
    Failed(Summary),
}

/// Does what there is to do for the archive of the database, if one is wanted, or takes back what one was made with.
pub async fn step(context: &Context, fetched: &Fetched) -> Result<Archiving, ApplyError> {
    let row = fetched.marker.as_ref().ok().and_then(Option::as_ref).filter(|row| row.adopted.is_none());
    let Some(row) = row else { return Ok(Archiving::Idle) };
    let Ok(physical) = row.physical() else { return Ok(Archiving::Idle) };
    let database = &fetched.database;
    let server = &database.spec.server_ref.name;
    let jobs = jobs(context, &physical);
    let turn = Turn { context, database, server, row, physical: &physical };
    let stepped =
        if is_archive_wanted(database, row, fetched.tombstone.as_ref()) || is_snapshot_wanted(fetched, row) {
            match store(context, server) {
                None => {
                    let words = format!("which it waits for: DatabaseServer {server} has no spec.archive");
                    Ok(Archiving::Waiting(words, None))
                }
                // What stands against the drop stands against its archive too.
                Some(_) if fetched.obstacle.is_some() => turn.give_up(&jobs).await?,
                Some(volume) => turn.go_on(&jobs, &volume).await?,
            }
        } else if row.is_tombstone() && database.spec.purge.is_none()
            || !jobs.is_empty()
            || may_be_left_over(row, &physical)
        {
            // The purge was taken back, the database is claimed again, or the archive is recorded.
            turn.give_up(&jobs).await?
        } else {
            Ok(Archiving::Idle)
        };
    Ok(stepped.unwrap_or_else(Archiving::Failed))
}

/// Whether a claim got the database, of which there has been an archive: whoever was about to make one may have died before
/// there was a Job to tell of it.
fn may_be_left_over(row: &Marker, physical: &PhysicalName) -> bool {
    row.phase == Phase::Bound && row.logins.contains(&archiving::login(physical))
}

/// Claim of the volume that the server's archives are kept on.
pub(super) fn store(context: &Context, server: &str) -> Option<String> {
    let server: Option<DatabaseServer> = context.valid(&Key::cluster(server));
    Some(server?.spec.archive?.volume.claim_name)
}

/// The Jobs that were made for the database, with their UIDs.
fn jobs(context: &Context, physical: &PhysicalName) -> Vec<(Key, String)> {
    let all = context.gate.children_in(Kind::Job, SERVERS_NAMESPACE).into_iter();
    let own =
        all.filter(|(_, child)| child.owner_uid.as_deref() == Some(physical.as_str()) && !child.deleting);
    own.map(|(key, child)| (key, child.uid.to_string())).collect()
}

/// One turn's view.
struct Turn<'a> {
    context: &'a Context,
    database: &'a ServerDatabase,
    server: &'a str,
    row: &'a Marker,
    physical: &'a PhysicalName,
}

impl Turn<'_> {
    /// Takes back what an archive was made with, if anything, and then its Jobs.
    async fn give_up(&self, jobs: &[(Key, String)]) -> Result<Result<Archiving, Summary>, ApplyError> {
        if let Err(summary) = self.withdraw().await {
            return Ok(Err(summary));
        }
        self.delete(jobs).await?;
        Ok(Ok(Archiving::Idle))
    }

    async fn go_on(
        &self,
        jobs: &[(Key, String)],
        volume: &str,
    ) -> Result<Result<Archiving, Summary>, ApplyError> {
        let mut attempts = vec![];
        for (key, _) in jobs {
            attempts.extend(self.read(key).await?.as_ref().and_then(Attempt::of));
        }
        attempts.retain(|attempt| attempt.generation == self.row.generation);
        attempts.sort_by_key(|attempt| attempt.number);
        let Some(newest) = attempts.pop() else {
            // What is left is of an earlier purge.
            self.delete(jobs).await?;
            return self.begin(1, volume).await;
        };
        let others: Vec<_> = jobs.iter().filter(|(key, _)| *key.name != *newest.job).cloned().collect();
        self.delete(&others).await?;
        let Some(ended) = newest.ended else {
            let secret =
                self.context.gate.child(Kind::Secret, &Key::namespaced(SERVERS_NAMESPACE, &newest.job));
            if secret.is_none() {
                // Whoever made the Job did not come to its Secret, and nobody knows the password.
                self.delete(jobs).await?;
            }
            return Ok(Ok(Archiving::Waiting(format!("which Job {} makes", newest.job), None)));
        };
        let system = match self.withdraw().await {
            Ok(system) => system,
            Err(summary) => return Ok(Err(summary)),
        };
        let report = newest.report(&self.pods(&newest).await?);
        match newest.archive(report.as_ref(), &self.source(), &system) {
            Ok(archive) => {
                let recorded = self.record(archive).await;
                if is_open(&recorded) {
                    // Whoever got in may have written since: this archive proves nothing any more.
                    self.delete(jobs).await?;
                }
                Ok(recorded)
            }
            Err(why) => {
                let due = ended.saturating_add(i64::try_from(newest.wait().as_secs()).unwrap_or(i64::MAX));
                let left = due - self.context.now().as_second();
                let Ok(left @ 1..) = u64::try_from(left) else {
                    return self.begin(newest.number + 1, volume).await;
                };
                let words = format!(
                    "which attempt {} did not make ({why}), and the next one will be made after a while",
                    newest.number
                );
                Ok(Ok(Archiving::Waiting(words, Some(Duration::from_secs(left)))))
            }
        }
    }

    /// Makes login, scratch database, Job and Secret, in this order.
    async fn begin(&self, attempt: u32, volume: &str) -> Result<Result<Archiving, Summary>, ApplyError> {
        let (context, physical) = (self.context, self.physical);
        let Some(target) = context.servers.target(self.server) else {
            return Ok(Ok(Archiving::Waiting("which it waits for".to_owned(), None)));
        };
        let object = self.row.object_name();
        let name = Wanted::job_name(&object, attempt);
        if context.gate.child(Kind::Job, &Key::namespaced(SERVERS_NAMESPACE, &name)).is_some() {
            // One of that name is on its way out.
            let soon = Some(Duration::from_secs(1));
            return Ok(Ok(Archiving::Waiting("which it waits for".to_owned(), soon)));
        }
        let system = match self.withdraw().await {
            Ok(system) => system,
            Err(summary) => return Ok(Err(summary)),
        };
        let (scratch, id): (u64, u32) = context.random(|random| (random.random(), random.random()));
        let (scratch, password) = (PoolName::clone_of(scratch), context.random(Password::generate));
        let verifier = context.random(|random| Verifier::generate(&password, random));
        if let Err(summary) = self.admit(&scratch, verifier).await {
            return Ok(Err(summary));
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
            scratch: &scratch,
            volume,
            image: &context.config.archive_image,
        };
        let job = Declared::new(Kind::Job, physical.as_str(), &wanted.job())?;
        context.gate.apply(&job).await?;
        if let Some(child) = context.gate.child(Kind::Job, &job.key) {
            let secret = wanted.secret(&child.uid, &target, &password);
            context.gate.apply(&Declared::new(Kind::Secret, physical.as_str(), &secret)?).await?;
        }
        Ok(Ok(Archiving::Waiting(format!("which Job {} makes", wanted.name()), None)))
    }

    async fn admit(&self, scratch: &PoolName, verifier: Verifier) -> Result<(), Summary> {
        let pool = self.context.servers.enter(self.server, Kind::ServerDatabase, &key_of(self.database));
        let pool = pool.ok_or_else(|| not_ready(self.server))?;
        let gate = self.context.servers.gate();
        let mut session =
            gate.open(&pool, self.cause()).await.map_err(|error| refusal::of_execute(&error))?;
        let plan = match ending::alone(&mut session, self.physical, &self.source()).await {
            Ok(()) => self.admission(&mut session, scratch, verifier).await,
            Err(summary) => Err(summary),
        };
        run(session, plan).await
    }

    async fn admission(
        &self,
        session: &mut Session<'_>,
        scratch: &PoolName,
        verifier: Verifier,
    ) -> Result<Plan, Summary> {
        let rows = vec![self.row.clone()];
        let facts = look::apart(session.reader(), self.physical, rows).await;
        let facts = facts.map_err(|error| refusal::of_look(&error))?;
        let plan = archiving::admit(self.physical, self.row, &facts, scratch, verifier);
        plan.map_err(|conflict| refusal::of_conflict(&conflict))
    }

    /// Takes back what an archive was made with. Returns the server's identifier.
    async fn withdraw(&self) -> Result<String, Summary> {
        let pool = self.context.servers.enter(self.server, Kind::ServerDatabase, &key_of(self.database));
        let pool = pool.ok_or_else(|| not_ready(self.server))?;
        let gate = self.context.servers.gate();
        let mut session =
            gate.open(&pool, self.cause()).await.map_err(|error| refusal::of_execute(&error))?;
        let (facts, members) = match self.traces(&mut session).await {
            Ok(traces) => traces,
            Err(summary) => {
                session.close().await;
                return Err(summary);
            }
        };
        let scratches = archiving::scratches(self.physical, &members);
        let plan = archiving::withdraw(self.physical, &facts, &scratches);
        run(session, plan.map_err(|conflict| refusal::of_conflict(&conflict))).await?;
        Ok(facts.server.system_identifier)
    }

    async fn traces(&self, session: &mut Session<'_>) -> Result<(Facts, Vec<Member>), Summary> {
        let members = observe::pool(session.reader()).await.map_err(|error| refusal::of_observe(&error))?;
        let scope = Scope::database(self.physical).and_tombstone(&TombstoneName::of(self.physical));
        let scratches = archiving::scratches(self.physical, &members);
        let scope = scratches.iter().fold(scope, |scope, member| scope.and_member(&member.name));
        let facts = catalog(session.reader(), &scope).await.map_err(|error| refusal::of_observe(&error))?;
        Ok((facts, members))
    }

    async fn record(&self, archive: Archive) -> Result<Archiving, Summary> {
        let pool = self.context.servers.enter(self.server, Kind::ServerDatabase, &key_of(self.database));
        let pool = pool.ok_or_else(|| not_ready(self.server))?;
        let gate = self.context.servers.gate();
        let mut session =
            gate.open(&pool, self.cause()).await.map_err(|error| refusal::of_execute(&error))?;
        if let Err(summary) = ending::alone(&mut session, self.physical, &self.source()).await {
            session.close().await;
            return Err(summary);
        }
        let plan = if self.row.is_tombstone() {
            tombstone::seal(self.physical, archive)
        } else {
            tombstone::keep(self.physical, archive)
        };
        match session.run(&plan.batches).await {
            Ok(()) => Ok(Archiving::Recorded),
            Err(error @ ExecuteError::MarkerChanged { .. }) => {
                let message = format!("{}; the archive is made again", chain(&error));
                Err(Summary::Progressing { reason: reason::STILL_OPEN, message })
            }
            Err(error) => Err(refusal::of_execute(&error)),
        }
    }

    /// The database that the archive is of.
    fn source(&self) -> Ident {
        source(self.physical, self.row)
    }

    fn cause(&self) -> Cause {
        Cause::new(format_args!("ServerDatabase {}", self.row.object_name()), "archive")
    }

    async fn read(&self, key: &Key) -> Result<Option<Job>, ApplyError> {
        let api: Api<Job> = Api::namespaced(self.context.client.clone(), SERVERS_NAMESPACE);
        api.get_opt(&key.name).await.map_err(|source| failed(Kind::Job, key, source))
    }

    async fn pods(&self, attempt: &Attempt) -> Result<Vec<Pod>, ApplyError> {
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), SERVERS_NAMESPACE);
        let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={}", attempt.job));
        let key = Key::namespaced(SERVERS_NAMESPACE, &attempt.job);
        let pods = api.list(&of_job).await.map_err(|source| failed(Kind::Job, &key, source))?;
        Ok(pods.items)
    }

    async fn delete(&self, jobs: &[(Key, String)]) -> Result<(), ApplyError> {
        for (key, uid) in jobs {
            self.context.gate.delete(Kind::Job, key, uid).await?;
        }
        Ok(())
    }
}

/// Whether what was to be sealed was open to somebody.
fn is_open(recorded: &Result<Archiving, Summary>) -> bool {
    matches!(recorded, Err(Summary::Progressing { reason: reason::STILL_OPEN, .. }))
}

async fn run(session: Session<'_>, plan: Result<Plan, Summary>) -> Result<(), Summary> {
    match plan {
        Ok(plan) => session.run(&plan.batches).await.map_err(|error| refusal::of_execute(&error)),
        Err(summary) => {
            session.close().await;
            Err(summary)
        }
    }
}

fn not_ready(server: &str) -> Summary {
    let message = format!("DatabaseServer {server} is not ready");
    Summary::Progressing { reason: reason::SERVER_UNREACHABLE, message }
}
