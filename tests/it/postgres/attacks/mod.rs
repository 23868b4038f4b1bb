//! What a tenant tries on a server that it shares: every row of the table is refused, in vain, ended by the guard or
//! healed by the next plan, and nobody else notices.

mod changing;
mod forbidden;
mod guarded;
mod hindering;
mod slots;

use sqlx::PgConnection;
use tenantry::controller::database::plan::Plan;
use tenantry::controller::database::want::DatabaseSpec;
use tenantry::postgres::guard::decide::Intervention;
use tenantry::postgres::settings::{Setting, Settings, Value};
use tokio::task::JoinSet;

use self::guarded::Guard;
use super::fixture::{Fixture, PASSWORD, login, run, sqlstate, texts, try_run, want};
use crate::support::postgres::Version;

on_every_version! {
    every_attack_is_refused_in_vain_ended_or_healed,
}

/// One attempt. In its statements `{a}` and `{b}` are the databases of A, who tries it, and of B; `{login}` and
/// `{other}` are their logins.
struct Attack {
    name: &'static str,
    by: By,
    /// Each of these has a session of its own, which stays open, and runs before the next one begins. Only the last
    /// statement of the last one may fail, or never come back.
    sessions: Sessions,
    outcome: Outcome,
}

/// Who tries it, all of them of tenant A.
#[derive(Clone, Copy)]
enum By {
    /// The login of a credential, in its own database.
    Owner,
    /// The same login in another database.
    OwnerIn(&'static str),
    /// A login that may only read.
    Reader,
}

/// What has to come of it.
#[derive(Clone, Copy)]
enum Outcome {
    /// The last statement is refused, with this SQLSTATE.
    Refused(&'static str),
    /// Every statement is taken, and nothing that is ours has changed.
    InVain,
    /// The last statement returns no row.
    SeesNothing,
    /// The guard ends a session of A's, for this reason, within a deadline that a busy machine keeps too.
    Ended(&'static str),
    /// Something of ours has changed, and after the next plan it is as before.
    Healed,
}

type Sessions = &'static [&'static [&'static str]];

/// An attempt of the owner's that lacks a privilege.
const fn refused(name: &'static str, sessions: Sessions) -> Attack {
    Attack { name, by: By::Owner, sessions, outcome: Outcome::Refused("42501") }
}

const fn blind(name: &'static str, sessions: Sessions) -> Attack {
    Attack { name, by: By::Owner, sessions, outcome: Outcome::SeesNothing }
}

const fn in_vain(name: &'static str, sessions: Sessions) -> Attack {
    Attack { name, by: By::Owner, sessions, outcome: Outcome::InVain }
}

const fn healed(name: &'static str, sessions: Sessions) -> Attack {
    Attack { name, by: By::Owner, sessions, outcome: Outcome::Healed }
}

const fn ended(name: &'static str, reason: &'static str, sessions: Sessions) -> Attack {
    Attack { name, by: By::Owner, sessions, outcome: Outcome::Ended(reason) }
}

/// What is ours on the server (the reader is a stranger's member of a group, which the first plan puts an end to), without what differs from look to look. Ours inside A's database is read there.
const SERVER: &str = "\
    SELECT 'database ' || d.datname || d.datdba || d.datallowconn || d.datconnlimit || d.datistemplate \
        || ARRAY(SELECT unnest(d.datacl)::text ORDER BY 1)::text || coalesce(shobj_description(d.oid, 'pg_database'), '') \
        FROM pg_database d \
    UNION ALL SELECT 'role ' || r::text FROM pg_authid r \
    UNION ALL SELECT 'member ' || roleid || ' ' || member || ' ' || admin_option FROM pg_auth_members WHERE member <> 'reader'::regrole \
    UNION ALL SELECT 'setting ' || s::text FROM pg_db_role_setting s \
    UNION ALL SELECT 'configured ' || pg_read_file('postgresql.auto.conf') \
    UNION ALL SELECT 'other ' || count(*) FROM pg_tablespace, pg_subscription ORDER BY 1";
const INSIDE: &str = "\
    SELECT 'schema ' || n.nspowner || ARRAY(SELECT unnest(n.nspacl)::text ORDER BY 1)::text \
        FROM pg_namespace n WHERE n.nspname = 'public' \
    UNION ALL SELECT 'default ' || a.defaclrole || a.defaclobjtype::text \
        || ARRAY(SELECT unnest(a.defaclacl)::text ORDER BY 1)::text FROM pg_default_acl a \
    UNION ALL SELECT 'function ' || f.proname || ARRAY(SELECT unnest(f.proacl)::text ORDER BY 1)::text \
        FROM pg_proc f WHERE f.pronamespace = 'pg_catalog'::regnamespace AND f.proacl IS NOT NULL \
    UNION ALL SELECT 'extension ' || extname FROM pg_extension \
    UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger \
    UNION ALL SELECT 'tripped ' || who FROM public.tripped ORDER BY 1";

/// The server, with both tenants on it.
struct Scene {
    fixture: Fixture,
    guard: Guard,
    a: DatabaseSpec,
    b: DatabaseSpec,
    /// Sessions of a superuser, on the server and inside A's database.
    admin: PgConnection,
    inside: PgConnection,
    /// A's sessions, which its refused attempts share: to log in takes longer than to be refused.
    owner: PgConnection,
    reader: PgConnection,
}

impl Scene {
    async fn new(version: Version) -> Self {
        let fixture = Fixture::prepared(version).await;
        // As every claim has it, unless the server's admin says otherwise.
        let quiet = || Settings::from([(Setting::LogMinMessages, Value::Panic)]);
        let spec = || DatabaseSpec { settings: quiet(), ..want(&["app"]) };
        let (a, b) = (spec(), spec());
        fixture.converge(&a).await;
        fixture.converge(&b).await;
        let mut admin = fixture.superuser("postgres").await;
        let (name, password) = (a.physical.as_str(), PASSWORD.replace('\'', "''"));
        run(&mut admin, &format!("CREATE ROLE reader LOGIN PASSWORD '{password}' IN ROLE {name}_ro")).await;
        let mut owner = fixture.tenant(&login(&a, 0), name).await.unwrap();
        run(&mut owner, "CREATE TABLE own (id int); CREATE TABLE tripped (who text)").await;
        let reader = fixture.tenant("reader", name).await.unwrap();
        let mut inside = fixture.superuser(name).await;
        // As ours are: what A plants is not to be run by who looks for it.
        run(&mut inside, "SET search_path = pg_catalog, pg_temp").await;
        let guard = Guard::start(&fixture.pool).await;
        Self { fixture, guard, a, b, admin, inside, owner, reader }
    }

    fn filled(&self, text: &str) -> String {
        text.replace("{a}", self.a.physical.as_str())
            .replace("{b}", self.b.physical.as_str())
            .replace("{login}", &login(&self.a, 0))
            .replace("{other}", &login(&self.b, 0))
    }

    /// All that is ours.
    async fn ours(&mut self) -> Vec<String> {
        let mut all = texts(&mut self.admin, SERVER).await;
        all.extend(texts(&mut self.inside, INSIDE).await);
        all
    }

    /// Tries it. `Err` says what came instead.
    async fn attempt(&mut self, attack: &Attack, right: &[String]) -> Result<(), String> {
        let before = self.guard.ended().len();
        if let Outcome::Ended(reason) = attack.outcome {
            self.is_ended(attack, before, reason).await?;
            let entered = self.fixture.tenant(&login(&self.b, 0), self.b.physical.as_str()).await;
            entered.map(drop).map_err(|error| format!("the other cannot log in: {error}"))?;
        } else {
            self.is_answered(attack).await?;
            let ended = self.guard.ended();
            ended.get(before).map_or(Ok(()), |it| Err(format!("the guard ended it: {it:?}")))?;
        }
        if let Outcome::Healed = attack.outcome {
            if self.ours().await == right {
                return Err("nothing was there to heal".into());
            }
            self.fixture.converge(&self.a).await;
        }
        let now = self.ours().await;
        if now == right {
            return Ok(());
        }
        let without = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter().filter(|it| !other.contains(it)).cloned().collect()
        };
        Err(format!("it left {:?} instead of {:?}", without(&now, right), without(right, &now)))
    }

    /// A session of A's ends itself in the middle of a statement with the word in its text and in what it runs.
    async fn dies_loudly(&self) {
        let session = self.fixture.tenant(&login(&self.a, 0), self.a.physical.as_str()).await;
        let mut session = session.unwrap();
        run(&mut session, "SET ROLE NONE").await;
        let end = format!(
            "DO $$ BEGIN EXECUTE 'SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(60) /* {} */'; END $$",
            changing::WORD
        );
        assert_eq!(sqlstate(try_run(&mut session, &end).await), "57P01");
    }

    async fn is_answered(&mut self, attack: &Attack) -> Result<(), String> {
        let all: Vec<String> = attack.sessions.concat().iter().map(|sql| self.filled(sql)).collect();
        let (last, first) = all.split_last().unwrap();
        let session = match attack.by {
            By::Owner => &mut self.owner,
            By::Reader => &mut self.reader,
            By::OwnerIn(database) => {
                let login = login(&self.a, 0);
                return attack.answered(self.fixture.tenant(&login, &self.filled(database)).await);
            }
        };
        for sql in ["DISCARD ALL", "RESET ROLE"] {
            run(session, sql).await;
        }
        for sql in first {
            try_run(session, sql).await.map_err(|error| format!("{sql}: {error}"))?;
        }
        if let Outcome::SeesNothing = attack.outcome {
            let rows = texts(session, last).await;
            return if rows.is_empty() { Ok(()) } else { Err(format!("it saw {rows:?}")) };
        }
        attack.answered(try_run(session, last).await)
    }

    async fn is_ended(&self, attack: &Attack, before: usize, reason: &str) -> Result<(), String> {
        let (mut open, mut pids, mut attempt) = (vec![], vec![], JoinSet::new());
        for (index, statements) in attack.sessions.iter().enumerate() {
            let session = self.fixture.tenant(&login(&self.a, 0), self.a.physical.as_str()).await;
            let mut session = session.map_err(|error| error.to_string())?;
            pids.extend(texts(&mut session, "SELECT pg_backend_pid()::text").await);
            let mut all: Vec<String> = statements.iter().map(|sql| self.filled(sql)).collect();
            let last = all.pop_if(|_| index + 1 == attack.sessions.len());
            for sql in &all {
                try_run(&mut session, sql).await.map_err(|error| format!("{sql}: {error}"))?;
            }
            match last {
                None => open.push(session),
                Some(sql) => drop(attempt.spawn(async move {
                    drop(try_run(&mut session, &sql).await);
                    session
                })),
            }
        }
        let ended = self.guard.wait_for(before, reason).await;
        open.extend(attempt.join_all().await);
        let mut dead = 0;
        for session in &mut open {
            dead += usize::from(try_run(session, "SELECT 1").await.is_err());
        }
        let expected = |it: &Intervention| pids.contains(&it.pid.to_string()) && it.reason.name() == reason;
        if ended.len() == dead && ended.iter().all(expected) {
            Ok(())
        } else {
            Err(format!("{dead} sessions ended, for {ended:?}"))
        }
    }
}

impl Attack {
    /// Whether that is the answer that it has to get.
    fn answered<T>(&self, answer: Result<T, sqlx::Error>) -> Result<(), String> {
        let expected = if let Outcome::Refused(expected) = self.outcome { expected } else { "00000" };
        let state = sqlstate(answer);
        if state == expected { Ok(()) } else { Err(format!("{state} instead of {expected}")) }
    }
}

async fn every_attack_is_refused_in_vain_ended_or_healed(version: Version) {
    let mut scene = Scene::new(version).await;
    let (mut wrong, right) = (vec![], scene.ours().await);
    let tables =
        [forbidden::ENTER, forbidden::REFUSED, changing::IN_VAIN, changing::HEALED, hindering::ENDED];
    for attack in tables.into_iter().flatten() {
        if let Err(instead) = scene.attempt(attack, &right).await {
            wrong.push(format!("{}: {instead}", attack.name));
        }
    }
    scene.dies_loudly().await;
    let log = scene.fixture.postgres.log();
    assert!(log.contains("CREATE DATABASE"), "the server logs what others do");
    wrong.extend(
        log.lines().filter(|line| line.contains(changing::WORD)).map(|line| format!("in the log: {line}")),
    );
    // What was planted last may still be there to trip over.
    for spec in [&scene.a, &scene.b] {
        assert_eq!(scene.fixture.plan(spec).await, Ok(Plan::default()));
        drop(scene.fixture.tenant(&login(spec, 0), spec.physical.as_str()).await.unwrap());
    }
    wrong.extend(
        texts(&mut scene.inside, "SELECT 'planted code was run by ' || who FROM public.tripped").await,
    );
    assert_eq!(wrong, Vec::<String>::new());
}
