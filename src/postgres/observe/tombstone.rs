//! What a server says of a tombstone.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{ObserveError, failed, read};
use crate::postgres::connect::Connection;
use crate::postgres::facts::Tombstone;

const TOMBSTONE: &str = "\
SELECT floor(extract(epoch FROM droppable_at))::bigint, archive FROM tenantry.tombstone WHERE physical_name = $1";

/// Reads the tombstone of the database that has that name in its marker row; the session is in the operator database.
pub async fn tombstone(
    connection: &mut Connection,
    physical_name: &str,
) -> Result<Option<Tombstone>, ObserveError> {
    const WHAT: &str = "the tombstones";
    let rows = read(connection, WHAT, sqlx::query(TOMBSTONE).bind(physical_name)).await?;
    let decode = |row: &PgRow| -> Result<Tombstone, sqlx::Error> {
        Ok(Tombstone { droppable_at: row.try_get(0)?, archive: row.try_get(1)? })
    };
    rows.first().map(decode).transpose().map_err(|source| failed(connection, WHAT, source))
}
