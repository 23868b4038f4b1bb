//! What an archive of a tombstone, or of a released database that is kept, is made with: two logins and a scratch database, all for it alone. Pure.
//!
//! The logins are only members of the database's owner group and become it, as a tenant's login does: what a tenant has
//! planted runs, if at all, with the tenant's own rights. One reads the database. It runs when the dump is restored, so the other
//! one restores, which may connect to the scratch database and to no other: a login can change its own password, and tell it.
//! The marker row records both before they exist, beside the tenant's logins, so they are refused like them wherever those are,
//! and go with them. No credential's login has such a name: those end in `_a` or `_b`.
//!
//! The scratch database is one of the [warm pool](super::pool)'s names and rows, recorded before it is made, and prepared as a tenant's
//! database is, for this one's groups. Its row says whose archive it is for; the pool neither fills nor takes it.
//!
//! [`admit`] makes all of it, and lets the logins in last. [`withdraw`] refuses the logins and drops the scratch database, from any
//! state that an interrupted `admit` or `withdraw` leaves.

use std::collections::BTreeSet;

use super::inside;
use super::names::Names;
use super::plan::{Conflict, Plan};
use super::pool::retire;
use super::stages::Stages;
use super::target::{Login, Target};
use super::want::PasswordWish;
use crate::api::names::{Group, PhysicalName};
use crate::postgres::facts::{Database, Facts, Grantee, Marker, Membership, Privilege};
use crate::postgres::pool::{Member, PoolName, archive_of};
use crate::postgres::quote::Ident;
use crate::postgres::scram::Verifier;
use crate::postgres::settings::{Setting, Settings, Value};
use crate::postgres::statement::{DatabaseChange, Object, PoolChange, Statement, TombstoneChange};
use crate::postgres::tombstone::{self, TombstoneName};

/// Connections of each login: the archive's own, that of the dump or the restore, and those that are ending.
const CONNECTIONS: u32 = 4;

/// Name of the login that reads the database.
pub fn login(physical: &PhysicalName) -> String {
    format!("{physical}_archive")
}

/// Name of the login that restores.
pub fn restorer(physical: &PhysicalName) -> String {
    format!("{physical}_restore")
}

fn logins(physical: &PhysicalName) -> [String; 2] {
    [login(physical), restorer(physical)]
}

/// The scratch databases among the pool's rows that are for an archive of that database.
pub fn scratches<'a>(physical: &PhysicalName, members: &'a [Member]) -> Vec<&'a Member> {
    let layout = archive_of(physical);
    members.iter().filter(|member| member.layout == layout).collect()
}

/// Statements that make logins and scratch database for an archive of the database of that row. `scratch` is a new name.
pub fn admit(
    physical: &PhysicalName,
    marker: &Marker,
    have: &Facts,
    scratch: &PoolName,
    verifier: Verifier,
) -> Result<Plan, Conflict> {
    let source = tombstone::source(physical, marker);
    let Some(database) = have.databases.get(source.as_str()) else {
        return Err(Conflict::Missing { name: source.as_str().to_owned() });
    };
    let mut stages = Stages::default();
    record(physical, marker, have, scratch, &mut stages)?;

    let names = named(physical, scratch.database())?;
    // Nobody learns a password of the other's: what is planted has none.
    let password = PasswordWish::Set(verifier);
    let open = Login { open: true, group: Some(Group::Owner), password: Some(&password) };
    let target = Target::new(names, have, logins(physical).map(|login| (login, open)).into());
    // First of all what is said there goes where it goes in the database itself.
    target.database(None, &quiet_as(database), &mut stages)?;
    target.logins(Some(CONNECTIONS), &mut stages)?;
    let group = target.names.owner.clone();
    for login in logins(physical) {
        let membership = Membership { group: group.as_str().to_owned(), member: login.clone() };
        if !have.memberships.contains_key(&membership) {
            let member = Ident::parse(&login).map_err(Conflict::Quote)?;
            stages.first.push(Statement::GrantRole { group: group.clone(), member });
        }
    }
    if let Some(known) = target.known_inside(None) {
        let statements = inside::statements(&target.names, &have.server, &have.memberships, &known);
        stages.inside = statements.map_err(Conflict::Quote)?;
    }
    if database.connection_limit.is_some_and(|limit| limit < CONNECTIONS) {
        // Nobody else gets in, and the claim that gets the database sets its own limit.
        let change = DatabaseChange::ConnectionLimit(Some(CONNECTIONS));
        stages.last.push(Statement::AlterDatabase { name: source.clone(), change });
    }
    let reader = login(physical);
    let role = Ident::parse(&reader).map_err(Conflict::Quote)?;
    stages.last.push(Statement::SetGroupInDatabase { role, database: source.clone(), group });
    stages.last.push(Statement::Grant {
        object: Object::Database(source),
        privileges: BTreeSet::from([Privilege::Connect]),
        grantee: Grantee::Role(reader),
    });
    Ok(stages.plan(&target.names.database))
}

