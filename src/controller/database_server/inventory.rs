//! The inventory: every marker row has its ServerDatabase, also when the objects, the CRDs or etcd were lost. And every
//! database is on one server: rows of a copied or restored server that name it once more are a conflict, in which
//! nobody but a person can tell which one is right.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt;

use crate::api::ServerDatabase;
use crate::api::condition::{Summary, reason};
use crate::controller::apply::ApplyError;
use crate::controller::context::Context;
use crate::controller::database::{project, protection};
use crate::controller::object::{Key, Kind};
use crate::controller::{outcome, triggers};
use crate::postgres::facts::{Marker, Phase};
use crate::postgres::observe::{self, Markers};

/// What a row is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Known {
    /// Its physical name.
    As(String),
    /// The UID of its tenant and its logical name.
    Of(String, String),
    /// The name of one that we did not make, which another server may have as well.
    Adopted(String),
    /// The ServerDatabase that shows it, and its physical name.
    Shown(String, String),
}

impl Known {
    /// Whether it is a conflict when two servers have it.
    fn is_shared(&self) -> bool {
        !matches!(self, Self::Adopted(_) | Self::Shown(..))
    }
}

/// What the rows of one server say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OnServer {
    known: HashSet<Known>,
    /// The tenants that have databases there, by UID, and whether they have the server for their own.
    tenants: BTreeMap<String, bool>,
}

/// The databases of each server's marker rows.
#[derive(Clone, Debug, Default)]
pub struct Rows(BTreeMap<String, OnServer>);

impl Rows {
    /// The server that has the tenant's database of that name.
    pub fn server_of(&self, physical: &str, tenant_uid: &str, name: &str) -> Option<&str> {
        let known = [Known::As(physical.to_owned()), Known::Of(tenant_uid.to_owned(), name.to_owned())];
        let has = |on: &OnServer| known.iter().any(|known| on.known.contains(known));
        self.0.iter().find(|(_, on)| has(on)).map(|(server, _)| server.as_str())
    }

    /// The servers that have a database of that physical name.
    pub fn servers_of(&self, physical: &str) -> impl Iterator<Item = &String> {
        let known = Known::As(physical.to_owned());
        self.0.iter().filter(move |(_, on)| on.known.contains(&known)).map(|(server, _)| server)
    }

    /// The servers that have a database of that tenant.
    pub fn servers_of_tenant(&self, uid: &str) -> impl Iterator<Item = &String> {
        self.0.iter().filter(move |(_, on)| on.tenants.contains_key(uid)).map(|(server, _)| server)
    }

    /// Whether that tenant has databases on the server, and whether others have.
    pub fn tenants(&self, server: &str, uid: Option<&str>) -> (bool, bool) {
        let Some(OnServer { tenants, .. }) = self.0.get(server) else { return (false, false) };
        let own = uid.is_some_and(|uid| tenants.contains_key(uid));
        (own, tenants.len() > usize::from(own))
    }

    /// Whether another tenant than that one has the server for its own.
    pub fn is_own_of_another(&self, server: &str, uid: Option<&str>) -> bool {
        let tenants = self.0.get(server).into_iter().flat_map(|on| &on.tenants);
        tenants.filter(|(_, own)| **own).any(|(tenant, _)| Some(tenant.as_str()) != uid)
    }

    /// Whether a tenant may find the server empty, or for it alone, that could not `before`: one has left, or has it no longer
    /// for its own.
    fn is_freer(&self, server: &str, before: &Self) -> bool {
        let none = OnServer::default();
        let now = &self.0.get(server).unwrap_or(&none).tenants;
        let before = &before.0.get(server).unwrap_or(&none).tenants;
        before.iter().any(|(tenant, own)| now.get(tenant).is_none_or(|still| *own && !still))
    }

    /// How many databases a server has.
    pub fn count(&self, server: &str) -> usize {
        let known = self.0.get(server).into_iter().flat_map(|on| &on.known);
        known.filter(|known| matches!(known, Known::As(_) | Known::Adopted(_))).count()
    }

    /// What stands against giving a database by an object whose name a row has for another one: the object of that one could
    /// not be made again, and nobody would see it.
    pub fn other_of(&self, database: &ServerDatabase) -> Option<Summary> {
        let (object, spec) = (database.name_any(), &database.spec);
        spec.adoption()?;
        let known = self.0.iter().flat_map(|(server, on)| on.known.iter().map(move |known| (server, known)));
        let shown = known.filter_map(|(server, known)| match known {
            Known::Shown(by, physical) => (*by == object).then_some((server, physical)),
            _ => None,
        });
        let other = shown.filter(|shown| *shown != (&spec.server_ref.name, &spec.physical_name)).min();
        other.map(|(server, physical)| is_of_another(&object, physical, server))
    }

