//! What a server says of a tombstone, and of what depends on its roles.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{ObserveError, failed, read};
use crate::postgres::connect::Connection;
use crate::postgres::tombstone::{Dependency, OwnRole, Tombstone};

const TOMBSTONE: &str = "\
SELECT floor(extract(epoch FROM droppable_at))::bigint, droppable_at <= now(), archive FROM tenantry.tombstone WHERE physical_name = $1";

/// Only what all databases of a server share can be described from any of them.
const DEPENDENCIES: &str = "\
SELECT r.rolname::text, CASE WHEN s.dbid = 0 THEN pg_describe_object(s.classid, s.objid, s.objsubid) \
       ELSE format('%s in database %s', s.classid::regclass, d.datname) END, count(*) \
FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid LEFT JOIN pg_database d ON d.oid = s.dbid \
WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = ANY ($1) \
GROUP BY 1, 2 ORDER BY 1, 2";

/// Reads the tombstone of the database that has that name in its marker row; the session is in the operator database.
pub async fn tombstone(
    connection: &mut Connection,
    physical_name: &str,
) -> Result<Option<Tombstone>, ObserveError> {
    const WHAT: &str = "the tombstones";
    let rows = read(connection, WHAT, sqlx::query(TOMBSTONE).bind(physical_name)).await?;
    let decode = |row: &PgRow| -> Result<Tombstone, sqlx::Error> {
        Ok(Tombstone {
            droppable_at: row.try_get(0)?,
            grace_ended: row.try_get(1)?,
            archive: row.try_get(2)?,
        })
    };
    rows.first().map(decode).transpose().map_err(|source| failed(connection, WHAT, source))
}

/// Reads what depends on those roles: nothing of it goes with them.
pub async fn dependencies(
    connection: &mut Connection,
    roles: &[OwnRole],
) -> Result<Vec<Dependency>, ObserveError> {
    const WHAT: &str = "what depends on roles";
    let names: Vec<&str> = roles.iter().map(OwnRole::as_str).collect();
    let rows = read(connection, WHAT, sqlx::query(DEPENDENCIES).bind(names)).await?;
    let decode = |row: &PgRow| -> Result<Dependency, sqlx::Error> {
        Ok(Dependency { role: row.try_get(0)?, object: row.try_get(1)?, count: row.try_get(2)? })
    };
    rows.iter().map(decode).collect::<Result<_, _>>().map_err(|source| failed(connection, WHAT, source))
}
