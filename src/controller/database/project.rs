//! The projection: from a marker row to its ServerDatabase. Pure.
//!
//! The marker row is the truth. The object shows it to people and takes their `claimRef` for a Released database;
//! lost, it is made again.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::tombstone;
use crate::api::names;
use crate::api::schema::NameRef;
use crate::api::server_database::{ClaimRef, Purge, ServerDatabaseSpec};
use crate::api::{ServerDatabase, labels};
use crate::controller::apply::{ApplyError, Declared};
use crate::controller::object::Kind;
use crate::postgres::facts::Marker;

/// The object of a row on that server. `protected` says that its tenant is protected from deletion.
pub fn object(marker: &Marker, server: &str, protected: bool) -> ServerDatabase {
    let spec = ServerDatabaseSpec {
        server_ref: NameRef::new(server),
        claim_ref: ClaimRef {
            namespace: marker.claim.namespace.clone(),
            name: marker.claim.name.clone(),
            uid: marker.claim.uid.clone(),
        },
        physical_name: marker.physical_name.clone(),
        management: marker.adopted.as_ref().map(|adopted| adopted.management),
        // Lost with the object, the purge of a tombstone would read as taken back.
        purge: tombstone::purged(marker).map(|generation| Purge { generation }),
    };
    let mut object = ServerDatabase::new(&marker.object_name(), spec);
    let mut all = BTreeMap::from([
        (labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned()),
        (labels::PART_OF.to_owned(), labels::MANAGER.to_owned()),
        (labels::DATABASE_SERVER.to_owned(), server.to_owned()),
    ]);
    if let Some(tenant) = names::tenant_of_namespace(&marker.claim.namespace) {
        all.insert(labels::TENANT.to_owned(), tenant.to_owned());
    }
    if protected {
        all.insert(labels::PROTECTED.to_owned(), "true".to_owned());
    }
    object.metadata = ObjectMeta { labels: Some(all), ..object.metadata };
    object
}

/// The declaration of a row's object. It belongs to the database itself: neither tenant nor server take it along.
pub fn declared(marker: &Marker, server: &str, protected: bool) -> Result<Declared, ApplyError> {
    let declared =
        Declared::new(Kind::ServerDatabase, &marker.physical_name, &object(marker, server, protected))?;
    // The object of a database that an admin gave us is the admin's own.
    Ok(if marker.adopted.is_some() { declared.taking_over() } else { declared })
}
