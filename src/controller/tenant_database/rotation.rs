//! Rotation: what becomes of a credential's two logins. Pure: what is recorded and seen comes in, what has to be recorded
//! comes out, and which logins work follows from that alone.
//!
//! ```text
//!       due, asked for, or lost           every pod has the new login         nobody uses the
//! Refused ──────────────────────► Rolling ──────────────────────────► Grace ──────────────────► Refused
//!   │        the other login is issued      both logins work                  earlier one, or
//!   └─ compromised: the other login is issued, the earlier one refused        grace has ended
//! ```
//!
//! Each turn goes one step at most, and a step is recorded with the first effect of the plan that carries it out: whoever
//! comes after a crash finds what was decided and finishes it. Only the password is not recorded anywhere but in the binding
//! Secret: if that does not have it, there is a new one, on the other login as long as pods may go on with the earlier one.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::postgres::issue::{Earlier, Issue, kept};

/// What a grace period is if nobody says.
pub const GRACE: Duration = Duration::from_hours(1);
/// A login that nobody was seen to use for so long is not used any more. Longer than a client waits between two attempts.
pub const QUIET: Duration = Duration::from_secs(10);
/// How often somebody looks whether a login is used.
const LOOK: Duration = Duration::from_secs(2);
/// Who has not looked for longer, since the server did not answer for one, does not know that nobody used it.
pub const BLIND: Duration = Duration::from_secs(6);

/// What a claim asks for a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How long a login is used.
    pub interval: Option<Duration>,
    /// How long the earlier login works once no pod needs it.
    pub grace: Duration,
    /// The request for a rotation.
    pub rotate: Option<String>,
    /// The report of a leak.
    pub compromised: Option<String>,
}

/// What is recorded and seen of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent observation")]
pub struct Seen {
    /// Its row.
    pub issue: Option<Issue>,
    /// Whether its first login has been made.
    pub made: bool,
    /// Whether the database is given to another claim in this turn: what earlier ones know counts for nothing.
    pub rebound: bool,
    /// Whether nobody can tell the password of the login in use any more, though pods may have it.
    pub lost: bool,
    /// Whether a rotation may begin: not while logins are refused altogether.
    pub may_rotate: bool,
    /// Whether every pod that binds the Secret has the login that is in use.
    pub rolled_out: bool,
    /// How long nobody has been seen to use the earlier login; absent while somebody does.
    pub unused_for: Option<Duration>,
}

impl Seen {
    /// Whether the other login takes over for one whose password is lost: a new password would keep out who has it.
    const fn replaces(&self) -> bool {
        self.lost && self.may_rotate && !self.rebound
    }

    /// Whether nobody uses the earlier login any more.
    fn is_quiet(&self) -> bool {
        self.unused_for.is_some_and(|unused| unused >= QUIET)
    }
}

impl Default for Asked {
    fn default() -> Self {
        Self { interval: None, grace: GRACE, rotate: None, compromised: None }
    }
}

impl Asked {
    /// Whether anything about the credential has to be recorded.
    const fn anything(&self) -> bool {
        self.interval.is_some() || self.rotate.is_some() || self.compromised.is_some()
    }
}

/// The interval of the credential `of`: up to a tenth shorter, so that what is rotated as often and begins at once, like the
/// credentials of a blueprint's thousand tenants, is spread.
pub fn spread(interval: Duration, of: &str) -> Duration {
    let [high, low, ..]: [u8; 32] = Sha256::digest(of.as_bytes()).into();
    let sooner = interval / 10 / u32::from(u16::MAX) * u32::from(u16::from_be_bytes([high, low]));
    interval.saturating_sub(sooner)
}

/// What stands for the value of an annotation: anybody may write anything there.
pub fn request(value: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(value.as_bytes())[..16])
}

/// What has to be recorded of the credential from now on; `None` if it has never been rotated and nobody asks for it.
pub fn next(asked: &Asked, seen: &Seen, now: Timestamp) -> Option<Issue> {
    let Some(issue) = seen.issue.clone().or_else(|| seen.made.then(|| Issue::first(now))) else {
        // A new login is what every request so far asks for.
        let first = Issue::first(now);
        let (rotated_for, compromised_for) = (asked.rotate.clone(), asked.compromised.clone());
        return asked.anything().then_some(Issue { rotated_for, compromised_for, ..first });
    };
    let recorded = seen.issue.is_some() || asked.anything() || seen.replaces();
    recorded.then(|| step(asked, seen, issue, now))
}

