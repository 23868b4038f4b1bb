//! Step 4, before a new database: whether the tenant's plan has room for one.
//!
//! What counts is what the tenant has by the stores, Bound or Released, and what other turns of this process are about to make for
//! it. They take their places here, one after the other: of claims that come at once no more get a database than the plan lets them.
//! A claim whose database is there already is never asked.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;

use super::validate::Validated;
use crate::api::condition::{Summary, reason};
use crate::api::server_database::DatabasePhase;
use crate::api::{Plan, ServerDatabase};
use crate::controller::context::Context;
use crate::controller::object::Key;

/// How many databases a tenant may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The plan that says so.
    pub plan: String,
    /// How many.
    pub databases: usize,
}

impl Quota {
    /// What the plan says, if it does.
    pub fn of(plan: &Plan) -> Option<Self> {
        let databases = plan.spec.quota.as_ref()?.databases?;
        Some(Self { plan: plan.name_any(), databases: usize::try_from(databases).unwrap_or_default() })
    }
}

/// The places of databases that are about to be made, by UID of the tenant and name of the claim.
#[derive(Debug, Default)]
pub struct Places(Mutex<HashMap<String, BTreeSet<String>>>);

impl Places {
    /// Takes a place for the database of the claim `name` beside those that the tenant has, or says how many there are. Who got a
    /// database, or is no claim any more, has no place.
    fn take(
        &self,
        (tenant, name): (&str, &str),
        has: &BTreeSet<String>,
        is_claimed: impl Fn(&str) -> bool,
        most: usize,
    ) -> Result<(), usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let coming = all.entry(tenant.to_owned()).or_default();
        coming.retain(|other| other != name && !has.contains(other) && is_claimed(other));
        let count = has.iter().filter(|other| *other != name).count() + coming.len();
        if count < most {
            coming.insert(name.to_owned());
            return Ok(());
        }
        if coming.is_empty() {
            all.remove(tenant);
        }
        Err(count)
    }
}

/// Takes a place for the claim's new database, if its tenant's plan has one. Without a quota too: a plan may get one while the database
/// is being made.
pub(crate) fn ask(context: &Context, claim: &Validated) -> Result<(), Summary> {
    let most = claim.quota.as_ref().map_or(usize::MAX, |quota| quota.databases);
    let has = databases_of(context, claim);
    let is_claimed =
        |name: &str| context.stores.tenant_databases.get(&Key::namespaced(&claim.namespace, name)).is_some();
    let of = (claim.tenant_uid.as_str(), claim.name.as_str());
    let taken = context.places.take(of, &has, is_claimed, most);
    let (Err(count), Some(Quota { plan, databases })) = (taken, &claim.quota) else { return Ok(()) };
    let message = format!(
        "spec.quota.databases of Plan {plan} is {databases}, and tenant {} has {count}, Released ones and those that are being made \
         included: raise it, or delete a claim and purge its database (tenantry get serverdatabases, tenantry purge NAME)",
        claim.tenant
    );
    Err(Summary::Stalled { reason: reason::QUOTA_EXCEEDED, message })
}

/// Names of the tenant's databases. One that is a tombstone is on its way out.
fn databases_of(context: &Context, claim: &Validated) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    context.stores.server_databases.each(|own| {
        let Some(database) = own.valid() else { return };
        if counts(database, claim) {
            names.insert(database.spec.claim_ref.name.clone());
        }
    });
    names
}

fn counts(database: &ServerDatabase, claim: &Validated) -> bool {
    let status = database.status.as_ref();
    let is_leaving = status.and_then(|status| status.phase).is_some_and(DatabasePhase::is_leaving);
    // A new one says by its claim whose it is, before it has a status.
    let owner = status.and_then(|status| status.tenant_uid.as_deref());
    let is_of_tenant =
        owner.map_or(database.spec.claim_ref.namespace == claim.namespace, |owner| owner == claim.tenant_uid);
    is_of_tenant && !is_leaving
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_once_and_given_up_by_who_has_his_database_or_is_no_claim() {
        let places = Places::default();
        let has = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
        let take = |tenant: &str, name: &str, had: &[&str], claims: &[&str]| {
            places.take((tenant, name), &has(had), |it| claims.contains(&it), 2)
        };
        let all = ["a", "b", "c"];
        assert_eq!(take("t", "a", &[], &all), Ok(()));
        assert_eq!(take("t", "a", &[], &all), Ok(()), "again, since it failed");
        assert_eq!(take("t", "b", &[], &all), Ok(()));
        assert_eq!(take("t", "c", &[], &all), Err(2));
        assert_eq!(take("u", "c", &[], &all), Ok(()), "another tenant");
        // They have theirs: it is counted once.
        assert_eq!(take("t", "c", &["a"], &all), Err(2));
        assert_eq!(take("t", "c", &["a", "b"], &all), Err(2));
        // One was purged, or the claim of the other went before it had one.
        assert_eq!(take("t", "c", &["b"], &all), Ok(()));
        assert_eq!(take("t", "a", &["b"], &["a", "b"]), Ok(()));
        // More than there may be by now: nobody who has one is asked, and one that was lost has its place.
        assert_eq!(take("v", "d", &["a", "b", "c"], &["d"]), Err(3));
        assert_eq!(take("v", "c", &["a", "c"], &["c"]), Ok(()));
        // A plan that gets a quota while a database is being made.
        assert_eq!(places.take(("w", "a"), &has(&[]), |_| true, usize::MAX), Ok(()));
        assert_eq!(places.take(("w", "b"), &has(&[]), |_| true, 1), Err(1));
    }
}