    /// What stands against working on a database that more than one server has.
    pub fn conflict(&self, physical: &str, tenant_uid: &str, name: &str) -> Option<Summary> {
        let known = [Known::As(physical.to_owned()), Known::Of(tenant_uid.to_owned(), name.to_owned())];
        let servers = self.0.iter().filter(|(_, on)| known.iter().any(|known| on.known.contains(known)));
        let servers: Vec<&str> = servers.map(|(server, _)| server.as_str()).collect();
        let (last, others) = servers.split_last().filter(|(_, others)| !others.is_empty())?;
        // The object of an adopted one has a name of its own.
        let object = if physical.starts_with("t_") { physical.replace('_', "-") } else { String::new() };
        let message = format!(
            "database {physical} is on DatabaseServers {} and {last}, and nobody can tell which one is right: \
             delete its row in tenantry.marker on every server but one, and its ServerDatabase {object}",
            others.join(", ")
        );
        let message = message.trim_end().to_owned();
        Some(Summary::Stalled { reason: reason::CLAIM_CONFLICT, message })
    }
}

/// What is said of an object whose name belongs to another database.
pub fn is_of_another(object: &str, physical: &str, server: &str) -> Summary {
    let message = format!(
        "the name {object} belongs to the ServerDatabase of database {physical} on DatabaseServer {server}, which is not shown as long \
         as this one has it: delete this one, and create it under another name"
    );
    Summary::Stalled { reason: reason::CLAIM_CONFLICT, message }
}

/// The rows as this process last read them.
#[derive(Debug, Default)]
pub struct Inventory(Mutex<Arc<Rows>>);

impl Inventory {
    /// All of them.
    pub fn rows(&self) -> Arc<Rows> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what `server` has now. Returns the servers that share something with it that is new or gone there.
    pub fn see(&self, server: &str, markers: &[Marker]) -> BTreeSet<String> {
        let known = markers.iter().flat_map(|marker| {
            let of = Known::Of(marker.tenant_uid.clone(), marker.name.clone());
            let physical = marker.physical_name.clone();
            let shown = Known::Shown(marker.object_name(), physical.clone());
            let named = if marker.adopted.is_none() { Known::As(physical) } else { Known::Adopted(physical) };
            [named, of, shown]
        });
        let mut now = OnServer { known: known.collect(), tenants: BTreeMap::new() };
        for marker in markers {
            *now.tenants.entry(marker.tenant_uid.clone()).or_default() |= marker.own_server;
        }
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let none = OnServer::default();
        let before = rows.0.get(server).unwrap_or(&none);
        if *before == now {
            return BTreeSet::new();
        }
        let news = || before.known.symmetric_difference(&now.known);
        let shares = |others: &OnServer| news().any(|it| it.is_shared() && others.known.contains(it));
        let others = rows.0.iter().filter(|(other, on)| *other != server && shares(on));
        let others: BTreeSet<String> = others.map(|(other, _)| other.clone()).collect();
        Arc::make_mut(&mut rows).0.insert(server.to_owned(), now);
        others
    }

    /// The server is gone. Returns those that shared something with it.
    pub fn forget(&self, server: &str) -> BTreeSet<String> {
        let others = self.see(server, &[]);
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut rows).0.remove(server);
        others
    }
}

/// Has whoever is on those servers look again.
pub fn tell(context: &Context, servers: &BTreeSet<String>) {
    for server in servers {
        triggers::server_changed(context, server);
    }
}

