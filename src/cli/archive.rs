//! `tenantry run archive`: from flags to a verified archive, and the report of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::failure::{Exit, Failure};
use crate::api::archive::{
    Failed, NAME, Outcome, REPORT, REPORT_DEFAULT, Report, SCRATCH, STORE, Stage, TOOLS,
};
use crate::services::archive::{self, ArchiveConfig, ObjectName, parse_store};
use crate::telemetry::{LogFormat, init_logging};

/// Flags of `run archive`.
#[derive(Debug, Args)]
pub struct ArchiveArgs {
    /// Directory of service bindings; the database to archive is the one in its directory archive
    #[arg(long, env = "SERVICE_BINDING_ROOT", default_value = "/bindings", value_name = "DIRECTORY")]
    bindings: PathBuf,
    /// Empty database on the same server that the archive is restored into to prove it
    #[arg(long, env = SCRATCH, value_name = "DATABASE")]
    scratch: String,
    /// Where the archive goes: file:///a/mounted/folder
    #[arg(long, env = STORE, value_name = "URL")]
    store: String,
    /// Path of the archive in the store, without ending
    #[arg(long, env = NAME, value_name = "NAME")]
    name: String,
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

/// Makes one archive, and writes the report of it.
pub async fn run(args: ArchiveArgs, shutdown: CancellationToken) -> Result<Exit, Failure> {
    init_logging(LogFormat::Json, &args.log).map_err(|error| Failure::from_error("failed to log", &error))?;
    let report_file = args.report.clone();
    let report = match config(args) {
        Ok(config) => archive::run(config, shutdown).await,
        Err(message) => Report::new(Outcome::Failed(Failed { stage: Stage::Dump, message, object: None })),
    };
    write(&report, &report_file)?;
    match report.outcome {
        Outcome::Verified(verified) => {
            tracing::info!(object = verified.object, sha256 = verified.sha256, "the archive is verified");
            Ok(Exit::Success)
        }
        Outcome::Failed(failed) => {
            let (stage, message) = (failed.stage, failed.message);
            tracing::error!(?stage, reason = message, "there is no archive");
            Err(Failure::new(format_args!("there is no archive ({stage:?}): {message}")))
        }
    }
}

/// Every flag has its place: one that is left out does not compile.
fn config(args: ArchiveArgs) -> Result<ArchiveConfig, String> {
    let ArchiveArgs { bindings, scratch, store, name, tools, report: _, log: _ } = args;
    let tools = match tools {
        Some(folder) => folder,
        None => by_path(&std::env::var_os("PATH").unwrap_or_default())
            .ok_or("pg_dump is in no folder of PATH: say where it is with --tools")?,
    };
    Ok(ArchiveConfig {
        bindings,
        scratch,
        store: parse_store(&store).map_err(|error| error.to_string())?,
        name: ObjectName::parse(&name).map_err(|error| error.to_string())?,
        tools,
        temporary: std::env::temp_dir(),
        new_id: Uuid::now_v7,
    })
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
