//! A server with the operator's own gate on it, and tenants to make databases for.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use tenantry::api::deletion::DeletionPolicy;
use tenantry::api::names::{CredentialName, DatabaseName, Group, PhysicalName, TenantId};
use tenantry::controller::database::extensions::Wanted;
use tenantry::controller::database::look::look;
use tenantry::controller::database::plan::{Conflict, Plan, plan, release};
use tenantry::controller::database::want::{CredentialSpec, DatabaseSpec, PasswordWish};
use tenantry::postgres::bootstrap::bootstrap;
use tenantry::postgres::connect::{AdminTarget, ServerPool};
use tenantry::postgres::execute::{ExecuteError, Gate, Probe};
use tenantry::postgres::facts::{Claim, Facts};
use tenantry::postgres::fence::Fences;
use tenantry::postgres::observe::{Markers, markers};
use tenantry::postgres::record::Cause;
use tenantry::postgres::scram::{Password, Verifier};
use tenantry::postgres::settings::Settings;

use crate::support::postgres::Version;
use crate::support::{Postgres, Prefix};

/// Password of every login that a test makes.
pub const PASSWORD: &str = "p4ss-W0rd of 'the' test";

pub struct Fixture {
    pub postgres: Postgres,
    pub pool: ServerPool,
    pub statements: Counter,
    /// What is known of the server's epoch. Of the one leader that all tests together are on a server that they share,
    /// where they would supersede each other; on one of a test's own its own, since another may have had its port.
    pub fences: Fences,
}

impl Fixture {
    /// The shared server of that version, prepared.
    pub async fn shared(version: Version) -> Self {
        static FENCES: LazyLock<Fences> = LazyLock::new(Fences::default);
        let fixture = Self { fences: FENCES.clone(), ..Self::on(Postgres::shared_of(version)) };
        // Tests prepare the shared server at the same time; the operator, which does it once, need not be ready
        // for that, so they take turns.
        let mut lock = fixture.postgres.admin("template1").await;
        run(&mut lock, "SELECT pg_advisory_lock(7)").await;
        bootstrap(&Gate::default(), &fixture.pool).await.unwrap();
        fixture
    }

    /// A server of the test's own, not prepared.
    pub fn own(version: Version) -> Self {
        Self::on(Postgres::own_of(version))
    }

    /// A server of the test's own, prepared.
    pub async fn prepared(version: Version) -> Self {
        let fixture = Self::own(version);
        bootstrap(&Gate::default(), &fixture.pool).await.unwrap();
        fixture
    }

    /// The same, whose admin is no superuser: it may make databases and roles.
    pub async fn limited(version: Version) -> Self {
        let Self { postgres, .. } = Self::prepared(version).await;
        let mut superuser = postgres.admin("postgres").await;
        let password = PASSWORD.replace('\'', "''");
        let create = format!("CREATE ROLE limited LOGIN CREATEDB CREATEROLE PASSWORD '{password}'");
        run(&mut superuser, &create).await;
        run(&mut superuser, "DROP DATABASE tenantry WITH (FORCE)").await;
        run(&mut superuser, "DROP ROLE tenantry_databases").await;
        run(&mut superuser, "GRANT CONNECT ON DATABASE postgres TO limited").await;
        let statements = Counter::default();
        let pool = pool(&postgres, "limited", &Password::new(PASSWORD), statements.clone());
        bootstrap(&Gate::default(), &pool).await.unwrap();
        Self { postgres, pool, statements, fences: Fences::default() }
    }

    fn on(postgres: Postgres) -> Self {
        let access = postgres.access().clone();
        let statements = Counter::default();
        let pool = pool(&postgres, &access.username, &Password::new(access.password), statements.clone());
        Self { postgres, pool, statements, fences: Fences::default() }
    }

    /// A gate of the leader.
    pub fn gate(&self, probe: Option<Probe>) -> Gate {
        Gate::new(probe, self.fences.clone())
    }

    pub async fn facts(&self, want: &DatabaseSpec) -> Facts {
        let mut reader = self.pool.operator().await.unwrap();
        let rows = markers(&mut reader, &Markers::Physical(want.physical.as_str())).await.unwrap();
        let facts = look(&self.pool, &mut reader, &want.physical, rows).await.unwrap();
        reader.release().await;
        facts
    }

    pub async fn plan(&self, want: &DatabaseSpec) -> Result<Plan, Conflict> {
        plan(want, &self.facts(want).await)
    }

