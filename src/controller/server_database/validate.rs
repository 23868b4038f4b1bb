//! Step 2: what has to happen to a database. Pure.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::act::Act;
use super::fetch::{Claim, Fetched};
use crate::api::condition::{Summary, reason};
use crate::api::deletion::DeletionPolicy;
use crate::api::names::PhysicalName;
use crate::api::server_database::DatabasePhase;
use crate::api::{ServerDatabase, labels};
use crate::controller::database::dropping::{self, Asked};
use crate::controller::database::tombstone;
use crate::postgres::facts::{Marker, Phase};
use crate::postgres::tombstone::{Extent, Tombstone};

/// What has to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// The object has to say what the marker row says.
    Show,
    /// The object has to ask for the end of its database, as what was in force when it was released does.
    Purge,
    /// This has to be done on the server.
    Act(Act),
    /// The object has to say first that its database is being dropped: afterwards there is no row to say it by.
    Announce,
    /// The database is dropped: the object goes.
    Remove,
}

/// Decides it.
pub fn validate(fetched: &Fetched) -> Verdict {
    let announced =
        fetched.database.status.as_ref().and_then(|status| status.phase) == Some(DatabasePhase::Dropping);
    let marker = match &fetched.marker {
        Ok(Some(marker)) => marker,
        Ok(None) if announced => return Verdict::Remove,
        Ok(None) | Err(_) => return Verdict::Keep,
    };
    let purge = &fetched.database.spec.purge;
    match (marker.phase, &fetched.claim) {
        (Phase::Dropping, _) if !announced => Verdict::Announce,
        (Phase::Bound, Claim::Absent) => Verdict::Act(Act::Release),
        (Phase::Bound | Phase::Creating, _) => Verdict::Show,
        // The row says that logins are refused from the first effect on; sessions are ended after it.
        (Phase::Released, _) if !is_shown_released(&fetched.database, marker) => Verdict::Act(Act::Close),
        (Phase::Released, _) if is_purge_due(&fetched.database, marker) && fetched.obstacle.is_none() => {
            Verdict::Act(Act::Bury)
        }
        (Phase::Released, _) if is_wanted_back(&fetched.database, marker) => Verdict::Act(Act::Spare),
        (Phase::Released, _) if is_end_due(&fetched.database, marker) && fetched.obstacle.is_none() => {
            Verdict::Purge
        }
        (Phase::Dropping, _) if is_beyond_return(marker, fetched.tombstone.as_ref()) => {
            Verdict::Act(Act::Finish)
        }
        (Phase::Tombstoned | Phase::Dropping, _) if purge.is_none() => Verdict::Act(Act::Exhume),
        (Phase::Tombstoned | Phase::Dropping, _)
            if is_drop_due(&fetched.database, marker, fetched.tombstone.as_ref())
                && fetched.obstacle.is_none() =>
        {
            Verdict::Act(Act::Drop)
        }
        // Its claimRef and its purge are an admin's to set.
        (Phase::Released | Phase::Tombstoned | Phase::Dropping, _) => Verdict::Keep,
    }
}

/// Whether the object has said of this release that it is one, which it does only once nobody is connected any more.
fn is_shown_released(database: &ServerDatabase, marker: &Marker) -> bool {
    let Some(status) = &database.status else { return false };
    let released = [DatabasePhase::Released, DatabasePhase::Tombstoned, DatabasePhase::Dropping];
    status.generation == Some(marker.generation)
        && status.phase.is_some_and(|phase| released.contains(&phase))
}

/// What the object asks for, and since when.
pub fn asked(database: &ServerDatabase) -> Asked {
    let made = database.metadata.creation_timestamp.as_ref();
    Asked {
        purge: database.spec.purge.as_ref().map(|purge| purge.generation),
        since: made.map_or(i64::MAX, |made| made.0.as_second()),
    }
}

/// Whether the object was made after the grace of its tombstone had ended: it asks for nothing then, and somebody has to.
pub fn is_late(database: &ServerDatabase, droppable: Option<Timestamp>) -> bool {
    droppable.is_some_and(|when| asked(database).since > when.as_second())
}

