//! Errors as `application/problem+json` (RFC 9457), with one extra member, `error`, that carries the words which
//! clients of the systems we stand up already look for.

use std::error::Error;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Content type of a [`Problem`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// How long a client should wait when a dependency of ours is away.
const RETRY_AFTER_SECONDS: u32 = 2;

/// An error that is told to the client. What it must not see is kept in the cause, which is only logged.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: Option<String>,
    errors: Vec<Fault>,
    cause: Option<Cause>,
}

/// What is wrong with one member of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: a JSON pointer into the body, or the name of a parameter.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong, and what would be right.
    pub detail: String,
}

/// Where a [`Fault`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A JSON pointer into the body.
    Pointer(&'static str),
    /// A query parameter.
    Parameter(&'static str),
    /// A header.
    Header(&'static str),
}

impl Fault {
    /// A fault in the body.
    pub fn at(pointer: &'static str, detail: impl Into<String>) -> Self {
        Self { place: Place::Pointer(pointer), detail: detail.into() }
    }

    /// A fault in a query parameter.
    pub fn parameter(name: &'static str, detail: impl Into<String>) -> Self {
        Self { place: Place::Parameter(name), detail: detail.into() }
    }

    /// A fault in a header.
    pub fn header(name: &'static str, detail: impl Into<String>) -> Self {
        Self { place: Place::Header(name), detail: detail.into() }
    }
}

/// The chain of errors behind a response, for the request's log line. Rides on the response as an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(pub String);

impl Cause {
    /// An error and everything below it, outermost first.
    pub fn of(error: &dyn Error) -> Self {
        let mut chain = error.to_string();
        let mut next = error.source();
        while let Some(source) = next {
            let text = source.to_string();
            // Libraries repeat their source in their own message: saying it twice helps nobody.
            if !chain.contains(&text) {
                chain.push_str(": ");
                chain.push_str(&text);
            }
            next = source.source();
        }
        Self(chain)
    }
}

impl Problem {
    /// A problem that its status says enough about.
    pub fn new(status: StatusCode) -> Self {
        Self { status, detail: None, errors: Vec::new(), cause: None }
    }

    /// A problem with a sentence for the client.
    pub fn with_detail(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(status) }
    }

    /// A request whose parameters or headers cannot be read.
    pub fn bad_request(errors: Vec<Fault>) -> Self {
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST) }
    }

    /// A body that was read but breaks rules.
    pub fn unprocessable(errors: Vec<Fault>) -> Self {
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY) }
    }

    /// Our fault. The client learns nothing but that.
    pub fn internal(error: &dyn Error) -> Self {
        Self { cause: Some(Cause::of(error)), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR) }
    }

    /// A dependency of ours is away; the client may try again.
    pub fn unavailable(detail: impl Into<String>, error: Option<&dyn Error>) -> Self {
        Self { cause: error.map(Cause::of), ..Self::with_detail(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// The words of member `error`.
    fn words(&self) -> &'static str {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => "Rate limit exceeded",
            StatusCode::INTERNAL_SERVER_ERROR => "Internal server error",
            other => other.canonical_reason().unwrap_or("Error"),
        }
    }
}

#[derive(Serialize)]
struct Body<'p> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    error: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'p str>,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'p [Fault],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            error: self.words(),
            detail: self.detail.as_deref(),
            errors: &self.errors,
        };
        // Strings and numbers only: this cannot fail, and an empty body still carries the status.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let mut response =
            (self.status, [(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))], bytes)
                .into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::*;

    async fn body_of(problem: Problem) -> Value {
        let bytes = problem.into_response().into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn the_error_member_carries_the_words_that_clients_know() {
        let words = [
            (StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"),
            (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests", "Rate limit exceeded"),
            (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", "Internal server error"),
            (StatusCode::NOT_FOUND, "Not Found", "Not Found"),
        ];
        for (status, title, error) in words {
            assert_eq!(
                body_of(Problem::new(status)).await,
                json!({"type": "about:blank", "title": title, "status": status.as_u16(), "error": error})
            );
        }
    }

    #[tokio::test]
    async fn faults_say_where_and_what() {
        let faults = vec![
            Fault::at("/email", "is missing"),
            Fault::parameter("limit", "must be a number"),
            Fault::header("if-match", "must be a list of entity tags"),
        ];
        assert_eq!(
            body_of(Problem::unprocessable(faults)).await,
            json!({
                "type": "about:blank", "title": "Unprocessable Entity", "status": 422,
                "error": "Unprocessable Entity",
                "errors": [
                    {"pointer": "/email", "detail": "is missing"},
                    {"parameter": "limit", "detail": "must be a number"},
                    {"header": "if-match", "detail": "must be a list of entity tags"},
                ],
            })
        );
    }

    #[tokio::test]
    async fn the_cause_of_an_internal_error_is_for_the_log_only() {
        #[derive(Debug, thiserror::Error)]
        #[error("failed to read the row")]
        struct Outer(#[source] std::io::Error);
        let problem = Problem::internal(&Outer(std::io::Error::other("column secret is missing")));
        let response = problem.into_response();
        assert_eq!(
            response.extensions().get::<Cause>(),
            Some(&Cause("failed to read the row: column secret is missing".to_owned()))
        );
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            serde_json::from_slice::<Value>(&bytes).unwrap(),
            json!({
                "type": "about:blank", "title": "Internal Server Error", "status": 500,
                "error": "Internal server error",
            })
        );
    }

    #[test]
    fn a_missing_dependency_says_when_to_try_again() {
        let response = Problem::unavailable("the database cannot be reached", None).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
    }
}
