//! Decide: which sessions have to end, and why. Pure.
//!
//! Only a session of a login that a marker row names is ever ended: no superuser's, no foreign login's, none that has
//! not logged in yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::postgres::settings::TimeLimits;

/// Whoever waits this long for a tenant's session has waited long enough.
pub const BLOCKING: Duration = Duration::from_millis(500);
/// Locks in the shared table that all sessions of one database may hold together. A dump of a few thousand tables has
/// to fit in; a server with the default settings has room for some 12,000.
pub const LOCKS: u32 = 4_000;
/// Locks in the shared table that all archives of a server may hold together: the operator's own doing, one dump at a time for each
/// database, and still no more than others can spare.
pub const ARCHIVE_LOCKS: u32 = 8_000;
/// A transaction may name another's role for this long: a GRANT to somebody that is not of the database is no attack yet.
const FOREIGN_ROLE: Duration = Duration::from_secs(1);
/// Filled to this part, the notification queue is on its way to refuse everybody's NOTIFY: whoever goes on filling it
/// ends, with the long transactions of the same database.
const QUEUE: f64 = 0.25;
/// Filled to this part nevertheless, it is held up by somebody else. PostgreSQL does not tell who listens, so every
/// transaction that lasts has to end.
const QUEUE_LAST: f64 = 0.5;
/// How much later than PostgreSQL itself the guard ends who exceeds a limit of time.
const OVERTIME: Duration = Duration::from_secs(1);
/// What keeps the notification queue from being emptied is a transaction that lasts.
const QUEUE_HOLDER: Duration = Duration::from_secs(10);

/// What was seen on a server at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Every session that holds a lock or waits for one, by process id.
    pub sessions: BTreeMap<i32, Seen>,
    /// How full the notification queue is, from 0 to 1.
    pub notification_queue: f64,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it began, as the server writes it. With the process id it names the session for ever.
    pub started: String,
    /// Whose it is.
    pub who: Who,
    /// Locks in the shared table, held or waited for.
    pub locks: u32,
    /// A shared catalog that it locks, or wants to lock, more strongly than for reading and writing rows.
    pub catalog: Option<String>,
    /// Other databases than its own that it holds or waits for.
    pub databases: Vec<String>,
    /// Roles that it holds or waits for.
    pub roles: Vec<String>,
    /// Whether it holds or waits for the lock under which notifications enter their queue.
    pub notifies: bool,
    /// Age of its transaction.
    pub transaction: Duration,
    /// Age of its statement, if one runs.
    pub statement: Option<Duration>,
    /// For how long it has done nothing in an open transaction, if it does.
    pub idle_in_transaction: Option<Duration>,
    /// What its database's plan gives it.
    pub limits: TimeLimits,
    /// What it waits for.
    pub wait: Option<Wait>,
}

/// Whose a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The operator's own.
    Operator,
    /// One of a login that we made.
    Tenant {
        /// The login.
        login: String,
        /// What the names of that database's roles begin with.
        roles: String,
        /// The database that the login was made for.
        database: String,
        /// Whether it is the login of an archive of that database that is being made.
        archives: bool,
    },
    /// Nobody has logged in yet.
    Starting,
    /// An admin's, a replica's, a metrics exporter's.
    Other,
}

/// A wait for a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// How long it has lasted.
    pub time: Duration,
    /// Whether it is for something that all databases share.
    pub shared: bool,
    /// Process ids of those that are in the way. Known only where it matters.
    pub blockers: BTreeSet<i32>,
}

/// A session to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervention {
    /// Its process.
    pub pid: i32,
    /// When it began.
    pub started: String,
    /// Its login.
    pub login: String,
    /// The database that the login was made for.
    pub database: String,
    /// Why it is ended.
    pub reason: Reason,
}

