//! A bucket of an S3-compatible store. What has its name there is whole, and is never written over.
//!
//! A bucket has no locks and no links. Whoever makes an archive first creates `NAME.part`, which the store does for one and for no second one
//! (`If-None-Match: *`), and looks then whether the name is free: so it is the only one that writes `NAME.dump`. That is
//! uploaded in parts, and is there all at once when the upload is completed. The mark goes when the manifest is there or the dump is given up.
//! A store that creates a thing twice is found out before anything is written.
//!
//! Nothing tells a dead attempt from one that is at work but its age: what is older than a day and no archive is removed by the next
//! attempt. Parts of an upload that was neither completed nor aborted have no name, and are for a lifecycle rule of the bucket.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential};
use object_store::path::Path;
use object_store::{
    CredentialProvider, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
};

use super::super::logic::{ObjectName, chain, refusal, stale};
use super::https::{Https, untrusted};
use super::transfer::Download;
use crate::api::archive::{S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_SESSION_TOKEN};

/// Bytes that are read at once.
pub(super) const CHUNK: u64 = 8 * 1024 * 1024;
/// What is older is no attempt's that is at work: none is let run for so long.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// Region that requests to a store are signed for which has none.
const REGION: &str = "us-east-1";

/// How a bucket is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `https://host`, with a port or without; AWS's own of the region if there is none.
    pub endpoint: Option<String>,
    /// Region; `us-east-1` if there is none.
    pub region: Option<String>,
    /// Folder with the files `accessKeyId`, `secretAccessKey` and, for credentials that end, `sessionToken`. They are read for each
    /// request, so credentials may change meanwhile.
    pub credentials: PathBuf,
    /// PEM file with the authorities of the server's certificate; the public ones if there is none.
    pub ca: Option<PathBuf>,
}

/// Why something cannot be stored in a bucket or read back.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// Nobody said how.
    #[error("failed to use the bucket {0}: say with which credentials")]
    NoAccess(String),
    /// Its server is not spoken to like that.
    #[error("failed to use the store {0:?}: it must be https://host or https://host:port")]
    Endpoint(String),
    /// What was said cannot be used.
    #[error("failed to use the bucket {bucket}")]
    Access {
        /// Its name.
        bucket: String,
        /// What is wrong.
        #[source]
        source: object_store::Error,
    },
    /// The CA cannot be read.
    #[error("failed to read the CA of the store's certificate in {}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A request was not answered as it has to be. The store's own words are in `why`, bounded: what it answers may be anything.
    #[error("failed to {what} {object}: {why}")]
    Request {
        /// What was to be done.
        what: &'static str,
        /// With which object.
        object: String,
        /// What came of it, and the next step.
        why: String,
    },
    /// The store writes over what is there.
    #[error(
        "failed to use the bucket {0}: its store creates an object that is there already, so one archive could be written over by another; it has to obey If-None-Match"
    )]
    WritesOver(String),
    /// There are too many bytes.
    #[error(
        "failed to store {0}: an archive in a bucket has at most 10000 parts of 32 MiB; keep this one on a volume"
    )]
    TooLarge(String),
    /// Every name is taken.
    #[error("failed to store {0}: there are 1000 archives of that name; remove some")]
    Full(String),
    /// What is there is no archive.
    #[error("failed to find the archive {0}: there is no such dump with its manifest")]
    NoArchive(String),
}

/// A bucket, and the folder in it that archives go to.
#[derive(Clone)]
pub struct Bucket {
    pub(super) s3: AmazonS3,
    pub(super) name: String,
    prefix: Option<ObjectName>,
    /// As messages have it.
    endpoint: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("name", &self.name)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// Credentials as they are in their files.
#[derive(Debug)]
struct Files(PathBuf);

#[async_trait]
impl CredentialProvider for Files {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let read = async |key: &str| {
            let path = self.0.join(key);
            match tokio::fs::read_to_string(&path).await.map(|text| text.trim_end().to_owned()) {
                Ok(text) if text.is_empty() => Err(format!("{key} of the credentials is empty")),
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
            }
        };
        let required =
            async |key: &str| read(key).await?.ok_or_else(|| format!("the credentials have no {key}"));
        let credentials = async {
            let (key_id, secret_key) =
                (required(S3_ACCESS_KEY_ID).await?, required(S3_SECRET_ACCESS_KEY).await?);
            Ok(AwsCredential { key_id, secret_key, token: read(S3_SESSION_TOKEN).await? })
        };
        let credentials: Result<_, String> = credentials.await;
        credentials
            .map(Arc::new)
            .map_err(|why| object_store::Error::Generic { store: "S3", source: why.into() })
    }
}

