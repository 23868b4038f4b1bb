//! How a dump gets into a bucket and out of it: in parts, and in pieces.

use jiff::Timestamp;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, MultipartId, ObjectStore, PutPayload};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::logic::ObjectName;
use super::super::summary::hex;
use super::bucket::{Bucket, BucketError, CHUNK, is_missing};

/// Bytes that are uploaded at once. Some stores want all parts but the last to be of one size.
const PART: usize = 32 * 1024 * 1024;
/// Most parts of an upload.
const PARTS_MAX: usize = 10_000;
/// Most archives of one name: more are a loop somewhere.
const ATTEMPTS: u32 = 1000;

/// A dump that is being written.
#[derive(Debug)]
pub struct Upload {
    bucket: Bucket,
    name: ObjectName,
    /// What its mark says.
    id: Uuid,
    now: Timestamp,
    /// The name that is being tried, or is its own.
    number: Option<u32>,
    begun: Option<MultipartId>,
    parts: Vec<PartId>,
    buffer: Vec<u8>,
    hash: Sha256,
    bytes: u64,
}

impl Upload {
    /// Nothing is done before the first bytes come.
    pub fn new(bucket: Bucket, name: ObjectName, id: Uuid, now: Timestamp) -> Self {
        let (number, begun, parts, hash) = (None, None, vec![], Sha256::new());
        Self { bucket, name, id, now, number, begun, parts, buffer: vec![], hash, bytes: 0 }
    }

    /// Finds a name, and takes it.
    async fn begin(&mut self) -> Result<(Path, MultipartId), BucketError> {
        if let (Some(number), Some(id)) = (self.number, &self.begun) {
            return Ok((self.bucket.key(&self.name, number, "dump"), id.clone()));
        }
        let (bucket, id) = (self.bucket.clone(), self.id.to_string());
        let mut there = bucket.tidy(&self.name, self.now).await?;
        for number in 1..=ATTEMPTS {
            let own = ["dump", "json", "part"].map(|ending| bucket.key(&self.name, number, ending));
            if own.iter().any(|key| there.contains(key)) {
                continue;
            }
            let [dump, _, mark] = &own;
            self.number = Some(number);
            if !bucket.create(mark, &id).await? {
                continue;
            }
            if bucket.create(mark, "a second one").await? {
                bucket.unmark(mark).await;
                return Err(BucketError::WritesOver(bucket.name));
            }
            // Somebody may have finished between the look and the mark.
            there = bucket.tidy(&self.name, self.now).await?;
            if there.contains(dump) || there.contains(&own[1]) {
                bucket.unmark(mark).await;
                continue;
            }
            let begun = bucket.s3.create_multipart(dump).await.map_err(bucket.failed("write", dump))?;
            self.begun = Some(begun.clone());
            return Ok((dump.clone(), begun));
        }
        Err(BucketError::Full(bucket.url(&bucket.key(&self.name, 1, "dump"))))
    }

    /// Writes on.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), BucketError> {
        self.begin().await?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(PART - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            rest = later;
            if self.buffer.len() == PART {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Sends what there is as the next part.
    async fn send(&mut self) -> Result<(), BucketError> {
        let (dump, id) = self.begin().await?;
        let bucket = &self.bucket;
        if self.parts.len() == PARTS_MAX {
            return Err(BucketError::TooLarge(bucket.url(&dump)));
        }
        let part = PutPayload::from(std::mem::take(&mut self.buffer));
        let sent = bucket.s3.put_part(&dump, &id, self.parts.len(), part).await;
        self.parts.push(sent.map_err(bucket.failed("write", &dump))?);
        Ok(())
    }

    /// Completes it: all of it is stored then.
    pub async fn finish(&mut self) -> Result<Stored, BucketError> {
        let (dump, id) = self.begin().await?;
        if !self.buffer.is_empty() || self.parts.is_empty() {
            self.send().await?;
        }
        let bucket = &self.bucket;
        let completed = bucket.s3.complete_multipart(&dump, &id, std::mem::take(&mut self.parts)).await;
        completed.map_err(bucket.failed("write", &dump))?;
        let number = self.number.unwrap_or(1);
        let [manifest, mark] = ["json", "part"].map(|ending| bucket.key(&self.name, number, ending));
        let sha256 = hex(&self.hash.clone().finalize());
        Ok(Stored { bucket: bucket.clone(), dump, manifest, mark, sha256, bytes: self.bytes })
    }

    /// Removes what there is of it.
    pub async fn abandon(self) {
        let Some(number) = self.number else { return };
        let bucket = &self.bucket;
        let [dump, mark] = ["dump", "part"].map(|ending| bucket.key(&self.name, number, ending));
        let is_own = match bucket.small(&mark).await {
            Ok(there) => there.as_deref() == Some(self.id.to_string().as_bytes()),
            Err(_) => false,
        };
        if let Some(id) = &self.begun
            && let Err(error) = bucket.s3.abort_multipart(&dump, id).await
            && !is_missing(&error)
        {
            let error = bucket.failed("abort the upload of", &dump)(error);
            tracing::warn!(error = &error as &dyn std::error::Error, "what was uploaded stays");
        }
        if !is_own {
            return;
        }
        if self.begun.is_some()
            && let Err(error) = bucket.delete(&dump).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "failed to remove a dump that is no archive"
            );
        }
        bucket.unmark(&mark).await;
    }
}

