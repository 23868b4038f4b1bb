//! The inventory: every marker row has its ServerDatabase, also when the objects, the CRDs or etcd were lost.

use crate::controller::apply::ApplyError;
use crate::controller::context::Context;
use crate::controller::database::project;
use crate::controller::object::Key;
use crate::controller::outcome;
use crate::postgres::facts::{Marker, Phase};

/// Makes the objects that are missing. What one says that exists is the server databases' controller's business.
pub async fn project(context: &Context, server: &str, markers: &[Marker]) {
    for marker in markers {
        let key = Key::cluster(&project::object_name(&marker.physical_name));
        let claim = Key::namespaced(&marker.claim.namespace, &marker.claim.name);
        // While a claim makes its database, the object is its own to make, when there is something to show.
        if marker.phase == Phase::Creating && context.stores.tenant_databases.get(&claim).is_some() {
            continue;
        }
        if context.stores.server_databases.get(&key).is_none() {
            // One object that cannot be made keeps nobody from the others, and none from using the server.
            if let Err(error) = make(context, server, marker).await {
                let message = outcome::chain(&error);
                tracing::warn!(
                    database.name = marker.physical_name,
                    error.message = message,
                    "failed to project a database"
                );
            }
        }
    }
}

async fn make(context: &Context, server: &str, marker: &Marker) -> Result<(), ApplyError> {
    context.gate.apply(&project::declared(marker, server)?).await?;
    Ok(())
}
