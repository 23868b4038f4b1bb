//! Reads roles that can do more on a server than any login of ours.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{ObserveError, failed, read};
use crate::postgres::connect::Connection;
use crate::postgres::facts::ElevatedRole;

/// Roles that can do more than our layout gives to anybody, but the bootstrap superuser, the predefined roles and our login:
/// one row each, with what is said of them.
const ELEVATED: &str = "\
SELECT r.rolname::text, array_remove(ARRAY[ \
       CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, \
       CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END, \
       CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL) || m.groups \
FROM pg_roles r CROSS JOIN LATERAL ( \
       SELECT coalesce(array_agg(DISTINCT 'a member of ' || g.rolname), '{}') \
       FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid WHERE a.member = r.oid AND g.oid < 16384) m (groups) \
WHERE r.oid >= 16384 AND r.rolname <> current_user \
  AND (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls OR m.groups <> '{}') \
ORDER BY 1";

/// Reads the roles of the server that can do more than any login of ours: neither predefined, nor the server's first
/// superuser, nor our own login.
pub async fn elevated_roles(connection: &mut Connection) -> Result<Vec<ElevatedRole>, ObserveError> {
    const WHAT: &str = "roles with elevated rights";
    let rows = read(connection, WHAT, sqlx::query(ELEVATED)).await?;
    let decode = |row: &PgRow| Ok(ElevatedRole { name: row.try_get(0)?, rights: row.try_get(1)? });
    rows.iter().map(decode).collect::<Result<_, _>>().map_err(|source| failed(connection, WHAT, source))
}
