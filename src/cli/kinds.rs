//! The kinds, known statically: their names, and where the API server serves them. No discovery call is needed.

use std::fmt::Write as _;

use serde_json::Value;

use crate::api;

/// A kind and where it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version in the group.
    pub version: &'static str,
    /// CamelCase kind.
    pub kind: &'static str,
    /// Plural name, as in paths.
    pub plural: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// One of our kinds, with the words that users have for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The kind.
    pub resource: Resource,
    /// Singular name.
    pub singular: &'static str,
    /// Short name.
    pub short: Option<&'static str>,
}

const fn ours(kind: &'static str, plural: &'static str, namespaced: bool) -> Resource {
    Resource { group: api::GROUP, version: api::VERSION, kind, plural, namespaced }
}

/// Every kind of ours, by plural name.
pub(super) const KINDS: [Kind; 7] = [
    Kind { resource: ours("Blueprint", "blueprints", false), singular: "blueprint", short: Some("bp") },
    Kind {
        resource: ours("DatabaseServer", "databaseservers", false),
        singular: "databaseserver",
        short: Some("dbs"),
    },
    Kind {
        resource: ours("Microservice", "microservices", true),
        singular: "microservice",
        short: Some("msvc"),
    },
    Kind { resource: ours("Plan", "plans", false), singular: "plan", short: None },
    Kind { resource: SERVER_DATABASE, singular: "serverdatabase", short: Some("sdb") },
    Kind {
        resource: ours("TenantDatabase", "tenantdatabases", true),
        singular: "tenantdatabase",
        short: Some("tdb"),
    },
    Kind { resource: TENANT, singular: "tenant", short: Some("tn") },
];

/// Tenants.
pub(super) const TENANT: Resource = ours("Tenant", "tenants", false);
/// Plans.
pub(super) const PLAN: Resource = ours("Plan", "plans", false);
/// Blueprints.
pub(super) const BLUEPRINT: Resource = ours("Blueprint", "blueprints", false);
/// Database servers.
pub(super) const DATABASE_SERVER: Resource = ours("DatabaseServer", "databaseservers", false);
/// Databases on servers.
pub(super) const SERVER_DATABASE: Resource = ours("ServerDatabase", "serverdatabases", false);
/// Claims.
pub(super) const TENANT_DATABASE: Resource = ours("TenantDatabase", "tenantdatabases", true);
/// Services.
pub(super) const MICROSERVICE: Resource = ours("Microservice", "microservices", true);

const fn served(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
) -> Resource {
    Resource { group, version, kind, plural, namespaced }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

/// CRDs.
pub(super) const CRD: Resource =
    served("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false);
/// Deployments.
pub(super) const DEPLOYMENT: Resource = served("apps", "v1", "Deployment", "deployments", true);
/// Leases.
pub(super) const LEASE: Resource = served("coordination.k8s.io", "v1", "Lease", "leases", true);
/// Events.
pub(super) const EVENT: Resource = served("", "v1", "Event", "events", true);

/// What an installation consists of.
const INSTALLED: [Resource; 11] = [
    CRD,
    served("", "v1", "Namespace", "namespaces", false),
    served("", "v1", "Service", "services", true),
    served("", "v1", "ServiceAccount", "serviceaccounts", true),
    served(RBAC, "v1", "ClusterRole", "clusterroles", false),
    served(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", false),
    served(RBAC, "v1", "Role", "roles", true),
    served(RBAC, "v1", "RoleBinding", "rolebindings", true),
    served(ADMISSION, "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", false),
    served(ADMISSION, "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", false),
    DEPLOYMENT,
];

impl Resource {
    /// Path of the collection, or of one object. `namespace` counts only for namespaced kinds; without it the
    /// collection is that of all namespaces.
    pub(super) fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path.push_str("/namespaces/");
            path.push_str(&escape(namespace));
        }
        path.push('/');
        path.push_str(self.plural);
        if let Some(name) = name {
            path.push('/');
            path.push_str(&escape(name));
        }
        path
    }

    /// `tenants.tenantry.dev`, as the API server names the resource in errors.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `tenant.tenantry.dev/acme`, as kubectl prints an object's name.
    pub(super) fn object(&self, name: &str) -> String {
        let singular = self.kind.to_ascii_lowercase();
        if self.group.is_empty() {
            format!("{singular}/{name}")
        } else {
            format!("{singular}.{}/{name}", self.group)
        }
    }

    /// `group/version`, as objects carry it.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The resource of an object that an installation consists of.
    pub(super) fn of_object(object: &Value) -> Option<&'static Self> {
        INSTALLED.iter().find(|resource| {
            object["kind"] == resource.kind && object["apiVersion"].as_str() == Some(&*resource.api_version())
        })
    }
}

