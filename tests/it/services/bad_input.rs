//! Requests that are wrong: each is refused with the status and the words that tell what is wrong, and none is a 500.

use http::{Method, Request};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::instance::{Instance, problem, request};
use super::tenant_database::TenantDatabase;

fn post(kind: &str, body: &[u8]) -> Request<Full<Bytes>> {
    let body = Full::from(Bytes::copy_from_slice(body));
    Request::post("/api/users").header("content-type", kind).body(body).unwrap()
}

fn with_errors(status: u16, title: &str, errors: &Value) -> (u16, Value) {
    let (status, mut body) = problem(status, title, None);
    body["errors"] = errors.clone();
    (status, body)
}

#[tokio::test]
async fn a_body_that_is_not_the_right_json_is_refused() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    let json = "application/json";
    let not_json =
        |detail: &str| problem(400, "Bad Request", Some(&format!("the body is not valid JSON: {detail}")));
    let too_large = vec![b' '; 64 * 1024 + 1];
    let wrong = |detail: &str| problem(422, "Unprocessable Entity", Some(detail));
    let cases: [(&str, &[u8], (u16, Value)); 11] = [
        (json, b"", not_json("EOF while parsing a value at line 1 column 0")),
        (json, b"{\"email\":", not_json("EOF while parsing a value at line 1 column 9")),
        (json, b"{} {}", wrong("missing field `email` at line 1 column 2")),
        (json, b"{\"email\":\"\xff\"}", not_json("invalid unicode code point at line 1 column 11")),
        (json, b"[\"a@b\",\"n\"]", wrong("the body must be a JSON object")),
        (json, b"{\"email\":\"a@b\"}", wrong("missing field `name` at line 1 column 15")),
        (
            json,
            b"{\"email\":7,\"name\":\"n\"}",
            wrong("invalid type: integer `7`, expected a string at line 1 column 10"),
        ),
        (
            json,
            b"{\"email\":\"a@b\",\"name\":\"n\",\"admin\":true}",
            wrong(
                "unknown field `admin`, expected one of `email`, `name`, `profile`, `preferences` at line 1 column 33",
            ),
        ),
        (
            json,
            b"{\"email\":\"a@b\",\"name\":\"n\",\"profile\":[]}",
            wrong("invalid type: sequence, expected a map at line 1 column 36"),
        ),
        (
            "text/plain",
            b"{\"email\":\"a@b\",\"name\":\"n\"}",
            problem(415, "Unsupported Media Type", Some("the content type must be application/json")),
        ),
        (json, &too_large, problem(413, "Payload Too Large", None)),
    ];
    for (kind, body, wanted) in cases {
        let answer = service.send(post(kind, body)).await;
        assert_eq!(answer.parts(), wanted, "{}", body[..body.len().min(80)].escape_ascii());
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert_eq!(service.get("/api/users").await.parts(), (200, json!({"items": [], "next": null})));
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_value_that_breaks_a_rule_is_named() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    let email = json!({"pointer": "/email", "detail": "must be an email address of at most 254 characters"});
    let name =
        json!({"pointer": "/name", "detail": "must have 1 to 200 characters and no control characters"});
    let nul = |pointer: &str| json!({"pointer": pointer, "detail": "must not hold the character U+0000"});
    let size = |pointer: &str| json!({"pointer": pointer, "detail": "must have at most 16384 bytes as JSON"});
    let cases = [
        (json!({"email": "nobody", "name": ""}), json!([email, name])),
        (json!({"email": "a\u{0}@b", "name": "n"}), json!([email])),
        (json!({"email": "a@b", "name": "n\u{0}"}), json!([name])),
        (json!({"email": "a@b", "name": "x".repeat(201)}), json!([name])),
        (json!({"email": format!("a@{}", "b.".repeat(200)), "name": "n"}), json!([email])),
        (json!({"email": "a@b", "name": "n", "profile": {"k": ["\u{0}"]}}), json!([nul("/profile")])),
        (json!({"email": "a@b", "name": "n", "preferences": {"\u{0}": 1}}), json!([nul("/preferences")])),
        (
            json!({"email": "a@b", "name": "n", "profile": {"k": "x".repeat(16 * 1024)}}),
            json!([size("/profile")]),
        ),
    ];
    for (body, errors) in cases {
        let answer = service.post("/api/users", &body).await;
        assert_eq!(answer.parts(), with_errors(422, "Unprocessable Entity", &errors), "{body}");
    }
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_query_that_cannot_be_read_is_named() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    let limit = json!({"parameter": "limit", "detail": "must be a number from 1 to 200"});
    let cursor = json!({"parameter": "cursor", "detail": "must be one that a `next` link holds"});
    let search = json!({"parameter": "q", "detail": "must have at most 200 characters and no U+0000"});
    let unknown = json!({"parameter": "(unknown)", "detail": "is unknown; known are: limit, cursor, q"});
    let encoding = json!({"parameter": "q", "detail": "is not percent-encoded UTF-8"});
    let cases = [
        ("limit=0".to_owned(), json!([limit])),
        ("limit=201&cursor=AQ".to_owned(), json!([limit, cursor])),
        ("cursor='%20OR%201=1--".to_owned(), json!([cursor])),
        (format!("cursor={}", "A".repeat(4000)), json!([cursor])),
        ("q=%00".to_owned(), json!([search])),
        (format!("q={}", "x".repeat(201)), json!([search])),
        ("q=%ff".to_owned(), json!([encoding])),
        ("page=2".to_owned(), json!([unknown])),
    ];
    for (query, errors) in cases {
        let answer = service.get(&format!("/api/users?{query}")).await;
        assert_eq!(answer.parts(), with_errors(400, "Bad Request", &errors), "{query}");
    }
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_condition_that_cannot_be_read_is_refused_and_changes_nothing() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    let body = json!({"email": "a@b", "name": "n"});
    let user = service.post("/api/users", &body).await.json();
    let path = format!("/api/users/{}", user["id"].as_str().unwrap());
    let refused = |header: &str| {
        let detail = "must be * or a list of entity tags, for example \"3\"";
        with_errors(400, "Bad Request", &json!([{"header": header, "detail": detail}]))
    };
    for bad in ["1", "\"1", "'1'"] {
        for method in [Method::PUT, Method::DELETE] {
            let body = (method == Method::PUT).then_some(&body);
            let answer = service.send(request(method, &path, &[("if-match", bad)], body)).await;
            assert_eq!(answer.parts(), refused("if-match"), "{bad}");
        }
        let answer = service.send(request(Method::GET, &path, &[("if-none-match", bad)], None)).await;
        assert_eq!(answer.parts(), refused("if-none-match"), "{bad}");
    }
    assert_eq!(service.get(&path).await.parts(), (200, user));
    service.stop().await.unwrap();
}
