//! The processes and files of a PostgreSQL server that tests start.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand::distr::{Alphanumeric, SampleString};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::Access;
use crate::support::lifeline::{Lifeline, folder_hash};
use crate::support::wait::block_until;

const BINARIES: &str = "/usr/lib/postgresql/15/bin";
const LONG: Duration = Duration::from_mins(1);

/// A server with a folder of its own below the system's temporary folder, which user `postgres` can reach.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    access: Access,
    _lifeline: Lifeline,
    ends_on_drop: bool,
}

impl Server {
    /// The one that the tests of this target folder share; it ends with the last test process.
    pub fn shared() -> Self {
        Self::join("pg15", false)
    }

    /// A new one that ends when it is dropped, at the latest with this process.
    pub fn own() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::join(&format!("pg15-{}-{count}", std::process::id()), true)
    }

    fn join(name: &str, ends_on_drop: bool) -> Self {
        let folder = std::env::temp_dir().join(format!("tenantry-test-{}-{name}", folder_hash()));
        let (lifeline, access) = Lifeline::join(name, &end_script(&folder), || {
            running(&folder).unwrap_or_else(|| create(&folder))
        });
        Self { folder, access, _lifeline: lifeline, ends_on_drop }
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    pub fn start(&self) {
        pg_ctl_start(&self.folder).unwrap();
    }

    pub fn stop(&self) {
        let postmaster = postmaster(&self.folder).unwrap();
        kill("INT", &[postmaster]);
        block_until(LONG, "PostgreSQL has ended", || {
            if alive(postmaster) {
                Err(format!("process {postmaster} lives on: {}", self.log()))
            } else {
                Ok(())
            }
        });
    }

    /// Signals the postmaster first, so that it starts no process that would miss a STOP.
    pub fn signal(&self, signal: &str) {
        let postmaster = postmaster(&self.folder).unwrap();
        kill(signal, &[postmaster]);
        kill(signal, &children(postmaster));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.ends_on_drop {
            // What this misses, the watchdog does.
            let _ = Command::new("sh").arg("-c").arg(end_script(&self.folder)).output();
        }
    }
}

/// Ends the postmaster if the id in its file is still a process of this folder, which SIGCONT lets a paused one
/// notice, then removes the folder.
fn end_script(folder: &Path) -> String {
    format!(
        "cd '{folder}' 2>/dev/null || exit 0
        pid=$(head -n 1 data/postmaster.pid 2>/dev/null)
        if [ -n \"$pid\" ] && grep -qa '{folder}' /proc/$pid/cmdline 2>/dev/null; then
            children=$(cat /proc/$pid/task/$pid/children)
            kill -QUIT $pid
            kill -CONT $pid $children 2>/dev/null
            tail --pid=$pid -s 0.05 -f /dev/null
        fi
        cd /
        rm -rf '{folder}'",
        folder = folder.display()
    )
}

fn running(folder: &Path) -> Option<Access> {
    let access: Access = serde_json::from_slice(&fs::read(folder.join("access.json")).ok()?).unwrap();
    postmaster(folder).filter(|postmaster| alive(*postmaster)).map(|_| access)
}

fn create(folder: &Path) -> Access {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
    run(Command::new("chmod").arg("0700").arg(folder)).unwrap();
    let password = Alphanumeric.sample_string(&mut rand::rng(), 24);
    fs::write(folder.join("password"), &password).unwrap();
    write_certificates(folder);
    give_to_postgres(folder);
    let data = folder.join("data");
    let initdb = format!("{BINARIES}/initdb");
    let password_file = format!("--pwfile={}", folder.join("password").display());
    run_as_postgres(&[
        &initdb,
        "--username=postgres",
        &password_file,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
        "--pgdata",
        data.to_str().unwrap(),
    ])
    .unwrap();
    fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 scram-sha-256\n").unwrap();
    let port = (0..5).find_map(|_| start_on_a_free_port(folder)).expect("no port was free five times");
    let access = Access {
        host: "127.0.0.1".into(),
        port,
        username: "postgres".into(),
        password,
        ca: folder.join("ca.crt"),
    };
    fs::write(folder.join("access.json"), serde_json::to_vec(&access).unwrap()).unwrap();
    access
}

/// Somebody may take the port between our look and PostgreSQL's start: then there is none, and a next try.
fn start_on_a_free_port(folder: &Path) -> Option<u16> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nmax_connections = 200\n\
         shared_buffers = 32MB\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\n\
         ssl = on\nssl_ca_file = '{folder}/ca.crt'\nssl_cert_file = '{folder}/server.crt'\nssl_key_file = '{folder}/server.key'\n\
         log_statement = all\nlog_connections = on\nlog_line_prefix = '%m [%p] %q%u@%d '\n",
        folder = folder.display()
    );
    fs::write(folder.join("data/postgresql.conf"), settings).unwrap();
    match pg_ctl_start(folder) {
        Ok(()) => Some(port),
        Err(_) if log(folder).contains("could not bind") => None,
        Err(error) => panic!("failed to start PostgreSQL: {error}\n{}", log(folder)),
    }
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

fn pg_ctl_start(folder: &Path) -> Result<(), String> {
    let (data, log) = (folder.join("data"), folder.join("log"));
    run_as_postgres(&[
        &format!("{BINARIES}/pg_ctl"),
        "start",
        "--wait",
        "--silent",
        "--pgdata",
        data.to_str().unwrap(),
        "--log",
        log.to_str().unwrap(),
    ])
}

fn write_certificates(folder: &Path) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Tenantry tests");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
    fs::write(folder.join("ca.crt"), ca.pem()).unwrap();
    fs::write(folder.join("server.crt"), certificate.pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    run(Command::new("chmod").arg("0600").arg(folder.join("server.key"))).unwrap();
}

/// PostgreSQL refuses to run as root.
fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

fn give_to_postgres(folder: &Path) {
    if is_root() {
        run(Command::new("chown").args(["-R", "postgres"]).arg(folder)).unwrap();
    }
}

fn run_as_postgres(command: &[&str]) -> Result<(), String> {
    let as_postgres = ["runuser", "-u", "postgres", "--"];
    let words = if is_root() { [&as_postgres[..], command].concat() } else { command.to_vec() };
    // The caller's folder may be one that user postgres cannot enter.
    run(Command::new(words[0]).args(&words[1..]).current_dir("/").env("LC_ALL", "C.UTF-8"))
}

/// Output goes to a file rather than a pipe, which the started server would hold open.
fn run(command: &mut Command) -> Result<(), String> {
    let out = tempfile::NamedTempFile::new().unwrap();
    let file = out.reopen().unwrap();
    let status = command.stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {status}: {}", fs::read_to_string(out.path()).unwrap()))
}

fn postmaster(folder: &Path) -> Option<u32> {
    fs::read_to_string(folder.join("data/postmaster.pid")).ok()?.lines().next()?.parse().ok()
}

fn alive(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

fn children(process: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    list.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// A process that ended by itself in between is as good as signalled.
fn kill(signal: &str, processes: &[u32]) {
    let ids = processes.iter().map(ToString::to_string);
    let _: Output = Command::new("kill").arg(format!("-{signal}")).args(ids).output().unwrap();
}
