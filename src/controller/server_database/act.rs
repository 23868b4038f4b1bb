//! Step 4: what is done to a database that nobody claims. Each is one session on its server, and the row is written only
//! if it is still the one that was read.
//!
//! A released database refuses logins and keeps everything. A purged one is renamed out of the way besides, for as long as
//! its grace lasts, and comes back when the purge is taken back. Nothing here drops a database.

use std::time::Duration;

use kube::ResourceExt;

use super::fetch::Fetched;
use crate::api::condition::{Summary, reason};
use crate::api::names::PhysicalName;
use crate::controller::brake;
use crate::controller::context::Context;
use crate::controller::database::plan::{self, Conflict, Plan};
use crate::controller::database::{look, refusal, tombstone};
use crate::controller::object::{Key, Kind};
use crate::controller::worker::key_of;
use crate::postgres::execute::Session;
use crate::postgres::facts::{Facts, Marker};
use crate::postgres::record::Cause;

/// How long a tombstone is kept.
const GRACE: Duration = Duration::from_hours(7 * 24);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Logins are refused, sessions ended.
    Release,
    /// It is renamed out of the way.
    Bury,
    /// It gets its name back.
    Exhume,
}

impl Act {
    const fn reason(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Bury => "purge",
            Self::Exhume => "undelete",
        }
    }

    fn plan(self, physical: &PhysicalName, marker: &Marker, have: &Facts) -> Result<Plan, Conflict> {
        match self {
            Self::Release => plan::release(marker, have),
            Self::Bury => tombstone::bury(physical, marker, have, GRACE),
            Self::Exhume => tombstone::exhume(physical, marker, have),
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
    let physical = PhysicalName::parse(&marker.physical_name)
        .map_err(|error| Summary::Stalled { reason: reason::NAME_CONFLICT, message: error.to_string() })?;
    let cause = Cause::new(format_args!("ServerDatabase {}", fetched.database.name_any()), act.reason());
    // Counted and done before anybody else is: two at once would both see room for one.
    let _turn = if act == Act::Exhume { None } else { Some(context.brakes.turn(server).await) };
    let mut session =
        context.servers.gate().open(&pool, cause).await.map_err(|error| refusal::of_execute(&error))?;
    let admitted = match act {
        Act::Exhume => Ok(()),
        Act::Release | Act::Bury => brake::admits(context, server, &mut session).await,
    };
    let plan = match admitted {
        Ok(()) => planned(&mut session, &physical, marker, act).await,
        Err(summary) => Err(summary),
    };
    let plan = match plan {
        Ok(plan) => plan,
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
    session.run(&plan.batches).await.map_err(|error| refusal::of_execute(&error))
}

async fn planned(
    session: &mut Session<'_>,
    physical: &PhysicalName,
    marker: &Marker,
    act: Act,
) -> Result<Plan, Summary> {
    let facts = look::apart(session.reader(), physical, vec![marker.clone()]).await;
    let facts = facts.map_err(|error| refusal::of_look(&error))?;
    act.plan(physical, marker, &facts).map_err(|conflict| refusal::of_conflict(&conflict))
}
