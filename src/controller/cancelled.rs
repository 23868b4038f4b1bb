//! Deletion brakes that somebody has cancelled, and which tenants they let go: those whose deletion was asked for before that.
//!
//! An answer is one to what it was asked of. What is deleted afterwards is held like anything else, so that it is asked about again when
//! the brake is over. When it was given is the API server's to say, by the clock that the deletions have their time from: neither a
//! restart nor a new leader moves it.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;

use super::apply::ApplyError;
use super::brake;
use super::context::Context;
use super::object::{Key, Kind};
use super::said::{self, Said};
use crate::api::{DatabaseServer, Tenant, labels, names};

/// Who has let go of the tenant, if the server's brake was cancelled when it was on its way out.
pub async fn lets_go(context: &Context, server: &str, tenant: &Tenant) -> Result<Option<String>, ApplyError> {
    let said = answer(context, server).await?;
    Ok(said.filter(|said| is_meant(tenant, said.at)).map(|said| said.by))
}

/// Whether a tenant that the server's cancelled brake lets go of is still to go.
pub async fn owes(context: &Context, server: &str) -> Result<bool, ApplyError> {
    let Some(said) = answer(context, server).await? else { return Ok(false) };
    let tenants: Vec<Tenant> = context.valid_all();
    Ok(tenants.iter().any(|tenant| {
        let key = Key::cluster(&names::tenant_namespace(&tenant.name_any()));
        // Whose namespace is not there any more, or was let go, is done with this.
        let stays = context.gate.child(Kind::Namespace, &key).is_some_and(|namespace| !namespace.deleting);
        let ours = tenant.finalizers().iter().any(|finalizer| finalizer == labels::TENANT_FINALIZER);
        let left = ours && stays && !brake::is_let_go(context, &key.name);
        left && is_meant(tenant, said.at) && brake::is_on(context, tenant, server)
    }))
}

/// What was said by whoever cancelled the server's brake, by a live read; `None` if nobody did.
async fn answer(context: &Context, server: &str) -> Result<Option<Said>, ApplyError> {
    if !brake::is_cancelled(context, server) {
        return Ok(None);
    }
    let api: Api<DatabaseServer> = Api::all(context.client.clone());
    let live = api.get_opt(server).await.map_err(|source| ApplyError::Api {
        verb: "get",
        kind: Kind::DatabaseServer,
        key: Key::cluster(server),
        source,
    })?;
    let live = live.filter(|live| brake::cancels(context, live));
    Ok(live.map(|live| said::of(&live.metadata, labels::DELETION_BRAKE)))
}

/// Whether the tenant was being deleted at that time. An answer without one may be to anything.
fn is_meant(tenant: &Tenant, at: Option<Timestamp>) -> bool {
    let deleted = tenant.metadata.deletion_timestamp.as_ref();
    deleted.is_some_and(|deleted| at.is_none_or(|at| deleted.0 <= at))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    #[test]
    fn who_is_deleted_after_the_answer_is_not_let_go() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut tenant =
            Tenant::new("acme", serde_json::from_str(r#"{"planRef": {"name": "small"}}"#).unwrap());
        assert!(!is_meant(&tenant, Some(at(100))) && !is_meant(&tenant, None), "it is not deleted");
        tenant.metadata.deletion_timestamp = Some(Time(at(100)));
        assert!(is_meant(&tenant, Some(at(100))) && is_meant(&tenant, Some(at(101))));
        assert!(!is_meant(&tenant, Some(at(99))));
        assert!(is_meant(&tenant, None));
    }
}
