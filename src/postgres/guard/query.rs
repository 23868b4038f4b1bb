//! The query of the guard's look, and how its rows read.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::decide::{Seen, Wait, Who};
use crate::postgres::settings::TimeLimits;

/// How full the notification queue is, and everybody who holds a lock or waits for one, in one pass over the lock table;
/// one row without a session if nobody does. Functions and not the views over them, which open shared catalogs that may be
/// locked. `$1` is the age in seconds from which a wait's blockers are worth knowing: that takes the whole lock table for a
/// moment. The queue is asked for in every look: that is also what empties a full one of what nobody waits for any more.
pub(super) const LOOK: &str = "\
WITH held AS MATERIALIZED ( \
  SELECT l.pid, count(*) FILTER (WHERE NOT l.fastpath) AS locks, \
         min(l.relation) FILTER (WHERE l.locktype = 'relation' AND l.database = 0 \
           AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')) AS catalog, \
         array_agg(DISTINCT l.objid) FILTER (WHERE l.locktype = 'object' AND l.database = 0 AND l.objid <> 0 \
           AND l.classid = 'pg_database'::regclass) AS databases, \
         array_agg(DISTINCT l.objid) FILTER (WHERE l.locktype = 'object' AND l.database = 0 \
           AND l.classid = 'pg_authid'::regclass) AS roles, \
         coalesce(bool_or(l.locktype = 'object' AND l.database = 0 AND l.objid = 0 \
           AND l.classid = 'pg_database'::regclass), false) AS notifies, \
         min(l.waitstart) FILTER (WHERE NOT l.granted) AS waitstart, \
         coalesce(bool_or(l.database = 0) FILTER (WHERE NOT l.granted), false) AS waits_shared \
  FROM pg_lock_status() l WHERE l.pid <> pg_backend_pid() GROUP BY l.pid \
), seen AS ( \
  SELECT h.*, a.datid, a.backend_start, a.xact_start, a.backend_type, \
         CASE WHEN a.state IN ('active', 'fastpath function call') THEN a.query_start END AS statement, \
         CASE WHEN a.state LIKE 'idle in transaction%' THEN a.state_change END AS idle, \
         CASE WHEN a.usesysid <> 0 THEN pg_get_userbyid(a.usesysid)::text END AS login, \
         a.application_name = 'tenantry' AND pg_get_userbyid(a.usesysid) = session_user AS ours \
  FROM held h LEFT JOIN pg_stat_get_activity(NULL) a ON a.pid = h.pid \
) \
SELECT s.pid, coalesce(s.backend_start::text, ''), s.login, m.physical_name, coalesce(s.ours, false), \
       coalesce(s.backend_type, 'client backend') = 'client backend', s.locks, s.catalog::regclass::text, \
       ARRAY(SELECT d.datname::text FROM pg_database d WHERE d.oid = ANY (s.databases) AND d.oid <> s.datid), \
       ARRAY(SELECT pg_get_userbyid(role)::text FROM unnest(s.roles) AS role), \
       coalesce(extract(epoch FROM clock_timestamp() - s.xact_start), 0)::float8, \
       extract(epoch FROM clock_timestamp() - s.waitstart)::float8, s.waits_shared, \
       CASE WHEN extract(epoch FROM clock_timestamp() - s.waitstart) >= $1 \
         AND (s.ours OR s.waits_shared OR s.login IS NULL) THEN pg_blocking_pids(s.pid) ELSE '{}' END, \
       q.usage, s.notifies, m.roles, \
       coalesce(s.login = m.physical_name || '_archive' AND EXISTS (SELECT FROM tenantry.pool p \
         WHERE p.layout = 'archive-' || m.physical_name), false), \
       extract(epoch FROM clock_timestamp() - s.statement)::float8, \
       extract(epoch FROM clock_timestamp() - s.idle)::float8, \
       CASE WHEN m.limited THEN ARRAY(SELECT unnest(o.setconfig) FROM pg_db_role_setting o \
         WHERE o.setdatabase = s.datid AND o.setrole = 0) ELSE '{}' END \
FROM (SELECT pg_notification_queue_usage() AS usage) q \
LEFT JOIN seen s ON true \
LEFT JOIN (SELECT physical_name, CASE WHEN management = 'Full' THEN physical_name \
             ELSE 't_' || tenant_id || '_' || replace(name, '-', '_') END AS roles, phase = 'Bound' AND management = 'Full' AS limited, unnest(logins) AS login \
           FROM tenantry.marker) m ON m.login = s.login";

/// Reads how full the notification queue is, and the session of the row with its process id.
pub(super) fn seen(row: &PgRow) -> Result<(f64, Option<(i32, Seen)>), sqlx::Error> {
    let queue = row.try_get(14)?;
    let Some(pid) = row.try_get(0)? else { return Ok((queue, None)) };
    let (login, database): (Option<String>, Option<String>) = (row.try_get(2)?, row.try_get(3)?);
    let roles: Option<String> = row.try_get(16)?;
    let (ours, client): (bool, bool) = (row.try_get(4)?, row.try_get(5)?);
    let who = match (login, database) {
        _ if ours => Who::Operator,
        (Some(login), Some(database)) if client => {
            let archives = row.try_get(17)?;
            Who::Tenant { login, roles: roles.unwrap_or_else(|| database.clone()), database, archives }
        }
        (None, _) if client => Who::Starting,
        _ => Who::Other,
    };
    let waited: Option<f64> = row.try_get(11)?;
    let blockers: Vec<i32> = row.try_get(13)?;
    let shared = row.try_get(12)?;
    let wait =
        waited.map(|seconds| Wait { time: time(seconds), shared, blockers: blockers.into_iter().collect() });
    let (statement, idle): (Option<f64>, Option<f64>) = (row.try_get(18)?, row.try_get(19)?);
    let settings: Vec<String> = row.try_get(20)?;
    let seen = Seen {
        started: row.try_get(1)?,
        who,
        locks: u32::try_from(row.try_get::<i64, _>(6)?).unwrap_or(u32::MAX),
        catalog: row.try_get(7)?,
        databases: row.try_get(8)?,
        roles: row.try_get(9)?,
        notifies: row.try_get(15)?,
        transaction: time(row.try_get(10)?),
        statement: statement.map(time),
        idle_in_transaction: idle.map(time),
        limits: TimeLimits::of_settings(settings.iter().map(String::as_str)),
        wait,
    };
    Ok((queue, Some((pid, seen))))
}

/// A clock that went back gives no time at all.
fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
