//! Step 4: releasing a database. Logins are refused, sessions ended, everything is kept.

use kube::ResourceExt;

use super::fetch::Fetched;
use crate::api::condition::{Summary, reason};
use crate::api::names::PhysicalName;
use crate::controller::context::Context;
use crate::controller::database::{look, plan, refusal};
use crate::controller::object::Kind;
use crate::controller::worker::key_of;
use crate::postgres::facts::Marker;
use crate::postgres::record::Cause;

/// Releases the database of `marker`; the row is written only if it is still the one that was read.
pub async fn release(context: &Context, fetched: &Fetched, marker: &Marker) -> Result<(), Summary> {
    let server = &fetched.database.spec.server_ref.name;
    let unreachable = || Summary::Progressing {
        reason: reason::SERVER_UNREACHABLE,
        message: format!("DatabaseServer {server} is not ready"),
    };
    let pool = context.servers.enter(server, Kind::ServerDatabase, &key_of(&fetched.database));
    let pool = pool.ok_or_else(unreachable)?;
    let physical = PhysicalName::parse(&marker.physical_name)
        .map_err(|error| Summary::Stalled { reason: reason::NAME_CONFLICT, message: error.to_string() })?;
    let cause = Cause::new(format_args!("ServerDatabase {}", fetched.database.name_any()), "release");
    let mut session =
        context.servers.gate().open(&pool, cause).await.map_err(|error| refusal::of_execute(&error))?;
    let facts = look::outside(session.reader(), &physical, vec![marker.clone()]).await;
    let facts = match facts {
        Ok(facts) => facts,
        Err(error) => {
            session.close().await;
            return Err(refusal::of_look(&error));
        }
    };
    let plan = match plan::release(marker, &facts) {
        Ok(plan) => plan,
        Err(conflict) => {
            session.close().await;
            return Err(refusal::of_conflict(&conflict));
        }
    };
    tracing::info!(
        database.name = marker.physical_name,
        claim.namespace = marker.claim.namespace,
        claim.name = marker.claim.name,
        "releasing a database whose claim is gone"
    );
    session.run(&plan.batches).await.map_err(|error| refusal::of_execute(&error))
}
