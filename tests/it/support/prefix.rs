//! Names that no other test uses.

use rand::distr::{Alphanumeric, SampleString};

/// A test's own mark in the names of all it makes, so that tests can share servers.
#[derive(Clone, Debug)]
pub struct Prefix(String);

impl Prefix {
    /// A new one: a letter and five more characters.
    pub fn new() -> Self {
        let random = Alphanumeric.sample_string(&mut rand::rng(), 5).to_ascii_lowercase();
        Self(format!("t{random}"))
    }

    /// A name that starts with it. At most 33 characters more are left by the limit of 40 on most names.
    pub fn name(&self, rest: &str) -> String {
        format!("{}-{rest}", self.0)
    }
    /// The prefix alone.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
