//! The work queue of one controller: which object next, and when.
//!
//! # Guarantees
//! - An object is reconciled by one worker at a time; what arrives meanwhile makes it run once more afterwards.
//! - Deletions and changes of a spec go first, everything else (children, resyncs, restarts) after; of five turns
//!   one goes to the second lane even while the first is full, so nothing starves.
//! - A failing object waits longer each time, up to [`MAX_BACKOFF`], and delays no other. A change of its spec
//!   runs at once, whatever its backoff.
//!
//! [`Core`] is pure: time comes in as `now`. [`Queue`] adds a lock and a wake-up.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::metrics::{Load, Metrics};
use super::object::{Key, Kind};

/// Longest wait after a failure: a fix outside our sight (a password, a network) is found within half a minute.
pub const MAX_BACKOFF: Duration = Duration::from_secs(30);
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// Of so many turns one goes to the background lane while the urgent one is not empty.
const BACKGROUND_SHARE: u32 = 5;

/// How urgent a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Children, resyncs, restarts.
    Background,
    /// Deletions and changes of a spec.
    Urgent,
}

#[derive(Debug, Default)]
struct State {
    lane: Option<Lane>,
    /// The lane that its turn under way came from.
    running: Option<Lane>,
    /// Came in while running.
    again: Option<Lane>,
    due: Option<Instant>,
    failures: u32,
}

/// The queue without lock and clock.
#[derive(Debug, Default)]
pub struct Core {
    states: HashMap<Key, State>,
    urgent: VecDeque<Key>,
    background: VecDeque<Key>,
    delayed: BTreeSet<(Instant, Key)>,
    running: usize,
    turn: u32,
}

impl Core {
    /// Asks for a turn as soon as possible.
    pub fn add(&mut self, key: &Key, lane: Lane) {
        let state = self.states.entry(key.clone()).or_default();
        if state.running.is_some() {
            state.again = state.again.max(Some(lane));
            return;
        }
        if let Some(due) = state.due.take() {
            self.delayed.remove(&(due, key.clone()));
        }
        match (state.lane, lane) {
            (Some(Lane::Urgent), _) | (Some(Lane::Background), Lane::Background) => {}
            (Some(Lane::Background), Lane::Urgent) => {
                self.background.retain(|queued| queued != key);
                state.lane = Some(lane);
                self.urgent.push_back(key.clone());
            }
            (None, _) => {
                state.lane = Some(lane);
                self.lane(lane).push_back(key.clone());
            }
        }
    }

    /// Asks for a turn at `due`, unless one is asked for already that comes earlier.
    pub fn add_at(&mut self, key: &Key, due: Instant) {
        let state = self.states.entry(key.clone()).or_default();
        if state.lane.is_some() || state.again.is_some() || state.due.is_some_and(|earlier| earlier <= due) {
            return;
        }
        if let Some(later) = state.due.replace(due) {
            self.delayed.remove(&(later, key.clone()));
        }
        self.delayed.insert((due, key.clone()));
    }

