//! Step 4, before a new database: whether its server takes one. Placement has asked before, by what the stores know; here
//! the marker rows are counted, and counted again in the transaction that adds one, with nobody else adding any.

use super::validate::Validated;
use crate::api::DatabaseServer;
use crate::api::condition::{Summary, reason};
use crate::controller::context::Context;
use crate::controller::database::refusal;
use crate::controller::object::Key;
use crate::postgres::execute::Session;
use crate::postgres::observe;
use crate::postgres::statement::{Batch, Statement};

/// How many databases the server may have, if it says so; or why it takes none now.
pub async fn ask(
    context: &Context,
    session: &mut Session<'_>,
    claim: &Validated,
) -> Result<Option<u32>, Summary> {
    let server: Option<DatabaseServer> = context.valid(&Key::cluster(&claim.server));
    let spec = server.map(|server| server.spec).unwrap_or_default();
    let capacity = spec.capacity();
    let databases = match capacity {
        None => 0,
        Some(_) => observe::databases(session.reader()).await.map_err(|error| refusal::of_observe(&error))?,
    };
    match spec.closed_to_new(databases) {
        None => Ok(capacity),
        Some(why) => {
            let message = format!("DatabaseServer {} {why}", claim.server);
            Err(Summary::Progressing { reason: reason::NO_SERVER, message })
        }
    }
}

/// Has the transaction that adds the marker row fail if the server is full by then.
pub fn hold(batches: &mut [Batch], capacity: Option<u32>) {
    if let (Some(first), Some(databases)) = (batches.first_mut(), capacity) {
        first.statements.splice(0..0, [Statement::LockMarkers, Statement::RequireRoom { databases }]);
    }
}
