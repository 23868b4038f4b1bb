//! What archives are kept in, by a live read: a volume or a bucket, and what that means for an archive.
//!
//! Of a bucket only the Secrets are looked at that its pods mount: whether the store answers, and what is in it, a pod tells.

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;

use super::fetch::failed;
use super::volume;
use crate::api::archive::{S3_ACCESS_KEY_ID, S3_CA_KEY, S3_SECRET_ACCESS_KEY};
use crate::api::condition::{Summary, reason};
use crate::api::database_server::{ArchiveBucket, ArchiveStore};
use crate::api::labels::SERVERS_NAMESPACE;
use crate::controller::apply::ApplyError;
use crate::controller::context::Context;
use crate::controller::object::{Key, Kind};
use crate::postgres::tombstone::{Archive, Place};

/// How it stands with what archives are kept in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is said of where.
    Nowhere,
    /// With a volume.
    Volume {
        /// Name of its claim.
        claim: String,
        /// How it stands with the claim.
        standing: volume::Standing,
    },
    /// With a bucket.
    Bucket {
        /// The bucket.
        bucket: ArchiveBucket,
        /// What its pods would lack, and the next step.
        lacking: Option<String>,
    },
}

/// Reads how it stands with what a server's archives are to be kept in.
pub async fn read(context: &Context, store: &ArchiveStore) -> Result<Standing, ApplyError> {
    match (&store.volume, &store.s3) {
        (Some(volume), None) => of_volume(context, &volume.claim_name).await,
        (None, Some(bucket)) => of_bucket(context, bucket).await,
        // The schema admits neither both nor none.
        (Some(_), Some(_)) | (None, None) => Ok(Standing::Nowhere),
    }
}

/// Reads how it stands with what an archive is kept in.
pub async fn of(context: &Context, place: Option<&Place>) -> Result<Standing, ApplyError> {
    match place {
        Some(Place::Volume(volume)) => of_volume(context, &volume.claim).await,
        Some(Place::Bucket(bucket)) => of_bucket(context, bucket).await,
        None => Ok(Standing::Nowhere),
    }
}

async fn of_volume(context: &Context, claim: &str) -> Result<Standing, ApplyError> {
    let standing = volume::read(context, claim).await?;
    Ok(Standing::Volume { claim: claim.to_owned(), standing })
}

async fn of_bucket(context: &Context, bucket: &ArchiveBucket) -> Result<Standing, ApplyError> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), SERVERS_NAMESPACE);
    let read = async |name: &str| {
        let key = Key::namespaced(SERVERS_NAMESPACE, name);
        api.get_opt(name).await.map_err(|source| failed(Kind::Secret, &key, source))
    };
    let credentials = read(&bucket.credentials_secret_name).await?;
    let ca = match &bucket.ca_secret_name {
        Some(name) => Some((name.as_str(), read(name).await?)),
        None => None,
    };
    Ok(Standing::of_secrets(bucket, credentials.as_ref(), ca.as_ref().map(|(name, ca)| (*name, ca.as_ref()))))
}

impl Standing {
    fn of_secrets(
        bucket: &ArchiveBucket,
        credentials: Option<&Secret>,
        ca: Option<(&str, Option<&Secret>)>,
    ) -> Self {
        let keys = [S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY];
        let lacking = lacking(&bucket.credentials_secret_name, credentials, &keys)
            .or_else(|| ca.and_then(|(name, ca)| lacking(name, ca, &[S3_CA_KEY])));
        Self::Bucket { bucket: bucket.clone(), lacking }
    }

    /// What it is, if it is there.
    pub fn live(&self) -> Option<Place> {
        match self {
            Self::Volume { standing, .. } => standing.bound().cloned().map(Place::Volume),
            Self::Bucket { bucket, lacking: None } => Some(Place::Bucket(Box::new(bucket.clone()))),
            Self::Nowhere | Self::Bucket { lacking: Some(_), .. } => None,
        }
    }

    /// What an archive can be written to, or what stands against that.
    pub fn writable(&self) -> Result<Place, String> {
        match self {
            Self::Nowhere => Err("it names neither a volume nor a bucket".to_owned()),
            Self::Volume { claim, standing } => standing.writable(claim).cloned().map(Place::Volume),
            Self::Bucket { lacking: Some(lacking), .. } => Err(lacking.clone()),
            Self::Bucket { bucket, lacking: None } => Ok(Place::Bucket(Box::new(bucket.clone()))),
        }
    }

    /// What keeps an attempt from going on that began with that.
    pub fn against(&self, begun: &Place) -> Option<String> {
        match (self.writable(), begun) {
            (Err(why), _) => Some(why),
            (Ok(live), Place::Volume(volume)) if live != *begun => {
                Some(format!("PersistentVolumeClaim {} was made again since it began", volume.claim))
            }
            (Ok(_), _) => None,
        }
    }