    /// The next object whose turn it is. It runs until [`Core::done`].
    pub fn pop(&mut self, now: Instant) -> Option<Key> {
        while self.delayed.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, key)) = self.delayed.pop_first() else { break };
            if let Some(state) = self.states.get_mut(&key) {
                state.due = None;
                if state.running.is_some() {
                    state.again = state.again.max(Some(Lane::Background));
                } else if state.lane.is_none() {
                    state.lane = Some(Lane::Background);
                    self.background.push_back(key);
                }
            }
        }
        self.turn = self.turn.wrapping_add(1);
        let background_first = self.turn.is_multiple_of(BACKGROUND_SHARE);
        let (first, second) = if background_first {
            (&mut self.background, &mut self.urgent)
        } else {
            (&mut self.urgent, &mut self.background)
        };
        let key = first.pop_front().or_else(|| second.pop_front())?;
        if let Some(state) = self.states.get_mut(&key) {
            state.running = state.lane.take();
            self.running += usize::from(state.running.is_some());
        }
        Some(key)
    }

    /// The turn is over and went well; the next one, if any is due by itself, at `next`.
    pub fn done(&mut self, key: &Key, next: Option<Instant>) {
        self.finish(key, next, 0);
    }

    /// The turn failed: the next comes after a wait that grows with every failure, and is no longer than `at_most`.
    /// `jitter` is in 0..1.
    pub fn failed(&mut self, key: &Key, now: Instant, jitter: f64, at_most: Option<Duration>) {
        let failures = self.states.get(key).map_or(0, |state| state.failures);
        let wait = FIRST_BACKOFF.saturating_mul(1_u32 << failures.min(10)).min(MAX_BACKOFF);
        let wait = wait.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0).min(at_most.unwrap_or(MAX_BACKOFF));
        self.finish(key, Some(now + wait), failures.saturating_add(1));
    }

    fn finish(&mut self, key: &Key, next: Option<Instant>, failures: u32) {
        let Some(state) = self.states.get_mut(key) else { return };
        self.running -= usize::from(state.running.take().is_some());
        state.failures = failures;
        let again = state.again.take();
        match (again, next) {
            (Some(lane), _) => self.add(key, lane),
            (None, Some(due)) => self.add_at(key, due),
            (None, None) if failures == 0 && self.states.get(key).is_some_and(|s| s.due.is_none()) => {
                self.states.remove(key);
            }
            (None, None) => {}
        }
    }

    /// How urgent the turn under way is.
    pub fn lane_of_turn(&self, key: &Key) -> Lane {
        self.states.get(key).and_then(|state| state.running).unwrap_or(Lane::Background)
    }

    /// Whether the object's turn is under way.
    pub fn is_running(&self, key: &Key) -> bool {
        self.states.get(key).is_some_and(|state| state.running.is_some())
    }

    /// How often the object's turns have failed in a row.
    pub fn failures(&self, key: &Key) -> u32 {
        self.states.get(key).map_or(0, |state| state.failures)
    }

    /// When [`Core::pop`] is worth calling again without anything being added.
    pub fn next_due(&self) -> Option<Instant> {
        self.delayed.first().map(|(due, _)| *due)
    }

    /// Objects that wait for a turn now (not those that are due later).
    pub fn depth(&self) -> usize {
        self.urgent.len() + self.background.len()
    }

    /// Objects whose turn is under way.
    pub fn running(&self) -> usize {
        self.running
    }

    fn lane(&mut self, lane: Lane) -> &mut VecDeque<Key> {
        match lane {
            Lane::Urgent => &mut self.urgent,
            Lane::Background => &mut self.background,
        }
    }
}

/// [`Core`] shared by the watches that add and the workers that pop.
#[derive(Debug, Default)]
pub struct Queue {
    core: Mutex<Core>,
    wake: Notify,
    load: Load,
}

impl Queue {
    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it, and says by its metrics how it is now.
    fn change<T>(&self, change: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.core();
        let result = change(&mut core);
        self.load.is(core.depth(), core.running());
        result
    }

    /// Asks for a turn as soon as possible.
    pub fn add(&self, key: &Key, lane: Lane) {
        self.change(|core| core.add(key, lane));
        self.wake.notify_one();
    }

    /// Waits for the next object whose turn it is.
    pub async fn pop(&self) -> Key {
        loop {
            let (key, more, due) =
                self.change(|core| (core.pop(Instant::now()), core.depth() > 0, core.next_due()));
            if let Some(key) = key {
                // Another worker may be waiting, and there may be more than this one.
                if more {
                    self.wake.notify_one();
                }
                return key;
            }
            match due {
                Some(due) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep_until(due) => {}
                },
                None => self.wake.notified().await,
            }
        }
    }

    /// Whether the object's turn is under way.
    pub fn is_running(&self, key: &Key) -> bool {
        self.core().is_running(key)
    }

    /// The turn went well.
    pub fn done(&self, key: &Key, next: Option<Duration>) {
        self.change(|core| core.done(key, next.map(|wait| Instant::now() + wait)));
        self.wake.notify_one();
    }

    /// The turn failed; the next comes within `at_most`.
    pub fn failed(&self, key: &Key, jitter: f64, at_most: Option<Duration>) {
        self.change(|core| core.failed(key, Instant::now(), jitter, at_most));
        self.wake.notify_one();
    }
}

/// One queue for each of our kinds.
#[derive(Debug)]
pub struct Queues(HashMap<Kind, Queue>);

impl Queues {
    /// Empty ones, which say by `metrics` how they are.
    pub fn new(metrics: &Metrics) -> Self {
        let queue = |kind: &Kind| (*kind, Queue { load: metrics.load(*kind), ..Queue::default() });
        Self(Kind::OWN.iter().map(queue).collect())
    }

    /// No queues at all: whoever asks for a turn gets none.
    pub fn none() -> Self {
        Self(HashMap::new())
    }

    /// The queue of one of our kinds; `None` for any other.
    pub fn of(&self, kind: Kind) -> Option<&Queue> {
        self.0.get(&kind)
    }

    /// Asks for a turn of that object as soon as possible.
    pub fn add(&self, kind: Kind, key: &Key, lane: Lane) {
        if let Some(queue) = self.of(kind) {
            queue.add(key, lane);
        }
    }

