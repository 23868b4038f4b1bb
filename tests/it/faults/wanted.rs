//! What `TENANTRY_FAULTS` asks for: nothing, which is the sample of `make test`; `all`, which is `make test-faults`; or one
//! campaign, scenario or plan by name.

use std::env;

/// The campaigns that are no fault plans.
const CAMPAIGNS: [&str; 3] = ["quoting", "deletions", "unheard"];

/// What is asked for of the fault plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A sample.
    Sample,
    /// All of them.
    All,
    /// A scenario, or one plan.
    Named(String),
}

fn value() -> Option<String> {
    env::var_os("TENANTRY_FAULTS").map(|wanted| wanted.into_string().unwrap())
}

/// What is asked for of the fault plans.
pub fn plans() -> Wanted {
    match value().as_deref() {
        Some("all") => Wanted::All,
        Some(name) if !CAMPAIGNS.iter().any(|campaign| name.starts_with(campaign)) => {
            Wanted::Named(name.to_owned())
        }
        _ => Wanted::Sample,
    }
}

/// How much of a campaign of random draws is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    whole: bool,
    /// By which draw: always the same in a sample, another one each time in a whole campaign.
    pub seed: u64,
}

impl Share {
    /// The share of that campaign: `NAME` or `all` is the whole, and `NAME SEED` repeats one.
    pub fn of(campaign: &str) -> Self {
        let value = value().unwrap_or_default();
        let named = value.strip_prefix(campaign);
        let seed = named.and_then(|rest| rest.trim().parse().ok());
        let whole = value == "all" || named.is_some();
        Self { whole, seed: seed.unwrap_or_else(|| if whole { rand::random() } else { 11 }) }
    }

    /// Whether all of it is asked for.
    pub const fn is_whole(self) -> bool {
        self.whole
    }

    /// So many of that many.
    pub const fn of_all(self, all: usize) -> usize {
        if self.whole { all } else { all / 100 }
    }

    /// Says how a whole campaign went.
    #[expect(clippy::print_stdout, reason = "who waits for a long campaign wants to know how it goes")]
    pub fn say(self, what: &str) {
        if self.whole {
            println!("{what} (seed {})", self.seed);
        }
    }
}
