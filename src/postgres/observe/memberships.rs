//! Reads who is a member of what, and by whose grant.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{ObserveError, Scope, failed, queries, read};
use crate::postgres::connect::Connection;
use crate::postgres::facts::{Facts, Membership};

/// The first release in which several grantors may grant one membership, each for itself.
const SEPARATE_GRANTS: u32 = 160_000;

/// Adds the memberships of the scope, and from the release on that tells them apart those who granted each.
pub(super) async fn read_into(
    facts: &mut Facts,
    connection: &mut Connection,
    scope: &Scope,
    version_number: u32,
) -> Result<(), ObserveError> {
    const WHAT: &str = "memberships";
    let query = sqlx::query(queries::MEMBERSHIPS).bind(&scope.roles).bind(&scope.role_prefix);
    let rows = read(connection, WHAT, query).await?;
    let enter = |row: &PgRow| -> Result<(), sqlx::Error> {
        let membership = Membership { group: row.try_get(0)?, member: row.try_get(1)? };
        if version_number >= SEPARATE_GRANTS {
            let grantors = row.try_get::<Vec<String>, _>(3)?.into_iter().collect();
            facts.grantors.insert(membership.clone(), grantors);
        }
        facts.memberships.insert(membership, row.try_get(2)?);
        Ok(())
    };
    rows.iter().try_for_each(enter).map_err(|source| failed(connection, WHAT, source))
}
