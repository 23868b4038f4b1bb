//! The check that finds nothing to do: are 500 databases of one server as they are declared? Ours reads all of them at
//! once and plans each. A tool that knows one database at a time opens a connection to each, and asks the same there.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use futures::{StreamExt, TryStreamExt, stream};
use prometheus_client::metrics::counter::Counter;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sqlx::AssertSqlSafe;
use tempfile::NamedTempFile;
use tenantry::api::deletion::DeletionPolicy;
use tenantry::api::names::{CredentialName, DatabaseName, Group, PhysicalName, TenantId};
use tenantry::controller::database::extensions::Wanted;
use tenantry::controller::database::plan::plan;
use tenantry::controller::database::want::{CredentialSpec, DatabaseSpec, PasswordWish};
use tenantry::postgres::bootstrap::bootstrap;
use tenantry::postgres::connect::{AdminTarget, ServerPool};
use tenantry::postgres::execute::Gate;
use tenantry::postgres::facts::{Claim, Facts};
use tenantry::postgres::fence::Fences;
use tenantry::postgres::observe::{Markers, Scope, catalog, markers};
use tenantry::postgres::record::Cause;
use tenantry::postgres::scram::{Password, Verifier};
use tenantry::postgres::settings::Settings;
use tenantry::telemetry::process::ProcessFacts;

use crate::report::Measure;
use crate::support::Postgres;

#[path = "../src/postgres/observe/queries.rs"]
#[expect(dead_code, reason = "the peer asks what one database needs")]
mod queries;

/// Databases on the server.
const DATABASES: usize = 500;
/// How often both are measured, in turns.
const ROUNDS: usize = 5;
/// Checks in one round of ours: the kernel counts a process' time in steps of 10 ms, which one check may not take.
const CHECKS: u32 = 10;
/// Databases that are made at once.
const AT_ONCE: usize = 4;
const PEER: &str = "psql, a connection a database";
/// Debian's wrapper of that name would cost more than the program itself.
const PSQL: &str = "/usr/lib/postgresql/15/bin/psql";

/// Makes the databases and measures both.
pub async fn measure() -> Vec<Measure> {
    let postgres = Postgres::own();
    let statements = Counter::default();
    let pool = pool(&postgres, &statements);
    let wants: Vec<DatabaseSpec> = (0..DATABASES).map(want).collect();
    make(&pool, &wants).await;

    let (mut ours, mut theirs) = (Costs::default(), Costs::default());
    // The first time a session prepares its statements, and is not counted.
    assert_eq!(unchanged(&pool, &wants).await, DATABASES);
    let script = script(&wants);
    for _ in 0..ROUNDS {
        let (sent, logged) = (statements.get(), logged(&postgres));
        let before = own_seconds();
        for _ in 0..CHECKS {
            assert_eq!(unchanged(&pool, &wants).await, DATABASES);
        }
        ours.milliseconds.push((own_seconds() - before) * 1e3 / f64::from(CHECKS));
        let received = self::logged(&postgres) - logged;
        assert_eq!(u64::try_from(received).unwrap(), statements.get() - sent, "all that is sent is counted");
        ours.statements.push(count(received) / f64::from(CHECKS));

        let (logged, before) = (self::logged(&postgres), children_seconds());
        ask(&postgres, &script, &wants);
        theirs.milliseconds.push((children_seconds() - before) * 1e3);
        theirs.statements.push(count(self::logged(&postgres) - logged));
    }

    // The check would have found something.
    let drift = format!("ALTER DATABASE {} CONNECTION LIMIT 77", wants[DATABASES / 2].physical);
    let mut admin = postgres.admin("postgres").await;
    sqlx::raw_sql(AssertSqlSafe(drift)).execute(&mut admin).await.unwrap();
    assert_eq!(unchanged(&pool, &wants).await, DATABASES - 1);
    vec![
        Measure::new("no-op statements", "statements", &ours.statements).against(PEER, &theirs.statements),
        Measure::new("no-op cpu", "ms", &ours.milliseconds).against(PEER, &theirs.milliseconds),
    ]
}

/// What each round cost.
#[derive(Default)]
struct Costs {
    statements: Vec<f64>,
    milliseconds: Vec<f64>,
}

pub fn pool(postgres: &Postgres, statements: &Counter) -> ServerPool {
    let access = postgres.access().clone();
    let target = AdminTarget {
        host: access.host,
        port: access.port,
        username: access.username,
        password: Password::new(access.password),
        ca_pem: postgres.ca(),
    };
    ServerPool::new(target, statements.clone()).unwrap()
}

/// The database `app` of a tenant of its own, with one credential.
pub fn want(number: usize) -> DatabaseSpec {
    let tenant_uid = format!("uid-{number}");
    let (id, name) = (TenantId::of_uid(&tenant_uid), DatabaseName::parse("app").unwrap());
    let verifier = Verifier::generate(&Password::new("of a bench"), &mut StdRng::seed_from_u64(7));
    let credential = CredentialSpec::plain(
        CredentialName::parse("app").unwrap(),
        Group::Owner,
        PasswordWish::Set(verifier),
    );
    DatabaseSpec {
        physical: PhysicalName::new(&id, &name),
        tenant_uid,
        tenant_id: id.as_str().to_owned(),
        claim: Claim {
            namespace: format!("tenant-{number}"),
            name: name.as_str().to_owned(),
            uid: Some(format!("claim-{number}")),
        },
        name,
        connection_limit: Some(5),
        settings: Settings::new(),
        credentials: vec![credential],
        logins_allowed: true,
        adopted: None,
        deletion_policy: DeletionPolicy::Retain,
        own_server: false,
        extensions: Wanted::default(),
    }
}

