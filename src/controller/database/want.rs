//! Want: what a claim asks of a server. Pure.

use sha2::{Digest, Sha256};

use super::extensions::Wanted;
use crate::api::deletion::DeletionPolicy;
use crate::api::names::{CredentialName, DatabaseName, Group, PhysicalName, Side};
use crate::api::server_database::Management;
use crate::postgres::adoption::Adopted;
use crate::postgres::facts::{Claim, Facts, StoredPassword};
use crate::postgres::issue::Issue;
use crate::postgres::scram::Verifier;
use crate::postgres::settings::Settings;

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
    /// What each session may take. One that we did not make keeps its own settings.
    pub settings: Settings,
    /// Credentials.
    pub credentials: Vec<CredentialSpec>,
    /// Whether logins are let in; not while the tenant is suspended.
    pub logins_allowed: bool,
    /// How an admin gave us the database, if we did not make it.
    pub adopted: Option<Adopted>,
    /// What becomes of it when its claim goes.
    pub deletion_policy: DeletionPolicy,
    /// Whether its tenant has the server for its own.
    pub own_server: bool,
    /// Extensions.
    pub extensions: Wanted,
}

impl DatabaseSpec {
    /// How much of the database is ours.
    pub fn management(&self) -> Management {
        self.adopted.as_ref().map(|adopted| adopted.management).unwrap_or_default()
    }

    /// Whether every credential is recorded as it has to be: none of them is being rotated.
    pub fn is_recorded(&self, have: &Facts) -> bool {
        self.credentials.iter().all(|it| it.issue.as_ref() == have.issues.get(it.name.as_str()))
    }

    /// Hash of what is declared, but for whose database it is, which the marker row says, and the passwords, which are the
    /// Secrets' to say.
    pub fn declared(&self) -> String {
        // Destructured whole: who adds a field says whether a change of it is one of what is declared.
        let Self {
            physical: _,
            tenant_uid: _,
            tenant_id: _,
            name: _,
            claim: _,
            connection_limit,
            settings,
            credentials,
            logins_allowed,
            adopted,
            deletion_policy,
            own_server,
            extensions,
        } = self;
        let limit = connection_limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
        let open = if *logins_allowed { "open" } else { "closed" };
        let mut texts = vec![limit.as_str(), open];
        texts.extend(adopted.as_ref().map(|adopted| adopted.management.as_str()));
        let values: Vec<_> =
            settings.iter().map(|(setting, value)| (setting.name(), value.to_string())).collect();
        texts.extend(values.iter().flat_map(|(name, value)| [*name, value.as_str()]));
        // What is said where nothing was said before says what it did.
        texts.extend(Some(deletion_policy.as_str()).filter(|_| *deletion_policy != DeletionPolicy::Retain));
        texts.extend(own_server.then_some("own server"));
        texts.extend((!extensions.names.is_empty()).then_some("extensions"));
        texts.extend(extensions.names.iter().map(String::as_str));
        for CredentialSpec { name, group, side, password: _, earlier_works, issue } in credentials {
            let earlier = if *earlier_works { "both" } else { "one" };
            texts.extend([name.as_str(), group.suffix(), side.suffix(), earlier]);
            // After two reports of leaks the first login is the one in use again, and refused by us and nobody else.
            texts.extend(issue.as_ref().and_then(|issue| issue.compromised_for.as_deref()));
        }
        let mut digest = Sha256::new();
        for text in texts {
            // Lengths keep neighbours apart.
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        }
        data_encoding::HEXLOWER.encode(&digest.finalize()[..16])
    }

    /// The same with the passwords that the server has where they stay as they are, so that another one is noticed, and without
    /// what is recorded of the credentials, which a look at a server does not read. `None` where our login may not read passwords.
    #[must_use]
    pub fn seen_from_outside(&self, have: &Facts) -> Option<Self> {
        let known = |credential: &CredentialSpec| {
            let password = match &credential.password {
                PasswordWish::Set(verifier) | PasswordWish::Reissue(verifier) => verifier.clone(),
                PasswordWish::Keep => {
                    match &have.roles.get(&self.physical.login(&credential.name, credential.side))?.password {
                        StoredPassword::Scram(verifier) => verifier.clone(),
                        _ => return None,
                    }
                }
            };
            let password = PasswordWish::Set(password);
            Some(CredentialSpec { password, issue: None, ..credential.clone() })
        };
        let credentials = self.credentials.iter().map(known).collect::<Option<_>>()?;
        Some(Self { credentials, ..self.clone() })
    }
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