/// What a scratch database is set to: the restore runs code of the tenant's, whose words go to the server's log only if they do from
/// the `source` too. Limits of the tenant's are none of the archive's.
fn quiet_as(source: &Database) -> Settings {
    let is_quiet = source.settings.contains_key(Setting::LogMinMessages.name());
    is_quiet.then_some((Setting::LogMinMessages, Value::Panic)).into_iter().collect()
}

/// Everything is recorded before it exists.
fn record(
    physical: &PhysicalName,
    marker: &Marker,
    have: &Facts,
    scratch: &PoolName,
    stages: &mut Stages,
) -> Result<(), Conflict> {
    for login in logins(physical).into_iter().filter(|login| !marker.logins.contains(login)) {
        if have.roles.contains_key(&login) {
            return Err(Conflict::NameConflict { what: "role", name: login });
        }
        let record = TombstoneChange::RecordLogin {
            physical: physical.clone(),
            phase: marker.phase,
            generation: marker.generation,
            login: Ident::parse(&login).map_err(Conflict::Quote)?,
        };
        stages.first.push(Statement::Tombstone(record));
    }
    let record = PoolChange::Record { name: scratch.clone(), layout: archive_of(physical) };
    stages.first.push(Statement::Pool(record));
    Ok(())
}

/// Statements that refuse the logins, if there are any, and end their sessions in that database.
pub fn refuse(physical: &PhysicalName, database: Ident, have: &Facts) -> Result<Plan, Conflict> {
    closed(physical, database, have, true)
}

fn closed(physical: &PhysicalName, database: Ident, have: &Facts, is_first: bool) -> Result<Plan, Conflict> {
    let mut stages = Stages::default();
    let closed = logins(physical).map(|login| (login, Login::CLOSED)).into();
    let target = Target::new(named(physical, database)?, have, closed);
    if is_first {
        target.close_logins(&mut stages)?;
    }
    target.end_sessions(&mut stages)?;
    Ok(stages.plan(&target.names.database))
}

/// What is done to take back what [`admit`] made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawal {
    /// The statements.
    pub plan: Plan,
    /// What keeps a scratch database; the logins are refused and the others go all the same.
    pub kept: Option<Conflict>,
    /// One that may still be made. Its row stays: without it nobody would ever know of the database.
    pub coming: Option<PoolName>,
}

/// What takes back what [`admit`] made. `have` shows the database, by whichever name, and `scratches`.
pub fn withdraw(
    physical: &PhysicalName,
    have: &Facts,
    scratches: &[&Member],
) -> Result<Withdrawal, Conflict> {
    let mut plan = Plan::default();
    let sources = [TombstoneName::of(physical).database(), Ident::from(physical)];
    let databases = sources.into_iter().chain(scratches.iter().map(|member| member.name.database()));
    for database in databases.filter(|database| have.databases.contains_key(database.as_str())) {
        let is_first = plan.batches.is_empty();
        plan.batches.extend(closed(physical, database, have, is_first)?.batches);
    }
    let (mut kept, mut coming) = (None, None);
    for member in scratches {
        match retire(member, have) {
            Some(retired) => plan.batches.extend(retired.batches),
            None if !have.databases.contains_key(member.name.as_str()) => coming = Some(member.name.clone()),
            None => {
                kept =
                    Some(Conflict::NameConflict { what: "database", name: member.name.as_str().to_owned() });
            }
        }
    }
    Ok(Withdrawal { plan, kept, coming })
}