/// The kind of ours that a user's word names: plural, singular, short, CamelCase, with or without the group.
pub(super) fn find(word: &str) -> Option<&'static Kind> {
    let lower = word.to_ascii_lowercase();
    let bare = match lower.split_once('.') {
        None => &*lower,
        Some((bare, group)) if group == api::GROUP || group == format!("{}.{}", api::VERSION, api::GROUP) => {
            bare
        }
        Some(_) => return None,
    };
    KINDS
        .iter()
        .find(|kind| kind.resource.plural == bare || kind.singular == bare || kind.short == Some(bare))
}

/// Percent-encodes what may not stand in a path segment or a query value.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The candidate that was probably meant: the nearest one within a third of its length.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len() / 3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance by insertion, deletion and substitution.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_the_crds_say() {
        let mut from_crds: Vec<_> = api::crds()
            .into_iter()
            .map(|crd| {
                let names = crd.spec.names;
                let short = names.short_names.unwrap_or_default();
                (names.kind, names.plural, names.singular.unwrap(), short, crd.spec.scope == "Namespaced")
            })
            .collect();
        from_crds.sort_by(|a, b| a.1.cmp(&b.1));
        let table: Vec<_> = KINDS
            .iter()
            .map(|kind| {
                let Kind { resource, singular, short } = kind;
                let short: Vec<String> = short.iter().map(ToString::to_string).collect();
                let namespaced = resource.namespaced;
                (
                    resource.kind.to_owned(),
                    resource.plural.to_owned(),
                    (*singular).to_owned(),
                    short,
                    namespaced,
                )
            })
            .collect();
        assert_eq!(table, from_crds);
    }

    #[test]
    fn every_word_for_a_kind_finds_it() {
        for word in ["tenants", "tenant", "tn", "Tenant", "tenants.tenantry.dev", "tn.v1alpha1.tenantry.dev"]
        {
            assert_eq!(find(word).map(|kind| kind.resource), Some(TENANT), "{word}");
        }
        for word in ["tenantz", "tenants.example.org", "pods", ""] {
            assert_eq!(find(word), None, "{word}");
        }
    }

    #[test]
    fn hostile_names_stay_in_their_path_segment() {
        assert_eq!(
            TENANT_DATABASE.path(Some("a/b"), Some("../x?y#z")),
            "/apis/tenantry.dev/v1alpha1/namespaces/a%2Fb/tenantdatabases/..%2Fx%3Fy%23z"
        );
        assert_eq!(TENANT.path(Some("ignored"), None), "/apis/tenantry.dev/v1alpha1/tenants");
        assert_eq!(EVENT.path(None, None), "/api/v1/events");
    }

    #[test]
    fn what_was_probably_meant_is_near() {
        assert_eq!(nearest("acne", ["globex", "acme"]), Some("acme"));
        assert_eq!(nearest("tenent", KINDS.iter().map(|kind| kind.singular)), Some("tenant"));
        assert_eq!(nearest("zzz", ["globex", "acme"]), None);
    }
}
