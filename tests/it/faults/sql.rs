//! A proxy before PostgreSQL that the operator's sessions pass: at one of their statements the world may stop.
//!
//! It speaks TLS to both sides, and reads the messages between (PostgreSQL's documentation, "Message Formats").

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::trap::{Position, Trap};
use crate::support::Postgres;
use crate::support::postgres::Access;

/// A client's wish for TLS: its length and its code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// Statements that change nothing by themselves, or end with the session.
const HARMLESS: [&str; 8] = ["", "SAVEPOINT", "ROLLBACK", "RELEASE", "SELECT", "SET", "SHOW", "LOCK"];

/// Takes connections until it is dropped.
#[derive(Debug)]
pub struct Sql {
    access: Access,
    _open: DropGuard,
}

impl Sql {
    /// One before that server, with the `server.crt` and `server.key` that lie beside its CA.
    pub fn before(postgres: &Postgres, trap: Trap) -> Self {
        let direct = postgres.access().clone();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let access = Access { port: listener.local_addr().unwrap().port(), ..direct.clone() };
        let ends = Arc::new(Ends::of(&direct));
        let open = CancellationToken::new();
        let closed = open.clone();
        // A thread of its own, which the test's own waiting does not hold up.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(closed.run_until_cancelled(serve(listener, ends, trap)));
        });
        Self { access, _open: open.drop_guard() }
    }

    /// The server, as one reaches it through the proxy.
    pub fn postgres(&self) -> Postgres {
        Postgres::at(self.access.clone())
    }
}

/// How one speaks TLS to either side.
struct Ends {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    host: ServerName<'static>,
    port: u16,
}

impl Ends {
    fn of(server: &Access) -> Self {
        let folder = server.ca.parent().unwrap();
        let chain = CertificateDer::pem_file_iter(folder.join("server.crt")).unwrap();
        let chain: Result<Vec<_>, _> = chain.collect();
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let accepting = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.unwrap(), key);
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_file(&server.ca).unwrap()).unwrap();
        let connecting = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(trusted)
            .with_no_client_auth();
        Self {
            acceptor: TlsAcceptor::from(Arc::new(accepting.unwrap())),
            connector: TlsConnector::from(Arc::new(connecting)),
            host: ServerName::try_from(server.host.clone()).unwrap(),
            port: server.port,
        }
    }
}

async fn serve(listener: TcpListener, ends: Arc<Ends>, trap: Trap) -> Infallible {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut sessions = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (ends, trap) = (Arc::clone(&ends), trap.clone());
        // However a session ends, it has ended.
        sessions.spawn(async move { session(client, &ends, &trap).await });
        while sessions.try_join_next().is_some() {}
    }
}

async fn session(mut client: TcpStream, ends: &Ends, trap: &Trap) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut request = [0; 8];
    client.read_exact(&mut request).await?;
    if request != SSL_REQUEST {
        return Ok(());
    }
    client.write_all(b"S").await?;
    let mut client = ends.acceptor.accept(client).await?;

    let mut server = TcpStream::connect(("127.0.0.1", ends.port)).await?;
    server.set_nodelay(true)?;
    server.write_all(&SSL_REQUEST).await?;
    let mut answer = [0];
    server.read_exact(&mut answer).await?;
    let mut server = ends.connector.connect(ends.host.clone(), server).await?;

    // The startup message alone has no kind.
    let length = client.read_u32().await?;
    let mut startup = vec![0; length.saturating_sub(4) as usize];
    client.read_exact(&mut startup).await?;
    let parameter = |name: &str| {
        let mut texts = startup[4..].split(|byte| *byte == 0).map(String::from_utf8_lossy);
        texts.find(|text| text == name).and_then(|_| texts.next()).unwrap_or_default().into_owned()
    };
    let ours = parameter("application_name") == "tenantry";
    match ours.then(|| trap.keeps_out()).flatten() {
        None => {}
        Some(Position::Full) => {
            client.write_all(&refusal("FATAL", FULL)).await?;
            return client.shutdown().await;
        }
        Some(_) => return Ok(()),
    }
    let place = parameter("database");
    server.write_u32(length).await?;
    server.write_all(&startup).await?;
    let (client, server) = (Side::new(client), Side::new(server));
    carry(client, server, |statement| ours.then(|| trap.meet(&format!("{statement} AT {place}")))?, trap)
        .await
}

/// Carries messages until a side ends, or the world stops.
async fn carry<C, S>(
    mut client: Side<C>,
    mut server: Side<S>,
    meet: impl Fn(&str) -> Option<Position>,
    trap: &Trap,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut effects = Effects::default();
    loop {
        tokio::select! {
            message = client.message() => {
                let message = message?;
                effects.hear(&message, &meet);
                match effects.stopping {
                    Some(Position::ReadOnly) => {
                        let state = if effects.transaction { b'E' } else { b'I' };
                        let answer = [&refusal("ERROR", READ_ONLY)[..], &[b'Z', 0, 0, 0, 5, state]].concat();
                        client.stream.write_all(&answer).await?;
                        client.stream.flush().await?;
                        effects = Effects::default();
                        continue;
                    }
                    Some(Position::Halted) => {
                        trap.released().await;
                        effects.stopping = None;
                    }
                    // Until whoever waits gives up.
                    Some(Position::Hung) => while client.message().await.is_ok() {},
                    _ => {}
                }
                if effects.stopping.is_some_and(|position| !position.arrives()) {
                    return Ok(());
                }
                server.stream.write_all(&message).await?;
                server.stream.flush().await?;
            }
            message = server.message() => {
                let message = message?;
                // Ready for the next query: this one has been answered.
                if message.first() == Some(&b'Z') && trap.arrived(effects.stopping) {
                    return Ok(());
                }
                if effects.stopping.is_none() {
                    client.stream.write_all(&message).await?;
                    client.stream.flush().await?;
                }
            }
        }
    }
}

