//! Verified archives on real servers: what a tenant can have round-trips, and whatever was lost or changed on the way is
//! named.

mod bucket;
mod extensions;
mod process;
mod refusals;
mod round_trip;
mod scene;
mod tampering;

use std::collections::BTreeMap;

use tenantry::api::archive::{Failed, Stage};

use crate::support::postgres::Version;

const VERSIONS: [Version; 2] = [Version::V15, Version::V18];

/// A failure before anything was stored.
fn failed(stage: Stage, message: &str) -> Failed {
    Failed { stage, message: message.into(), object: None }
}

/// Every environment variable of the role, as the operator sets them.
type Environment = BTreeMap<&'static str, String>;
