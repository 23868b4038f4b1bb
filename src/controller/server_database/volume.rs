//! A volume that archives are kept on: a PersistentVolumeClaim, by a live read, and what that means for an archive.
//!
//! A claim is known by its UID: whoever deletes one and makes another of its name has an empty volume.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::Api;

use super::fetch::failed;
use crate::api::condition::{Summary, reason};
use crate::api::labels::SERVERS_NAMESPACE;
use crate::controller::apply::ApplyError;
use crate::controller::context::Context;
use crate::controller::object::{Key, Kind};
use crate::postgres::tombstone::{Archive, Volume};

/// How it stands with a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none of that name.
    Missing,
    /// It is being deleted.
    Leaving,
    /// It has no volume: not yet, or not any more.
    Unbound {
        /// Which it is.
        volume: Volume,
        /// Whether it had one.
        lost: bool,
    },
    /// It has its volume.
    Bound(Volume),
}

/// Reads it.
pub async fn read(context: &Context, claim: &str) -> Result<Standing, ApplyError> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), SERVERS_NAMESPACE);
    let key = Key::namespaced(SERVERS_NAMESPACE, claim);
    // The gate never writes volume claims, so they are no kind of its own; the Job that mounts one stands for it.
    let live = api.get_opt(claim).await.map_err(|source| failed(Kind::Job, &key, source))?;
    Ok(Standing::of(live.as_ref()))
}

impl Standing {
    fn of(live: Option<&PersistentVolumeClaim>) -> Self {
        let Some(live) = live else { return Self::Missing };
        if live.metadata.deletion_timestamp.is_some() {
            return Self::Leaving;
        }
        let volume = Volume { claim: live.name_any(), uid: live.uid().unwrap_or_default() };
        match live.status.as_ref().and_then(|status| status.phase.as_deref()) {
            Some("Bound") => Self::Bound(volume),
            phase => Self::Unbound { volume, lost: phase == Some("Lost") },
        }
    }

    /// The claim, if it has its volume.
    pub const fn bound(&self) -> Option<&Volume> {
        match self {
            Self::Bound(volume) => Some(volume),
            Self::Missing | Self::Leaving | Self::Unbound { .. } => None,
        }
    }

    /// The claim that an archive can be written to, or what stands against that. One without a volume yet may get it with its
    /// first pod.
    pub fn writable(&self, claim: &str) -> Result<&Volume, String> {
        let name = format!("PersistentVolumeClaim {SERVERS_NAMESPACE}/{claim}");
        match self {
            Self::Bound(volume) | Self::Unbound { volume, lost: false } => Ok(volume),
            Self::Missing => Err(format!("there is no {name}: create it")),
            Self::Leaving => Err(format!("{name} is being deleted: name another one")),
            Self::Unbound { lost: true, .. } => {
                Err(format!("{name} has lost its volume: bring that back, or name another one"))
            }
        }
    }

    /// What stands against the drop of the database of that object, whose archive has to be where it was written.
    pub fn objection(&self, volume: &Volume, archive: &Archive, object: &str) -> Option<Summary> {
        let name = format!("PersistentVolumeClaim {SERVERS_NAMESPACE}/{} (UID {})", volume.claim, volume.uid);
        match self {
            Self::Bound(live) if live == volume => None,
            Self::Bound(live) | Self::Unbound { volume: live, .. } if live != volume => {
                let gone =
                    format!("{name} is gone, and the one of that name is another one (UID {})", live.uid);
                Some(lost(archive, object, &gone))
            }
            Self::Bound(_) | Self::Unbound { .. } => {
                let message = format!(
                    "nothing is dropped without its archive {}, and {name} has no volume: bring that back",
                    archive.object
                );
                Some(Summary::Progressing { reason: reason::ARCHIVE_MISSING, message })
            }
            Self::Leaving => Some(lost(archive, object, &format!("{name} is being deleted"))),
            Self::Missing => Some(lost(archive, object, &format!("{name} is gone"))),
        }
    }
}

/// Nothing brings it back but another archive.
pub fn lost(archive: &Archive, object: &str, gone: &str) -> Summary {
    let message = format!(
        "nothing is dropped without its archive, and {} cannot be relied on: {gone}; everything is kept; to have another one made: \
         tenantry undelete {object}, then tenantry purge {object}",
        archive.object
    );
    Summary::Stalled { reason: reason::ARCHIVE_MISSING, message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn volume(uid: &str) -> Volume {
        Volume { claim: "archives".into(), uid: uid.into() }
    }

    fn claim(phase: &str) -> PersistentVolumeClaim {
        let metadata = json!({"name": "archives", "uid": "u"});
        serde_json::from_value(json!({"metadata": metadata, "status": {"phase": phase}})).unwrap()
    }

    fn archive() -> Archive {
        Archive { object: "file:///archives/o".into(), ..Archive::default() }
    }

    #[test]
    fn a_claim_is_there_while_it_has_its_volume_and_stays() {
        let mut leaving = claim("Bound");
        leaving.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        let unbound = |lost| Standing::Unbound { volume: volume("u"), lost };
        let cases = [
            (None, Standing::Missing),
            (Some(leaving), Standing::Leaving),
            (Some(claim("Bound")), Standing::Bound(volume("u"))),
            (Some(claim("Pending")), unbound(false)),
            (Some(claim("Lost")), unbound(true)),
            (Some(PersistentVolumeClaim { status: None, ..claim("") }), unbound(false)),
        ];
        for (live, expected) in cases {
            assert_eq!(Standing::of(live.as_ref()), expected);
        }
    }

    #[test]
    fn an_archive_is_written_to_what_is_there_or_will_be_and_what_is_not_is_named() {
        let writable = |standing: Standing| standing.writable("archives").cloned();
        assert_eq!(writable(Standing::Bound(volume("u"))), Ok(volume("u")));
        assert_eq!(writable(Standing::Unbound { volume: volume("u"), lost: false }), Ok(volume("u")));
        let missing = "there is no PersistentVolumeClaim tenantry-servers/archives: create it";
        assert_eq!(writable(Standing::Missing), Err(missing.to_owned()));
        for standing in [Standing::Leaving, Standing::Unbound { volume: volume("u"), lost: true }] {
            writable(standing).unwrap_err();
        }
    }

    #[test]
    fn a_drop_waits_unless_the_archive_is_where_it_was_written_and_says_which_one_is_gone() {
        let of = |standing: Standing| standing.objection(&volume("u"), &archive(), "t-x-app");
        assert_eq!(of(Standing::Bound(volume("u"))), None);
        let Some(Summary::Stalled { reason: "ArchiveMissing", message }) = of(Standing::Bound(volume("new")))
        else {
            panic!("nothing stands against it")
        };
        assert_eq!(
            message,
            "nothing is dropped without its archive, and file:///archives/o cannot be relied on: PersistentVolumeClaim \
             tenantry-servers/archives (UID u) is gone, and the one of that name is another one (UID new); everything is kept; to \
             have another one made: tenantry undelete t-x-app, then tenantry purge t-x-app"
        );
        for standing in
            [Standing::Missing, Standing::Leaving, Standing::Unbound { volume: volume("new"), lost: false }]
        {
            assert!(matches!(of(standing), Some(Summary::Stalled { .. })));
        }
        // It may come back by itself.
        let without = Standing::Unbound { volume: volume("u"), lost: true };
        assert!(matches!(of(without), Some(Summary::Progressing { .. })));
    }
}
