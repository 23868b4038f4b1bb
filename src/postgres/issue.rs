//! Issues: which of a credential's two logins its binding names, and whether the other one still works. Pure.
//!
//! A row of the table `tenantry.credential` in the operator database, beside the marker rows: what was decided outlasts the
//! operator, the Secret and every object. A credential without a row has never been rotated and uses its first login.

use k8s_openapi::jiff::Timestamp;

use super::quote::{Literal, QuoteError};
use super::statement::optional;
use crate::api::names::{CredentialName, PhysicalName, Side};

/// What a credential's row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The login that is in use.
    pub side: Side,
    /// Since when.
    pub issued_at: Timestamp,
    /// The other login.
    pub earlier: Earlier,
    /// The request for a rotation that was last seen to.
    pub rotated_for: Option<String>,
    /// The report of a leak that was last seen to.
    pub compromised_for: Option<String>,
}

/// Whether the login that was in use before still works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// It is refused.
    Refused,
    /// It works: there may be pods that have not heard of the other one.
    Rolling,
    /// It works for a while: every pod has heard.
    Grace {
        /// Since when.
        since: Timestamp,
    },
}

impl Issue {
    /// Of a credential that has its first login since `now`. Times are kept as the table keeps them.
    pub fn first(now: Timestamp) -> Self {
        let issued_at = kept(now);
        let earlier = Earlier::Refused;
        Self { side: Side::A, issued_at, earlier, rotated_for: None, compromised_for: None }
    }
}

impl Earlier {
    /// Its grace begins.
    pub fn in_grace(now: Timestamp) -> Self {
        Self::Grace { since: kept(now) }
    }

    /// What the table calls it, and since when.
    const fn as_columns(&self) -> (&'static str, Option<Timestamp>) {
        match self {
            Self::Refused => ("Refused", None),
            Self::Rolling => ("Rolling", None),
            Self::Grace { since } => ("Grace", Some(*since)),
        }
    }

    /// What the table's columns mean.
    pub fn of_columns(name: &str, since: Option<Timestamp>) -> Option<Self> {
        match (name, since) {
            ("Refused", _) => Some(Self::Refused),
            ("Rolling", _) => Some(Self::Rolling),
            ("Grace", Some(since)) => Some(Self::Grace { since }),
            _ => None,
        }
    }
}

/// The time as the table keeps it: in microseconds.
pub fn kept(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

/// The row as it has to be, whether or not there is one.
pub(super) fn write(
    database: &PhysicalName,
    credential: &CredentialName,
    issue: &Issue,
) -> Result<String, QuoteError> {
    let (earlier, since) = issue.earlier.as_columns();
    let since = since.map(|since| since.to_string());
    Ok(format!(
        "INSERT INTO tenantry.credential (physical_name, name, side, issued_at, earlier, grace_since, rotated_for, \
         compromised_for) VALUES ({}, {}, {}, {}, {}, {}, {}, {}) ON CONFLICT (physical_name, name) DO UPDATE SET \
         side = EXCLUDED.side, issued_at = EXCLUDED.issued_at, earlier = EXCLUDED.earlier, \
         grace_since = EXCLUDED.grace_since, rotated_for = EXCLUDED.rotated_for, \
         compromised_for = EXCLUDED.compromised_for",
        Literal::new(database.as_str())?,
        Literal::new(credential.as_str())?,
        Literal::new(issue.side.suffix())?,
        Literal::new(&issue.issued_at.to_string())?,
        Literal::new(earlier)?,
        optional(since.as_deref())?,
        optional(issue.rotated_for.as_deref())?,
        optional(issue.compromised_for.as_deref())?,
    ))
}

/// The credential table. It goes with the marker row.
pub(super) const CREATE_CREDENTIAL_TABLE: &str = "CREATE TABLE tenantry.credential (\
    physical_name text NOT NULL REFERENCES tenantry.marker (physical_name) ON UPDATE CASCADE ON DELETE CASCADE, \
    name text NOT NULL, \
    side text NOT NULL CHECK (side IN ('a', 'b')), \
    issued_at timestamptz NOT NULL, \
    earlier text NOT NULL CHECK (earlier IN ('Refused', 'Rolling', 'Grace')), \
    grace_since timestamptz CHECK (grace_since IS NOT NULL OR earlier <> 'Grace'), \
    rotated_for text, \
    compromised_for text, \
    PRIMARY KEY (physical_name, name))";
