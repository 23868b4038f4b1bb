//! Tenancy: whose databases a server has, and what a plan whose tenants have servers of their own makes of that. Pure.
//!
//! That a tenant has a server for its own stands in the marker rows of its databases there, and is written by transactions
//! in which no other tenant can get a database ([`hold`]). What placement knows may be older: it only chooses.

use crate::api::plan::Isolation;
use crate::postgres::facts::Marker;
use crate::postgres::statement::{Batch, Statement};

/// Whose databases a server has, as one tenant sees it: bound and released ones and tombstones, but not the warm pool's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tenancy {
    /// Nobody's.
    #[default]
    Free,
    /// The tenant's, and nobody else's.
    Alone,
    /// Those of others, beside the tenant's or not.
    Shared,
    /// Another tenant has it for its own.
    Others,
}

/// Whether the server of a claim's database is to be its tenant's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnServer {
    /// Its plan does not ask for that.
    NotAsked,
    /// It is to be: nobody else has a database there.
    Alone,
    /// It was to be, and others have databases there too. The database stays.
    Shared,
}

impl OwnServer {
    /// What a plan makes of a server that a database is on, or goes to.
    pub const fn of(isolation: Isolation, tenancy: Tenancy) -> Self {
        match (isolation, tenancy) {
            (Isolation::Database, _) => Self::NotAsked,
            (Isolation::Server, Tenancy::Free | Tenancy::Alone) => Self::Alone,
            (Isolation::Server, Tenancy::Shared | Tenancy::Others) => Self::Shared,
        }
    }

    /// What the marker row has to say. Who shares a server that it had for its own keeps it closed to newcomers.
    pub fn recorded(self, row: Option<&Marker>) -> bool {
        match self {
            Self::NotAsked => false,
            Self::Alone => true,
            Self::Shared => row.is_some_and(|row| row.own_server),
        }
    }
}

impl Tenancy {
    /// Why a server takes no new database of a tenant with that plan, as the end of a sentence about it. It names no other
    /// tenant: claims are read by theirs.
    pub fn obstacle(self, isolation: Isolation, plan: &str) -> Option<String> {
        match (self, isolation) {
            (Self::Others, _) => Some("is the own server of another tenant".to_owned()),
            (Self::Shared, Isolation::Server) => Some(format!(
                "has databases of other tenants, and Plan {plan} asks for a server of the tenant's own"
            )),
            _ => None,
        }
    }
}

/// Has the transaction that writes the marker row of a new database, or says in it that the tenant has the server for its own,
/// fail if somebody else was faster. `row` is the row that there is.
pub fn hold(batches: &mut [Batch], row: Option<&Marker>, tenant_uid: &str) {
    let is_row = |statement: &Statement| statement.marker().is_some();
    let batch = batches.iter_mut().find(|batch| batch.statements.iter().any(is_row));
    let Some(statements) = batch.map(|batch| &mut batch.statements) else { return };
    let Some((at, marker)) = statements.iter().enumerate().find_map(|(at, it)| Some((at, it.marker()?)))
    else {
        return;
    };
    let alone = marker.own_server && row.is_none_or(|row| !row.own_server);
    let require = Statement::RequireTenancy {
        tenant_uid: tenant_uid.to_owned(),
        database: marker.physical_name.clone(),
        alone,
    };
    if alone {
        if statements.first() != Some(&Statement::LockMarkers) {
            statements.insert(0, Statement::LockMarkers);
        }
        statements.insert(1, require);
    } else if row.is_none() {
        statements.insert(at + 1, require);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(own_server: bool) -> Marker {
        Marker { own_server, ..Marker::sample() }
    }

    fn held(write: Statement, row: Option<&Marker>, before: &[Statement]) -> Vec<Statement> {
        let mut statements = before.to_vec();
        statements.extend([write, Statement::CreateOperatorSchema]);
        let mut batches = [Batch::server(vec![Statement::CreateEpochTable]), Batch::server(statements)];
        hold(&mut batches, row, "u");
        batches[1].statements.clone()
    }

    #[test]
    fn a_new_row_asks_after_it_is_there_and_one_of_a_server_of_its_own_before_with_everybody_else_locked_out()
    {
        let require =
            |alone| Statement::RequireTenancy { tenant_uid: "u".into(), database: "t_x_app".into(), alone };
        let insert = |own| Statement::InsertMarker(row(own));
        let update = |own| Statement::UpdateMarker { marker: row(own), expected_generation: 1 };
        let (lock, last) = (Statement::LockMarkers, Statement::CreateOperatorSchema);
        let room = Statement::RequireRoom { databases: 3 };

        assert_eq!(held(insert(false), None, &[]), [insert(false), require(false), last.clone()]);
        let expected = [lock.clone(), require(true), insert(true), last.clone()];
        assert_eq!(held(insert(true), None, &[]), expected);
        let expected = [lock.clone(), require(true), room.clone(), insert(true), last.clone()];
        assert_eq!(held(insert(true), None, &[lock.clone(), room]), expected, "it is locked once");
        let expected = [lock, require(true), update(true), last.clone()];
        assert_eq!(held(update(true), Some(&row(false)), &[]), expected, "it becomes its own");
        // What it has it keeps, and may give up.
        assert_eq!(held(update(true), Some(&row(true)), &[]), [update(true), last.clone()]);
        assert_eq!(held(update(false), Some(&row(true)), &[]), [update(false), last]);
    }

    #[test]
    fn what_was_a_tenants_own_server_stays_closed_when_somebody_shares_it() {
        let recorded = |tenancy, row: Option<bool>| {
            let row = row.map(|own| Marker { own_server: own, ..Marker::sample() });
            OwnServer::of(Isolation::Server, tenancy).recorded(row.as_ref())
        };
        assert!(recorded(Tenancy::Free, None) && recorded(Tenancy::Alone, Some(false)));
        assert!(!recorded(Tenancy::Shared, None) && !recorded(Tenancy::Shared, Some(false)));
        assert!(recorded(Tenancy::Shared, Some(true)));
        assert!(!OwnServer::of(Isolation::Database, Tenancy::Alone).recorded(Some(&row(true))));
    }
}
