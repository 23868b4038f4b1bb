//! The SQL of the user service. Each operation is one statement, so none can be left half done.

use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::logic::{ListQuery, User, ValidUser, like_pattern};
use crate::services::database::{Database, DatabaseError};
use crate::services::http::etag::IfMatch;

/// Why an operation on users failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such user.
    #[error("there is no such user")]
    NotFound,
    /// Another user has the address.
    #[error("another user has this email address")]
    EmailTaken,
    /// The user has another version than the caller expects.
    #[error("the user has another version")]
    VersionMismatch,
    /// The database failed.
    #[error("failed to store or read users")]
    Database(#[source] DatabaseError),
}

/// Where users are kept. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
}

/// What every statement returns of a user. Times as microseconds since 1970: exact, and independent of settings.
macro_rules! columns {
    () => {
        "id, email, name, profile, preferences,
         (extract(epoch FROM created_at) * 1000000)::bigint AS created_at,
         (extract(epoch FROM updated_at) * 1000000)::bigint AS updated_at,
         version"
    };
}

struct Row {
    id: Uuid,
    email: String,
    name: String,
    profile: Json<Map<String, Value>>,
    preferences: Json<Map<String, Value>>,
    created_at: i64,
    updated_at: i64,
    version: i64,
}

impl FromRow<'_, PgRow> for Row {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            profile: row.try_get("profile")?,
            preferences: row.try_get("preferences")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            version: row.try_get("version")?,
        })
    }
}

impl Store {
    /// A store in that database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Users after the query's cursor in the order of their ids, one more than its limit if there are.
    ///
    /// A search reads users in that order until the page is full: cheap while matches are common, a scan of the table
    /// where they are rare. An index on trigrams would need an extension that a tenant's login may not create.
    pub async fn list(&self, query: &ListQuery) -> Result<Vec<User>, StoreError> {
        const ALL: &str = concat!("SELECT ", columns!(), " FROM users WHERE id > $1 ORDER BY id LIMIT $2");
        const MATCHING: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM users WHERE id > $1 AND (name ILIKE $3 ESCAPE '\\' OR email ILIKE $3 ESCAPE '\\')
             ORDER BY id LIMIT $2"
        );
        let mut session = self.database.acquire().await?;
        let pattern = query.search.as_deref().map(like_pattern);
        let statement = sqlx::query_as::<_, Row>(if pattern.is_some() { MATCHING } else { ALL })
            .bind(query.after.unwrap_or(Uuid::nil()))
            .bind(i64::from(query.limit) + 1);
        let statement = match pattern {
            Some(pattern) => statement.bind(pattern),
            None => statement,
        };
        let rows = statement.fetch_all(&mut *session).await;
        Ok(session.done(rows.and_then(|rows| rows.into_iter().map(User::try_from).collect()))?)
    }

    /// The user with that id.
    pub async fn get(&self, id: Uuid) -> Result<Option<User>, StoreError> {
        const ONE: &str = concat!("SELECT ", columns!(), " FROM users WHERE id = $1");
        let mut session = self.database.acquire().await?;
        let row = sqlx::query_as::<_, Row>(ONE).bind(id).fetch_optional(&mut *session).await;
        Ok(session.done(row.and_then(|row| row.map(User::try_from).transpose()))?)
    }

    /// Adds a user.
    pub async fn create(&self, id: Uuid, user: &ValidUser) -> Result<User, StoreError> {
        const INSERT: &str = concat!(
            "INSERT INTO users (id, email, name, profile, preferences) VALUES ($1, $2, $3, $4, $5) RETURNING ",
            columns!()
        );
        let mut session = self.database.acquire().await?;
        let row = sqlx::query_as::<_, Row>(INSERT)
            .bind(id)
            .bind(&user.email)
            .bind(&user.name)
            .bind(Json(&user.profile))
            .bind(Json(&user.preferences))
            .fetch_one(&mut *session)
            .await;
        Ok(session.done(row.and_then(User::try_from))?)
    }

    /// Replaces everything that a caller may set, if the condition holds.
    pub async fn replace(&self, id: Uuid, user: &ValidUser, condition: &IfMatch) -> Result<User, StoreError> {
        const UPDATE: &str = concat!(
            "UPDATE users SET email = $2, name = $3, profile = $4, preferences = $5, updated_at = now(),
                    version = version + 1
             WHERE id = $1 AND ($6::bigint[] IS NULL OR version = ANY ($6)) RETURNING ",
            columns!()
        );
        let mut session = self.database.acquire().await?;
        let row = sqlx::query_as::<_, Row>(UPDATE)
            .bind(id)
            .bind(&user.email)
            .bind(&user.name)
            .bind(Json(&user.profile))
            .bind(Json(&user.preferences))
            .bind(versions(condition))
            .fetch_optional(&mut *session)
            .await;
        match session.done(row.and_then(|row| row.map(User::try_from).transpose()))? {
            Some(user) => Ok(user),
            None => Err(self.why_untouched(id).await?),
        }
    }

    /// Removes a user, if the condition holds.
    pub async fn delete(&self, id: Uuid, condition: &IfMatch) -> Result<(), StoreError> {
        const DELETE: &str =
            "DELETE FROM users WHERE id = $1 AND ($2::bigint[] IS NULL OR version = ANY ($2))";
        let mut session = self.database.acquire().await?;
        let deleted = sqlx::query(DELETE).bind(id).bind(versions(condition)).execute(&mut *session).await;
        if session.done(deleted)?.rows_affected() == 0 { Err(self.why_untouched(id).await?) } else { Ok(()) }
    }

    /// Why a conditional write touched nothing: no such user, or another version.
    async fn why_untouched(&self, id: Uuid) -> Result<StoreError, StoreError> {
        Ok(if self.get(id).await?.is_some() { StoreError::VersionMismatch } else { StoreError::NotFound })
    }
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        if error.violated_unique_constraint() == Some("users_email_key") {
            Self::EmailTaken
        } else {
            Self::Database(error)
        }
    }
}

/// The versions that a condition admits; none means any.
fn versions(condition: &IfMatch) -> Option<&[i64]> {
    match condition {
        IfMatch::Any => None,
        IfMatch::Versions(versions) => Some(versions),
    }
}

impl TryFrom<Row> for User {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let time = |microseconds| {
            Timestamp::from_microsecond(microseconds).map_err(|error| sqlx::Error::Decode(error.into()))
        };
        Ok(Self {
            id: row.id,
            email: row.email,
            name: row.name,
            profile: row.profile.0,
            preferences: row.preferences.0,
            created_at: time(row.created_at)?,
            updated_at: time(row.updated_at)?,
            version: row.version,
        })
    }
}
