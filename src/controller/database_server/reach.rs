//! Reaching a server: is it the one that it was, and is it prepared?

use super::travel;
use crate::api::ServerDatabase;
use crate::api::condition::{Summary, reason};
use crate::controller::brake;
use crate::controller::context::Context;
use crate::controller::database::refusal;
use crate::controller::servers::NoLook;
use crate::postgres::bootstrap;
use crate::postgres::connect::{AdminTarget, ConnectError, Connection, ServerPool};
use crate::postgres::facts::{Marker, Server};
use crate::postgres::observe::{self, Markers};
use crate::postgres::pool::Member;
use crate::postgres::quote::Ident;

/// What is known of a server that can be used.
#[derive(Clone, Debug)]
pub struct Reached {
    /// The server.
    pub server: Server,
    /// Its marker rows.
    pub markers: Vec<Marker>,
    /// The rows of its warm pool.
    pub pool: Vec<Member>,
    /// What the server says of the login that the admin Secret has, if it was reached by the one before.
    pub refused: Option<String>,
    /// How many were released lately, of how many; read while its deletion brake is engaged.
    pub released: Option<(u32, u32)>,
}

/// Connects, compares the system identifier with the one `known` and the marker rows with the ServerDatabases before
/// anything is written, prepares the server and reads its marker rows.
pub async fn reach(
    context: &Context,
    name: &str,
    target: AdminTarget,
    known: Option<&str>,
) -> Result<Reached, Summary> {
    let pool = context.servers.look(name, target).map_err(|refused| match refused {
        NoLook::Target(error) => refusal::of_connect(&error),
        NoLook::Rejected(trouble) => trouble,
    })?;
    recognise(&pool, known).await?;
    remember(context, name, &pool).await?;
    let prepared = bootstrap::bootstrap(context.servers.gate(), &pool).await;
    let server = prepared.map_err(|error| refusal::of_bootstrap(&error))?;
    let mut connection = pool.operator().await.map_err(|error| refusal::of_connect(&error))?;
    let seen = context.servers.gate().fences().see(&mut connection).await;
    seen.map_err(|error| refusal::of_fence(&error))?;
    let markers = observe::markers(&mut connection, &Markers::All).await;
    let warm = observe::pool(&mut connection).await;
    let released = if brake::is_engaged(context, name) {
        observe::pace(&mut connection, brake::WINDOW).await.map(Some)
    } else {
        Ok(None)
    };
    connection.release().await;
    let failed = |error| refusal::of_observe(&error);
    let (markers, pool) = (markers.map_err(failed)?, warm.map_err(failed)?);
    Ok(Reached { server, markers, pool, refused: None, released: released.map_err(failed)? })
}

async fn recognise(pool: &ServerPool, known: Option<&str>) -> Result<(), Summary> {
    let Some(known) = known else { return Ok(()) };
    let mut connection = any_session(pool).await.map_err(|error| refusal::of_connect(&error))?;
    let read = observe::server(&mut connection).await;
    connection.release().await;
    let found = read.map_err(|error| refusal::of_observe(&error))?.system_identifier;
    if found == known {
        return Ok(());
    }
    let message = format!(
        "the address answers as the server with the system identifier {found}, and it was {known}: nothing is written to it; \
         correct the host, or remove status.systemIdentifier if the server was replaced on purpose"
    );
    Err(Summary::Stalled { reason: reason::SYSTEM_IDENTIFIER_CHANGED, message })
}

/// Whether the server still knows what its ServerDatabases say. They are read first: a row never goes back while they are.
async fn remember(context: &Context, name: &str, pool: &ServerPool) -> Result<(), Summary> {
    let databases: Vec<ServerDatabase> = context.valid_all();
    let known = travel::known(databases.into_iter().filter(|it| it.spec.server_ref.name == name));
    if known.is_empty() {
        return Ok(());
    }
    let rows = match pool.operator().await {
        Ok(mut connection) => {
            let rows = observe::markers(&mut connection, &Markers::All).await;
            connection.release().await;
            rows.map_err(|error| refusal::of_observe(&error))?
        }
        Err(ConnectError::NoSuchDatabase { .. }) => vec![],
        Err(error) => return Err(refusal::of_connect(&error)),
    };
    travel::compare(&known, &rows)
}

/// A session on the operator database, or, where there is none (any more), on `postgres`.
pub(super) async fn any_session(pool: &ServerPool) -> Result<Connection, ConnectError> {
    match pool.operator().await {
        Err(ConnectError::NoSuchDatabase { .. } | ConnectError::DatabaseClosed { .. }) => {
            let postgres =
                Ident::parse("postgres").map_err(|error| ConnectError::InvalidTarget(error.to_string()))?;
            pool.database(&postgres).await
        }
        result => result,
    }
}
