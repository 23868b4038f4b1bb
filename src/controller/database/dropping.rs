//! The end of a tombstone: what has to be so before a database is dropped, and the statements that drop it. Pure.
//!
//! Nothing plans a drop without a [`Warrant`]. A drop is [`due`] when somebody asked for exactly this database's end while its
//! grace ran, the grace has ended, and an archive of it is verified; [`Due::warrant`] takes a look at what the archive is kept
//! on besides, and that it was read again there. The statements ask for the same again where they run, by the server's clock and in the session that drops;
//! what they find otherwise ends them.
//!
//! # The order
//! The intent first: from then on the row says `Dropping`. Then the database, which has taken no connection since its archive
//! was recorded. Roles go when the catalogs show that it is gone, in one transaction with the row; what depends on one
//! of them elsewhere on the server keeps it, and the row with it. What other tenants have granted it is taken back; until the
//! rest is gone people have to see to it.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Conflict, Plan};
use super::target::acting_as;
use super::tombstone::purged;
use crate::api::names::{Group, PhysicalName};
use crate::postgres::facts::{DATABASE_OWNER, Facts, Marker, Phase};
use crate::postgres::quote::{Ident, QuoteError};
use crate::postgres::statement::{Batch, DropChange, Statement, TombstoneChange};
use crate::postgres::tombstone::{Dependency, OwnRole, Place, Proof, Tombstone, TombstoneName, is_sealed};

/// How many dependencies a message names.
const NAMED: usize = 4;

/// What was asked for, by the object that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Generation that its purge names, if it has one.
    pub purge: Option<i64>,
    /// When the object was made, in seconds since 1970.
    pub since: i64,
}

/// That a tombstone's end is due, if its archive is still where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due<'a> {
    physical: &'a PhysicalName,
    marker: &'a Marker,
    /// Its verified archive.
    pub proof: Proof,
}

/// That an archive was read again where it is kept, just before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reread {
    /// SHA-256 of what is there.
    pub sha256: String,
    /// What it is kept in.
    pub place: Place,
    /// Whether somebody had answered the deletion brake that the drop is meant, when it was begun to be read.
    pub meant: bool,
}

/// That a tombstone may be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warrant<'a>(Due<'a>);

/// Why a tombstone may not be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// It is no tombstone.
    Tombstone,
    /// Nobody asks for its end, or somebody asks for that of the database as it was before.
    Request,
    /// No archive of it is verified.
    Archive,
    /// Its grace has not ended.
    Grace,
    /// The object that asks was made after the grace had ended: it may come from the row itself.
    TimelyRequest,
    /// What the archive was written to is not there any more.
    Place,
    /// Nobody has read the archive again, or it is not what it was.
    Reread,
}

/// Whether the end of the tombstone of that row is due.
pub fn due<'a>(
    physical: &'a PhysicalName,
    marker: &'a Marker,
    tombstone: Option<&Tombstone>,
    asked: Asked,
) -> Result<Due<'a>, Lacking> {
    // What we did not make never becomes one.
    let ours = marker.is_tombstone() && marker.adopted.is_none();
    let tombstone = tombstone.filter(|_| ours).ok_or(Lacking::Tombstone)?;
    if asked.purge.is_none() || asked.purge != purged(marker) {
        return Err(Lacking::Request);
    }
    let proof = tombstone.proof(marker).ok_or(Lacking::Archive)?;
    if !tombstone.grace_ended {
        return Err(Lacking::Grace);
    }
    if asked.since > tombstone.droppable_at {
        return Err(Lacking::TimelyRequest);
    }
    Ok(Due { physical, marker, proof })
}

impl<'a> Due<'a> {
    /// Whether it may be dropped: `live` is what the archive is kept in as it is by a read of just now, if it is there, and
    /// `reread` is what was read again there.
    pub fn warrant(self, live: Option<&Place>, reread: Option<&Reread>) -> Result<Warrant<'a>, Lacking> {
        let archive = &self.proof.archive;
        let Some(place) = archive.place.as_ref().filter(|place| live == Some(place)) else {
            return Err(Lacking::Place);
        };
        let is_whole = |reread: &Reread| reread.sha256 == archive.sha256 && reread.place == *place;
        if reread.is_some_and(is_whole) { Ok(Warrant(self)) } else { Err(Lacking::Reread) }
    }
}

