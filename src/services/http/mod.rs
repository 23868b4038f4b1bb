//! The shell round every service's table of routes.
//!
//! A request passes, from the outside in: [`server`] (connections, draining) → identify (request id) → record (log
//! line and metrics) → contain (panics) → limit (time, body size) → the handler of its [`Route`]. Everything that is
//! not an answer of a handler is a [`Problem`].
//!
//! | file | what it gives |
//! |---|---|
//! | [`route`] | [`Route`]: method, path, permission, handler |
//! | [`problem`] | [`Problem`]: `application/problem+json` |
//! | [`body`] | [`JsonBody`]: a JSON object or the right refusal |
//! | [`query`] | strict query strings (pure) |
//! | [`etag`] | entity tags of versions, If-Match, If-None-Match (pure) |
//! | [`layers`] | the layers above |
//! | [`record`] | metrics of requests |
//! | [`summary`] | OpenMetrics text as JSON with percentiles (pure) |
//! | [`probes`] | `/health`, `/ready`, `/metrics`, `/metrics/prometheus` |
//! | [`server`] | accept, serve, drain |

pub mod body;
pub mod etag;
pub mod layers;
pub mod probes;
pub mod problem;
pub mod query;
pub mod record;
pub mod route;
pub mod server;
pub mod summary;

pub use body::JsonBody;
pub use layers::Shell;
pub use problem::{Fault, Problem};
pub use route::{Route, service_router};
