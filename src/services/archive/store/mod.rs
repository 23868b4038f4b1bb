//! The store: a mounted folder, or a bucket of an S3-compatible store. What has its name there is whole, and is never written over.
//!
//! Both have the same names in them (`NAME.dump`, `NAME.2.dump`, and the manifests beside them), and both keep two attempts apart that
//! are at the same name: a folder by locks, a bucket by an object that only one of them can create.

mod bucket;
mod folder;
mod https;
mod transfer;

use std::path::PathBuf;

use jiff::Timestamp;
use uuid::Uuid;

pub use self::bucket::{Access, BucketError};
pub use self::folder::FolderError;
use super::logic::{Location, ObjectName};

/// Why something cannot be stored or read back.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is in a folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// It is in a bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

impl StoreError {
    /// Whether the store has answered that it has no such archive.
    pub const fn is_no_archive(&self) -> bool {
        matches!(self, Self::Folder(FolderError::NoArchive(_)) | Self::Bucket(BucketError::NoArchive(_)))
    }
}

/// Where archives go.
#[derive(Clone, Debug)]
pub enum Store {
    /// A mounted folder.
    Folder(PathBuf),
    /// A bucket.
    Bucket(bucket::Bucket),
}

/// A dump that is being written.
#[derive(Debug)]
pub enum Upload {
    /// Into a folder.
    Folder(folder::Upload),
    /// Into a bucket.
    Bucket(transfer::Upload),
}

/// A dump that is whole and has its name. Until this is dropped, or the manifest is written, no other attempt removes it.
#[derive(Debug)]
pub enum Stored {
    /// In a folder, where this process holds it locked.
    Folder(folder::Stored, folder::Held),
    /// In a bucket.
    Bucket(transfer::Stored),
}

/// A stored dump that is being read.
#[derive(Debug)]
pub enum Download {
    /// From a folder.
    Folder(folder::Download),
    /// From a bucket.
    Bucket(transfer::Download),
}

impl Store {
    /// The store at that place. A bucket needs to be told how it is reached, and a folder cannot be.
    pub fn open(location: Location, access: Option<Access>) -> Result<Self, StoreError> {
        match (location, access) {
            (Location::Folder(folder), None) => Ok(Self::Folder(folder)),
            (Location::Bucket { bucket, prefix }, Some(access)) => {
                Ok(Self::Bucket(bucket::Bucket::open(bucket, prefix, access)?))
            }
            (Location::Folder(folder), Some(_)) => Err(FolderError::Access(folder).into()),
            (Location::Bucket { bucket, .. }, None) => Err(BucketError::NoAccess(bucket).into()),
        }
    }

    /// Begins to read the archive of that name again: its URL, and its bytes.
    pub async fn reread(&self, name: &ObjectName) -> Result<(String, Download), StoreError> {
        match self {
            Self::Folder(root) => {
                let (url, download) = folder::reread(root, name).await?;
                Ok((url, Download::Folder(download)))
            }
            Self::Bucket(bucket) => {
                let (url, download) = bucket.reread(name).await?;
                Ok((url, Download::Bucket(download)))
            }
        }
    }

    /// An archive of that name that is to be written. `id` is the attempt's own; `now` tells what is left of dead ones.
    pub async fn upload(&self, name: &ObjectName, id: Uuid, now: Timestamp) -> Result<Upload, StoreError> {
        Ok(match self {
            Self::Folder(root) => Upload::Folder(folder::Upload::begin(root, name, id).await?),
            Self::Bucket(bucket) => {
                Upload::Bucket(transfer::Upload::new(bucket.clone(), name.clone(), id, now))
            }
        })
    }
}

impl Upload {
    /// Writes on.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Folder(upload) => upload.write(bytes).await?,
            Self::Bucket(upload) => upload.write(bytes).await?,
        }
        Ok(())
    }

    /// Gives it the first free name: all of it is stored then. An upload that this fails for is still to be abandoned.
    pub async fn finish(&mut self) -> Result<Stored, StoreError> {
        Ok(match self {
            Self::Folder(upload) => {
                let (stored, held) = upload.finish().await?;
                Stored::Folder(stored, held)
            }
            Self::Bucket(upload) => Stored::Bucket(upload.finish().await?),
        })
    }

    /// Removes what there is of it.
    pub async fn abandon(self) {
        match self {
            // Its files go when it is dropped.
            Self::Folder(_) => {}
            Self::Bucket(upload) => upload.abandon().await,
        }
    }
}

impl Stored {
    /// As a URL.
    pub fn url(&self) -> String {
        match self {
            Self::Folder(stored, _) => stored.url(),
            Self::Bucket(stored) => stored.url(),
        }
    }

    /// SHA-256 of what was written, and how many bytes.
    pub fn written(&self) -> (&str, u64) {
        match self {
            Self::Folder(folder::Stored { sha256, bytes, .. }, _)
            | Self::Bucket(transfer::Stored { sha256, bytes, .. }) => (sha256, *bytes),
        }
    }

    /// Begins to read it.
    pub async fn read(&self) -> Result<Download, StoreError> {
        Ok(match self {
            Self::Folder(stored, _) => Download::Folder(stored.read().await?),
            Self::Bucket(stored) => Download::Bucket(stored.read().await?),
        })
    }

    /// Writes its manifest beside it, if there is nothing of that name.
    pub async fn write_manifest(&self, text: String, id: Uuid) -> Result<(), StoreError> {
        match self {
            Self::Folder(stored, _) => stored.write_manifest(text, id).await?,
            Self::Bucket(stored) => stored.write_manifest(text).await?,
        }
        Ok(())
    }

    /// Removes a dump that did not prove to be an archive.
    pub async fn remove(&self) -> Result<(), StoreError> {
        match self {
            Self::Folder(stored, _) => stored.remove().await?,
            Self::Bucket(stored) => stored.remove().await?,
        }
        Ok(())
    }
}

impl Download {
    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<&[u8], StoreError> {
        Ok(match self {
            Self::Folder(download) => download.next().await?,
            Self::Bucket(download) => download.next().await?,
        })
    }

    /// Reads what is left, and says what was read in all: SHA-256 and number of bytes.
    pub async fn finish(self) -> Result<(String, u64), StoreError> {
        Ok(match self {
            Self::Folder(download) => download.finish().await?,
            Self::Bucket(download) => download.finish().await?,
        })
    }
}
