//! The processes and files of a PostgreSQL server that tests start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::template::Template;
use super::{Access, Version};
use crate::support::free_address;
use crate::support::lifeline::{self, Lifeline, folder_hash};
use crate::support::wait::block_until;

const LONG: Duration = Duration::from_mins(1);
/// Where Linux has a file system in memory that everybody may write to; in a container it may be a small one.
const MEMORY: &str = "/dev/shm";

/// A server. Its lifeline ends it.
#[derive(Debug)]
pub struct Server {
    home: Home,
    access: Access,
    _lifeline: Lifeline,
}

impl Server {
    /// The one of that name that the tests of this target folder share; it ends with the last test process.
    pub fn shared(name: &str, version: Version) -> Self {
        let home = Home::new(name.into(), version);
        let end = home.end_script();
        Self::join(home, &end)
    }

    /// A new one that ends when it is dropped, at the latest with this process.
    pub fn own(version: Version) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let home = Home::new(format!("{version}-{}-{count}", std::process::id()), version);
        // No other process will ever lock the files of a name that has this process' id in it.
        let locks = lifeline::folder().join(&home.name);
        let end = format!("{}\nrm -f '{}'.*", home.end_script(), locks.display());
        Self::join(home, &end)
    }

    fn join(home: Home, end: &str) -> Self {
        let ensure = || home.running().unwrap_or_else(|| home.create());
        let (lifeline, access) = Lifeline::join(&home.name, end, ensure);
        Self { home, access, _lifeline: lifeline }
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    pub fn log(&self) -> String {
        self.home.log()
    }

    pub fn start(&self) {
        self.home.start().unwrap();
    }

    pub fn stop(&self) {
        let postmaster = self.home.postmaster().unwrap();
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
        let postmaster = self.home.postmaster().unwrap();
        kill(signal, &[postmaster]);
        kill(signal, &children(postmaster));
    }
}

/// Where a server lives: a folder of its own below [`scratch`].
#[derive(Debug)]
pub struct Home {
    pub name: String,
    pub folder: PathBuf,
    pub version: Version,
}

impl Home {
    pub fn new(name: String, version: Version) -> Self {
        let folder = scratch().join(format!("tenantry-test-{}-{name}", folder_hash()));
        Self { name, folder, version }
    }

    pub fn path(&self, file: &str) -> String {
        self.folder.join(file).to_str().unwrap().to_owned()
    }

    /// Ends the postmaster if the id in its file is still a process of this folder, which SIGCONT lets a paused one
    /// notice, then removes the folder.
    fn end_script(&self) -> String {
        format!(
            "pid=$(head -n 1 '{folder}/data/postmaster.pid' 2>/dev/null)
            if [ -n \"$pid\" ] && grep -qa '{folder}' /proc/$pid/cmdline 2>/dev/null; then
                children=$(cat /proc/$pid/task/$pid/children)
                kill -QUIT $pid
                kill -CONT $pid $children 2>/dev/null
                tail --pid=$pid -s 0.05 -f /dev/null
            fi
            rm -rf '{folder}'",
            folder = self.folder.display()
        )
    }

    fn running(&self) -> Option<Access> {
        let access = serde_json::from_slice(&fs::read(self.path("access.json")).ok()?).unwrap();
        self.postmaster().filter(|postmaster| alive(*postmaster)).map(|_| access)
    }

    fn create(&self) -> Access {
        let _ = fs::remove_dir_all(&self.folder);
        fs::create_dir_all(&self.folder).unwrap();
        run(Command::new("chmod").arg("0700").arg(&self.folder)).unwrap();
        write_certificates(&self.folder);
        self.belongs_to_postgres();
        let password = Template::of(self.version).copy_to(self).to_owned();
        let port = (0..5).find_map(|_| self.start_on_a_free_port()).expect("no port was free five times");
        let access = Access {
            host: "127.0.0.1".into(),
            port,
            username: "postgres".into(),
            password,
            ca: self.path("ca.crt").into(),
        };
        fs::write(self.path("access.json"), serde_json::to_vec(&access).unwrap()).unwrap();
        access
    }

    /// PostgreSQL takes no files of another's.
    pub fn belongs_to_postgres(&self) {
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres"]).arg(&self.folder)).unwrap();
        }
    }

