//! The loop of one controller: take an object from its queue, give it a turn, say when it comes back.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apply::ApplyError;
use super::context::{Context, StoreOf, Stores};
use super::object::Key;
use super::outcome::{self, Due, Next};
use super::own::{Own, OwnKind};
use super::publish::publish_invalid;

/// Everything is looked at again after 10 to 20 minutes, at a different time for each object.
const RESYNC: Duration = Duration::from_mins(10);
/// A turn that takes longer than this is given up and tried again: a hanging call must not hold a worker.
const TURN_LIMIT: Duration = Duration::from_mins(2);

/// One controller: what it does in a turn.
pub trait Reconciler: Send + Sync + 'static {
    /// The kind that it looks after.
    type Kind: OwnKind;

    /// Workers for each object that is reconciled at a time. More than one where turns wait for database servers: a
    /// silent one holds the few that it lets in for as long as it takes to find that out.
    const WORKERS: usize = 1;

    /// Brings one object of that kind to its spec. Called with an object that exists and is readable.
    fn reconcile(
        context: &Context,
        object: Self::Kind,
    ) -> impl Future<Output = Result<Next, ApplyError>> + Send;

    /// The object is gone. Most controllers have nothing to do then.
    fn removed(context: &Context, key: &Key) -> impl Future<Output = Result<Next, ApplyError>> + Send {
        let _ = (context, key);
        async { Ok(Next::Never) }
    }
}

/// Runs the workers of one controller until `shutdown`; turns under way then are finished.
pub async fn run<R: Reconciler>(context: Arc<Context>, shutdown: CancellationToken)
where
    Stores: StoreOf<R::Kind>,
{
    let mut workers = JoinSet::new();
    for _ in 0..context.config.concurrency * R::WORKERS {
        let (context, shutdown) = (Arc::clone(&context), shutdown.clone());
        workers.spawn(async move { work::<R>(&context, &shutdown).await });
    }
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended {
            // Reported as a panic of this task, which ends the process.
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

async fn work<R: Reconciler>(context: &Context, shutdown: &CancellationToken)
where
    Stores: StoreOf<R::Kind>,
{
    let kind = R::Kind::KIND;
    let Some(queue) = context.queue(kind) else { return };
    loop {
        let key = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            key = queue.pop() => key,
        };
        let started = Instant::now();
        let result = if let Ok(result) = tokio::time::timeout(TURN_LIMIT, turn::<R>(context, &key)).await {
            result
        } else {
            tracing::warn!(object.kind = %kind, object.key = %key, limit.seconds = TURN_LIMIT.as_secs(), "gave up a turn");
            Ok(Next::Backoff)
        };
        let result_name = match &result {
            Ok(Next::Resync | Next::Never) => "success",
            Ok(Next::After(_) | Next::Called) => "requeue_after",
            Ok(Next::Backoff | Next::BackoffWithin(_)) => "requeue",
            Err(_) => "error",
        };
        context.metrics.turn(kind, result_name, started.elapsed());
        tracing::debug!(object.kind = %kind, object.key = %key, turn.result = result_name, "took a turn");
        // Before another worker may give it the next one.
        context.servers.turn_is_over(kind, &key);
        let due = match result {
            Ok(next) => next.due(outcome::spread(RESYNC, context.jitter())),
            // Of an object that is gone the watch tells in a moment.
            Err(ApplyError::Gone { .. }) => Due::Never,
            Err(error) => {
                report(kind, &key, &error);
                Due::Again { within: None }
            }
        };
        match due {
            Due::In(wait) => queue.done(&key, Some(wait)),
            Due::Again { within } => queue.failed(&key, context.jitter(), within),
            Due::Never => queue.done(&key, None),
        }
    }
}

async fn turn<R: Reconciler>(context: &Context, key: &Key) -> Result<Next, ApplyError>
where
    Stores: StoreOf<R::Kind>,
{
    let own = context.stores.store().get(key);
    match own.as_deref() {
        None => R::removed(context, key).await,
        Some(Own::Valid(object)) => R::reconcile(context, object.clone()).await,
        Some(Own::Invalid { meta, error }) => {
            publish_invalid(context, <R::Kind as OwnKind>::KIND, meta, error).await?;
            Ok(Next::Resync)
        }
    }
}

/// An error here is for people to act on only when it does not pass by itself.
fn report(kind: super::object::Kind, key: &Key, error: &ApplyError) {
    let (category, message) = (outcome::category(error), outcome::chain(error));
    match error {
        ApplyError::Conflict { .. } => {
            tracing::debug!(object.kind = %kind, object.key = %key, error.category = category, error.message = message, "turn failed");
        }
        _ => {
            tracing::warn!(object.kind = %kind, object.key = %key, error.category = category, error.message = message, "turn failed");
        }
    }
}

/// Key of an object of ours.
pub fn key_of<K: OwnKind>(object: &K) -> Key {
    Key::namespaced(&object.namespace().unwrap_or_default(), &object.name_any())
}
