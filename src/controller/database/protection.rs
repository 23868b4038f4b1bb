//! Protection from deletion: a tenant's word for its databases, by the stores.

use crate::api::{Tenant, names};
use crate::controller::context::Context;
use crate::controller::former;
use crate::controller::object::{Key, Kind};
use crate::postgres::facts::Marker;

/// Whether the tenant that the database belongs to is protected from deletion.
pub fn of(context: &Context, marker: &Marker) -> bool {
    let name = names::tenant_of_namespace(&marker.claim.namespace);
    let tenant: Option<Tenant> = name.and_then(|name| context.valid(&Key::cluster(name)));
    // A later tenant of the same name is another one, unless it has taken the namespace over.
    let holds = |tenant: &Tenant| {
        let namespace = context.gate.child(Kind::Namespace, &Key::cluster(&marker.claim.namespace));
        former::holds(tenant.metadata.uid.as_deref(), &marker.tenant_uid, namespace.as_deref())
    };
    tenant.is_some_and(|tenant| tenant.spec.is_protected() && holds(&tenant))
}
