//! The versions of PostgreSQL that tests run on: the oldest that we support, which is Debian's, and the newest.

use std::fmt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A version of PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Debian's own.
    V15,
    /// From a wheel.
    V18,
}

impl Version {
    /// The number.
    pub fn major(self) -> u32 {
        match self {
            Self::V15 => 15,
            Self::V18 => 18,
        }
    }

    /// Whether the server was built with TLS.
    pub(super) fn speaks_tls(self) -> bool {
        self == Self::V15
    }

    /// Folder of its programs, which are installed if they are missing.
    pub(super) fn programs(self) -> &'static str {
        static WHEEL: OnceLock<String> = OnceLock::new();
        match self {
            Self::V15 => "/usr/lib/postgresql/15/bin",
            Self::V18 => WHEEL.get_or_init(|| {
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres18.sh");
                let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
                assert!(output.status.success(), "{script}: {}", output.status);
                String::from_utf8(output.stdout).unwrap().trim().to_owned()
            }),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pg{}", self.major())
    }
}
