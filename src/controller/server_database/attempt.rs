//! An attempt at an archive, or at reading one again, as its Job and its pod show it: what it has come to. Pure.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::evidence::plain;
use super::job::{ARCHIVE, ATTEMPT, BUCKET, CLAIM, CLAIM_UID, GENERATION, MEANT, OUTDATED, SHA256};
use super::place::Standing;
use crate::api::archive::{self, Outcome, Report, Unchanged, Verified};
use crate::postgres::quote::Ident;
use crate::postgres::tombstone::{Archive, Place, Volume};

/// Wait after the first failure; each further one doubles it, up to [`LONGEST_WAIT`].
const FIRST_WAIT: u64 = 60;
/// Longest wait between two attempts.
const LONGEST_WAIT: u64 = 6 * 3600;
/// Longest URL of an archive, as the object's status has it.
const OBJECT_MAX: usize = 1024;

/// An attempt, as its Job shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Name of its Job.
    pub job: String,
    /// UID of its Job.
    pub uid: String,
    /// Counts from 1.
    pub number: u32,
    /// Generation of the row that it archives.
    pub generation: i64,
    /// Name of the archive in the store.
    pub archive: String,
    /// What it was to be written to, when the attempt began.
    pub place: Place,
    /// When its Job was made, in seconds since 1970.
    pub made: i64,
    /// When it ended, in seconds since 1970, if it has.
    pub ended: Option<i64>,
    /// The SHA-256 that the archive has to have which it reads again, if it does that.
    pub sha256: Option<String>,
    /// Whether somebody has answered the deletion brake that the drop is meant which it reads for.
    pub meant: bool,
    /// Whether somebody could get in when its archive was to be recorded, and may have written what it lacks.
    pub outdated: bool,
}

/// Why an archive that was read again is not known to be as it was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfound {
    /// It is gone, or another one.
    Lost(String),
    /// It could not be read: the store, its Secrets or the pod may be back in a while.
    Unread(String),
}

impl Attempt {
    /// The attempt of a Job. `None` for one that is none of ours.
    pub fn of(job: &Job) -> Option<Self> {
        let said = |name: &str| job.annotations().get(name);
        let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
        // `Failed` waits until its pod has ended, which one on a node that is gone never does.
        let over = conditions.filter(|it| {
            it.status == "True" && matches!(&*it.type_, "Complete" | "FailureTarget" | "Failed")
        });
        let ended = over.map(|it| it.last_transition_time.as_ref().map_or(0, |at| at.0.as_second())).min();
        Some(Self {
            job: job.name_any(),
            uid: job.uid()?,
            number: said(ATTEMPT)?.parse().ok()?,
            generation: said(GENERATION)?.parse().ok()?,
            archive: said(ARCHIVE)?.clone(),
            place: match said(BUCKET) {
                Some(bucket) => Place::Bucket(serde_json::from_str(bucket).ok()?),
                None => Place::Volume(Volume { claim: said(CLAIM)?.clone(), uid: said(CLAIM_UID)?.clone() }),
            },
            made: job.creation_timestamp().map_or(i64::MAX, |made| made.0.as_second()),
            ended,
            sha256: said(SHA256).cloned(),
            meant: said(MEANT).is_some(),
            outdated: said(OUTDATED).is_some(),
        })
    }

    /// The attempt's own among these pods. Anybody who may make pods could label one.
    pub fn own<'a>(&self, pods: &'a [Pod]) -> impl Iterator<Item = &'a Pod> {
        let own = |pod: &&Pod| {
            let mut owners = pod.metadata.owner_references.iter().flatten();
            owners.any(|owner| owner.uid == self.uid && owner.controller == Some(true))
        };
        pods.iter().filter(own)
    }

    /// What the attempt's own pod reports.
    pub fn report(&self, pods: &[Pod]) -> Option<Report> {
        let statuses = self.own(pods).filter_map(|pod| pod.status.as_ref()?.container_statuses.as_ref());
        let mut ends =
            statuses.flatten().filter_map(|it| it.state.as_ref()?.terminated.as_ref()?.message.clone());
        ends.find_map(|message| serde_json::from_str(&message).ok())
    }

    /// The archive that the report tells of, or why there is none. `live` is what it was written to as it is by now.
    pub fn archive(
        &self,
        report: Option<&Report>,
        source: &Ident,
        system: &str,
        live: &Standing,
    ) -> Result<Archive, String> {
        let Some(report) = report.filter(|report| report.version == archive::REPORT_VERSION) else {
            return Err(
                "its pod left no report: it did not start, ran out of memory, or took too long".to_owned()
            );
        };
        let verified = match &report.outcome {
            Outcome::Verified(verified) => verified,
            Outcome::Unchanged(_) | Outcome::Lost(_) => {
                return Err("its report is of an archive that was read again".to_owned());
            }
            // It tells of what is in the tenant's database.
            Outcome::Failed(failed) => return Err(format!("{:?}: {}", failed.stage, plain(&failed.message))),
        };
        let Verified { object, sha256, bytes, database, system_identifier, snapshot, rows, .. } = verified;
        let shown = object.len() <= OBJECT_MAX && object.bytes().all(|byte| byte.is_ascii_graphic());
        let right = database == source.as_str()
            && system_identifier == system
            && shown
            // Another pod of the same Job writes beside the first one's, under a name that a drop does not look for.
            && match &self.place {
                Place::Volume(_) => object.ends_with(&format!("{}.dump", self.archive)),
                Place::Bucket(bucket) => *object == format!("{}/{}.dump", bucket.url(), self.archive),
            };
        if !right {
            let of = plain(&format!("{database} on server {system_identifier}, as {object}"));
            return Err(format!("its report is of {of}"));
        }
        if self.outdated {
            return Err(
                "somebody could get in when it was to be recorded, and may have written what it lacks".into(),
            );
        }
        // What is in a bucket stays there, whatever becomes of the Secrets that it is reached with.
        if let Place::Volume(Volume { claim, uid }) = &self.place
            && live.live().as_ref() != Some(&self.place)
        {
            return Err(format!(
                "PersistentVolumeClaim {claim} (UID {uid}), which it was written to, is gone"
            ));
        }
        Ok(Archive {
            object: object.clone(),
            sha256: sha256.clone(),
            bytes: *bytes,
            rows: *rows,
            taken_at: snapshot.taken_at.to_string(),
            system_identifier: system_identifier.clone(),
            generation: self.generation,
            place: Some(self.place.clone()),
        })
    }

    /// Whether the archive was found as it was verified, or why not.
    pub fn reread(&self, report: Option<&Report>, archive: &Archive) -> Result<(), Unfound> {
        let unread = |why: &str| Err(Unfound::Unread(why.to_owned()));
        let Some(report) = report.filter(|report| report.version == archive::REPORT_VERSION) else {
            return unread("the pod that was to do it left no report");
        };
        match &report.outcome {
            Outcome::Unchanged(Unchanged { sha256, bytes, .. })
                if (sha256, bytes) == (&archive.sha256, &archive.bytes) =>
            {
                Ok(())
            }
            Outcome::Unchanged(_) | Outcome::Verified(_) => {
                unread("the report of the pod that was to do it is of another one")
            }
            Outcome::Lost(lost) => Err(Unfound::Lost(plain(&lost.message))),
            Outcome::Failed(failed) => unread(&plain(&failed.message)),
        }
    }

    /// How long after its end the next attempt is made.
    pub fn wait(&self) -> Duration {
        let doublings = self.number.saturating_sub(1).min(16);
        Duration::from_secs((FIRST_WAIT << doublings).min(LONGEST_WAIT))
    }
}
