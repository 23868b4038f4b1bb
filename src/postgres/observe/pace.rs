//! How many databases of a server were released or removed lately.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{ObserveError, failed, read};
use crate::postgres::connect::Connection;

const PACE: &str = "\
SELECT count(*) FILTER (WHERE phase IN ('Released', 'Tombstoned') AND changed_at > now() - make_interval(secs => $1) \
           AND physical_name IS DISTINCT FROM $2), \
       count(*) \
FROM tenantry.marker";

/// Counts them, but for the one that is `at` its turn: it is one deletion, however many steps there are in it. And counts all that
/// there are. The session is in the operator database.
pub async fn pace(
    connection: &mut Connection,
    window: Duration,
    at: Option<&str>,
) -> Result<(u32, u32), ObserveError> {
    const WHAT: &str = "the marker table";
    let rows = read(connection, WHAT, sqlx::query(PACE).bind(window.as_secs_f64()).bind(at)).await?;
    let count = |row: &PgRow, column| -> Result<u32, sqlx::Error> {
        Ok(u32::try_from(row.try_get::<i64, _>(column)?).unwrap_or(u32::MAX))
    };
    let row = rows.first().ok_or(sqlx::Error::RowNotFound);
    row.and_then(|row| Ok((count(row, 0)?, count(row, 1)?)))
        .map_err(|source| failed(connection, WHAT, source))
}
