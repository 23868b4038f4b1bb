//! Whether a tenant that is being deleted may go with its namespace, or waits, or is let go of without it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Api;
use kube::{CustomResourceExt, ResourceExt};

use crate::api::condition::Summary;
use crate::api::{Blueprint, DatabaseServer, Microservice, Plan, ServerDatabase, Tenant, TenantDatabase};
use crate::controller::apply::ApplyError;
use crate::controller::context::Context;
use crate::controller::object::{Key, Kind};
use crate::controller::{brake, cancelled};
use crate::resilience::brake::Pace;

/// What becomes of a tenant that is being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Its namespace goes.
    Go,
    /// It waits.
    Held(Summary),
    /// Nobody meant that, as this field manager said: the Tenant cannot be kept, and its namespace can.
    LetGo(String),
}

/// Whether the tenant's namespace may be deleted. One that has no database waits for nobody, but while a CRD of ours is
/// going: that makes every tenant look deleted, and is asked about on all servers. Of many brakes one that was cancelled is enough, and
/// lets go also where an `objection` stands against the deletion, which does not last as long as that answer.
pub async fn admits(
    context: &Context,
    tenant: &Tenant,
    objection: Option<Summary>,
) -> Result<Admission, ApplyError> {
    let databases: Vec<ServerDatabase> = context.valid_all();
    let (servers, pace, why) = if let Some(crd) = terminating_crd(context).await? {
        let all = context.valid_all::<DatabaseServer>().iter().map(ResourceExt::name_any).collect();
        // As good as all of them are deleted.
        (all, Pace { recent: u32::MAX, all: 0 }, format!("CRD {crd} is being deleted"))
    } else {
        let let_go = |namespace: &str| brake::is_let_go(context, namespace);
        // What is on a server that was let go of is shown as bound, and nobody can release it.
        let is_known = |server: &str| context.stores.database_servers.get(&Key::cluster(server)).is_some();
        let known = databases.iter().filter(|database| is_known(&database.spec.server_ref.name)).cloned();
        let known: Vec<ServerDatabase> = known.collect();
        let pace = brake::tenants(&context.valid_all(), &known, let_go, context.now().as_second());
        let why = format!("{} of {} tenants are being deleted", pace.recent, pace.all);
        (brake::servers(context, tenant, &databases), pace, why)
    };
    for server in &servers {
        if let Some(by) = cancelled::lets_go(context, server, tenant).await? {
            return Ok(Admission::LetGo(by));
        }
    }
    if let Some(objection) = objection {
        return Ok(Admission::Held(objection));
    }
    for server in servers {
        if let Err(summary) = brake::check(context, &server, pace, || why.clone()).await {
            return Ok(Admission::Held(summary));
        }
    }
    Ok(Admission::Go)
}

/// A CRD of ours that is going: it makes every object of its kind look deleted.
async fn terminating_crd(context: &Context) -> Result<Option<&'static str>, ApplyError> {
    let api: Api<CustomResourceDefinition> = Api::all(context.client.clone());
    let names = [
        Tenant::crd_name(),
        TenantDatabase::crd_name(),
        ServerDatabase::crd_name(),
        DatabaseServer::crd_name(),
        Microservice::crd_name(),
        Plan::crd_name(),
        Blueprint::crd_name(),
    ];
    for name in names {
        let live = api.get_opt(name).await.map_err(|source| ApplyError::Api {
            verb: "get",
            kind: Kind::Tenant,
            key: Key::cluster(name),
            source,
        })?;
        if live.is_some_and(|crd| crd.metadata.deletion_timestamp.is_some()) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
