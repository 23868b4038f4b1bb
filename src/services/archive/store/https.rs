//! How a bucket's server is spoken to: by the HTTP client and the TLS provider that the rest of the program has, which `object_store` lets
//! its user bring along.
//!
//! Only HTTPS, only to a server whose certificate one of the given authorities vouches for, and to no other one: neither proxies nor
//! redirects are followed. A request is bounded in time and its answer in size; `object_store` repeats what can be repeated.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect;
use hyper_util::rt::TokioExecutor;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpService,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Longest time that one request takes, its body and its answer's included.
const PATIENCE: Duration = Duration::from_mins(2);
/// Longest time until a server takes a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest answer: more than is asked for at once, and than a page of names.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// The HTTP client.
#[derive(Clone, Debug)]
pub struct Https(Client<HttpsConnector<connect::HttpConnector>, HttpRequestBody>);

impl Https {
    /// One that believes the authorities in that PEM file, or the public ones.
    pub fn new(ca: Option<&Path>) -> Result<Self, io::Error> {
        let mut roots = RootCertStore::empty();
        match ca {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(file) => {
                for certificate in CertificateDer::pem_file_iter(file).map_err(invalid)? {
                    roots.add(certificate.map_err(invalid)?).map_err(invalid)?;
                }
                if roots.is_empty() {
                    return Err(invalid("it has no certificate in it"));
                }
            }
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(invalid)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut connector = connect::HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.0.request(request).await.map_err(|error| {
            let kind = if untrusted(&error).is_some() {
                // It will not be another one the next time.
                HttpErrorKind::Unknown
            } else if error.is_connect() {
                HttpErrorKind::Connect
            } else {
                HttpErrorKind::Interrupted
            };
            HttpError::new(kind, error)
        })?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body.map_err(|error| HttpError::new_boxed(HttpErrorKind::Interrupted, error))?;
        Ok(HttpResponse::from_parts(parts, body.to_bytes().into()))
    }
}

#[async_trait]
impl HttpService for Https {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let exchanged = tokio::time::timeout(PATIENCE, self.exchange(request)).await;
        exchanged.unwrap_or_else(|elapsed| Err(HttpError::new(HttpErrorKind::Timeout, elapsed)))
    }
}

impl HttpConnector for Https {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

fn invalid(error: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What TLS did not like of the server, if that is what an error is about.
pub fn untrusted<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error passes over what is in it when it is asked for its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}