impl Warrant<'_> {
    /// The verified archive without which there would be none.
    pub const fn proof(&self) -> &Proof {
        &self.0.proof
    }
}

/// Whether a tombstone's drop has gone so far that there is nothing to bring back. What is left to do needs no warrant any
/// more: there was one.
pub fn is_beyond_return(physical: &PhysicalName, marker: &Marker, have: &Facts) -> bool {
    let database = have.databases.get(TombstoneName::of(physical).as_str());
    marker.phase == Phase::Dropping && database.is_none_or(|database| database.cut_short)
}

/// Whether the database of a tombstone is there.
pub fn is_there(physical: &PhysicalName, have: &Facts) -> bool {
    have.databases.contains_key(TombstoneName::of(physical).as_str())
}

/// Statements that drop the database of a tombstone.
pub fn drop_database(warrant: &Warrant<'_>, have: &Facts) -> Result<Plan, Conflict> {
    let Warrant(Due { physical, marker, proof: _ }) = *warrant;
    let name = TombstoneName::of(physical);
    let text = || name.as_str().to_owned();
    match have.databases.get(name.as_str()) {
        None => return Err(Conflict::Missing { name: text() }),
        Some(it) if it.owner != DATABASE_OWNER => {
            return Err(Conflict::NameConflict { what: "database", name: text() });
        }
        Some(it) if !is_sealed(it) => return Err(Conflict::Reopened { name: text() }),
        Some(_) => {}
    }
    let (physical, generation) = (physical.clone(), marker.generation);
    let first = if marker.phase == Phase::Dropping {
        DropChange::Confirm { physical, generation }
    } else {
        DropChange::Intend { physical, expected_generation: generation }
    };
    Ok(in_turn([first, DropChange::Database(name)]))
}

/// Statements that bring the drop of a database to its end that was cut short after it had begun: what is there can only be
/// dropped.
pub fn drop_on(physical: &PhysicalName, marker: &Marker, have: &Facts) -> Result<Plan, Conflict> {
    let name = TombstoneName::of(physical);
    match have.databases.get(name.as_str()) {
        Some(it) if it.owner == DATABASE_OWNER => {}
        _ => return Err(Conflict::NameConflict { what: "database", name: name.as_str().to_owned() }),
    }
    let first = DropChange::Resume { physical: physical.clone(), generation: marker.generation };
    Ok(in_turn([first, DropChange::Database(name)]))
}

/// Each an effect of its own.
fn in_turn(steps: [DropChange; 2]) -> Plan {
    Plan { batches: steps.into_iter().map(|step| Batch::server(vec![end(step)])).collect() }
}

/// What is left of a database that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// Statements that remove what nothing depends on; with the row, if that is everything.
    pub plan: Plan,
    /// What keeps the rest, in words. Empty when nothing does.
    pub kept_by: Vec<String>,
}

/// What has to be done about the roles and the row of a database that was dropped.
pub fn remains(
    physical: &PhysicalName,
    marker: &Marker,
    have: &Facts,
    dependencies: &[Dependency],
) -> Result<Remains, Conflict> {
    // Somebody may have given it its name back by hand.
    if have.databases.contains_key(physical.as_str()) {
        return Err(Conflict::NameConflict { what: "database", name: physical.as_str().to_owned() });
    }
    let roles = OwnRole::of(marker, physical);
    let kept: BTreeSet<&str> = dependencies.iter().map(|it| it.role.as_str()).collect();
    let there = roles.iter().filter(|role| have.roles.contains_key(role.as_str()));
    let free: Vec<&OwnRole> = there.filter(|role| !kept.contains(role.as_str())).collect();
    let kept_by = in_words(dependencies);
    let taken_back = taken_back(&roles, have, dependencies)?;
    if free.is_empty() && !kept_by.is_empty() {
        return Ok(Remains { plan: Plan { batches: taken_back }, kept_by });
    }
    let (physical, generation) = (physical.clone(), marker.generation);
    let mut statements = vec![end(DropChange::RequireGone { physical: physical.clone(), generation })];
    statements.extend(free.into_iter().map(|role| end(DropChange::Role(role.clone()))));
    if kept_by.is_empty() {
        statements.push(end(DropChange::Forget { physical, generation, roles }));
    }
    let batches = [Batch::server(statements)].into_iter().chain(taken_back).collect();
    Ok(Remains { plan: Plan { batches }, kept_by })
}

