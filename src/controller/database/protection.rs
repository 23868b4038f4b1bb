//! Protection from deletion: a tenant's word for its databases, by the stores.

use crate::api::{Tenant, names};
use crate::controller::context::Context;
use crate::controller::object::Key;
use crate::postgres::facts::Marker;

/// Whether the tenant that the database belongs to is protected from deletion.
pub fn of(context: &Context, marker: &Marker) -> bool {
    let name = names::tenant_of_namespace(&marker.claim.namespace);
    let tenant: Option<Tenant> = name.and_then(|name| context.valid(&Key::cluster(name)));
    tenant.is_some_and(|tenant| protects(&tenant, marker))
}

/// Whether it is that tenant's, and the tenant is protected. A later tenant of the same name is another one.
pub fn protects(tenant: &Tenant, marker: &Marker) -> bool {
    tenant.metadata.uid.as_deref() == Some(&*marker.tenant_uid) && tenant.spec.is_protected()
}
