//! What the model of the catalogs is tried with happens to a real server too: the operator works, dies and releases, people change things
//! behind its back, and whatever comes of that, one plan makes it right and the next one is empty.

use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sqlx::PgConnection;
use tenantry::api::names::{CredentialName, Group, Side};
use tenantry::controller::database::plan::{Plan, release};
use tenantry::controller::database::want::{CredentialSpec, DatabaseSpec, PasswordWish};
use tenantry::postgres::facts::{DefaultKind, Phase};
use tenantry::postgres::function::RestrictedFunction;
use tenantry::postgres::record::Cause;

use super::fixture::{Fixture, login, run, try_run, verifier, want};
use crate::database_plan::meddling::{CREDENTIALS, Event, Meddling, events, specs};
use crate::support::postgres::Version;

on_every_version! {
    what_a_login_writes_down_for_itself_fills_no_answer,
    whatever_happened_to_a_real_server_one_plan_makes_it_right,
}

/// The operator reads settings and passwords of every login, and has 256 MiB.
async fn what_a_login_writes_down_for_itself_fills_no_answer(version: Version) {
    let (fixture, spec) = (Fixture::shared(version).await, want(&["app"]));
    fixture.converge(&spec).await;
    let name = login(&spec, 0);
    let mut tenant = fixture.tenant(&name, spec.physical.as_str()).await.unwrap();
    let set = |place: &str, setting: &str, length: u32| {
        format!(
            "DO $$ BEGIN EXECUTE format('ALTER ROLE %I {place} SET {setting} = %L', session_user, repeat('a', {length})); END $$"
        )
    };
    run(&mut tenant, "SET ROLE NONE").await;
    run(&mut tenant, &set("", "application_name", 32_000_000)).await;
    run(&mut tenant, &set("IN DATABASE postgres", "application_name", 32_000_000)).await;
    let facts = fixture.facts(&spec).await;
    let all = facts.roles[&name].settings.values().flatten();
    let bytes: usize = all.map(|(name, value)| name.len() + value.len()).sum();
    assert!(bytes < 20_000, "{bytes}");
    fixture.converge(&spec).await;
    assert!(fixture.plan(&spec).await.unwrap().is_empty());
    assert_eq!(
        fixture.facts(&spec).await.roles[&name].settings.keys().flatten().count(),
        1,
        "its own database"
    );
}

/// What is drawn is drawn by this.
const SEED: u8 = 11;
/// How often what happened is made right.
const ROUNDS: usize = 6;
/// How much happens in between.
const EVENTS: usize = 6;

/// A database that things happen to.
struct Victim {
    fixture: Fixture,
    spec: DatabaseSpec,
    /// Its roles, and somebody else's last, as [`Meddling`] numbers them.
    roles: Vec<String>,
    sessions: Vec<PgConnection>,
}

impl Victim {
    async fn new(version: Version) -> Self {
        let (fixture, spec) = (Fixture::shared(version).await, want(&[]));
        let stranger = format!("stranger_{}", spec.tenant_id);
        run(&mut fixture.superuser("postgres").await, &format!("CREATE ROLE {stranger}")).await;
        let groups = Group::ALL.map(|group| spec.physical.group(group));
        let login = |(name, side)| spec.physical.login(&CredentialName::parse(name).unwrap(), side);
        let logins =
            [Side::A, Side::B].into_iter().flat_map(|side| CREDENTIALS.map(|name| (name, side))).map(login);
        let roles = groups.into_iter().chain(logins).chain([stranger]).collect();
        Self { fixture, spec, roles, sessions: vec![] }
    }

