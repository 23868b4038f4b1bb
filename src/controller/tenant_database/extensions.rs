//! Step 4, for extensions: which of those that a claim asks for its database lacks, and what the server says of them.
//!
//! They are made last, in a session of their own: a claim whose extension cannot be made has everything else, and says so.

use std::collections::BTreeSet;

use super::provision::{self, open, run};
use super::validate::Validated;
use crate::api::condition::{Summary, reason};
use crate::api::names::PhysicalName;
use crate::controller::context::Context;
use crate::controller::database::extensions::{Refused, Wanted, resolve};
use crate::controller::database::refusal;
use crate::postgres::connect::ServerPool;
use crate::postgres::execute::Session;
use crate::postgres::extension::Extensions;
use crate::postgres::facts::{Facts, Inside};
use crate::postgres::observe;
use crate::postgres::statement::Batch;

/// What a claim's database is to have of extensions.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// What is made, or is there.
    pub wanted: Wanted,
    /// Why the rest is not.
    pub refused: Option<Summary>,
    /// Whether nobody could look into the database.
    pub is_unseen: bool,
}

/// Asks the server, if something is missing.
pub(super) async fn ask(
    session: &mut Session<'_>,
    claim: &Validated,
    physical: &PhysicalName,
    facts: &Facts,
) -> Asked {
    let asked = &claim.extensions;
    if asked.is_empty() {
        return Asked::default();
    }
    let seen = seen(facts, physical);
    if claim.given.is_some() {
        return of_foreign(asked, &seen.unwrap_or_default());
    }
    let Some(have) = seen else {
        let wanted = Wanted { names: asked.clone(), create: vec![] };
        return Asked { wanted, refused: None, is_unseen: true };
    };
    if asked.iter().all(|name| have.installed.contains_key(name)) {
        let wanted = Wanted { names: asked.clone(), create: vec![] };
        return Asked { wanted, ..Asked::default() };
    }
    match observe::available(session.reader()).await {
        Ok(available) => {
            let (wanted, refused) = resolve(asked, &have, &available, &claim.allowed_extensions);
            Asked { wanted, refused: said(&refused), is_unseen: false }
        }
        Err(error) => {
            let names = asked.iter().filter(|name| have.installed.contains_key(*name)).cloned().collect();
            let wanted = Wanted { names, create: vec![] };
            Asked { wanted, refused: Some(refusal::of_observe(&error)), is_unseen: false }
        }
    }
}

/// What the database has; `None` if there is one that could not be looked into.
fn seen(facts: &Facts, physical: &PhysicalName) -> Option<Extensions> {
    match facts.inside.get(physical.as_str()) {
        Some(inside) => Some(inside.extensions.clone()),
        None if facts.databases.contains_key(physical.as_str()) => None,
        None => Some(Inside::of_new_database(facts.server.version_number).extensions),
    }
}

/// In a database that we did not make, nothing is made but what its owner makes.
fn of_foreign(asked: &BTreeSet<String>, have: &Extensions) -> Asked {
    let (names, missing): (BTreeSet<String>, BTreeSet<String>) =
        asked.iter().cloned().partition(|name| have.installed.contains_key(name));
    let refused: Vec<Refused> = missing.into_iter().map(|name| Refused::NotOurs { name }).collect();
    Asked { wanted: Wanted { names, create: vec![] }, refused: said(&refused), is_unseen: false }
}

/// What is refused, in one message. Somebody has to change something: claim, server or what is in the way.
fn said(refused: &[Refused]) -> Option<Summary> {
    let reason = refused.first()?.reason();
    let all: Vec<String> = refused.iter().map(ToString::to_string).collect();
    Some(Summary::Stalled { reason, message: format!("spec.extensions: {}", all.join("; ")) })
}

/// What is said while nobody could look whether the database has what is newly asked for.
pub(super) fn unseen(physical: &PhysicalName) -> Summary {
    let message = format!(
        "spec.extensions: database {physical} could not be looked into, which is tried again: it was closed, or all of its \
         connections are in use"
    );
    Summary::Progressing { reason: reason::PROGRESSING, message }
}

/// Makes the extensions, when all else is done.
pub(super) async fn make(
    context: &Context,
    pool: &ServerPool,
    claim: &Validated,
    batches: &[Batch],
) -> Result<(), Summary> {
    if batches.is_empty() {
        return Ok(());
    }
    let session = open(context, pool, provision::cause(claim, "extensions")).await?;
    run(session, batches).await
}
