//! Leadership by a Lease, by client-go's rule: a lease counts as expired when *we* have not seen it change for its
//! duration, whatever the clocks of others say.
//!
//! Every write is a PUT with the resourceVersion that was read, so of two candidates one loses. A Lease does not
//! fence (a stopped process may wake up after its lease has passed on), which is why the database side fences by
//! itself (`postgres/fence.rs`), and asks the [`Term`] first; here losing the lease ends the process.
//!
//! [`Observed`] is pure; [`Election`] does the calls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::{FIELD_MANAGER, labels};

/// Name of the Lease.
pub const LEASE: &str = "tenantry-operator";

/// What we last saw of the Lease, and when by our own clock.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    record: Option<(String, LeaseSpec)>,
    at: Option<Instant>,
}

impl Observed {
    /// Takes what was read; the time counts only when it differs from before.
    pub fn see(&mut self, version: &str, spec: &LeaseSpec, now: Instant) {
        if self.record.as_ref().is_none_or(|(_, seen)| seen != spec) {
            self.at = Some(now);
        }
        self.record = Some((version.to_owned(), spec.clone()));
    }

    /// Whether `identity` may take the lease.
    pub fn may_take(&self, identity: &str, now: Instant) -> bool {
        let Some((_, spec)) = &self.record else { return true };
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == identity {
            return true;
        }
        let duration =
            Duration::from_secs(u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0));
        self.at.is_none_or(|at| now >= at + duration)
    }

    /// The spec with which `identity` takes or renews the lease.
    pub fn taken_by(&self, identity: &str, duration: Duration, now: Timestamp) -> LeaseSpec {
        let held = self.record.as_ref().map(|(_, spec)| spec);
        let same = held.is_some_and(|spec| spec.holder_identity.as_deref() == Some(identity));
        let transitions = held.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(identity.to_owned()),
            lease_duration_seconds: Some(i32::try_from(duration.as_secs().max(1)).unwrap_or(i32::MAX)),
            acquire_time: if same {
                held.and_then(|spec| spec.acquire_time.clone())
            } else {
                Some(MicroTime(now))
            },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if same || held.is_none() { transitions } else { transitions + 1 }),
            ..LeaseSpec::default()
        }
    }
}

/// How long this process may lead, by its own monotonic clock, which also counts while the process stands still.
/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Term(Arc<Mutex<Option<Instant>>>);

impl Term {
    fn until(&self, end: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    /// Whether it lasts. Never before the lease was taken.
    pub fn lasts(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|end| Instant::now() < end)
    }
}

/// Why leadership ended.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process holds the lease, or ours could not be renewed in time.
    #[error("lost the lease {LEASE}: another process may lead now")]
    Lost,
}

/// A candidate.
pub struct Election {
    api: Api<Lease>,
    identity: String,
    duration: Duration,
    now: fn() -> Timestamp,
    observed: Observed,
    term: Term,
}

impl Election {
    /// A candidate named `identity` for the Lease in `namespace`.
    pub fn new(
        client: Client,
        namespace: &str,
        identity: &str,
        duration: Duration,
        now: fn() -> Timestamp,
    ) -> Self {
        let api = Api::namespaced(client, namespace);
        let (observed, term) = (Observed::default(), Term::default());
        Self { api, identity: identity.to_owned(), duration, now, observed, term }
    }

    /// The term that this candidate takes and prolongs.
    pub fn term(&self) -> Term {
        self.term.clone()
    }