/// Whether the object asks for the end of exactly the tombstone that its row tells of, and an archive of it is missing.
pub fn is_archive_wanted(database: &ServerDatabase, marker: &Marker, tombstone: Option<&Tombstone>) -> bool {
    let named = database.spec.purge.as_ref().map(|purge| purge.generation);
    marker.phase == Phase::Tombstoned
        && named == tombstone::purged(marker)
        && tombstone.is_some_and(|tombstone| tombstone.proof(marker).is_none())
}

/// Whether an archive is missing of a released database that is kept, once nobody is connected any more.
pub fn is_snapshot_wanted(fetched: &Fetched, marker: &Marker) -> bool {
    let wanted = marker.phase == Phase::Released && marker.deletion_policy == DeletionPolicy::Snapshot;
    let database = &fetched.database;
    wanted && fetched.kept.is_none() && database.spec.purge.is_none() && is_shown_released(database, marker)
}

/// Whether the object asks for the end of exactly the tombstone that its row tells of, and nothing is missing for that.
pub fn is_drop_due(database: &ServerDatabase, marker: &Marker, tombstone: Option<&Tombstone>) -> bool {
    let physical = PhysicalName::parse(&marker.physical_name);
    marker.adopted.is_none()
        && physical.is_ok_and(|name| dropping::due(&name, marker, tombstone, asked(database)).is_ok())
}

/// Whether a drop has gone so far that there is nothing to bring back: whatever is asked for now, by whatever object, the rest goes.
pub fn is_beyond_return(marker: &Marker, tombstone: Option<&Tombstone>) -> bool {
    marker.phase == Phase::Dropping && tombstone.is_some_and(|tombstone| tombstone.extent != Extent::Whole)
}

/// Whether the object asks for a purge of exactly the released database that its row tells of, and that we made.
pub fn is_purge_due(database: &ServerDatabase, marker: &Marker) -> bool {
    let named = database.spec.purge.as_ref().map(|purge| purge.generation);
    let ours = marker.adopted.is_none() && database.spec.adoption().is_none();
    ours && marker.phase == Phase::Released && named == Some(marker.generation)
}

/// Whether what was in force when the database was released asks for its end, and the object does not yet.
pub fn is_end_due(database: &ServerDatabase, marker: &Marker) -> bool {
    is_to_end(database, marker) && !is_wanted_back(database, marker)
}

/// Whether somebody has changed the `claimRef` of a database that was to be purged, or has taken back the purge that the object asked
/// for. Only the object says so, and its row has to know, since an object can be lost.
pub fn is_wanted_back(database: &ServerDatabase, marker: &Marker) -> bool {
    let left = &database.spec.claim_ref.uid;
    let asked = database.annotations().get(labels::PURGE_ASKED);
    let taken_back = asked.is_some_and(|asked| *asked == marker.generation.to_string());
    is_to_end(database, marker) && (left.is_none() || *left != marker.claim.uid || taken_back)
}

/// Whether what was in force when the database was released asks for its end, and its object asks for nothing.
fn is_to_end(database: &ServerDatabase, marker: &Marker) -> bool {
    let ours = marker.adopted.is_none() && database.spec.adoption().is_none();
    let silent = marker.deletion_policy == DeletionPolicy::Delete && database.spec.purge.is_none();
    ours && silent && marker.phase == Phase::Released
}

