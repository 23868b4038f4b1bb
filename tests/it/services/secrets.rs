//! What is logged: one line a request, and never a secret.

use std::io;
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};
use tenantry::services::database::binding::Binding;
use tenantry::telemetry::LogFormat;
use tenantry::telemetry::logging::subscriber;

use super::instance::{Instance, PATIENCE, request};
use super::tenant_database::TenantDatabase;
use crate::support::wait_until;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines that log requests, without what differs from run to run.
    fn requests(&self) -> Vec<Value> {
        let lines = self.text();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["message"] == "request")
            .map(|mut line| {
                assert!(line["timestamp"].take().is_string());
                assert!(line["duration_ms"].take().as_f64().unwrap() > 0.0);
                line
            })
            .collect()
    }
}

/// Has everything that this test's thread does logged, down to the last detail. `#[tokio::test]` has one thread.
fn capture() -> (Captured, tracing::subscriber::DefaultGuard) {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = subscriber(LogFormat::Json, "trace", move || writer.clone()).unwrap();
    (captured, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn a_secret_is_in_no_log_line_and_no_debug_output() {
    let database = TenantDatabase::shared().await;
    let (captured, _guard) = capture();
    database.write_binding("wr0ng-passw0rd");
    let service = Instance::start(super::instance::config(&database)).await;
    wait_until(PATIENCE, "the login is refused", async || {
        let text = captured.text();
        if text.contains("failed to open the database") { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    database.write_binding(&database.password);
    service.wait_for_ready().await;
    let user = json!({"email": "a@b", "name": "n", "preferences": {"pin": "s3cret-preference"}});
    assert_eq!(service.post("/api/users", &user).await.status, 201);
    assert_eq!(service.post("/api/users", &user).await.status, 409);
    service.stop().await.unwrap();

    let log = captured.text();
    let shown = format!("{:?}", Binding::read(&database.bindings()).unwrap());
    for secret in ["wr0ng-passw0rd", "s3cret-preference", &database.password] {
        assert!(!shown.contains(secret), "Debug shows {secret}");
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[tokio::test]
async fn every_request_is_one_line_with_method_path_status_duration_and_service() {
    let database = TenantDatabase::shared().await;
    let (captured, _guard) = capture();
    let service = Instance::ready(&database).await;
    service.get("/metrics").await;
    let before = captured.requests().len();
    let id = [("x-request-id", "r-1")];
    service.send(request(Method::GET, "/api/users?q=private", &id, None)).await;
    service.send(request(Method::DELETE, "/api/users/nobody", &id, None)).await;
    service.send(request(Method::GET, "/private/path", &id, None)).await;
    let line = |method: &str, path: &str, status: u16| {
        json!({
            "timestamp": null, "level": "INFO", "target": "tenantry::services::http::layers",
            "message": "request", "service": "user", "method": method, "path": path, "status": status,
            "duration_ms": null, "request.id": "r-1",
        })
    };
    assert_eq!(
        captured.requests()[before..],
        [
            line("GET", "/api/users", 200),
            line("DELETE", "/api/users/{id}", 404),
            line("GET", "(unmatched)", 404),
        ]
    );
    service.stop().await.unwrap();
}
