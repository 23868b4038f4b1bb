//! Which step an object is at and since when, so that status speaks of a step only when it takes its time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A step that is over sooner is not worth a write.
pub const WORTH_A_WRITE: Duration = Duration::from_secs(2);

/// Which step each object is at.
#[derive(Default)]
pub struct Progress(Mutex<HashMap<String, At>>);

/// A step that an object is at.
struct At {
    step: String,
    since: Instant,
    /// When somebody looked last.
    seen: Instant,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, At>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object with that UID is at `step`. How long until that is worth a write; zero when it is already.
    pub fn wait(&self, uid: &str, step: &str, now: Instant) -> Duration {
        WORTH_A_WRITE.saturating_sub(self.elapsed(uid, step, now))
    }

    /// How long the object of that name has been at `step`.
    pub fn elapsed(&self, name: &str, step: &str, now: Instant) -> Duration {
        self.watched(name, step, now, Duration::MAX)
    }

    /// How long the object of that name has been seen to be at `step`. It begins anew where nobody has looked for longer than
    /// `blind`: what it was at meanwhile is not known.
    pub fn watched(&self, name: &str, step: &str, now: Instant, blind: Duration) -> Duration {
        let mut all = self.lock();
        let new = || At { step: step.to_owned(), since: now, seen: now };
        let at = all.entry(name.to_owned()).or_insert_with(new);
        if at.step != step || now.saturating_duration_since(at.seen) > blind {
            *at = new();
        }
        at.seen = now;
        now.saturating_duration_since(at.since)
    }

    /// The object is Ready or gone.
    pub fn clear(&self, uid: &str) {
        self.lock().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_two_seconds_of_its_own() {
        let (progress, start) = (Progress::default(), Instant::now());
        let after = |millis| start + Duration::from_millis(millis);
        assert_eq!(progress.wait("u", "a", start), WORTH_A_WRITE);
        assert_eq!(progress.wait("u", "a", after(1500)), Duration::from_millis(500));
        assert_eq!(progress.wait("u", "b", after(1500)), WORTH_A_WRITE);
        assert_eq!(progress.wait("u", "b", after(3500)), Duration::ZERO);
        progress.clear("u");
        assert_eq!(progress.wait("u", "b", after(3500)), WORTH_A_WRITE);
    }

    #[test]
    fn what_nobody_looked_at_is_not_counted() {
        let (progress, start) = (Progress::default(), Instant::now());
        let watched = |seconds| {
            let now = start + Duration::from_secs(seconds);
            progress.watched("u", "unused", now, Duration::from_secs(6)).as_secs()
        };
        assert_eq!([0, 2, 8, 15, 17].map(watched), [0, 2, 8, 0, 2]);
        assert_eq!(
            progress.elapsed("u", "unused", start + Duration::from_secs(100)),
            Duration::from_secs(85)
        );
    }
}
