//! How many databases of a server were released or removed lately, and how many are about to be.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{ObserveError, failed, read};
use crate::postgres::connect::Connection;

/// `$1` is the length of time, `$2` the row that is not counted, `$3` and `$4` what is counted of what comes. A drop leaves no row to
/// count it by: those that are due within the same time count before the first of them. `$5` are databases that do not come.
const PACE: &str = "\
SELECT count(*) FILTER (WHERE m.physical_name IS DISTINCT FROM $2 AND (\
           m.phase IN ('Released', 'Tombstoned') AND m.changed_at > now() - make_interval(secs => $1) \
           OR m.physical_name <> ALL ($5) AND (\
             $3 AND m.phase = 'Released' AND m.deletion_policy = 'Delete' \
             OR $4 AND (m.phase = 'Dropping' OR m.phase = 'Tombstoned' AND t.archive IS NOT NULL \
                        AND t.droppable_at <= now() + make_interval(secs => $1))))), \
       count(*) \
FROM tenantry.marker m LEFT JOIN tenantry.tombstone t USING (physical_name)";

/// What counts beside what was done lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coming {
    /// Nothing.
    Nothing,
    /// Released databases whose deletion policy asks for their end.
    Ends,
    /// Tombstones that may be dropped.
    Drops,
    /// Both.
    All,
}

/// Counts them, but for the one that is `at` its turn: it is one deletion, however many steps there are in it. And counts all that
/// there are. What is `held_up` does not come by itself. The session is in the operator database.
pub async fn pace(
    connection: &mut Connection,
    window: Duration,
    at: Option<&str>,
    coming: Coming,
    held_up: &[String],
) -> Result<(u32, u32), ObserveError> {
    const WHAT: &str = "the marker table";
    let query = sqlx::query(PACE)
        .bind(window.as_secs_f64())
        .bind(at)
        .bind(matches!(coming, Coming::Ends | Coming::All))
        .bind(matches!(coming, Coming::Drops | Coming::All))
        .bind(held_up);
    let rows = read(connection, WHAT, query).await?;
    let count = |row: &PgRow, column| -> Result<u32, sqlx::Error> {
        Ok(u32::try_from(row.try_get::<i64, _>(column)?).unwrap_or(u32::MAX))
    };
    let row = rows.first().ok_or(sqlx::Error::RowNotFound);
    row.and_then(|row| Ok((count(row, 0)?, count(row, 1)?)))
        .map_err(|source| failed(connection, WHAT, source))
}
