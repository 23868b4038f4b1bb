//! Stages: when each statement of a plan has to run. Pure.

use super::plan::Plan;
use crate::postgres::quote::Ident;
use crate::postgres::statement::{Batch, Place, Statement};

/// The statements, sorted by when they have to run.
#[derive(Default)]
pub(super) struct Stages {
    /// Intent, roles, and everything that refuses somebody.
    pub first: Vec<Statement>,
    /// Ends sessions, once what refuses new ones is committed.
    pub sessions: Vec<Statement>,
    /// CREATE DATABASE.
    pub create: Option<Statement>,
    /// Closes the database to PUBLIC and opens it to us.
    pub reachable: Vec<Statement>,
    /// Inside the database.
    pub inside: Vec<Statement>,
    /// Lets the tenant in.
    pub last: Vec<Statement>,
    /// The marker's outcome.
    pub outcome: Option<Statement>,
    /// Extensions inside the database, which nothing else waits for: one that cannot be made keeps nobody out.
    pub extensions: Vec<Statement>,
}

impl Stages {
    /// The plan: as few effects as the order allows.
    pub fn plan(self, database: &Ident) -> Plan {
        let mut batches: Vec<Batch> = vec![];
        batches.extend(some(Place::Server, self.first));
        batches.extend(some(Place::Server, self.sessions));
        batches.extend(self.create.map(|create| Batch::server(vec![create])));
        let last = self.last.into_iter().chain(self.outcome);
        if self.inside.is_empty() {
            batches.extend(some(Place::Server, self.reachable.into_iter().chain(last).collect()));
        } else {
            batches.extend(some(Place::Server, self.reachable));
            batches.extend(some(Place::Database(database.clone()), self.inside));
            batches.extend(some(Place::Server, last.collect()));
        }
        batches.extend(some(Place::Database(database.clone()), self.extensions));
        Plan { batches }
    }
}

fn some(place: Place, statements: Vec<Statement>) -> Option<Batch> {
    Some(Batch { place, statements }).filter(|batch| !batch.statements.is_empty())
}
