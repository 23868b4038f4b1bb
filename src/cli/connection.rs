//! From flags and kubeconfig to a client. Nothing is assumed about running inside a cluster.
//!
//! kube's own client is used but for its connector: a command sends one small request, so TCP_NODELAY is set and
//! nothing is decompressed.

use std::path::PathBuf;
use std::time::Duration;

use hyper_util::client::legacy::{Client as Hyper, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::Config;
use kube::client::{Body, ClientBuilder, ConfigExt, retry::RetryPolicy};
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use tower::retry::RetryLayer;
use tower::{BoxError, ServiceBuilder};

use super::args::Connection;
use super::environment::Environment;
use super::failure::{Exit, Failure};
use super::proxy;

/// Longest wait for a TCP connection, as client-go's.
const CONNECT: Duration = Duration::from_secs(30);
/// Pauses between attempts while the server answers 429, 503 or 504, and how many: about 15 s in all.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
const ATTEMPTS: u32 = 12;
/// Name of what the flags alone describe.
const FLAGS: &str = "flags";

/// The client's configuration: the kubeconfig files, and the flags over them.
pub(super) async fn configure(flags: &Connection, environment: &Environment) -> Result<Config, Failure> {
    let mut kubeconfig = read(flags, environment)?;
    let cluster = complete(&mut kubeconfig, flags)?;
    let named = kubeconfig.clusters.iter().find(|named| named.name == cluster);
    let own_proxy =
        named.and_then(|named| named.cluster.as_ref()?.proxy_url.clone()).filter(|url| !url.is_empty());
    let options = KubeConfigOptions {
        context: flags.context.clone(),
        cluster: flags.cluster.clone(),
        user: flags.user.clone(),
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| Failure::from_error("the kubeconfig cannot be used", &error))?;
    let (host, port) = (config.cluster_url.host().unwrap_or_default(), config.cluster_url.port_u16());
    if own_proxy.is_none() && proxy::bypassed(host, port, &environment.no_proxy) {
        config.proxy_url = None;
    }
    if let Some(namespace) = &flags.namespace {
        config.default_namespace.clone_from(namespace);
    }
    if config.default_namespace.is_empty() {
        "default".clone_into(&mut config.default_namespace);
    }
    let auth = &mut config.auth_info;
    if flags.impersonate.is_some() {
        auth.impersonate.clone_from(&flags.impersonate);
    }
    if flags.impersonate_uid.is_some() {
        auth.impersonate_uid.clone_from(&flags.impersonate_uid);
    }
    if !flags.impersonate_group.is_empty() {
        auth.impersonate_groups = Some(flags.impersonate_group.clone());
    }
    Ok(config)
}

/// A client for `config`.
pub(super) fn client(config: Config) -> Result<kube::Client, Failure> {
    let failed = |error: kube::Error| match error {
        // An exec plugin or a token file that does not deliver.
        kube::Error::Auth(cause) => {
            Failure::from_error("failed to get credentials", &cause).exit(Exit::NotAuthenticated)
        }
        other => Failure::from_error("failed to set up the client", &other),
    };
    if config.proxy_url.is_some() {
        return kube::Client::try_from(config).map_err(failed);
    }
    // A server that says when to come back is obeyed.
    let retry = RetryPolicy::new(PAUSES.0, PAUSES.1, ATTEMPTS, true)
        .map_err(|error| Failure::from_error("failed to set up the client", &error))?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    let tls = config.rustls_https_connector_with_connector(tcp).map_err(failed)?;
    let hyper: Hyper<_, Body> = Hyper::builder(TokioExecutor::new()).build(tls);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        // It may not be ready yet: right after a CRD was created it answers 429.
        .layer(RetryLayer::new(retry))
        .option_layer(config.auth_layer().map_err(failed)?)
        .layer(config.extra_headers_layer().map_err(failed)?)
        .map_err(BoxError::from)
        .service(hyper);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

/// Reads and merges the files. As with kubectl, a file that KUBECONFIG lists may be missing, `--kubeconfig` not.
fn read(flags: &Connection, environment: &Environment) -> Result<Kubeconfig, Failure> {
    let files: Vec<PathBuf> = match &flags.kubeconfig {
        Some(file) => vec![file.clone()],
        None => environment.kubeconfig.iter().filter(|file| file.exists()).cloned().collect(),
    };
    let mut merged = Kubeconfig::default();
    for file in files {
        let failed = |error| Failure::from_error(format_args!("failed to read {}", file.display()), &error);
        merged = merged.merge(Kubeconfig::read_from(&file).map_err(failed)?).map_err(failed)?;
    }
    Ok(merged)
}

/// Puts the flags into the context, cluster and user that they override, and makes those that are missing. Returns
/// the cluster's name.
fn complete(config: &mut Kubeconfig, flags: &Connection) -> Result<String, Failure> {
    let wanted =
        flags.context.clone().or_else(|| config.current_context.clone()).filter(|name| !name.is_empty());
    let known = |name: &String| config.contexts.iter().any(|context| &context.name == name);
    let context_name = match wanted {
        Some(name) if known(&name) => name,
        Some(name) if flags.context.is_some() => {
            let names = config.contexts.iter().map(|context| context.name.as_str());
            let failure = Failure::new(format_args!("context \"{name}\" does not exist"));
            return Err(match super::kinds::nearest(&name, names) {
                Some(near) => failure.hint(format!("did you mean {near}?")),
                None => failure.hint("list them with: kubectl config get-contexts"),
            });
        }
        _ if flags.server.is_none() => {
            return Err(Failure::new("no cluster is configured")
                .hint("set KUBECONFIG, or name the API server with --server"));
        }
        _ => {
            let context = Context { cluster: FLAGS.into(), user: Some(FLAGS.into()), ..Context::default() };
            config.contexts.push(NamedContext {
                name: FLAGS.into(),
                context: Some(context),
                ..Default::default()
            });
            config.current_context = Some(FLAGS.into());
            FLAGS.into()
        }
    };
    let context = config.contexts.iter().find(|context| context.name == context_name);
    let context = context.and_then(|context| context.context.clone()).unwrap_or_default();
    let cluster = flags.cluster.clone().unwrap_or(context.cluster);
    override_cluster(config, cluster.clone(), flags);
    if let Some(token) = &flags.token {
        override_user(config, flags.user.clone().or(context.user).unwrap_or_default(), token);
    }
    Ok(cluster)
}

fn override_cluster(config: &mut Kubeconfig, name: String, flags: &Connection) {
    let at = config.clusters.iter().position(|cluster| cluster.name == name).or_else(|| {
        flags.server.as_ref()?;
        config.clusters.push(NamedCluster { name, ..Default::default() });
        Some(config.clusters.len() - 1)
    });
    let Some(at) = at else { return };
    let cluster = config.clusters[at].cluster.get_or_insert_with(Cluster::default);
    if flags.server.is_some() {
        cluster.server.clone_from(&flags.server);
        cluster.tls_server_name = None;
    }
    if flags.tls_server_name.is_some() {
        cluster.tls_server_name.clone_from(&flags.tls_server_name);
    }
    // Trust is replaced as a whole: a CA of the file must not survive a flag that says otherwise.
    if flags.insecure_skip_tls_verify || flags.certificate_authority.is_some() {
        cluster.insecure_skip_tls_verify = Some(flags.insecure_skip_tls_verify);
        cluster.certificate_authority =
            flags.certificate_authority.as_ref().map(|path| path.to_string_lossy().into_owned());
        cluster.certificate_authority_data = None;
    }
}

fn override_user(config: &mut Kubeconfig, name: String, token: &str) {
    let info = AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
    match config.auth_infos.iter_mut().find(|user| user.name == name) {
        Some(user) => user.auth_info = Some(info),
        None => config.auth_infos.push(NamedAuthInfo { name, auth_info: Some(info), ..Default::default() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: one, user: one, namespace: team}}
clusters:
- {name: one, cluster: {server: https://one.example:6443, tls-server-name: kubernetes}}
users:
- {name: one, user: {token: abc}}
";

    async fn configured(yaml: &str, flags: Connection) -> Result<Config, Failure> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), yaml).unwrap();
        let missing = PathBuf::from("/nonexistent/kubeconfig");
        let kubeconfig = vec![missing, file.path().to_owned()];
        configure(&flags, &Environment { kubeconfig, ..Environment::default() }).await
    }

    #[tokio::test]
    async fn the_file_rules_where_no_flag_does() {
        let config = configured(FILE, Connection::default()).await.unwrap();
        assert_eq!(config.cluster_url.to_string(), "https://one.example:6443/");
        assert_eq!(config.default_namespace, "team");
        assert_eq!(config.tls_server_name.as_deref(), Some("kubernetes"));
    }

    #[tokio::test]
    async fn flags_override_the_file() {
        let flags = Connection {
            namespace: Some("other".into()),
            server: Some("https://two.example".into()),
            insecure_skip_tls_verify: true,
            impersonate: Some("alice".into()),
            impersonate_group: vec!["admins".into()],
            ..Connection::default()
        };
        let config = configured(FILE, flags).await.unwrap();
        assert_eq!(config.cluster_url.to_string(), "https://two.example/");
        assert_eq!((config.default_namespace.as_str(), config.tls_server_name), ("other", None));
        assert!(config.accept_invalid_certs);
        assert_eq!(config.auth_info.impersonate.as_deref(), Some("alice"));
        assert_eq!(config.auth_info.impersonate_groups, Some(vec!["admins".to_owned()]));
    }

    #[tokio::test]
    async fn a_server_alone_is_enough_and_nothing_is_not() {
        let server = Some("http://127.0.0.1:8001".into());
        let config = configured("{}", Connection { server, ..Connection::default() }).await.unwrap();
        assert_eq!(config.cluster_url.to_string(), "http://127.0.0.1:8001/");
        let failure = configured("{}", Connection::default()).await.unwrap_err();
        assert_eq!(failure.lines, ["error: no cluster is configured"]);
    }

    #[tokio::test]
    async fn a_mistyped_context_names_the_nearest() {
        let flags = Connection { context: Some("on".into()), ..Connection::default() };
        let failure = configured(FILE, flags).await.unwrap_err();
        assert_eq!(failure.hint.as_deref(), Some("did you mean one?"));
    }
}
