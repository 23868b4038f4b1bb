//! A mounted folder as the store. What has its name there is whole and on disk, and is never written over.
//!
//! A dump is written to a hidden file beside its place, which this process holds locked; it is synced, gets its name by a
//! link, which fails where there is such a name, and then the folder is synced. It stays locked until it is an archive. A process
//! that dies leaves a hidden file, or a dump without manifest, that nobody holds; the next attempt at the same archive removes it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use super::super::logic::{Leftover, ObjectName, leftover};
use super::super::summary::hex;

/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;
/// Most archives of one name: more are a loop somewhere.
const ATTEMPTS: u32 = 1000;

/// Why something cannot be stored or read back.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Whoever starts us means a bucket.
    #[error(
        "failed to use the store file://{}: a folder has no endpoint, region, credentials or CA; is it to be s3://…?", .0.display()
    )]
    Access(PathBuf),
    /// The folder is not there: writing would go to the pod's own disk.
    #[error("failed to use the store {}: it is not a folder; is the volume mounted?", .0.display())]
    Missing(PathBuf),
    /// Every name is taken.
    #[error("failed to store {}: there are 1000 archives of that name; remove some", .0.display())]
    Full(PathBuf),
    /// What is there is no archive.
    #[error("failed to find the archive {}: there is no such dump with its manifest", .0.display())]
    NoArchive(PathBuf),
    /// A file or folder cannot be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// A dump that is whole and on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its file.
    pub path: PathBuf,
    /// SHA-256 of what was written.
    pub sha256: String,
    /// How many bytes were written.
    pub bytes: u64,
}

/// A dump that is being written. Dropped before its end, it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    /// Taken when it gets its name.
    writing: Option<(Part, tokio::fs::File)>,
    place: Place,
    hash: Sha256,
    bytes: u64,
}

/// Begins to read the archive of that name again: its URL, and its bytes.
pub async fn reread(root: &Path, name: &ObjectName) -> Result<(String, Download), FolderError> {
    let path = Place { root: root.to_owned(), name: name.clone() }.attempt(1);
    if !path.is_file() || !path.with_extension("json").is_file() {
        return Err(FolderError::NoArchive(path));
    }
    let stored = Stored { path, sha256: String::new(), bytes: 0 };
    Ok((stored.url(), stored.read().await?))
}

/// A stored dump that is being read.
#[derive(Debug)]
pub struct Download {
    path: PathBuf,
    file: tokio::fs::File,
    buffer: Vec<u8>,
    hash: Sha256,
    bytes: u64,
}

/// Where an archive goes.
#[derive(Clone, Debug)]
struct Place {
    root: PathBuf,
    name: ObjectName,
}

/// That a dump is still to prove itself: until this is dropped, no other attempt removes it.
#[derive(Debug)]
pub struct Held {
    _locked: File,
}

/// A hidden file, removed when dropped.
#[derive(Debug)]
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // It may have been removed already; what stays is removed by the next archive of that name.
        let _ = fs::remove_file(&self.0);
    }
}

impl Stored {
    /// As a URL.
    pub fn url(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// Begins to read it.
    pub async fn read(&self) -> Result<Download, FolderError> {
        let path = self.path.clone();
        let file = tokio::fs::File::open(&path)
            .await
            .map_err(|source| FolderError::Read { path: path.clone(), source })?;
        Ok(Download { path, file, buffer: vec![0; CHUNK], hash: Sha256::new(), bytes: 0 })
    }

    /// Writes its manifest beside it.
    pub async fn write_manifest(&self, text: String, id: Uuid) -> Result<(), FolderError> {
        let manifest = self.path.with_extension("json");
        blocking(manifest.clone(), move || {
            let (mut file, part) = create_part(&manifest, id)?;
            io::Write::write_all(&mut file, text.as_bytes())?;
            publish(&file, &part, &manifest)
        })
        .await
    }

    /// Removes a dump that did not prove to be an archive.
    pub async fn remove(&self) -> Result<(), FolderError> {
        let path = self.path.clone();
        blocking(path.clone(), move || {
            fs::remove_file(&path)?;
            sync_folder(&path)
        })
        .await
    }
}

impl Upload {
    /// Begins to write an archive into the folder `root`.
    pub async fn begin(root: &Path, name: &ObjectName, id: Uuid) -> Result<Self, FolderError> {
        if !root.is_dir() {
            return Err(FolderError::Missing(root.to_owned()));
        }
        let place = Place { root: root.to_owned(), name: name.clone() };
        let (wanted, own) = (place.attempt(1), name.clone());
        let (file, part) = blocking(wanted.clone(), move || {
            create_folders(&wanted)?;
            remove_abandoned(folder_of(&wanted), &own)?;
            create_part(&wanted, id)
        })
        .await?;
        let writing = Some((part, tokio::fs::File::from_std(file)));
        Ok(Self { writing, place, hash: Sha256::new(), bytes: 0 })
    }

