//! Waits until an object is as wanted, by watching it: no polling, no missed change.

use std::time::Duration;

use serde_json::Value;

use super::api_error::ApiError;
use super::client::{Change, Client, JSON, Next, Selectors, with_query};
use super::failure::{Exit, Failure};
use super::kinds::Resource;

/// One object to wait for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    /// Its resource.
    pub resource: &'a Resource,
    /// Its namespace, if it has one.
    pub namespace: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
}

/// What an object's state means to the waiter.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is as wanted.
    Met,
    /// Not yet.
    NotYet,
    /// It will not be, unless somebody does something.
    Hopeless(Failure),
}

/// Waits until `judge` says so, at most `timeout`. It sees the object, or None while there is none.
pub(super) async fn until(
    client: &Client,
    subject: Subject<'_>,
    timeout: Duration,
    mut judge: impl FnMut(Option<&Value>) -> Verdict,
) -> Result<(), Failure> {
    let waiting = async {
        // A watch that ends, or whose version is too old, starts over with a fresh list.
        loop {
            if settle(client, subject, &mut judge).await? == Next::Stop {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(timeout, waiting).await.map_err(|_| timed_out(subject))?
}

async fn settle(
    client: &Client,
    subject: Subject<'_>,
    judge: &mut impl FnMut(Option<&Value>) -> Verdict,
) -> Result<Next, Failure> {
    let selectors = Selectors::named(subject.name);
    let path = subject.resource.path(subject.namespace, None);
    let list: Value = client.read(&with_query(path.clone(), &selectors.query()), JSON).await?;
    if decide(judge(list["items"].get(0)))? == Next::Stop {
        return Ok(Next::Stop);
    }
    let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let mut query = selectors.query();
    query.push(("resourceVersion", version));
    let watched = client
        .watch(&path, &query, JSON, |change| match change {
            Change::Is(object) => decide(judge(Some(&object))).map_err(Interruption::Judged),
            Change::Deleted(_) => decide(judge(None)).map_err(Interruption::Judged),
        })
        .await;
    match watched {
        Err(Interruption::Judged(failure)) => Err(failure),
        Err(Interruption::Broken(ApiError::Status(status))) if status.code == 410 => Ok(Next::Continue),
        Err(Interruption::Broken(error)) => Err(error.into()),
        Ok(next) => Ok(next),
    }
}

/// Why a watch ended early.
enum Interruption {
    Judged(Failure),
    Broken(ApiError),
}

impl From<ApiError> for Interruption {
    fn from(error: ApiError) -> Self {
        Self::Broken(error)
    }
}

fn decide(verdict: Verdict) -> Result<Next, Failure> {
    match verdict {
        Verdict::Met => Ok(Next::Stop),
        Verdict::NotYet => Ok(Next::Continue),
        Verdict::Hopeless(failure) => Err(failure),
    }
}

fn timed_out(subject: Subject<'_>) -> Failure {
    let Subject { resource, name, .. } = subject;
    Failure::new(format_args!("timed out waiting for the condition on {}/{name}", resource.plural))
        .exit(Exit::TimedOut)
}
