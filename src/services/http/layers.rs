//! The layers round the table of routes: request id, log line and metrics, panics, time.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tokio::time::Instant;
use uuid::Uuid;

use super::probes::NoFailure;
use super::problem::{Cause, Problem};
use super::record::{Finished, RequestMetrics};

/// Carries a request's id in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is accepted from a client.
const REQUEST_ID_MAX: usize = 128;
/// What stands for the path of a request that no route matches: a client cannot grow metrics by inventing paths.
const UNMATCHED: &str = "(unmatched)";
/// The client went away before the answer; nginx's number, so that dashboards know it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// What the layers need to know.
#[derive(Clone, Debug)]
pub struct Shell {
    /// Name of the service, in every log line.
    pub service: &'static str,
    /// Where requests are counted.
    pub metrics: RequestMetrics,
    /// Makes ids for requests that bring none.
    pub new_id: fn() -> Uuid,
    /// How long a handler may take.
    pub timeout: Duration,
}

/// Id of the request, for handlers and inner layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Gives every request an id: the client's `X-Request-Id` if it is a sane one, else a new one. The answer carries it.
pub async fn identify(State(shell): State<Shell>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).filter(|value| is_request_id(value.as_bytes()));
    let id = given.cloned().unwrap_or_else(|| {
        let mut buffer = Uuid::encode_buffer();
        // A hyphenated UUID is ASCII, so this cannot fail.
        HeaderValue::from_str((shell.new_id)().hyphenated().encode_lower(&mut buffer))
            .unwrap_or(HeaderValue::from_static("-"))
    });
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Ids end up in log lines and headers of other systems, so only harmless characters pass.
fn is_request_id(id: &[u8]) -> bool {
    (1..=REQUEST_ID_MAX).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._:/+=".contains(byte))
}

/// Logs and counts every request once, also one whose client went away.
pub async fn record(State(shell): State<Shell>, request: Request, next: Next) -> Response {
    let mut recording = Recording::start(shell, &request);
    let response = next.run(request).await;
    recording.status = response.status().as_u16();
    recording.failed =
        response.status().is_server_error() && response.extensions().get::<NoFailure>().is_none();
    recording.cause = response.extensions().get::<Cause>().cloned();
    response
}

/// Writes its line when dropped: hyper drops the whole future when a client disconnects.
struct Recording {
    shell: Shell,
    started: Instant,
    method: &'static str,
    path: Option<MatchedPath>,
    request_id: Option<RequestId>,
    status: u16,
    failed: bool,
    cause: Option<Cause>,
}

impl Recording {
    fn start(shell: Shell, request: &Request) -> Self {
        shell.metrics.started();
        Self {
            shell,
            started: Instant::now(),
            method: known_method(request.method().as_str()),
            path: request.extensions().get().cloned(),
            request_id: request.extensions().get().cloned(),
            status: CLIENT_CLOSED_REQUEST,
            failed: false,
            cause: None,
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let path = self.path.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
        self.shell.metrics.finished(Finished {
            method: self.method,
            route: path,
            status: self.status,
            failed: self.failed,
            duration,
        });
        // One macro call a level: a level is part of an event's static description.
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    service = self.shell.service,
                    method = self.method,
                    path,
                    status = self.status,
                    duration_ms = duration.as_secs_f64() * 1000.0,
                    request.id = self.request_id.as_ref().map(RequestId::as_str),
                    error = self.cause.as_ref().map(|cause| cause.0.as_str()),
                    "request"
                )
            };
        }
        match self.status {
            500 => log!(error),
            _ if self.failed => log!(warn),
            _ => log!(info),
        }
    }
}

/// Methods are labels too, so only known ones are told apart.
fn known_method(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("OTHER")
}

