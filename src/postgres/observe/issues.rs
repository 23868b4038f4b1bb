//! The rows of the credential table.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{ObserveError, failed, queries, read};
use crate::api::names::{PhysicalName, Side};
use crate::postgres::connect::Connection;
use crate::postgres::issue::{Earlier, Issue};

const WHAT: &str = "the credential table";

/// Reads what is recorded of a database's credentials; the session is in the operator database.
pub async fn issues(
    connection: &mut Connection,
    database: &PhysicalName,
) -> Result<BTreeMap<String, Issue>, ObserveError> {
    let rows = read(connection, WHAT, sqlx::query(queries::ISSUES).bind(database.as_str())).await?;
    let mut issues = BTreeMap::new();
    for row in &rows {
        let name: String = row.try_get(0).map_err(|source| failed(connection, WHAT, source))?;
        let issue = issue(row).map_err(|source| failed(connection, WHAT, source))?;
        let Some(issue) = issue else {
            return Err(ObserveError::UnknownIssue { physical_name: database.to_string(), name });
        };
        issues.insert(name, issue);
    }
    Ok(issues)
}

fn issue(row: &PgRow) -> Result<Option<Issue>, sqlx::Error> {
    let time = |micros: i64| Timestamp::from_microsecond(micros).ok();
    let (side, earlier): (String, String) = (row.try_get(1)?, row.try_get(3)?);
    let (issued_at, since): (i64, Option<i64>) = (row.try_get(2)?, row.try_get(4)?);
    let earlier = Earlier::of_columns(&earlier, since.and_then(time));
    let (Some(side), Some(issued_at), Some(earlier)) = (Side::parse(&side), time(issued_at), earlier) else {
        return Ok(None);
    };
    let (rotated_for, compromised_for) = (row.try_get(5)?, row.try_get(6)?);
    Ok(Some(Issue { side, issued_at, earlier, rotated_for, compromised_for }))
}