    /// Observes, plans and executes, as a controller does.
    pub async fn converge(&self, want: &DatabaseSpec) -> Plan {
        self.converge_with(want, None).await.unwrap()
    }

    pub async fn converge_with(
        &self,
        want: &DatabaseSpec,
        probe: Option<Probe>,
    ) -> Result<Plan, ExecuteError> {
        let plan = self.plan(want).await.unwrap();
        let gate = self.gate(probe);
        gate.open(&self.pool, Cause::new("test", "converge")).await?.run(&plan.batches).await?;
        Ok(plan)
    }

    pub async fn release(&self, want: &DatabaseSpec) -> Plan {
        let facts = self.facts(want).await;
        let plan = release(facts.marker(want.physical.as_str()).unwrap(), &facts).unwrap();
        let cause = Cause::new("test", "release");
        self.gate(None).open(&self.pool, cause).await.unwrap().run(&plan.batches).await.unwrap();
        plan
    }

    /// A superuser's connection.
    pub async fn superuser(&self, database: &str) -> PgConnection {
        self.postgres.admin(database).await
    }

    /// A tenant's connection, with the test's password.
    pub async fn tenant(&self, login: &str, database: &str) -> Result<PgConnection, sqlx::Error> {
        self.postgres.connect(login, PASSWORD, database).await
    }
}

pub fn pool(postgres: &Postgres, username: &str, password: &Password, statements: Counter) -> ServerPool {
    let access = postgres.access();
    let target = AdminTarget {
        host: access.host.clone(),
        port: access.port,
        username: username.to_owned(),
        password: password.clone(),
        ca_pem: postgres.ca(),
    };
    ServerPool::new(target, statements).unwrap()
}

/// The epoch that the server has.
pub async fn epoch(fixture: &Fixture) -> i64 {
    let mut operator = fixture.superuser("tenantry").await;
    texts(&mut operator, "SELECT epoch::text FROM tenantry.epoch").await[0].parse().unwrap()
}

/// A new tenant's database `app`, with these credentials of owners.
pub fn want(credentials: &[&str]) -> DatabaseSpec {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let uid = format!("{}-{}", Prefix::new().name("uid"), COUNT.fetch_add(1, Ordering::Relaxed));
    let id = TenantId::of_uid(&uid);
    let name = DatabaseName::parse("app").unwrap();
    let credential = |name: &&str| {
        let password = PasswordWish::Set(verifier());
        CredentialSpec::plain(CredentialName::parse(name).unwrap(), Group::Owner, password)
    };
    DatabaseSpec {
        physical: PhysicalName::new(&id, &name),
        tenant_uid: uid,
        tenant_id: id.as_str().into(),
        name,
        claim: Claim { namespace: "tenant-acme".into(), name: "app".into(), uid: Some("claim".into()) },
        connection_limit: Some(5),
        settings: Settings::new(),
        credentials: credentials.iter().map(credential).collect(),
        logins_allowed: true,
        adopted: None,
        deletion_policy: DeletionPolicy::Retain,
        own_server: false,
        extensions: Wanted::default(),
    }
}

/// The same with the passwords that there are: an admin that may not read them would set them each time.
pub fn keeping_passwords(want: &DatabaseSpec) -> DatabaseSpec {
    let keep = |it: &CredentialSpec| CredentialSpec { password: PasswordWish::Keep, ..it.clone() };
    DatabaseSpec { credentials: want.credentials.iter().map(keep).collect(), ..want.clone() }
}

/// Always the same one, so that it counts as unchanged.
pub fn verifier() -> Verifier {
    static VERIFIER: LazyLock<Verifier> =
        LazyLock::new(|| Verifier::generate(&Password::new(PASSWORD), &mut StdRng::seed_from_u64(7)));
    VERIFIER.clone()
}

/// Name of the login of a credential.
pub fn login(want: &DatabaseSpec, credential: usize) -> String {
    want.physical.login(&want.credentials[credential].name, want.credentials[credential].side)
}

pub async fn run(connection: &mut PgConnection, sql: &str) {
    try_run(connection, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

pub async fn try_run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.map(drop)
}

/// The first column of every row, as text.
pub async fn texts(connection: &mut PgConnection, sql: &str) -> Vec<String> {
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await;
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

/// SQLSTATE of a refusal.
pub fn sqlstate<T>(result: Result<T, sqlx::Error>) -> String {
    match result {
        Ok(_) => "00000".to_owned(),
        Err(error) => {
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            code.map_or_else(|| error.to_string(), std::borrow::Cow::into_owned)
        }
    }
}