    /// Somebody may take the port between our look and PostgreSQL's start: then there is none, and a next try.
    fn start_on_a_free_port(&self) -> Option<u16> {
        let port = free_address().port();
        fs::write(self.path("data/postgresql.conf"), self.settings(port)).unwrap();
        match self.start() {
            Ok(()) => Some(port),
            Err(_) if self.log().contains("could not bind") => None,
            Err(error) => panic!("failed to start PostgreSQL: {error}\n{}", self.log()),
        }
    }

    /// Nothing has to survive the machine, and no table lives long enough to be vacuumed: autovacuum would visit hundreds of databases.
    fn settings(&self, port: u16) -> String {
        let folder = self.folder.display();
        let tls = if self.version.speaks_tls() { "on" } else { "off" };
        format!(
            "listen_addresses = '127.0.0.1'
            port = {port}
            unix_socket_directories = ''
            max_connections = 200
            shared_buffers = 32MB
            fsync = off
            synchronous_commit = off
            full_page_writes = off
            autovacuum = off
            ssl = {tls}
            ssl_ca_file = '{folder}/ca.crt'
            ssl_cert_file = '{folder}/server.crt'
            ssl_key_file = '{folder}/server.key'
            log_statement = all
            log_connections = on
            log_line_prefix = '%m [%p] %q%u@%d '\n"
        )
    }

    fn start(&self) -> Result<(), String> {
        let data = format!("--pgdata={}", self.path("data"));
        let log = format!("--log={}", self.path("log"));
        self.run_as_postgres(&[&self.program("pg_ctl"), "start", "--wait", "--silent", &data, &log])
    }

    pub fn program(&self, name: &str) -> String {
        format!("{}/{name}", self.version.programs())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn postmaster(&self) -> Option<u32> {
        fs::read_to_string(self.path("data/postmaster.pid")).ok()?.lines().next()?.parse().ok()
    }

    /// PostgreSQL refuses to run as root.
    pub fn run_as_postgres(&self, command: &[&str]) -> Result<(), String> {
        let as_postgres = ["runuser", "-u", "postgres", "--"];
        let words = if is_root() { [&as_postgres[..], command].concat() } else { command.to_vec() };
        // The caller's folder may be one that user postgres cannot enter.
        run(lifeline::command(&self.name, words[0])
            .args(&words[1..])
            .current_dir("/")
            .env("LC_ALL", "C.UTF-8"))
    }
}

/// A folder that user `postgres` can reach: in memory, where that is large enough. A new database is 300 new files, and
/// on a disk's file system those cost most of the CPU time that PostgreSQL takes in these tests.
fn scratch() -> PathBuf {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    let large_enough = || {
        let output =
            Command::new("df").args(["--block-size=1G", "--output=fstype,size", MEMORY]).output().ok()?;
        let table = String::from_utf8(output.stdout).ok()?;
        let mut last = table.lines().last()?.split_whitespace();
        Some(last.next()? == "tmpfs" && last.next()?.parse::<u32>().ok()? >= 8)
    };
    SCRATCH
        .get_or_init(|| if large_enough() == Some(true) { MEMORY.into() } else { std::env::temp_dir() })
        .clone()
}

/// An authority (`ca.crt`), and a certificate of it for a server on this machine (`server.crt`, `server.key`).
pub fn write_certificates(folder: &Path) {
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

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// Output goes to a file rather than a pipe, which the started server would hold open.
pub fn run(command: &mut Command) -> Result<(), String> {
    let out = tempfile::NamedTempFile::new().unwrap();
    let file = out.reopen().unwrap();
    let status = command.stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {status}: {}", fs::read_to_string(out.path()).unwrap()))
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
    let _ = Command::new("kill").arg(format!("-{signal}")).args(ids).output().unwrap();
}
