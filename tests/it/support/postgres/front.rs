//! TLS before a server that was built without it, as a pooler or a cloud's proxy has it: the operator speaks to no
//! server in the clear.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Access;

/// A client's wish for TLS: its length and its code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Takes connections until it is dropped.
#[derive(Debug)]
pub struct Front {
    port: u16,
    server: SocketAddr,
    _open: DropGuard,
}

impl Front {
    /// One before that server, with the `server.crt` and `server.key` that lie beside its CA.
    pub fn before(server: &Access) -> Self {
        let folder = server.ca.parent().unwrap();
        let chain = CertificateDer::pem_file_iter(folder.join("server.crt")).unwrap();
        let chain: Result<Vec<_>, _> = chain.collect();
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.unwrap(), key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let (acceptor, server) =
            (TlsAcceptor::from(Arc::new(config)), SocketAddr::from(([127, 0, 0, 1], server.port)));
        let open = CancellationToken::new();
        let closed = open.clone();
        // A thread of its own: a test's runtime ends with the test, and the front serves many.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(closed.run_until_cancelled(serve(listener, acceptor, server)));
        });
        Self { port, server, _open: open.drop_guard() }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Port of the server behind it, which speaks no TLS.
    pub fn server_port(&self) -> u16 {
        self.server.port()
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, server: SocketAddr) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut clients = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let acceptor = acceptor.clone();
        clients.spawn(async move { carry(client, &acceptor, server).await });
        while clients.try_join_next().is_some() {}
    }
}

/// One connection. Whoever asks for none of it gets no TLS and no server.
async fn carry(mut client: TcpStream, acceptor: &TlsAcceptor, server: SocketAddr) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut request = [0; 8];
    client.read_exact(&mut request).await?;
    if request != SSL_REQUEST {
        return Ok(());
    }
    client.write_all(b"S").await?;
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
