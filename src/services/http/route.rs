//! Routes are a table, so that what a service answers, and who may ask, can be read and tested in one place.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter};

use super::layers::{Shell, contain, identify, limit_time, record};
use super::probes::{ProbeState, probe_router};
use super::problem::Problem;

/// Largest body of a request.
pub const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// One row of a service's table.
#[derive(Clone, Debug)]
pub struct Route<S> {
    /// The method.
    pub method: Method,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// What a caller must be permitted to do.
    ///
    /// Callers are not authenticated yet, so nothing enforces this: the layer that will is added in
    /// [`service_router`], the only place where a row becomes a route.
    pub permission: &'static str,
    /// Puts the handler under the method.
    pub handler: fn(MethodFilter) -> MethodRouter<S>,
}

/// The table, the probe routes and every layer round them.
pub fn service_router<S>(shell: &Shell, probes: ProbeState, routes: &[Route<S>], state: S) -> Router
where
    S: Clone + Send + Sync + 'static,
{
    let table = routes.iter().fold(Router::new(), |router, route| {
        // All nine methods of RFC 9110 and 5789 have a filter; a table can name no other.
        match MethodFilter::try_from(route.method.clone()) {
            Ok(filter) => router.route(route.path, (route.handler)(filter)),
            Err(_) => router,
        }
    });
    table
        .with_state(state)
        .merge(probe_router(probes))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || Problem::new(StatusCode::METHOD_NOT_ALLOWED))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .layer(from_fn_with_state(shell.clone(), limit_time))
        .layer(from_fn_with_state(shell.clone(), contain))
        .layer(from_fn_with_state(shell.clone(), record))
        .layer(from_fn_with_state(shell.clone(), identify))
}
