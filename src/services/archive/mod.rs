//! The role `archive`: one verified archive of one tenant's database, and then its end.
//!
//! # Flow
//! 1. *Dump*: one session exports a snapshot and reads everything that is in it; `pg_dump` dumps the same snapshot.
//! 2. *Store*: what `pg_dump` writes goes to the store as it comes, and gets its name once all of it is on disk.
//! 3. *Fetch*: the stored bytes are read back and have to be those that were written.
//! 4. *Restore*: `pg_restore` restores them, read a second time, into an empty scratch database, in which the same extensions are made
//!    before.
//! 5. *Compare*: the scratch database is read as the first one was, and may differ in nothing.
//! 6. The report is stored beside the dump as its manifest. A dump without one is no archive.
//!
//! [`reread`] reads one again, later, without a database.
//!
//! # Guarantees
//! - Every session is a login that is only a member of the database's owner group: what a tenant planted runs, if at all,
//!   with the tenant's own rights, and in the scratch database as one that has no way into the other. A database of which such a login does not see everything is refused, not dumped in part.
//! - Of a failed archive nothing stays in the store, and no archive is ever written over. What a process that was killed leaves is
//!   removed by the next attempt.

mod catalog;
mod error;
mod expression;
mod extensions;
mod logic;
mod obstacles;
mod read;
mod store;
mod summary;
mod tools;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::error::At;
pub use self::error::{ArchiveError, Cause};
use self::extensions::{Declared, Extension};
pub use self::logic::{InvalidValue, Location, ObjectName, parse_store};
use self::read::Moment;
pub use self::store::{Access, Store, StoreError};
use self::store::{Stored, Upload};
use self::summary::{LARGE_OBJECT, ROWS, SCHEMA, SEQUENCE, Summary};
use self::tools::Tools;
use crate::api::archive::{BINDING, Failed, Lost, Outcome, Report, Stage, Unchanged, Verified};
use crate::services::database::binding::Binding;

/// Bytes that are taken from `pg_dump` at once.
const CHUNK: usize = 256 * 1024;

/// What the role is told from outside. Everything has been read by the CLI.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    /// Directory of service bindings (`SERVICE_BINDING_ROOT`).
    pub bindings: PathBuf,
    /// Name of the empty scratch database.
    pub scratch: String,
    /// Login that restores into it, with the password of the binding's; that login itself if there is none.
    pub restorer: Option<String>,
    /// The store.
    pub store: Store,
    /// Name of the archive in it.
    pub name: ObjectName,
    /// Folder of `pg_dump` and `pg_restore`.
    pub tools: PathBuf,
    /// Folder for files that only the tools may read.
    pub temporary: PathBuf,
    /// How long somebody else's lock is waited for.
    pub lock_wait: Duration,
    /// Makes names of files: UUIDs of version 7.
    pub new_id: fn() -> Uuid,
    /// When that is.
    pub now: Timestamp,
}

/// What the role is told to read an archive again.
#[derive(Clone, Debug)]
pub struct RereadConfig {
    /// The store.
    pub store: Store,
    /// Name of the archive in it.
    pub name: ObjectName,
    /// SHA-256 that its dump had when it was verified, in hexadecimal digits.
    pub sha256: String,
}

/// Reads a verified archive again, unless `shutdown` comes first: it is there, and it is what it was.
pub async fn reread(config: RereadConfig, shutdown: CancellationToken) -> Report {
    let read = shutdown.run_until_cancelled(read_again(&config)).await;
    match read.unwrap_or(Err(Cause::Stopped).at(Stage::Fetch)) {
        Ok(unchanged) => Report::new(Outcome::Unchanged(unchanged)),
        Err(error) if error.cause.is_lost() => Report::new(Outcome::Lost(Lost { message: error.message() })),
        Err(error) => failed(&error, None),
    }
}

async fn read_again(config: &RereadConfig) -> Result<Unchanged, ArchiveError> {
    let (object, download) = config.store.reread(&config.name).await.at(Stage::Fetch)?;
    let (read_sha256, read_bytes) = download.finish().await.at(Stage::Fetch)?;
    if read_sha256 != config.sha256 {
        let sha256 = config.sha256.clone();
        return Err(Cause::Another { sha256, read_sha256, read_bytes }).at(Stage::Fetch);
    }
    Ok(Unchanged { object, sha256: read_sha256, bytes: read_bytes })
}

/// A dump in the store that is still to prove itself.
#[derive(Debug)]
pub struct Dumped {
    stored: Stored,
    summary: Summary,
    extensions: Vec<Extension>,
    /// Where the operator has made some of them.
    declared: Vec<Declared>,
    moment: Moment,
    tool: String,
}

/// One archive in the making.
#[derive(Debug)]
pub struct Archive {
    config: ArchiveConfig,
    binding: Binding,
    group: String,
    /// The login that restores.
    restorer: String,
    tools: Tools,
    /// Where it is: what is said when the process is told to end.
    stage: Mutex<Stage>,
    /// What is being written, for as long as it may be that nothing comes of it.
    upload: tokio::sync::Mutex<Option<Upload>>,
}

