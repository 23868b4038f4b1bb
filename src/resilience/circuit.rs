//! The circuit: whether it is worth asking.
//!
//! Closed is healthy: everybody is let through. After [`Config::failures`] failures in a row it is Open: nobody is, for
//! a wait that doubles each time, up to [`Config::longest_wait`]. The first who asks after it is the probe, and while it
//! is under way the circuit is HalfOpen: nobody else is let through. Its success closes the circuit, its failure opens
//! it again.
//!
//! # Guarantees
//! - At most one probe is under way.
//! - What was let through before a change of state says nothing after it: a late answer neither opens nor closes.
//! - [`Outcome::Ignored`] gives a permit back without a verdict, so a probe that was cancelled is not the last one.
//! - A wait that is over lets the next one through, whenever it comes: there is no timer to be missed.
//!
//! A circuit that opens again soon after it was closed goes on where its wait was: a flapping neighbour gets no more
//! probes than a dead one.

use std::time::{Duration, Instant};

/// When a circuit opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// So many failures in a row open it, each of somebody who asked after the one before was known.
    pub failures: u32,
    /// Failures further apart than this are not in a row. It has to be longer than an answer can take.
    pub window: Duration,
    /// How long it is open the first time.
    pub first_wait: Duration,
    /// The longest that it is ever open before somebody may probe.
    pub longest_wait: Duration,
}

/// What users see of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Healthy: everybody is let through.
    Closed,
    /// Rejecting.
    Open,
    /// One probe decides.
    HalfOpen,
}

/// Leave to ask once. Whoever has it says with [`Circuit::record`] how it went.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is not recorded leaves a probe under way for ever"]
pub struct Permit {
    epoch: u64,
    since: Instant,
}

/// Why there is no leave to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The circuit is open; who comes then may be the probe.
    Open {
        /// When its wait is over.
        until: Instant,
    },
    /// The probe is under way.
    Probing,
}

/// How it went, as far as it tells something about the neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was an answer, whatever it said.
    Success,
    /// There was none, or one that says that nobody will get one.
    Failure,
    /// Nothing was heard: cancelled, or not even asked.
    Ignored,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed { failures: u32, last: Option<Instant> },
    Open { until: Instant },
    HalfOpen { probing: bool },
}

/// A circuit.
#[derive(Debug)]
pub struct Circuit {
    config: Config,
    phase: Phase,
    /// Grows with every change of state; a permit of an earlier one tells nothing.
    epoch: u64,
    /// How often it has been opened without a long healthy time between.
    opened: u32,
    closed_at: Option<Instant>,
}

impl Circuit {
    /// A closed circuit.
    pub const fn new(config: Config) -> Self {
        let phase = Phase::Closed { failures: 0, last: None };
        Self { config, phase, epoch: 0, opened: 0, closed_at: None }
    }

