//! Want: what a claim asks of a server. Pure.

use crate::api::names::{CredentialName, DatabaseName, Group, PhysicalName, Side};
use crate::postgres::facts::Claim;
use crate::postgres::issue::Issue;
use crate::postgres::scram::Verifier;

/// A database that is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSpec {
    /// Name of the database: made from tenant and name, or as its marker row says.
    pub physical: PhysicalName,
    /// UID of the tenant.
    pub tenant_uid: String,
    /// Id of the tenant.
    pub tenant_id: String,
    /// Logical name.
    pub name: DatabaseName,
    /// Who claims it.
    pub claim: Claim,
    /// Greatest number of connections, to the database and of each login. Absent means no limit.
    pub connection_limit: Option<u32>,
    /// Credentials.
    pub credentials: Vec<CredentialSpec>,
    /// Whether logins are let in; not while the tenant is suspended.
    pub logins_allowed: bool,
}

/// A credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialSpec {
    /// Its name.
    pub name: CredentialName,
    /// The group role whose rights it has.
    pub group: Group,
    /// Which of its two logins is in use.
    pub side: Side,
    /// What becomes of that one's password.
    pub password: PasswordWish,
    /// Whether the other login still works.
    pub earlier_works: bool,
    /// What has to be recorded; absent for a credential that is never rotated.
    pub issue: Option<Issue>,
}

/// What becomes of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordWish {
    /// It stays: the binding Secret holds it.
    Keep,
    /// It becomes the one with this verifier.
    Set(Verifier),
    /// The login begins anew with this one: no session of it lasts from before.
    Reissue(Verifier),
}

impl CredentialSpec {
    /// A credential that is never rotated.
    pub const fn plain(name: CredentialName, group: Group, password: PasswordWish) -> Self {
        Self { name, group, side: Side::A, password, earlier_works: false, issue: None }
    }
}

impl PasswordWish {
    /// The verifier that the login gets, if it gets one.
    pub const fn verifier(&self) -> Option<&Verifier> {
        match self {
            Self::Keep => None,
            Self::Set(verifier) | Self::Reissue(verifier) => Some(verifier),
        }
    }
}
