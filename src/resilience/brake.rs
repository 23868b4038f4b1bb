//! The brake: deletions that come too thick stop until a person says that they are meant.
//!
//! A wrong selector, a pruned directory or a lost CRD deletes many things within minutes, and what people delete on
//! purpose is few. So what was deleted lately is counted, and what would be more than [`Limits`] allow is not done. Once
//! engaged a brake stays so, however much time passes, until somebody answers it with its nonce: an answer to an earlier
//! one does not count. Answered with *proceed*, it lets everything through; with *cancel*, it goes on holding. Either way it is over
//! when nothing waits any more and things are calm again, or after a while: one answer is none to what comes much later.

use std::time::Duration;

/// What an answer begins with that lets go on, before the nonce.
pub const PROCEED: &str = "proceed-";
/// What an answer begins with that does not.
pub const CANCEL: &str = "cancel-";

/// What is let through without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many are always let through.
    pub least: u32,
    /// So many of a hundred are.
    pub percent: u32,
}

/// How many there were lately, of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Deleted within the window.
    pub recent: u32,
    /// All that there are, those included.
    pub all: u32,
}

/// A brake as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Its nonce, if it is engaged.
    pub nonce: Option<&'a str>,
    /// What somebody said.
    pub answer: Option<Answer<'a>>,
}

/// What somebody said of the brake with a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// What it stopped is meant.
    Proceed(&'a str),
    /// It is not: what can be kept is kept.
    Cancel(&'a str),
}

impl<'a> Answer<'a> {
    /// What `proceed-NONCE` and `cancel-NONCE` say.
    pub fn parse(said: &'a str) -> Option<Self> {
        let proceed = said.strip_prefix(PROCEED).map(Self::Proceed);
        proceed.or_else(|| said.strip_prefix(CANCEL).map(Self::Cancel))
    }

    const fn nonce(self) -> &'a str {
        match self {
            Self::Proceed(nonce) | Self::Cancel(nonce) => nonce,
        }
    }
}

/// What becomes of the next deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Go,
    /// It waits for an answer.
    Hold,
    /// The brake engages, and it waits for an answer.
    Engage,
    /// Somebody has said that it is not meant.
    Cancel,
}

impl Limits {
    /// Whether that is more than is let through.
    pub const fn exceeded(self, pace: Pace) -> bool {
        let share = (pace.all as u64) * (self.percent as u64);
        pace.recent > self.least && (pace.recent as u64) * 100 > share
    }
}

impl Standing<'_> {
    /// Whether it is engaged and somebody has answered it.
    pub fn is_answered(&self) -> bool {
        self.nonce.is_some() && self.nonce == self.answer.map(Answer::nonce)
    }

    /// Whether somebody has said that what it stopped is not meant.
    pub fn is_cancelled(&self) -> bool {
        self.is_answered() && matches!(self.answer, Some(Answer::Cancel(_)))
    }
}

/// Decides about a deletion, which `next` counts already.
pub fn decide(limits: Limits, standing: Standing<'_>, next: Pace) -> Verdict {
    match standing.nonce {
        Some(_) if standing.is_cancelled() => Verdict::Cancel,
        Some(_) if standing.is_answered() => Verdict::Go,
        Some(_) => Verdict::Hold,
        None if limits.exceeded(next) => Verdict::Engage,
        None => Verdict::Go,
    }
}

/// Whether an engaged brake is over, which was `answered` so long ago: what it stopped has come through, so that nothing is
/// `waiting`, and things are calm. Any earlier, what it stopped would engage the next one. An answer is good for `at_most`
/// so long, since what still waits then may wait for something else, for ever.
pub fn is_over(
    limits: Limits,
    answered: Option<Duration>,
    at_most: Duration,
    pace: Pace,
    waiting: usize,
) -> bool {
    answered.is_some_and(|since| since >= at_most || (waiting == 0 && !limits.exceeded(pace)))
}

