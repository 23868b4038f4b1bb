//! Step 4: what is done to a database that nobody claims. Each is one session on its server, and the row is written only
//! if it is still the one that was read.
//!
//! A released database refuses logins and keeps everything. A purged one is renamed out of the way besides, for as long as
//! its grace lasts, and comes back when the purge is taken back. What ends there is [`ending`]'s.

use std::time::Duration;

use kube::ResourceExt;

use super::ending;
use super::fetch::Fetched;
use super::obstacle;
use crate::api::condition::{Summary, reason};
use crate::api::names::PhysicalName;
use crate::controller::brake;
use crate::controller::context::Context;
use crate::controller::database::dropping::Reread;
use crate::controller::database::plan::{self, Plan};
use crate::controller::database::{dropping, look, refusal, tombstone};
use crate::controller::object::{Key, Kind};
use crate::controller::outcome;
use crate::controller::worker::key_of;
use crate::postgres::execute::Session;
use crate::postgres::facts::Marker;
use crate::postgres::observe::Coming;
use crate::postgres::record::Cause;

/// How long a tombstone is kept.
pub const GRACE: Duration = Duration::from_hours(7 * 24);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Logins are refused, sessions ended.
    Release,
    /// The same for one whose row says so already: its release was cut short.
    Close,
    /// It is kept from now on, whatever was in force when it was released: somebody wants it back.
    Spare,
    /// It is renamed out of the way.
    Bury,
    /// It gets its name back.
    Exhume,
    /// It is dropped.
    Drop,
    /// What a drop has left is removed: there is nothing to bring back any more.
    Finish,
}

impl Act {
    const fn reason(self) -> &'static str {
        match self {
            Self::Release | Self::Close => "release",
            Self::Bury => "purge",
            Self::Spare | Self::Exhume => "undelete",
            Self::Drop | Self::Finish => "drop",
        }
    }

    const fn is_of_a_purge(self) -> bool {
        matches!(self, Self::Bury | Self::Drop)
    }

    const fn is_braked(self) -> bool {
        matches!(self, Self::Release | Self::Bury | Self::Drop)
    }

    /// Whether the brake counts it. A drop that was meant when its archive was begun to be read again is not counted once more: reading may
    /// take longer than an answer is good for.
    fn is_counted(self, reread: Option<&Reread>) -> bool {
        self != Self::Drop || !reread.is_some_and(|reread| reread.meant)
    }

    /// What counts with it for the brake.
    const fn coming(self) -> Coming {
        match self {
            Self::Bury => Coming::Ends,
            Self::Drop => Coming::Drops,
            Self::Release | Self::Close | Self::Spare | Self::Exhume | Self::Finish => Coming::Nothing,
        }
    }
}

/// Does it to the database of `marker`, which is a row of that server.
pub async fn act(
    context: &Context,
    fetched: &Fetched,
    server: &str,
    marker: &Marker,
    act: Act,
) -> Result<(), Summary> {
    let unreachable = || Summary::Progressing {
        reason: reason::SERVER_UNREACHABLE,
        message: format!("DatabaseServer {server} is not ready"),
    };
    let pool = context.servers.enter(server, Kind::ServerDatabase, &key_of(&fetched.database));
    let pool = pool.ok_or_else(unreachable)?;
    let physical = marker
        .physical()
        .map_err(|error| Summary::Stalled { reason: reason::NAME_CONFLICT, message: error.to_string() })?;
    let cause = Cause::new(format_args!("ServerDatabase {}", fetched.database.name_any()), act.reason());
    // Counted and done before anybody else is: two at once would both see room for one.
    let _turn = if act.is_braked() { Some(context.brakes.turn(server).await) } else { None };
    let mut session =
        context.servers.gate().open(&pool, cause).await.map_err(|error| refusal::of_execute(&error))?;
    let mut admitted = Ok(());
    if act.is_braked() {
        admitted = if act.is_counted(fetched.reread.as_ref()) {
            brake::admits(context, server, &mut session, marker, act.coming()).await
        } else {
            brake::is_free(context, server).await
        };
    }
    if admitted.is_ok() && act.is_of_a_purge() {
        admitted = still(context, fetched, marker).await;
    }
    let plan = match admitted {
        Ok(()) => match as_it_ends(context, fetched, marker, act).await {
            Ok(marker) => planned(context, &mut session, fetched, &physical, &marker, act).await,
            Err(summary) => Err(summary),
        },
        Err(summary) => Err(summary),
    };
    let (plan, left) = match plan {
        Ok(planned) => planned,
        Err(summary) => {
            session.close().await;
            return Err(summary);
        }
    };
    tracing::info!(
        database.name = marker.physical_name,
        claim.namespace = marker.claim.namespace,
        claim.name = marker.claim.name,
        act = act.reason(),
        "changing a database that nobody claims"
    );
    context.standings.forget(&Key::namespaced(&marker.claim.namespace, &marker.claim.name));
    session.run(&plan.batches).await.map_err(|error| refusal::of_execute(&error))?;
    left.map_or(Ok(()), Err)
}

