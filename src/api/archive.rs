//! Verified archives: what the role `archive` is told, and what it reports. Pure.
//!
//! The operator starts one pod for each archive: `tenantry run archive` dumps a tenant's database into a store, restores
//! what is stored into a scratch database, compares the two, and ends. The operator reads the report, of at most
//! [`REPORT_MAX`] bytes, as the message with which the container terminated. docs/adr/0016 has the reasons.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Directory of the binding below `SERVICE_BINDING_ROOT`.
pub const BINDING: &str = "archive";
/// Variable with the name of the empty scratch database on the same server.
pub const SCRATCH: &str = "TENANTRY_ARCHIVE_SCRATCH";
/// Variable with the store: `file:///a/mounted/folder` or `s3://bucket/prefix`.
pub const STORE: &str = "TENANTRY_ARCHIVE_STORE";
/// Variable with the server of a bucket: `https://host:port`. Without it, AWS's own of the region.
pub const S3_ENDPOINT: &str = "TENANTRY_ARCHIVE_S3_ENDPOINT";
/// Variable with the region of a bucket.
pub const S3_REGION: &str = "TENANTRY_ARCHIVE_S3_REGION";
/// Variable with the folder of the credentials for a bucket: [`S3_ACCESS_KEY_ID`] and the other files.
pub const S3_CREDENTIALS: &str = "TENANTRY_ARCHIVE_S3_CREDENTIALS";
/// Variable with the PEM file of the authorities of a bucket's server. Without it, the public ones.
pub const S3_CA: &str = "TENANTRY_ARCHIVE_S3_CA";
/// Key of the credentials' Secret, and name of the file.
pub const S3_ACCESS_KEY_ID: &str = "accessKeyId";
/// Key of the credentials' Secret, and name of the file.
pub const S3_SECRET_ACCESS_KEY: &str = "secretAccessKey";
/// Key of the credentials' Secret, and name of the file, for credentials that end.
pub const S3_SESSION_TOKEN: &str = "sessionToken";
/// Key of the CA's Secret, and name of the file.
pub const S3_CA_KEY: &str = "ca.crt";
/// Variable with the path of the archive in the store, without ending: `SYSTEMID/DATABASE/GENERATION`.
pub const NAME: &str = "TENANTRY_ARCHIVE_NAME";
/// Variable with the login that restores into the scratch database, with the password of the binding's login.
pub const RESTORER: &str = "TENANTRY_ARCHIVE_RESTORER";
/// Variable with the SHA-256 that a stored dump has to have: with it no archive is made, but the one of that name is read again.
pub const REREAD: &str = "TENANTRY_ARCHIVE_REREAD";
/// Variable with the folder of `pg_dump` and `pg_restore`; without it they are found by `PATH`.
pub const TOOLS: &str = "TENANTRY_ARCHIVE_TOOLS";
/// Variable with the file that the report is written to.
pub const REPORT: &str = "TENANTRY_ARCHIVE_REPORT";
/// Where the report goes if nothing else is said: Kubernetes shows it in the pod's status.
pub const REPORT_DEFAULT: &str = "/dev/termination-log";
/// Most bytes of a report: Kubernetes cuts off the rest of a termination message.
pub const REPORT_MAX: usize = 4096;
/// Version of [`Report`].
pub const REPORT_VERSION: u32 = 1;

/// How an archive ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// What it came to.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What an archive came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome")]
pub enum Outcome {
    /// What is stored was restored, and nothing differs.
    Verified(Verified),
    /// What was stored was read again, and is what it was.
    Unchanged(Unchanged),
    /// What was stored is not there as it was verified, and will not be by itself.
    Lost(Lost),
    /// There is no archive, or it could not be read again.
    Failed(Failed),
}

impl Outcome {
    fn message(&mut self) -> Option<&mut String> {
        match self {
            Self::Lost(lost) => Some(&mut lost.message),
            Self::Failed(failed) => Some(&mut failed.message),
            Self::Verified(_) | Self::Unchanged(_) => None,
        }
    }
}

/// An archive that was restored and compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// URL of the stored dump; its manifest, this very report, is beside it with the ending `.json`.
    pub object: String,
    /// SHA-256 of the stored bytes, in hexadecimal digits.
    pub sha256: String,
    /// How many bytes are stored.
    pub bytes: u64,
    /// Physical name of the database.
    pub database: String,
    /// The server's system identifier.
    pub system_identifier: String,
    /// The moment that the dump shows.
    pub snapshot: Snapshot,
    /// Tables with rows of their own, partitions among them.
    pub tables: u64,
    /// Rows in all of them.
    pub rows: u64,
    /// Sequences.
    pub sequences: u64,
    /// Large objects.
    pub large_objects: u64,
    /// SHA-256 of everything that was compared, in hexadecimal digits: equal databases have equal ones.
    pub content_sha256: String,
    /// What made the dump, as in `pg_dump 15.18`.
    pub tool: String,
}

/// An archive that was read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unchanged {
    /// URL of the stored dump.
    pub object: String,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// How many there are.
    pub bytes: u64,
}