/// Makes one archive, unless `shutdown` comes first.
pub async fn run(config: ArchiveConfig, shutdown: CancellationToken) -> Report {
    let opened = shutdown.run_until_cancelled(Archive::open(config)).await;
    let archive = match opened.unwrap_or(Err(Cause::Stopped).at(Stage::Dump)) {
        Ok(archive) => archive,
        Err(error) => return failed(&error, None),
    };
    let dumped = match until(&shutdown, &archive, archive.dump()).await {
        Ok(dumped) => dumped,
        Err(error) => {
            archive.abandon().await;
            return failed(&error, None);
        }
    };
    let error = match until(&shutdown, &archive, archive.verify(&dumped)).await {
        Ok(verified) => return Report::new(Outcome::Verified(verified)),
        Err(error) => error,
    };
    if let Err(error) = dumped.stored.remove().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "failed to remove a dump that is no archive"
        );
    }
    failed(&error, Some(dumped.stored.url()))
}

async fn until<T>(
    shutdown: &CancellationToken,
    archive: &Archive,
    work: impl Future<Output = Result<T, ArchiveError>>,
) -> Result<T, ArchiveError> {
    tokio::select! {
        done = work => done,
        () = shutdown.cancelled() => Err(ArchiveError { stage: archive.stage(), cause: Cause::Stopped }),
    }
}

fn failed(error: &ArchiveError, object: Option<String>) -> Report {
    Report::new(Outcome::Failed(Failed { stage: error.stage, message: error.message(), object }))
}

impl Dumped {
    /// URL of the stored dump.
    pub fn url(&self) -> String {
        self.stored.url()
    }
}

impl Archive {
    /// Reads the binding, prepares what the tools need to log in, and finds the group that the login is a member of.
    pub async fn open(config: ArchiveConfig) -> Result<Self, ArchiveError> {
        let binding = Binding::named(&config.bindings, BINDING).at(Stage::Dump)?;
        logic::check_scratch(&config.scratch, binding.database()).at(Stage::Dump)?;
        let private = format!("tenantry-archive-{}", (config.new_id)());
        let restorer = config.restorer.clone().unwrap_or_else(|| binding.username().to_owned());
        let tools =
            Tools::new(&config.tools, &config.temporary, &private, &binding, &restorer).at(Stage::Dump)?;
        let group = read::group(&binding).await.at(Stage::Dump)?;
        if config.restorer.is_some() {
            read::check_restorer(&binding, &restorer, &config.scratch, &group).await.at(Stage::Dump)?;
        }
        let (stage, upload) = (Mutex::new(Stage::Dump), tokio::sync::Mutex::new(None));
        Ok(Self { config, binding, group, restorer, tools, stage, upload })
    }

    fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, stage: Stage) {
        tracing::info!(?stage, "begins");
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Dumps the database into the store.
    pub async fn dump(&self) -> Result<Dumped, ArchiveError> {
        self.enter(Stage::Dump);
        let tool = self.tools.version().await.at(Stage::Dump)?;
        let mut session = self.session().await.at(Stage::Dump)?;
        let moment = read::begin_moment(&mut session).await.at(Stage::Dump)?;
        read::obstacles(&mut session).await.at(Stage::Dump)?;
        let extensions = extensions::extensions(&mut session).await.at(Stage::Dump)?;
        let declared = extensions::declared(&mut session).await.at(Stage::Dump)?;
        let summary = read::summary(&mut session).await.at(Stage::Dump)?;
        // The session keeps the snapshot until the dump is whole.
        let stored = self.store(&moment.id).await?;
        close(session).await;
        Ok(Dumped { stored, summary, extensions, declared, moment, tool })
    }

    /// Removes what there is of a dump that did not become whole.
    pub async fn abandon(&self) {
        if let Some(upload) = self.upload.lock().await.take() {
            upload.abandon().await;
        }
    }

    async fn store(&self, snapshot: &str) -> Result<Stored, ArchiveError> {
        let (config, new_id) = (&self.config, self.config.new_id);
        let begun = config.store.upload(&config.name, new_id(), config.now).await.at(Stage::Store)?;
        let mut kept = self.upload.lock().await;
        let upload = kept.insert(begun);
        let dump = self.tools.dump(self.binding.database(), &self.group, snapshot, config.lock_wait);
        let mut dump = dump.at(Stage::Dump)?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let length = dump.read(&mut buffer).await.at(Stage::Dump)?;
            if length == 0 {
                break;
            }
            upload.write(&buffer[..length]).await.at(Stage::Store)?;
        }
        dump.end().await.at(Stage::Dump)?;
        self.enter(Stage::Store);
        let stored = upload.finish().await.at(Stage::Store)?;
        *kept = None;
        Ok(stored)
    }

    /// Restores what is stored, compares it, and writes the manifest.
    pub async fn verify(&self, dumped: &Dumped) -> Result<Verified, ArchiveError> {
        self.restore(dumped).await?;
        self.compare(dumped).await?;
        self.enter(Stage::Store);
        let verified = self.verified(dumped);
        let manifest = Report::new(Outcome::Verified(verified.clone())).render();
        let manifest = manifest.map_err(Cause::Manifest).at(Stage::Store)?;
        dumped.stored.write_manifest(manifest, (self.config.new_id)()).await.at(Stage::Store)?;
        Ok(verified)
    }

    /// Restores what is stored into the scratch database.
    pub async fn restore(&self, dumped: &Dumped) -> Result<(), ArchiveError> {
        self.enter(Stage::Fetch);
        let list = self.fetch(&dumped.stored).await?;
        self.enter(Stage::Restore);
        let mut session = self.scratch_session().await.at(Stage::Restore)?;
        read::prepare_scratch(&mut session).await.at(Stage::Restore)?;
        let made =
            extensions::create_extensions(&mut session, &dumped.extensions).await.at(Stage::Restore)?;
        close(session).await;
        let declared: Vec<&str> = dumped.declared.iter().map(|schema| schema.name.as_str()).collect();
        let list = logic::restore_list(&list, &self.group, &made, &declared);
        self.load(&dumped.stored, &list).await
    }

    /// Compares the scratch database with what was dumped.
    pub async fn compare(&self, dumped: &Dumped) -> Result<(), ArchiveError> {
        self.enter(Stage::Compare);
        let mut session = self.scratch_session().await.at(Stage::Compare)?;
        read::begin(&mut session).await.at(Stage::Compare)?;
        let mut restored = read::summary(&mut session).await.at(Stage::Compare)?;
        close(session).await;
        // What the operator has made the tenant's login has made there.
        for schema in &dumped.declared {
            restored.forget(SCHEMA, &schema.printed);
        }
        let differences = dumped.summary.differences(&restored);
        if differences.is_empty() { Ok(()) } else { Err(Cause::Differences(differences)).at(Stage::Compare) }
    }

    /// Reads back what is stored, and lists what is in it.
    async fn fetch(&self, stored: &Stored) -> Result<String, ArchiveError> {
        let mut download = stored.read().await.at(Stage::Fetch)?;
        let mut list = self.tools.list().at(Stage::Restore)?;
        loop {
            let bytes = download.next().await.at(Stage::Fetch)?;
            if bytes.is_empty() {
                break;
            }
            list.feed(bytes).await.at(Stage::Restore)?;
        }
        check(stored, download.finish().await.at(Stage::Fetch)?).at(Stage::Fetch)?;
        list.output().await.at(Stage::Restore)
    }

    async fn load(&self, stored: &Stored, list: &str) -> Result<(), ArchiveError> {
        let mut download = stored.read().await.at(Stage::Fetch)?;
        let mut restore = self.tools.restore(&self.config.scratch, &self.group, list).at(Stage::Restore)?;
        loop {
            let bytes = download.next().await.at(Stage::Fetch)?;
            if bytes.is_empty() {
                break;
            }
            restore.feed(bytes).await.at(Stage::Restore)?;
        }
        let restored = restore.end().await.at(Stage::Restore);
        check(stored, download.finish().await.at(Stage::Fetch)?).at(Stage::Fetch)?;
        restored
    }

    fn verified(&self, dumped: &Dumped) -> Verified {
        let Dumped { stored, summary, moment, tool, .. } = dumped;
        let (sha256, bytes) = stored.written();
        Verified {
            object: stored.url(),
            sha256: sha256.to_owned(),
            bytes,
            database: self.binding.database().to_owned(),
            system_identifier: moment.system_identifier.clone(),
            snapshot: moment.snapshot.clone(),
            tables: summary.count(ROWS),
            rows: summary.rows(),
            sequences: summary.count(SEQUENCE),
            large_objects: summary.count(LARGE_OBJECT),
            content_sha256: summary.sha256(),
            tool: tool.clone(),
        }
    }

    async fn session(&self) -> Result<PgConnection, read::ReadError> {
        let Self { binding, group, config, .. } = self;
        read::connect(binding, binding.username(), binding.database(), group, config.lock_wait).await
    }

    async fn scratch_session(&self) -> Result<PgConnection, read::ReadError> {
        let ArchiveConfig { scratch, lock_wait, .. } = &self.config;
        read::connect(&self.binding, &self.restorer, scratch, &self.group, *lock_wait).await
    }
}

/// Whether what was read is what was written.
fn check(stored: &Stored, (read_sha256, read_bytes): (String, u64)) -> Result<(), Cause> {
    let (sha256, bytes) = stored.written();
    if (&*read_sha256, read_bytes) == (sha256, bytes) {
        return Ok(());
    }
    Err(Cause::Changed { sha256: sha256.to_owned(), bytes, read_sha256, read_bytes })
}

/// Whether the goodbye arrives makes no difference: nothing was changed.
async fn close(session: PgConnection) {
    let _ = session.close().await;
}
