//! From request to answer. What is valid is decided in [`super::logic`], what is stored in [`super::store`].

use axum::Json;
use axum::extract::{FromRequestParts, Path, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::UserState;
use super::logic::{ListQuery, Page, User, UserInput, parse_id};
use super::store::StoreError;
use crate::services::database::DatabaseError;
use crate::services::http::etag::{IfMatch, client_has, etag};
use crate::services::http::{JsonBody, Problem};

/// `GET /api/users?limit=&cursor=&q=`
pub async fn list(State(state): State<UserState>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = ListQuery::parse(query.as_deref().unwrap_or_default()).map_err(Problem::bad_request)?;
    let users = state.store.list(&query).await?;
    let page = Page::new(users, &query);
    let link = page.next.as_ref().map(|next| (header::LINK, format!("<{next}>; rel=\"next\"")));
    let mut response = Json(&page).into_response();
    if let Some((name, value)) = link
        && let Ok(value) = value.parse()
    {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// `POST /api/users`
pub async fn create(
    State(state): State<UserState>,
    JsonBody(input): JsonBody<UserInput>,
) -> Result<Response, Problem> {
    let valid = input.validate().map_err(Problem::unprocessable)?;
    let user = state.store.create((state.new_id)(), &valid).await?;
    let location = [(header::LOCATION, format!("/api/users/{}", user.id))];
    Ok((StatusCode::CREATED, location, Tagged(user)).into_response())
}

/// `GET /api/users/{id}`
pub async fn read(
    State(state): State<UserState>,
    UserId(id): UserId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user = state.store.get(id).await?.ok_or_else(not_found)?;
    if client_has(&headers, user.version).map_err(|fault| Problem::bad_request(vec![fault]))? {
        let tag = [(header::ETAG, etag(user.version))];
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok(Tagged(user).into_response())
}

/// `PUT /api/users/{id}`
pub async fn replace(
    State(state): State<UserState>,
    UserId(id): UserId,
    IfMatchHeader(condition): IfMatchHeader,
    JsonBody(input): JsonBody<UserInput>,
) -> Result<Response, Problem> {
    let valid = input.validate().map_err(Problem::unprocessable)?;
    Ok(Tagged(state.store.replace(id, &valid, &condition).await?).into_response())
}

/// `DELETE /api/users/{id}`
pub async fn delete(
    State(state): State<UserState>,
    UserId(id): UserId,
    IfMatchHeader(condition): IfMatchHeader,
) -> Result<StatusCode, Problem> {
    state.store.delete(id, &condition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A user with the entity tag of its version.
struct Tagged(User);

impl IntoResponse for Tagged {
    fn into_response(self) -> Response {
        ([(header::ETAG, etag(self.0.version))], Json(self.0)).into_response()
    }
}

/// The id in the path. What is no id names no user, so it is a 404 like any other.
pub struct UserId(Uuid);

impl<S: Send + Sync> FromRequestParts<S> for UserId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| not_found())?;
        parse_id(&text).map(Self).ok_or_else(not_found)
    }
}

/// The condition of a write.
pub struct IfMatchHeader(IfMatch);

impl<S: Send + Sync> FromRequestParts<S> for IfMatchHeader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        IfMatch::from_headers(&parts.headers).map(Self).map_err(|fault| Problem::bad_request(vec![fault]))
    }
}

fn not_found() -> Problem {
    Problem::with_detail(StatusCode::NOT_FOUND, "there is no user with this id")
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NotFound => not_found(),
            StoreError::EmailTaken => {
                Self::with_detail(StatusCode::CONFLICT, "another user has this email address")
            }
            StoreError::VersionMismatch => Self::with_detail(
                StatusCode::PRECONDITION_FAILED,
                "the user has changed: read it again and repeat with its new ETag",
            ),
            StoreError::Database(DatabaseError::Closed | DatabaseError::Unavailable(_)) => {
                Self::unavailable("the database is not available", Some(&error))
            }
            StoreError::Database(DatabaseError::Query(_)) => Self::internal(&error),
        }
    }
}
