//! Passwords that were found to open a login, so that the same question costs one hash and not four thousand.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::postgres::scram::{Password, Verifier};

/// More than this many answers are not kept: the set starts again.
const KEPT: usize = 65_536;

/// Digests of (verifier, password) pairs that fit.
#[derive(Default)]
pub struct Verified(Mutex<HashSet<[u8; 16]>>);

impl Verified {
    /// Whether `verifier` is one of `password`.
    pub fn verifies(&self, verifier: &Verifier, password: &Password) -> bool {
        let key = digest(verifier, password);
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&key) {
            return true;
        }
        let fits = verifier.verifies(password);
        if fits {
            let mut all = known();
            if all.len() >= KEPT {
                all.clear();
            }
            all.insert(key);
        }
        fits
    }
}

fn digest(verifier: &Verifier, password: &Password) -> [u8; 16] {
    let mut digest = Sha256::new();
    // A verifier has no NUL, so the two never run together.
    digest.update(verifier.expose().as_bytes());
    digest.update([0]);
    digest.update(password.expose().as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&digest.finalize()[..16]);
    key
}
