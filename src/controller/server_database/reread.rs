//! The archive of a tombstone is read again before its database is dropped: by a Job that has nothing but what it is kept in, and
//! reports whether what is there is what was verified.
//!
//! As with attempts, the Job is the record: what it found counts for `FRESH` seconds, and the operator remembers nothing. It is read right before
//! the drop and not while something else is known to hold that up; if the drop then fails all the same, it is read ever more seldom.

use std::time::Duration;

use kube::ResourceExt;

use super::archive::{LOOK_AGAIN, pods, read};
use super::attempt::{Attempt, Unfound};
use super::fetch::Fetched;
use super::job::{Wanted, Work, stored_name};
use super::validate::is_drop_due;
use super::{ending, evidence, place, volume};
use crate::api::condition::{Summary, reason};
use crate::api::labels::SERVERS_NAMESPACE;
use crate::api::names::PhysicalName;
use crate::controller::apply::{ApplyError, Declared};
use crate::controller::brake;
use crate::controller::context::Context;
use crate::controller::database::dropping::Reread;
use crate::controller::database::refusal;
use crate::controller::object::{Key, Kind};
use crate::controller::worker::key_of;
use crate::postgres::facts::Marker;
use crate::postgres::observe::Coming;
use crate::postgres::record::Cause;
use crate::postgres::tombstone::{Archive, Extent, source};

/// How long what was found counts, in seconds.
const FRESH: i64 = 3600;
/// How long after one that was not found as it was it is looked for again, in seconds.
const AGAIN: i64 = 600;
/// Longest time between two readings, in seconds.
const LONGEST: i64 = 6 * 3600;
/// When it is looked again at what holds a drop up that was not begun.
const HELD: Duration = Duration::from_mins(1);

/// How it stands with reading an archive again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rereading {
    /// Nothing is to be dropped, or something stands against that.
    Idle,
    /// It was found as it was verified, just now.
    Done(Reread),
    /// It is being read, or was not found as it was; and when to look again.
    Waiting(Summary, Duration),
}

/// Has the archive of a database read again that is to be dropped now.
pub async fn step(context: &Context, fetched: &Fetched) -> Result<Rereading, ApplyError> {
    let Ok(row) = &fetched.marker else { return Ok(Rereading::Idle) };
    let name = Wanted::reread_name(&fetched.database.name_any());
    let key = Key::namespaced(SERVERS_NAMESPACE, &name);
    let child = context.gate.child(Kind::Job, &key).filter(|child| !child.deleting);
    let Some((row, archive)) = row.as_ref().and_then(|row| Some((row, due(fetched, row)?))) else {
        if let Some(child) = child {
            context.gate.delete(Kind::Job, &key, &child.uid).await?;
        }
        return Ok(Rereading::Idle);
    };
    if fetched.obstacle.is_some() {
        return Ok(Rereading::Idle);
    }
    let turn = Turn { context, fetched, row, archive: &archive };
    let job = if child.is_some() { read(context, &key).await? } else { None };
    match job.as_ref().and_then(Attempt::of) {
        Some(attempt) if turn.is_of_this(&attempt) => turn.look_at(&key, &attempt).await,
        Some(attempt) => turn.begin_anew(&key, &attempt.uid).await,
        None => turn.begin().await,
    }
}

/// The archive of a database that is to be dropped now, as far as anything else says.
fn due(fetched: &Fetched, row: &Marker) -> Option<Archive> {
    let tombstone = fetched.tombstone.as_ref().filter(|tombstone| tombstone.extent == Extent::Whole)?;
    let due = is_drop_due(&fetched.database, row, Some(tombstone));
    tombstone.proof(row).filter(|_| due).map(|proof| proof.archive)
}

/// One turn's view.
struct Turn<'a> {
    context: &'a Context,
    fetched: &'a Fetched,
    row: &'a Marker,
    archive: &'a Archive,
}