    /// The same wish for this database, with a password that a server takes.
    fn ours(&self, want: &DatabaseSpec) -> DatabaseSpec {
        let password = |password: &PasswordWish| match password {
            PasswordWish::Keep => PasswordWish::Keep,
            PasswordWish::Set(_) => PasswordWish::Set(verifier()),
            PasswordWish::Reissue(_) => PasswordWish::Reissue(verifier()),
        };
        let credential =
            |it: &CredentialSpec| CredentialSpec { password: password(&it.password), ..it.clone() };
        DatabaseSpec {
            connection_limit: want.connection_limit,
            settings: want.settings.clone(),
            credentials: want.credentials.iter().map(credential).collect(),
            logins_allowed: want.logins_allowed,
            ..self.spec.clone()
        }
    }

    async fn happens(&mut self, event: &Event) {
        match event {
            Event::Work { want, effects } => {
                let plan = self.fixture.plan(&self.ours(want)).await.unwrap();
                self.work(&plan, *effects).await;
            }
            Event::Release { effects } => {
                let facts = self.fixture.facts(&self.spec).await;
                let Some(marker) = facts.marker(self.spec.physical.as_str()) else { return };
                self.work(&release(marker, &facts).unwrap(), *effects).await;
            }
            Event::Meddle(Meddling::Session(role)) => {
                let (login, database) = (&self.roles[*role], self.spec.physical.as_str());
                self.sessions.extend(self.fixture.tenant(login, database).await);
            }
            // While a database is being made, another owner means another maker: that is a conflict.
            Event::Meddle(Meddling::Owner(_)) if !self.is_settled().await => {}
            Event::Meddle(meddling) => self.meddle(*meddling).await,
        }
    }

    /// As far as the operator comes before it dies.
    async fn work(&self, plan: &Plan, effects: usize) {
        let gate = self.fixture.gate(None);
        let session = gate.open(&self.fixture.pool, Cause::new("test", "work")).await.unwrap();
        let batches = &plan.batches[..plan.batches.len().min(effects)];
        session.run(batches).await.unwrap_or_else(|error| panic!("{error:?} in {plan}"));
    }

    async fn is_settled(&self) -> bool {
        let facts = self.fixture.facts(&self.spec).await;
        facts.marker(self.spec.physical.as_str()).is_some_and(|marker| marker.phase != Phase::Creating)
    }

    /// PostgreSQL refuses some of it: what does not exist, what something depends on, memberships in a circle.
    async fn meddle(&self, meddling: Meddling) {
        let (is_inside, sql) = self.statement(meddling);
        let place = if is_inside { self.spec.physical.as_str() } else { "postgres" };
        let access = self.fixture.postgres.access();
        let Ok(mut admin) = self.fixture.postgres.connect(&access.username, &access.password, place).await
        else {
            return;
        };
        let _ = try_run(&mut admin, &sql).await;
    }

