//! A proxy before the API server that the operator's requests pass: at one of them the world may stop.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use http::header::HOST;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tempfile::{NamedTempFile, TempPath};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::trap::Trap;
use crate::support::ControlPlane;

/// What the API server says in a watch whose past it has forgotten.
const GONE: &[u8] = br#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}
"#;

/// Takes requests until it is dropped.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    ears: watch::Sender<bool>,
    _open: DropGuard,
}

impl Api {
    /// One before that control plane.
    pub fn before(plane: &ControlPlane, trap: Trap) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, kubeconfig) = (listener.local_addr().unwrap(), plane.kubeconfig().to_owned());
        let (ears, hears) = watch::channel(true);
        let open = CancellationToken::new();
        let closed = open.clone();
        // A thread of its own, which the test's own waiting does not hold up.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(closed.run_until_cancelled(serve(listener, kubeconfig, trap, hears)));
        });
        Self { address, ears, _open: open.drop_guard() }
    }

    /// Whether watches tell anything. What they do not tell is lost: a watch that missed something says so (410) when it may
    /// speak again.
    pub fn ears(&self) -> &watch::Sender<bool> {
        &self.ears
    }

    /// The operator's kubeconfig, through this proxy. It carries the operator's token on, and has no rights of its own.
    pub async fn operator_kubeconfig(&self, plane: &ControlPlane) -> TempPath {
        let mut kubeconfig = Kubeconfig::read_from(plane.operator_kubeconfig().await).unwrap();
        for cluster in kubeconfig.clusters.iter_mut().filter_map(|cluster| cluster.cluster.as_mut()) {
            cluster.server = Some(format!("http://{}", self.address));
            (cluster.certificate_authority, cluster.certificate_authority_data) = (None, None);
        }
        let mut file = NamedTempFile::new().unwrap();
        serde_json::to_writer(&mut file, &kubeconfig).unwrap();
        file.into_temp_path()
    }
}

/// A client that shows the API server no credentials but those of the request.
async fn nobody(kubeconfig: &Path) -> Client {
    let mut kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = Some(AuthInfo::default());
    }
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.unwrap()).unwrap()
}

async fn serve(
    listener: TcpListener,
    kubeconfig: PathBuf,
    trap: Trap,
    hears: watch::Receiver<bool>,
) -> Infallible {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let client = nobody(&kubeconfig).await;
    let mut connections = JoinSet::new();
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        let (client, trap, hears) = (client.clone(), trap.clone(), hears.clone());
        connections.spawn(async move {
            let carry =
                service_fn(move |request| carry(client.clone(), trap.clone(), hears.clone(), request));
            let http = hyper::server::conn::http1::Builder::new();
            // However a connection ends, it has ended.
            let _ = http.serve_connection(TokioIo::new(connection), carry).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One request. An error ends the connection without an answer.
async fn carry(
    client: Client,
    trap: Trap,
    hears: watch::Receiver<bool>,
    request: Request<Incoming>,
) -> io::Result<Response<UnsyncBoxBody<Bytes, kube::Error>>> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let watches = parts.uri.query().is_some_and(|query| query.split('&').any(|it| it == "watch=true"));
    let at = effect(&parts, &body).and_then(|name| trap.meet(&name));
    if at.is_some_and(|position| !position.arrives()) {
        return Err(io::Error::other("the request is lost"));
    }
    parts.headers.remove(HOST);
    let answer = client.send(Request::from_parts(parts, Body::from(body.to_vec()))).await;
    let answer = answer.map_err(io::Error::other)?;
    if trap.arrived(at) {
        return Err(io::Error::other("the answer is lost"));
    }
    Ok(answer.map(|body| if watches { told(body, hears) } else { body.boxed_unsync() }))
}

/// What a watch tells, as far as it may.
fn told(body: Body, hears: watch::Receiver<bool>) -> UnsyncBoxBody<Bytes, kube::Error> {
    let frames = futures::stream::unfold(Some((body, hears)), async |state| {
        let (mut body, mut hears) = state?;
        let mut missed = false;
        loop {
            tokio::select! {
                frame = body.frame() => match frame? {
                    Ok(frame) if *hears.borrow() => return Some((Ok(frame), Some((body, hears)))),
                    Ok(_) => missed = true,
                    Err(error) => return Some((Err(error), None)),
                },
                changed = hears.changed() => changed.ok()?,
            }
            if missed && *hears.borrow() {
                return Some((Ok(Frame::data(Bytes::from_static(GONE))), None));
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// What a request is called that changes something. Leases and Events are no effects, and reviews change nothing.
fn effect(parts: &Parts, body: &Bytes) -> Option<String> {
    let path = parts.uri.path();
    let excepted = ["/leases", "/events", "/tokenreviews", "/selfsubjectaccessreviews"];
    if parts.method == Method::GET || excepted.iter().any(|resource| path.contains(resource)) {
        return None;
    }
    let name = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(object) if parts.method == Method::POST => {
            format!("/{}", object["metadata"]["name"].as_str().unwrap_or_default())
        }
        _ => String::new(),
    };
    Some(format!("{} {path}{name}", parts.method))
}