    /// What users see.
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// When somebody may probe, while it is open.
    pub const fn until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open { until } => Some(until),
            Phase::Closed { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    /// Whether it is closed and the last that was heard is a failure: one more look will tell.
    pub const fn is_in_doubt(&self) -> bool {
        matches!(self.phase, Phase::Closed { failures: 1.., .. })
    }

    /// Asks to be let through.
    pub fn try_acquire(&mut self, now: Instant) -> Result<Permit, Rejected> {
        match self.phase {
            Phase::Closed { .. } => {}
            Phase::Open { until } if now < until => return Err(Rejected::Open { until }),
            Phase::HalfOpen { probing: true } => return Err(Rejected::Probing),
            Phase::Open { .. } => self.enter(Phase::HalfOpen { probing: true }),
            Phase::HalfOpen { probing: false } => self.phase = Phase::HalfOpen { probing: true },
        }
        Ok(Permit { epoch: self.epoch, since: now })
    }

    /// Says how it went with a permit. `jitter`, in 0..1, spreads the probes of many circuits that open at once.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is used up by it")]
    pub fn record(&mut self, permit: Permit, outcome: Outcome, now: Instant, jitter: f64) {
        if permit.epoch != self.epoch {
            return;
        }
        match (self.phase, outcome) {
            (Phase::Closed { .. }, Outcome::Success) => {
                self.phase = Phase::Closed { failures: 0, last: None };
            }
            // Who had asked before the last failure was known met the same trouble: that is no second time.
            (Phase::Closed { last: Some(last), .. }, Outcome::Failure) if permit.since < last => {}
            (Phase::Closed { failures, last }, Outcome::Failure) => {
                let in_a_row = last.is_some_and(|last| now.duration_since(last) <= self.config.window);
                let failures = if in_a_row { failures + 1 } else { 1 };
                self.phase = Phase::Closed { failures, last: Some(now) };
                if failures >= self.config.failures {
                    self.open(now, jitter);
                }
            }
            (Phase::HalfOpen { .. }, Outcome::Success) => {
                self.closed_at = Some(now);
                self.enter(Phase::Closed { failures: 0, last: None });
            }
            (Phase::HalfOpen { .. }, Outcome::Failure) => self.open(now, jitter),
            (Phase::HalfOpen { .. }, Outcome::Ignored) => self.phase = Phase::HalfOpen { probing: false },
            // Nobody has a permit of an open circuit.
            (Phase::Closed { .. }, Outcome::Ignored) | (Phase::Open { .. }, _) => {}
        }
    }

    /// Forgets everything: it is another neighbour now. Permits that are out tell nothing any more.
    pub fn reset(&mut self) {
        (self.opened, self.closed_at) = (0, None);
        self.enter(Phase::Closed { failures: 0, last: None });
    }

    fn open(&mut self, now: Instant, jitter: f64) {
        if self.closed_at.take().is_some_and(|at| now.duration_since(at) > self.config.longest_wait) {
            self.opened = 0;
        }
        let doubled = self.config.first_wait.saturating_mul(1_u32 << self.opened.min(16));
        let wait = doubled.min(self.config.longest_wait).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        self.opened = self.opened.saturating_add(1);
        self.enter(Phase::Open { until: now + wait });
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIG: Config = Config {
        failures: 3,
        window: Duration::from_secs(10),
        first_wait: Duration::from_secs(1),
        longest_wait: Duration::from_secs(8),
    };

    fn fail(circuit: &mut Circuit, now: Instant) {
        let permit = circuit.try_acquire(now).unwrap();
        circuit.record(permit, Outcome::Failure, now, 1.0);
    }

    fn opened(now: Instant) -> Circuit {
        let mut circuit = Circuit::new(CONFIG);
        (0..CONFIG.failures).for_each(|_| fail(&mut circuit, now));
        assert_eq!(circuit.state(), State::Open);
        circuit
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let (now, mut circuit) = (Instant::now(), Circuit::new(CONFIG));
        fail(&mut circuit, now);
        fail(&mut circuit, now);
        assert!(circuit.is_in_doubt());
        let permit = circuit.try_acquire(now).unwrap();
        circuit.record(permit, Outcome::Success, now, 0.0);
        assert!(!circuit.is_in_doubt());
        fail(&mut circuit, now);
        fail(&mut circuit, now);
        // Long after, it is the first of a new row.
        fail(&mut circuit, now + CONFIG.window + Duration::from_millis(1));
        assert_eq!(circuit.state(), State::Closed);
        fail(&mut circuit, now + CONFIG.window * 2);
        fail(&mut circuit, now + CONFIG.window * 2);
        assert_eq!(circuit.state(), State::Open);
    }

    #[test]
    fn many_who_meet_one_silence_are_one_failure() {
        let (now, mut circuit) = (Instant::now(), Circuit::new(CONFIG));
        let together: Vec<Permit> = (0..10).filter_map(|_| circuit.try_acquire(now).ok()).collect();
        for permit in together {
            circuit.record(permit, Outcome::Failure, now + Duration::from_secs(5), 0.0);
        }
        assert_eq!((circuit.state(), circuit.is_in_doubt()), (State::Closed, true));
    }

    #[test]
    fn waits_double_up_to_the_longest_and_start_again_after_a_healthy_time() {
        let (mut now, mut waits) = (Instant::now(), vec![]);
        let mut circuit = opened(now);
        for _ in 0..5 {
            let until = circuit.until().unwrap();
            assert_eq!(circuit.try_acquire(now), Err(Rejected::Open { until }));
            waits.push((until - now).as_secs());
            now = until;
            fail(&mut circuit, now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 8]);

        let reopened = |healthy: Duration| {
            let mut circuit = opened(now);
            let until = circuit.until().unwrap();
            let probe = circuit.try_acquire(until).unwrap();
            circuit.record(probe, Outcome::Success, until, 1.0);
            let later = until + healthy;
            (0..CONFIG.failures).for_each(|_| fail(&mut circuit, later));
            circuit.until().unwrap() - later
        };
        assert_eq!(reopened(Duration::ZERO), CONFIG.first_wait * 2, "it flaps");
        assert_eq!(reopened(CONFIG.longest_wait * 2), CONFIG.first_wait, "it was healthy");
    }

    #[test]
    fn jitter_takes_up_to_half_of_a_wait() {
        let now = Instant::now();
        let wait = |jitter: f64| {
            let mut circuit = Circuit::new(Config { failures: 1, ..CONFIG });
            let permit = circuit.try_acquire(now).unwrap();
            circuit.record(permit, Outcome::Failure, now, jitter);
            circuit.until().unwrap() - now
        };
        assert_eq!((wait(0.0).as_millis(), wait(0.5).as_millis(), wait(1.0).as_millis()), (500, 750, 1000));
    }

    #[test]
    fn of_a_thousand_who_come_at_once_one_is_the_probe() {
        let mut circuit = opened(Instant::now());
        let until = circuit.until().unwrap();
        let mut permits: Vec<Permit> = (0..1000).filter_map(|_| circuit.try_acquire(until).ok()).collect();
        assert_eq!((permits.len(), circuit.state()), (1, State::HalfOpen));
        assert_eq!(circuit.try_acquire(until), Err(Rejected::Probing));
        // A probe that was cancelled is not the last one.
        circuit.record(permits.pop().unwrap(), Outcome::Ignored, until, 0.0);
        assert_eq!(circuit.state(), State::HalfOpen);
        let probe = circuit.try_acquire(until).unwrap();
        circuit.record(probe, Outcome::Success, until, 0.0);
        assert_eq!(circuit.state(), State::Closed);
    }

    #[test]
    fn what_was_let_through_before_a_change_tells_nothing_after_it() {
        let now = Instant::now();
        let mut circuit = Circuit::new(CONFIG);
        let (late, later) = (circuit.try_acquire(now).unwrap(), circuit.try_acquire(now).unwrap());
        (0..CONFIG.failures).for_each(|_| fail(&mut circuit, now));
        let until = circuit.until().unwrap();
        circuit.record(late, Outcome::Success, now, 0.0);
        assert_eq!(circuit.until(), Some(until));
        let probe = circuit.try_acquire(until).unwrap();
        circuit.record(later, Outcome::Failure, until, 0.0);
        assert_eq!(circuit.state(), State::HalfOpen);
        circuit.reset();
        circuit.record(probe, Outcome::Failure, until, 0.0);
        assert_eq!((circuit.state(), circuit.is_in_doubt()), (State::Closed, false));
    }

    /// What a circuit is, told from the log of what happened and from nothing else.
    #[derive(Default)]
    struct Model {
        log: Vec<(Instant, Event)>,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Event {
        Opened { until: Instant, wait: Duration },
        Probe(usize),
        ProbeCame,
        Closed,
        Reset,
        Answer,
        Silence,
    }

    impl Model {
        /// Everything since the last change of state, and the change.
        fn since(&self) -> (Option<Event>, &[(Instant, Event)]) {
            let is_change = |event: &Event| {
                matches!(event, Event::Opened { .. } | Event::Probe(_) | Event::Closed | Event::Reset)
            };
            // A probe after one that was given back is no change.
            let at = self.log.iter().enumerate().rposition(|(at, (_, event))| {
                is_change(event)
                    && !(matches!(event, Event::Probe(_)) && matches!(self.log[at - 1].1, Event::ProbeCame))
            });
            at.map_or((None, &self.log[..]), |at| (Some(self.log[at].1), &self.log[at + 1..]))
        }

        fn state(&self) -> State {
            match self.since().0 {
                None | Some(Event::Closed | Event::Reset) => State::Closed,
                Some(Event::Opened { .. }) => State::Open,
                _ => State::HalfOpen,
            }
        }

        /// The permit that is the probe, if one is under way.
        fn probe(&self) -> Option<usize> {
            match self.log.last() {
                Some((_, Event::Probe(permit))) => Some(*permit),
                _ => None,
            }
        }

        fn acquire(&mut self, permit: usize, now: Instant) -> bool {
            match self.since().0 {
                None | Some(Event::Closed | Event::Reset) => true,
                Some(Event::Opened { until, .. }) if now < until => false,
                _ if self.probe().is_some() => false,
                _ => {
                    self.log.push((now, Event::Probe(permit)));
                    true
                }
            }
        }

        /// Failures in a row at the end of the log, each at most a window after the one before.
        fn row(&self) -> u32 {
            let silences = self.since().1.iter().rev().take_while(|(_, event)| *event == Event::Silence);
            let times: Vec<Instant> = silences.map(|(at, _)| *at).collect();
            let joined = times.windows(2).take_while(|pair| pair[0] - pair[1] <= CONFIG.window).count();
            if times.is_empty() { 0 } else { u32::try_from(joined).unwrap() + 1 }
        }

        fn open(&mut self, now: Instant) {
            let last = self.log.iter().rev().find_map(|(at, event)| match event {
                Event::Opened { wait, .. } => Some((*at, *wait)),
                _ => None,
            });
            let rest = self.log.iter().rev().take_while(|(_, event)| !matches!(event, Event::Opened { .. }));
            let forgotten = rest.clone().any(|(at, event)| match event {
                Event::Reset => true,
                Event::Closed => now - *at > CONFIG.longest_wait,
                _ => false,
            });
            let wait = match last.filter(|_| !forgotten) {
                Some((_, wait)) => (wait * 2).min(CONFIG.longest_wait),
                None => CONFIG.first_wait,
            };
            self.log.push((now, Event::Opened { until: now + wait, wait }));
        }

        fn record(&mut self, (permit, since): (usize, Instant), valid: bool, outcome: Outcome, now: Instant) {
            if self.probe() == Some(permit) {
                match outcome {
                    Outcome::Success => self.log.push((now, Event::Closed)),
                    Outcome::Failure => self.open(now),
                    Outcome::Ignored => self.log.push((now, Event::ProbeCame)),
                }
            } else if valid && self.state() == State::Closed {
                match outcome {
                    Outcome::Success => self.log.push((now, Event::Answer)),
                    Outcome::Failure
                        if self
                            .since()
                            .1
                            .last()
                            .is_some_and(|(at, event)| *event == Event::Silence && since < *at) => {}
                    Outcome::Failure => {
                        self.log.push((now, Event::Silence));
                        if self.row() >= CONFIG.failures {
                            self.open(now);
                        }
                    }
                    Outcome::Ignored => {}
                }
            }
        }

        /// Number of changes so far: a permit counts only while it is the same.
        fn changes(&self) -> usize {
            let changes = self.log.iter().enumerate().filter(|(at, (_, event))| match event {
                Event::Opened { .. } | Event::Closed | Event::Reset => true,
                Event::Probe(_) => !matches!(self.log[at - 1].1, Event::ProbeCame),
                _ => false,
            });
            changes.count()
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Wait(u64),
        Acquire,
        Record(prop::sample::Index, Outcome),
        Reset,
    }

    fn step() -> impl Strategy<Value = Step> {
        let outcome = prop_oneof![2 => Just(Outcome::Success), 4 => Just(Outcome::Failure), 1 => Just(Outcome::Ignored)];
        prop_oneof![
            3 => (0..12_000_u64).prop_map(Step::Wait),
            5 => Just(Step::Acquire),
            6 => (any::<prop::sample::Index>(), outcome).prop_map(|(which, how)| Step::Record(which, how)),
            1 => Just(Step::Reset),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

        #[test]
        fn it_is_what_the_log_says(steps in prop::collection::vec(step(), 0..120)) {
            let (mut circuit, mut model, mut now) = (Circuit::new(CONFIG), Model::default(), Instant::now());
            let mut out: Vec<(usize, usize, Instant, Permit)> = vec![];
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Wait(millis) => now += Duration::from_millis(millis),
                    Step::Acquire => {
                        let got = circuit.try_acquire(now);
                        prop_assert_eq!(got.is_ok(), model.acquire(number, now));
                        if let Ok(permit) = got {
                            out.push((number, model.changes(), now, permit));
                        }
                    }
                    Step::Record(which, outcome) if !out.is_empty() => {
                        let (number, changes, since, permit) = out.swap_remove(which.index(out.len()));
                        let valid = changes == model.changes();
                        circuit.record(permit, outcome, now, 1.0);
                        model.record((number, since), valid, outcome, now);
                    }
                    Step::Record(..) => {}
                    Step::Reset => {
                        circuit.reset();
                        model.log.push((now, Event::Reset));
                    }
                }
                prop_assert_eq!(circuit.state(), model.state());
                let until = match model.since().0 {
                    Some(Event::Opened { until, .. }) => Some(until),
                    _ => None,
                };
                prop_assert_eq!(circuit.until(), until);
            }
            // Whatever happened: when everything that is out has come back, somebody is let through in the end.
            for (_, _, _, permit) in out {
                circuit.record(permit, Outcome::Ignored, now, 1.0);
            }
            prop_assert!(circuit.try_acquire(now + CONFIG.longest_wait).is_ok());
        }
    }
}
