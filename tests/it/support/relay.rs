//! A relay in front of a PostgreSQL server: it counts who connects, and can refuse them or leave them without an answer.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::postgres::{Access, Postgres};

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relaying {
    /// It reaches the server.
    Forward,
    /// It is closed at once.
    Refuse,
    /// The next so many are kept without an answer; the others reach the server.
    Silence(usize),
    /// The relay has ended.
    End,
}

#[derive(Debug)]
struct Shared {
    to: (String, u16),
    relaying: Mutex<Relaying>,
    attempts: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

/// A relay, until dropped.
#[derive(Debug)]
pub struct Relay {
    access: Access,
    shared: Arc<Shared>,
}

impl Relay {
    /// Starts one that forwards.
    pub fn start(postgres: &Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let direct = postgres.access().clone();
        let access = Access { port: listener.local_addr().unwrap().port(), ..direct.clone() };
        let shared = Arc::new(Shared {
            to: (direct.host, direct.port),
            relaying: Mutex::new(Relaying::Forward),
            attempts: AtomicUsize::new(0),
            open: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || listener.incoming().try_for_each(|client| serving.serve(client.ok()?)));
        Self { access, shared }
    }

    /// The server, as one reaches it through the relay.
    pub fn postgres(&self) -> Postgres {
        Postgres::at(self.access.clone())
    }

    /// Ends every connection; from now on new ones fare so.
    pub fn set(&self, relaying: Relaying) {
        *self.shared.relaying.lock().unwrap() = relaying;
        for stream in self.shared.open.lock().unwrap().drain(..) {
            // The peer may have closed it already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many connections there have been.
    pub fn attempts(&self) -> usize {
        self.shared.attempts.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.set(Relaying::End);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((&*self.access.host, self.access.port));
    }
}

impl Shared {
    /// `None` ends the relay.
    fn serve(&self, client: TcpStream) -> Option<()> {
        let mut relaying = self.relaying.lock().unwrap();
        if *relaying == Relaying::End {
            return None;
        }
        self.attempts.fetch_add(1, Ordering::SeqCst);
        match *relaying {
            Relaying::Refuse | Relaying::End => {}
            Relaying::Silence(left @ 1..) => {
                *relaying = Relaying::Silence(left - 1);
                self.open.lock().unwrap().push(client);
            }
            Relaying::Forward | Relaying::Silence(0) => {
                // A server that is down refuses, and so does the relay.
                if let Ok(server) = TcpStream::connect((&*self.to.0, self.to.1)) {
                    let streams = [&client, &server].map(|stream| stream.try_clone().unwrap());
                    self.open.lock().unwrap().extend(streams);
                    copy(client.try_clone().unwrap(), server.try_clone().unwrap());
                    copy(server, client);
                }
            }
        }
        Some(())
    }
}

/// Copies until either side ends, and then ends both.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // However it ended, it has ended.
        let _ = io::copy(&mut from, &mut to);
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}
