//! Which database the marker rows say it is. Pure.
//!
//! Objects can be lost, late or edited; the rows of the server decide.

use super::adoption;
use super::validate::{Past, Validated, released_exists};
use crate::api::condition::{Summary, reason};
use crate::api::names::PhysicalName;
use crate::controller::former;
use crate::postgres::facts::{Claim, Marker, Phase};

/// The database, and the rows that a plan for it is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Name of the database.
    pub physical: PhysicalName,
    /// Its row, if it has one, with the claim that an admin gave it to.
    pub rows: Vec<Marker>,
}

/// Chooses among `rows`: the tenant's own row, every row of the claim's namespace and name, and the offered or given one.
pub fn choose(claim: &Validated, rows: &[Marker]) -> Result<Chosen, Summary> {
    if let Some(given) = &claim.given {
        return adoption::choose(claim, given, rows);
    }
    let own = rows.iter().find(|row| row.tenant_uid == claim.tenant_uid && row.name == claim.name.as_str());
    if let Some(adopted) = own.and_then(|row| row.adopted.as_ref()) {
        // How much of it is ours to touch is the object's to say.
        let message =
            format!("ServerDatabase {} is projected again from the marker row first", adopted.object);
        return Err(Summary::Progressing { reason: reason::PROGRESSING, message });
    }
    if let Some(row) = own {
        return if row.is_tombstone() { Err(tombstoned(row)) } else { chosen(row.clone()) };
    }
    if let Some(row) = rows.iter().find(|row| left_to(claim, row)) {
        return chosen(Marker { claim: of(claim), ..row.clone() });
    }
    if let Some(physical) = &claim.offered {
        let row = rows.iter().find(|row| row.physical_name == physical.as_str());
        return match row.map(|row| row.phase) {
            Some(Phase::Released) => {
                // The object's claimRef is how an admin says it; the row learns it when the database is bound.
                let given = |row: &Marker| chosen(Marker { claim: of(claim), ..row.clone() });
                row.map_or_else(|| Err(gone(physical)), given)
            }
            Some(Phase::Tombstoned | Phase::Dropping) => Err(row.map_or_else(|| gone(physical), tombstoned)),
            Some(Phase::Bound | Phase::Creating) => {
                let message =
                    format!("database {physical} is not released: its claim of another tenant still has it");
                Err(Summary::Progressing { reason: reason::CLAIM_CONFLICT, message })
            }
            None => Err(gone(physical)),
        };
    }
    let other = rows
        .iter()
        .find(|row| row.claim.namespace == claim.namespace && row.claim.name == claim.name.as_str());
    match other {
        Some(row) if claim.past != Past::Waived => Err(released_exists(&row.object_name(), &claim.uid)),
        _ if claim.past == Past::Known => Err(forgotten(claim)),
        _ => Ok(Chosen { physical: PhysicalName::new(&claim.id, &claim.name), rows: Vec::new() }),
    }
}

/// Whether the row is this claim's, from a Tenant whose namespace was taken over.
pub(super) fn left_to(claim: &Validated, row: &Marker) -> bool {
    former::left(row, &of(claim), &claim.former)
}

/// How the row of its database names the claim.
pub(super) fn of(claim: &Validated) -> Claim {
    Claim {
        namespace: claim.namespace.clone(),
        name: claim.name.as_str().to_owned(),
        uid: Some(claim.uid.clone()),
    }
}

/// A database that is being purged is nobody's to use.
fn tombstoned(row: &Marker) -> Summary {
    let object = row.object_name();
    let message = format!(
        "ServerDatabase {object} is being purged: to get it back, have an admin run: tenantry undelete {object}"
    );
    Summary::Stalled { reason: reason::TOMBSTONED, message }
}

/// The server has no row of a database that there was: an empty one in its place would look as if nothing had happened.
fn forgotten(claim: &Validated) -> Summary {
    let physical = PhysicalName::new(&claim.id, &claim.name);
    let message = format!(
        "DatabaseServer {} does not know database {physical}, which this claim had: restore its row in tenantry.marker, \
         or set spec.fresh to true for an empty one",
        claim.server
    );
    Summary::Progressing { reason: reason::DATABASE_MISSING, message }
}

/// That row's database.
pub(super) fn chosen(row: Marker) -> Result<Chosen, Summary> {
    let physical = row
        .physical()
        .map_err(|error| Summary::Stalled { reason: reason::NAME_CONFLICT, message: error.to_string() })?;
    Ok(Chosen { physical, rows: vec![row] })
}

