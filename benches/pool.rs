//! A new database: taken from the warm pool, beside the three statements of who has none; and made one after the other
//! when the pool is empty, beside a loop that does nothing but CREATE DATABASE.

use std::time::Instant;

use futures::future::join_all;
use prometheus_client::metrics::counter::Counter;
use sqlx::{AssertSqlSafe, PgConnection};
use tenantry::controller::database::look;
use tenantry::controller::database::plan::plan;
use tenantry::controller::database::pool::{adopt, layout, prepare_clone, prepare_template};
use tenantry::controller::database::want::DatabaseSpec;
use tenantry::controller::tenant_database::tenancy;
use tenantry::postgres::bootstrap::bootstrap;
use tenantry::postgres::connect::ServerPool;
use tenantry::postgres::execute::Gate;
use tenantry::postgres::facts::{Facts, Phase, Server};
use tenantry::postgres::fence::Fences;
use tenantry::postgres::observe::{self, Markers, Scope, catalog, markers};
use tenantry::postgres::pool::PoolName;
use tenantry::postgres::record::Cause;
use tenantry::postgres::statement::Batch;

use crate::no_op;
use crate::report::Measure;
use crate::support::Postgres;

/// How often a database is taken from the pool, and one is made by the three statements, in turns.
const STEPS: usize = 30;
/// How often databases are made in a row, ours and theirs in turns.
const ROUNDS: usize = 5;
/// Who makes them at once: so many turns a server lets in.
const AT_ONCE: usize = 4;
/// Databases that each of them makes in a round.
const IN_A_ROW: usize = 5;
const COLD: &str = "CREATE ROLE; CREATE DATABASE; REVOKE";
const LOOP: &str = "CREATE DATABASE, four loops";

/// Everything that ours needs.
struct Bench {
    postgres: Postgres,
    pool: ServerPool,
    gate: Gate,
    server: Server,
}

/// Measures both.
pub async fn measure() -> Vec<Measure> {
    let bench = Bench::new().await;
    let mut measures = vec![bench.step().await];
    measures.push(bench.drained().await);
    measures
}

impl Bench {
    async fn new() -> Self {
        let postgres = Postgres::own();
        let mut admin = postgres.admin("postgres").await;
        // As on a server that keeps what it is told; those of tests do not.
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            run(&mut admin, &format!("ALTER SYSTEM SET {setting} = on")).await;
        }
        run(&mut admin, "SELECT pg_reload_conf()").await;
        let pool = no_op::pool(&postgres, &Counter::default());
        let server = bootstrap(&Gate::default(), &pool).await.unwrap();
        Self { postgres, pool, gate: Gate::new(None, Fences::default()), server }
    }

    /// What a claim's turn does on its server when there is a clone, from the first look to the last.
    async fn step(&self) -> Measure {
        let layout = layout(&self.server).unwrap();
        let template = PoolName::template_of(1);
        self.execute(&prepare_template(&template, &layout, &self.server).unwrap().batches).await;
        let mut admin = self.postgres.admin("postgres").await;
        let (mut ours, mut theirs) = (vec![], vec![]);
        for number in 0..STEPS {
            let (want, clone) = (no_op::want(number), PoolName::clone_of(number as u64));
            let verifier = want.credentials[0].password.verifier().unwrap();
            let prepared = prepare_clone(&clone, &template, &layout, &self.server, verifier).unwrap();
            self.execute(&prepared.batches).await;
            let began = Instant::now();
            self.take(&want, &clone).await;
            ours.push(milliseconds(began));

            let name = format!("cold_{number}");
            let role = format!("CREATE ROLE {name} LOGIN PASSWORD '{}'", verifier.expose());
            let began = Instant::now();
            run(&mut admin, &role).await;
            run(&mut admin, &format!("CREATE DATABASE {name}")).await;
            run(&mut admin, &format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC")).await;
            theirs.push(milliseconds(began));
        }
        let wants: Vec<DatabaseSpec> = (0..STEPS).map(no_op::want).collect();
        self.assert_made(&wants).await;
        Measure::new("pool step", "ms", &ours).against(COLD, &theirs)
    }

    async fn take(&self, want: &DatabaseSpec, clone: &PoolName) {
        let mut session = self.gate.open(&self.pool, Cause::new(&want.physical, "bench")).await.unwrap();
        assert_eq!(markers(session.reader(), &of_claim(want)).await.unwrap(), []);
        let facts = look::beside(session.reader(), &want.physical, clone).await.unwrap();
        let mut plan = adopt(want, &facts, clone).unwrap().unwrap();
        tenancy::hold(&mut plan.batches, None, &want.tenant_uid);
        assert_eq!(session.write(&plan.batches).await.unwrap().unwrap().phase, Phase::Bound);
    }

    /// Databases a second, made on demand: what is left when claims come faster than the pool is filled.
    async fn drained(&self) -> Measure {
        let (mut ours, mut theirs) = (vec![], vec![]);
        let count = AT_ONCE * IN_A_ROW;
        for round in 0..ROUNDS {
            let first = STEPS + round * count;
            let wants: Vec<DatabaseSpec> = (first..first + count).map(no_op::want).collect();
            let began = Instant::now();
            join_all(wants.chunks(IN_A_ROW).map(async |wants| {
                for want in wants {
                    self.make(want).await;
                }
            }))
            .await;
            ours.push(rate(count, began));
            self.assert_made(&wants).await;

            let mut loops = vec![];
            for _ in 0..AT_ONCE {
                loops.push(self.postgres.admin("postgres").await);
            }
            let began = Instant::now();
            join_all(loops.iter_mut().enumerate().map(async |(each, connection)| {
                for number in 0..IN_A_ROW {
                    run(connection, &format!("CREATE DATABASE raw_{round}_{each}_{number}")).await;
                }
            }))
            .await;
            theirs.push(rate(count, began));
        }
        Measure::new("pool drained rate", "databases/s", &ours).against(LOOP, &theirs)
    }

    async fn make(&self, want: &DatabaseSpec) {
        let mut session = self.gate.open(&self.pool, Cause::new(&want.physical, "bench")).await.unwrap();
        assert_eq!(markers(session.reader(), &of_claim(want)).await.unwrap(), []);
        let facts = look::look(&self.pool, session.reader(), &want.physical, vec![]).await.unwrap();
        let mut plan = plan(want, &facts).unwrap();
        tenancy::hold(&mut plan.batches, None, &want.tenant_uid);
        assert_eq!(session.write(&plan.batches).await.unwrap().unwrap().phase, Phase::Bound);
    }

    async fn execute(&self, batches: &[Batch]) {
        let session = self.gate.open(&self.pool, Cause::new("the warm pool", "bench")).await.unwrap();
        session.run(batches).await.unwrap();
    }

    /// Every one of them is as it has to be.
    async fn assert_made(&self, wants: &[DatabaseSpec]) {
        let mut reader = self.pool.operator().await.unwrap();
        let facts = catalog(&mut reader, &Scope::all_databases()).await.unwrap();
        let markers = observe::markers(&mut reader, &Markers::All).await.unwrap();
        reader.release().await;
        let facts = Facts { markers, ..facts };
        assert!(wants.iter().all(|want| plan(want, &facts).unwrap().is_empty()));
    }
}

/// The rows that a claim's turn reads first.
fn of_claim(want: &DatabaseSpec) -> Markers<'_> {
    let (namespace, name) = (&want.claim.namespace, &want.claim.name);
    Markers::OfClaim { tenant_uid: &want.tenant_uid, namespace, name }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "counts of some dozens")]
fn rate(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}