/// Why a session is ended; the first that applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It locks a catalog that every login reads.
    LocksSharedCatalog(String),
    /// It keeps another database from being entered, renamed or dropped.
    LocksForeignDatabase(String),
    /// It keeps another's role from being dropped.
    LocksForeignRole(String),
    /// The sessions of its database fill the server's lock table.
    FloodsLocks(u32),
    /// The archives fill the server's lock table.
    ArchiveFloodsLocks(u32),
    /// Nobody can log in while it goes on.
    BlocksLogins(Duration),
    /// The operator waits for it.
    BlocksOperator(Duration),
    /// Another tenant waits for it.
    BlocksTenant(Duration),
    /// The notification queue, which all databases share, is filling, and it goes on filling it.
    FloodsNotifications,
    /// The notification queue may not be emptied while it goes on.
    ParksNotifications(Duration),
    /// Its statement runs longer than the plan allows, and PostgreSQL's own limit did not hold.
    ExceedsStatementTimeout(Duration),
    /// It does nothing in an open transaction for longer than the plan allows.
    ExceedsIdleTimeout(Duration),
}

impl Reason {
    /// One CamelCase word for metrics and records.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LocksSharedCatalog(_) => "LocksSharedCatalog",
            Self::LocksForeignDatabase(_) => "LocksForeignDatabase",
            Self::LocksForeignRole(_) => "LocksForeignRole",
            Self::FloodsLocks(_) => "FloodsLocks",
            Self::ArchiveFloodsLocks(_) => "ArchiveFloodsLocks",
            Self::BlocksLogins(_) => "BlocksLogins",
            Self::BlocksOperator(_) => "BlocksOperator",
            Self::BlocksTenant(_) => "BlocksTenant",
            Self::FloodsNotifications => "FloodsNotifications",
            Self::ParksNotifications(_) => "ParksNotifications",
            Self::ExceedsStatementTimeout(_) => "ExceedsStatementTimeout",
            Self::ExceedsIdleTimeout(_) => "ExceedsIdleTimeout",
        }
    }
}

/// What the session did, without a subject. No name of another tenant's: the tenant reads it.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |f: &mut fmt::Formatter<'_>, what: &str, time: &Duration| {
            write!(f, "kept {what} waiting for {:.1} s", time.as_secs_f64())
        };
        match self {
            Self::LocksSharedCatalog(catalog) => {
                write!(f, "locked {catalog}, which every login to the server reads")
            }
            Self::LocksForeignDatabase(_) => f.write_str("locked another database"),
            Self::LocksForeignRole(_) => {
                f.write_str("held a role of somebody else's in a transaction that did not end")
            }
            Self::FloodsLocks(locks) => {
                write!(f, "held {locks} locks, and all sessions of a database may hold {LOCKS}")
            }
            Self::ArchiveFloodsLocks(locks) => write!(
                f,
                "held {locks} locks for an archive, and all archives of the server may hold {ARCHIVE_LOCKS}"
            ),
            Self::BlocksLogins(time) => after(f, "logins to the server", time),
            Self::BlocksOperator(time) => after(f, "the operator", time),
            Self::BlocksTenant(time) => after(f, "another tenant", time),
            Self::FloodsNotifications => {
                f.write_str("sent notifications while the server's queue for them was filling")
            }
            Self::ParksNotifications(time) => write!(
                f,
                "held up the server's notification queue in a transaction of {:.0} s",
                time.as_secs_f64()
            ),
            Self::ExceedsStatementTimeout(limit) => {
                write!(f, "ran a statement for longer than the {} s of its plan", limit.as_secs())
            }
            Self::ExceedsIdleTimeout(limit) => write!(
                f,
                "did nothing in an open transaction for longer than the {} s of its plan",
                limit.as_secs()
            ),
        }
    }
}

