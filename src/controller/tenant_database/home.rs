//! Step 4, before the first database of a tenant that is to have a server for its own: its claims go to one server, though
//! several of them come at once and what placement knows changes meanwhile.
//!
//! The first of them to come here says which server it is, for as long as its turn takes; then the stores show it. That two
//! tenants never get the same one is for their transactions to see to (`tenancy::hold`).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fetch::{self, Fetched};
use super::tenancy::{OwnServer, Tenancy};
use super::validate::{Validated, validate};
use crate::api::condition::{Summary, reason};
use crate::controller::context::Context;

/// Where tenants are about to have their first databases, by UID of the tenant: the server, and how many turns go there.
#[derive(Debug, Default)]
pub struct Homes(Mutex<HashMap<String, (String, usize)>>);

/// A turn that makes a tenant's first database, or one of its first.
#[derive(Debug)]
pub(super) struct MovingIn<'a> {
    homes: &'a Homes,
    tenant: String,
}

impl Homes {
    fn all(&self) -> MutexGuard<'_, HashMap<String, (String, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the tenant goes to that server, or which one it goes to already.
    fn move_in(&self, tenant: &str, server: &str) -> Result<MovingIn<'_>, String> {
        let mut all = self.all();
        let (home, turns) = all.entry(tenant.to_owned()).or_insert_with(|| (server.to_owned(), 0));
        if home != server {
            return Err(home.clone());
        }
        *turns += 1;
        Ok(MovingIn { homes: self, tenant: tenant.to_owned() })
    }
}

impl Drop for MovingIn<'_> {
    fn drop(&mut self) {
        let mut all = self.homes.all();
        let left = all.get_mut(&self.tenant).map(|(_, turns)| {
            *turns -= 1;
            *turns
        });
        if left == Some(0) {
            all.remove(&self.tenant);
        }
    }
}

/// Has the other claims of the tenant go to the same server, if this one is to make its first database. `None` if it has
/// one there, or needs no server for its own.
pub(super) fn move_in<'a>(
    context: &'a Context,
    fetched: &Fetched,
    claim: &Validated,
) -> Result<Option<MovingIn<'a>>, Summary> {
    let is_first = |fetched: &Fetched| {
        let server = fetched.servers.iter().find(|server| server.name == claim.server);
        claim.own_server == OwnServer::Alone && server.is_some_and(|server| server.tenancy == Tenancy::Free)
    };
    if !is_first(fetched) {
        return Ok(None);
    }
    let elsewhere = |why: String| Summary::Progressing { reason: reason::NO_SERVER, message: why };
    let moving_in = context.homes.move_in(&claim.tenant_uid, &claim.server).map_err(|home| {
        elsewhere(format!(
            "the tenant's databases are kept together, and another one is made on DatabaseServer {home}"
        ))
    })?;
    // A turn that was before this one may have ended since this one began.
    let now = fetch::fetch(context, fetched.claim.clone());
    match validate(&now) {
        Ok(again) if again.server == claim.server => Ok(Some(moving_in)),
        _ => Err(elsewhere(format!(
            "DatabaseServer {} is no longer the one to take the database",
            claim.server
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_goes_to_one_server_as_long_as_one_of_its_turns_is_on_the_way_there() {
        let homes = Homes::default();
        let first = homes.move_in("t", "a").unwrap();
        let second = homes.move_in("t", "a").unwrap();
        assert_eq!(homes.move_in("t", "b").map(drop), Err("a".to_owned()));
        assert_eq!(homes.move_in("u", "b").map(drop), Ok(()), "another tenant");
        drop(first);
        assert_eq!(homes.move_in("t", "b").map(drop), Err("a".to_owned()));
        drop(second);
        assert_eq!(homes.move_in("t", "b").map(drop), Ok(()));
        assert!(homes.all().is_empty());
    }
}
