//! A real S3-compatible server with TLS that all tests share, and a bucket of its own for each test. Its buckets are folders,
//! and the objects in them files: that is how tests look at them, and change them.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rand::distr::{Alphanumeric, SampleString};

use super::lifeline::{Lifeline, folder_hash};
use super::port::free_address;
use super::postgres::write_certificates;
use super::wait::block_until;

/// The access key that the server knows.
pub const ACCESS_KEY_ID: &str = "tenantry-tests";
/// Its secret.
pub const SECRET_ACCESS_KEY: &str = "hush-hush/and+quiet";

/// The server. Its lifeline ends it.
#[derive(Debug)]
struct Server {
    folder: PathBuf,
    endpoint: String,
    _lifeline: Lifeline,
}

/// A bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// The server.
    pub endpoint: String,
    /// The authority of the server's certificate, as PEM.
    pub ca: String,
    /// Where its objects are.
    pub folder: PathBuf,
}

impl Bucket {
    /// A new one.
    pub fn new() -> Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        let server = SHARED.get_or_init(Server::join);
        let name =
            format!("archives-{}", Alphanumeric.sample_string(&mut rand::rng(), 10).to_ascii_lowercase());
        let folder = server.folder.join("data").join(&name);
        fs::create_dir(&folder).unwrap();
        let ca = fs::read_to_string(server.folder.join("ca.crt")).unwrap();
        Self { name, endpoint: server.endpoint.clone(), ca, folder }
    }

    /// Keys of all objects, in order, and what the server itself keeps of uploads that are under way.
    pub fn objects(&self) -> Vec<String> {
        let mut found = vec![];
        list(&self.folder, &self.folder, &mut found);
        found.sort();
        found
    }
}

fn list(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(root, &path, found);
        } else {
            found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

impl Server {
    fn join() -> Self {
        let folder = std::env::temp_dir().join(format!("tenantry-test-{}-s3", folder_hash()));
        let end = format!(
            "pid=$(cat '{folder}/pid' 2>/dev/null)
            if [ -n \"$pid\" ] && grep -qa '{folder}' /proc/$pid/cmdline 2>/dev/null; then
                kill $pid
                tail --pid=$pid -s 0.05 -f /dev/null
            fi
            rm -rf '{folder}'",
            folder = folder.display()
        );
        let ensure = || running(&folder).unwrap_or_else(|| create(&folder));
        let (lifeline, endpoint) = Lifeline::join("s3", &end, ensure);
        Self { folder, endpoint, _lifeline: lifeline }
    }
}

fn running(folder: &Path) -> Option<String> {
    let endpoint = fs::read_to_string(folder.join("endpoint")).ok()?;
    let process = fs::read_to_string(folder.join("pid")).ok()?;
    Path::new(&format!("/proc/{process}")).exists().then_some(endpoint)
}

fn create(folder: &Path) -> String {
    _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder.join("data")).unwrap();
    write_certificates(folder);
    let endpoint = (0..5).find_map(|_| start(folder)).expect("the server did not start five times");
    fs::write(folder.join("endpoint"), &endpoint).unwrap();
    endpoint
}

/// Somebody may take the port before: then there is none, and a next try.
fn start(folder: &Path) -> Option<String> {
    let address = free_address();
    let log = File::create(folder.join("log")).unwrap();
    let mut server = Command::new(program())
        .args(["--port", &address.to_string(), "--quiet"])
        .args(["--cert".as_ref(), folder.join("server.crt").as_os_str()])
        .args(["--key".as_ref(), folder.join("server.key").as_os_str()])
        .args(["posix".as_ref(), folder.join("data").as_os_str()])
        .env("ROOT_ACCESS_KEY", ACCESS_KEY_ID)
        .env("ROOT_SECRET_KEY", SECRET_ACCESS_KEY)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        // It serves other test processes too, and its watchdog ends it.
        .process_group(0)
        .spawn()
        .unwrap();
    fs::write(folder.join("pid"), server.id().to_string()).unwrap();
    let mut ended = false;
    block_until(Duration::from_mins(1), "the S3 server takes connections", || {
        ended = server.try_wait().unwrap().is_some();
        if ended || std::net::TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        Err(fs::read_to_string(folder.join("log")).unwrap())
    });
    (!ended).then(|| format!("https://{address}"))
}

/// The program, which is built if it is missing.
fn program() -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/versitygw.sh");
    let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{script}: {}", output.status);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
