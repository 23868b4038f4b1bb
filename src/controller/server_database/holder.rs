//! Whose the database of a row is now, by live reads: the Tenant's that the row names, or the one's that has taken its namespace over.
//!
//! A row goes over to its new Tenant with a turn of its claim, which may be refused for long, or find the server down. What that
//! Tenant says of the database counts until then, too: nothing of what it keeps may end by the word of one that is gone.

use kube::api::Api;
use kube::{Resource, ResourceExt};

use super::fetch::failed;
use crate::api::{Tenant, names};
use crate::controller::apply::ApplyError;
use crate::controller::child::Child;
use crate::controller::context::Context;
use crate::controller::former;
use crate::controller::object::{Key, Kind, dynamic_api};
use crate::postgres::facts::Marker;

/// The Tenant that has the database, which may be on its way out.
pub async fn of(context: &Context, row: &Marker) -> Result<Option<Tenant>, ApplyError> {
    let Some(name) = names::tenant_of_namespace(&row.claim.namespace) else { return Ok(None) };
    let api: Api<Tenant> = Api::all(context.client.clone());
    let live = api.get_opt(name).await.map_err(|source| failed(Kind::Tenant, &Key::cluster(name), source))?;
    let Some(tenant) = live else { return Ok(None) };
    if is_own(&tenant, row) {
        return Ok(Some(tenant));
    }
    let key = Key::cluster(&row.claim.namespace);
    let live = dynamic_api(&context.client, Kind::Namespace, &key).get_opt(&key.name).await;
    let live = live.map_err(|source| failed(Kind::Namespace, &key, source))?;
    let namespace = live.map(|live| Child::new(Kind::Namespace, &live.metadata));
    let holds = former::holds(tenant.uid().as_deref(), &row.tenant_uid, namespace.as_ref());
    Ok(holds.then_some(tenant))
}

/// The same, if it is not on its way out.
pub async fn living(context: &Context, row: &Marker) -> Result<Option<Tenant>, ApplyError> {
    Ok(of(context, row).await?.filter(|tenant| tenant.meta().deletion_timestamp.is_none()))
}

/// Whether the row names that very Tenant.
pub fn is_own(tenant: &Tenant, row: &Marker) -> bool {
    tenant.meta().uid.as_deref() == Some(&*row.tenant_uid)
}
