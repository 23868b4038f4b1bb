//! Every route of the table, and what surrounds it: ids of requests, status routes, methods and paths that are not.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tenantry::services::user::ROUTES;

use super::instance::{Instance, problem, request, settled};
use super::tenant_database::TenantDatabase;

#[test]
fn the_table_names_the_permission_of_each_route() {
    let rows: Vec<_> =
        ROUTES.iter().map(|route| (route.method.as_str(), route.path, route.permission)).collect();
    assert_eq!(
        rows,
        [
            ("GET", "/api/users", "users:read"),
            ("POST", "/api/users", "users:create"),
            ("GET", "/api/users/{id}", "users:read"),
            ("PUT", "/api/users/{id}", "users:update"),
            ("DELETE", "/api/users/{id}", "users:delete"),
        ]
    );
}

#[tokio::test]
async fn a_user_is_created_read_listed_replaced_and_deleted() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    let ada = json!({
        "email": " Ada@Example.ORG",
        "name": "Ada Lovelace ",
        "profile": {"born": 1815, "tags": ["a", {"b": null}]},
    });
    let wanted = json!({
        "email": "ada@example.org",
        "name": "Ada Lovelace",
        "profile": {"born": 1815, "tags": ["a", {"b": null}]},
        "preferences": {},
        "version": 1,
    });

    let created = service.post("/api/users", &ada).await;
    let user = created.json();
    let path = format!("/api/users/{}", user["id"].as_str().unwrap());
    assert_eq!((created.status, created.header("etag")), (StatusCode::CREATED, "\"1\""));
    assert_eq!(created.header("location"), path);
    assert_eq!(created.header("content-type"), "application/json");
    assert_eq!(settled(user.clone()), wanted);
    assert_eq!(user["createdAt"], user["updatedAt"]);

    let read = service.get(&path).await;
    assert_eq!((read.parts(), read.header("etag")), ((200, user.clone()), "\"1\""));
    let listed = service.get("/api/users").await;
    assert_eq!((listed.parts(), listed.header("link")), ((200, json!({"items": [user], "next": null})), ""));

    let current = service.send(request(Method::GET, &path, &[("if-none-match", "W/\"1\"")], None)).await;
    assert_eq!((current.parts(), current.header("etag")), ((304, Value::Null), "\"1\""));
    let head = service.send(request(Method::HEAD, &path, &[], None)).await;
    assert_eq!((head.parts(), head.header("etag")), ((200, Value::Null), "\"1\""));

    let body = json!({"email": "ada@example.org", "name": "Ada King", "preferences": {"theme": "dark"}});
    let replaced = service.send(request(Method::PUT, &path, &[("if-match", "\"1\"")], Some(&body))).await;
    let after = replaced.json();
    assert_eq!((replaced.status, replaced.header("etag")), (StatusCode::OK, "\"2\""));
    assert_eq!(
        settled(after.clone()),
        json!({
            "email": "ada@example.org", "name": "Ada King",
            "profile": {}, "preferences": {"theme": "dark"}, "version": 2,
        })
    );
    assert_eq!((&after["id"], &after["createdAt"]), (&user["id"], &user["createdAt"]));
    assert!(after["updatedAt"].as_str() > user["updatedAt"].as_str(), "{after}");
    let stale = service.send(request(Method::GET, &path, &[("if-none-match", "\"1\"")], None)).await;
    assert_eq!(stale.parts(), (200, after));

    let deleted = service.send(request(Method::DELETE, &path, &[("if-match", "\"2\"")], None)).await;
    assert_eq!(deleted.parts(), (204, Value::Null));
    let gone = problem(404, "Not Found", Some("there is no user with this id"));
    assert_eq!(service.get(&path).await.parts(), gone);
    for method in [Method::PUT, Method::DELETE] {
        let body = (method == Method::PUT).then_some(&body);
        assert_eq!(service.send(request(method, &path, &[], body)).await.parts(), gone);
    }
    assert_eq!(service.get("/api/users").await.parts(), (200, json!({"items": [], "next": null})));
    service.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_no_id_is_no_user() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    let gone = problem(404, "Not Found", Some("there is no user with this id"));
    for id in ["1", "%00", "%ff", "..%2fusers", "%27%20OR%201=1", "00000000-0000-0000-0000-000000000000"] {
        assert_eq!(service.get(&format!("/api/users/{id}")).await.parts(), gone, "{id}");
    }
    service.stop().await.unwrap();
}

