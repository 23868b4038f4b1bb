//! `tenantry run archive`: from flags to a verified archive, and the report of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::failure::{Exit, Failure};
use crate::api::archive::{
    Failed, NAME, Outcome, REPORT, REPORT_DEFAULT, REREAD, RESTORER, Report, S3_CA, S3_CREDENTIALS,
    S3_ENDPOINT, S3_REGION, SCRATCH, STORE, Stage, TOOLS,
};
use crate::services::archive::{self, Access, ArchiveConfig, ObjectName, RereadConfig, Store, parse_store};
use crate::telemetry::{LogFormat, init_logging};

/// Flags of `run archive`.
#[derive(Debug, Args)]
pub struct ArchiveArgs {
    /// Directory of service bindings; the database to archive is the one in its directory archive
    #[arg(long, env = "SERVICE_BINDING_ROOT", default_value = "/bindings", value_name = "DIRECTORY")]
    bindings: PathBuf,
    /// Empty database on the same server that the archive is restored into to prove it
    #[arg(long, env = SCRATCH, value_name = "DATABASE", required_unless_present = "reread")]
    scratch: Option<String>,
    /// Login that restores into the scratch database, with the same password and no way into the database itself; the binding's own if not given
    #[arg(long, env = RESTORER, value_name = "LOGIN")]
    restorer: Option<String>,
    /// Where the archive goes: file:///a/mounted/folder or s3://bucket/prefix
    #[arg(long, env = STORE, value_name = "URL")]
    store: String,
    #[command(flatten)]
    bucket: BucketArgs,
    /// Path of the archive in the store, without ending
    #[arg(long, env = NAME, value_name = "NAME")]
    name: String,
    /// Make no archive: read the one of that name again, which has to have this SHA-256
    #[arg(long, env = REREAD, value_name = "SHA256", conflicts_with = "scratch")]
    reread: Option<String>,
    /// Folder of pg_dump and pg_restore, which must not be older than the server; found by PATH if not given
    #[arg(long, env = TOOLS, value_name = "DIRECTORY")]
    tools: Option<PathBuf>,
    /// File that the report is written to
    #[arg(long, env = REPORT, default_value = REPORT_DEFAULT, value_name = "FILE")]
    report: PathBuf,
    /// Which events are logged, for example info or tenantry=debug
    #[arg(long, env = "TENANTRY_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

/// How a bucket is reached.
#[derive(Debug, Args)]
struct BucketArgs {
    /// Server of the bucket, as https://host:port; AWS's own of the region if not given
    #[arg(long = "s3-endpoint", id = "s3-endpoint", env = S3_ENDPOINT, value_name = "URL", requires = "s3-credentials")]
    endpoint: Option<String>,
    /// Region of the bucket; us-east-1 if not given, as stores have it that know no regions
    #[arg(long = "s3-region", id = "s3-region", env = S3_REGION, value_name = "REGION", requires = "s3-credentials")]
    region: Option<String>,
    /// Folder with the files accessKeyId and secretAccessKey, and sessionToken for credentials that end
    #[arg(long = "s3-credentials", id = "s3-credentials", env = S3_CREDENTIALS, value_name = "DIRECTORY")]
    credentials: Option<PathBuf>,
    /// PEM file with the authorities of the server's certificate; the public ones if not given
    #[arg(long = "s3-ca", id = "s3-ca", env = S3_CA, value_name = "FILE", requires = "s3-credentials")]
    ca: Option<PathBuf>,
}

impl BucketArgs {
    fn access(self) -> Option<Access> {
        let Self { endpoint, region, credentials, ca } = self;
        credentials.map(|credentials| Access { endpoint, region, credentials, ca })
    }
}

/// Makes one archive, and writes the report of it.
pub async fn run(args: ArchiveArgs, shutdown: CancellationToken) -> Result<Exit, Failure> {
    init_logging(LogFormat::Json, &args.log).map_err(|error| Failure::from_error("failed to log", &error))?;
    let report_file = args.report.clone();
    let report = match config(args) {
        Ok(Work::Archive(config)) => archive::run(config, shutdown).await,
        Ok(Work::Reread(config)) => archive::reread(config, shutdown).await,
        Err(message) => Report::new(Outcome::Failed(Failed { stage: Stage::Dump, message, object: None })),
    };
    write(&report, &report_file)?;
    match report.outcome {
        Outcome::Verified(verified) => {
            tracing::info!(object = verified.object, sha256 = verified.sha256, "the archive is verified");
            Ok(Exit::Success)
        }
        Outcome::Unchanged(unchanged) => {
            tracing::info!(
                object = unchanged.object,
                sha256 = unchanged.sha256,
                "the archive is what it was"
            );
            Ok(Exit::Success)
        }
        Outcome::Lost(lost) => {
            tracing::error!(reason = lost.message, "the archive is not what it was");
            Err(Failure::new(format_args!("the archive is not what it was: {}", lost.message)))
        }
        Outcome::Failed(failed) => {
            let (stage, message) = (failed.stage, failed.message);
            tracing::error!(?stage, reason = message, "there is no archive");
            Err(Failure::new(format_args!("there is no archive ({stage:?}): {message}")))
        }
    }
}

/// A database that is archived lets nobody in: what holds a lock there for longer is not on its way out.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// What there is to do.
enum Work {
    Archive(ArchiveConfig),
    Reread(RereadConfig),
}

/// Every flag has its place: one that is left out does not compile.
fn config(args: ArchiveArgs) -> Result<Work, String> {
    let ArchiveArgs { bindings, scratch, restorer, store, bucket, name, reread, tools, report: _, log: _ } =
        args;
    let location = parse_store(&store).map_err(|error| error.to_string())?;
    let store = Store::open(location, bucket.access()).map_err(|error| whole(&error))?;
    let name = ObjectName::parse(&name).map_err(|error| error.to_string())?;
    if let Some(sha256) = reread {
        return Ok(Work::Reread(RereadConfig { store, name, sha256 }));
    }
    let scratch = scratch.ok_or("no scratch database is named: --scratch")?;
    let tools = match tools {
        Some(folder) => folder,
        None => by_path(&std::env::var_os("PATH").unwrap_or_default())
            .ok_or("pg_dump is in no folder of PATH: say where it is with --tools")?,
    };
    let (temporary, lock_wait, new_id, now) =
        (std::env::temp_dir(), LOCK_WAIT, Uuid::now_v7, Timestamp::now());
    Ok(Work::Archive(ArchiveConfig {
        bindings,
        scratch,
        restorer,
        store,
        name,
        tools,
        temporary,
        lock_wait,
        new_id,
        now,
    }))
}

/// An error with all that it came of.
fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The first folder of PATH that has pg_dump.
fn by_path(path: &OsString) -> Option<PathBuf> {
    std::env::split_paths(path).find(|folder| folder.join("pg_dump").is_file())
}

fn write(report: &Report, file: &Path) -> Result<(), Failure> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Failure::from_error(format_args!("failed to write the report to {}", file.display()), error)
    };
    let json = report.render().map_err(|error| failed(&error))?;
    std::fs::write(file, json).map_err(|error| failed(&error))
}