/// Why the purge that the object asks for is not done, if it is not.
pub fn objection(fetched: &Fetched) -> Option<Summary> {
    if let (Some(_), Some(management)) = (&fetched.database.spec.purge, fetched.database.spec.adoption()) {
        let message = format!(
            "spec.purge: Tenantry did not make the database (spec.management {}), and neither renames nor drops it: remove spec.purge",
            management.as_str()
        );
        return Some(Summary::Stalled { reason: reason::INVALID_SPEC, message });
    }
    let marker = fetched.marker.as_ref().ok()?.as_ref()?;
    if is_end_due(&fetched.database, marker) {
        return fetched.obstacle.clone();
    }
    let named = fetched.database.spec.purge.as_ref()?.generation;
    let meant = match marker.phase {
        Phase::Creating | Phase::Bound => {
            let claim = format!("{}/{}", marker.claim.namespace, marker.claim.name);
            let message = format!(
                "spec.purge: TenantDatabase {claim} has the database, and only a released one can be purged: \
                 delete the claim first, or remove spec.purge"
            );
            return Some(Summary::Stalled { reason: reason::IN_USE, message });
        }
        Phase::Released => marker.generation,
        Phase::Tombstoned | Phase::Dropping => tombstone::purged(marker)?,
    };
    if named == meant {
        return fetched.obstacle.clone();
    }
    let message = format!(
        "spec.purge.generation: {named} is not the database as it is now, it was bound or released since: look at it again, \
         and name {meant} if it is to be purged"
    );
    Some(Summary::Stalled { reason: reason::TIME_TRAVEL, message })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::api::server_database::{Management, Purge, ServerDatabaseSpec, ServerDatabaseStatus};
    use crate::postgres::adoption::Adopted;

    fn fetched(phase: Option<Phase>, claim: Claim, purge: Option<i64>, obstacle: Option<Summary>) -> Fetched {
        let marker = phase.map(|phase| Marker {
            tenant_id: "i".into(),
            physical_name: "t_i_app".into(),
            phase,
            generation: 4,
            ..Marker::sample()
        });
        let purge = purge.map(|generation| Purge { generation });
        let spec = ServerDatabaseSpec { purge, ..ServerDatabaseSpec::default() };
        let mut database = ServerDatabase::new("t-i-app", spec);
        let phase = Some(DatabasePhase::Released);
        database.status =
            Some(ServerDatabaseStatus { phase, generation: Some(4), ..ServerDatabaseStatus::default() });
        Fetched {
            database,
            marker: Ok(marker),
            claim,
            obstacle,
            tombstone: None,
            kept: None,
            existing: None,
            rival: None,
            archiving: None,
            reread: None,
        }
    }

    fn protected() -> Summary {
        Summary::Stalled { reason: reason::DELETION_PROTECTED, message: "protected".into() }
    }

    #[test]
    fn only_a_bound_database_whose_claim_is_confirmed_gone_is_released() {
        let cases = [
            (Some(Phase::Bound), Claim::Absent, Verdict::Act(Act::Release)),
            (Some(Phase::Bound), Claim::Present, Verdict::Show),
            (Some(Phase::Bound), Claim::Returning, Verdict::Show),
            (Some(Phase::Creating), Claim::Absent, Verdict::Show),
            (Some(Phase::Released), Claim::Absent, Verdict::Keep),
            (None, Claim::Absent, Verdict::Keep),
        ];
        for (phase, claim, expected) in cases {
            let verdict = validate(&fetched(phase, claim.clone(), None, None));
            assert_eq!(verdict, expected, "{phase:?} {claim:?}");
        }
        let unread = Err(Summary::Progressing { reason: "ServerUnreachable", message: String::new() });
        let unread = Fetched { marker: unread, ..fetched(None, Claim::Absent, Some(4), None) };
        assert_eq!((validate(&unread), objection(&unread)), (Verdict::Keep, None));
    }

    #[test]
    fn only_a_released_database_that_we_made_and_whose_policy_says_so_asks_for_its_end_by_itself() {
        let with = |phase, policy, purge, obstacle| {
            let mut fetched = fetched(Some(phase), Claim::Present, purge, obstacle);
            let row = fetched.marker.as_mut().unwrap().as_mut().unwrap();
            (row.deletion_policy, row.claim.uid) = (policy, Some("claim".into()));
            fetched.database.spec.claim_ref.uid = Some("claim".into());
            fetched
        };
        let delete = |phase, purge, obstacle| with(phase, DeletionPolicy::Delete, purge, obstacle);
        assert_eq!(validate(&delete(Phase::Released, None, None)), Verdict::Purge);
        assert_eq!(validate(&delete(Phase::Released, Some(4), None)), Verdict::Act(Act::Bury));
        // Somebody named another generation: that is told, and nothing is done.
        let stale = delete(Phase::Released, Some(3), None);
        assert_eq!(validate(&stale), Verdict::Keep);
        assert!(matches!(objection(&stale), Some(Summary::Stalled { reason: "TimeTravel", .. })));
        let stands = delete(Phase::Released, None, Some(protected()));
        assert_eq!((validate(&stands), objection(&stands)), (Verdict::Keep, Some(protected())));
        for phase in [Phase::Creating, Phase::Bound, Phase::Tombstoned, Phase::Dropping] {
            assert_ne!(validate(&delete(phase, None, None)), Verdict::Purge, "{phase}");
        }
        for policy in [DeletionPolicy::Retain, DeletionPolicy::Snapshot] {
            assert_eq!(validate(&with(Phase::Released, policy, None, None)), Verdict::Keep);
        }
        // An admin gives it to a claim: to the next one, or to that one.
        for claim in [None, Some("next".to_owned())] {
            let mut wanted = delete(Phase::Released, None, None);
            wanted.database.spec.claim_ref.uid = claim;
            assert_eq!(validate(&wanted), Verdict::Act(Act::Spare));
        }
        // Somebody has taken back what the object asked for, of this generation or of an earlier one.
        for (asked, verdict) in [("4", Verdict::Act(Act::Spare)), ("3", Verdict::Purge)] {
            let mut silent = delete(Phase::Released, None, None);
            silent.database.metadata.annotations = Some([(labels::PURGE_ASKED.into(), asked.into())].into());
            assert_eq!(validate(&silent), verdict, "{asked}");
        }
        let mut given = delete(Phase::Released, None, None);
        given.database.spec.management = Some(Management::Adopt);
        assert_eq!(validate(&given), Verdict::Keep);
    }

    #[test]
    fn a_release_that_was_cut_short_is_brought_to_its_end_before_anything_else() {
        // The last is what the object says of an earlier release, after which the database was bound.
        for shown in [None, Some((DatabasePhase::Bound, 4)), Some((DatabasePhase::Released, 3))] {
            let mut fetched = fetched(Some(Phase::Released), Claim::Present, Some(4), None);
            fetched.database.status = shown.map(|(phase, generation)| ServerDatabaseStatus {
                phase: Some(phase),
                generation: Some(generation),
                ..ServerDatabaseStatus::default()
            });
            assert_eq!(validate(&fetched), Verdict::Act(Act::Close), "{shown:?}");
        }
    }

    #[test]
    fn what_we_did_not_make_is_released_but_never_purged() {
        for management in [Management::Adopt, Management::Observe] {
            let given = |phase, claim| {
                let mut fetched = fetched(Some(phase), claim, Some(4), None);
                fetched.database.spec.management = Some(management);
                fetched
            };
            let released = given(Phase::Released, Claim::Present);
            assert_eq!(validate(&released), Verdict::Keep);
            let Some(Summary::Stalled { reason: "InvalidSpec", message }) = objection(&released) else {
                panic!("nothing stands against it")
            };
            assert!(message.starts_with("spec.purge: "), "{message}");
            assert_eq!(validate(&given(Phase::Bound, Claim::Absent)), Verdict::Act(Act::Release));
            // The row knows as well, whatever becomes of the object.
            let mut edited = fetched(Some(Phase::Released), Claim::Present, Some(4), None);
            let row = edited.marker.as_mut().unwrap().as_mut().unwrap();
            row.adopted = Some(Adopted { management, object: "legacy".into() });
            assert_eq!(validate(&edited), Verdict::Keep);
        }
    }

    #[test]
    fn only_a_released_database_of_the_named_generation_is_purged_and_only_if_nothing_stands_against_it() {
        let reason_of = |objection: Option<Summary>| match objection {
            None => None,
            Some(Summary::Stalled { reason, .. }) => Some(reason),
            other => panic!("{other:?}"),
        };
        let bury = Verdict::Act(Act::Bury);
        let cases = [
            (Phase::Released, Some(4), None, bury, None),
            (Phase::Released, Some(4), Some(protected()), Verdict::Keep, Some("DeletionProtected")),
            (Phase::Released, Some(3), None, Verdict::Keep, Some("TimeTravel")),
            (Phase::Released, Some(5), None, Verdict::Keep, Some("TimeTravel")),
            (Phase::Bound, Some(4), None, Verdict::Show, Some("InUse")),
            (Phase::Creating, Some(4), None, Verdict::Show, Some("InUse")),
            (Phase::Tombstoned, Some(3), None, Verdict::Keep, None),
            (Phase::Tombstoned, Some(4), None, Verdict::Keep, Some("TimeTravel")),
            (Phase::Tombstoned, None, None, Verdict::Act(Act::Exhume), None),
            (Phase::Dropping, Some(2), None, Verdict::Announce, None),
            (Phase::Dropping, None, None, Verdict::Announce, None),
            (Phase::Dropping, Some(4), None, Verdict::Announce, Some("TimeTravel")),
        ];
        for (phase, purge, obstacle, verdict, reason) in cases {
            let fetched = fetched(Some(phase), Claim::Present, purge, obstacle);
            assert_eq!(
                (validate(&fetched), reason_of(objection(&fetched))),
                (verdict, reason),
                "{phase:?} {purge:?}"
            );
        }
    }
    /// A tombstone of generation 4 whose archive is verified, and the object that asked for it at second 100.
    fn buried(phase: Phase, purge: Option<i64>, since: i64) -> Fetched {
        let archive = json!({
            "object": "file:///archives/o", "sha256": "0f".repeat(32), "bytes": 1, "rows": 1, "takenAt": "t",
            "systemIdentifier": "1", "generation": 4, "database": 7, "verifiedAt": "v",
        });
        let tombstone = Tombstone {
            droppable_at: 100,
            grace_ended: true,
            archive: Some(archive.to_string()),
            ..Tombstone::default()
        };
        let mut fetched = fetched(Some(phase), Claim::Present, purge, None);
        let made = Timestamp::from_second(since).unwrap();
        fetched.database.metadata.creation_timestamp = Some(Time(made));
        if phase == Phase::Dropping {
            let status = ServerDatabaseStatus {
                phase: Some(DatabasePhase::Dropping),
                ..ServerDatabaseStatus::default()
            };
            fetched.database.status = Some(status);
            if let Ok(Some(marker)) = &mut fetched.marker {
                marker.generation = 5;
            }
        }
        Fetched { tombstone: Some(tombstone), ..fetched }
    }

    #[test]
    fn only_a_tombstone_of_which_everything_is_there_is_dropped_and_only_if_nothing_stands_against_it() {
        let dropped = Verdict::Act(Act::Drop);
        for phase in [Phase::Tombstoned, Phase::Dropping] {
            assert_eq!(validate(&buried(phase, Some(3), 100)), dropped, "{phase}");
            let stands = Fetched { obstacle: Some(protected()), ..buried(phase, Some(3), 100) };
            assert_eq!(validate(&stands), Verdict::Keep, "{phase}");
            assert_eq!(validate(&buried(phase, Some(3), 101)), Verdict::Keep, "asked for too late");
            assert_eq!(validate(&buried(phase, Some(4), 100)), Verdict::Keep, "another generation's purge");
            assert_eq!(validate(&buried(phase, None, 100)), Verdict::Act(Act::Exhume), "{phase}");
            let mut running = buried(phase, Some(3), 100);
            running.tombstone.as_mut().unwrap().grace_ended = false;
            assert_eq!(validate(&running), Verdict::Keep, "{phase}");
            let mut bare = buried(phase, Some(3), 100);
            bare.tombstone.as_mut().unwrap().archive = None;
            assert_eq!(validate(&bare), Verdict::Keep, "{phase}");
        }
    }

    #[test]
    fn what_is_left_of_a_drop_goes_whatever_object_shows_it_and_whatever_stands_against_it() {
        for extent in [Extent::CutShort, Extent::Gone] {
            for (purge, since, obstacle) in
                [(Some(3), 101, None), (None, 100, None), (Some(3), 100, Some(protected()))]
            {
                let with = |phase| {
                    let mut fetched = Fetched { obstacle: obstacle.clone(), ..buried(phase, purge, since) };
                    fetched.tombstone.as_mut().unwrap().extent = extent;
                    validate(&fetched)
                };
                assert_eq!(with(Phase::Dropping), Verdict::Act(Act::Finish), "{purge:?} {since}");
                assert_ne!(with(Phase::Tombstoned), Verdict::Act(Act::Finish), "{purge:?} {since}");
            }
        }
    }

    #[test]
    fn the_object_of_a_dropped_database_goes_and_that_of_one_that_cannot_be_read_stays() {
        let gone = |phase| Fetched { marker: Ok(None), ..buried(phase, Some(3), 100) };
        assert_eq!(validate(&gone(Phase::Dropping)), Verdict::Remove);
        assert_eq!(validate(&gone(Phase::Tombstoned)), Verdict::Keep);
        let unread = Err(Summary::Progressing { reason: "ServerUnreachable", message: String::new() });
        let unread = Fetched { marker: unread, ..buried(Phase::Dropping, Some(3), 100) };
        assert_eq!(validate(&unread), Verdict::Keep);
    }
}
