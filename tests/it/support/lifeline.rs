//! Lifelines: a server that tests start ends with the last test process that uses it, however that process ends.
//!
//! Each process holds a shared lock on the server's lock file for as long as it lives. A watchdog beside it waits
//! for the exclusive lock, which the kernel grants when the last holder is gone, be it by return, panic or
//! `kill -9`, and then ends the server. So there is nothing to clean up after a crash, and no process id to trust.
//! Lock files stay: to remove a file that others may be about to lock is a race.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The process' hold on a server. Dropped or not, it ends with the process.
#[derive(Debug)]
pub struct Lifeline {
    _users: File,
    _watchdog: Child,
}

impl Lifeline {
    /// Joins the users of the server `name`. `ensure` runs while no other process starts it, and starts it unless
    /// it runs already. `end` is a shell script that ends the server and leaves nothing of it; it is run when no
    /// user is left, and must bear being run twice or without a server.
    pub fn join<T>(name: &str, end: &str, ensure: impl FnOnce() -> T) -> (Self, T) {
        let users_path = users_file(name);
        let users = open(&users_path);
        // Waits while the watchdog of earlier users ends the server.
        users.lock_shared().unwrap();
        let watchdog = spawn_watchdog(&users_path, end);
        let starting = open(&folder().join(format!("{name}.starting")));
        starting.lock().unwrap();
        let server = ensure();
        drop(starting);
        (Self { _users: users, _watchdog: watchdog }, server)
    }
}

/// A command that counts as a user of the server `name` while it runs, so that what it starts is not missed when
/// this process dies meanwhile. What the command leaves running does not count.
pub fn command(name: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("flock");
    command.args(["--shared", "--close"]).arg(users_file(name)).arg(program);
    command
}

fn users_file(name: &str) -> PathBuf {
    folder().join(format!("{name}.users"))
}

/// An exclusive hold on one of the `names`, or nothing if others hold them all.
pub fn try_slot<'a>(names: &'a [&'a str]) -> Option<(&'a str, File)> {
    names.iter().find_map(|name| {
        let slot = open(&folder().join(format!("{name}.slot")));
        slot.try_lock().ok().map(|()| (*name, slot))
    })
}

/// Folder of everything the tests of this target folder keep, and share between processes.
pub fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("support");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Eight characters that tell this target folder from others.
pub fn folder_hash() -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(folder().as_os_str().as_encoded_bytes());
    data_encoding::HEXLOWER.encode(&digest[..4])
}

fn open(path: &Path) -> File {
    File::options().create(true).append(true).open(path).unwrap()
}

/// A group of its own keeps the watchdog alive when a terminal interrupts the tests.
fn spawn_watchdog(lock: &Path, end: &str) -> Child {
    let log = open(&lock.with_extension("watchdog.log"));
    Command::new("flock")
        .args(["--exclusive".as_ref(), lock.as_os_str(), "sh".as_ref(), "-c".as_ref(), end.as_ref()])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("failed to start flock (package util-linux): {error}"))
}
