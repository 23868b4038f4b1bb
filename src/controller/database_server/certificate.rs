//! Certificates of managed servers: an authority of its own for each server, and a leaf under it.
//!
//! One authority a server: whoever steals one can impersonate that server alone. The authority lives ten years, a
//! leaf ninety days; it is issued again when a third of that is left, and the server reloads it without a restart.

use k8s_openapi::jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// Days that a leaf is valid.
pub const LEAF_DAYS: i64 = 90;
/// Days before its end at which a leaf is issued again.
pub const RENEW_DAYS: i64 = 30;
const AUTHORITY_DAYS: i64 = 3650;

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The library refused.
    #[error("failed to make a certificate for {name}")]
    Generate {
        /// Whose certificate.
        name: String,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// The stored authority cannot be read.
    #[error(
        "failed to read the certificate authority of {name}: restore its Secret or delete it to get a new one"
    )]
    Authority {
        /// Whose authority.
        name: String,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
}

/// A certificate and its private key, as PEM. The key is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// Certificate.
    pub certificate: String,
    /// Private key.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair")
    }
}

/// Makes the authority of the server `name`.
pub fn authority(name: &str, now: Timestamp) -> Result<Pair, CertificateError> {
    let generate = |source| CertificateError::Generate { name: name.to_owned(), source };
    let mut params = CertificateParams::new(Vec::<String>::new()).map_err(generate)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, format!("tenantry {name} authority"));
    valid(&mut params, now, AUTHORITY_DAYS);
    let key = KeyPair::generate().map_err(generate)?;
    let certificate = params.self_signed(&key).map_err(generate)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Issues the server's certificate for `hosts`, the first of them as its common name.
pub fn leaf(
    authority: &Pair,
    name: &str,
    hosts: &[String],
    now: Timestamp,
) -> Result<Pair, CertificateError> {
    let unreadable = |source| CertificateError::Authority { name: name.to_owned(), source };
    let generate = |source| CertificateError::Generate { name: name.to_owned(), source };
    let issuer_key = KeyPair::from_pem(&authority.key).map_err(unreadable)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, issuer_key).map_err(unreadable)?;
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(generate)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name.push(DnType::CommonName, hosts.first().map_or(name, String::as_str));
    valid(&mut params, now, LEAF_DAYS);
    let key = KeyPair::generate().map_err(generate)?;
    let certificate = params.signed_by(&key, &issuer).map_err(generate)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// The day on which a leaf issued now has to be issued again, as `2026-11-21`; kept beside it, so that nobody has to
/// parse it to know.
pub fn renew_on(now: Timestamp) -> String {
    day(now, LEAF_DAYS - RENEW_DAYS).strftime("%Y-%m-%d").to_string()
}

/// Whether the day `renew_on` has come. A day that cannot be read has.
pub fn is_due(renew_on: &str, now: Timestamp) -> bool {
    renew_on.parse().map_or(true, |on: k8s_openapi::jiff::civil::Date| day(now, 0) >= on)
}

fn day(now: Timestamp, later: i64) -> k8s_openapi::jiff::civil::Date {
    let today = now.to_zoned(k8s_openapi::jiff::tz::TimeZone::UTC).date();
    today.checked_add(later.days()).unwrap_or(today)
}

/// From yesterday, since clocks differ, for so many days.
fn valid(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let date = |date: k8s_openapi::jiff::civil::Date| {
        date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = date(day(now, -1));
    params.not_after = date(day(now, days));
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);

    #[test]
    fn a_leaf_is_issued_again_when_a_third_of_its_life_is_left() {
        let on = renew_on(NOW);
        let after = |days: i64| Timestamp::from_second(NOW.as_second() + days * 86_400).unwrap();
        assert!(!is_due(&on, after(LEAF_DAYS - RENEW_DAYS - 1)));
        assert!(is_due(&on, after(LEAF_DAYS - RENEW_DAYS)));
        assert!(is_due("", NOW), "what cannot be read is renewed");
    }

    #[test]
    fn a_key_is_never_shown_and_a_broken_authority_is_named() {
        let pair = authority("main", NOW).unwrap();
        let leaf = leaf(&pair, "main", &["main.tenantry-servers.svc".into()], NOW).unwrap();
        assert!(leaf.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert_eq!(format!("{leaf:?}"), "Pair", "a key is never shown");
        let other = Pair { key: "garbage".into(), ..pair };
        assert!(matches!(super::leaf(&other, "main", &[], NOW), Err(CertificateError::Authority { .. })));
    }
}