    /// Waits until this process leads, or `shutdown`.
    pub async fn acquire(&mut self, shutdown: &CancellationToken) -> bool {
        let mut told = String::new();
        loop {
            match self.step().await {
                Ok(true) => {
                    tracing::info!(lease.holder = self.identity, "leading");
                    return true;
                }
                Ok(false) => {}
                Err(error) => {
                    let text = error.to_string();
                    if text != told {
                        tracing::warn!(error = text, "failed to read or write the lease; trying again");
                        told = text;
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return false,
                () = tokio::time::sleep(self.duration / 8) => {}
            }
        }
    }

    /// Keeps the lease until `shutdown`, and gives it up then. An error means that it is lost.
    pub async fn keep(&mut self, shutdown: &CancellationToken) -> Result<(), LeaseError> {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.duration / 4) => {}
            }
            let limit = self.duration / 4;
            match tokio::time::timeout(limit, self.step()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return Err(LeaseError::Lost),
                Ok(Err(error)) => tracing::warn!(%error, "failed to renew the lease; trying again"),
                Err(_) => tracing::warn!("the lease's renewal got no answer; trying again"),
            }
            // Stop a good while before anybody else may start.
            if renewed.elapsed() + limit >= self.duration {
                return Err(LeaseError::Lost);
            }
        }
    }

    /// Gives the lease up, so that the next process need not wait for it to expire.
    pub async fn release(&mut self) {
        let Some((version, spec)) = self.observed.record.clone() else { return };
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return;
        }
        let empty = LeaseSpec { holder_identity: None, lease_duration_seconds: Some(1), ..spec };
        if let Err(error) = self.put(&version, empty).await {
            tracing::warn!(%error, "failed to release the lease; it expires by itself");
        }
    }

    /// One try to take or renew. Others count from when they see it, which is later than its beginning here.
    async fn step(&mut self) -> Result<bool, kube::Error> {
        let begun = Instant::now();
        let taken = self.take_or_renew().await?;
        if taken {
            self.term.until(begun + self.duration);
        }
        Ok(taken)
    }

    async fn take_or_renew(&mut self) -> Result<bool, kube::Error> {
        match self.api.get_opt(LEASE).await? {
            None => {
                let spec = self.observed.taken_by(&self.identity, self.duration, (self.now)());
                let made = self.api.create(&params(), &lease(None, spec)).await;
                self.settle(made)
            }
            Some(live) => {
                let version = live.resource_version().unwrap_or_default();
                self.observed.see(&version, &live.spec.clone().unwrap_or_default(), Instant::now());
                if !self.observed.may_take(&self.identity, Instant::now()) {
                    return Ok(false);
                }
                let spec = self.observed.taken_by(&self.identity, self.duration, (self.now)());
                let put = self.put(&version, spec).await;
                self.settle(put)
            }
        }
    }

    async fn put(&self, version: &str, spec: LeaseSpec) -> Result<Lease, kube::Error> {
        self.api.replace(LEASE, &params(), &lease(Some(version.to_owned()), spec)).await
    }

    /// Somebody else was faster: no error.
    fn settle(&mut self, result: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
        match result {
            Ok(live) => {
                let version = live.resource_version().unwrap_or_default();
                self.observed.see(&version, &live.spec.unwrap_or_default(), Instant::now());
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn lease(resource_version: Option<String>, spec: LeaseSpec) -> Lease {
    let labels = [(labels::MANAGED_BY, labels::MANAGER), (labels::COMPONENT, "operator")];
    let metadata = ObjectMeta {
        name: Some(LEASE.to_owned()),
        resource_version,
        labels: Some(labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
        ..ObjectMeta::default()
    };
    Lease { metadata, spec: Some(spec) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(holder: &str, renewed: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(8),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_expires_by_our_own_clock_only() {
        let (mut observed, start) = (Observed::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(observed.may_take("me", start), "there is none");
        // The holder's clock is years behind; it is alive all the same.
        observed.see("1", &spec("you", 5), start);
        assert!(!observed.may_take("me", after(7)));
        observed.see("2", &spec("you", 6), after(7));
        assert!(!observed.may_take("me", after(14)));
        assert!(observed.may_take("me", after(15)));
        assert!(observed.may_take("you", after(8)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_term_lasts_until_its_end_and_begins_with_the_lease() {
        let term = Term::default();
        assert!(!term.lasts());
        term.until(Instant::now() + Duration::from_secs(8));
        assert!(term.lasts());
        tokio::time::advance(Duration::from_secs(8)).await;
        assert!(!term.lasts());
    }

    #[test]
    fn a_released_lease_can_be_taken_at_once_and_counts_a_transition() {
        let (mut observed, start) = (Observed::default(), Instant::now());
        observed.see(
            "1",
            &LeaseSpec { holder_identity: None, lease_transitions: Some(3), ..LeaseSpec::default() },
            start,
        );
        assert!(observed.may_take("me", start));
        let now = Timestamp::from_second(100).unwrap();
        let taken = observed.taken_by("me", Duration::from_secs(8), now);
        assert_eq!((taken.lease_transitions, taken.acquire_time.clone()), (Some(4), Some(MicroTime(now))));
        observed.see("2", &taken, start);
        let renewed = observed.taken_by("me", Duration::from_secs(8), Timestamp::from_second(102).unwrap());
        assert_eq!((renewed.lease_transitions, renewed.acquire_time), (Some(4), Some(MicroTime(now))));
    }
}
