//! Ports of loopback for servers that are started by their number.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;

/// Below the range that the kernel hands out to outgoing connections: one of those could otherwise take the port before
/// its server starts, or while a test has it stopped. Localcluster takes its own from 20000 to 31999.
const PORTS: std::ops::Range<u16> = 12_000..20_000;

/// An address of loopback with nobody on it, which no other test of this process gets.
pub fn free_address() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap();
    let mut ports = (0..100).map(|_| rand::random_range(PORTS)).filter(|port| given.insert(*port));
    let free = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()?.local_addr().ok());
    free.expect("no port of a hundred was free")
}
