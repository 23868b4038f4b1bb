//! Which step an object is at and since when, so that status speaks of a step only when it takes its time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A step that is over sooner is not worth a write.
pub const WORTH_A_WRITE: Duration = Duration::from_secs(2);

/// Which step each object is at.
#[derive(Default)]
pub struct Progress(Mutex<HashMap<String, (String, Instant)>>);

impl Progress {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (String, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object with that UID is at `step`. How long until that is worth a write; zero when it is already.
    pub fn wait(&self, uid: &str, step: &str, now: Instant) -> Duration {
        WORTH_A_WRITE.saturating_sub(self.elapsed(uid, step, now))
    }

    /// How long the object of that name has been at `step`.
    pub fn elapsed(&self, name: &str, step: &str, now: Instant) -> Duration {
        let mut at = self.lock();
        let entry = at.entry(name.to_owned()).or_insert_with(|| (step.to_owned(), now));
        if entry.0 != step {
            *entry = (step.to_owned(), now);
        }
        now.saturating_duration_since(entry.1)
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
}
