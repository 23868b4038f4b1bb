//! A running user service, and requests to it.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tenantry::services::database::{PoolLimits, PoolSize};
use tenantry::services::{Listeners, ServeError, ServiceConfig, user};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::tenant_database::TenantDatabase;
use crate::support::wait_until;

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A running service.
pub struct Instance {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub shutdown: CancellationToken,
    pub ended: JoinHandle<Result<(), ServeError>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer, read to its end.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; null if there is none.
    pub fn json(&self) -> Value {
        if self.body.is_empty() { Value::Null } else { serde_json::from_slice(&self.body).unwrap() }
    }

    /// Status and body, to compare both at once.
    pub fn parts(&self) -> (u16, Value) {
        (self.status.as_u16(), self.json())
    }

    /// A header's value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A pool of at most `max` connections.
pub fn pool(max: u32, acquire_within: Duration) -> PoolLimits {
    PoolLimits { size: PoolSize::new(1, max).unwrap(), acquire_within }
}

/// Configuration that waits as long as the test does.
pub fn config(database: &TenantDatabase) -> ServiceConfig {
    let unused = SocketAddr::from(([127, 0, 0, 1], 0));
    ServiceConfig {
        listen: unused,
        admin_listen: unused,
        bindings: database.bindings(),
        pool: pool(10, PATIENCE),
        open_within: PATIENCE,
        request_timeout: PATIENCE,
        drain_within: PATIENCE,
        new_id: Uuid::now_v7,
    }
}

impl Instance {
    /// Starts a service and waits until it is ready.
    pub async fn ready(database: &TenantDatabase) -> Self {
        let instance = Self::start(config(database)).await;
        instance.wait_for_ready().await;
        instance
    }

    /// Starts a service on two free ports.
    pub async fn start(config: ServiceConfig) -> Self {
        let public = TcpListener::bind(config.listen).await.unwrap();
        let admin = TcpListener::bind(config.admin_listen).await.unwrap();
        let shutdown = CancellationToken::new();
        Self {
            public: public.local_addr().unwrap(),
            admin: admin.local_addr().unwrap(),
            ended: tokio::spawn(user::serve_on(config, Listeners { public, admin }, shutdown.clone())),
            shutdown,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Waits until `/ready` says so.
    pub async fn wait_for_ready(&self) {
        wait_until(PATIENCE, "the service is ready", async || {
            let answer = self.get("/ready").await;
            if answer.status == StatusCode::OK { Ok(()) } else { Err(answer.json().to_string()) }
        })
        .await;
    }

    /// Sends a request to the public port.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        self.try_send(self.public, request).await.unwrap()
    }

    /// Sends a request to either port, if it can be reached.
    pub async fn try_send(
        &self,
        port: SocketAddr,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Answer, hyper_util::client::legacy::Error> {
        let path = request.uri().path_and_query().unwrap().as_str().to_owned();
        *request.uri_mut() = format!("http://{port}{path}").parse().unwrap();
        let (head, body) = self.client.request(request).await?.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path, &[], None)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(request(Method::POST, path, &[], Some(body))).await
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(self) -> Result<(), ServeError> {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.ended).await.unwrap().unwrap()
    }
}

/// A request with headers and a JSON body.
pub fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(path);
    if body.is_some() {
        builder = builder.header("content-type", "application/json");
    }
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::from(body.map(Value::to_string).unwrap_or_default())).unwrap()
}

/// A problem without further members.
pub fn problem(status: u16, title: &str, detail: Option<&str>) -> (u16, Value) {
    let mut body = json!({"type": "about:blank", "title": title, "status": status, "error": title});
    if let Some(detail) = detail {
        body["detail"] = detail.into();
    }
    (status, body)
}

/// What a request gets while the database is away.
pub fn database_away() -> (u16, Value) {
    problem(503, "Service Unavailable", Some("the database is not available"))
}

/// Takes out of a user what differs from run to run, after checking its form.
pub fn settled(mut user: Value) -> Value {
    let id = Uuid::try_parse(user["id"].take().as_str().unwrap()).unwrap();
    assert_eq!(id.get_version_num(), 7);
    for member in ["createdAt", "updatedAt"] {
        let time = user[member].take();
        let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
        assert!(time.as_second() > 1_600_000_000, "{time}");
    }
    let members = user.as_object_mut().unwrap();
    for member in ["id", "createdAt", "updatedAt"] {
        assert_eq!(members.remove(member), Some(Value::Null));
    }
    user
}
