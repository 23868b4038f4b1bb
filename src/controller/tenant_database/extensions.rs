//! Step 4, for extensions: which of those that a claim asks for its database lacks, and what the server says of them.
//!
//! They are made last, in a session of their own: a claim whose extension cannot be made has everything else, the other extensions
//! too, and says so.

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
use crate::postgres::statement::{Batch, ExtensionChange, Statement};

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

/// Makes the extensions, when all else is done: in one transaction, or, if one of them cannot be made, each in its own.
pub(super) async fn make(
    context: &Context,
    pool: &ServerPool,
    claim: &Validated,
    batches: &[Batch],
) -> Result<(), Summary> {
    if batches.is_empty() {
        return Ok(());
    }
    let send = async |batches: &[Batch]| {
        let session = open(context, pool, provision::cause(claim, "extensions")).await?;
        run(session, batches).await
    };
    let Err(whole) = send(batches).await else { return Ok(()) };
    let Some(Apart { before, each }) = Apart::of(batches) else { return Err(whole) };
    // Where a schema is not made, one of a tenant's may be in its place.
    send(&before).await?;
    let (mut missing, mut failures) = (BTreeSet::new(), vec![]);
    for Creation { name, requires, batch } in each {
        if requires.iter().any(|needed| missing.contains(needed)) {
            missing.insert(name);
        } else if let Err(failure) = send(&[batch]).await {
            missing.insert(name);
            failures.push(failure);
        }
    }
    failures.into_iter().reduce(together).map_or(Ok(()), Err)
}

/// The same statements, so that one extension that cannot be made keeps no other from being made.
#[derive(Debug, PartialEq, Eq)]
struct Apart {
    /// What is not an extension: the schemas that they are made in, and who may use these.
    before: Vec<Batch>,
    /// One extension each, after those that it is built on.
    each: Vec<Creation>,
}

/// What makes one extension.
#[derive(Debug, PartialEq, Eq)]
struct Creation {
    name: String,
    requires: BTreeSet<String>,
    batch: Batch,
}

impl Apart {
    /// `None` if there is nothing to take apart.
    fn of(batches: &[Batch]) -> Option<Self> {
        let (mut before, mut each) = (vec![], vec![]);
        for Batch { place, statements } in batches {
            let mut rest = statements.clone();
            for made in
                rest.extract_if(.., |it| matches!(it, Statement::Extension(ExtensionChange::Create { .. })))
            {
                let Statement::Extension(ExtensionChange::Create { name, requires, .. }) = &made else {
                    continue;
                };
                let (name, requires) = (name.as_str().to_owned(), requires.clone());
                let batch = Batch { place: place.clone(), statements: vec![made] };
                each.push(Creation { name, requires, batch });
            }
            before.extend((!rest.is_empty()).then(|| Batch { place: place.clone(), statements: rest }));
        }
        (each.len() > 1).then_some(Self { before, each })
    }
}

/// Two problems in one message. What the server failed to do comes first: it is tried again.
pub(super) fn together(first: Summary, next: Summary) -> Summary {
    let (Summary::Progressing { message: more, .. } | Summary::Stalled { message: more, .. }) = next else {
        return first;
    };
    match first {
        Summary::Progressing { reason, message } => {
            Summary::Progressing { reason, message: format!("{message}; {more}") }
        }
        first => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::quote::{Ident, Literal};

    #[test]
    fn what_is_taken_apart_makes_the_schema_first_and_then_one_extension_at_a_time() {
        let (schema, database) = (Ident::parse("extensions").unwrap(), Ident::parse("t_x_app").unwrap());
        let create = |name: &str, requires: &[&str]| {
            let (name, version) = (Ident::parse(name).unwrap(), Literal::new("1").unwrap());
            let requires = requires.iter().map(ToString::to_string).collect();
            Statement::Extension(ExtensionChange::Create { name, schema: schema.clone(), version, requires })
        };
        let home = ExtensionChange::CreateHome { schema: schema.clone(), owner: schema.clone() };
        let home = Statement::Extension(home);
        let lead = ExtensionChange::LeadTo { database: database.clone(), schema: schema.clone() };
        let lead = Statement::Extension(lead);
        let (cube, earth) = (create("cube", &[]), create("earthdistance", &["cube"]));
        let batch = |statements: &[&Statement]| {
            Batch::database(database.clone(), statements.iter().copied().cloned().collect())
        };
        let creation = |name: &str, requires: &[&str], statement: &Statement| Creation {
            name: name.to_owned(),
            requires: requires.iter().map(ToString::to_string).collect(),
            batch: batch(&[statement]),
        };
        let expected = Apart {
            before: vec![batch(&[&home, &lead])],
            each: vec![creation("cube", &[], &cube), creation("earthdistance", &["cube"], &earth)],
        };
        assert_eq!(Apart::of(&[batch(&[&home, &cube, &earth, &lead])]), Some(expected));
        assert_eq!(Apart::of(&[batch(&[&home, &cube, &lead])]), None, "what failed alone is not tried again");
    }
}