/// What takes back what tenants granted, in their own databases, to roles that nothing else keeps: any tenant may grant to a
/// role whose name it guesses, and so keep it for ever. A role that anything else keeps stays as it is for people to see to.
fn taken_back(roles: &[OwnRole], have: &Facts, dependencies: &[Dependency]) -> Result<Vec<Batch>, Conflict> {
    let otherwise = |role: &str| dependencies.iter().any(|it| it.role == role && it.granted_in.is_none());
    let mut granted = BTreeMap::<&str, BTreeSet<&str>>::new();
    for Dependency { role, granted_in, .. } in dependencies {
        if let Some(database) = granted_in.as_deref().filter(|_| !otherwise(role)) {
            granted.entry(database).or_default().insert(role);
        }
    }
    let batch = |(database, names): (&str, BTreeSet<&str>)| {
        let roles: Vec<OwnRole> = roles.iter().filter(|it| names.contains(it.as_str())).cloned().collect();
        let mut acts_as: Vec<Ident> = roles.iter().map(|role| role.role().clone()).collect();
        let mut statements =
            vec![end(DropChange::RequireOwnsNothing(roles.clone())), end(DropChange::TakeBack(roles))];
        if !have.server.superuser {
            // Only who is both takes back what one has granted the other.
            acts_as.push(Ident::foreign(&format!("{database}_{}", Group::Owner.suffix()))?);
            statements = acting_as(&acts_as, &have.server.admin, statements)?;
        }
        Ok(Batch::database(Ident::foreign(database)?, statements))
    };
    granted.into_iter().map(batch).collect::<Result<_, QuoteError>>().map_err(Conflict::Quote)
}

/// The first of them, and how many more there are.
fn in_words(dependencies: &[Dependency]) -> Vec<String> {
    let word = |it: &Dependency| format!("{} by {} ({})", it.role, it.object, it.count);
    let mut words: Vec<String> = dependencies.iter().take(NAMED).map(word).collect();
    if let Some(more) = dependencies.len().checked_sub(NAMED).filter(|more| *more > 0) {
        words.push(format!("and {more} more"));
    }
    words
}

