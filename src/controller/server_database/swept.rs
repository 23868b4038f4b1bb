//! Databases of which this process knows that nothing is left of an attempt at an archive, so that a database which has been archived
//! once costs no session at every look for the rest of its life.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::api::names::PhysicalName;

/// By server and physical name. What was left before a start is not known, and looked for once.
#[derive(Debug, Default)]
pub struct Swept(Mutex<HashSet<(String, String)>>);

impl Swept {
    fn all(&self) -> MutexGuard<'_, HashSet<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is left.
    pub fn note(&self, server: &str, physical: &PhysicalName) {
        self.all().insert((server.to_owned(), physical.as_str().to_owned()));
    }

    /// Something is about to be made.
    pub fn forget(&self, server: &str, physical: &PhysicalName) {
        self.all().remove(&(server.to_owned(), physical.as_str().to_owned()));
    }

    /// The server is gone, or may be another one by now.
    pub fn forget_server(&self, server: &str) {
        self.all().retain(|(on, _)| on != server);
    }

    /// Whether nothing is left.
    pub fn is(&self, server: &str, physical: &PhysicalName) -> bool {
        self.all().contains(&(server.to_owned(), physical.as_str().to_owned()))
    }
}
