//! The server's side of an archive: login and scratch database are let in and taken back, and what came of it is recorded. Each is
//! one session on the server.

use super::archive::Turn;
use super::{ending, line};
use crate::api::condition::{Summary, reason};
use crate::controller::database::archiving::Withdrawal;
use crate::controller::database::plan::Plan;
use crate::controller::database::{archiving, look, refusal, tombstone};
use crate::controller::object::Kind;
use crate::controller::outcome::chain;
use crate::controller::servers::Visit;
use crate::controller::worker::key_of;
use crate::postgres::execute::{ExecuteError, Session};
use crate::postgres::facts::Facts;
use crate::postgres::observe::{self, Scope, catalog};
use crate::postgres::pool::{Member, PoolName};
use crate::postgres::record::Cause;
use crate::postgres::scram::Verifier;
use crate::postgres::tombstone::{Archive, TombstoneName};

/// Whether an archive may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// Login and scratch database are there.
    Yes,
    /// The server makes as many as it does at a time.
    Full,
}

/// What became of an archive that was to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    /// It is.
    Yes,
    /// Whoever got in may have written since: it proves nothing any more.
    Outdated(Summary),
    /// It is tried again.
    NotYet(Summary),
}

impl Turn<'_> {
    /// Makes login and scratch database for that attempt, if the server has room for one archive more.
    pub(super) async fn admit(
        &self,
        attempt: u32,
        scratch: &PoolName,
        verifier: Verifier,
    ) -> Result<Admitted, Summary> {
        let pool = self.enter()?;
        self.context.swept.forget(self.server, self.physical);
        // Counted and made before anybody else does: two at once would both see room for one.
        let _turn = self.context.brakes.turn(self.server).await;
        let gate = self.context.servers.gate();
        let mut session =
            gate.open(&pool, self.cause()).await.map_err(|error| refusal::of_execute(&error))?;
        let plan = match ending::alone(&mut session, self.physical, &self.source()).await {
            Ok(()) => self.admission(&mut session, attempt, scratch, verifier).await,
            Err(summary) => Err(summary),
        };
        match plan {
            Ok(Some(plan)) => run(session, Ok(plan)).await.map(|()| Admitted::Yes),
            Ok(None) => {
                session.close().await;
                Ok(Admitted::Full)
            }
            Err(summary) => run(session, Err(summary)).await.map(|()| Admitted::Full),
        }
    }

    async fn admission(
        &self,
        session: &mut Session<'_>,
        attempt: u32,
        scratch: &PoolName,
        verifier: Verifier,
    ) -> Result<Option<Plan>, Summary> {
        let members = observe::pool(session.reader()).await.map_err(|error| refusal::of_observe(&error))?;
        if !line::has_room(members.iter().filter(|member| member.is_scratch()).count(), self.ahead(attempt)) {
            return Ok(None);
        }
        let rows = vec![self.row.clone()];
        let facts = look::apart(session.reader(), self.physical, rows).await;
        let facts = facts.map_err(|error| refusal::of_look(&error))?;
        let plan = archiving::admit(self.physical, self.row, &facts, scratch, verifier);
        plan.map(Some).map_err(|conflict| refusal::of_conflict(&conflict))
    }

    /// Takes back what an archive was made with. Returns the server's identifier.
    pub(super) async fn withdraw(&self) -> Result<String, Summary> {
        let pool = self.enter()?;
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
        let (plan, kept, coming) = match archiving::withdraw(self.physical, &facts, &scratches) {
            Ok(Withdrawal { plan, kept, coming }) => (Ok(plan), kept, coming),
            Err(conflict) => (Err(refusal::of_conflict(&conflict)), None, None),
        };
        let made_room = !scratches.is_empty();
        run(session, plan).await?;
        if let Some(conflict) = kept {
            return Err(refusal::of_conflict(&conflict));
        }
        if let Some(name) = coming {
            let message = format!(
                "nobody has heard what became of the statement that makes scratch database {name}, which may still run for a minute: it is \
                 taken back then"
            );
            return Err(Summary::Progressing { reason: reason::PROGRESSING, message });
        }
        self.context.swept.note(self.server, self.physical);
        if made_room {
            self.call_next();
        }
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

    /// Records a verified archive.
    pub(super) async fn record(&self, archive: Archive) -> Recorded {
        match self.recorded(archive).await {
            Ok(recorded) => recorded,
            Err(summary @ Summary::Progressing { reason: reason::STILL_OPEN, .. }) => {
                Recorded::Outdated(summary)
            }
            Err(summary) => Recorded::NotYet(summary),
        }
    }

    async fn recorded(&self, archive: Archive) -> Result<Recorded, Summary> {
        let pool = self.enter()?;
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
            Ok(()) => Ok(Recorded::Yes),
            Err(error @ ExecuteError::MarkerChanged { .. }) => {
                let message = format!("{}; the archive is made again", chain(&error));
                Err(Summary::Progressing { reason: reason::STILL_OPEN, message })
            }
            Err(error) => Err(refusal::of_execute(&error)),
        }
    }

    fn enter(&self) -> Result<Visit<'_>, Summary> {
        let pool = self.context.servers.enter(self.server, Kind::ServerDatabase, &key_of(self.database));
        pool.ok_or_else(|| {
            let message = format!("DatabaseServer {} is not ready", self.server);
            Summary::Progressing { reason: reason::SERVER_UNREACHABLE, message }
        })
    }

    fn cause(&self) -> Cause {
        Cause::new(format_args!("ServerDatabase {}", self.row.object_name()), "archive")
    }
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
