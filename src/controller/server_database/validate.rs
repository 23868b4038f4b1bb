//! Step 2: what has to happen to a database. Pure.

use super::fetch::{Claim, Fetched};
use crate::postgres::facts::{Marker, Phase};

/// What has to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// The object has to say what the marker row says.
    Show,
    /// The claim is gone: logins are refused from now on.
    Release,
}

/// Decides it.
pub fn validate(fetched: &Fetched) -> Verdict {
    let Ok(Some(marker)) = &fetched.marker else { return Verdict::Keep };
    match (marker.phase, &fetched.claim) {
        (Phase::Bound, Claim::Absent) => Verdict::Release,
        (Phase::Bound | Phase::Creating, _) => Verdict::Show,
        // Its claimRef is an admin's to set.
        (Phase::Released, _) => Verdict::Keep,
    }
}

/// The row after its release.
pub fn released(marker: &Marker) -> Marker {
    Marker { phase: Phase::Released, generation: marker.generation + 1, ..marker.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ServerDatabase;
    use crate::api::condition::Summary;
    use crate::api::server_database::ServerDatabaseSpec;
    use crate::postgres::facts;

    fn verdict(phase: Option<Phase>, claim: Claim) -> Verdict {
        let marker = phase.map(|phase| Marker {
            tenant_uid: "u".into(),
            name: "app".into(),
            tenant_id: "i".into(),
            physical_name: "t_i_app".into(),
            claim: facts::Claim { namespace: "tenant-acme".into(), name: "app".into(), uid: None },
            phase,
            generation: 1,
            epoch: 0,
            logins: [].into(),
        });
        let database = ServerDatabase::new("t-i-app", ServerDatabaseSpec::default());
        validate(&Fetched { database, marker: Ok(marker), claim })
    }

    #[test]
    fn only_a_bound_database_whose_claim_is_confirmed_gone_is_released() {
        let cases = [
            (Some(Phase::Bound), Claim::Absent, Verdict::Release),
            (Some(Phase::Bound), Claim::Present, Verdict::Show),
            (Some(Phase::Bound), Claim::Returning, Verdict::Show),
            (Some(Phase::Creating), Claim::Absent, Verdict::Show),
            (Some(Phase::Released), Claim::Absent, Verdict::Keep),
            (None, Claim::Absent, Verdict::Keep),
        ];
        for (phase, claim, expected) in cases {
            assert_eq!(verdict(phase, claim.clone()), expected, "{phase:?} {claim:?}");
        }
        let database = ServerDatabase::new("t-i-app", ServerDatabaseSpec::default());
        let unread = Err(Summary::Progressing { reason: "ServerUnreachable", message: String::new() });
        assert_eq!(validate(&Fetched { database, marker: unread, claim: Claim::Absent }), Verdict::Keep);
    }
}
