//! What a server says of a database that we did not make.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{ObserveError, failed, read};
use crate::postgres::adoption::Existing;
use crate::postgres::connect::Connection;

const EXISTING: &str = "\
SELECT pg_get_userbyid(d.datdba)::text, d.datallowconn AND EXISTS (SELECT FROM \
       aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT') \
FROM pg_database d WHERE d.datname = $1";

/// Reads who owns the database of that name and whether PUBLIC may connect to it; `None` if there is none. Any session on the
/// server will do.
pub async fn existing(connection: &mut Connection, name: &str) -> Result<Option<Existing>, ObserveError> {
    const WHAT: &str = "the database";
    let rows = read(connection, WHAT, sqlx::query(EXISTING).bind(name)).await?;
    let decode = |row: &PgRow| -> Result<Existing, sqlx::Error> {
        Ok(Existing { owner: row.try_get(0)?, public_connects: row.try_get(1)? })
    };
    rows.first().map(decode).transpose().map_err(|source| failed(connection, WHAT, source))
}