    /// How urgent the object's turn under way is: who has to wait within it goes on waiting with that.
    pub fn lane_of_turn(&self, kind: Kind, key: &Key) -> Lane {
        self.of(kind).map_or(Lane::Background, |queue| queue.core().lane_of_turn(key))
    }

    /// How often the object's turns have failed in a row.
    pub fn failures(&self, kind: Kind, key: &Key) -> u32 {
        self.of(kind).map_or(0, |queue| queue.core().failures(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::cluster(name)
    }

    #[test]
    fn one_turn_at_a_time_and_once_more_for_what_came_meanwhile() {
        let (mut core, now) = (Core::default(), Instant::now());
        core.add(&key("a"), Lane::Background);
        core.add(&key("a"), Lane::Background);
        assert!(!core.is_running(&key("a")), "it waits");
        assert_eq!(core.pop(now), Some(key("a")));
        assert!(core.is_running(&key("a")));
        core.add(&key("a"), Lane::Background);
        assert_eq!(core.pop(now), None, "it is running");
        core.done(&key("a"), None);
        assert_eq!(core.pop(now), Some(key("a")));
        core.done(&key("a"), None);
        assert_eq!(core.pop(now), None);
        assert!(core.states.is_empty(), "an idle object costs nothing");
    }

    #[test]
    fn urgent_goes_first_and_the_background_is_not_starved() {
        let (mut core, now) = (Core::default(), Instant::now());
        for index in 0..8 {
            core.add(&key(&format!("b{index}")), Lane::Background);
        }
        for index in 0..8 {
            core.add(&key(&format!("u{index}")), Lane::Urgent);
        }
        let order: Vec<String> = (0..10).filter_map(|_| core.pop(now)).map(|key| key.to_string()).collect();
        assert_eq!(order, ["u0", "u1", "u2", "u3", "b0", "u4", "u5", "u6", "u7", "b1"]);
    }

    #[test]
    fn becoming_urgent_moves_ahead() {
        let (mut core, now) = (Core::default(), Instant::now());
        core.add(&key("a"), Lane::Background);
        core.add(&key("b"), Lane::Background);
        core.add(&key("b"), Lane::Urgent);
        assert_eq!(core.pop(now), Some(key("b")));
        assert_eq!(core.pop(now), Some(key("a")));
        assert_eq!(core.pop(now), None);
    }

    #[test]
    fn a_turn_is_as_urgent_as_what_asked_for_it() {
        let (mut core, now) = (Core::default(), Instant::now());
        core.add(&key("a"), Lane::Background);
        core.add(&key("a"), Lane::Urgent);
        core.add_at(&key("b"), now);
        assert_eq!((core.pop(now), core.lane_of_turn(&key("a"))), (Some(key("a")), Lane::Urgent));
        assert_eq!((core.pop(now), core.lane_of_turn(&key("b"))), (Some(key("b")), Lane::Background));
        core.done(&key("a"), None);
        assert_eq!(core.lane_of_turn(&key("a")), Lane::Background);
    }

    #[test]
    fn failures_wait_longer_and_a_change_runs_at_once() {
        let (mut core, start) = (Core::default(), Instant::now());
        core.add(&key("a"), Lane::Background);
        let mut now = start;
        let mut waits = vec![];
        for _ in 0..9 {
            assert_eq!(core.pop(now), Some(key("a")));
            core.failed(&key("a"), now, 1.0, None);
            let due = core.next_due().unwrap();
            waits.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        assert_eq!(core.pop(now), Some(key("a")));
        core.failed(&key("a"), now, 1.0, Some(Duration::from_secs(3)));
        assert_eq!(core.next_due(), Some(now + Duration::from_secs(3)));
        core.add(&key("a"), Lane::Urgent);
        assert_eq!(core.pop(start), Some(key("a")));
        core.done(&key("a"), None);
        assert_eq!(core.next_due(), None);
    }

    #[test]
    fn the_earlier_of_two_due_times_wins() {
        let (mut core, now) = (Core::default(), Instant::now());
        core.add_at(&key("a"), now + Duration::from_secs(10));
        core.add_at(&key("a"), now + Duration::from_secs(5));
        core.add_at(&key("a"), now + Duration::from_secs(20));
        assert_eq!(core.next_due(), Some(now + Duration::from_secs(5)));
        assert_eq!(core.pop(now + Duration::from_secs(4)), None);
        assert_eq!(core.pop(now + Duration::from_secs(5)), Some(key("a")));
        assert_eq!(core.next_due(), None);
    }
}
