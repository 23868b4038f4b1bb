//! What a server says of a tombstone, of who can get into it, and of what depends on its roles.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{ObserveError, failed, read};
use crate::api::names::PhysicalName;
use crate::postgres::connect::Connection;
use crate::postgres::quote::Ident;
use crate::postgres::statement::{CLIENT, logins_let_in};
use crate::postgres::tombstone::{CUT_SHORT, Dependency, Extent, Insider, OwnRole, Tombstone, TombstoneName};

const TOMBSTONE: &str = "\
SELECT floor(extract(epoch FROM t.droppable_at))::bigint, t.droppable_at <= now(), t.archive, d.datconnlimit \
FROM tenantry.tombstone t LEFT JOIN pg_database d ON d.datname = $2 WHERE t.physical_name = $1";

/// Only what all databases of a server share can be described from any of them. What a role was granted in a database that we
/// made and can enter (`a`), or is named for in a policy there (`r`), its tenant gave it; what it owns (`o`) is told apart.
const DEPENDENCIES: &str = "\
SELECT r.rolname::text, CASE WHEN s.dbid = 0 THEN pg_describe_object(s.classid, s.objid, s.objsubid) \
       ELSE format('%s in database %s', s.classid::regclass, d.datname) END, count(*), \
       CASE WHEN s.deptype IN ('a', 'r') AND d.datallowconn AND EXISTS (SELECT FROM tenantry.marker m \
         WHERE m.physical_name = d.datname AND m.management = 'Full') THEN d.datname::text END \
FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid LEFT JOIN pg_database d ON d.oid = s.dbid \
WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = ANY ($1) \
GROUP BY 1, 2, 4 ORDER BY 1, 2, 4";

/// Reads the tombstone of the database that has that name in its marker row; the session is in the operator database.
pub async fn tombstone(
    connection: &mut Connection,
    physical: &PhysicalName,
) -> Result<Option<Tombstone>, ObserveError> {
    const WHAT: &str = "the tombstones";
    let name = TombstoneName::of(physical);
    let query = sqlx::query(TOMBSTONE).bind(physical.as_str()).bind(name.as_str());
    let rows = read(connection, WHAT, query).await?;
    let decode = |row: &PgRow| -> Result<Tombstone, sqlx::Error> {
        let extent = match row.try_get::<Option<i32>, _>(3)? {
            None => Extent::Gone,
            Some(CUT_SHORT) => Extent::CutShort,
            Some(_) => Extent::Whole,
        };
        Ok(Tombstone {
            droppable_at: row.try_get(0)?,
            grace_ended: row.try_get(1)?,
            archive: row.try_get(2)?,
            extent,
        })
    };
    rows.first().map(decode).transpose().map_err(|source| failed(connection, WHAT, source))
}

/// Reads what the marker row of a released database holds of its archive; the session is in the operator database.
pub async fn kept_archive(
    connection: &mut Connection,
    physical: &PhysicalName,
) -> Result<Option<String>, ObserveError> {
    const WHAT: &str = "the marker table";
    let query =
        sqlx::query("SELECT archive FROM tenantry.marker WHERE physical_name = $1").bind(physical.as_str());
    let rows = read(connection, WHAT, query).await?;
    let held = rows.first().map(|row| row.try_get::<Option<String>, _>(0)).transpose();
    Ok(held.map_err(|source| failed(connection, WHAT, source))?.flatten())
}

/// Reads who can get into the database that an archive is made of, and who is in it; the session is in the operator database.
pub async fn insiders(
    connection: &mut Connection,
    physical: &PhysicalName,
    source: &Ident,
) -> Result<Vec<Insider>, ObserveError> {
    const WHAT: &str = "who can get into a database";
    let query = format!(
        "SELECT true, i.rolname::text FROM tenantry.marker m, pg_database d, LATERAL ({}) i \
         WHERE m.physical_name = $1 AND d.datname = $2 \
         UNION ALL SELECT DISTINCT false, coalesce(pg_get_userbyid(a.usesysid)::text, '') \
         FROM pg_stat_get_activity(NULL) a JOIN pg_database d ON d.oid = a.datid WHERE d.datname = $2 AND {CLIENT} \
         ORDER BY 1 DESC, 2",
        logins_let_in(physical)
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(physical.as_str()).bind(source.as_str());
    let rows = read(connection, WHAT, query).await?;
    let decode = |row: &PgRow| -> Result<Insider, sqlx::Error> {
        let (is_login, name) = (row.try_get(0)?, row.try_get(1)?);
        Ok(if is_login { Insider::Login(name) } else { Insider::Session(name) })
    };
    rows.iter().map(decode).collect::<Result<_, _>>().map_err(|source| failed(connection, WHAT, source))
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
        let (role, object, count) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(Dependency { role, object, count, granted_in: row.try_get(3)? })
    };
    rows.iter().map(decode).collect::<Result<_, _>>().map_err(|source| failed(connection, WHAT, source))
}