    /// Writes on.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), FolderError> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        let Some((part, file)) = &mut self.writing else { return Err(self.over()) };
        file.write_all(bytes).await.map_err(|source| FolderError::Write { path: part.0.clone(), source })
    }

    /// Gives it the first free name: all of it is on disk then.
    pub async fn finish(&mut self) -> Result<(Stored, Held), FolderError> {
        let (part, mut file) = self.writing.take().ok_or_else(|| self.over())?;
        file.flush().await.map_err(|source| FolderError::Write { path: part.0.clone(), source })?;
        let (file, place) = (file.into_std().await, self.place.clone());
        let first = place.attempt(1);
        let done = blocking(first.clone(), move || {
            for number in 1..=ATTEMPTS {
                let path = place.attempt(number);
                if path.with_extension("json").exists() {
                    continue;
                }
                match publish(&file, &part, &path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    published => return published.map(|()| Some((path, Held { _locked: file }))),
                }
            }
            Ok(None)
        })
        .await?;
        let (path, held) = done.ok_or(FolderError::Full(first))?;
        Ok((Stored { path, sha256: hex(&self.hash.clone().finalize()), bytes: self.bytes }, held))
    }

    /// It has its name, or failed to get it.
    fn over(&self) -> FolderError {
        let source = io::Error::other("it is whole already");
        FolderError::Write { path: self.place.attempt(1), source }
    }
}

impl Download {
    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<&[u8], FolderError> {
        let failed = |source| FolderError::Read { path: self.path.clone(), source };
        let length = self.file.read(&mut self.buffer).await.map_err(failed)?;
        let bytes = &self.buffer[..length];
        self.hash.update(bytes);
        self.bytes += length as u64;
        Ok(bytes)
    }

    /// Reads what is left, and says what was read in all: SHA-256 and number of bytes.
    pub async fn finish(mut self) -> Result<(String, u64), FolderError> {
        while !self.next().await?.is_empty() {}
        Ok((hex(&self.hash.finalize()), self.bytes))
    }
}

impl Place {
    /// The file of that try.
    fn attempt(&self, number: u32) -> PathBuf {
        // Not with_extension: a later try has a dot of its own.
        self.root.join(format!("{}.dump", self.name.attempt(number)))
    }
}

/// Runs what waits for a disk where it may wait.
async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, FolderError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|source| FolderError::Write { path, source })
}

/// The folder that a file is in; every file here is in one.
fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}

fn create_folders(file: &Path) -> io::Result<()> {
    let folder = folder_of(file);
    if folder.is_dir() {
        return Ok(());
    }
    create_folders(folder)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => created.and_then(|()| sync_folder(folder)),
    }
}

/// A hidden file beside `file`, which this process holds locked.
fn create_part(file: &Path, id: Uuid) -> io::Result<(File, Part)> {
    let path = folder_of(file).join(format!("{}{id}.part", part_prefix(file)));
    let part = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let held = Part(path);
    part.lock()?;
    Ok((part, held))
}

fn part_prefix(file: &Path) -> String {
    format!(".{}.", file.file_name().unwrap_or_default().display())
}

/// Removes what earlier attempts at that archive left and no process holds.
fn remove_abandoned(folder: &Path, name: &ObjectName) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(leftover) = leftover(name, &entry.file_name().to_string_lossy()) else { continue };
        let is_archive = || match &leftover {
            Leftover::Part => false,
            Leftover::Dump { manifest } => folder.join(manifest).exists(),
        };
        // Nobody opens an archive to write to it, and somebody may have seen to it that nobody can.
        if is_archive() {
            continue;
        }
        let Some(_held) = hold(&entry.path())? else { continue };
        // It may have become one until it was let go of.
        if !is_archive()
            && let Err(error) = fs::remove_file(entry.path())
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    Ok(())
}

/// Locks what an attempt has left, unless somebody holds it, or has removed it meanwhile. NFS has locks for those only who can write.
fn hold(path: &Path) -> io::Result<Option<File>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(named(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(named(error)),
    }
}

/// Gives a part its name, if nothing has it, once all of it is on disk.
fn publish(file: &File, part: &Part, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::hard_link(&part.0, path)?;
    sync_folder(path)
}

