//! The desk: where previews are asked for over HTTP, behind the API server's service proxy.
//!
//! # Guarantees
//! - Nobody is answered whom Kubernetes does not vouch for ([`caller`](super::caller)); that comes before the body.
//! - Connections, heads, bodies, tokens under review, previews and their time are bounded: a hostile pod that reaches
//!   the port costs the operator little, and its turns nothing.
//! - A process that does not lead says so with 503, and clients try again.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use kube::core::Status;
use kube::core::response::StatusDetails;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::caller::may_ask;
use super::{PreviewError, preview};
use crate::api::preview::{PATH, Question, TOKEN_HEADER};
use crate::controller::context::Context;
use crate::controller::outcome::chain;

/// Open connections at most.
const CONNECTIONS: usize = 32;
/// Tokens that are reviewed at a time.
const REVIEWS: usize = 4;
/// Previews that are worked on at a time.
const PREVIEWS: usize = 2;
/// Bytes of a question at most.
const QUESTION: usize = 4 << 20;
/// A connection that is silent for so long, or a question that takes so long to arrive, is given up.
const ARRIVAL: Duration = Duration::from_secs(10);
/// A preview that takes longer is given up.
const WORK: Duration = Duration::from_mins(1);
/// Pause after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Where questions come in. Closed until the operator leads and knows the world; cheap to clone.
#[derive(Clone, Default)]
pub struct Desk(Arc<RwLock<Weak<Context>>>);

impl Desk {
    /// From now on questions are answered by that context, for as long as it lives.
    pub fn open(&self, context: &Arc<Context>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(context);
    }

    /// From now on nothing is answered.
    pub fn close(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Weak::new();
    }

    fn context(&self) -> Option<Arc<Context>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).upgrade()
    }
}

#[derive(Clone)]
struct Room {
    desk: Desk,
    reviews: Arc<Semaphore>,
    previews: Arc<Semaphore>,
}

/// Serves previews until `shutdown`. What is under way then is dropped: a question can be asked again.
pub async fn serve(listener: TcpListener, desk: Desk, shutdown: CancellationToken) {
    let room = Room {
        desk,
        reviews: Arc::new(Semaphore::new(REVIEWS)),
        previews: Arc::new(Semaphore::new(PREVIEWS)),
    };
    let router = Router::new().route(PATH, post(answer)).with_state(room);
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &free) => match accepted {
                Some((stream, permit)) => {
                    connections.spawn(serve_connection(stream, router.clone(), permit));
                }
                None => tokio::time::sleep(PAUSE).await,
            },
        }
    }
}

async fn accept(listener: &TcpListener, free: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await.ok()?;
    let (stream, _) = listener.accept().await.ok()?;
    Some((stream, permit))
}

async fn serve_connection(stream: TcpStream, router: Router, _permit: OwnedSemaphorePermit) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ARRIVAL)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = connection.await {
        tracing::debug!(error = &error as &dyn std::error::Error, "connection ended early");
    }
}

async fn answer(State(room): State<Room>, request: Request) -> Result<Response, Infallible> {
    Ok(Box::pin(asked(&room, request)).await.unwrap_or_else(Refusal::into_response))
}

async fn asked(room: &Room, request: Request) -> Result<Response, Refusal> {
    let Some(context) = room.desk.context() else {
        return Err(refused(503, "ServiceUnavailable", "this operator does not lead yet, or not any more"));
    };
    let (head, body) = request.into_parts();
    let token = head.headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let busy = || refused(429, "TooManyRequests", "the operator answers as many questions as it can");
    {
        let _review = room.reviews.try_acquire().map_err(|_| busy())?;
        let known = may_ask(&context.client, &context.config.namespace, token).await;
        let known = known.map_err(|error| refused(500, "InternalError", &chain(&error)))?;
        if !known {
            return Err(refused(
                403,
                "Forbidden",
                "previews take a token of the service account tenantry-plan",
            ));
        }
    }
    let _preview = room.previews.try_acquire().map_err(|_| busy())?;
    let question = read(body).await?;
    match timeout(WORK, Box::pin(preview(&context, question))).await {
        Ok(Ok(preview)) => Ok(Json(preview).into_response()),
        Ok(Err(error)) => Err(of_error(&error)),
        Err(_) => {
            let text = format!("the preview took longer than {} s: ask about fewer tenants", WORK.as_secs());
            Err(refused(500, "Timeout", &text))
        }
    }
}

async fn read(body: Body) -> Result<Question, Refusal> {
    let arrived = timeout(ARRIVAL, to_bytes(body, QUESTION)).await;
    let arrived = arrived.map_err(|_| refused(408, "Timeout", "the question did not arrive in time"))?;
    let too_large =
        format!("the question did not arrive, or has more than {QUESTION} bytes: ask about fewer objects");
    let bytes = arrived.map_err(|_| refused(413, "RequestEntityTooLarge", &too_large))?;
    serde_json::from_slice(&bytes).map_err(|error| refused(400, "BadRequest", &error.to_string()))
}

/// A refusal in the API server's own form, which its clients know how to show.
struct Refusal(Box<Status>);

fn refused(code: u16, reason: &str, message: &str) -> Refusal {
    Refusal(Box::new(Status::failure(message, reason).with_code(code)))
}

fn of_error(error: &PreviewError) -> Refusal {
    let message = chain(error);
    match error {
        PreviewError::Unreadable { .. } | PreviewError::TooMany(_) => refused(400, "BadRequest", &message),
        PreviewError::NoSuchTenant(name) => {
            let Refusal(status) = refused(404, "NotFound", &message);
            let details = StatusDetails {
                name: name.clone(),
                group: crate::api::GROUP.to_owned(),
                kind: "tenants".to_owned(),
                uid: String::new(),
                causes: Vec::new(),
                retry_after_seconds: 0,
            };
            Refusal(Box::new(status.with_details(details)))
        }
        PreviewError::Compare(_) | PreviewError::Serialize(_) => {
            tracing::warn!(error.message = message, "a preview failed");
            refused(500, "InternalError", &message)
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.0.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (code, Json(self.0)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn client() -> (TcpStream, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(listener, Desk::default(), shutdown.clone()));
        (TcpStream::connect(address).await.unwrap(), shutdown)
    }

    async fn rest(mut client: TcpStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_process_that_does_not_lead_asks_to_be_asked_again() {
        let (mut client, _shutdown) = client().await;
        let request =
            format!("POST {PATH} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = rest(client).await;
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
        assert!(answer.contains("\"reason\":\"ServiceUnavailable\""), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_trickles_its_head_is_cut_off() {
        let (mut client, _shutdown) = client().await;
        client.write_all(b"POST /preview HTTP/1.1\r\nhost: a\r\nx-slow: ").await.unwrap();
        assert_eq!(rest(client).await, "");
    }
}
