//! Previews: what the operator would do, thought through and not done.
//!
//! # Flow
//! The stores are copied, the objects of the question are laid over the copy ([`question`]), and every tenant that
//! they concern goes through its turns there ([`tenant`], [`database`], [`service`], [`server`]): the same fetch,
//! validate and build as in earnest. What a turn declares is compared with the live object as the gate compares it;
//! what it would ask of a database server is planned from the server's own catalogs. What would be made is then in the
//! copy ([`rehearsal`]), so that the next turn finds it.
//!
//! # Guarantees
//! - Nothing is written: no object, no statement that changes anything. Reads are as many as a first turn needs.
//! - No password is in an answer, and no value of a Secret.
//! - Only the leader answers: no other process knows the servers.

pub mod caller;
pub mod database;
pub mod desk;
pub mod question;
pub mod rehearsal;
pub mod server;
pub mod service;
pub mod tenant;

use std::collections::BTreeSet;

use self::question::Asked;
use self::rehearsal::Rehearsal;
use super::apply::ApplyError;
use super::context::Context;
use super::object::Key;
use crate::api::Tenant;
use crate::api::names;
use crate::api::preview::{Preview, Question};

/// Tenants that one question may concern.
pub const MOST_TENANTS: usize = 100;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// An object that is none of ours, or does not fit its kind.
    #[error("failed to read {object} of the question: {message}")]
    Unreadable {
        /// Which.
        object: String,
        /// What is wrong with it.
        message: String,
    },
    /// A tenant that does not exist.
    #[error("tenants.tenantry.dev {0:?} not found")]
    NoSuchTenant(String),
    /// It would take too long.
    #[error(
        "the question concerns {0} tenants, and at most {MOST_TENANTS} are looked at at once: ask about fewer"
    )]
    TooMany(usize),
    /// A live object could not be read, or a declaration not be written.
    #[error("failed to compare with what there is")]
    Compare(#[source] ApplyError),
    /// The answer cannot be written down.
    #[error("failed to write the answer")]
    Serialize(#[source] serde_json::Error),
}

/// Answers a question.
pub async fn preview(context: &Context, question: Question) -> Result<Preview, PreviewError> {
    let asked = question.objects.into_iter().map(Asked::read).collect::<Result<Vec<_>, _>>()?;
    if let Some(name) = question.tenants.iter().find(|name| {
        let known: Option<Tenant> = context.valid(&Key::cluster(name));
        known.is_none()
    }) {
        return Err(PreviewError::NoSuchTenant(name.clone()));
    }
    let mut tenants: BTreeSet<String> = question.tenants.into_iter().collect();
    tenants.extend(question::concerned(context, &asked));
    if tenants.len() > MOST_TENANTS {
        return Err(PreviewError::TooMany(tenants.len()));
    }
    let mut near: BTreeSet<String> = tenants.iter().map(|name| names::tenant_namespace(name)).collect();
    near.insert(crate::api::labels::SERVERS_NAMESPACE.to_owned());
    let mut rehearsal = Rehearsal::new(context, &near);
    for object in &asked {
        object.lay(&mut rehearsal).map_err(PreviewError::Compare)?;
    }
    for name in rehearsal.asked_servers() {
        rehearsal.server(&name).await.map_err(PreviewError::Compare)?;
    }
    for name in &tenants {
        rehearsal.tenant(name).await.map_err(PreviewError::Compare)?;
    }
    rehearsal.answer().map_err(PreviewError::Serialize)
}
