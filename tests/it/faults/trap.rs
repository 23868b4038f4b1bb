//! The trap: it is told of every effect before it passes a proxy, knows it by a name that no run changes, and springs at
//! one of them.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::support::Prefix;

/// Where at an effect the world stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// The process dies, and nothing was sent.
    BeforeSend,
    /// The request does not arrive. The process lives and sees its connection end.
    RequestLost,
    /// The request has its effect. The process lives and sees its connection end.
    ResponseLost,
    /// The request has its effect, and the process dies before it learns of it.
    After,
    /// The session ends, and so do the next ones while they log in.
    Refused,
    /// The session ends, and the server has no connection left for the next ones.
    Full,
    /// The server is read-only for this statement.
    ReadOnly,
    /// The session hangs: nothing arrives any more, and nothing is said.
    Hung,
    /// The process stops in its tracks, and what it sends arrives when it is [released](Trap::release).
    Halted,
}

/// How many sessions [`Position::Refused`] and [`Position::Full`] keep out: enough to open a circuit, and for a probe.
const KEPT_OUT: usize = 4;

impl Position {
    /// Where the world can stop at any effect.
    pub const EVERYWHERE: [Self; 4] = [Self::BeforeSend, Self::RequestLost, Self::ResponseLost, Self::After];
    /// What else may become of a session on a database server. Each statement meets one of them; a hang takes long.
    pub const OF_SESSIONS: [Self; 7] =
        [Self::ReadOnly, Self::Full, Self::Refused, Self::ReadOnly, Self::Full, Self::Refused, Self::Hung];
    const ALL: [Self; 8] = [
        Self::BeforeSend,
        Self::RequestLost,
        Self::ResponseLost,
        Self::After,
        Self::Refused,
        Self::Full,
        Self::ReadOnly,
        Self::Hung,
    ];

    /// Whether the effect takes place.
    pub const fn arrives(self) -> bool {
        matches!(self, Self::ResponseLost | Self::After)
    }

    /// Whether the process dies of it.
    pub const fn kills(self) -> bool {
        matches!(self, Self::BeforeSend | Self::After)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::BeforeSend => "before-send",
            Self::RequestLost => "request-lost",
            Self::ResponseLost => "response-lost",
            Self::After => "after",
            Self::Refused => "refused",
            Self::Full => "full",
            Self::ReadOnly => "read-only",
            Self::Hung => "hung",
            Self::Halted => "halted",
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|position| position.name() == text);
        known.ok_or_else(|| format!("{text:?} is no position"))
    }
}

/// An effect: what it does, and which of those that do the same it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    pub name: String,
    pub index: usize,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.name, self.index)
    }
}

impl Effect {
    /// Whether it is a statement on a database server.
    pub fn is_sql(&self) -> bool {
        self.name.contains(" AT ")
    }
}

impl FromStr for Effect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(" #").ok_or_else(|| format!("{text:?} has no number"))?;
        let index = parts.1.parse().map_err(|error| format!("{text:?}: {error}"))?;
        Ok(Self { name: parts.0.to_owned(), index })
    }
}

/// A trap that proxies and the test share.
#[derive(Clone, Debug)]
pub struct Trap(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    prefix: String,
    /// What effects there were since the trap was set, and how often.
    seen: BTreeMap<String, usize>,
    at: Option<(Effect, Position)>,
    sprung: bool,
    victim: Option<u32>,
    released: Arc<Notify>,
    /// How many more sessions are kept out, and how.
    kept_out: Option<(Position, usize)>,
    last: Instant,
}