/// Has the names in the folder of `path` on disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn store(root: &Path, text: &str) -> Stored {
        let mut upload = Upload::begin(root, &name(), Uuid::now_v7()).await.unwrap();
        upload.write(text.as_bytes()).await.unwrap();
        upload.finish().await.unwrap().0
    }

    fn name() -> ObjectName {
        ObjectName::parse("1/t_abc_app/7").unwrap()
    }

    fn files(folder: &Path) -> Vec<String> {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn what_is_stored_is_read_back() {
        let root = tempfile::tempdir().unwrap();
        let stored = store(root.path(), "abc").await;
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
        let path = root.path().join("1/t_abc_app/7.dump");
        assert_eq!(stored, Stored { path: path.clone(), sha256: sha256.clone(), bytes: 3 });
        assert_eq!(stored.read().await.unwrap().finish().await.unwrap(), (sha256, 3));
        assert_eq!(stored.url(), format!("file://{}", path.display()));
    }

    #[tokio::test]
    async fn nothing_is_written_over() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("1/t_abc_app");
        let first = store(root.path(), "first").await;
        first.write_manifest("{}".into(), Uuid::now_v7()).await.unwrap();
        let second = store(root.path(), "second").await;
        second.write_manifest("[]".into(), Uuid::now_v7()).await.unwrap();
        assert_eq!(files(&folder), ["7.2.dump", "7.2.json", "7.dump", "7.json"]);
        assert_eq!(fs::read_to_string(folder.join("7.dump")).unwrap(), "first");
        assert_eq!(fs::read_to_string(folder.join("7.2.json")).unwrap(), "[]");
        second.write_manifest("x".into(), Uuid::now_v7()).await.unwrap_err();
        assert_eq!(fs::read_to_string(folder.join("7.2.json")).unwrap(), "[]");
        second.remove().await.unwrap();
        assert_eq!(files(&folder), ["7.2.json", "7.dump", "7.json"]);
        // A name whose manifest is still there is not free.
        assert_eq!(store(root.path(), "third").await.path, folder.join("7.3.dump"));
    }

    #[tokio::test]
    async fn what_is_given_up_leaves_nothing_and_what_was_left_is_removed_once_nobody_holds_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("1/t_abc_app");
        let upload = Upload::begin(root.path(), &name(), Uuid::now_v7()).await.unwrap();
        assert_eq!(files(&folder).len(), 1);
        let other = Upload::begin(root.path(), &name(), Uuid::now_v7()).await.unwrap();
        assert_eq!(files(&folder).len(), 2);
        drop((upload, other));
        assert_eq!(files(&folder), [""; 0]);
        fs::write(folder.join(".7.dump.abandoned.part"), "half").unwrap();
        fs::write(folder.join(".8.dump.abandoned.part"), "another's").unwrap();
        store(root.path(), "whole").await;
        assert_eq!(files(&folder), [".8.dump.abandoned.part", "7.dump"]);
    }

    #[tokio::test]
    async fn a_dump_of_a_dead_attempt_goes_and_one_that_is_held_or_is_an_archive_stays() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("76/t_x_app");
        let begin = async |id: &str| {
            let name = ObjectName::parse(&format!("76/t_x_app/4-{id}")).unwrap();
            Upload::begin(root.path(), &name, Uuid::now_v7()).await.unwrap()
        };
        let (dead, held) = begin("0000000a").await.finish().await.unwrap();
        let (archive, proven) = begin("0000000b").await.finish().await.unwrap();
        archive.write_manifest("{}".into(), Uuid::now_v7()).await.unwrap();
        fs::write(folder.join(".3-0000000c.dump.abandoned.part"), "half").unwrap();
        fs::write(folder.join("by-hand.dump"), "somebody's").unwrap();
        drop(begin("0000000d").await);
        let stay = ["4-0000000a.dump", "4-0000000b.dump", "4-0000000b.json", "by-hand.dump"];
        assert_eq!(files(&folder), stay);
        drop((held, proven));
        drop(begin("0000000e").await);
        assert_eq!(files(&folder), stay[1..]);
        assert!(!dead.path.exists());
    }

    /// NFS gives a lock only to who can write, and what is no lock of somebody else's is no reason to leave it.
    #[test]
    fn what_is_left_over_is_held_by_a_descriptor_that_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".7.dump.abandoned.part");
        assert!(hold(&path).unwrap().is_none(), "somebody has removed it");
        fs::write(&path, "half").unwrap();
        let mut held = hold(&path).unwrap().unwrap();
        io::Write::write_all(&mut held, b"H").unwrap();
        assert!(hold(&path).unwrap().is_none(), "somebody holds it");
        hold(folder.path()).unwrap_err();
    }

    #[tokio::test]
    async fn a_store_that_is_not_mounted_is_not_made() {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("missing");
        let error = Upload::begin(&missing, &name(), Uuid::now_v7()).await.unwrap_err();
        assert!(matches!(error, FolderError::Missing(path) if path == missing));
        assert_eq!(files(root.path()), [""; 0]);
    }
}
