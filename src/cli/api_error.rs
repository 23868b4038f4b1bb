//! What a request to the API server can end in, and how kubectl would say it.

use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::time::Duration;

use kube::core::Status;

use super::failure::{Exit, Failure};
use super::kinds;
use crate::api;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum ApiError {
    /// The API server refused it and said why.
    Status(Box<Status>),
    /// The API server does not serve that path: the kind is not installed.
    NotServed {
        /// Path of the request.
        path: String,
    },
    /// No reply came within `--request-timeout`.
    Slow(Duration),
    /// The API server could not be reached, or the exchange broke off.
    Unreachable {
        /// Host and port.
        server: String,
        /// What happened.
        cause: kube::Error,
    },
    /// The reply is not what the API promises.
    Malformed(serde_json::Error),
}

impl ApiError {
    /// The error of a reply that is no success.
    pub(super) fn of_reply(code: u16, path: &str, body: &[u8]) -> Self {
        let status: Option<Status> = serde_json::from_slice(body).ok();
        match status {
            // The server's word for a path that nothing serves, as plain text or as a Status without details.
            None if code == 404 => Self::NotServed { path: path.to_owned() },
            Some(status)
                if code == 404 && status.details.as_ref().is_none_or(|details| details.name.is_empty()) =>
            {
                Self::NotServed { path: path.to_owned() }
            }
            Some(status) => Self::Status(Box::new(status)),
            None => {
                let message = String::from_utf8_lossy(body).trim().to_owned();
                Self::Status(Box::new(Status::failure(&message, "").with_code(code)))
            }
        }
    }

    /// Whether the object does not exist.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Status(status) if status.code == 404)
    }

    /// Whether the caller lacks a right.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Status(status) if status.code == 403)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Status(status) => refused(&status),
            ApiError::NotServed { path } => not_served(&path),
            ApiError::Slow(limit) => Self::new(format_args!("no reply within {}s", limit.as_secs_f64()))
                .exit(Exit::TimedOut)
                .hint("raise --request-timeout"),
            ApiError::Unreachable { server, cause } => unreachable(&server, &cause),
            ApiError::Malformed(cause) => Self::from_error("failed to read the API server's reply", &cause),
        }
    }
}

fn refused(status: &Status) -> Failure {
    if status.code == 401 || status.reason == "Unauthorized" {
        return line(format!("error: You must be logged in to the server ({})", status.message))
            .exit(Exit::NotAuthenticated)
            .hint("check the user of the kubeconfig's context: kubectl config view --minify");
    }
    if status.reason == "Invalid" {
        return invalid(status);
    }
    let text = if status.reason.is_empty() {
        format!("Error from server: {}", status.message)
    } else {
        format!("Error from server ({}): {}", status.reason, status.message)
    };
    let failure = line(text);
    match missing_right(&status.message) {
        Some(hint) if status.code == 403 => failure.hint(hint),
        _ => failure,
    }
}

/// The server names each field that it refuses; kubectl prints them in these shapes.
fn invalid(status: &Status) -> Failure {
    let Some(details) = &status.details else {
        return line(format!("The request is invalid: {}", status.message));
    };
    let subject = if details.kind.is_empty() && details.name.is_empty() {
        "The request is invalid".to_owned()
    } else {
        format!("The {} {:?} is invalid", details.kind, details.name)
    };
    let mut seen = BTreeSet::new();
    let causes: Vec<String> = details
        .causes
        .iter()
        .map(|cause| match &*cause.field {
            // A rule about the whole object: its message names the field itself.
            "" | "<nil>" => cause.message.trim_start_matches("Invalid value: \"object\": ").to_owned(),
            field => format!("{field}: {}", cause.message),
        })
        .filter(|text| seen.insert(text.clone()))
        .collect();
    match &causes[..] {
        [] => line(format!("{subject}: {}", status.message)),
        [cause] => line(format!("{subject}: {cause}")),
        causes => Failure {
            exit: Exit::Failure,
            lines: std::iter::once(format!("{subject}: "))
                .chain(causes.iter().map(|cause| format!("* {cause}")))
                .collect(),
            hint: None,
        },
    }
}

/// The right that a refusal names: `cannot VERB resource "R" in API group "G" …`.
fn missing_right(message: &str) -> Option<String> {
    let after = |text: &str, mark: &str| text.split_once(mark).map(|(_, rest)| rest.to_owned());
    let quoted = |text: String| text.split('"').next().map(str::to_owned);
    let verb = after(message, " cannot ")?.split(' ').next()?.to_owned();
    let resource = quoted(after(message, " resource \"")?)?;
    let group = quoted(after(message, " in API group \"")?)?;
    let place = match after(message, " in the namespace \"").and_then(quoted) {
        Some(namespace) => format!("a Role in the namespace {namespace}"),
        None => "a ClusterRole".to_owned(),
    };
    Some(format!(
        "{place} must allow: apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [\"{verb}\"]"
    ))
}

