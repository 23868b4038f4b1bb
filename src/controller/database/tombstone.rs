//! Tombstones: how a released database is renamed out of the way, how its archive is recorded, and how it comes back. Pure.
//!
//! Marker row, tombstone and name change in one transaction, so there is no state in between: after a crash the
//! database is either what it was or what it had to become. Its generation grows, so a plan that was made for the
//! database before, whoever made it, finds another row than it was made for.

use std::time::Duration;

use super::archiving;
use super::plan::{Conflict, Plan, close};
use crate::api::deletion::DeletionPolicy;
use crate::api::names::PhysicalName;
use crate::postgres::facts::{Facts, Marker, Phase};
use crate::postgres::quote::Ident;
use crate::postgres::statement::{Batch, DatabaseChange, DropChange, Statement, TombstoneChange};
use crate::postgres::tombstone::{self, Archive, TombstoneName};

/// The row of a released database after it became a tombstone.
pub fn buried(marker: &Marker) -> Marker {
    Marker { phase: Phase::Tombstoned, generation: marker.generation + 1, ..marker.clone() }
}

/// Generation that the purge of a tombstone named: [`buried`] is the only step from there. `None` for a database that is none.
pub fn purged(marker: &Marker) -> Option<i64> {
    tombstone::buried(marker).map(|buried| buried - 1)
}

/// Statements that make a released database a tombstone for so long. Logins are refused once more: somebody may have let
/// one in behind our back, and a database that is in use cannot be renamed.
pub fn bury(
    physical: &PhysicalName,
    marker: &Marker,
    have: &Facts,
    grace: Duration,
) -> Result<Plan, Conflict> {
    let (database, tombstone) = (Ident::from(physical), TombstoneName::of(physical).database());
    if marker.adopted.is_some() {
        return Err(Conflict::NameConflict { what: "database", name: marker.physical_name.clone() });
    }
    vacant(&tombstone, have)?;
    let mut plan = close(marker, have)?;
    plan.batches.push(Batch::server(vec![
        Statement::UpdateMarker { marker: buried(marker), expected_generation: marker.generation },
        Statement::Tombstone(TombstoneChange::Bury { physical: database.clone(), grace }),
        Statement::Tombstone(TombstoneChange::Rename { from: database, to: tombstone }),
    ]));
    Ok(plan)
}

/// Statements that keep a released database, whatever was in force when it was released. It is no other database by that: its generation
/// stays.
pub fn spare(physical: &PhysicalName, marker: &Marker) -> Plan {
    let (physical, generation) = (physical.clone(), marker.generation);
    let spare = Statement::Tombstone(TombstoneChange::Spare { physical, generation });
    Plan { batches: vec![Batch::server(vec![spare])] }
}

/// Statements that record a verified archive of a tombstone, and close it in the same transaction: nobody can write
/// what the archive lacks.
pub fn seal(physical: &PhysicalName, archive: Archive) -> Plan {
    let name = TombstoneName::of(physical).database();
    let prove = DropChange::Prove { physical: physical.clone(), archive };
    let statements = vec![
        Statement::Tombstone(TombstoneChange::End(prove)),
        Statement::AlterDatabase { name, change: DatabaseChange::AllowConnections(false) },
    ];
    Plan { batches: vec![Batch::server(statements)] }
}

/// Statements that record a verified archive of a released database that is kept.
pub fn keep(physical: &PhysicalName, archive: Archive) -> Plan {
    let keep = TombstoneChange::Keep { physical: physical.clone(), archive };
    Plan { batches: vec![Batch::server(vec![Statement::Tombstone(keep)])] }
}

/// Statements that bring a tombstone back as the released database that it was; also one that was about to be dropped.
pub fn exhume(physical: &PhysicalName, marker: &Marker, have: &Facts) -> Result<Plan, Conflict> {
    let (database, tombstone) = (Ident::from(physical), TombstoneName::of(physical).database());
    vacant(&database, have)?;
    let Some(buried) = have.databases.get(tombstone.as_str()) else {
        return Err(Conflict::Missing { name: tombstone.as_str().to_owned() });
    };
    if buried.cut_short {
        return Err(Conflict::CutShort { name: tombstone.as_str().to_owned() });
    }
    let released = Marker {
        phase: Phase::Released,
        generation: marker.generation + 1,
        // Whatever was in force when it was released, somebody wants it: it is kept until it is claimed again.
        deletion_policy: DeletionPolicy::Retain,
        ..marker.clone()
    };
    // An archive of it may be under way, and a database that is in use cannot be renamed.
    let mut plan = archiving::refuse(physical, tombstone.clone(), have)?;
    let mut statements = vec![
        Statement::UpdateMarker { marker: released, expected_generation: marker.generation },
        Statement::Tombstone(TombstoneChange::Exhume { physical: database.clone() }),
        Statement::Tombstone(TombstoneChange::Rename { from: tombstone, to: database.clone() }),
    ];
    if !buried.allow_connections {
        let change = DatabaseChange::AllowConnections(true);
        statements.push(Statement::AlterDatabase { name: database, change });
    }
    plan.batches.push(Batch::server(statements));
    Ok(plan)
}

