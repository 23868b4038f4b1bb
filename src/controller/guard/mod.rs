//! A guard on every database server that can be used: `postgres::guard` at work, and its interventions told.
//!
//! A guard is begun when its server was found to be the right one and prepared, and goes on for as long as its session
//! lives, even while nobody else reaches the server: that is when it is needed. Each is a task of its own, so a server
//! that hangs holds up its own guard only, and what is told of an intervention never holds up the next look.

mod tell;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use self::tell::{Told, tell};
use super::context::Context;
use crate::api::DatabaseServer;
use crate::controller::outcome::chain;
use crate::postgres::connect::{AdminTarget, ServerPool};
use crate::postgres::guard::{GuardError, PERIOD, Watch};

/// A server that can be used since a moment ago gets its guard after so long at the latest.
const SURVEY: Duration = Duration::from_secs(1);
/// A guard that ended is not begun again sooner.
const PAUSE: Duration = Duration::from_secs(2);
/// Interventions that wait to be told as Events. Metrics and records hold all of them, and Events may miss some.
const WAITING: usize = 64;

/// A server's guard.
struct Guard {
    target: AdminTarget,
    task: AbortHandle,
}

/// Guards every server that can be used, until `shutdown`.
pub async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let (sender, mut told) = mpsc::channel(WAITING);
    let mut guards = JoinSet::new();
    let survey = async {
        let mut known = HashMap::<String, Guard>::new();
        let mut trouble = HashMap::<String, String>::new();
        let mut ticks = interval(SURVEY);
        loop {
            ticks.tick().await;
            while let Some(ended) = guards.try_join_next() {
                match ended {
                    Ok((server, error)) => report(&mut trouble, server, &error),
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    // Its server is gone.
                    Err(_) => {}
                }
            }
            place(&context, &mut known, &mut guards, &sender);
        }
    };
    let telling = async {
        let mut events = tell::Events::default();
        while let Some(told) = told.recv().await {
            events.record(&context, told).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = async { tokio::join!(survey, telling); } => {}
    }
}

/// Begins guards where one is missing, and ends those of servers that are gone or reached in another way now.
fn place(
    context: &Arc<Context>,
    known: &mut HashMap<String, Guard>,
    guards: &mut JoinSet<(String, GuardError)>,
    sender: &mpsc::Sender<Told>,
) {
    let servers: Vec<String> =
        context.valid_all::<DatabaseServer>().iter().map(ResourceExt::name_any).collect();
    known.retain(|name, guard| {
        let stays = servers.contains(name)
            && context.servers.for_guard(name).is_none_or(|pool| *pool.target() == guard.target);
        if !stays {
            guard.task.abort();
        }
        stays && !guard.task.is_finished()
    });
    for name in servers {
        let Some(pool) = context.servers.for_guard(&name).filter(|_| !known.contains_key(&name)) else {
            continue;
        };
        let target = pool.target().clone();
        let work = guard(Arc::clone(context), name.clone(), pool, sender.clone());
        known.insert(name, Guard { target, task: guards.spawn(work) });
    }
}

/// Guards one server until its session ends.
async fn guard(
    context: Arc<Context>,
    server: String,
    pool: ServerPool,
    sender: mpsc::Sender<Told>,
) -> (String, GuardError) {
    let error = match Watch::open(&pool).await {
        Err(error) => error,
        Ok(watch) => {
            tracing::debug!(server.name = server, "the guard is at work");
            let watching = context.metrics.watches(&server);
            let error = keep(&context, &server, watch, &sender).await;
            drop(watching);
            error
        }
    };
    sleep(PAUSE).await;
    (server, error)
}

async fn keep(context: &Context, server: &str, mut watch: Watch, sender: &mpsc::Sender<Told>) -> GuardError {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match watch.turn(context.servers.gate()).await {
            Ok(interventions) => {
                for intervention in interventions {
                    tell(context, sender, server, intervention);
                }
            }
            Err(error) => return error,
        }
    }
}

/// One line when something else is wrong than before.
fn report(trouble: &mut HashMap<String, String>, server: String, error: &GuardError) {
    let message = chain(error);
    if trouble.get(&server) != Some(&message) {
        tracing::warn!(server.name = server, error.message = message, "the guard does not watch");
        trouble.insert(server, message);
    }
}
