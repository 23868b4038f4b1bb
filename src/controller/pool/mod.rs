//! The warm pool of every database server: databases that are made before anybody asks for them.
//!
//! # Flow
//! The servers' own turns read the pool's rows, and a turn that takes a clone says so ([`known`]). When something is to
//! be done ([`plan`]) the pool is filled in the background ([`fill`]); what a database of it looks like and how it is taken
//! is in `database::pool`.
//!
//! # Guarantees
//! - Nothing of a pool is left behind, whatever is interrupted: its row is there first and goes last.
//! - Filling has sessions of its own, few at a time, and stops while turns fill the server's bulkhead.
//! - A server whose circuit is open is left alone, and what filling hears of a server counts like what a turn hears.

pub mod fill;
pub mod known;
pub mod plan;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::fill::FillError;
use self::plan::Wish;
use super::context::Context;
use super::object::Key;
use super::outcome::{chain, spread};
use crate::api::DatabaseServer;

/// What was put off is looked at again after so long.
const SURVEY: Duration = Duration::from_secs(1);
/// After a failure a pool rests for so long, and twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// No rest is longer.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How filling one server's pool has gone lately.
#[derive(Debug, Default)]
struct Lately {
    busy: bool,
    failures: u32,
    rests_until: Option<Instant>,
}

/// Fills every pool, until `shutdown`; what is being made then is finished.
pub async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let mut fillings = JoinSet::new();
    let mut known = HashMap::<String, Lately>::new();
    let mut ticks = interval(SURVEY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = context.pools.news() => {}
            _ = ticks.tick() => {}
            Some(ended) = fillings.join_next() => match ended {
                Ok((server, result)) => rest(&context, &mut known, server, result),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
        }
        begin(&context, &mut known, &mut fillings, &shutdown);
    }
    while fillings.join_next().await.is_some() {}
}

/// Begins to fill each pool that has something to be done, one filling a server.
fn begin(
    context: &Arc<Context>,
    known: &mut HashMap<String, Lately>,
    fillings: &mut JoinSet<(String, Result<(), FillError>)>,
    shutdown: &CancellationToken,
) {
    let servers: Vec<String> =
        context.valid_all::<DatabaseServer>().iter().map(ResourceExt::name_any).collect();
    known.retain(|name, lately| lately.busy || servers.contains(name));
    for name in servers {
        let lately = known.entry(name.clone()).or_default();
        let rests = lately.rests_until.is_some_and(|until| until > Instant::now());
        let asked = wish(context, &name, shutdown).filter(|_| !lately.busy && !rests);
        if asked.is_none_or(|wish| context.pools.work(&name, wish).is_empty()) {
            continue;
        }
        lately.busy = true;
        let (context, shutdown) = (Arc::clone(context), shutdown.clone());
        fillings.spawn(async move {
            let filled = fill::fill(&context, &name, || wish(&context, &name, &shutdown)).await;
            (name, filled)
        });
    }
}

/// What is asked of the pool of that server now. `None` if nothing is to be done for it.
fn wish(context: &Context, server: &str, shutdown: &CancellationToken) -> Option<Wish> {
    let object: DatabaseServer = context.valid(&Key::cluster(server))?;
    let free = context.servers.is_usable(server) && !context.servers.is_full(server);
    let databases = context.inventory.rows().count(server);
    (free && !shutdown.is_cancelled()).then(|| Wish::of(&object, databases))
}

/// Notes how a filling went. One line when something else is wrong than before.
fn rest(
    context: &Context,
    known: &mut HashMap<String, Lately>,
    server: String,
    result: Result<(), FillError>,
) {
    let trouble = result.err().map(|error| chain(&error));
    if context.pools.ended(&server, trouble.clone()) {
        tracing::warn!(server.name = server, error.message = trouble, "the warm pool is not as it has to be");
    }
    let lately = known.entry(server).or_default();
    lately.busy = false;
    if trouble.is_none() {
        *lately = Lately::default();
        return;
    }
    let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(lately.failures)).min(LONGEST_PAUSE);
    lately.failures += 1;
    lately.rests_until = Some(Instant::now() + spread(pause, context.jitter()));
}