/// How many of those points in time, in seconds, lie in the window that ends now. One that is to come counts: clocks differ.
pub fn recent(times: impl IntoIterator<Item = i64>, now: i64, window: Duration) -> u32 {
    let window = i64::try_from(window.as_secs()).unwrap_or(i64::MAX);
    let count = times.into_iter().filter(|time| now.saturating_sub(*time) < window).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const LIMITS: Limits = Limits { least: 3, percent: 10 };
    const WINDOW: Duration = Duration::from_mins(10);

    #[test]
    fn more_than_three_and_more_than_a_tenth_is_too_much() {
        let exceeded = |recent, all| LIMITS.exceeded(Pace { recent, all });
        let cases = [
            (3, 3, false),
            (4, 4, true),
            (4, 40, false),
            (4, 39, true),
            (100, 1000, false),
            (101, 1000, true),
        ];
        for (recent, all, expected) in cases {
            assert_eq!(exceeded(recent, all), expected, "{recent} of {all}");
        }
        assert!(!Limits { least: u32::MAX, percent: 10 }.exceeded(Pace { recent: u32::MAX, all: 1 }));
    }

    #[test]
    fn only_the_answer_to_this_very_brake_lets_go() {
        let next = Pace { recent: 1, all: 1000 };
        let at = |nonce, answer: Option<&str>, next| {
            decide(LIMITS, Standing { nonce, answer: answer.and_then(Answer::parse) }, next)
        };
        let verdict = |nonce, answer| at(nonce, answer, next);
        for said in [None, Some("b"), Some("proceed-a"), Some("cancel-a"), Some("proceed-"), Some("no-b")] {
            assert_eq!(verdict(Some("b"), said), Verdict::Hold, "{said:?}");
        }
        assert_eq!(verdict(Some("b"), Some("proceed-b")), Verdict::Go);
        assert_eq!(verdict(Some("b"), Some("cancel-b")), Verdict::Cancel);
        let many = Pace { recent: 9, all: 9 };
        for said in [None, Some("proceed-b"), Some("cancel-b")] {
            assert_eq!(verdict(None, said), Verdict::Go, "{said:?}");
            assert_eq!(at(None, said, many), Verdict::Engage, "{said:?}");
        }
    }

    #[test]
    fn a_brake_is_over_when_it_was_answered_and_all_of_it_came_through_and_things_are_calm_or_after_a_while()
    {
        let over = |answered: Option<u64>, recent, waiting| {
            let answered = answered.map(Duration::from_secs);
            is_over(LIMITS, answered, WINDOW, Pace { recent, all: 9 }, waiting)
        };
        assert!(over(Some(0), 3, 0));
        assert!(!over(Some(599), 3, 1), "what waits would engage the next one");
        assert!(!over(Some(599), 4, 0), "it is not calm");
        assert!(over(Some(600), 4, 1), "what still waits may wait for ever");
        assert!(!over(None, 0, 0), "it was not answered");
    }

    #[test]
    fn what_happened_before_the_window_does_not_count() {
        assert_eq!(recent([0, 400, 401, 1000, 2000], 1000, WINDOW), 3);
        assert_eq!(recent([i64::MIN], i64::MAX, WINDOW), 0);
    }

    /// Deletions at random times against the definition: without an answer no ten minutes ever see more than is allowed.
    #[test]
    fn in_no_window_more_is_deleted_than_is_allowed_unless_somebody_said_so() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let all = random.random_range(1..200);
            let (mut now, mut done, mut brakes) = (0_i64, Vec::<(i64, bool)>::new(), 0_u32);
            let (mut nonce, mut answer, mut meant) = (None::<String>, None::<String>, true);
            let mut answered_at = None;
            for _ in 0..400 {
                now += random.random_range(0..120);
                if random.random_bool(0.02) {
                    answer = nonce.clone().filter(|_| random.random_bool(0.7)).or(Some("stale".into()));
                    meant = random.random_bool(0.7);
                }
                let times = || done.iter().map(|(time, _)| *time);
                let said = |answer| if meant { Answer::Proceed(answer) } else { Answer::Cancel(answer) };
                let said = answer.as_deref().map(said);
                let is_answered = Standing { nonce: nonce.as_deref(), answer: said }.is_answered();
                answered_at = answered_at.or(Some(now)).filter(|_| is_answered);
                let since = answered_at.map(|at| Duration::from_secs((now - at).unsigned_abs()));
                let pace = Pace { recent: recent(times(), now, WINDOW), all };
                if is_over(LIMITS, since, WINDOW, pace, random.random_range(0..2)) {
                    (nonce, answered_at) = (None, None);
                }
                let next = Pace { recent: recent(times(), now, WINDOW) + 1, all };
                let standing = Standing { nonce: nonce.as_deref(), answer: said };
                match decide(LIMITS, standing, next) {
                    Verdict::Go => {
                        assert!(!standing.is_cancelled(), "it was not meant");
                        done.push((now, standing.is_answered()));
                    }
                    Verdict::Hold | Verdict::Cancel => {}
                    Verdict::Engage => {
                        assert!(nonce.is_none(), "it engages once");
                        brakes += 1;
                        nonce = Some(brakes.to_string());
                    }
                }
            }
            for (index, (time, answered)) in done.iter().enumerate() {
                let within = recent(done[..=index].iter().map(|(time, _)| *time), *time, WINDOW);
                let exceeded = LIMITS.exceeded(Pace { recent: within, all });
                assert!(*answered || !exceeded, "seed {seed}: {within} of {all} at {time}");
            }
        }
    }
}
