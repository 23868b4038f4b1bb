//! The admin port of every role: `/healthz`, `/readyz` and `/metrics` on 9090, never part of a Service.

use std::io;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::{CONTENT_TYPE, Metrics};
use super::readiness::Readiness;

/// How long a scrape or probe that is under way may still take once the process ends.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves the admin port until `shutdown` is cancelled, then lets requests under way finish for a moment.
///
/// - `/healthz` answers 200 as long as the process can answer at all: a restart would not help what `/readyz` reports.
/// - `/readyz` answers 200 or 503 with a [`super::ReadinessReport`] that lists every gate.
/// - `/metrics` answers OpenMetrics text.
pub async fn serve_admin(
    listener: TcpListener,
    metrics: Metrics,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let asked = shutdown.clone();
    let serving = axum::serve(listener, admin_router(metrics, readiness))
        .with_graceful_shutdown(async move { asked.cancelled().await })
        .into_future();
    let deadline = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving => served,
        () = deadline => Ok(()),
    }
}

/// The routes of the admin port.
pub fn admin_router(metrics: Metrics, readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(scrape).with_state(metrics))
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let report = readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}

async fn scrape(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.encode())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tower::ServiceExt;

    use super::*;

    async fn answer(router: Router, path: &str) -> (StatusCode, String, String) {
        let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readyz_lists_the_gates_with_200_or_503() {
        let readiness = Readiness::default();
        let router = admin_router(Metrics::default(), readiness.clone());
        let gate = readiness.gate("crds");
        gate.not_ready("CRD tenants.tenantry.dev is missing");
        assert_eq!(
            answer(router.clone(), "/readyz").await,
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "application/json".to_owned(),
                r#"{"ready":false,"gates":[{"name":"crds","ready":false,"message":"CRD tenants.tenantry.dev is missing"}]}"#
                    .to_owned()
            )
        );
        gate.ready();
        assert_eq!(
            answer(router, "/readyz").await,
            (
                StatusCode::OK,
                "application/json".to_owned(),
                r#"{"ready":true,"gates":[{"name":"crds","ready":true}]}"#.to_owned()
            )
        );
    }

    #[tokio::test]
    async fn healthz_answers_while_nothing_is_ready() {
        let readiness = Readiness::default();
        readiness.gate("crds").not_ready("missing");
        assert_eq!(
            answer(admin_router(Metrics::default(), readiness), "/healthz").await,
            (StatusCode::OK, "text/plain; charset=utf-8".to_owned(), "ok\n".to_owned())
        );
    }

    #[tokio::test]
    async fn metrics_are_served_as_openmetrics() {
        assert_eq!(
            answer(admin_router(Metrics::default(), Readiness::default()), "/metrics").await,
            (StatusCode::OK, CONTENT_TYPE.to_owned(), "# EOF\n".to_owned())
        );
    }

    #[tokio::test]
    async fn the_server_ends_when_told_though_a_client_keeps_its_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let server =
            tokio::spawn(serve_admin(listener, Metrics::default(), Readiness::default(), shutdown.clone()));
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 15];
        client.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        shutdown.cancel();
        server.await.unwrap().unwrap();
    }
}