fn gone(physical: &PhysicalName) -> Summary {
    let message = format!(
        "database {physical}, which this claim was given, is not on the server: correct spec.claimRef of its ServerDatabase"
    );
    Summary::Progressing { reason: reason::DATABASE_MISSING, message }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tenancy::OwnServer;
    use super::*;
    use crate::api::database_server::DriftPolicy;
    use crate::api::deletion::DeletionPolicy;
    use crate::api::names::{DatabaseName, TenantId};
    use crate::postgres::settings::Settings;

    fn claim(offered: Option<&str>, fresh: bool) -> Validated {
        Validated {
            namespace: "tenant-acme".into(),
            name: DatabaseName::parse("app").unwrap(),
            uid: "claim-2".into(),
            tenant_uid: "tenant-2".into(),
            former: vec![],
            id: TenantId::of_uid("tenant-2"),
            tenant: "acme".into(),
            credentials: vec![],
            quota: None,
            own_server: OwnServer::NotAsked,
            extensions: BTreeSet::new(),
            allowed_extensions: BTreeSet::new(),
            connection_limit: None,
            settings: Settings::new(),
            server: "main".into(),
            offered: offered.map(|name| PhysicalName::parse(name).unwrap()),
            given: None,
            past: if fresh { Past::Waived } else { Past::None },
            suspended: false,
            logins_allowed: true,
            drift_policy: DriftPolicy::Correct,
            deletion_policy: DeletionPolicy::Retain,
            declared: None,
            told: false,
            requested: None,
        }
    }

    fn row(tenant: &str, physical: &str, phase: Phase) -> Marker {
        Marker {
            tenant_uid: tenant.into(),
            name: "app".into(),
            tenant_id: "x".into(),
            physical_name: physical.into(),
            claim: Claim { namespace: "tenant-acme".into(), name: "app".into(), uid: Some("claim-1".into()) },
            phase,
            generation: 3,
            epoch: 0,
            logins: [].into(),
            adopted: None,
            deletion_policy: DeletionPolicy::Retain,
            own_server: false,
        }
    }

    fn reason_of(result: Result<Chosen, Summary>) -> &'static str {
        match result {
            Err(Summary::Progressing { reason, .. } | Summary::Stalled { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tenant_gets_its_own_database_back_whatever_the_claims_uid() {
        let own = row("tenant-2", "t_old_app", Phase::Released);
        let chosen = choose(&claim(None, false), std::slice::from_ref(&own)).unwrap();
        assert_eq!((chosen.physical.as_str(), chosen.rows), ("t_old_app", vec![own]));
    }

    #[test]
    fn a_tenant_that_took_its_namespace_over_gets_what_its_claims_have() {
        let has = |phase| Marker {
            claim: Claim { uid: Some("claim-2".into()), ..row("tenant-1", "t_old_app", phase).claim },
            ..row("tenant-1", "t_old_app", phase)
        };
        let taken = |offered, fresh| Validated { former: vec!["tenant-1".into()], ..claim(offered, fresh) };
        for phase in [Phase::Creating, Phase::Bound] {
            for (offered, fresh) in [(None, false), (Some("t_old_app"), false), (None, true)] {
                let chosen = choose(&taken(offered, fresh), &[has(phase)]).unwrap();
                assert_eq!((chosen.physical.as_str(), chosen.rows), ("t_old_app", vec![has(phase)]));
            }
        }
        let bound = [has(Phase::Bound)];
        assert_eq!(reason_of(choose(&claim(Some("t_old_app"), false), &bound)), "ClaimConflict");
        assert_eq!(reason_of(choose(&claim(None, false), &bound)), "ReleasedDatabaseExists");
        // Of a claim that was made again since.
        let earlier = [row("tenant-1", "t_old_app", Phase::Bound)];
        for offered in [None, Some("t_old_app")] {
            assert_eq!(choose(&taken(offered, false), &earlier).unwrap().rows, [has(Phase::Bound)]);
        }
        let waits = choose(&taken(None, false), &[has(Phase::Released)]);
        assert_eq!(reason_of(waits), "ReleasedDatabaseExists");
    }

    #[test]
    fn a_tombstone_is_not_handed_out_to_anybody() {
        let own = row("tenant-2", "t_old_app", Phase::Tombstoned);
        for fresh in [false, true] {
            assert_eq!(reason_of(choose(&claim(None, fresh), std::slice::from_ref(&own))), "Tombstoned");
        }
        let earlier = row("tenant-1", "t_old_app", Phase::Tombstoned);
        assert_eq!(
            reason_of(choose(&claim(Some("t_old_app"), false), std::slice::from_ref(&earlier))),
            "Tombstoned"
        );
        assert_eq!(reason_of(choose(&claim(None, false), &[earlier])), "ReleasedDatabaseExists");
    }

    #[test]
    fn an_earlier_tenants_database_is_neither_handed_out_nor_replaced_by_an_empty_one() {
        for phase in [Phase::Released, Phase::Bound, Phase::Creating] {
            let earlier = row("tenant-1", "t_old_app", phase);
            assert_eq!(
                reason_of(choose(&claim(None, false), std::slice::from_ref(&earlier))),
                "ReleasedDatabaseExists"
            );
            let fresh = choose(&claim(None, true), &[earlier]).unwrap();
            assert_eq!(
                fresh,
                Chosen {
                    physical: PhysicalName::new(
                        &TenantId::of_uid("tenant-2"),
                        &DatabaseName::parse("app").unwrap()
                    ),
                    rows: vec![]
                }
            );
        }
    }

    #[test]
    fn a_database_that_the_server_has_forgotten_is_not_replaced_by_an_empty_one() {
        let had = || Validated { past: Past::Known, ..claim(None, false) };
        assert_eq!(reason_of(choose(&had(), &[])), "DatabaseMissing");
        assert!(choose(&claim(None, true), &[]).is_ok());
        let own = row("tenant-2", "t_old_app", Phase::Bound);
        assert!(choose(&had(), &[own]).is_ok());
    }

    #[test]
    fn an_admin_gives_a_released_database_and_no_other() {
        let released = row("tenant-1", "t_old_app", Phase::Released);
        let chosen = choose(&claim(Some("t_old_app"), false), &[released]).unwrap();
        assert_eq!(chosen.rows[0].claim.uid.as_deref(), Some("claim-2"));
        let bound = row("tenant-1", "t_old_app", Phase::Bound);
        assert_eq!(reason_of(choose(&claim(Some("t_old_app"), false), &[bound])), "ClaimConflict");
        assert_eq!(reason_of(choose(&claim(Some("t_old_app"), false), &[])), "DatabaseMissing");
    }
}
