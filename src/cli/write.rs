//! Every write of the CLI, as its user: one request each.

use http::Method;
use serde_json::{Value, json};

use super::api_error::ApiError;
use super::client::{Client, JSON, with_query};
use super::kinds::Resource;

/// The CLI's field manager: what a user installs or asks for is told from what the operator does.
const FIELD_MANAGER: &str = "tenantry-cli";

/// Media type of server-side apply.
const APPLY: &str = "application/apply-patch+yaml";

/// Media type of a merge patch (RFC 7386).
const MERGE: &str = "application/merge-patch+json";

/// Creates an object. Unknown fields are refused, as kubectl does.
pub(super) async fn create(
    client: &Client,
    resource: &Resource,
    namespace: Option<&str>,
    object: &Value,
    dry_run: bool,
) -> Result<Value, ApiError> {
    let mut query = vec![("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict")];
    query.extend(dry_run.then_some(("dryRun", "All")));
    let path = with_query(resource.path(namespace, None), &query);
    reply(&client.send(Method::POST, &path, JSON, Some(JSON), object.to_string().into()).await?)
}

/// Server-side apply. Fields that another manager owns with another value are a conflict, unless `force`.
pub(super) async fn apply(
    client: &Client,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
    object: &Value,
    force: bool,
) -> Result<Value, ApiError> {
    let mut query = vec![("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict")];
    query.extend(force.then_some(("force", "true")));
    let path = with_query(resource.path(namespace, Some(name)), &query);
    patch(client, &path, APPLY, object).await
}

/// What server-side apply by `manager` would make of an object. Nothing is kept.
pub(super) async fn try_apply(
    client: &Client,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
    object: &Value,
    manager: &str,
) -> Result<Value, ApiError> {
    let query =
        [("fieldManager", manager), ("fieldValidation", "Strict"), ("force", "true"), ("dryRun", "All")];
    let path = with_query(resource.path(namespace, Some(name)), &query);
    patch(client, &path, APPLY, object).await
}

/// What a merge would make of an object. Nothing is kept.
pub(super) async fn try_merge(
    client: &Client,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
    change: &Value,
) -> Result<Value, ApiError> {
    let query = [("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict"), ("dryRun", "All")];
    let path = with_query(resource.path(namespace, Some(name)), &query);
    patch(client, &path, MERGE, change).await
}

/// A token of a service account for `audience`, good for ten minutes.
pub(super) async fn token(
    client: &Client,
    namespace: &str,
    account: &str,
    audience: &str,
) -> Result<String, ApiError> {
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": 600},
    });
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let answer = client.send(Method::POST, &path, JSON, Some(JSON), request.to_string().into()).await?;
    Ok(reply(&answer)?["status"]["token"].as_str().unwrap_or_default().to_owned())
}

/// Merges a change into an object.
pub(super) async fn merge(
    client: &Client,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
    change: &Value,
) -> Result<Value, ApiError> {
    let path = with_query(resource.path(namespace, Some(name)), &[("fieldManager", FIELD_MANAGER)]);
    patch(client, &path, MERGE, change).await
}

/// How what an object owns goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Propagation {
    /// After it.
    Background,
    /// Before it.
    Foreground,
}

/// Deletes exactly the object with that UID.
pub(super) async fn delete(
    client: &Client,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
    uid: &str,
    propagation: Propagation,
) -> Result<(), ApiError> {
    let policy = match propagation {
        Propagation::Background => "Background",
        Propagation::Foreground => "Foreground",
    };
    let options = json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid},
        "propagationPolicy": policy,
    });
    let path = resource.path(namespace, Some(name));
    client.send(Method::DELETE, &path, JSON, Some(JSON), options.to_string().into()).await.map(drop)
}

/// Asks whether the user may do something. A POST by form, but nothing is kept.
pub(super) async fn may(
    client: &Client,
    verb: &str,
    resource: &Resource,
    namespace: Option<&str>,
) -> Result<bool, ApiError> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {
            "verb": verb,
            "group": resource.group,
            "resource": resource.plural,
            "namespace": namespace.unwrap_or_default(),
        }},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = reply(&client.send(Method::POST, path, JSON, Some(JSON), review.to_string().into()).await?)?;
    Ok(answer["status"]["allowed"] == true)
}

async fn patch(
    client: &Client,
    path: &str,
    content: &'static str,
    change: &Value,
) -> Result<Value, ApiError> {
    reply(&client.send(Method::PATCH, path, JSON, Some(content), change.to_string().into()).await?)
}

fn reply(body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(ApiError::Malformed)
}