#[tokio::test]
async fn other_methods_are_405_and_say_which_are_allowed() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    for (path, allowed) in
        [("/api/users", "GET,HEAD,POST"), ("/api/users/x", "GET,HEAD,PUT,DELETE"), ("/health", "GET,HEAD")]
    {
        let answer = service.send(request(Method::PATCH, path, &[], None)).await;
        assert_eq!(answer.parts(), problem(405, "Method Not Allowed", None), "{path}");
        assert_eq!(answer.header("allow"), allowed, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    for path in ["/", "/api/users/", "/api/users/x/y", "/metrics/", "/api"] {
        assert_eq!(service.get(path).await.parts(), problem(404, "Not Found", None), "{path}");
    }
    service.stop().await.unwrap();
}

#[tokio::test]
async fn every_answer_carries_the_id_of_its_request() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    for path in ["/api/users", "/api/users/x", "/nowhere", "/health"] {
        let given = request(Method::GET, path, &[("x-request-id", "from-gateway_1.2")], None);
        assert_eq!(service.send(given).await.header("x-request-id"), "from-gateway_1.2");
        let made = service.get(path).await.header("x-request-id").to_owned();
        assert_eq!(uuid::Uuid::try_parse(&made).unwrap().get_version_num(), 7);
    }
    for hostile in ["a b", "\"quoted\"", "{}", "", &"a".repeat(129)] {
        let given = request(Method::GET, "/health", &[("x-request-id", hostile)], None);
        let made = service.send(given).await.header("x-request-id").to_owned();
        assert!(uuid::Uuid::try_parse(&made).is_ok(), "{hostile:?} gave {made:?}");
    }
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_tells_its_state_on_both_ports() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        service.get("/health").await.parts(),
        (200, json!({"status": "ok", "service": "user", "version": version}))
    );
    let gates = json!({"ready": true, "gates": [
        {"name": "database", "ready": true},
        {"name": "serving", "ready": true},
    ]});
    assert_eq!(service.get("/ready").await.parts(), (200, gates.clone()));
    let admin = |path: &str| service.try_send(service.admin, request(Method::GET, path, &[], None));
    assert_eq!(admin("/readyz").await.unwrap().parts(), (200, gates));
    assert_eq!(admin("/healthz").await.unwrap().body, "ok\n");

    service.get("/api/users").await;
    service.get("/nowhere").await;
    let text = service.get("/metrics/prometheus").await;
    assert_eq!(text.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = String::from_utf8(text.body.to_vec()).unwrap();
    let scraped = String::from_utf8(admin("/metrics").await.unwrap().body.to_vec()).unwrap();
    for line in [
        "http_requests_total{method=\"GET\",route=\"/api/users\",status=\"200\"} 1",
        "http_requests_total{method=\"GET\",route=\"(unmatched)\",status=\"404\"} 1",
        "http_request_duration_seconds_count{method=\"GET\",route=\"/api/users\"} 1",
        "database_pool_max 10",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        assert!(scraped.lines().any(|found| found == line), "{line} is not in\n{scraped}");
    }

    let summary = service.get("/metrics").await.json();
    let of_users: Vec<&Value> = summary["metrics"]["http_request_duration_seconds"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|histogram| histogram["labels"]["route"] == "/api/users")
        .collect();
    assert_eq!(of_users.len(), 1);
    assert!(of_users[0]["p50"].as_f64() <= of_users[0]["p99"].as_f64(), "{summary}");
    assert_eq!(
        (&summary["service"], &summary["errors"], &summary["metrics"]["database_pool_max"]),
        (&json!("user"), &json!(0), &json!([{"labels": {}, "value": 10}]))
    );
    service.stop().await.unwrap();
}
