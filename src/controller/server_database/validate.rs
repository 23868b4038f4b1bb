//! Step 2: what has to happen to a database. Pure.

use super::act::Act;
use super::fetch::{Claim, Fetched};
use crate::api::ServerDatabase;
use crate::api::condition::{Summary, reason};
use crate::controller::database::tombstone;
use crate::postgres::facts::{Marker, Phase};

/// What has to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// The object has to say what the marker row says.
    Show,
    /// This has to be done on the server.
    Act(Act),
}

/// Decides it.
pub fn validate(fetched: &Fetched) -> Verdict {
    let Ok(Some(marker)) = &fetched.marker else { return Verdict::Keep };
    match (marker.phase, &fetched.claim) {
        (Phase::Bound, Claim::Absent) => Verdict::Act(Act::Release),
        (Phase::Bound | Phase::Creating, _) => Verdict::Show,
        (Phase::Released, _) if is_purge_due(&fetched.database, marker) && fetched.obstacle.is_none() => {
            Verdict::Act(Act::Bury)
        }
        (Phase::Tombstoned, _) if fetched.database.spec.purge.is_none() => Verdict::Act(Act::Exhume),
        // Its claimRef and its purge are an admin's to set.
        (Phase::Released | Phase::Tombstoned, _) => Verdict::Keep,
    }
}

/// Whether the object asks for a purge of exactly the released database that its row tells of.
pub fn is_purge_due(database: &ServerDatabase, marker: &Marker) -> bool {
    let named = database.spec.purge.as_ref().map(|purge| purge.generation);
    marker.phase == Phase::Released && named == Some(marker.generation)
}

/// Why the purge that the object asks for is not done, if it is not.
pub fn objection(fetched: &Fetched) -> Option<Summary> {
    let marker = fetched.marker.as_ref().ok()?.as_ref()?;
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
        Phase::Tombstoned => tombstone::purged(marker),
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
    use super::*;
    use crate::api::server_database::{Purge, ServerDatabaseSpec};
    use crate::postgres::facts;

    fn fetched(phase: Option<Phase>, claim: Claim, purge: Option<i64>, obstacle: Option<Summary>) -> Fetched {
        let marker = phase.map(|phase| Marker {
            tenant_uid: "u".into(),
            name: "app".into(),
            tenant_id: "i".into(),
            physical_name: "t_i_app".into(),
            claim: facts::Claim { namespace: "tenant-acme".into(), name: "app".into(), uid: None },
            phase,
            generation: 4,
            epoch: 0,
            logins: [].into(),
        });
        let purge = purge.map(|generation| Purge { generation });
        let spec = ServerDatabaseSpec { purge, ..ServerDatabaseSpec::default() };
        let database = ServerDatabase::new("t-i-app", spec);
        Fetched { database, marker: Ok(marker), claim, obstacle, tombstone: None }
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
}