    /// What stands against the drop of the database of that object, whose archive has to be where it was written.
    pub fn objection(&self, archive: &Archive, object: &str) -> Option<Summary> {
        match (self, &archive.place) {
            (Self::Volume { standing, .. }, Some(Place::Volume(volume))) => {
                standing.objection(volume, archive, object)
            }
            (Self::Bucket { bucket, lacking }, Some(Place::Bucket(own))) if *bucket == **own => {
                let lacking = lacking.as_ref()?;
                let message = format!(
                    "nothing is dropped without its archive {}, which cannot be read there: {lacking}",
                    archive.object
                );
                Some(Summary::Progressing { reason: reason::ARCHIVE_MISSING, message })
            }
            _ => Some(volume::lost(
                archive,
                object,
                "it was made before it was recorded where archives are kept",
            )),
        }
    }
}

/// What is not there of a Secret, and the next step.
fn lacking(name: &str, secret: Option<&Secret>, keys: &[&str]) -> Option<String> {
    let called = format!("Secret {SERVERS_NAMESPACE}/{name}");
    let Some(secret) = secret else {
        return Some(format!("there is no {called}: create it with the keys {}", keys.join(" and ")));
    };
    let data = secret.data.as_ref();
    let is_there = |key: &str| data.and_then(|data| data.get(key)).is_some_and(|value| !value.0.is_empty());
    let missing = keys.iter().find(|key| !is_there(key))?;
    Some(format!("{called} has no key {missing}: add it"))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn bucket() -> ArchiveBucket {
        ArchiveBucket {
            bucket: "archives".into(),
            credentials_secret_name: "keys".into(),
            ca_secret_name: Some("authority".into()),
            ..ArchiveBucket::default()
        }
    }

    fn secret(keys: &[&str]) -> Secret {
        let data = keys.iter().map(|key| ((*key).to_owned(), ByteString(b"x".to_vec())));
        Secret { data: Some(data.collect()), ..Secret::default() }
    }

    fn standing(credentials: Option<&Secret>, ca: Option<&Secret>) -> Standing {
        Standing::of_secrets(&bucket(), credentials, Some(("authority", ca)))
    }

    fn archive(place: Place) -> Archive {
        Archive { object: "s3://archives/o".into(), place: Some(place), ..Archive::default() }
    }

    #[test]
    fn a_bucket_is_used_when_its_secrets_are_there_and_what_is_not_is_named() {
        let (keys, ca) = (secret(&["accessKeyId", "secretAccessKey"]), secret(&["ca.crt"]));
        let whole = standing(Some(&keys), Some(&ca));
        let place = Place::Bucket(Box::new(bucket()));
        assert_eq!((whole.live(), whole.writable()), (Some(place.clone()), Ok(place.clone())));
        assert_eq!(whole.objection(&archive(place.clone()), "t-x-app"), None);
        let mut empty = keys.clone();
        empty.data.as_mut().unwrap().insert("secretAccessKey".into(), ByteString(vec![]));
        let (half, other) = (secret(&["accessKeyId"]), secret(&["tls.crt"]));
        let cases = [
            (
                None,
                Some(&ca),
                "there is no Secret tenantry-servers/keys: create it with the keys accessKeyId and secretAccessKey",
            ),
            (Some(&half), Some(&ca), "Secret tenantry-servers/keys has no key secretAccessKey: add it"),
            (Some(&empty), Some(&ca), "Secret tenantry-servers/keys has no key secretAccessKey: add it"),
            (
                Some(&keys),
                None,
                "there is no Secret tenantry-servers/authority: create it with the keys ca.crt",
            ),
            (Some(&keys), Some(&other), "Secret tenantry-servers/authority has no key ca.crt: add it"),
        ];
        for (keys, ca, expected) in cases {
            let standing = standing(keys, ca);
            assert_eq!((standing.live(), standing.writable()), (None, Err(expected.to_owned())));
            assert_eq!(standing.against(&place).as_deref(), Some(expected));
            let message = format!(
                "nothing is dropped without its archive s3://archives/o, which cannot be read there: {expected}"
            );
            let waits = Summary::Progressing { reason: "ArchiveMissing", message };
            assert_eq!(standing.objection(&archive(place.clone()), "t-x-app"), Some(waits));
        }
    }

    #[test]
    fn an_archive_is_asked_for_where_it_is_and_nowhere_else() {
        let keys = secret(&["accessKeyId", "secretAccessKey"]);
        let here =
            Standing::of_secrets(&ArchiveBucket { bucket: "other".into(), ..bucket() }, Some(&keys), None);
        for standing in [here, Standing::Nowhere] {
            let objection = standing.objection(&archive(Place::Bucket(Box::new(bucket()))), "t-x-app");
            assert!(
                matches!(objection, Some(Summary::Stalled { reason: "ArchiveMissing", .. })),
                "{objection:?}"
            );
        }
    }
}