impl Bucket {
    /// The bucket of that name.
    pub fn open(name: String, prefix: Option<ObjectName>, access: Access) -> Result<Self, BucketError> {
        let Access { endpoint, region, credentials, ca } = access;
        let https = Https::new(ca.as_deref());
        let https = https.map_err(|source| BucketError::Ca { path: ca.unwrap_or_default(), source })?;
        let region = region.unwrap_or_else(|| REGION.to_owned());
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        if !endpoint.starts_with("https://") {
            return Err(BucketError::Endpoint(endpoint));
        }
        let s3 = AmazonS3Builder::new()
            .with_bucket_name(&name)
            .with_endpoint(&endpoint)
            .with_region(region)
            .with_credentials(Arc::new(Files(credentials)))
            .with_disable_bulk_delete(true)
            .with_http_connector(https)
            .build();
        let s3 = s3.map_err(|source| BucketError::Access { bucket: name.clone(), source })?;
        Ok(Self { s3, name, prefix, endpoint })
    }

    /// Begins to read the archive of that name again: its URL, and its bytes.
    pub async fn reread(&self, name: &ObjectName) -> Result<(String, Download), BucketError> {
        let dump = self.key(name, 1, "dump");
        let missing = || BucketError::NoArchive(self.url(&dump));
        self.small(&self.key(name, 1, "json")).await?.ok_or_else(missing)?;
        let download = Download::begin(self.clone(), dump.clone()).await?.ok_or_else(missing)?;
        Ok((self.url(&dump), download))
    }

    /// The key of what belongs to that try at an archive.
    pub(super) fn key(&self, name: &ObjectName, number: u32, ending: &str) -> Path {
        let prefix = self.prefix.iter().map(|prefix| prefix.attempt(1));
        let words: Vec<String> = prefix.chain([name.attempt(number)]).collect();
        // An object's name has nothing in it that would be written otherwise in a key.
        Path::from(format!("{}.{ending}", words.join("/")))
    }

    pub(super) fn url(&self, key: &Path) -> String {
        format!("s3://{}/{key}", self.name)
    }

    /// What has come of a request, in words.
    pub(super) fn failed<'a>(
        &'a self,
        what: &'static str,
        key: &'a Path,
    ) -> impl FnOnce(object_store::Error) -> BucketError + 'a {
        move |error| {
            let why = match untrusted(&error) {
                Some(tls) => format!(
                    "the certificate of {} is not trusted ({tls}); name the CA that has signed it by spec.archive.s3.caSecretName",
                    self.endpoint
                ),
                None => refusal(&chain(&error), &self.endpoint, &self.name),
            };
            BucketError::Request { what, object: self.url(key), why }
        }
    }

    /// Creates an object if there is none of its name. Whether that is what is there now: an answer may have been lost.
    pub(super) async fn create(&self, key: &Path, text: &str) -> Result<bool, BucketError> {
        match self.s3.put_opts(key, PutPayload::from(text.to_owned()), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => {
                Ok(self.small(key).await?.as_deref() == Some(text.as_bytes()))
            }
            Err(error) => Err(self.failed("write", key)(error)),
        }
    }

    /// An object that is read at once, if there is one of that name.
    pub(super) async fn small(&self, key: &Path) -> Result<Option<Vec<u8>>, BucketError> {
        let options = GetOptions { range: Some(GetRange::Bounded(0..CHUNK)), ..GetOptions::default() };
        match self.s3.get_opts(key, options).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(self.failed("read", key))?.into())),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.failed("read", key)(error)),
        }
    }

    pub(super) async fn delete(&self, key: &Path) -> Result<(), BucketError> {
        match self.s3.delete(key).await {
            Err(error) if !is_missing(&error) => Err(self.failed("remove", key)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes a mark. It is in nobody's way, and goes with the next attempt's look if it stays.
    pub(super) async fn unmark(&self, mark: &Path) {
        if let Err(error) = self.delete(mark).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "failed to remove the mark of an archive"
            );
        }
    }

    /// Removes what earlier attempts at archives of the same database have left, and says what is there.
    pub(super) async fn tidy(&self, name: &ObjectName, now: Timestamp) -> Result<Vec<Path>, BucketError> {
        let dump = self.key(name, 1, "dump");
        let mut folder: Vec<_> = dump.parts().collect();
        folder.pop();
        let folder: Path = folder.into_iter().collect();
        let found: Vec<_> =
            self.s3.list(Some(&folder)).try_collect().await.map_err(self.failed("list", &folder))?;
        let files: Vec<&str> = found.iter().filter_map(|object| object.location.filename()).collect();
        let mut kept = vec![];
        for object in &found {
            let age = now.as_second().saturating_sub(object.last_modified.timestamp());
            let is_stale = object.location.filename().is_some_and(|file| stale(name, file, &files));
            if is_stale && age > LONGEST.as_secs() {
                self.delete(&object.location).await?;
            } else {
                kept.push(object.location.clone());
            }
        }
        Ok(kept)
    }
}

/// Whether there is nothing of that name. A bucket that is not there is another thing.
pub(super) fn is_missing(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. }) && !chain(error).contains("NoSuchBucket")
}
