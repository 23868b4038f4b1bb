//! Every statement that the gate sends leaves a record, without secrets.

use tenantry::postgres::quote::Ident;
use tenantry::postgres::record::{Cause, Outcome, Record, RowVersion};
use tenantry::postgres::statement::{Batch, Statement};

use crate::support::postgres::Version;

use super::fixture::{Fixture, epoch, verifier, want};

fn statements(records: &[Record]) -> Vec<&str> {
    let sent = records.iter().map(|record| record.statement.as_str());
    sent.filter(|sent| !["BEGIN", "COMMIT"].contains(sent)).collect()
}

#[tokio::test]
async fn what_a_plan_did_is_on_record_in_order_and_without_passwords() {
    let fixture = Fixture::shared(Version::V15).await;
    let spec = want(&["app"]);
    let plan = fixture.plan(&spec).await.unwrap();
    let (gate, cause) = (fixture.gate(None), Cause::new("TenantDatabase tenant-acme/app", "provision"));
    let session = gate.open(&fixture.pool, cause.clone()).await.unwrap();
    session.run(&plan.batches).await.unwrap();

    let taken = gate.records().take(usize::MAX);
    assert_eq!(taken.lost, 0);
    let planned = plan.batches.iter().flat_map(|batch| &batch.statements).map(ToString::to_string);
    assert_eq!(statements(&taken.records), planned.collect::<Vec<_>>());
    let access = fixture.postgres.access();
    let server = format!("{}:{}", access.host, access.port);
    let epoch = epoch(&fixture).await;
    for record in &taken.records {
        assert!(matches!(record.outcome, Outcome::Done { .. }), "{record:?}");
        assert_eq!((&record.server, &*record.cause), (&server, &cause), "{record:?}");
        assert_eq!(record.row, Some(RowVersion { generation: 1, epoch }), "{record:?}");
        assert!(!format!("{record:?}").contains(&*verifier().expose()), "{record:?}");
    }
    let mut databases: Vec<&str> = taken.records.iter().map(|record| record.database.as_str()).collect();
    databases.dedup();
    assert_eq!(databases, ["tenantry", spec.physical.as_str(), "tenantry"]);
    let mut effects: Vec<u64> = taken.records.iter().map(|record| record.effect).collect();
    effects.dedup();
    assert_eq!(effects, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_statement_that_is_refused_is_on_record_with_its_code() {
    let fixture = Fixture::shared(Version::V15).await;
    let group = Ident::parse("tenantry_databases").unwrap();
    let batch = Batch::server(vec![Statement::CreateGroup { role: group }]);
    let gate = fixture.gate(None);
    let session = gate.open(&fixture.pool, Cause::new("test", "refused")).await.unwrap();
    session.run(&[batch]).await.unwrap_err();
    let outcomes: Vec<Outcome> =
        gate.records().take(usize::MAX).records.into_iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [Outcome::Refused { code: "42710".into() }]);
}