fn step(asked: &Asked, seen: &Seen, issue: Issue, now: Timestamp) -> Issue {
    if is_new(asked.compromised.as_ref(), issue.compromised_for.as_ref()) {
        return other(asked, issue, Earlier::Refused, now);
    }
    if seen.rebound {
        let rotated_for = asked.rotate.clone().or(issue.rotated_for);
        return Issue { earlier: Earlier::Refused, rotated_for, ..issue };
    }
    let earlier = match issue.earlier {
        Earlier::Refused if seen.replaces() || seen.may_rotate && is_due(asked, &issue, now) => {
            return other(asked, issue, Earlier::Rolling, now);
        }
        Earlier::Rolling if seen.rolled_out => Earlier::in_grace(now),
        Earlier::Grace { since } if now >= after(since, asked.grace) || seen.is_quiet() => Earlier::Refused,
        unchanged => unchanged,
    };
    Issue { earlier, ..issue }
}

/// What has to be recorded of a credential that others know, though nobody can issue its other login now: that the one in use
/// is replaced. Whoever takes the report back finds it so.
pub fn leaked(issue: Option<&Issue>, report: &str, rotate: Option<String>, now: Timestamp) -> Issue {
    let asked = Asked { rotate, compromised: Some(report.to_owned()), ..Asked::default() };
    other(&asked, issue.cloned().unwrap_or_else(|| Issue::first(now)), Earlier::Refused, now)
}

/// The other login, issued now.
fn other(asked: &Asked, issue: Issue, earlier: Earlier, now: Timestamp) -> Issue {
    Issue {
        side: issue.side.other(),
        issued_at: kept(now),
        earlier,
        rotated_for: asked.rotate.clone().or(issue.rotated_for),
        compromised_for: asked.compromised.clone().or(issue.compromised_for),
    }
}

fn is_new(asked: Option<&String>, seen_to: Option<&String>) -> bool {
    asked.is_some() && asked != seen_to
}

fn is_due(asked: &Asked, issue: &Issue, now: Timestamp) -> bool {
    is_new(asked.rotate.as_ref(), issue.rotated_for.as_ref())
        || asked.interval.is_some_and(|interval| now >= after(issue.issued_at, interval))
}

/// When the grace of the earlier login ends, if it has begun.
pub fn grace_ends(asked: &Asked, issue: &Issue) -> Option<Timestamp> {
    match issue.earlier {
        Earlier::Grace { since } => Some(after(since, asked.grace)),
        Earlier::Refused | Earlier::Rolling => None,
    }
}

/// When somebody has to look again though nothing happened.
pub fn look_again(asked: &Asked, issue: &Issue, seen: &Seen, now: Timestamp) -> Option<Duration> {
    // What takes long is looked at less often.
    let patience =
        |since: Timestamp, most: Duration| (until(since, now) / 4).clamp(Duration::from_secs(1), most);
    match issue.earlier {
        Earlier::Rolling => Some(patience(issue.issued_at, Duration::from_secs(30))),
        Earlier::Grace { since } => {
            let look = if seen.unused_for.is_some() { LOOK } else { patience(since, Duration::from_mins(1)) };
            Some(look.min(until(now, after(since, asked.grace))))
        }
        // One that may not begin is not waited for: what is in its way is seen when it goes.
        Earlier::Refused if !seen.may_rotate => None,
        Earlier::Refused => asked.interval.map(|interval| until(now, after(issue.issued_at, interval))),
    }
}

fn after(time: Timestamp, length: Duration) -> Timestamp {
    time.saturating_add(length).unwrap_or(Timestamp::MAX)
}

