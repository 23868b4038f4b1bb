//! A cluster that was initialised once. Every server begins as a copy of it, with a system identifier of its own: initdb
//! takes ten times as much CPU time as a copy.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use rand::RngExt;
use rand::distr::{Alphanumeric, SampleString};
use tenantry::postgres::scram::{Password, Verifier};

use super::Version;
use super::server::{Home, run};
use crate::support::lifeline::Lifeline;

/// A cluster that nothing runs on.
#[derive(Debug)]
pub struct Template {
    home: Home,
    /// Of the superuser.
    password: String,
    _lifeline: Lifeline,
}

impl Template {
    /// The one of that version. It goes with the last test process of this target folder.
    pub fn of(version: Version) -> &'static Self {
        static TEMPLATES: [OnceLock<Template>; 2] = [const { OnceLock::new() }; 2];
        let cell = match version {
            Version::V15 => &TEMPLATES[0],
            Version::V18 => &TEMPLATES[1],
        };
        cell.get_or_init(|| {
            let home = Home::new(format!("template-{version}"), version);
            let end = format!("rm -rf '{}'", home.folder.display());
            let made = || fs::read_to_string(home.path("password")).unwrap_or_else(|_| make(&home));
            let (lifeline, password) = Lifeline::join(&home.name, &end, made);
            Self { home, password, _lifeline: lifeline }
        })
    }

    /// Makes `home` a copy of it. Returns the superuser's password.
    pub fn copy_to(&self, home: &Home) -> &str {
        run(Command::new("cp").arg("-a").arg(self.home.path("data")).arg(&home.folder)).unwrap();
        change_identity(Path::new(&home.path("data/global/pg_control")));
        // What was written ahead has the identifier in every page.
        let data = format!("--pgdata={}", home.path("data"));
        home.run_as_postgres(&[&home.program("pg_resetwal"), "--force", &data]).unwrap();
        &self.password
    }
}

/// The password's file is the last that is written: with it, the template is whole.
fn make(home: &Home) -> String {
    let _ = fs::remove_dir_all(&home.folder);
    fs::create_dir_all(&home.folder).unwrap();
    let password = Alphanumeric.sample_string(&mut rand::rng(), 24);
    // One round instead of 4,096: the superuser logs in thousands of times, and each round is the test's to compute.
    let verifier = Verifier::derive(&Password::new(&password), b"salt", 1).expose();
    fs::write(home.path("verifier"), verifier).unwrap();
    home.belongs_to_postgres();
    let verifier = format!("--pwfile={}", home.path("verifier"));
    let data = format!("--pgdata={}", home.path("data"));
    let flags = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"];
    let program = home.program("initdb");
    home.run_as_postgres(&[&[program.as_str(), "--no-sync", &verifier, &data], &flags[..]].concat()).unwrap();
    let host = if home.version.speaks_tls() { "hostssl" } else { "host" };
    let rule = format!("{host} all all 127.0.0.1/32 scram-sha-256\n");
    fs::write(home.path("data/pg_hba.conf"), rule).unwrap();
    fs::write(home.path("password"), &password).unwrap();
    password
}

/// Gives a cluster another system identifier: the first eight bytes of its control file, which ends with a checksum of all
/// before it.
fn change_identity(control_file: &Path) {
    let mut bytes = fs::read(control_file).unwrap();
    let sum = |bytes: &[u8]| crc32c(bytes).to_le_bytes();
    let end = (8..bytes.len() - 4).step_by(4).find(|end| bytes[*end..*end + 4] == sum(&bytes[..*end]));
    let end = end.expect("the control file has a checksum");
    rand::rng().fill(&mut bytes[..8]);
    // The server shows it as a number with a sign.
    bytes[7] &= 0x7f;
    let changed = sum(&bytes[..end]);
    bytes[end..end + 4].copy_from_slice(&changed);
    fs::write(control_file, bytes).unwrap();
}

/// CRC-32C (RFC 3720, appendix B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}