/// The names of the database's groups, in another database.
fn named(physical: &PhysicalName, database: Ident) -> Result<Names, Conflict> {
    Ok(Names { database, ..Names::new(physical).map_err(Conflict::Quote)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::postgres::facts::{DATABASE_OWNER, Phase, Role};
    use crate::postgres::pool::MemberPhase;
    use crate::postgres::scram::Password;

    fn physical() -> PhysicalName {
        PhysicalName::parse("t_x_app").unwrap()
    }

    fn marker(logins: &[&str]) -> Marker {
        Marker {
            phase: Phase::Tombstoned,
            generation: 4,
            logins: logins.iter().map(|login| (*login).to_owned()).collect(),
            ..Marker::sample()
        }
    }

    fn facts(databases: &[&str], roles: &[&str]) -> Facts {
        let database =
            || Database { owner: DATABASE_OWNER.into(), allow_connections: true, ..Database::default() };
        let mut facts = Facts {
            databases: databases.iter().map(|name| ((*name).to_owned(), database())).collect(),
            roles: roles.iter().map(|name| ((*name).to_owned(), Role::default())).collect(),
            ..Facts::default()
        };
        facts.server.superuser = true;
        facts
    }

    fn admitted(marker: &Marker, have: &Facts) -> Result<String, Conflict> {
        let verifier = Verifier::derive(&Password::new("p"), b"0123456789abcdef", 1);
        admit(&physical(), marker, have, &PoolName::clone_of(7), verifier).map(|plan| plan.to_string())
    }

    #[test]
    fn both_are_recorded_before_they_exist_and_the_login_is_let_in_last() {
        let text = admitted(&marker(&["t_x_app_app_a"]), &facts(&["tombstone_t_x_app"], &[])).unwrap();
        let order = [
            "logins = array_append(logins, 't_x_app_archive')",
            "logins = array_append(logins, 't_x_app_restore')",
            "INSERT INTO tenantry.pool (name, layout, phase, epoch) VALUES ('tenantry_pool_0000000007', 'archive-t_x_app', 'Preparing'",
            "CREATE ROLE \"t_x_app_archive\" NOLOGIN NOINHERIT CONNECTION LIMIT 4 PASSWORD",
            "CREATE ROLE \"t_x_app_restore\" NOLOGIN NOINHERIT CONNECTION LIMIT 4 PASSWORD",
            "GRANT \"t_x_app_owner\" TO \"t_x_app_archive\";",
            "GRANT \"t_x_app_owner\" TO \"t_x_app_restore\";",
            "CREATE DATABASE \"tenantry_pool_0000000007\" TEMPLATE template0",
            "-- database tenantry_pool_0000000007",
            "ALTER ROLE \"t_x_app_archive\" LOGIN;",
            "GRANT CONNECT ON DATABASE \"tombstone_t_x_app\" TO \"t_x_app_archive\";",
        ];
        let found: Vec<_> =
            order.iter().map(|part| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"))).collect();
        assert!(found.is_sorted(), "{found:?}: {text}");
        let restorers: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("t_x_app_restore") && line.contains("ON DATABASE"))
            .collect();
        assert_eq!(
            restorers,
            ["GRANT CONNECT ON DATABASE \"tenantry_pool_0000000007\" TO \"t_x_app_restore\";"]
        );
        let both = ["t_x_app_archive", "t_x_app_restore"];
        let again = marker(&both);
        let text = admitted(&again, &facts(&["tombstone_t_x_app"], &both)).unwrap();
        assert!(!text.contains("array_append") && !text.contains("CREATE ROLE"), "{text}");
        assert!(text.contains("ALTER ROLE \"t_x_app_archive\" PASSWORD"), "{text}");
    }

    #[test]
    fn a_database_of_fewer_connections_gets_as_many_as_an_archive_takes_and_one_of_more_keeps_its_own() {
        let with = |limit| {
            let mut have = facts(&["tombstone_t_x_app"], &[]);
            have.databases.get_mut("tombstone_t_x_app").unwrap().connection_limit = limit;
            admitted(&marker(&[]), &have).unwrap()
        };
        let raised = "ALTER DATABASE \"tombstone_t_x_app\" CONNECTION LIMIT 4;";
        let found = [Some(1), Some(3), Some(4), Some(50), None].map(|limit| with(limit).contains(raised));
        assert_eq!(found, [true, true, false, false, false]);
    }

    #[test]
    fn what_a_tenants_code_says_when_it_is_restored_goes_where_it_goes_in_its_own_database() {
        let quiet = "ALTER DATABASE \"tenantry_pool_0000000007\" SET log_min_messages = panic;";
        let with = |settings: &[(&str, &str)], forbidden: &[Setting]| {
            let mut have = facts(&["tombstone_t_x_app"], &[]);
            let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            have.databases.get_mut("tombstone_t_x_app").unwrap().settings = settings.collect();
            have.server.forbidden_settings = forbidden.iter().copied().collect();
            admitted(&marker(&[]), &have).unwrap()
        };
        let settings =
            [("log_min_messages", "panic"), ("temp_file_limit", "1024"), ("statement_timeout", "9")];
        let text = with(&settings, &[]);
        let (said, login) = (text.find(quiet), text.find("ALTER ROLE \"t_x_app_restore\" LOGIN;"));
        assert!(said.is_some() && said < login, "{text}");
        let set = |line: &&str| line.starts_with("ALTER DATABASE") && line.contains(" SET ");
        assert_eq!(text.lines().filter(set).count(), 1, "{text}");
        // tenantLog: Keep, or a login that may not set it.
        assert!(!with(&settings[1..], &[]).contains("log_min_messages"));
        assert!(!with(&settings, &[Setting::LogMinMessages]).contains("log_min_messages"));
    }

    #[test]
    fn neither_a_login_of_somebody_elses_nor_a_missing_tombstone_is_worked_on() {
        let taken = Conflict::NameConflict { what: "role", name: "t_x_app_archive".into() };
        assert_eq!(admitted(&marker(&[]), &facts(&["tombstone_t_x_app"], &["t_x_app_archive"])), Err(taken));
        let taken = Conflict::NameConflict { what: "role", name: "t_x_app_restore".into() };
        let (row, roles) = (marker(&["t_x_app_archive"]), ["t_x_app_archive", "t_x_app_restore"]);
        assert_eq!(admitted(&row, &facts(&["tombstone_t_x_app"], &roles)), Err(taken));
        let missing = Conflict::Missing { name: "tombstone_t_x_app".into() };
        assert_eq!(admitted(&marker(&[]), &facts(&["t_x_app"], &[])), Err(missing));
    }

    #[test]
    fn only_what_a_row_says_is_for_this_archive_is_dropped() {
        let member = |number, layout: &str| Member {
            name: PoolName::clone_of(number),
            layout: layout.into(),
            phase: MemberPhase::Preparing,
            settled: true,
        };
        let members = [member(1, "abc"), member(2, "archive-t_x_app"), member(3, "archive-t_x_app_b")];
        let own = scratches(&physical(), &members);
        assert_eq!(own, [&members[1]]);
        let clones = ["tenantry_pool_0000000001", "tenantry_pool_0000000002", "tenantry_pool_0000000003"];
        let have = facts(&[&clones[..], &["tombstone_t_x_app"]].concat(), &["t_x_app_archive"]);
        let Withdrawal { plan, kept, coming: _ } = withdraw(&physical(), &have, &own).unwrap();
        let text = plan.to_string();
        let dropped: Vec<&str> = text.lines().filter(|line| line.contains("DROP")).collect();
        assert_eq!((dropped, kept), (vec!["DROP DATABASE \"tenantry_pool_0000000002\";"], None));
        let nothing = withdraw(&physical(), &facts(&["tombstone_t_x_app"], &[]), &[]);
        assert_eq!(nothing, Ok(Withdrawal::default()));

        // Somebody else's of that name stays, and the login is refused all the same.
        let mut taken = have.clone();
        taken.roles.insert("t_x_app_archive".into(), Role { login: true, ..Role::default() });
        taken.databases.get_mut("tenantry_pool_0000000002").unwrap().owner = "postgres".into();
        let Withdrawal { plan, kept, coming: _ } = withdraw(&physical(), &taken, &own).unwrap();
        let text = plan.to_string();
        assert!(text.contains("ALTER ROLE \"t_x_app_archive\" NOLOGIN;") && !text.contains("DROP"), "{text}");
        let name = "tenantry_pool_0000000002".to_owned();
        assert_eq!(kept, Some(Conflict::NameConflict { what: "database", name }));
    }

    #[test]
    fn the_row_of_a_scratch_database_that_may_still_be_made_stays_until_that_is_over() {
        let member = |settled| Member {
            name: PoolName::clone_of(2),
            layout: archive_of(&physical()),
            phase: MemberPhase::Preparing,
            settled,
        };
        let mut have = facts(&["tombstone_t_x_app"], &["t_x_app_archive"]);
        have.roles.insert("t_x_app_archive".into(), Role { login: true, ..Role::default() });
        let withdrawn = |settled| {
            let Withdrawal { plan, kept, coming } =
                withdraw(&physical(), &have, &[&member(settled)]).unwrap();
            assert_eq!(kept, None);
            let text = plan.to_string();
            assert!(text.contains("ALTER ROLE \"t_x_app_archive\" NOLOGIN;"), "{text}");
            (text.contains("DELETE FROM tenantry.pool"), coming)
        };
        assert_eq!(withdrawn(false), (false, Some(PoolName::clone_of(2))));
        assert_eq!(withdrawn(true), (true, None));
    }
}
