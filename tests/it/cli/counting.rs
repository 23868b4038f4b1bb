//! What each command asks the API server: a proxy in front of the real one writes it down.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_TYPE};
use kube::Client;
use tokio::net::TcpListener;

use crate::support::{ControlPlane, Prefix};

use super::{Outcome, Shell};

/// Forwards to the real API server, as an administrator, and remembers what was asked.
#[derive(Clone)]
pub struct Proxy {
    /// Its URL.
    pub url: String,
    client: Client,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts one in front of `plane`; it ends with the test's runtime.
    pub async fn start(plane: &ControlPlane) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let proxy = Self { url, client: plane.client().await, asked: Arc::default() };
        let router = Router::new().fallback(forward).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        proxy
    }

    /// What was asked since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    async fn run(&self, shell: &Shell, args: &[&str]) -> Outcome {
        let args: Vec<&str> = args.iter().copied().chain(["--server", &self.url]).collect();
        shell.tenantry(&args).await
    }
}

async fn forward(State(proxy): State<Proxy>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    proxy.asked.lock().unwrap().push(format!("{} {}", head.method, head.uri));
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut forwarded = http::Request::builder().method(head.method).uri(head.uri);
    for name in [ACCEPT, CONTENT_TYPE] {
        if let Some(value) = head.headers.get(&name) {
            forwarded = forwarded.header(name, value);
        }
    }
    let answer = proxy.client.send(forwarded.body(body.to_vec().into()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = head.status;
    if let Some(kind) = head.headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    response
}

#[tokio::test]
async fn reads_go_straight_to_what_they_want() {
    let plane = ControlPlane::shared().await;
    let (shell, proxy) = (Shell::new(plane), Proxy::start(plane).await);
    let name = Prefix::new().name("seen");
    shell.ok(&["create", "tenant", &name, "--plan", "none"]).await;
    let ours = "/apis/tenantry.dev/v1alpha1";
    let watched = format!("{ours}/tenants?fieldSelector=metadata.name%3D{name}");
    let namespace = format!("tenant-{name}");
    let cases: [(&[&str], Vec<String>); 7] = [
        (&["get", "tenants"], vec![format!("GET {ours}/tenants?includeObject=None")]),
        (&["get", "tn", &name], vec![format!("GET {ours}/tenants/{name}?includeObject=None")]),
        (&["get", "tn", &name, "-o", "yaml"], vec![format!("GET {ours}/tenants/{name}")]),
        (&["get", "msvc", "-A"], vec![format!("GET {ours}/microservices?includeObject=Metadata")]),
        (&["get", "tdb", "-n", "x", "-o", "json"], vec![format!("GET {ours}/namespaces/x/tenantdatabases")]),
        (
            &["wait", "tn", &name, "--for=condition=Ready=nonsense", "--timeout=0"],
            vec![format!("GET {ours}/tenants/{name}")],
        ),
        (
            &["status", &name],
            vec![
                format!("GET {ours}/tenants/{name}"),
                format!("GET {ours}/namespaces/{namespace}/tenantdatabases"),
                format!("GET {ours}/namespaces/{namespace}/microservices"),
                format!("GET /api/v1/namespaces/{namespace}/events"),
                format!(
                    "GET /api/v1/events?fieldSelector=involvedObject.kind%3DTenant%2CinvolvedObject.name%3D{name}"
                ),
            ],
        ),
    ];
    for (args, expected) in cases {
        proxy.run(&shell, args).await;
        let mut asked = proxy.asked();
        asked.retain(|request| !request.contains(&watched));
        let (mut asked, mut expected) = (asked, expected);
        asked.sort();
        expected.sort();
        assert_eq!(asked, expected, "tenantry {}", args.join(" "));
    }
    shell.ok(&["delete", "tn", &name, "--yes"]).await;
}

#[tokio::test]
async fn no_command_asks_what_the_server_serves() {
    let plane = ControlPlane::shared().await;
    let (shell, proxy) = (Shell::new(plane), Proxy::start(plane).await);
    let name = Prefix::new().name("seen");
    let commands: &[&[&str]] = &[
        &["create", "tenant", &name, "--plan", "none"],
        &["suspend", &name],
        &["resume", &name],
        &["get", "tenants,plans,bp,dbs,sdb"],
        &["get", "tenants", "-o", "name"],
        &["status"],
        &["check"],
        &["version"],
        &["wait", "tn", &name, "--for=condition=Ready", "--timeout=1s"],
        &["delete", "tn", &name, "--yes", "--wait", "--timeout=1s"],
    ];
    for command in commands {
        proxy.run(&shell, command).await;
        let asked = proxy.asked();
        assert!(!asked.is_empty(), "{command:?} asked nothing");
        let asked: Vec<&String> = asked.iter().filter(|request| is_discovery(request)).collect();
        assert!(asked.is_empty(), "{command:?}: {asked:?}");
    }
}

/// `/api`, `/apis`, and the lists of what a group serves: one step short of any collection.
fn is_discovery(request: &str) -> bool {
    let path = request.split([' ', '?']).nth(1).unwrap_or_default().trim_matches('/');
    let steps: Vec<&str> = path.split('/').collect();
    match steps[0] {
        "api" => steps.len() < 3,
        "apis" => steps.len() < 4,
        other => other == "openapi",
    }
}
