//! Reads the rows of the warm pool, and how many databases a server has.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Connection, ObserveError, failed, queries, read};
use crate::postgres::pool::{Member, MemberPhase, PoolName};

/// Reads the rows of the warm pool, oldest first; the session is in the operator database. A row that no version of ours
/// up to this one writes is somebody else's to understand.
pub async fn pool(connection: &mut Connection) -> Result<Vec<Member>, ObserveError> {
    const WHAT: &str = "the warm pool's table";
    let rows = read(connection, WHAT, sqlx::query(queries::POOL)).await?;
    let members: Result<Vec<Option<Member>>, sqlx::Error> = rows.iter().map(member).collect();
    Ok(members.map_err(|source| failed(connection, WHAT, source))?.into_iter().flatten().collect())
}

/// How many databases the marker rows tell of; the session is in the operator database.
pub async fn databases(connection: &mut Connection) -> Result<usize, ObserveError> {
    const WHAT: &str = "the number of databases";
    let rows = read(connection, WHAT, sqlx::query(queries::DATABASE_COUNT)).await?;
    let count: Result<i64, sqlx::Error> =
        rows.first().ok_or(sqlx::Error::RowNotFound).and_then(|row| row.try_get(0));
    let count = count.map_err(|source| failed(connection, WHAT, source))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

fn member(row: &PgRow) -> Result<Option<Member>, sqlx::Error> {
    let (name, phase): (String, String) = (row.try_get(0)?, row.try_get(2)?);
    let (layout, settled) = (row.try_get(1)?, row.try_get(3)?);
    let known = PoolName::parse(&name).zip(MemberPhase::parse(&phase));
    Ok(known.map(|(name, phase)| Member { name, layout, phase, settled }))
}
