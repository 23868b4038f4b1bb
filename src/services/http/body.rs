//! Request bodies: a JSON object of a known shape, or the refusal that says what is wrong with it.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use super::problem::Problem;

/// A JSON object, read into `T`.
///
/// # Errors
/// 415 unless the content type is JSON, 413 over the limit of the shell, 400 if it is not JSON at all, and 422 if it is
/// JSON of another shape.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::with_detail(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the content type must be application/json",
            ));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE)
            } else {
                Problem::with_detail(StatusCode::BAD_REQUEST, "the body could not be read to its end")
            }
        })?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Derived structs also accept an array of their fields in order, which nobody means to offer as an API.
    let start = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if start.is_some_and(|byte| *byte != b'{') {
        return Err(match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => Problem::with_detail(StatusCode::UNPROCESSABLE_ENTITY, "the body must be a JSON object"),
            Err(error) => not_json(&error),
        });
    }
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => Problem::with_detail(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        Category::Syntax | Category::Eof | Category::Io => not_json(&error),
    })
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::with_detail(StatusCode::BAD_REQUEST, format!("the body is not valid JSON: {error}"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        a: u8,
        b: String,
    }

    #[test]
    fn json_of_another_shape_is_422_and_what_is_not_json_is_400() {
        assert_eq!(parse::<Pair>(br#" {"a":1,"b":"x"} "#).unwrap(), Pair { a: 1, b: "x".to_owned() });
        let cases: [(&[u8], u16); 13] = [
            (b"", 400),
            (b"   ", 400),
            (b"{", 400),
            (b"{\"a\":1,\"b\":\"x\"} trailing", 400),
            (b"{\"a\":1,\"b\":\"\xff\"}", 400),
            (b"[1,", 400),
            (b"[1,\"x\"]", 422),
            (b"\"x\"", 422),
            (b"null", 422),
            (b"{\"a\":\"1\",\"b\":\"x\"}", 422),
            (b"{\"a\":1}", 422),
            (b"{\"a\":1,\"b\":\"x\",\"c\":1}", 422),
            (b"{\"a\":1,\"a\":1,\"b\":\"x\"}", 422),
        ];
        for (body, status) in cases {
            let problem = parse::<Pair>(body).unwrap_err();
            assert_eq!(problem.into_response().status().as_u16(), status, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn deep_nesting_is_refused_before_it_overflows_the_stack() {
        let body = format!("{{\"a\":{}", "[".repeat(60_000));
        assert_eq!(parse::<Pair>(body.as_bytes()).unwrap_err().into_response().status().as_u16(), 422);
        let body = "[".repeat(60_000);
        assert_eq!(parse::<Pair>(body.as_bytes()).unwrap_err().into_response().status().as_u16(), 400);
    }

    #[test]
    fn only_json_content_types_are_json() {
        let json =
            |value: &str| is_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]));
        for yes in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert!(json(yes), "{yes}");
        }
        for no in ["text/plain", "application/jsonx", "text/json", "json", ""] {
            assert!(!json(no), "{no}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