    /// What somebody runs, and whether inside the database.
    fn statement(&self, meddling: Meddling) -> (bool, String) {
        let (db, role) = (self.spec.physical.as_str(), |index: usize| self.roles[index].as_str());
        let grantee = |index: usize| self.roles.get(index).map_or("PUBLIC", String::as_str);
        let on_database = |privilege: usize| ["CONNECT", "TEMPORARY", "CREATE"][privilege];
        let verb = |grant| if grant { ("GRANT", "TO") } else { ("REVOKE", "FROM") };
        let sql = match meddling {
            Meddling::Attribute { role: index, attribute } => {
                let login = if index < Group::ALL.len() { "LOGIN" } else { "NOLOGIN" };
                let attributes = [
                    login,
                    "INHERIT",
                    "SUPERUSER",
                    "CREATEDB",
                    "CREATEROLE",
                    "REPLICATION",
                    "BYPASSRLS",
                    "CONNECTION LIMIT 99",
                    "VALID UNTIL '2001-01-01'",
                ];
                format!("ALTER ROLE {} {}", role(index), attributes[attribute])
            }
            Meddling::DropRole(index) => {
                return (true, format!("DROP OWNED BY {0}; DROP ROLE {0}", role(index)));
            }
            Meddling::Password(index) => format!("ALTER ROLE {} PASSWORD 'changed'", role(index)),
            Meddling::ForgetSetting(index) => {
                format!("ALTER ROLE {0} RESET ALL; ALTER ROLE {0} IN DATABASE {db} RESET ALL", role(index))
            }
            Meddling::Setting { role: index, place } => {
                let place = ["", &format!("IN DATABASE {db} "), "IN DATABASE postgres "][place].to_owned();
                format!("ALTER ROLE {} {place}SET statement_timeout = 0", role(index))
            }
            Meddling::GrantDatabase { grantee: index, privilege, grantable } => {
                let option = if grantable && index < self.roles.len() { " WITH GRANT OPTION" } else { "" };
                format!("GRANT {} ON DATABASE {db} TO {}{option}", on_database(privilege), grantee(index))
            }
            Meddling::RevokeDatabase { grantee: index, privilege } => {
                format!("REVOKE {} ON DATABASE {db} FROM {} CASCADE", on_database(privilege), grantee(index))
            }
            Meddling::Membership { group, member, admin } => {
                let option = if admin { " WITH ADMIN OPTION" } else { "" };
                format!("GRANT {} TO {}{option}", role(group), role(member))
            }
            Meddling::Leave { group, member } => {
                format!("REVOKE {} FROM {} CASCADE", role(group), role(member))
            }
            Meddling::Owner(index) => format!("ALTER DATABASE {db} OWNER TO {}", role(index)),
            Meddling::Limit(limit) => {
                format!("ALTER DATABASE {db} CONNECTION LIMIT {}", limit.map_or(-1, i64::from))
            }
            Meddling::DatabaseSetting(setting) => {
                let name = ["statement_timeout", "temp_file_limit", "search_path"][setting];
                format!("ALTER DATABASE {db} SET {name} = '0'")
            }
            Meddling::Close => format!("ALTER DATABASE {db} ALLOW_CONNECTIONS false"),
            Meddling::Template => format!("ALTER DATABASE {db} IS_TEMPLATE true"),
            Meddling::PublicSchema { grantee: index, privilege, grant } => {
                let ((verb, to), privilege) = (verb(grant), ["USAGE", "CREATE"][privilege]);
                return (true, format!("{verb} {privilege} ON SCHEMA public {to} {}", grantee(index)));
            }
            Meddling::ForgetDefaults(kind) => {
                let kind = DefaultKind::ALL[kind].keyword();
                let whose = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {db}_owner");
                return (true, format!("{whose} REVOKE ALL ON {kind} FROM {db}_rw, {db}_ro"));
            }
            Meddling::Functions { function, grantee: index, grant } => {
                let (verb, to) = verb(grant);
                let function = RestrictedFunction::ALL[function].signature();
                return (true, format!("{verb} EXECUTE ON FUNCTION {function} {to} {}", grantee(index)));
            }
            Meddling::Session(_) => String::new(),
        };
        (false, sql)
    }
}

async fn whatever_happened_to_a_real_server_one_plan_makes_it_right(version: Version) {
    let mut victim = Victim::new(version).await;
    let chance = TestRng::from_seed(RngAlgorithm::ChaCha, &[SEED; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), chance);
    let rounds = (vec(events(), EVENTS), specs());
    for round in 0..ROUNDS {
        let (history, want) = rounds.new_tree(&mut runner).unwrap().current();
        for event in &history {
            victim.happens(event).await;
        }
        let (fixture, want) = (&victim.fixture, victim.ours(&want));
        let story = format!("seed {SEED}, round {round}, {want:?} after {history:#?}");
        let first = fixture.plan(&want).await.unwrap_or_else(|conflict| panic!("{conflict}: {story}"));
        victim.work(&first, usize::MAX).await;
        let second = fixture.plan(&want).await.unwrap();
        assert_eq!(second.to_string(), "", "after\n{first}\n{story}");
    }
}