/// A database of the name that ours has to get is somebody else's.
fn vacant(name: &Ident, have: &Facts) -> Result<(), Conflict> {
    if have.databases.contains_key(name.as_str()) {
        return Err(Conflict::NameConflict { what: "database", name: name.as_str().to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::facts::{Database, Role};

    fn marker(phase: Phase) -> Marker {
        Marker { phase, generation: 3, ..Marker::sample() }
    }

    fn facts(databases: &[&str]) -> Facts {
        let databases = databases.iter().map(|name| ((*name).to_owned(), Database::default())).collect();
        Facts { databases, ..Facts::default() }
    }

    fn physical() -> PhysicalName {
        PhysicalName::parse("t_x_app").unwrap()
    }

    fn buries(databases: &[&str]) -> Result<Plan, Conflict> {
        bury(&physical(), &marker(Phase::Released), &facts(databases), Duration::from_hours(1))
    }

    fn exhumes(databases: &[&str]) -> Result<Plan, Conflict> {
        exhume(&physical(), &marker(Phase::Tombstoned), &facts(databases))
    }

    #[test]
    fn a_tombstone_is_one_transaction_there_and_one_back() {
        let there = buries(&["t_x_app"]).unwrap();
        assert_eq!(there.batches.len(), 1);
        let there = there.to_string();
        let lines = [
            "phase = 'Tombstoned', generation = 4",
            "VALUES ('t_x_app', now() + interval '3600 seconds');",
            "ALTER DATABASE \"t_x_app\" RENAME TO \"tombstone_t_x_app\";",
        ];
        assert!(lines.iter().all(|line| there.contains(line)), "{there}");
        let back = exhumes(&["tombstone_t_x_app"]).unwrap();
        assert_eq!(back.batches.len(), 1);
        let back = back.to_string();
        let lines = [
            "phase = 'Released', generation = 4",
            "DELETE FROM tenantry.tombstone WHERE physical_name = 't_x_app';",
            "ALTER DATABASE \"tombstone_t_x_app\" RENAME TO \"t_x_app\";",
            "ALTER DATABASE \"t_x_app\" ALLOW_CONNECTIONS true;",
        ];
        assert!(lines.iter().all(|line| back.contains(line)), "{back}");
    }

    #[test]
    fn a_tombstone_whose_archive_is_under_way_comes_back_all_the_same() {
        let mut have = facts(&["tombstone_t_x_app", "tenantry_pool_0000000007"]);
        have.server.superuser = true;
        have.roles.insert("t_x_app_archive".into(), Role { login: true, ..Role::default() });
        let back = exhume(&physical(), &marker(Phase::Tombstoned), &have).unwrap().to_string();
        let order = [
            "ALTER ROLE \"t_x_app_archive\" NOLOGIN;",
            "pg_terminate_backend",
            "ALTER DATABASE \"tombstone_t_x_app\" RENAME TO \"t_x_app\";",
        ];
        let found: Vec<_> =
            order.iter().map(|part| back.find(part).unwrap_or_else(|| panic!("{part}: {back}"))).collect();
        assert!(found.is_sorted(), "{found:?}: {back}");
        // What it is made with is taken back afterwards.
        assert!(!back.contains("tenantry_pool"), "{back}");
    }

    #[test]
    fn an_archive_is_recorded_and_the_tombstone_closed_in_one_transaction() {
        let sealed = seal(&physical(), Archive { generation: 4, ..Archive::default() });
        assert_eq!(sealed.batches.len(), 1);
        let sealed = sealed.to_string();
        let lines = [
            "UPDATE tenantry.tombstone t SET archive = ",
            "m.phase = 'Tombstoned' AND m.generation = 4 ",
            "ALTER DATABASE \"tombstone_t_x_app\" ALLOW_CONNECTIONS false;",
        ];
        assert!(lines.iter().all(|line| sealed.contains(line)), "{sealed}");
    }

    #[test]
    fn what_is_missing_and_what_is_in_the_way_is_named() {
        let missing = |name: &str| Err(Conflict::Missing { name: name.into() });
        let taken = |name: &str| Err(Conflict::NameConflict { what: "database", name: name.into() });
        assert_eq!(buries(&[]), missing("t_x_app"));
        assert_eq!(buries(&["t_x_app", "tombstone_t_x_app"]), taken("tombstone_t_x_app"));
        assert_eq!(exhumes(&[]), missing("tombstone_t_x_app"));
        assert_eq!(exhumes(&["t_x_app", "tombstone_t_x_app"]), taken("t_x_app"));
    }
}
