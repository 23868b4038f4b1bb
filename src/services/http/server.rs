//! Connections: accept, serve HTTP/1.1, and on shutdown stop accepting and let what is under way finish.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a connection may be silent before or inside the head of a request: a client that trickles bytes must not
/// hold a connection for ever. Longer than the idle time of the usual clients' pools, so that they close first.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// Pause after `accept` failed for want of something that only time gives back, like file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until `shutdown` is cancelled, then drains.
///
/// # Flow
/// 1. Connections are accepted and served side by side.
/// 2. On `shutdown` the listener is closed; idle connections are closed; a request under way is answered and its
///    connection closed after it.
/// 3. What is not done after `drain` is cut off.
///
/// Returns the number of connections that were cut off.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    drain: Duration,
) -> usize {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, router.clone(), shutdown.clone()));
                }
                Err(error) => accept_failed(&error).await,
            },
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, drained).await.is_ok() { 0 } else { connections.len() }
}

async fn serve_connection(stream: TcpStream, router: Router, shutdown: CancellationToken) {
    // Answers are small: waiting to fill a packet only delays them. Without it they are merely slower.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        // Clients disconnect and talk nonsense all the time: nothing here needs anyone's attention.
        tracing::debug!(error = &error as &dyn std::error::Error, "connection ended early");
    }
}

async fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    // These are about the one connection that was about to be accepted.
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(error = error as &dyn std::error::Error, "failed to accept connections");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;

    async fn start() -> (TcpStream, CancellationToken, JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let router = Router::new().route("/", get(async || "hello"));
        let server = tokio::spawn(serve(listener, router, shutdown.clone(), Duration::from_secs(5)));
        (TcpStream::connect(address).await.unwrap(), shutdown, server)
    }

    async fn read_to_end(client: &mut TcpStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_trickles_its_head_is_cut_off() {
        let (mut client, _shutdown, _server) = start().await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ").await.unwrap();
        assert_eq!(read_to_end(&mut client).await, "");
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_up_a_shutdown() {
        let (mut client, shutdown, server) = start().await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        shutdown.cancel();
        assert_eq!(server.await.unwrap(), 0);
        assert!(read_to_end(&mut client).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn nonsense_is_refused_and_the_server_goes_on() {
        let (mut client, shutdown, server) = start().await;
        client.write_all(b"\x16\x03\x01 is no HTTP\r\n\r\n").await.unwrap();
        assert!(read_to_end(&mut client).await.starts_with("HTTP/1.1 400 Bad Request\r\n"));
        assert!(!server.is_finished());
        shutdown.cancel();
        assert_eq!(server.await.unwrap(), 0);
    }
}