impl Trap {
    /// One that only listens.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            prefix: String::new(),
            seen: BTreeMap::new(),
            at: None,
            sprung: false,
            victim: None,
            released: Arc::default(),
            kept_out: None,
            last: Instant::now(),
        })))
    }

    /// Counts from now on, for a test with that prefix, and springs there, if anywhere. `victim` is the process that dies.
    pub fn set(&self, prefix: &Prefix, at: Option<(Effect, Position)>, victim: u32) {
        let mut inner = self.0.lock().unwrap();
        prefix.as_str().clone_into(&mut inner.prefix);
        inner.seen.clear();
        // Who waits for quiet waits for what comes of what is done from here on.
        inner.last = Instant::now();
        (inner.at, inner.sprung, inner.victim, inner.kept_out) = (at, false, Some(victim), None);
    }

    /// An effect is about to pass. Where the world stops at it, if it does.
    pub fn meet(&self, name: &str) -> Option<Position> {
        let mut inner = self.0.lock().unwrap();
        inner.last = Instant::now();
        let name = masked(name, &inner.prefix);
        let index = inner.seen.entry(name.clone()).or_default();
        *index += 1;
        let effect = Effect { name, index: *index };
        let (_, position) = inner.at.take_if(|(at, _)| *at == effect)?;
        inner.sprung = true;
        match position {
            Position::BeforeSend => inner.kill(),
            Position::Halted => inner.signal("STOP"),
            Position::Refused | Position::Full => inner.kept_out = Some((position, KEPT_OUT)),
            _ => {}
        }
        Some(position)
    }

    /// A session is about to begin. How it is kept out, if it is.
    pub fn keeps_out(&self) -> Option<Position> {
        let mut inner = self.0.lock().unwrap();
        let (position, left) = inner.kept_out.take()?;
        inner.kept_out = (left > 1).then_some((position, left - 1));
        Some(position)
    }

    /// Lets go on what is halted.
    pub fn release(&self) {
        self.0.lock().unwrap().released.notify_one();
    }

    /// Waits until it is let go.
    pub async fn released(&self) {
        let released = Arc::clone(&self.0.lock().unwrap().released);
        released.notified().await;
    }

    /// The effect has taken place. Whether its answer is lost.
    pub fn arrived(&self, position: Option<Position>) -> bool {
        if position == Some(Position::After) {
            self.0.lock().unwrap().kill();
        }
        position.is_some()
    }

    /// Whether it has sprung.
    pub fn sprung(&self) -> bool {
        self.0.lock().unwrap().sprung
    }

    /// Every effect since it was set.
    pub fn effects(&self) -> Vec<Effect> {
        let inner = self.0.lock().unwrap();
        let each = inner.seen.iter();
        each.flat_map(|(name, count)| (1..=*count).map(|index| Effect { name: name.clone(), index }))
            .collect()
    }

    /// How long ago the last effect was.
    pub fn quiet(&self) -> Duration {
        self.0.lock().unwrap().last.elapsed()
    }
}

impl Inner {
    fn signal(&mut self, signal: &str) {
        let victim = self.victim.take().expect("a process to signal").to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &victim]).status().unwrap().success());
    }

    /// As `kill -9` does: nothing is finished, nothing released.
    fn kill(&mut self) {
        self.signal("KILL");
    }
}

/// A name without what no two runs have in common: the test's prefix, the ids of its tenants, drawn names of databases, and
/// what is quoted.
fn masked(name: &str, prefix: &str) -> String {
    let name = name.split('\'').next().unwrap_or_default().replace(prefix, "PREFIX");
    let name = undrawn(&name);
    let mut masked = String::new();
    let mut rest = name.as_str();
    while let Some(at) = rest.find("t_").into_iter().chain(rest.find("t-")).min() {
        let (before, from) = rest.split_at(at);
        masked.push_str(before);
        let id = from.get(2..12).filter(|id| id.chars().all(|it| matches!(it, 'a'..='z' | '2'..='7')));
        let ended = from.get(12..13).is_some_and(|end| end == "_" || end == "-");
        let length = if id.is_some() && ended { 12 } else { 2 };
        masked.push_str(&from[..2]);
        if length == 12 {
            masked.push_str("ID");
        }
        rest = &from[length..];
    }
    masked.push_str(rest);
    masked
}

/// A name in which every database of the warm pool is called alike.
fn undrawn(name: &str) -> String {
    const DRAWN: &str = "tenantry_pool_";
    let mut parts = name.split(DRAWN);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| {
        let rest = part.trim_start_matches(|it: char| it.is_ascii_hexdigit());
        format!("{name}{DRAWN}N{rest}")
    })
}

#[test]
fn an_effect_has_the_same_name_in_every_run() {
    let name = |name: &str| masked(name, "tab12c");
    assert_eq!(
        name("CREATE ROLE \"t_abcdefgh27_app_a\" LOGIN PASSWORD 'SCRAM'"),
        "CREATE ROLE \"t_ID_app_a\" LOGIN PASSWORD "
    );
    assert_eq!(
        name("PATCH /api/v1/namespaces/tenant-tab12c-acme/secrets/x"),
        "PATCH /api/v1/namespaces/tenant-PREFIX-acme/secrets/x"
    );
    assert_eq!(name("PATCH serverdatabases/t-abcdefgh27-orders"), "PATCH serverdatabases/t-ID-orders");
    assert_eq!(name("DROP DATABASE \"tenantry_pool_00ff12ab99\""), "DROP DATABASE \"tenantry_pool_N\"");
    assert_eq!(name("client_encoding t_short_ t-"), "client_encoding t_short_ t-");
}

#[test]
fn a_trap_springs_once_at_its_effect_and_nowhere_else() {
    let trap = Trap::new();
    let at = "POST x #2".parse::<Effect>().unwrap();
    trap.set(&Prefix::new(), Some((at, Position::RequestLost)), 0);
    assert_eq!(trap.meet("POST x"), None);
    assert_eq!(trap.meet("POST y"), None);
    assert!(!trap.sprung());
    assert_eq!(trap.meet("POST x"), Some(Position::RequestLost));
    assert!(trap.sprung());
    assert_eq!(trap.meet("POST x"), None);
    let seen: Vec<String> = trap.effects().iter().map(Effect::to_string).collect();
    assert_eq!(seen, ["POST x #1", "POST x #2", "POST x #3", "POST y #1"]);
}