impl Turn<'_> {
    /// Whether it reads this archive, where it was written to.
    fn is_of_this(&self, attempt: &Attempt) -> bool {
        attempt.sha256.as_deref() == Some(&*self.archive.sha256)
            && Some(&attempt.place) == self.archive.place.as_ref()
            && attempt.generation == self.archive.generation
    }

    async fn look_at(&self, key: &Key, attempt: &Attempt) -> Result<Rereading, ApplyError> {
        let pods = pods(self.context, attempt).await?;
        let now = self.context.now();
        let Some(ended) = attempt.ended else {
            let live = place::of(self.context, self.archive.place.as_ref()).await?;
            let why = evidence::held_up(attempt, &pods, &live, now);
            return Ok(self.reading(why.as_deref(), LOOK_AGAIN));
        };
        let age = now.as_second().saturating_sub(ended);
        match attempt.reread(attempt.report(&pods).as_ref(), self.archive) {
            Ok(()) if age < FRESH => {
                let (sha256, place) = (self.archive.sha256.clone(), attempt.place.clone());
                Ok(Rereading::Done(Reread { sha256, place, meant: attempt.meant }))
            }
            // An answer ends before the rest does.
            Ok(()) if age < self.patience(FRESH, ended) && !self.is_meant() => {
                if let Err(held) = brake::is_free(self.context, self.server()).await {
                    return Ok(Rereading::Waiting(held, HELD));
                }
                let left = self.patience(FRESH, ended) - age;
                Ok(self.rests(Duration::from_secs(u64::try_from(left).unwrap_or(1))))
            }
            Err(why) if age < self.patience(AGAIN, ended) => {
                let left = self.patience(AGAIN, ended) - age;
                let again = Duration::from_secs(u64::try_from(left).unwrap_or(1));
                let told = match why {
                    Unfound::Lost(why) => volume::lost(self.archive, &self.row.object_name(), &why),
                    Unfound::Unread(why) => self.unread(&why),
                };
                Ok(Rereading::Waiting(told, again))
            }
            Ok(()) | Err(_) => self.begin_anew(key, &attempt.uid).await,
        }
    }

    fn server(&self) -> &str {
        &self.fetched.database.spec.server_ref.name
    }

    /// Whether somebody has just answered the server's brake that what it stopped is meant.
    fn is_meant(&self) -> bool {
        brake::is_meant(self.context, self.server())
    }

    async fn begin_anew(&self, key: &Key, uid: &str) -> Result<Rereading, ApplyError> {
        self.context.gate.delete(Kind::Job, key, uid).await?;
        // The event of its end tells.
        Ok(self.reading(None, LOOK_AGAIN))
    }

    /// How long after a reading that ended then the next one is made, in seconds: `least`, and no sooner than it takes to have waited for the
    /// drop twice as long as by then.
    fn patience(&self, least: i64, ended: i64) -> i64 {
        let due = self.fetched.tombstone.as_ref().map_or(ended, |tombstone| tombstone.droppable_at);
        ended.saturating_sub(due).clamp(least, LONGEST)
    }

    /// What else stands against the drop, by what the server says now.
    async fn obstructed(&self, physical: &PhysicalName) -> Result<(), Summary> {
        let Self { context, fetched, row, archive: _ } = *self;
        let server = &fetched.database.spec.server_ref.name;
        let pool = context.servers.enter(server, Kind::ServerDatabase, &key_of(&fetched.database));
        let pool = pool.ok_or_else(|| Summary::Progressing {
            reason: reason::SERVER_UNREACHABLE,
            message: format!("DatabaseServer {server} is not ready"),
        })?;
        let cause = Cause::new(format_args!("ServerDatabase {}", fetched.database.name_any()), "drop");
        let _turn = context.brakes.turn(server).await;
        let session = context.servers.gate().open(&pool, cause).await;
        let mut session = session.map_err(|error| refusal::of_execute(&error))?;
        let admitted = brake::admits(context, server, &mut session, row, Coming::Drops).await;
        let admitted = match admitted {
            Ok(()) => ending::alone(&mut session, physical, &source(physical, row)).await,
            held => held,
        };
        session.close().await;
        admitted
    }

    async fn begin(&self) -> Result<Rereading, ApplyError> {
        let Self { context, fetched, row, archive } = *self;
        let object = row.object_name();
        let parts = row.physical().ok().and_then(|physical| {
            let name = stored_name(archive, &physical)?;
            Some((physical, name, archive.place.as_ref()?))
        });
        let Some((physical, name, place)) = parts else {
            let lost = volume::lost(archive, &object, "it has no name that it could be found by");
            return Ok(Rereading::Waiting(lost, Duration::from_secs(FRESH.unsigned_abs())));
        };
        if let Err(summary) = self.obstructed(&physical).await {
            return Ok(Rereading::Waiting(summary, HELD));
        }
        let wanted = Wanted {
            physical: &physical,
            source: &source(&physical, row),
            object: &object,
            namespace: &row.claim.namespace,
            server: &fetched.database.spec.server_ref.name,
            generation: archive.generation,
            attempt: 1,
            archive: name,
            work: Work::Reread { sha256: &archive.sha256, meant: self.is_meant() },
            place,
            image: &context.config.archive_image,
        };
        context.gate.apply(&Declared::new(Kind::Job, physical.as_str(), &wanted.job())?).await?;
        Ok(self.reading(None, LOOK_AGAIN))
    }

    /// It was found as it was verified, and the drop has failed since.
    fn rests(&self, again: Duration) -> Rereading {
        let (name, object) = (Wanted::reread_name(&self.row.object_name()), &self.archive.object);
        let message = format!(
            "its grace has ended, and its archive {object} was found as it was verified, but it could not be dropped then: its events say why; \
             the archive is read once more before that is tried again, in a while, or when Job {name} is deleted"
        );
        Rereading::Waiting(Summary::Progressing { reason: reason::REREADING, message }, again)
    }

    /// Whether it is there as it was verified nobody knows.
    fn unread(&self, why: &str) -> Summary {
        let (name, object) = (Wanted::reread_name(&self.row.object_name()), &self.archive.object);
        let message = format!(
            "its grace has ended, and before it is dropped its archive {object} has to be read again, which failed: {why}; that is tried \
             again in a while, or when Job {name} is deleted"
        );
        Summary::Progressing { reason: reason::REREADING, message }
    }

    fn reading(&self, why: Option<&str>, again: Duration) -> Rereading {
        let (name, object) = (Wanted::reread_name(&self.row.object_name()), &self.archive.object);
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        let message = format!(
            "its grace has ended, and before it is dropped its archive {object} is read again, by Job {name}{why}"
        );
        Rereading::Waiting(Summary::Progressing { reason: reason::REREADING, message }, again)
    }
}