/// From `now` to `then`; nothing if that is over.
fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::names::Side;

    const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);

    fn at(seconds: u64) -> Timestamp {
        after(NOW, Duration::from_secs(seconds))
    }

    fn asked() -> Asked {
        let interval = Some(Duration::from_secs(100));
        Asked { interval, grace: Duration::from_secs(20), ..Asked::default() }
    }

    fn seen(issue: Option<&Issue>) -> Seen {
        Seen {
            issue: issue.cloned(),
            made: true,
            rebound: false,
            lost: false,
            may_rotate: true,
            rolled_out: false,
            unused_for: None,
        }
    }

    #[test]
    fn a_credential_goes_from_login_to_login_and_back() {
        let asked = asked();
        let step = |issue: &Issue, change: &dyn Fn(&mut Seen), seconds| {
            let mut seen = seen(Some(issue));
            change(&mut seen);
            next(&asked, &seen, at(seconds)).unwrap()
        };
        let first = next(&asked, &seen(None), NOW).unwrap();
        assert_eq!(first, Issue::first(NOW));
        assert_eq!(step(&first, &|_| (), 99), first);
        let rolling = step(&first, &|_| (), 100);
        let second = Issue { side: Side::B, issued_at: at(100), earlier: Earlier::Rolling, ..first.clone() };
        assert_eq!(rolling, second);
        // However long the pods take, and though nobody is seen.
        assert_eq!(step(&rolling, &|seen| seen.unused_for = Some(QUIET), 9_999), rolling);
        let grace = step(&rolling, &|seen| seen.rolled_out = true, 110);
        assert_eq!(grace, Issue { earlier: Earlier::Grace { since: at(110) }, ..rolling.clone() });
        assert_eq!(step(&grace, &|_| (), 129), grace);
        let settled = Issue { earlier: Earlier::Refused, ..grace.clone() };
        assert_eq!(step(&grace, &|_| (), 130), settled);
        assert_eq!(step(&grace, &|seen| seen.unused_for = Some(QUIET), 120), settled);
        let third = Issue { side: Side::A, issued_at: at(200), earlier: Earlier::Rolling, ..settled.clone() };
        assert_eq!(step(&settled, &|_| (), 200), third);
        assert_eq!(step(&settled, &|seen| seen.may_rotate = false, 200), settled);
    }

    #[test]
    fn a_request_is_seen_to_once_and_waits_for_the_one_before() {
        let asked = |rotate: &str| Asked { rotate: Some(rotate.into()), ..Asked::default() };
        let first = next(&asked("1"), &Seen { made: false, ..seen(None) }, NOW).unwrap();
        assert_eq!(first, Issue { rotated_for: Some("1".into()), ..Issue::first(NOW) });
        // One that was made before anybody asked.
        let second = next(&asked("1"), &seen(None), NOW).unwrap();
        assert_eq!((second.side, second.rotated_for.as_deref()), (Side::B, Some("1")));
        assert_eq!(next(&asked("1"), &seen(Some(&second)), at(1)), Some(second.clone()));
        assert_eq!(next(&asked("2"), &seen(Some(&second)), at(1)), Some(second.clone()));
        let settled = Issue { earlier: Earlier::Refused, ..second };
        let third = next(&asked("2"), &seen(Some(&settled)), at(2)).unwrap();
        assert_eq!((third.side, third.earlier), (Side::A, Earlier::Rolling));
        let removed = next(&Asked::default(), &seen(Some(&third)), at(3));
        assert_eq!(removed, Some(third), "a request that is taken back changes nothing");
    }

    #[test]
    fn a_password_that_is_lost_is_replaced_by_the_other_login_where_a_rotation_may_begin() {
        let lost = |issue| Seen { lost: true, ..seen(issue) };
        let never = Asked::default();
        let second = Issue { side: Side::B, earlier: Earlier::Rolling, ..Issue::first(NOW) };
        assert_eq!(next(&never, &lost(None), NOW), Some(second.clone()));
        assert_eq!(next(&never, &Seen { may_rotate: false, ..lost(None) }, NOW), None);
        assert_eq!(next(&never, &Seen { rebound: true, ..lost(None) }, NOW), None);
        // The login before may still be in use: there is no third one.
        assert_eq!(next(&never, &lost(Some(&second)), at(1)), Some(second.clone()));
        let settled = Issue { earlier: Earlier::Refused, ..second.clone() };
        let third = next(&never, &lost(Some(&settled)), at(2)).unwrap();
        assert_eq!((third.side, third.earlier), (Side::A, Earlier::Rolling));
    }

    #[test]
    fn a_leak_waits_for_nothing() {
        let asked = Asked { compromised: Some("leak".into()), ..Asked::default() };
        for earlier in [Earlier::Refused, Earlier::Rolling, Earlier::Grace { since: NOW }] {
            let before = Issue { earlier, ..Issue::first(NOW) };
            let seen = Seen { may_rotate: false, ..seen(Some(&before)) };
            let after = next(&asked, &seen, at(1)).unwrap();
            assert_eq!((after.side, after.earlier), (Side::B, Earlier::Refused), "{earlier:?}");
            assert_eq!(next(&asked, &Seen { issue: Some(after.clone()), ..seen }, at(2)), Some(after));
        }
    }

    #[test]
    fn a_claim_that_gets_a_database_back_shares_it_with_no_earlier_login() {
        let before = Issue { earlier: Earlier::Rolling, ..Issue::first(NOW) };
        let seen = Seen { rebound: true, ..seen(Some(&before)) };
        assert_eq!(next(&asked(), &seen, at(1)), Some(Issue { earlier: Earlier::Refused, ..before }));
    }

    #[test]
    fn nothing_is_recorded_of_a_credential_that_nobody_rotates() {
        assert_eq!(next(&Asked::default(), &seen(None), NOW), None);
        assert_eq!(next(&Asked::default(), &Seen { made: false, ..seen(None) }, NOW), None);
    }

    #[test]
    fn somebody_looks_again_in_time_for_every_step() {
        let look = |earlier, unused: Option<u64>, seconds| {
            let issue = Issue { earlier, ..Issue::first(NOW) };
            let seen = Seen { unused_for: unused.map(Duration::from_secs), ..seen(Some(&issue)) };
            look_again(&asked(), &issue, &seen, at(seconds)).map(|wait| wait.as_secs())
        };
        let grace = Earlier::Grace { since: NOW };
        assert_eq!(look(Earlier::Refused, None, 40), Some(60));
        assert_eq!(look(Earlier::Refused, None, 140), Some(0));
        assert_eq!(look(Earlier::Rolling, None, 1), Some(1));
        assert_eq!(look(Earlier::Rolling, None, 400), Some(30));
        assert_eq!(look(grace, None, 12), Some(3));
        assert_eq!(look(grace, Some(0), 12), Some(2));
        assert_eq!(look(grace, None, 19), Some(1));
        assert_eq!(look(grace, None, 30), Some(0));
        let (due, suspended) = (Issue::first(NOW), Seen { may_rotate: false, ..seen(None) });
        assert_eq!(look_again(&asked(), &due, &suspended, at(140)), None, "nobody goes round and round");
    }

    #[test]
    fn what_is_asked_for_at_once_is_not_done_at_once() {
        let hour = Duration::from_hours(1);
        let all: Vec<Duration> = (0..1000).map(|tenant| spread(hour, &format!("{tenant}/app/app"))).collect();
        assert!(all.iter().all(|it| (Duration::from_mins(54)..=hour).contains(it)));
        for minute in 54..60 {
            let within = Duration::from_mins(minute)..Duration::from_mins(minute + 1);
            let count = all.iter().filter(|it| within.contains(*it)).count();
            assert!((100..240).contains(&count), "{count} in minute {minute}");
        }
        assert_eq!(spread(hour, "tenant/app/app"), spread(hour, "tenant/app/app"));
        assert!(spread(Duration::MAX, "tenant/app/app").as_secs() > u64::MAX / 10 * 9 - 1);
    }

    /// What a client could hold: a login, as long as it was not refused since it was handed out.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Pass(u64),
        RollOut,
        Rotate(u8),
        Leak(u8),
        Use(bool),
        Lose(bool),
    }

    fn events() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (1u64..60).prop_map(Event::Pass),
            3 => Just(Event::RollOut),
            1 => (0u8..3).prop_map(Event::Rotate),
            1 => (0u8..2).prop_map(Event::Leak),
            2 => any::<bool>().prop_map(Event::Use),
            1 => any::<bool>().prop_map(Event::Lose),
        ]
    }

    proptest! {
        #[test]
        fn an_earlier_login_is_refused_only_for_a_reason(history in prop::collection::vec(events(), 1..60)) {
            let (mut asked, mut clock) = (asked(), 0);
            let (mut rolled_out, mut lost) = (false, false);
            let mut unused_for = None;
            let mut issue = next(&asked, &seen(None), NOW).unwrap();
            for event in history {
                match event {
                    Event::Pass(seconds) => clock += seconds,
                    Event::RollOut => rolled_out = true,
                    Event::Rotate(value) => asked.rotate = Some(value.to_string()),
                    Event::Leak(value) => asked.compromised = Some(value.to_string()),
                    Event::Lose(now) => lost = now,
                    Event::Use(used) => unused_for = (!used).then_some(QUIET),
                }
                let before = issue.clone();
                let seen = Seen { lost, rolled_out, unused_for, ..seen(Some(&before)) };
                issue = next(&asked, &seen, at(clock)).unwrap();
                let leak = asked.compromised != before.compromised_for;
                if issue.side != before.side {
                    // The login that is issued again worked for nobody any more, or nobody may rely on it.
                    prop_assert!(leak || before.earlier == Earlier::Refused);
                    prop_assert_eq!(issue.earlier, if leak { Earlier::Refused } else { Earlier::Rolling });
                    (rolled_out, lost) = (false, false);
                } else if before.earlier != Earlier::Refused && issue.earlier == Earlier::Refused {
                    let Earlier::Grace { since } = before.earlier else { panic!("refused while pods use it") };
                    prop_assert!(unused_for == Some(QUIET) || at(clock) >= after(since, asked.grace));
                }
                // The same again is a step of its own or none: never two logins issued at one time.
                let again = Seen { issue: Some(issue.clone()), lost, ..seen };
                let settled = next(&asked, &again, at(clock)).unwrap();
                prop_assert!(settled.side == issue.side || before.side == issue.side);
            }
        }
    }
}
