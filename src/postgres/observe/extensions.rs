//! Which extensions a server could make.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{ObserveError, failed, read};
use crate::postgres::connect::Connection;
use crate::postgres::extension::Available;

/// One row an extension, whatever the number of its versions.
const AVAILABLE: &str = "\
SELECT v.name::text, v.version, v.trusted, v.schema::text, coalesce(v.requires, '{}')::text[] \
FROM pg_available_extensions e \
JOIN pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version \
ORDER BY v.name::text COLLATE \"C\"";

/// Reads which extensions the server could make, by name. Any session on it will do.
pub async fn available(connection: &mut Connection) -> Result<Vec<Available>, ObserveError> {
    const WHAT: &str = "the extensions that there are";
    let rows = read(connection, WHAT, sqlx::query(AVAILABLE)).await?;
    let decode = |row: &PgRow| -> Result<Available, sqlx::Error> {
        Ok(Available {
            name: row.try_get(0)?,
            version: row.try_get(1)?,
            trusted: row.try_get(2)?,
            schema: row.try_get(3)?,
            requires: row.try_get::<Vec<String>, _>(4)?.into_iter().collect(),
        })
    };
    rows.iter().map(decode).collect::<Result<_, _>>().map_err(|source| failed(connection, WHAT, source))
}