/// A dump that is whole, and that nobody else writes or removes while its mark is there.
#[derive(Debug)]
pub struct Stored {
    bucket: Bucket,
    dump: Path,
    manifest: Path,
    mark: Path,
    /// SHA-256 of what was written.
    pub sha256: String,
    /// How many bytes were written.
    pub bytes: u64,
}

impl Stored {
    /// As a URL.
    pub fn url(&self) -> String {
        self.bucket.url(&self.dump)
    }

    /// Begins to read it.
    pub async fn read(&self) -> Result<Download, BucketError> {
        let download = Download::begin(self.bucket.clone(), self.dump.clone()).await?;
        let why = || "what was uploaded there is gone".to_owned();
        download.ok_or_else(|| BucketError::Request { what: "read", object: self.url(), why: why() })
    }

    /// Writes its manifest beside it.
    pub async fn write_manifest(&self, text: String) -> Result<(), BucketError> {
        if !self.bucket.create(&self.manifest, &text).await? {
            let (what, why) = ("write", "there is another one of that name".to_owned());
            return Err(BucketError::Request { what, object: self.bucket.url(&self.manifest), why });
        }
        self.bucket.unmark(&self.mark).await;
        Ok(())
    }

    /// Removes a dump that did not prove to be an archive.
    pub async fn remove(&self) -> Result<(), BucketError> {
        self.bucket.delete(&self.dump).await?;
        self.bucket.unmark(&self.mark).await;
        Ok(())
    }
}

/// A stored dump that is being read, piece by piece: whoever takes the bytes may take hours, and no server waits so long.
#[derive(Debug)]
pub struct Download {
    bucket: Bucket,
    dump: Path,
    piece: Vec<u8>,
    /// Whether the piece was given away.
    taken: bool,
    /// How many bytes there are.
    size: u64,
    tag: Option<String>,
    hash: Sha256,
    bytes: u64,
}

impl Download {
    /// Reads the first piece of a dump, if there is one.
    pub async fn begin(bucket: Bucket, dump: Path) -> Result<Option<Self>, BucketError> {
        let options = GetOptions { range: Some(GetRange::Bounded(0..CHUNK)), ..GetOptions::default() };
        let found = match bucket.s3.get_opts(&dump, options).await {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(bucket.failed("read", &dump)(error)),
        };
        let (size, tag) = (found.meta.size, found.meta.e_tag.clone());
        let piece = found.bytes().await.map_err(bucket.failed("read", &dump))?.into();
        Ok(Some(Self { bucket, dump, piece, taken: false, size, tag, hash: Sha256::new(), bytes: 0 }))
    }

    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<&[u8], BucketError> {
        if self.taken {
            self.piece = self.fetch().await?;
        }
        self.taken = true;
        self.hash.update(&self.piece);
        self.bytes += self.piece.len() as u64;
        Ok(&self.piece)
    }

    async fn fetch(&self) -> Result<Vec<u8>, BucketError> {
        if self.bytes >= self.size {
            return Ok(vec![]);
        }
        let end = self.size.min(self.bytes + CHUNK);
        let range = Some(GetRange::Bounded(self.bytes..end));
        // Another object of that name is not read on from the middle.
        let options = GetOptions { range, if_match: self.tag.clone(), ..GetOptions::default() };
        let failed = || self.bucket.failed("read", &self.dump);
        let found = self.bucket.s3.get_opts(&self.dump, options).await.map_err(|error| failed()(error))?;
        Ok(found.bytes().await.map_err(|error| failed()(error))?.into())
    }

    /// Reads what is left, and says what was read in all: SHA-256 and number of bytes.
    pub async fn finish(mut self) -> Result<(String, u64), BucketError> {
        while !self.next().await?.is_empty() {}
        Ok((hex(&self.hash.finalize()), self.bytes))
    }
}
