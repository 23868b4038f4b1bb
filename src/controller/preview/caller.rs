//! Who asks: proven by Kubernetes, not by the network.
//!
//! The API server's service proxy tells its backend nothing about the caller, and any pod may reach the port. So a
//! caller brings a short-lived token of one service account, made for previews and for nothing else. Whoever may ask
//! the API server for it may ask for previews: that is a rule of RBAC like any other.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};

use crate::api::preview::{ACCOUNT, AUDIENCE};

/// Longest token that is looked at.
const LONGEST: usize = 8 << 10;

/// Whether that is a token for previews of the operator in `namespace`. A review is a POST by form and keeps nothing.
pub async fn may_ask(client: &Client, namespace: &str, token: &str) -> Result<bool, kube::Error> {
    if token.is_empty() || token.len() > LONGEST {
        return Ok(false);
    }
    let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(vec![AUDIENCE.to_owned()]) };
    let review = TokenReview { spec, ..TokenReview::default() };
    let answer = Api::<TokenReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    let Some(status) = answer.status else { return Ok(false) };
    let user = status.user.and_then(|user| user.username);
    let audiences = status.audiences.unwrap_or_default();
    Ok(status.authenticated == Some(true)
        && user.as_deref() == Some(&*format!("system:serviceaccount:{namespace}:{ACCOUNT}"))
        && audiences.iter().any(|audience| audience == AUDIENCE))
}
