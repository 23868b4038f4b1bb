//! What stands against a purge and the drop that it ends in, by live reads: they are for what the API server says now, not for
//! what a store holds.

use kube::ResourceExt;
use kube::api::Api;

use super::fetch::failed;
use super::holder;
use crate::api::condition::{Summary, reason};
use crate::api::deletion::DeletionPolicy;
use crate::api::{ServerDatabase, TenantDatabase, labels};
use crate::controller::apply::ApplyError;
use crate::controller::context::Context;
use crate::controller::object::{Key, Kind};
use crate::postgres::facts::Marker;

/// What becomes of the database of that row, which nobody claims any more: what the row says, unless its Tenant, which may be on its
/// way out too, keeps more by now, or did when it went.
pub async fn policy(
    context: &Context,
    database: &ServerDatabase,
    row: &Marker,
) -> Result<DeletionPolicy, ApplyError> {
    let recorded = last_word(database, row).max(Some(row.deletion_policy)).unwrap_or_default();
    if recorded == DeletionPolicy::Snapshot || row.adopted.is_some() {
        return Ok(recorded);
    }
    let holder = holder::of(context, row).await?;
    let said = holder.map(|tenant| tenant.spec.deletion_policy.unwrap_or_default());
    Ok(said.map_or(recorded, |said| said.max(recorded)))
}

/// What the Tenant of that row has left with the object before it went.
fn last_word(database: &ServerDatabase, row: &Marker) -> Option<DeletionPolicy> {
    let (uid, said) = database.annotations().get(labels::KEPT_BY)?.split_once('/')?;
    DeletionPolicy::parse(said).filter(|_| uid == row.tenant_uid)
}

/// What stands against purging the released database of that row, or dropping its tombstone, if anything does.
pub async fn obstacle(
    context: &Context,
    database: &ServerDatabase,
    row: &Marker,
) -> Result<Option<Summary>, ApplyError> {
    let api: Api<ServerDatabase> = Api::all(context.client.clone());
    let name = database.name_any();
    let live = api.get_opt(&name).await;
    let live = live.map_err(|source| failed(Kind::ServerDatabase, &Key::cluster(&name), source))?;
    let same = |live: &ServerDatabase| {
        live.metadata.uid == database.metadata.uid
            && live.metadata.deletion_timestamp.is_none()
            && live.spec == database.spec
    };
    if !live.as_ref().is_some_and(same) {
        let message = "the object changed while its purge was looked at; it is looked at again".to_owned();
        return Ok(Some(Summary::Progressing { reason: reason::PROGRESSING, message }));
    }
    let field = if database.spec.purge.is_some() { "spec.purge" } else { "deletionPolicy Delete" };
    let tenant = holder::living(context, row).await?;
    if let Some(tenant) = tenant.as_ref().filter(|tenant| tenant.spec.is_protected()) {
        let message = format!(
            "{field}: Tenant {} is protected from deletion: first set its spec.deletionProtection to false",
            tenant.name_any()
        );
        return Ok(Some(Summary::Stalled { reason: reason::DELETION_PROTECTED, message }));
    }
    if row.deletion_policy == DeletionPolicy::Delete {
        let said = policy(context, database, row).await?;
        if said != DeletionPolicy::Delete {
            return Ok(Some(kept(field, said)));
        }
    }
    let conflict = context.inventory.rows().conflict(&row.physical_name, &row.tenant_uid, &row.name);
    if conflict.is_some() {
        return Ok(conflict);
    }
    let claim = &database.spec.claim_ref;
    let key = Key::namespaced(&claim.namespace, &claim.name);
    let api: Api<TenantDatabase> = Api::namespaced(context.client.clone(), &claim.namespace);
    let live = api.get_opt(&claim.name).await;
    let live = live.map_err(|source| failed(Kind::TenantDatabase, &key, source))?;
    let live = live.filter(|live| live.metadata.deletion_timestamp.is_none());
    let own = tenant.is_some_and(|tenant| holder::is_own(&tenant, row));
    // It gets the database as soon as its turn comes: it is the tenant's own, or an admin has given it.
    let given = claim.uid.is_none() || live.as_ref().is_some_and(|live| live.metadata.uid == claim.uid);
    Ok(live.filter(|_| own || given).map(|_| {
        let message = if row.is_tombstone() {
            format!(
                "spec.purge: TenantDatabase {key} claims the database, so it is not dropped: remove spec.purge to give it back, or \
                 delete the claim"
            )
        } else {
            format!(
                "{field}: TenantDatabase {key} is about to get the database: delete the claim, or let spec.claimRef.uid name no claim"
            )
        };
        Summary::Stalled { reason: reason::CLAIM_CONFLICT, message }
    }))
}

/// What is said of a database that was to be deleted when it was released, and whose Tenant has thought better of it.
fn kept(field: &str, said: DeletionPolicy) -> Summary {
    let message = format!(
        "{field}: spec.deletionPolicy of its Tenant is {} by now, so the database is kept; to purge it all the same, set that to Delete, or, \
         if the Tenant is gone, remove the annotation {} of this object",
        said.as_str(),
        labels::KEPT_BY
    );
    Summary::Stalled { reason: reason::DELETION_PROTECTED, message }
}
