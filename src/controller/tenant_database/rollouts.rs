//! Which pods still run with a login that was replaced: the Deployments of the Microservices that bind a Secret are read,
//! as long as a rotation waits for them and no longer.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::api::Api;

use super::validate::{ValidCredential, Validated};
use crate::api::{Microservice, labels};
use crate::controller::apply::ApplyError;
use crate::controller::context::Context;
use crate::controller::microservice::rollout::Rollout;
use crate::controller::object::{Key, Kind};

/// The first Microservice, by name, whose pods do not all have what the credential's Secret holds now.
///
/// One without a Deployment has no pods; those that it gets have the Secret as it is then.
pub async fn lagging(
    context: &Context,
    claim: &Validated,
    credential: &ValidCredential,
) -> Result<Option<String>, ApplyError> {
    let secret = Key::namespaced(&claim.namespace, &credential.secret);
    let secret = context.gate.child(Kind::Secret, &secret);
    let hash = secret.and_then(|secret| secret.binding_hash.clone());
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), &claim.namespace);
    for microservice in context.valid_in::<Microservice>(&claim.namespace) {
        if !binds(&microservice, claim, credential) {
            continue;
        }
        let name = microservice.name_any();
        let live = api.get_opt(&name).await.map_err(|source| ApplyError::Api {
            verb: "get",
            kind: Kind::Deployment,
            key: Key::namespaced(&claim.namespace, &name),
            source,
        })?;
        if live.is_some_and(|live| !has(&live, claim, hash.as_deref())) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn binds(microservice: &Microservice, claim: &Validated, credential: &ValidCredential) -> bool {
    let first = claim.credentials.first().map(|first| first.name.as_str());
    microservice.spec.databases().iter().any(|binding| {
        binding.name == claim.name.as_str()
            && binding.credential.as_deref().or(first) == Some(credential.name.as_str())
    })
}

/// Whether all pods of the Deployment run with the Secret of that hash.
fn has(deployment: &Deployment, claim: &Validated, hash: Option<&str>) -> bool {
    let template = deployment.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    let annotation = format!("{}-{}", labels::BINDING_HASH, claim.name.as_str());
    let carried = template.and_then(|template| template.annotations.as_ref()?.get(&annotation));
    hash.is_some() && carried.map(String::as_str) == hash && Rollout::of(deployment).is_complete()
}