/// Makes the databases as the operator would.
async fn make(pool: &ServerPool, wants: &[DatabaseSpec]) {
    bootstrap(&Gate::default(), pool).await.unwrap();
    let gate = &Gate::new(None, Fences::default());
    let one = async |want: &DatabaseSpec| {
        let mut session = gate.open(pool, Cause::new(&want.physical, "bench")).await?;
        let facts = catalog(session.reader(), &Scope::database(&want.physical)).await.unwrap();
        let plan = plan(want, &facts).unwrap();
        session.run(&plan.batches).await
    };
    stream::iter(wants).map(Ok).try_for_each_concurrent(AT_ONCE, one).await.unwrap();
}

/// Reads the whole server and plans each database. Returns the number of those with an empty plan.
async fn unchanged(pool: &ServerPool, wants: &[DatabaseSpec]) -> usize {
    let mut reader = pool.operator().await.unwrap();
    let facts = catalog(&mut reader, &Scope::all_databases()).await.unwrap();
    let markers = markers(&mut reader, &Markers::All).await.unwrap();
    reader.release().await;
    let facts = Facts { markers, ..facts };
    wants.iter().filter(|want| plan(want, &facts).unwrap().is_empty()).count()
}

/// What psql runs: a new connection to each database, and there the catalog queries for it alone. Rows of the marker
/// table apart, which are in another database, it is what our plan of one database is made from.
fn script(wants: &[DatabaseSpec]) -> NamedTempFile {
    let mut script = NamedTempFile::new().unwrap();
    for DatabaseSpec { physical, .. } in wants {
        let of_database = [queries::DATABASES, queries::SESSIONS];
        let of_roles = [queries::ROLES_WITH_PASSWORDS, queries::SETTINGS, queries::MEMBERSHIPS];
        let (name, prefix) = (format!("ARRAY['{physical}']::text[]"), format!("'{physical}_'::text"));
        let of_database = of_database.map(|sql| sql.replace("$1", &name).replace("$2", "NULL"));
        // Sessions are those of the logins too.
        let of_database = of_database.map(|sql| sql.replace("$3", "'{}'::text[]").replace("$4", &prefix));
        let of_roles = of_roles.map(|sql| sql.replace("$1", "'{}'::text[]").replace("$2", &prefix));
        // Settings are those of the database too.
        let of_roles = of_roles.map(|sql| sql.replace("$3", &name).replace("$4", "NULL"));
        let all = [&[queries::SERVER.to_owned()], &of_database[..], &of_roles].concat().join(";\n");
        writeln!(script, "\\connect {physical}\n{all};").unwrap();
    }
    script
}

/// Runs the script in one psql, and checks that it was told of each database's owner group.
fn ask(postgres: &Postgres, script: &NamedTempFile, wants: &[DatabaseSpec]) {
    let access = postgres.access();
    let answer = NamedTempFile::new().unwrap();
    let mut command = Command::new(PSQL);
    command
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"])
        .args(["--host", &access.host, "--port", &access.port.to_string()])
        .args(["--username", &access.username, "--dbname", "postgres"])
        .arg("--file")
        .arg(script.path())
        .envs(BTreeMap::from([("PGPASSWORD", access.password.as_str()), ("PGSSLMODE", "verify-full")]))
        .env("PGSSLROOTCERT", &access.ca)
        .stdin(Stdio::null())
        .stdout(answer.reopen().unwrap());
    let status = command.status().unwrap();
    assert!(status.success(), "{status}");
    let answer = fs::read_to_string(answer.path()).unwrap();
    let group = |physical: &PhysicalName| format!("{physical}_owner|{physical}_app_a|f");
    let told = |want: &&DatabaseSpec| answer.contains(&group(&want.physical));
    assert_eq!(wants.iter().filter(told).count(), DATABASES);
}

/// Statements that the server has logged: it writes down each before it runs it.
fn logged(postgres: &Postgres) -> usize {
    let log = postgres.log();
    log.lines().filter(|line| line.contains("LOG:  statement: ") || line.contains("LOG:  execute ")).count()
}

/// CPU time of this process.
fn own_seconds() -> f64 {
    ProcessFacts::read().unwrap().cpu_seconds
}

/// CPU time of the ended child processes of this one.
fn children_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // What follows the name's last parenthesis is field 3 and on (proc(5)): cutime is 16, cstime 17, in 10 ms.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = [16, 17].map(|field| fields[field - 3].parse::<f64>().unwrap()).iter().sum();
    ticks / 100.0
}

#[expect(clippy::cast_precision_loss, reason = "counts of some thousands")]
fn count(number: usize) -> f64 {
    number as f64
}
