//! What a service says about itself on its own port: `/health`, `/ready`, `/metrics` and `/metrics/prometheus`.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::json;

use super::summary;
use crate::telemetry::{Metrics, Readiness, metrics};

/// What the probe routes read.
#[derive(Clone, Debug)]
pub struct ProbeState {
    /// Name of the service.
    pub service: &'static str,
    /// The registry behind both forms of metrics.
    pub metrics: Metrics,
    /// The gates behind `/ready`.
    pub readiness: Readiness,
}

/// On an answer whose 5xx is what was asked for: that a service is not ready yet is no failed request, and must not
/// set off an alert on those.
#[derive(Clone, Copy, Debug)]
pub struct NoFailure;

/// The probe routes.
pub fn probe_router(state: ProbeState) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics_json))
        .route("/metrics/prometheus", get(metrics_text))
        .with_state(state)
}

/// The process answers: this says nothing about what it depends on.
async fn health(State(state): State<ProbeState>) -> impl IntoResponse {
    Json(json!({"status": "ok", "service": state.service, "version": env!("CARGO_PKG_VERSION")}))
}

async fn ready(State(state): State<ProbeState>) -> impl IntoResponse {
    let report = state.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Extension(NoFailure), Json(report))
}

async fn metrics_json(State(state): State<ProbeState>) -> impl IntoResponse {
    Json(summary::summarise(state.service, &state.metrics.encode()))
}

async fn metrics_text(State(state): State<ProbeState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], state.metrics.encode())
}
