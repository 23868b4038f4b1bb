//! Reads roles that can do more on a server than any login of ours.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{ObserveError, failed, read};
use crate::postgres::connect::Connection;
use crate::postgres::facts::ElevatedRole;

/// Roles that can do more than our layout gives to anybody, but the bootstrap superuser, the predefined roles and our login:
/// one row each, with what is said of them. A member can become what its groups are, and their groups: the nearest that can
/// do more are named.
const ELEVATED: &str = "\
WITH RECURSIVE known AS ( \
       SELECT oid, rolname::text AS name, array_remove(ARRAY[ \
              CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END, \
              CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END, \
              CASE WHEN rolbypassrls THEN 'BYPASSRLS' END], NULL) AS rights \
       FROM pg_roles), \
     strong AS (SELECT oid, name FROM known WHERE oid < 16384 OR rights <> '{}'), \
     reached (member, above) AS ( \
       SELECT a.member, s.name FROM pg_auth_members a JOIN strong s ON s.oid = a.roleid \
       UNION \
       SELECT a.member, r.above FROM reached r JOIN pg_auth_members a ON a.roleid = r.member \
       WHERE r.member NOT IN (SELECT oid FROM strong)) \
SELECT k.name, k.rights || ARRAY(SELECT DISTINCT 'a member of ' || above FROM reached WHERE member = k.oid ORDER BY 1) \
FROM known k \
WHERE k.oid >= 16384 AND k.name <> current_user::text \
  AND (k.rights <> '{}' OR k.oid IN (SELECT member FROM reached)) \
ORDER BY 1";

/// Reads the roles of the server that can do more than any login of ours: neither predefined, nor the server's first
/// superuser, nor our own login.
pub async fn elevated_roles(connection: &mut Connection) -> Result<Vec<ElevatedRole>, ObserveError> {
    const WHAT: &str = "roles with elevated rights";
    let rows = read(connection, WHAT, sqlx::query(ELEVATED)).await?;
    let decode = |row: &PgRow| Ok(ElevatedRole { name: row.try_get(0)?, rights: row.try_get(1)? });
    rows.iter().map(decode).collect::<Result<_, _>>().map_err(|source| failed(connection, WHAT, source))
}