/// The row with the deletion policy that its release records: what the row says, unless the tenant keeps more by now.
async fn as_it_ends(
    context: &Context,
    fetched: &Fetched,
    marker: &Marker,
    act: Act,
) -> Result<Marker, Summary> {
    let mut marker = marker.clone();
    if act == Act::Release {
        let policy = obstacle::policy(context, &fetched.database, &marker).await;
        marker.deletion_policy = policy.map_err(|error| outcome::summary(&error))?;
    }
    Ok(marker)
}

/// Whether the purge still holds: whoever waited for the brake's turn may have been overtaken by whoever takes it back.
async fn still(context: &Context, fetched: &Fetched, marker: &Marker) -> Result<(), Summary> {
    match obstacle::obstacle(context, &fetched.database, marker).await {
        Ok(None) => Ok(()),
        Ok(Some(summary)) => Err(summary),
        Err(error) => Err(outcome::summary(&error)),
    }
}

/// What is done, and what is to be said of what stays.
async fn planned(
    context: &Context,
    session: &mut Session<'_>,
    fetched: &Fetched,
    physical: &PhysicalName,
    marker: &Marker,
    act: Act,
) -> Result<(Plan, Option<Summary>), Summary> {
    let facts = look::apart(session.reader(), physical, vec![marker.clone()]).await;
    let facts = facts.map_err(|error| refusal::of_look(&error))?;
    let plan = match act {
        Act::Release => plan::release(marker, &facts),
        Act::Close => plan::close(marker, &facts),
        Act::Spare => Ok(tombstone::spare(physical, marker)),
        Act::Bury => tombstone::bury(physical, marker, &facts, GRACE),
        // One that is dropped already cannot come back: what is left of it goes.
        Act::Exhume if dropping::is_beyond_return(physical, marker, &facts) => {
            return ending::finished(session, physical, marker, &facts).await;
        }
        Act::Exhume => tombstone::exhume(physical, marker, &facts),
        Act::Drop => {
            return ending::planned(context, session, fetched, physical, marker, &facts).await;
        }
        Act::Finish => return ending::finished(session, physical, marker, &facts).await,
    };
    plan.map(|plan| (plan, None)).map_err(|conflict| refusal::of_conflict(&conflict))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::tombstone::{Place, Volume};

    #[test]
    fn only_a_drop_that_was_meant_before_its_archive_was_read_is_not_counted_again() {
        let place = Place::Volume(Volume { claim: "archives".into(), uid: "u".into() });
        let read = |meant| Reread { sha256: "0f".into(), place: place.clone(), meant };
        for act in [Act::Release, Act::Bury, Act::Drop] {
            let counted = [None, Some(read(false)), Some(read(true))].map(|it| act.is_counted(it.as_ref()));
            assert_eq!(counted, [true, true, act != Act::Drop], "{act:?}");
        }
    }
}