fn end(step: DropChange) -> Statement {
    Statement::Tombstone(TombstoneChange::End(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::api::database_server::ArchiveBucket;
    use crate::controller::database::{plan, tombstone};
    use crate::postgres::facts::{Database, Role};
    use crate::postgres::tombstone::Volume;
    use std::time::Duration;

    const PHASES: [Phase; 5] =
        [Phase::Creating, Phase::Bound, Phase::Released, Phase::Tombstoned, Phase::Dropping];

    fn physical() -> PhysicalName {
        PhysicalName::parse("t_x_app").unwrap()
    }

    fn marker(phase: Phase) -> Marker {
        Marker {
            phase,
            generation: if phase == Phase::Dropping { 5 } else { 4 },
            logins: ["t_x_app_app_a".to_owned()].into(),
            ..Marker::sample()
        }
    }

    /// An archive of the row as it was when it became a tombstone.
    fn tombstone(generation: i64, grace_ended: bool) -> Tombstone {
        let archive = format!(
            "{{\"object\": \"file:///archives/o\", \"sha256\": \"{}\", \"bytes\": 1, \"rows\": 1, \"takenAt\": \"t\", \
             \"systemIdentifier\": \"1\", \"generation\": {generation}, \"database\": 7, \"verifiedAt\": \"v\", \
             \"volume\": {{\"claim\": \"archives\", \"uid\": \"u\"}}}}",
            "0f".repeat(32)
        );
        Tombstone { droppable_at: 100, grace_ended, archive: Some(archive), ..Tombstone::default() }
    }

    fn facts(database: Option<Database>) -> Facts {
        let database = database.map(|it| ("tombstone_t_x_app".to_owned(), it));
        let roles = ["t_x_app_app_a", "t_x_app_owner", "t_x_app_rw", "t_x_app_other_a"];
        Facts {
            databases: database.into_iter().collect(),
            roles: roles.map(|role| (role.to_owned(), Role::group())).into(),
            ..Facts::default()
        }
    }

    fn sealed() -> Database {
        Database { owner: DATABASE_OWNER.into(), ..Database::default() }
    }

    /// Whether any statement removes something for good.
    fn drops(plan: &Plan) -> bool {
        let text = plan.to_string();
        ["DROP", "DELETE FROM tenantry.marker"].iter().any(|word| text.contains(word))
    }

    #[test]
    fn nothing_but_a_warrant_drops_and_there_is_none_unless_everything_is_as_it_has_to_be() {
        let name = physical();
        let (mut granted, mut refused) = (BTreeSet::new(), 0);
        for phase in PHASES {
            for purge in [None, Some(2), Some(3), Some(4), Some(5)] {
                for archived in [None, Some(3), Some(4), Some(5)] {
                    for (ended, since) in [(true, 99), (true, 100), (true, 101), (false, 99)] {
                        let row = marker(phase);
                        let mut tombstone = tombstone(archived.unwrap_or_default(), ended);
                        tombstone.archive = tombstone.archive.filter(|_| archived.is_some());
                        let asked = Asked { purge, since };
                        match due(&name, &row, Some(&tombstone), asked) {
                            Ok(_) => _ = granted.insert((phase, purge, archived, ended, since)),
                            Err(_) => refused += 1,
                        }
                        assert_eq!(due(&name, &row, None, asked), Err(Lacking::Tombstone));
                    }
                }
            }
        }
        let right = [Phase::Tombstoned, Phase::Dropping].map(|phase| (phase, Some(3), Some(4), true));
        let right = right.into_iter().flat_map(|(phase, purge, archived, ended)| {
            [99, 100].map(|since| (phase, purge, archived, ended, since))
        });
        assert_eq!((granted, refused), (right.collect(), 5 * 5 * 4 * 4 - 4));
    }

    fn volume(claim: &str, uid: &str) -> Place {
        Place::Volume(Volume { claim: claim.into(), uid: uid.into() })
    }

    fn reread() -> Reread {
        Reread { sha256: "0f".repeat(32), place: volume("archives", "u"), meant: false }
    }

    #[test]
    fn there_is_no_warrant_unless_the_very_volume_that_the_archive_was_written_to_is_there() {
        let (name, row) = (physical(), marker(Phase::Tombstoned));
        let due = due(&name, &row, Some(&tombstone(4, true)), Asked { purge: Some(3), since: 0 }).unwrap();
        let reread = reread();
        let bucket = ArchiveBucket { bucket: "archives".into(), ..ArchiveBucket::default() };
        let bucket = Place::Bucket(Box::new(bucket));
        for live in [None, Some(volume("archives", "made again")), Some(volume("other", "u")), Some(bucket)] {
            assert_eq!(due.clone().warrant(live.as_ref(), Some(&reread)), Err(Lacking::Place), "{live:?}");
        }
        let live = volume("archives", "u");
        assert_eq!(due.clone().warrant(Some(&live), Some(&reread)), Ok(Warrant(due.clone())));
        let others = [
            None,
            Some(Reread { sha256: "0e".repeat(32), ..reread.clone() }),
            Some(Reread { place: volume("archives", "made again"), ..reread.clone() }),
        ];
        for other in others {
            assert_eq!(due.clone().warrant(Some(&live), other.as_ref()), Err(Lacking::Reread), "{other:?}");
        }
        // What was recorded before volumes were proves nothing about where it is.
        let mut before = due;
        before.proof.archive.place = None;
        for live in [None, Some(volume("archives", "u"))] {
            assert_eq!(before.clone().warrant(live.as_ref(), Some(&reread)), Err(Lacking::Place), "{live:?}");
        }
    }

    #[test]
    fn what_is_done_without_a_warrant_drops_nothing() {
        for phase in PHASES {
            let row = marker(phase);
            for buried in [None, Some(sealed()), Some(Database { allow_connections: true, ..sealed() })] {
                let mut have = facts(buried);
                for named in [false, true] {
                    if named {
                        have.databases.insert("t_x_app".into(), sealed());
                    }
                    let plans = [
                        plan::release(&row, &have),
                        plan::close(&row, &have),
                        tombstone::bury(&physical(), &row, &have, Duration::from_hours(1)),
                        tombstone::exhume(&physical(), &row, &have),
                    ];
                    assert!(plans.iter().flatten().all(|plan| !drops(plan)), "{plans:?}");
                }
            }
        }
        assert!(!drops(&tombstone::seal(&physical(), crate::postgres::tombstone::Archive::default())));
    }

    fn dropped(phase: Phase, database: Option<Database>) -> Result<Vec<String>, Conflict> {
        let (name, row) = (physical(), marker(phase));
        let asked = Asked { purge: Some(3), since: 0 };
        let tombstone = tombstone(4, true);
        let due = due(&name, &row, Some(&tombstone), asked).unwrap();
        let warrant = due.warrant(Some(&volume("archives", "u")), Some(&reread())).unwrap();
        let plan = drop_database(&warrant, &facts(database))?;
        let only = |batch: &Batch| {
            assert_eq!(batch.statements.len(), 1);
            batch.statements[0].to_string()
        };
        Ok(plan.batches.iter().map(only).collect())
    }

    #[test]
    fn the_intent_comes_first_and_only_a_tombstone_that_is_ours_and_closed_is_dropped() {
        for (phase, intent) in [
            (Phase::Tombstoned, "UPDATE tenantry.marker m SET phase = 'Dropping', generation = 5, "),
            (Phase::Dropping, "SELECT 1 FROM tenantry.marker m, tenantry.tombstone t, "),
        ] {
            let statements = dropped(phase, Some(sealed())).unwrap();
            assert_eq!(statements.len(), 2);
            assert!(statements[0].starts_with(intent), "{}", statements[0]);
            let asks = [
                "m.physical_name = 't_x_app'",
                "d.datname = 'tombstone_t_x_app'",
                "t.droppable_at <= now()",
                "NOT d.datallowconn",
                "->> 'generation' = '4'",
            ];
            assert!(asks.iter().all(|it| statements[0].contains(it)), "{}", statements[0]);
            assert_eq!(statements[1], "DROP DATABASE \"tombstone_t_x_app\"");
        }
        let name = || "tombstone_t_x_app".to_owned();
        let foreign = Database { owner: "postgres".into(), ..sealed() };
        let conflict = Conflict::NameConflict { what: "database", name: name() };
        assert_eq!(dropped(Phase::Tombstoned, Some(foreign)), Err(conflict));
        for open in
            [Database { allow_connections: true, ..sealed() }, Database { template: true, ..sealed() }]
        {
            assert_eq!(dropped(Phase::Tombstoned, Some(open)), Err(Conflict::Reopened { name: name() }));
        }
        assert_eq!(dropped(Phase::Tombstoned, None), Err(Conflict::Missing { name: name() }));
    }

    #[test]
    fn only_what_is_left_of_a_drop_that_was_intended_is_dropped_without_a_warrant() {
        let cut = Database { cut_short: true, ..sealed() };
        let beyond = |phase, database| is_beyond_return(&physical(), &marker(phase), &facts(database));
        let found = PHASES.map(|phase| {
            [beyond(phase, None), beyond(phase, Some(cut.clone())), beyond(phase, Some(sealed()))]
        });
        let expected = PHASES.map(|phase| {
            let dropping = phase == Phase::Dropping;
            [dropping, dropping, false]
        });
        assert_eq!(found, expected);
        let on = |database| drop_on(&physical(), &marker(Phase::Dropping), &facts(database));
        let plan = on(Some(cut.clone())).unwrap();
        assert!(plan.to_string().contains("d.datconnlimit = -2"), "{plan}");
        let foreign = Conflict::NameConflict { what: "database", name: "tombstone_t_x_app".into() };
        assert_eq!(on(Some(Database { owner: "postgres".into(), ..cut })), Err(foreign.clone()));
        assert_eq!(on(None), Err(foreign));
    }

    fn dependency(role: &str, granted_in: Option<&str>) -> Dependency {
        let object = "pg_class in database b".into();
        Dependency { role: role.into(), object, count: 2, granted_in: granted_in.map(str::to_owned) }
    }

    fn left(dependencies: &[Dependency]) -> (Vec<String>, Vec<String>) {
        let remains = remains(&physical(), &marker(Phase::Dropping), &facts(None), dependencies).unwrap();
        let statements = remains.plan.batches.iter().flat_map(|batch| &batch.statements);
        let words = statements.map(|it| it.to_string().split(' ').take(3).collect::<Vec<_>>().join(" "));
        (words.collect(), remains.kept_by)
    }

    #[test]
    fn roles_go_with_the_row_and_what_something_depends_on_keeps_both() {
        let all = ["DROP ROLE \"t_x_app_app_a\"", "DROP ROLE \"t_x_app_owner\"", "DROP ROLE \"t_x_app_rw\""];
        let with = |parts: &[&[&str]]| parts.concat().iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let (statements, kept_by) = left(&[]);
        assert_eq!(statements, with(&[&["SELECT 1 FROM"], &all, &["DELETE FROM tenantry.marker"]]));
        assert!(kept_by.is_empty());

        let depends = |role: &str| dependency(role, None);
        let (statements, kept_by) = left(&[depends("t_x_app_rw")]);
        assert_eq!(statements, with(&[&["SELECT 1 FROM"], &all[..2]]));
        assert_eq!(kept_by, ["t_x_app_rw by pg_class in database b (2)"]);

        let every = ["t_x_app_app_a", "t_x_app_owner", "t_x_app_rw", "t_x_app_rw", "t_x_app_rw"].map(depends);
        let (statements, kept_by) = left(&every);
        assert_eq!((statements, kept_by.len()), (vec![], 5));
        assert_eq!(kept_by[4], "and 1 more");
    }

    #[test]
    fn what_tenants_granted_is_taken_back_from_roles_that_nothing_else_keeps() {
        let dependencies = [
            dependency("t_x_app_app_a", Some("t_b_app")),
            dependency("t_x_app_owner", Some("t_a_app")),
            dependency("t_x_app_app_a", Some("t_a_app")),
            dependency("t_x_app_rw", Some("t_a_app")),
            dependency("t_x_app_rw", None),
        ];
        let plan = |superuser| {
            let mut have = facts(None);
            (have.server.superuser, have.server.admin) = (superuser, "admin".into());
            let remains = remains(&physical(), &marker(Phase::Dropping), &have, &dependencies).unwrap();
            assert_eq!(remains.kept_by.len(), 5, "it is named until it is gone");
            let all = remains.plan.batches.iter().map(|Batch { place, statements }| {
                let owned = statements.iter().map(ToString::to_string);
                (
                    place.to_string(),
                    owned.filter(|sql| !sql.starts_with("SELECT 1 WHERE NOT EXISTS")).collect(),
                )
            });
            all.collect::<Vec<(String, Vec<String>)>>()
        };
        let (first, both) = (
            "DROP OWNED BY \"t_x_app_app_a\", \"t_x_app_owner\"".to_owned(),
            "DROP OWNED BY \"t_x_app_app_a\"".to_owned(),
        );
        let expected = [
            ("database t_a_app".to_owned(), vec![first]),
            ("database t_b_app".to_owned(), vec![both.clone()]),
        ];
        assert_eq!(plan(true), expected);
        let limited = plan(false);
        let around = ["t_x_app_app_a", "t_b_app_owner"];
        let grants = around.map(|role| format!("GRANT \"{role}\" TO \"admin\""));
        let revokes = around.map(|role| format!("REVOKE \"{role}\" FROM \"admin\" CASCADE"));
        let statements = grants.into_iter().chain([both]).chain(revokes).collect();
        assert_eq!(limited[1], ("database t_b_app".to_owned(), statements));
    }

    #[test]
    fn a_database_that_somebody_gave_its_name_back_keeps_its_roles() {
        let have = Facts { databases: BTreeMap::from([("t_x_app".to_owned(), sealed())]), ..facts(None) };
        let conflict = Conflict::NameConflict { what: "database", name: "t_x_app".into() };
        assert_eq!(remains(&physical(), &marker(Phase::Dropping), &have, &[]), Err(conflict));
    }
}