/// Turns a panic of a handler into a 500: the other requests of the connection go on.
pub async fn contain(State(_): State<Shell>, request: Request, next: Next) -> Response {
    #[derive(Debug, thiserror::Error)]
    #[error("the handler panicked: {0}")]
    struct Panicked(String);

    AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|payload| {
        Problem::internal(&Panicked(panic_message(payload.as_ref()).to_owned())).into_response()
    })
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&'static str>(), payload.downcast_ref::<String>()) {
        (Some(message), _) => message,
        (None, Some(message)) => message,
        (None, None) => "(no message)",
    }
}

/// Answers 503 when the handler takes too long. What it had sent to the database by then may still take effect.
pub async fn limit_time(State(shell): State<Shell>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(shell.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::with_detail(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the request took longer than {} s", shell.timeout.as_secs_f64()),
        )
        .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::Method;
    use axum::routing::on;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::services::http::probes::ProbeState;
    use crate::services::http::{Route, service_router};
    use crate::telemetry::{Metrics, Readiness};

    async fn panics() {
        panic!("s3cret of the handler")
    }

    async fn never_ends() {
        std::future::pending::<()>().await;
    }

    const ROUTES: &[Route<()>] = &[
        Route {
            method: Method::GET,
            path: "/panics",
            permission: "test",
            handler: |method| on(method, panics),
        },
        Route {
            method: Method::GET,
            path: "/never-ends",
            permission: "test",
            handler: |method| on(method, never_ends),
        },
    ];

    fn router() -> (Router, Metrics) {
        let metrics = Metrics::default();
        let shell = Shell {
            service: "test",
            metrics: RequestMetrics::register(&metrics),
            new_id: Uuid::nil,
            timeout: Duration::from_secs(10),
        };
        let probes =
            ProbeState { service: "test", metrics: metrics.clone(), readiness: Readiness::default() };
        (service_router(&shell, probes, ROUTES, ()), metrics)
    }

    async fn get(router: Router, path: &str) -> (u16, Value) {
        let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()[REQUEST_ID], Uuid::nil().to_string());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn samples(metrics: &Metrics, name: &str) -> Vec<String> {
        let text = metrics.encode();
        text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn a_panic_is_a_500_that_tells_nothing_and_is_counted() {
        let (router, metrics) = router();
        let wanted = json!({
            "type": "about:blank", "title": "Internal Server Error", "status": 500,
            "error": "Internal server error",
        });
        assert_eq!(get(router, "/panics").await, (500, wanted));
        assert_eq!(
            samples(&metrics, "http_request_errors_total"),
            [r#"http_request_errors_total{method="GET",route="/panics"} 1"#]
        );
        assert_eq!(samples(&metrics, "http_requests_in_flight"), ["http_requests_in_flight 0"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_never_ends_is_a_503() {
        let (router, _) = router();
        let wanted = json!({
            "type": "about:blank", "title": "Service Unavailable", "status": 503,
            "error": "Service Unavailable", "detail": "the request took longer than 10 s",
        });
        assert_eq!(get(router, "/never-ends").await, (503, wanted));
    }

    #[tokio::test]
    async fn a_client_that_goes_away_is_counted_as_499_and_no_failure_of_ours() {
        let (router, metrics) = router();
        let request = Request::get("/never-ends").body(Body::empty()).unwrap();
        let mut answering = Box::pin(router.oneshot(request));
        assert!(futures::poll!(answering.as_mut()).is_pending());
        assert_eq!(samples(&metrics, "http_requests_in_flight"), ["http_requests_in_flight 1"]);
        drop(answering);
        assert_eq!(
            samples(&metrics, "http_requests_total"),
            [r#"http_requests_total{method="GET",route="/never-ends",status="499"} 1"#]
        );
        assert_eq!(samples(&metrics, "http_requests_in_flight"), ["http_requests_in_flight 0"]);
        assert_eq!(samples(&metrics, "http_request_errors_total"), Vec::<String>::new());
    }

    #[test]
    fn only_known_methods_are_told_apart() {
        assert_eq!(
            [known_method("GET"), known_method("BREW"), known_method("get")],
            ["GET", "OTHER", "OTHER"]
        );
    }
}
