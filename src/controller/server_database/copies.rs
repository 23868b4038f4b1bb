//! Copies: a server that was restored beside the original has a database once more. While nobody can tell which one is
//! right none is worked on, but one whose claim is gone refuses logins wherever it is.

use super::act::{Act, act};
use super::fetch::{self, Claim, Fetched};
use crate::api::condition::Summary;
use crate::controller::apply::ApplyError;
use crate::controller::context::Context;
use crate::postgres::facts::Phase;

/// Releases what other servers have of the database, each by its own row and the claim that this one names.
pub async fn release(context: &Context, fetched: &Fetched) -> Result<Result<(), Summary>, ApplyError> {
    let (home, physical) = (&fetched.database.spec.server_ref.name, &fetched.database.spec.physical_name);
    let rows = context.inventory.rows();
    for server in rows.servers_of(physical).filter(|server| *server != home) {
        let row = match fetch::read(context, server, &fetched.database).await {
            Ok(seen) => seen.marker,
            Err(summary) => return Ok(Err(summary)),
        };
        let Some(row) = row.filter(|row| row.phase == Phase::Bound) else { continue };
        if fetch::claim(context, &row).await? != Claim::Absent {
            continue;
        }
        if let Err(summary) = act(context, fetched, server, &row, Act::Release).await {
            return Ok(Err(summary));
        }
    }
    Ok(Ok(()))
}