impl Look {
    /// The sessions that have to end, by process id.
    pub fn decide(&self) -> Vec<Intervention> {
        let mut ends = BTreeMap::new();
        for (pid, session, login, _) in self.tenants() {
            if let Some(reason) = Self::offence(session, login) {
                ends.insert(pid, reason);
            }
        }
        self.notifications(&mut ends);
        self.floods(&mut ends);
        self.blocks(&mut ends);
        let described = self.tenants().filter_map(|(pid, session, login, database)| {
            Some(Intervention {
                reason: ends.remove(&pid)?,
                pid,
                started: session.started.clone(),
                login: login.to_owned(),
                database: database.to_owned(),
            })
        });
        described.collect()
    }

    /// Whether somebody who is no tenant waits for a lock that the session `pid` holds.
    pub fn is_in_the_way(&self, pid: i32) -> bool {
        self.sessions.values().any(|session| {
            let blocked = session.wait.as_ref().is_some_and(|wait| wait.blockers.contains(&pid));
            blocked && matches!(session.who, Who::Other | Who::Operator)
        })
    }

    fn tenants(&self) -> impl Iterator<Item = (i32, &Seen, &str, &str)> {
        self.sessions.iter().filter_map(|(pid, session)| match &session.who {
            Who::Tenant { login, database, .. } => Some((*pid, session, login.as_str(), database.as_str())),
            _ => None,
        })
    }

    /// What a session does by itself, whoever is hurt.
    fn offence(session: &Seen, login: &str) -> Option<Reason> {
        if let Some(catalog) = &session.catalog {
            return Some(Reason::LocksSharedCatalog(catalog.clone()));
        }
        if let Some(other) = session.databases.first() {
            return Some(Reason::LocksForeignDatabase(other.clone()));
        }
        let own = match &session.who {
            Who::Tenant { roles, .. } => format!("{roles}_"),
            _ => return None,
        };
        let foreign = |role: &&String| *role != login && !role.starts_with(&own) && !role.starts_with("pg_");
        if let Some(role) = session.roles.iter().find(foreign)
            && session.transaction >= FOREIGN_ROLE
        {
            return Some(Reason::LocksForeignRole(role.clone()));
        }
        Self::overtime(session)
    }

    /// PostgreSQL keeps both limits itself, and a session may lift them for itself.
    fn overtime(session: &Seen) -> Option<Reason> {
        let over = |time: Option<Duration>, limit: Option<Duration>| {
            limit.filter(|limit| time.is_some_and(|time| time >= limit.saturating_add(OVERTIME)))
        };
        let TimeLimits { statement, idle_in_transaction } = session.limits;
        let ran = over(session.statement, statement).map(Reason::ExceedsStatementTimeout);
        ran.or_else(|| over(session.idle_in_transaction, idle_in_transaction).map(Reason::ExceedsIdleTimeout))
    }

    /// A queue of notifications that fills is held up by a transaction that lasts, most likely one of the same tenant
    /// who fills it: others', a dump say, end only when that did not help.
    fn notifications(&self, ends: &mut BTreeMap<i32, Reason>) {
        if self.notification_queue < QUEUE {
            return;
        }
        let filling: BTreeSet<&str> = self
            .tenants()
            .filter(|(_, session, ..)| session.notifies)
            .map(|(.., database)| database)
            .collect();
        for (pid, session, _, database) in self.tenants() {
            let suspect = filling.contains(database) || self.notification_queue >= QUEUE_LAST;
            let reason = if session.notifies {
                Reason::FloodsNotifications
            } else if suspect && session.transaction >= QUEUE_HOLDER {
                Reason::ParksNotifications(session.transaction)
            } else {
                continue;
            };
            ends.entry(pid).or_insert(reason);
        }
    }

