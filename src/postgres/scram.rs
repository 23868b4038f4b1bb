//! Passwords, and the SCRAM-SHA-256 verifiers that PostgreSQL keeps of them (RFC 5802, RFC 7677). Pure.
//!
//! The verifier is computed here, so a password never travels in an SQL statement and never reaches a server's
//! log. A verifier does not give the password away, but whoever has it can pose as the server: it is a secret too.

use std::fmt;
use std::hint::black_box;
use std::num::NonZeroU32;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::{hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::distr::{Alphanumeric, Distribution};
use rand::{CryptoRng, RngExt};

/// PostgreSQL's own iteration count. The passwords are random with 190 bits: more rounds would protect nothing
/// and cost every connection.
pub const ITERATIONS: u32 = 4096;
const MECHANISM: &str = "SCRAM-SHA-256";
const PASSWORD_LENGTH: usize = 32;

/// A password in clear text. `Debug` prints nothing of it, and it is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password that exists already.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A new password: 32 letters and digits, 190 bits.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self((0..PASSWORD_LENGTH).map(|_| char::from(Alphanumeric.sample(rng))).collect())
    }

    /// The clear text: for a connection or a Secret, never for a statement or a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // Without a reader the compiler may leave the overwriting out.
        black_box(&bytes);
    }
}

/// What PostgreSQL stores of a password: `SCRAM-SHA-256$ROUNDS:SALT$STOREDKEY:SERVERKEY`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

impl Verifier {
    /// A verifier of `password` with a new random salt.
    pub fn generate(password: &Password, rng: &mut impl CryptoRng) -> Self {
        let mut salt = [0; 16];
        rng.fill(&mut salt);
        Self::derive(password, &salt, ITERATIONS)
    }

    /// The verifier of `password` with that salt and that many rounds.
    pub fn derive(password: &Password, salt: &[u8], iterations: u32) -> Self {
        // As the server does: a text that SASLprep refuses is used as it is.
        let prepared = stringprep::saslprep(password.expose());
        let prepared = prepared.as_deref().unwrap_or(password.expose());
        let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, prepared.as_bytes(), &mut salted);
        Self {
            iterations,
            salt: salt.to_vec(),
            stored_key: hashed(&keyed(&salted, b"Client Key")),
            server_key: keyed(&salted, b"Server Key"),
        }
    }

    /// Reads a verifier as `pg_authid.rolpassword` holds it. `None` for anything else, md5 hashes included, and for one with
    /// another number of rounds than ours have: a login writes its own, and checking it would be as much work as it likes.
    pub fn parse(text: &str) -> Option<Self> {
        let (iterations, rest) = text.strip_prefix(MECHANISM)?.strip_prefix('$')?.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let iterations = iterations.parse().ok().filter(|rounds| *rounds == ITERATIONS)?;
        let key = |text: &str| STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        Some(Self {
            iterations,
            salt: STANDARD.decode(salt).ok()?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    /// Whether this is a verifier of `password`.
    pub fn verifies(&self, password: &Password) -> bool {
        Self::derive(password, &self.salt, self.iterations) == *self
    }

    /// The text that PostgreSQL stores. It has no quote and no backslash. For a statement, never for a message.
    pub fn expose(&self) -> String {
        format!(
            "{MECHANISM}${}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key)
        )
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

fn keyed(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    array(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref())
}

fn hashed(bytes: &[u8]) -> [u8; 32] {
    array(digest(&SHA256, bytes).as_ref())
}

/// What SHA-256 makes has that length.
fn array(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(bytes);
    array
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    /// RFC 7677 section 3: user `user`, password `pencil`.
    const RFC_SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

    #[test]
    fn rfc_7677_exchange_is_accepted() {
        let verifier = Verifier::derive(&Password::new("pencil"), &STANDARD.decode(RFC_SALT).unwrap(), 4096);
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let message = format!("n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s={RFC_SALT},i=4096,c=biws,r={nonce}");

        let signature = keyed(&verifier.stored_key, message.as_bytes());
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(p, s)| p ^ s).collect();
        assert_eq!(hashed(&client_key), verifier.stored_key);

        let server_signature = keyed(&verifier.server_key, message.as_bytes());
        assert_eq!(STANDARD.encode(server_signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_verifier_survives_the_catalog() {
        let mut rng = StdRng::seed_from_u64(1);
        let verifier = Verifier::generate(&Password::generate(&mut rng), &mut rng);
        assert_eq!(Verifier::parse(&verifier.expose()), Some(verifier));
    }

    #[test]
    fn only_its_own_password_verifies() {
        let mut rng = StdRng::seed_from_u64(2);
        let password = Password::generate(&mut rng);
        let verifier = Verifier::generate(&password, &mut rng);
        assert!(verifier.verifies(&password));
        assert!(!verifier.verifies(&Password::generate(&mut rng)));
        assert!(!verifier.verifies(&Password::new("")));
    }

    #[test]
    fn passwords_are_prepared_as_the_server_does() {
        let verifier = Verifier::derive(&Password::new("a\u{a0}\u{2168}"), b"salt", 4096);
        assert!(verifier.verifies(&Password::new("a IX")));
        // SASLprep refuses a control character: the text counts as it is.
        assert!(Verifier::derive(&Password::new("a\u{7}"), b"s", 1).verifies(&Password::new("a\u{7}")));
    }

    #[test]
    fn what_is_no_verifier_is_refused() {
        let good = Verifier::derive(&Password::new("x"), b"salt", 4096).expose();
        for bad in [
            "",
            "md5d41d8cd98f00b204e9800998ecf8427e",
            &good.replace("4096", "0"),
            &good.replace("4096", "4097"),
            &good.replace("4096", "4000000000"),
            &good[..good.len() - 4],
            &good.replace("SCRAM", "SCRUM"),
        ] {
            assert_eq!(Verifier::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn passwords_are_long_plain_and_different() {
        let mut rng = StdRng::seed_from_u64(3);
        let (one, two) = (Password::generate(&mut rng), Password::generate(&mut rng));
        assert_ne!(one.expose(), two.expose());
        assert_eq!(one.expose().len(), 32);
        assert!(one.expose().bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }

    #[test]
    fn debug_shows_no_secret() {
        let password = Password::new("hunter2");
        let verifier = Verifier::derive(&password, b"salt", 4096);
        assert_eq!(format!("{password:?} {verifier:?}"), "Password Verifier");
    }
}