/// An archive that was looked for, and is gone or another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lost {
    /// What is there instead.
    pub message: String,
}

/// The moment that a dump shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Where the server's log was: everything before it is in the dump.
    pub lsn: String,
    /// When, by the server's clock.
    pub taken_at: Timestamp,
}

/// Why there is no archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// Where it ended.
    pub stage: Stage,
    /// What is wrong, by name, and the next step.
    pub message: String,
    /// URL of the dump, if it was stored. It has no manifest and is not an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
}

/// The stages of an archive, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// Reading the database.
    Dump,
    /// Writing to the store.
    Store,
    /// Reading back what is stored.
    Fetch,
    /// Restoring it into the scratch database.
    Restore,
    /// Comparing the scratch database with the snapshot.
    Compare,
}

impl Report {
    /// A report of this version.
    pub const fn new(outcome: Outcome) -> Self {
        Self { version: REPORT_VERSION, outcome }
    }

    /// The report as JSON of at most [`REPORT_MAX`] bytes: a longer message loses its end.
    pub fn render(&self) -> Result<String, serde_json::Error> {
        let (mut report, mut json) = (self.clone(), serde_json::to_string(self)?);
        while json.len() > REPORT_MAX {
            let message = report.outcome.message().filter(|message| !message.is_empty());
            let Some(message) = message else { break };
            // What JSON escapes is longer there than here, so this may take more than one go.
            let too_long = (json.len() - REPORT_MAX).div_ceil(6).max(1);
            message.truncate(message.floor_char_boundary(message.len().saturating_sub(too_long)));
            json = serde_json::to_string(&report)?;
        }
        Ok(json)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verified() -> Verified {
        Verified {
            object: "file:///archives/1/t_abc_app/7.dump".into(),
            sha256: "00ff".into(),
            bytes: 5,
            database: "t_abc_app".into(),
            system_identifier: "7".into(),
            snapshot: Snapshot { lsn: "0/1A".into(), taken_at: "2026-11-21T22:00:00Z".parse().unwrap() },
            tables: 1,
            rows: 2,
            sequences: 3,
            large_objects: 4,
            content_sha256: "aa".into(),
            tool: "pg_dump 15.18".into(),
        }
    }

    fn failed(message: String) -> Report {
        Report::new(Outcome::Failed(Failed { stage: Stage::Compare, message, object: None }))
    }

    #[test]
    fn a_report_is_one_flat_object() {
        let report = Report::new(Outcome::Verified(verified()));
        let wanted = json!({
            "version": 1, "outcome": "Verified", "object": "file:///archives/1/t_abc_app/7.dump", "sha256": "00ff",
            "bytes": 5, "database": "t_abc_app", "systemIdentifier": "7",
            "snapshot": {"lsn": "0/1A", "takenAt": "2026-11-21T22:00:00Z"},
            "tables": 1, "rows": 2, "sequences": 3, "largeObjects": 4, "contentSha256": "aa", "tool": "pg_dump 15.18",
        });
        assert_eq!(serde_json::to_value(&report).unwrap(), wanted);
        assert_eq!(serde_json::from_value::<Report>(wanted).unwrap(), report);
        let unchanged =
            Unchanged { object: "file:///archives/7.dump".into(), sha256: "00ff".into(), bytes: 5 };
        let report = Report::new(Outcome::Unchanged(unchanged));
        let wanted = json!({
            "version": 1, "outcome": "Unchanged", "object": "file:///archives/7.dump", "sha256": "00ff", "bytes": 5,
        });
        assert_eq!(serde_json::to_value(&report).unwrap(), wanted);
        assert_eq!(serde_json::from_value::<Report>(wanted).unwrap(), report);
        let wanted = json!({"version": 1, "outcome": "Failed", "stage": "Compare", "message": "no"});
        assert_eq!(serde_json::to_value(failed("no".into())).unwrap(), wanted);
        assert_eq!(serde_json::from_value::<Report>(wanted).unwrap(), failed("no".into()));
        let report = Report::new(Outcome::Lost(Lost { message: "gone".into() }));
        let wanted = json!({"version": 1, "outcome": "Lost", "message": "gone"});
        assert_eq!(serde_json::to_value(&report).unwrap(), wanted);
        assert_eq!(serde_json::from_value::<Report>(wanted).unwrap(), report);
    }

    #[test]
    fn a_report_fits_into_a_termination_message_whatever_it_says() {
        for long in ["\u{1}".repeat(9000), "ü\n".repeat(5000), "x".repeat(4096)] {
            let json = failed(long.clone()).render().unwrap();
            assert!((REPORT_MAX - 8..=REPORT_MAX).contains(&json.len()), "{}", json.len());
            let Outcome::Failed(read) = serde_json::from_str::<Report>(&json).unwrap().outcome else {
                panic!("{json}");
            };
            assert!(long.starts_with(&read.message));
        }
        assert_eq!(failed("short".into()).render().unwrap().len(), 68);
    }
}
