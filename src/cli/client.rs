//! Reads: one HTTP request each, with paths that are known without discovery.

use std::cell::RefCell;
use std::time::Duration;

use futures::TryStreamExt;
use http::{Method, Request, header};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::core::WatchEvent;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api_error::ApiError;
use super::args::Connection;
use super::connection;
use super::environment::Environment;
use super::failure::Failure;
use super::kinds::{Resource, escape};

/// Asks for rows instead of objects.
pub(super) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
/// Asks for objects.
pub(super) const JSON: &str = "application/json";

/// A connection to the API server, as the user of the kubeconfig.
pub(super) struct Client {
    http: kube::Client,
    server: String,
    namespace: String,
    timeout: Option<Duration>,
    warnings: RefCell<Vec<String>>,
}

/// What narrows a list.
#[derive(Clone, Debug, Default)]
pub(super) struct Selectors {
    /// Label selector.
    pub labels: Option<String>,
    /// Field selector.
    pub fields: Option<String>,
}

impl Client {
    /// Connects as the flags and the kubeconfig say.
    pub(super) async fn connect(flags: &Connection, environment: &Environment) -> Result<Self, Failure> {
        let config = connection::configure(flags, environment).await?;
        let server = config.cluster_url.authority().map(ToString::to_string).unwrap_or_default();
        let namespace = config.default_namespace.clone();
        let timeout = Some(flags.request_timeout).filter(|timeout| !timeout.is_zero());
        let http = connection::client(config)?;
        Ok(Self { http, server, namespace, timeout, warnings: RefCell::default() })
    }

    /// Namespace of the request: the flag's, the context's, or `default`.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Host and port of the API server.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// What the API server warned of since the last call.
    pub(super) fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    /// GETs a path.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        accept: &'static str,
    ) -> Result<T, ApiError> {
        let body = self.send(Method::GET, path, accept, None, vec![]).await?;
        serde_json::from_slice(&body).map_err(ApiError::Malformed)
    }

    /// GETs one object.
    pub(super) async fn object(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Value, ApiError> {
        self.read(&resource.path(namespace, Some(name)), JSON).await
    }

    /// GETs one object; None if it does not exist.
    pub(super) async fn find(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>, ApiError> {
        match self.object(resource, namespace, name).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The objects of a list.
    pub(super) async fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        selectors: &Selectors,
    ) -> Result<Vec<Value>, ApiError> {
        let path = with_query(resource.path(namespace, None), &selectors.query());
        let mut list: Value = self.read(&path, JSON).await?;
        let Value::Array(mut items) = list["items"].take() else { return Ok(vec![]) };
        for item in &mut items {
            // Lists carry the type once; objects are printed with their own.
            item["apiVersion"] = resource.api_version().into();
            item["kind"] = resource.kind.into();
        }
        Ok(items)
    }

    /// Calls `each` with every change of a collection since `version`, until it says stop or the server ends the
    /// watch.
    pub(super) async fn watch<E: From<ApiError>>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        accept: &'static str,
        mut each: impl FnMut(Change) -> Result<Next, E>,
    ) -> Result<Next, E> {
        let mut all = query.to_vec();
        all.push(("watch", "true"));
        let request = self.request(Method::GET, &with_query(path.to_owned(), &all), accept, None, vec![])?;
        let events =
            self.http.request_events::<Value>(request).await.map_err(|error| self.broken(path, error))?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.try_next().await.map_err(|error| self.broken(path, error))? {
            let change = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => Change::Is(object),
                WatchEvent::Deleted(object) => Change::Deleted(object),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) => return Err(ApiError::Status(status).into()),
            };
            if each(change)? == Next::Stop {
                return Ok(Next::Stop);
            }
        }
        Ok(Next::Continue)
    }

    /// Sends a request and returns the body of its successful reply.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        content: Option<&'static str>,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ApiError> {
        let request = self.request(method, path, accept, content, body)?;
        self.exchange(path, request).await
    }

    /// POSTs JSON with one header more.
    pub(super) async fn post_with(
        &self,
        path: &str,
        (name, value): (&'static str, &str),
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ApiError> {
        let mut request = self.request(Method::POST, path, JSON, Some(JSON), body)?;
        let value = header::HeaderValue::from_str(value)
            .map_err(|error| self.broken(path, kube::Error::HttpError(error.into())))?;
        request.headers_mut().insert(name, value);
        self.exchange(path, request).await
    }

    async fn exchange(&self, path: &str, request: Request<Vec<u8>>) -> Result<Vec<u8>, ApiError> {
        let exchange = async {
            let reply = self.http.send(request.map(Body::from)).await?;
            let (head, body) = reply.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok((head, body))
        };
        let exchange = async { exchange.await.map_err(|error| self.broken(path, error)) };
        let (head, body) = match self.timeout {
            None => exchange.await?,
            Some(limit) => {
                tokio::time::timeout(limit, exchange).await.map_err(|_| ApiError::Slow(limit))??
            }
        };
        self.warnings.borrow_mut().extend(head.headers.get_all(header::WARNING).iter().filter_map(warning));
        if head.status.is_success() {
            return Ok(body.into());
        }
        let path = path.split('?').next().unwrap_or(path);
        Err(ApiError::of_reply(head.status.as_u16(), path, &body))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        content: Option<&'static str>,
        body: Vec<u8>,
    ) -> Result<Request<Vec<u8>>, ApiError> {
        let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
        if let Some(content) = content {
            request = request.header(header::CONTENT_TYPE, content);
        }
        request.body(body).map_err(|error| self.broken(path, kube::Error::HttpError(error)))
    }

    fn broken(&self, path: &str, cause: kube::Error) -> ApiError {
        match cause {
            kube::Error::Api(status) if status.code == 404 && status.details.is_none() => {
                ApiError::NotServed { path: path.to_owned() }
            }
            kube::Error::Api(status) => ApiError::Status(status),
            cause => ApiError::Unreachable { server: self.server.clone(), cause },
        }
    }
}

/// What a watch reports.
#[derive(Debug)]
pub(super) enum Change {
    /// The object is there and looks so.
    Is(Value),
    /// The object is gone; this was its last state.
    Deleted(Value),
}

/// Whether a watch goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for the next change.
    Continue,
    /// Done.
    Stop,
}