    /// The sessions of one database, and those of all archives, may hold so many locks together: those with the most go until
    /// the rest fits.
    fn floods(&self, ends: &mut BTreeMap<i32, Reason>) {
        let mut databases = BTreeMap::<Option<&str>, Vec<(u32, i32)>>::new();
        for (pid, session, _, database) in self.tenants() {
            if !ends.contains_key(&pid) {
                let archives = matches!(session.who, Who::Tenant { archives: true, .. });
                let shared = (!archives).then_some(database);
                databases.entry(shared).or_default().push((session.locks, pid));
            }
        }
        for (database, mut sessions) in databases {
            let (most, reason): (_, fn(u32) -> Reason) = match database {
                Some(_) => (LOCKS, Reason::FloodsLocks),
                None => (ARCHIVE_LOCKS, Reason::ArchiveFloodsLocks),
            };
            sessions.sort_unstable();
            let mut total: u32 = sessions.iter().map(|(locks, _)| *locks).fold(0, u32::saturating_add);
            while total > most
                && let Some((locks, pid)) = sessions.pop()
            {
                total = total.saturating_sub(locks);
                ends.insert(pid, reason(locks));
            }
        }
    }

    /// Nobody waits for a tenant's session but those of its own database.
    fn blocks(&self, ends: &mut BTreeMap<i32, Reason>) {
        // A session that ends for what it did itself can hold nobody else to account for its waiting.
        let offenders: BTreeSet<i32> = ends.keys().copied().collect();
        for (_, waiter) in self.sessions.iter().filter(|(pid, _)| !offenders.contains(pid)) {
            let Some(wait) = waiter.wait.as_ref().filter(|wait| wait.time >= BLOCKING) else { continue };
            for (pid, _, _, database) in self.tenants().filter(|(pid, ..)| wait.blockers.contains(pid)) {
                let reason = match &waiter.who {
                    Who::Operator => Reason::BlocksOperator(wait.time),
                    // It may be the operator's, and locks nothing but catalogs, which are nobody's to lock.
                    Who::Starting => Reason::BlocksLogins(wait.time),
                    Who::Tenant { database: other, .. } if wait.shared && other != database => {
                        Reason::BlocksTenant(wait.time)
                    }
                    _ => continue,
                };
                ends.entry(pid).or_insert(reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(who: Who) -> Seen {
        Seen {
            started: "then".into(),
            who,
            locks: 3,
            catalog: None,
            databases: vec![],
            roles: vec![],
            notifies: false,
            transaction: Duration::from_millis(300),
            statement: None,
            idle_in_transaction: None,
            limits: TimeLimits::default(),
            wait: None,
        }
    }

    fn tenant(database: &str) -> Seen {
        seen(whose(&format!("{database}_app_a"), database, database))
    }

    fn whose(login: &str, roles: &str, database: &str) -> Who {
        let (roles, database) = (roles.to_owned(), database.to_owned());
        Who::Tenant { login: login.to_owned(), roles, database, archives: false }
    }

    fn waiting(who: Who, milliseconds: u64, shared: bool, blockers: &[i32]) -> Seen {
        let time = Duration::from_millis(milliseconds);
        let wait = Wait { time, shared, blockers: blockers.iter().copied().collect() };
        Seen { wait: Some(wait), ..seen(who) }
    }

    /// Process ids and reasons.
    fn ends(sessions: impl IntoIterator<Item = (i32, Seen)>) -> Vec<(i32, &'static str)> {
        let look = Look { sessions: sessions.into_iter().collect(), notification_queue: 0.0 };
        look.decide().iter().map(|it| (it.pid, it.reason.name())).collect()
    }

    #[test]
    fn sessions_that_keep_to_themselves_stay() {
        let mut busy = tenant("t_a");
        busy.transaction = Duration::from_hours(1);
        busy.roles = vec!["t_a_app_a".into(), "t_a_ro".into(), "pg_monitor".into()];
        busy.locks = LOCKS;
        assert_eq!(ends([(1, busy), (2, tenant("t_b"))]), []);
    }

    #[test]
    fn a_tenant_that_locks_what_all_share_ends_and_nobody_else_does() {
        let lock = |session: Seen| Seen { catalog: Some("pg_database".into()), ..session };
        assert_eq!(
            ends([(1, lock(tenant("t_a"))), (2, lock(seen(Who::Other))), (3, lock(seen(Who::Operator)))]),
            [(1, "LocksSharedCatalog")]
        );
        let lock = |session: Seen| Seen { databases: vec!["t_b".into()], ..session };
        assert_eq!(
            ends([(1, lock(tenant("t_a"))), (2, lock(seen(Who::Other)))]),
            [(1, "LocksForeignDatabase")]
        );
    }

    #[test]
    fn a_role_of_somebody_elses_may_be_named_but_not_held() {
        let mut adopted = Seen { roles: vec!["t_a_rw".into()], ..tenant("t_a") };
        adopted.transaction = Duration::from_hours(1);
        adopted.who = whose("t_a_app_a", "t_a", "legacy");
        assert_eq!(ends([(1, adopted)]), [], "an adopted database's roles are not named after it");

        let mut session = Seen { roles: vec!["t_b_rw".into()], ..tenant("t_a") };
        assert_eq!(ends([(1, session.clone())]), []);
        session.transaction = FOREIGN_ROLE;
        assert_eq!(ends([(1, session)]), [(1, "LocksForeignRole")]);
    }

    #[test]
    fn the_sessions_of_a_database_share_its_locks_and_the_greediest_go_first() {
        let holding = |locks| Seen { locks, ..tenant("t_a") };
        assert_eq!(
            ends([(1, holding(1_999)), (2, holding(2_500)), (3, holding(2_000)), (4, tenant("t_b"))]),
            [(2, "FloodsLocks")]
        );
        assert_eq!(ends([(1, holding(2_000)), (2, Seen { locks: 2_001, ..tenant("t_b") })]), []);
        assert_eq!(ends([(1, Seen { locks: 1_000_000, ..seen(Who::Other) })]), []);
    }

    #[test]
    fn archives_share_locks_of_their_own_and_nobody_elses() {
        let archiving = |database: &str, locks| {
            let (login, own) = (format!("{database}_archive"), database.to_owned());
            let who = Who::Tenant { login, roles: own.clone(), database: own, archives: true };
            Seen { locks, ..seen(who) }
        };
        let busy = Seen { locks: LOCKS, ..tenant("t_a") };
        let half = ARCHIVE_LOCKS / 2;
        let sessions = [(1, busy), (2, archiving("t_a", half)), (3, archiving("t_b", half))];
        assert_eq!(ends(sessions.clone()), []);
        let more = [(4, archiving("t_c", half + 1))];
        assert_eq!(ends(sessions.into_iter().chain(more)), [(4, "ArchiveFloodsLocks")]);
        // The same login while no archive is made is one like any other.
        let late = Seen { locks: LOCKS + 1, ..seen(whose("t_a_archive", "t_a", "t_a")) };
        assert_eq!(ends([(1, late)]), [(1, "FloodsLocks")]);
    }

    #[test]
    fn a_limit_of_time_is_held_against_who_lifted_it_a_second_later_than_by_postgresql() {
        let limits = TimeLimits {
            statement: Some(Duration::from_secs(30)),
            idle_in_transaction: Some(Duration::from_mins(1)),
        };
        let running =
            |seconds| Seen { statement: Some(Duration::from_secs(seconds)), limits, ..tenant("t_a") };
        assert_eq!(ends([(1, running(30)), (2, running(31))]), [(2, "ExceedsStatementTimeout")]);
        let idle = |seconds| Seen {
            idle_in_transaction: Some(Duration::from_secs(seconds)),
            limits,
            ..tenant("t_a")
        };
        assert_eq!(ends([(1, idle(60)), (2, idle(61))]), [(2, "ExceedsIdleTimeout")]);
        let unlimited = Seen { limits: TimeLimits::default(), ..running(86_400) };
        assert_eq!(ends([(1, unlimited), (2, Seen { who: Who::Other, ..running(86_400) })]), []);
    }

    #[test]
    fn who_waits_long_enough_gets_the_tenant_out_of_the_way() {
        let with = |waiter: Seen| ends([(1, tenant("t_a")), (2, seen(Who::Other)), (9, waiter)]);
        assert_eq!(with(waiting(Who::Operator, 500, false, &[1, 2])), [(1, "BlocksOperator")]);
        assert_eq!(with(waiting(Who::Operator, 499, false, &[1])), []);
        for shared in [true, false] {
            assert_eq!(with(waiting(Who::Starting, 500, shared, &[1])), [(1, "BlocksLogins")]);
        }
        let other = whose("t_b_app_a", "t_b", "t_b");
        assert_eq!(with(waiting(other.clone(), 500, true, &[1])), [(1, "BlocksTenant")]);
        let same = whose("t_a_job_a", "t_a", "t_a");
        assert_eq!(with(waiting(same, 60_000, true, &[1])), []);
        assert_eq!(with(waiting(Who::Other, 60_000, true, &[1])), []);
        assert_eq!(with(waiting(other, 60_000, false, &[1])), []);
    }

    #[test]
    fn who_ends_for_what_it_did_itself_takes_nobody_along() {
        let other = whose("t_b_app_a", "t_b", "t_b");
        let offender = Seen { catalog: Some("pg_database".into()), ..waiting(other, 5_000, true, &[1]) };
        assert_eq!(ends([(1, tenant("t_a")), (9, offender)]), [(9, "LocksSharedCatalog")]);
    }

    #[test]
    fn a_filling_notification_queue_costs_the_tenant_who_fills_it_and_others_only_when_that_did_not_help() {
        let long = |database| Seen { transaction: QUEUE_HOLDER, ..tenant(database) };
        let notifying = Seen { notifies: true, ..tenant("t_a") };
        let sessions =
            [(1, long("t_a")), (2, tenant("t_a")), (3, notifying), (4, long("t_b")), (5, tenant("t_b"))];
        let mut look = Look { sessions: BTreeMap::from(sessions), notification_queue: 0.24 };
        let ends = |look: &Look| -> Vec<(i32, &str)> {
            look.decide().iter().map(|it| (it.pid, it.reason.name())).collect()
        };
        assert_eq!(ends(&look), []);
        look.notification_queue = 0.25;
        assert_eq!(ends(&look), [(1, "ParksNotifications"), (3, "FloodsNotifications")]);
        look.notification_queue = 0.5;
        assert_eq!(
            ends(&look),
            [(1, "ParksNotifications"), (3, "FloodsNotifications"), (4, "ParksNotifications")]
        );
        look.sessions.remove(&3);
        look.notification_queue = 0.4;
        assert_eq!(ends(&look), [], "nobody fills it: it can wait");
    }

    #[test]
    fn the_guard_makes_way_for_an_admin_and_for_no_tenant() {
        let look =
            |who| Look { sessions: BTreeMap::from([(9, waiting(who, 1, true, &[7]))]), ..Look::default() };
        assert!(look(Who::Other).is_in_the_way(7));
        assert!(!look(Who::Other).is_in_the_way(8));
        assert!(!look(whose("a", "b", "b")).is_in_the_way(7));
        assert!(!look(Who::Starting).is_in_the_way(7));
    }

    #[test]
    fn a_tenant_reads_what_it_did_and_no_name_of_another() {
        let text = |reason: Reason| reason.to_string();
        assert_eq!(
            text(Reason::LocksSharedCatalog("pg_database".into())),
            "locked pg_database, which every login to the server reads"
        );
        assert!(!text(Reason::LocksForeignDatabase("t_secret".into())).contains("secret"));
        assert!(!text(Reason::LocksForeignRole("t_secret".into())).contains("secret"));
        assert_eq!(
            text(Reason::BlocksOperator(Duration::from_millis(730))),
            "kept the operator waiting for 0.7 s"
        );
    }
}
