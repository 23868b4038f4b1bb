//! Time travel: a server that was restored to an earlier state is not written to. Pure.
//!
//! A ServerDatabase shows the generation of its marker row, which only grows. A server that has forgotten a row, or shows
//! a smaller generation, is older than what is known of it: its databases may lack rows that tenants wrote since, and a
//! claim whose database is missing would get an empty one. People decide: a ServerDatabase that is deleted is forgotten,
//! and projected again from the row that there is.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::api::ServerDatabase;
use crate::api::condition::{Summary, reason};
use crate::api::server_database::DatabasePhase;
use crate::postgres::facts::Marker;

/// How many databases a message names.
const NAMED: usize = 3;

/// What was known of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    object: String,
    physical: String,
    generation: i64,
    /// Its row goes before the object does.
    goes: bool,
}

/// What the ServerDatabases of a server say that they have seen there.
pub fn known(databases: impl IntoIterator<Item = ServerDatabase>) -> Vec<Known> {
    let seen = |database: ServerDatabase| {
        let status = database.status.as_ref()?;
        let (generation, goes) = (status.generation?, status.phase == Some(DatabasePhase::Dropping));
        Some(Known { object: database.name_any(), physical: database.spec.physical_name, generation, goes })
    };
    databases.into_iter().filter_map(seen).collect()
}

/// Whether all of it is there, in this state or a later one.
pub fn compare(known: &[Known], rows: &[Marker]) -> Result<(), Summary> {
    let rows: BTreeMap<&str, i64> =
        rows.iter().map(|row| (row.physical_name.as_str(), row.generation)).collect();
    let forgotten: Vec<String> = known
        .iter()
        .filter_map(|known| match rows.get(known.physical.as_str()) {
            Some(generation) if *generation >= known.generation => None,
            Some(generation) => {
                Some(format!("{} (generation {generation}, known {})", known.object, known.generation))
            }
            None if known.goes => None,
            None => Some(format!("{} (no row, known {})", known.object, known.generation)),
        })
        .collect();
    if forgotten.is_empty() {
        return Ok(());
    }
    let more = forgotten.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!(
        "the server was restored to an earlier state, nothing is written to it: ServerDatabase {}{more}; \
         restore a later state, or delete these ServerDatabases to go on with what the server has (a claim whose row is gone then waits for spec.fresh)",
        forgotten[..forgotten.len().min(NAMED)].join(", ")
    );
    Err(Summary::Stalled { reason: reason::TIME_TRAVEL, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::api::server_database::{ServerDatabaseSpec, ServerDatabaseStatus};
    use crate::postgres::facts::Phase;

    fn database(name: &str, generation: Option<i64>) -> ServerDatabase {
        let spec = ServerDatabaseSpec { physical_name: name.into(), ..ServerDatabaseSpec::default() };
        let mut database = ServerDatabase::new(&name.replace('_', "-"), spec);
        database.status = Some(ServerDatabaseStatus { generation, ..ServerDatabaseStatus::default() });
        database
    }

    fn row(name: &str, generation: i64) -> Marker {
        Marker {
            tenant_id: "i".into(),
            physical_name: name.into(),
            phase: Phase::Bound,
            generation,
            ..Marker::sample()
        }
    }

    fn compared(databases: Vec<ServerDatabase>, rows: &[Marker]) -> Result<(), String> {
        compare(&known(databases), rows).map_err(|summary| match summary {
            Summary::Stalled { reason: reason::TIME_TRAVEL, message } => message,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_server_that_knows_as_much_or_more_is_fine() {
        let databases = || vec![database("t_a_app", Some(2)), database("t_b_app", None)];
        assert_eq!(compared(databases(), &[row("t_a_app", 2)]), Ok(()));
        assert_eq!(compared(databases(), &[row("t_a_app", 3), row("t_c_app", 1)]), Ok(()));
        assert_eq!(compared(vec![], &[]), Ok(()));
    }

    #[test]
    fn a_server_that_has_forgotten_what_was_being_dropped_is_fine() {
        let mut going = database("t_a_app", Some(3));
        let status = going.status.take().unwrap();
        going.status = Some(ServerDatabaseStatus { phase: Some(DatabasePhase::Dropping), ..status });
        assert_eq!(compared(vec![going.clone()], &[]), Ok(()));
        // A row of before is no forgotten one: dropped again would be what somebody restored.
        let said = compared(vec![going], &[row("t_a_app", 2)]).unwrap_err();
        assert!(said.contains("t-a-app (generation 2, known 3);"), "{said}");
    }

    #[test]
    fn a_server_that_has_forgotten_something_is_told_with_what() {
        let databases = ["a", "b", "c", "d"].map(|id| database(&format!("t_{id}_app"), Some(2)));
        let said = compared(databases.into(), &[row("t_a_app", 2), row("t_b_app", 1)]).unwrap_err();
        let named = "t-b-app (generation 1, known 2), t-c-app (no row, known 2), t-d-app (no row, known 2);";
        assert!(said.contains(named), "{said}");
        let databases = ["a", "b", "c", "d"].map(|id| database(&format!("t_{id}_app"), Some(1)));
        let said = compared(databases.into(), &[]).unwrap_err();
        assert!(said.contains("t-c-app (no row, known 1) and 1 more;"), "{said}");
    }
}
