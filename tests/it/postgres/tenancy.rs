//! Two transactions at once, one of which takes a server for its tenant alone: one of them always sees the other.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor, PgConnection};
use tenantry::controller::tenant_database::tenancy;
use tenantry::postgres::facts::{Marker, Phase};
use tenantry::postgres::statement::{Batch, Statement};
use tokio::task::JoinHandle;

use super::fixture::{Fixture, run, texts, want};
use crate::support::postgres::Version;
use crate::support::wait_until;

on_every_version! {
    whoever_comes_second_sees_who_was_first_though_nothing_was_committed_when_he_began,
}

/// What adds a row for a new tenant, as a claim's turn sends it.
fn adding(own_server: bool) -> String {
    let spec = want(&["app"]);
    let row = Marker {
        tenant_uid: spec.tenant_uid.clone(),
        name: spec.name.as_str().to_owned(),
        tenant_id: spec.tenant_id,
        physical_name: spec.physical.to_string(),
        claim: spec.claim,
        phase: Phase::Creating,
        generation: 1,
        epoch: 0,
        logins: [].into(),
        adopted: None,
        deletion_policy: spec.deletion_policy,
        own_server,
    };
    let mut batches = [Batch::server(vec![Statement::InsertMarker(row)])];
    tenancy::hold(&mut batches, None, &spec.tenant_uid);
    let texts: Vec<String> = batches[0].statements.iter().map(|it| it.sql().unwrap()).collect();
    format!("BEGIN; {}", texts.join("; "))
}

/// Sends it, and says whether it may go on.
async fn may_go_on(session: &mut PgConnection, sql: String) -> bool {
    let rows = session.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    !rows.is_empty()
}

async fn whoever_comes_second_sees_who_was_first_though_nothing_was_committed_when_he_began(
    version: Version,
) {
    let fixture = Fixture::prepared(version).await;
    let mut look = fixture.superuser("tenantry").await;
    for (first, second, expected) in
        [(false, true, false), (true, false, false), (true, true, false), (false, false, true)]
    {
        let (mut one, mut other) = (fixture.superuser("tenantry").await, fixture.superuser("tenantry").await);
        assert!(may_go_on(&mut one, adding(first)).await, "nobody else is there");
        let sql = adding(second);
        let waiting: JoinHandle<bool> = tokio::spawn(async move { may_go_on(&mut other, sql).await });
        if first || second {
            wait_until(Duration::from_secs(30), "the second waits for the first", async || {
                let waits =
                    "SELECT 'x' FROM pg_locks WHERE relation = 'tenantry.marker'::regclass AND NOT granted";
                if texts(&mut look, waits).await.is_empty() { Err("it does not".to_owned()) } else { Ok(()) }
            })
            .await;
        }
        run(&mut one, "COMMIT").await;
        assert_eq!(waiting.await.unwrap(), expected, "{first} {second}");
        run(&mut look, "DELETE FROM tenantry.marker").await;
    }
}
