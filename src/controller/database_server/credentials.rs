//! A managed server's objects: what is there is kept, what is missing is made, and the pod is waited for.

use k8s_openapi::jiff::Timestamp;

use super::certificate::{self, CertificateError, Pair};
use super::fetch::{Fetched, Found};
use super::managed;
use crate::api::condition::{Summary, reason};
use crate::api::database_server::ManagedServer;
use crate::api::labels;
use crate::controller::apply::{Applied, ApplyError, Declared};
use crate::controller::context::Context;
use crate::controller::object::Kind;
use crate::controller::outcome;
use crate::postgres::connect::AdminTarget;
use crate::postgres::scram::Password;

/// What the server's Secrets hold.
#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    authority: Pair,
    leaf: Pair,
    renew_on: String,
    password: Password,
}

/// Brings the managed server about, and says how to reach it when its pod is ready.
pub async fn stand_up(
    context: &Context,
    fetched: &Fetched,
    managed: &ManagedServer,
) -> Result<Result<AdminTarget, Summary>, ApplyError> {
    let remembered = context.servers.target(&fetched.name).map(|target| target.password);
    let fresh = || context.random(Password::generate);
    let password = match password(&fetched.name, &fetched.found, remembered, fresh) {
        Ok(password) => password,
        Err(summary) => return Ok(Err(summary)),
    };
    let credentials = match complete(&fetched.name, &fetched.found, password, context.now()) {
        Ok(credentials) => credentials,
        Err(error) => {
            return Ok(Err(Summary::Stalled {
                reason: reason::SECRET_INVALID,
                message: outcome::chain(&error),
            }));
        }
    };
    for declared in declare(fetched, managed, &credentials, &context.config.postgres_image)? {
        match context.gate.apply(&declared).await {
            Ok(Applied::Terminating) => {
                let message = format!("{declared:?} is being deleted; it is made again when it is gone");
                return Ok(Err(Summary::Progressing { reason: reason::PROGRESSING, message }));
            }
            Ok(_) => {}
            Err(error @ ApplyError::Conflict { .. }) => return Err(error),
            Err(error) => return Ok(Err(outcome::summary(&error))),
        }
    }
    if !fetched.found.ready {
        let message = format!("waiting for Pod {}/{}-0", labels::SERVERS_NAMESPACE, fetched.name);
        return Ok(Err(Summary::Progressing { reason: reason::PROGRESSING, message }));
    }
    Ok(Ok(AdminTarget {
        host: managed::host(&fetched.name),
        port: managed::PORT,
        username: managed::SUPERUSER.to_owned(),
        password: credentials.password,
        ca_pem: credentials.authority.certificate,
    }))
}

/// The superuser's password: what the Secret says, else what we used last, else a new one. A new one helps only as
/// long as there is no volume: what is on it has the old one.
fn password(
    server: &str,
    found: &Found,
    remembered: Option<Password>,
    fresh: impl FnOnce() -> Password,
) -> Result<Password, Summary> {
    if let Some(known) = found.password.clone().or(remembered) {
        return Ok(known);
    }
    if found.volume {
        let message = format!(
            "Secret {}/{} is gone or has no password, and the volume {} has a database with that password: restore the Secret",
            labels::SERVERS_NAMESPACE,
            managed::admin_secret_name(server),
            managed::volume_claim_name(server)
        );
        return Err(Summary::Stalled { reason: reason::SECRET_INVALID, message });
    }
    Ok(fresh())
}

/// Certificates: kept while they last and fit together.
fn complete(
    server: &str,
    found: &Found,
    password: Password,
    now: Timestamp,
) -> Result<Credentials, CertificateError> {
    let authority = match &found.authority {
        Some(pair) => pair.clone(),
        None => certificate::authority(server, now)?,
    };
    let kept = found.leaf.as_ref().filter(|(_, issuer, renew_on)| {
        *issuer == authority.certificate && !certificate::is_due(renew_on, now)
    });
    let (leaf, renew_on) = match kept {
        Some((leaf, _, renew_on)) => (leaf.clone(), renew_on.clone()),
        None => {
            (certificate::leaf(&authority, server, &managed::hosts(server), now)?, certificate::renew_on(now))
        }
    };
    Ok(Credentials { authority, leaf, renew_on, password })
}

/// In the order in which they are made: the pod mounts the Secrets.
fn declare(
    fetched: &Fetched,
    managed: &ManagedServer,
    credentials: &Credentials,
    image: &str,
) -> Result<Vec<Declared>, ApplyError> {
    let (name, owner) = (&fetched.name, managed::identity(&fetched.name));
    let Credentials { authority, leaf, renew_on, password } = credentials;
    let secret = |secret| Declared::new(Kind::Secret, &owner, &secret);
    Ok(vec![
        secret(managed::authority_secret(name, authority))?,
        secret(managed::tls_secret(name, authority, leaf, renew_on))?,
        secret(managed::admin_secret(name, authority, password))?,
        Declared::new(Kind::NetworkPolicy, &owner, &managed::network_policy(name))?,
        Declared::new(Kind::Service, &owner, &managed::service(name))?,
        Declared::new(Kind::StatefulSet, &owner, &managed::stateful_set(name, managed, image))?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);

    #[test]
    fn a_lost_password_is_taken_from_memory_and_made_up_only_without_a_volume() {
        let found = |password: Option<&str>, volume| Found {
            password: password.map(Password::new),
            volume,
            ..Found::default()
        };
        let fresh = || Password::new("fresh");
        let ok = |text: &str| Ok(Password::new(text));
        assert!(password("m", &found(Some("kept"), true), None, fresh) == ok("kept"));
        assert!(password("m", &found(None, true), Some(Password::new("used")), fresh) == ok("used"));
        assert!(password("m", &found(None, false), None, fresh) == ok("fresh"));
        let Err(Summary::Stalled { reason, message }) = password("m", &found(None, true), None, fresh) else {
            panic!("a password that opens nothing was made up");
        };
        assert_eq!(reason, "SecretInvalid");
        assert!(message.contains("tenantry-servers/m-admin") && message.contains("data-m-0"), "{message}");
    }

    #[test]
    fn certificates_are_kept_while_they_last_and_fit_together() {
        let first = complete("m", &Found::default(), Password::new("p"), NOW).unwrap();
        let found = |first: &Credentials| Found {
            authority: Some(first.authority.clone()),
            leaf: Some((first.leaf.clone(), first.authority.certificate.clone(), first.renew_on.clone())),
            ..Found::default()
        };
        assert!(complete("m", &found(&first), Password::new("p"), NOW).unwrap() == first);
        let later = Timestamp::from_second(NOW.as_second() + 61 * 86_400).unwrap();
        let renewed = complete("m", &found(&first), Password::new("p"), later).unwrap();
        assert!(renewed.authority == first.authority && renewed.leaf != first.leaf);
        let replaced = Found { authority: None, ..found(&first) };
        let replaced = complete("m", &replaced, Password::new("p"), NOW).unwrap();
        assert!(replaced.authority != first.authority && replaced.leaf != first.leaf);
    }
}