fn not_served(path: &str) -> Failure {
    let ours = path.strip_prefix("/apis/").and_then(|path| path.strip_prefix(api::GROUP));
    let plural = ours.and_then(|rest| {
        rest.split(['/', '?']).find(|part| kinds::KINDS.iter().any(|kind| kind.resource.plural == *part))
    });
    match plural {
        Some(plural) => line(format!("error: the server doesn't have a resource type \"{plural}\""))
            .hint("the CRDs are not installed: run tenantry install"),
        None => Failure::new(format_args!("the server does not serve {path}")),
    }
}

fn unreachable(server: &str, cause: &kube::Error) -> Failure {
    let mut next: Option<&(dyn Error + 'static)> = Some(cause);
    let mut deepest = String::new();
    while let Some(error) = next {
        let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if error.downcast_ref::<io::Error>().is_some_and(refused) {
            return line(format!(
                "The connection to the server {server} was refused - did you specify the right host or port?"
            ));
        }
        deepest = error.to_string();
        next = error.source();
    }
    if let kube::Error::Auth(_) = cause {
        return Failure::from_error("failed to get credentials", cause).exit(Exit::NotAuthenticated);
    }
    line(format!("Unable to connect to the server: {deepest}"))
}

fn line(text: String) -> Failure {
    Failure { exit: Exit::Failure, lines: vec![text], hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn failure(code: u16, body: &str) -> Failure {
        ApiError::of_reply(code, "/apis/tenantry.dev/v1alpha1/tenants", body.as_bytes()).into()
    }

    #[test]
    fn a_missing_crd_says_how_to_install_it() {
        let missing = failure(404, "404 page not found\n");
        assert_eq!(missing.lines, ["error: the server doesn't have a resource type \"tenants\""]);
        assert_eq!(missing.hint.as_deref(), Some("the CRDs are not installed: run tenantry install"));
    }

    #[test]
    fn a_forbidden_verb_names_the_rule_that_is_missing() {
        let message = "tenants.tenantry.dev is forbidden: User \"bob\" cannot list resource \"tenants\" in API group \"tenantry.dev\" at the cluster scope";
        let body = json!({"kind": "Status", "status": "Failure", "message": message, "reason": "Forbidden", "code": 403});
        let forbidden = failure(403, &body.to_string());
        assert_eq!(forbidden.lines, [format!("Error from server (Forbidden): {message}")]);
        assert_eq!(
            forbidden.hint.as_deref(),
            Some(
                "a ClusterRole must allow: apiGroups: [\"tenantry.dev\"], resources: [\"tenants\"], verbs: [\"list\"]"
            )
        );
    }

    #[test]
    fn refused_fields_are_listed_once_each() {
        let cause = |field: &str, message: &str| json!({"reason": "FieldValueInvalid", "field": field, "message": message});
        let body = |causes: serde_json::Value| {
            json!({"kind": "Status", "status": "Failure", "message": "m", "reason": "Invalid", "code": 422,
                "details": {"name": "x", "kind": "Tenant", "causes": causes}})
            .to_string()
        };
        assert_eq!(
            failure(422, &body(json!([cause("spec.a", "Required value")]))).lines,
            ["The Tenant \"x\" is invalid: spec.a: Required value"]
        );
        let whole = json!([cause("<nil>", "Invalid value: \"object\": metadata.name is reserved")]);
        assert_eq!(
            failure(422, &body(whole)).lines,
            ["The Tenant \"x\" is invalid: metadata.name is reserved"]
        );
        let two = json!([cause("spec.a", "one"), cause("spec.a", "one"), cause("spec.b", "two")]);
        assert_eq!(
            failure(422, &body(two)).lines,
            ["The Tenant \"x\" is invalid: ", "* spec.a: one", "* spec.b: two"]
        );
    }

    #[test]
    fn who_is_not_logged_in_gets_an_exit_code_of_their_own() {
        let body = json!({"kind": "Status", "status": "Failure", "message": "Unauthorized", "reason": "Unauthorized", "code": 401});
        let failure = failure(401, &body.to_string());
        assert_eq!(failure.exit, Exit::NotAuthenticated);
        assert_eq!(failure.lines, ["error: You must be logged in to the server (Unauthorized)"]);
    }
}