impl Selectors {
    /// As query parameters.
    pub(super) fn query(&self) -> Vec<(&str, &str)> {
        let labels = self.labels.as_deref().map(|labels| ("labelSelector", labels));
        let fields = self.fields.as_deref().map(|fields| ("fieldSelector", fields));
        labels.into_iter().chain(fields).collect()
    }

    /// Exactly the object of that name.
    pub(super) fn named(name: &str) -> Self {
        Self { labels: None, fields: Some(format!("metadata.name={name}")) }
    }
}

/// A path with query parameters.
pub(super) fn with_query(mut path: String, query: &[(&str, &str)]) -> String {
    for (index, (name, value)) in query.iter().enumerate() {
        path.push(if index == 0 { '?' } else { '&' });
        path.push_str(name);
        path.push('=');
        path.push_str(&escape(value));
    }
    path
}

/// The text of a `Warning: 299 - "text"` header.
fn warning(value: &header::HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?.split_once('"')?.1;
    let text = text.strip_suffix('"').unwrap_or(text);
    Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_escaped() {
        let query = [("labelSelector", "a=b,c in (d)"), ("watch", "true")];
        assert_eq!(
            with_query("/api/v1/pods".into(), &query),
            "/api/v1/pods?labelSelector=a%3Db%2Cc%20in%20%28d%29&watch=true"
        );
    }

    #[test]
    fn warnings_are_unquoted() {
        let value = header::HeaderValue::from_static(r#"299 - "say \"so\"""#);
        assert_eq!(warning(&value).as_deref(), Some("say \"so\""));
    }
}