/// Takes what the server has, and makes the objects that are missing. What one says that exists is the server databases' controller's business.
pub async fn project(context: &Context, server: &str, markers: &[Marker]) {
    let before = context.inventory.rows();
    let mut concerned = context.inventory.see(server, markers);
    if !concerned.is_empty() || context.inventory.rows().is_freer(server, &before) {
        concerned.insert(server.to_owned());
        tell(context, &concerned);
    }
    for marker in markers {
        let key = Key::cluster(&marker.object_name());
        let claim = Key::namespaced(&marker.claim.namespace, &marker.claim.name);
        // While a claim makes its database, the object is its own to make, when there is something to show: also after the
        // last statement, as long as the turn goes on that will.
        let has_turn = || context.queue(Kind::TenantDatabase).is_some_and(|queue| queue.is_running(&claim));
        if context.stores.tenant_databases.get(&claim).is_some()
            && (marker.phase == Phase::Creating || has_turn())
        {
            continue;
        }
        if context.stores.server_databases.get(&key).is_none()
            && is_still_there(context, server, marker).await
        {
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

/// Whether the server still has the row. A tombstone may have been dropped since the rows were read, and its object gone with it: one
/// that is made again would show nothing for ever.
async fn is_still_there(context: &Context, server: &str, marker: &Marker) -> bool {
    if !marker.is_tombstone() {
        return true;
    }
    let Some(pool) = context.servers.pool(server) else { return false };
    // Who does not hear of it now asks again with the next look.
    let Ok(mut connection) = pool.operator().await else { return false };
    let rows = observe::markers(&mut connection, &Markers::Physical(&marker.physical_name)).await;
    connection.release().await;
    rows.is_ok_and(|rows| !rows.is_empty())
}

async fn make(context: &Context, server: &str, marker: &Marker) -> Result<(), ApplyError> {
    context.gate.apply(&project::declared(marker, server, protection::of(context, marker))?).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::deletion::DeletionPolicy;
    use crate::api::server_database::Management;
    use crate::postgres::adoption::Adopted;
    use crate::postgres::facts::Claim;

    fn row(tenant_uid: &str, physical: &str) -> Marker {
        Marker {
            tenant_uid: tenant_uid.into(),
            name: "app".into(),
            tenant_id: "x".into(),
            physical_name: physical.into(),
            claim: Claim { namespace: "tenant-acme".into(), name: "app".into(), uid: None },
            phase: Phase::Bound,
            generation: 1,
            epoch: 0,
            logins: [].into(),
            adopted: None,
            deletion_policy: DeletionPolicy::Retain,
            own_server: false,
        }
    }

    #[test]
    fn a_server_is_freer_when_a_tenant_left_it_or_no_longer_has_it_for_its_own() {
        let inventory = Inventory::default();
        let own = |tenant: &str| Marker { own_server: true, ..row(tenant, "t_x_app") };
        let seen = |rows: &[Marker]| {
            let before = inventory.rows();
            inventory.see("a", rows);
            let now = inventory.rows();
            (now.is_freer("a", &before), now.tenants("a", Some("u1")), now.is_own_of_another("a", Some("u2")))
        };
        assert_eq!(seen(&[own("u1")]), (false, (true, false), true));
        assert_eq!(seen(&[own("u1")]), (false, (true, false), true));
        assert_eq!(seen(&[row("u1", "t_x_app")]), (true, (true, false), false));
        assert_eq!(seen(&[row("u1", "t_x_app"), row("u3", "t_y_app")]), (false, (true, true), false));
        assert_eq!(seen(&[row("u3", "t_y_app"), own("u2")]), (true, (false, true), false));
        assert_eq!(seen(&[]), (true, (false, false), false));
    }

    fn adopted(tenant: &str) -> Marker {
        Marker {
            adopted: Some(Adopted { management: Management::Adopt, object: "legacy".into() }),
            ..row(tenant, "legacy")
        }
    }

    #[test]
    fn a_tenants_database_is_found_by_its_own_name_or_by_whose_it_is() {
        let inventory = Inventory::default();
        inventory.see("a", &[row("u1", "t_x_app")]);
        inventory.see("b", &[adopted("u4")]);
        let cases = [
            (("t_x_app", "u9", "app"), Some("a")),
            (("t_y_app", "u1", "app"), Some("a")),
            (("t_y_app", "u1", "other"), None),
            (("t_y_app", "u4", "app"), Some("b")),
            // Anybody may have a database of that name on another server.
            (("legacy", "u9", "app"), None),
        ];
        for ((physical, tenant, name), server) in cases {
            let found = inventory.rows().server_of(physical, tenant, name).map(str::to_owned);
            assert_eq!(found.as_deref(), server, "{physical} {tenant} {name}");
        }
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_database_that_two_servers_have_is_a_conflict_until_one_is_left() {
        let inventory = Inventory::default();
        let conflict = || inventory.rows().conflict("t_x_app", "u1", "app");
        assert_eq!(inventory.see("a", &[row("u1", "t_x_app"), row("u2", "t_y_app")]), set(&[]));
        assert_eq!(inventory.see("b", &[row("u3", "t_z_app")]), set(&[]));
        assert_eq!(conflict(), None);

        // The same name of another tenant, and another name of the same tenant's database.
        for twin in [row("u9", "t_x_app"), row("u1", "t_other_app")] {
            assert_eq!(inventory.see("b", std::slice::from_ref(&twin)), set(&["a"]));
            assert_eq!(inventory.see("b", &[twin]), set(&[]), "it is no news");
            let message = "database t_x_app is on DatabaseServers a and b, and nobody can tell which one is right: \
                           delete its row in tenantry.marker on every server but one, and its ServerDatabase t-x-app";
            let expected = Summary::Stalled { reason: "ClaimConflict", message: message.into() };
            assert_eq!(conflict(), Some(expected));
            assert_eq!(inventory.rows().conflict("t_y_app", "u2", "app"), None, "others are not concerned");
            assert_eq!(inventory.see("b", &[]), set(&["a"]));
            assert_eq!(conflict(), None);
        }
        assert_eq!(inventory.see("c", &[adopted("u4")]), set(&[]));
        assert_eq!(inventory.see("d", &[adopted("u5")]), set(&[]), "each server has databases of its own");
        assert_eq!(
            (inventory.rows().conflict("legacy", "u4", "app"), inventory.rows().count("d")),
            (None, 1)
        );

        inventory.see("b", &[row("u1", "t_x_app")]);
        assert_eq!(inventory.forget("a"), set(&["b"]));
        assert_eq!(conflict(), None);
    }
}
