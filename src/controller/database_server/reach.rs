//! Reaching a server: is it the one that it was, and is it prepared?

use tokio::time::Instant;

use super::travel;
use crate::api::ServerDatabase;
use crate::api::condition::{Summary, reason};
use crate::controller::brake;
use crate::controller::context::Context;
use crate::controller::database::fleet::Fleet;
use crate::controller::database::refusal;
use crate::controller::servers::NoLook;
use crate::postgres::bootstrap::{self, Parts};
use crate::postgres::connect::{AdminTarget, ConnectError, Connection, ServerPool};
use crate::postgres::facts::{ElevatedRole, Facts, Marker, Server};
use crate::postgres::observe::{self, Coming, Markers, ObserveError, Scope};
use crate::postgres::pool::Member;
use crate::postgres::quote::Ident;

/// What is known of a server that can be used.
#[derive(Clone, Debug)]
pub struct Reached {
    /// When it was looked at, at the earliest.
    pub at: Instant,
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
    /// Its databases, as one look at all of them shows them.
    pub fleet: Fleet,
    /// Roles with elevated rights.
    pub elevated: Vec<ElevatedRole>,
}

/// Connects, compares the system identifier with the one `known` and the marker rows with the ServerDatabases before
/// anything is written, prepares the server and reads what it has of ours. A server that is prepared already costs ten
/// statements, whatever the number of its databases.
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
    // Read before the rows: a row never goes back meanwhile.
    let databases: Vec<ServerDatabase> = context.valid_all();
    let remembered = travel::known(databases.into_iter().filter(|it| it.spec.server_ref.name == name));
    match read(&pool).await? {
        Read::Whole(seen) => {
            recognise(&seen.facts.server, known)?;
            travel::compare(&remembered, &seen.facts.markers)?;
            let prepared = bootstrap::is_prepared(&seen.facts, &seen.parts);
            if prepared.map_err(|error| refusal::of_bootstrap(&error))? {
                return settle(context, name, &pool, seen).await;
            }
        }
        Read::Server(server, why) => {
            recognise(&server, known)?;
            match why {
                // Whether it has the rows cannot be told.
                Some(ConnectError::DatabaseClosed { .. } | ConnectError::NotPermitted { .. })
                    if remembered.is_empty() => {}
                None | Some(ConnectError::NoSuchDatabase { .. }) => travel::compare(&remembered, &[])?,
                Some(error) => return Err(refusal::of_connect(&error)),
            }
        }
    }
    let prepared = bootstrap::bootstrap(context.servers.gate(), &pool).await;
    prepared.map_err(|error| refusal::of_bootstrap(&error))?;
    match read(&pool).await? {
        Read::Whole(seen) => settle(context, name, &pool, seen).await,
        Read::Server(..) => Err(Summary::Progressing {
            reason: reason::PROGRESSING,
            message: "the operator database is gone again; it is looked at again".to_owned(),
        }),
    }
}

/// What one look reads.
enum Read {
    /// The server has an operator database with all its parts.
    Whole(Box<Seen>),
    /// It has none, or cannot be entered.
    Server(Box<Server>, Option<ConnectError>),
}

/// Everything that is compared with what is declared.
struct Seen {
    at: Instant,
    facts: Facts,
    parts: Parts,
    pool: Vec<Member>,
    elevated: Vec<ElevatedRole>,
}

async fn read(pool: &ServerPool) -> Result<Read, Summary> {
    let (mut connection, why) = match pool.operator().await {
        Ok(connection) => (connection, None),
        Err(
            why @ (ConnectError::NoSuchDatabase { .. }
            | ConnectError::DatabaseClosed { .. }
            | ConnectError::NotPermitted { .. }),
        ) => (elsewhere(pool).await?, Some(why)),
        Err(error) => return Err(refusal::of_connect(&error)),
    };
    let read = match why {
        None => read_in(&mut connection).await,
        why => observe::server(&mut connection)
            .await
            .map(|server| Read::Server(Box::new(server), why))
            .map_err(|error| unread(&error)),
    };
    connection.release().await;
    read
}

async fn read_in(connection: &mut Connection) -> Result<Read, Summary> {
    let parts = bootstrap::parts(connection).await.map_err(|error| refusal::of_bootstrap(&error))?;
    if !parts.are_there() {
        return observe::server(connection)
            .await
            .map(|server| Read::Server(Box::new(server), None))
            .map_err(|error| unread(&error));
    }
    let at = Instant::now();
    let markers = observe::markers(connection, &Markers::All).await.map_err(|error| unread(&error))?;
    let adopted = markers.iter().filter(|row| row.adopted.is_some()).map(|row| row.physical_name.clone());
    let scope = Scope::whole_server().and_databases(adopted);
    let facts = observe::catalog_at_rest(connection, &scope).await.map_err(|error| unread(&error))?;
    let elevated = observe::elevated_roles(connection).await.map_err(|error| unread(&error))?;
    let pool = observe::pool(connection).await.map_err(|error| unread(&error))?;
    Ok(Read::Whole(Box::new(Seen { at, facts: Facts { markers, ..facts }, parts, pool, elevated })))
}

fn unread(error: &ObserveError) -> Summary {
    refusal::of_observe(error)
}

/// Takes note of the server's epoch: it is the right one, and prepared.
async fn settle(
    context: &Context,
    name: &str,
    server: &ServerPool,
    seen: Box<Seen>,
) -> Result<Reached, Summary> {
    let mut connection = server.operator().await.map_err(|error| refusal::of_connect(&error))?;
    let noted = context.servers.gate().fences().see(&mut connection).await;
    noted.map_err(|error| refusal::of_fence(&error))?;
    let released = if brake::is_engaged(context, name) {
        let held_up = brake::held_up(context, name);
        observe::pace(&mut connection, brake::WINDOW, None, Coming::All, &held_up).await.map(Some)
    } else {
        Ok(None)
    };
    connection.release().await;
    let released = released.map_err(|error| unread(&error))?;
    let Seen { at, facts, parts: _, pool, elevated } = *seen;
    let (server, markers) = (facts.server.clone(), facts.markers.clone());
    Ok(Reached { at, server, markers, pool, refused: None, released, fleet: Fleet::new(facts), elevated })
}

fn recognise(server: &Server, known: Option<&str>) -> Result<(), Summary> {
    let found = &server.system_identifier;
    if known.is_none_or(|known| known == found) {
        return Ok(());
    }
    let known = known.unwrap_or_default();
    let message = format!(
        "the address answers as the server with the system identifier {found}, and it was {known}: nothing is written to it; \
         correct the host, or remove status.systemIdentifier if the server was replaced on purpose"
    );
    Err(Summary::Stalled { reason: reason::SYSTEM_IDENTIFIER_CHANGED, message })
}

/// A session where there is no operator database to enter.
async fn elsewhere(pool: &ServerPool) -> Result<Connection, Summary> {
    let postgres = Ident::parse("postgres").map_err(|error| ConnectError::InvalidTarget(error.to_string()));
    let session = match postgres {
        Ok(postgres) => pool.database(&postgres).await,
        Err(error) => Err(error),
    };
    session.map_err(|error| refusal::of_connect(&error))
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
