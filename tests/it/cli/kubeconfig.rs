//! Any kubeconfig works: spread over files, with a credential plugin, behind a proxy.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::ControlPlane;

use super::{Outcome, Shell, ended};

/// The administrator's kubeconfig, taken apart.
struct Parts {
    folder: TempDir,
    cluster: Value,
    user: Value,
}

impl Parts {
    async fn of(plane: &ControlPlane) -> Self {
        let view = Shell::new(plane)
            .kubectl(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"])
            .await;
        let view: Value = serde_json::from_str(&view.stdout).unwrap();
        let (cluster, user) = (view["clusters"][0]["cluster"].clone(), view["users"][0]["user"].clone());
        Self { folder: tempfile::tempdir().unwrap(), cluster, user }
    }

    fn save(&self, name: &str, content: &Value) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content.to_string()).unwrap();
        path
    }

    fn kubeconfig(&self, name: &str, cluster: &Value, user: &Value) -> PathBuf {
        let content = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "one",
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
            "clusters": [{"name": "one", "cluster": cluster}],
            "users": [{"name": "one", "user": user}],
        });
        self.save(name, &content)
    }
}

async fn tenants(kubeconfig: &str, environment: &[(&str, &str)]) -> Outcome {
    let shell = Shell { kubeconfig: kubeconfig.into() };
    let mut command =
        shell.command(Path::new(env!("CARGO_BIN_EXE_tenantry")), &["get", "tenants", "-o", "name"]);
    ended(command.envs(environment.iter().copied()).spawn().unwrap()).await
}

#[tokio::test]
async fn files_are_merged_and_plugins_asked_for_credentials() {
    let parts = Parts::of(ControlPlane::shared().await).await;
    let decoded = |field: &str| {
        String::from_utf8(STANDARD.decode(parts.user[field].as_str().unwrap()).unwrap()).unwrap()
    };
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {
            "clientCertificateData": decoded("client-certificate-data"),
            "clientKeyData": decoded("client-key-data"),
        },
    });
    let credential = parts.save("credential.json", &credential);
    let plugin = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "cat", "args": [credential], "interactiveMode": "Never"}});
    let users = json!({"apiVersion": "v1", "kind": "Config", "users": [{"name": "one", "user": plugin}]});
    let users = parts.save("users", &users);
    let rest = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "clusters": [{"name": "one", "cluster": parts.cluster}],
    });
    let rest = parts.save("rest", &rest);
    let list = format!("{}:/nonexistent/file:{}", users.display(), rest.display());
    let outcome = tenants(&list, &[]).await;
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
}

#[tokio::test]
async fn a_plugin_that_fails_is_an_authentication_failure() {
    let parts = Parts::of(ControlPlane::shared().await).await;
    let plugin = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "false", "interactiveMode": "Never"}});
    let kubeconfig = parts.kubeconfig("config", &parts.cluster, &plugin);
    let outcome = tenants(kubeconfig.to_str().unwrap(), &[]).await;
    assert_eq!(outcome.code, Some(4), "{outcome:?}");
    assert!(outcome.stderr.starts_with("error: failed to get credentials"), "{outcome:?}");
}

#[tokio::test]
async fn a_clusters_proxy_is_used_and_the_environments_not_for_this_machine() {
    let plane = ControlPlane::shared().await;
    let parts = Parts::of(plane).await;
    let (proxy, connections) = connect_proxy().await;
    let mut cluster = parts.cluster.clone();
    cluster["proxy-url"] = json!(proxy);
    let proxied = parts.kubeconfig("proxied", &cluster, &parts.user);
    let through = tenants(proxied.to_str().unwrap(), &[]).await;
    assert_eq!((through.code, connections.load(Ordering::SeqCst)), (Some(0), 1), "{through:?}");

    let direct = parts.kubeconfig("direct", &parts.cluster, &parts.user);
    let beside = tenants(direct.to_str().unwrap(), &[("HTTPS_PROXY", &proxy)]).await;
    assert_eq!((beside.code, connections.load(Ordering::SeqCst)), (Some(0), 1), "{beside:?}");
}

/// An HTTP proxy that counts the tunnels it was asked for.
async fn connect_proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(tunnel(client));
        }
    });
    (url, count)
}

async fn tunnel(mut client: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(client.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let target = request.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
    let mut server = TcpStream::connect(target).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    // Either side may end the tunnel as it likes.
    _ = copy_bidirectional(&mut client, &mut server).await;
}