/// SQLSTATE, message and routine of what a server says that has no connection left.
const FULL: [&str; 3] = ["53300", "sorry, too many clients already", "InitProcess"];
/// The same of one that takes no writes.
const READ_ONLY: [&str; 3] =
    ["25006", "cannot execute this in a read-only transaction", "PreventCommandIfReadOnly"];

/// A server's refusal.
fn refusal(severity: &str, [code, message, routine]: [&str; 3]) -> Vec<u8> {
    let fields = [('S', severity), ('V', severity), ('C', code), ('M', message), ('R', routine)];
    let fields = fields.map(|(kind, text)| format!("{kind}{text}\0")).concat();
    let length = u32::try_from(fields.len() + 5).unwrap();
    [b"E", &length.to_be_bytes()[..], fields.as_bytes(), b"\0"].concat()
}

/// Which statements of a session are an effect. A transaction is one, called like its first statement: it is there when
/// it is committed. Its statements may come in one message with its BEGIN.
#[derive(Default)]
struct Effects {
    transaction: bool,
    named: bool,
    /// Where the world stops at the transaction under way.
    later: Option<Position>,
    /// Where it stops now.
    stopping: Option<Position>,
}

impl Effects {
    fn hear(&mut self, message: &[u8], meet: impl Fn(&str) -> Option<Position>) {
        let Some(text) = query(message) else { return };
        match first_word(&text).as_str() {
            "BEGIN" => {
                *self = Self { transaction: true, ..Self::default() };
                let rest = text.split(';').skip(1).map(str::trim);
                if let Some(named) = rest.into_iter().find(|it| !HARMLESS.contains(&first_word(it).as_str()))
                {
                    self.enter(named, meet);
                }
            }
            "COMMIT" => *self = Self { stopping: self.later, ..Self::default() },
            "ROLLBACK" if !text.to_uppercase().contains(" TO ") => *self = Self::default(),
            first if HARMLESS.contains(&first) => {}
            _ if self.transaction && self.named => {}
            _ => self.enter(&text, meet),
        }
    }

    fn enter(&mut self, statement: &str, meet: impl Fn(&str) -> Option<Position>) {
        let at = meet(&numberless(statement));
        self.named = true;
        if self.transaction && at.is_some_and(Position::arrives) {
            self.later = at;
        } else {
            self.stopping = at;
        }
    }
}

fn first_word(statement: &str) -> String {
    statement.split([' ', ';', '(']).next().unwrap_or_default().to_uppercase()
}

/// The text of a simple query, on one line.
fn query(message: &[u8]) -> Option<String> {
    let text = message.strip_prefix(b"Q")?.get(4..)?.strip_suffix(&[0])?;
    Some(String::from_utf8_lossy(text).split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A statement up to its first text, with N for each number.
fn numberless(statement: &str) -> String {
    let statement = statement.split('\'').next().unwrap_or_default();
    let number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let words = statement.split(' ').map(|word| if number(word) { "N" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// One side of a session.
struct Side<T> {
    stream: T,
    read: Vec<u8>,
}

impl<T: AsyncRead + Unpin> Side<T> {
    fn new(stream: T) -> Self {
        Self { stream, read: vec![] }
    }

    /// The next message, whole. Nothing is lost when this is dropped.
    async fn message(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(length) = self.read.get(1..5) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize + 1;
                if self.read.len() >= length {
                    let rest = self.read.split_off(length);
                    return Ok(std::mem::replace(&mut self.read, rest));
                }
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[test]
fn a_transaction_is_one_effect_that_is_there_when_it_is_committed() {
    let query = |sql: &str| [b"Q\0\0\0\0", sql.as_bytes(), b"\0"].concat();
    let apart = ["SELECT 1", "BEGIN", "GRANT b", "GRANT c", "COMMIT"];
    let together = ["SELECT 1", "BEGIN;\nLOCK TABLE a;\nGRANT b;\nGRANT c", "COMMIT;\nSELECT 2"];
    let cases = [
        (&apart[..], Position::RequestLost, apart[2]),
        (&apart[..], Position::After, "COMMIT"),
        (&together[..], Position::RequestLost, together[1]),
        (&together[..], Position::After, together[2]),
    ];
    for (sent, at, stops) in cases {
        let (mut effects, met) = (Effects::default(), std::cell::RefCell::new(vec![]));
        let stopped = sent.iter().copied().find(|sql| {
            effects.hear(&query(sql), |name| {
                met.borrow_mut().push(name.to_owned());
                Some(at)
            });
            effects.stopping.is_some()
        });
        assert_eq!((stopped, met.into_inner()), (Some(stops), vec!["GRANT b".to_owned()]));
    }
    assert_eq!(
        numberless("UPDATE epoch SET epoch = 3 WHERE name = 'x 4'"),
        "UPDATE epoch SET epoch = N WHERE name = "
    );
}
