//! Desired against live: is every field that we declare as we declare it? Pure.
//!
//! The API server fills in defaults, so a live object always says more than we declared. We therefore compare
//! desired ⊆ live, and lists as wholes, since a list that we declare is ours alone. What a spec no longer
//! declares cannot be seen that way; the annotation [`APPLIED_HASH`] tells that the declaration itself changed.
//! On a change [`replacement`] keeps what others put into the metadata and replaces the rest.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::api::labels::FORMER_TENANTS;

/// Annotation with the hash of the declaration that was last written.
pub const APPLIED_HASH: &str = "tenantry.dev/applied-hash";

/// Prefixes of the labels and annotations that are ours to remove.
const OUR_PREFIXES: [&str; 2] = ["tenantry.dev/", "app.kubernetes.io/"];

/// What of those names is a record that outlives the declaration which wrote it.
const KEPT: [&str; 1] = [FORMER_TENANTS];

/// Hash of a declaration, the same for the same content in whatever order its keys were written.
pub fn declaration_hash(desired: &Value) -> String {
    // serde_json's Map is a BTreeMap here, so its text is canonical.
    let digest = Sha256::digest(desired.to_string().as_bytes());
    data_encoding::HEXLOWER.encode(&digest[..8])
}

/// Whether `live` carries everything that `desired` declares.
pub fn contains(live: &Value, desired: &Value) -> bool {
    within(None, live, desired)
}

fn within(field: Option<&str>, live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            desired.iter().all(|(key, want)| match live.get(key) {
                Some(have) => within(Some(key), have, want),
                None => is_empty(want),
            })
        }
        (Value::Array(live), Value::Array(desired)) => {
            live.len() == desired.len()
                && live.iter().zip(desired).all(|(have, want)| within(field, have, want))
        }
        (Value::String(live), Value::String(desired)) => {
            live == desired || field.is_some_and(is_quantity_field) && same_quantity(live, desired)
        }
        _ => live == desired,
    }
}

/// A field of a live object that is not as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference<'a> {
    /// Path of the field: `spec.template.spec.containers[0].image`.
    pub path: String,
    /// What it is; absent if there is none.
    pub live: Option<&'a Value>,
    /// What it has to be; absent if it has to go.
    pub desired: Option<&'a Value>,
}

/// Which fields keep [`contains`] from being true, each as deep as it can be named.
pub fn differences<'a>(live: &'a Value, desired: &'a Value) -> Vec<Difference<'a>> {
    let mut found = Vec::new();
    differ(&Place { path: "", field: None, exact: false }, live, desired, &mut found);
    found
}

/// Which fields differ at all: unlike with [`differences`], what only the first has is one, too.
pub fn changes<'a>(before: &'a Value, after: &'a Value) -> Vec<Difference<'a>> {
    let mut found = Vec::new();
    differ(&Place { path: "", field: None, exact: true }, before, after, &mut found);
    found
}

struct Place<'p> {
    path: &'p str,
    field: Option<&'p str>,
    exact: bool,
}

fn differ<'a>(at: &Place<'_>, live: &'a Value, desired: &'a Value, found: &mut Vec<Difference<'a>>) {
    match (live, desired) {
        (Value::Object(have), Value::Object(want)) => {
            let gone = have.iter().filter(|(key, _)| at.exact && !want.contains_key(*key));
            found.extend(gone.map(|(key, value)| Difference {
                path: step(at.path, key),
                live: Some(value),
                desired: None,
            }));
            for (key, want) in want {
                let path = step(at.path, key);
                match have.get(key) {
                    Some(have) => {
                        differ(&Place { path: &path, field: Some(key), exact: at.exact }, have, want, found);
                    }
                    None if is_empty(want) => {}
                    None => found.push(Difference { path, live: None, desired: Some(want) }),
                }
            }
        }
        (Value::Array(have), Value::Array(want)) if have.len() == want.len() => {
            for (index, (have, want)) in have.iter().zip(want).enumerate() {
                let path = format!("{}[{index}]", at.path);
                differ(&Place { path: &path, field: at.field, exact: at.exact }, have, want, found);
            }
        }
        _ if within(at.field, live, desired) => {}
        _ => found.push(Difference { path: at.path.to_owned(), live: Some(live), desired: Some(desired) }),
    }
}

/// A key with dots or slashes is quoted, as kubectl's JSONPath has it.
fn step(path: &str, key: &str) -> String {
    match (path.is_empty(), key.contains(['.', '/'])) {
        (true, false) => key.to_owned(),
        (false, false) => format!("{path}.{key}"),
        (_, true) => format!("{path}[{key:?}]"),
    }
}

/// The API server leaves out what is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Fields whose value the API server rewrites in canonical form (`1000m` becomes `1`).
fn is_quantity_field(field: &str) -> bool {
    matches!(field.rsplit('.').next(), Some("cpu" | "memory" | "storage" | "pods" | "ephemeral-storage"))
}

fn same_quantity(a: &str, b: &str) -> bool {
    matches!((thousandths(a), thousandths(b)), (Some(a), Some(b)) if a == b)
}

/// A quantity in thousandths of its unit; `None` if it is none or has more digits than that.
pub fn thousandths(text: &str) -> Option<i128> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let scale: i128 = match suffix {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "P" => 1_000_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        "Pi" => 1_000 << 50,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || whole.len() > 18 {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let scaled = digits.checked_mul(scale)?;
    (scaled % divisor == 0).then_some(scaled / divisor)
}

/// What to write over `live`: our declaration, with other people's labels, annotations, finalizers and the
/// live object's identity kept. Status is not ours to write here.
pub fn replacement(live: &Value, desired: &Value) -> Value {
    let mut next = live.as_object().cloned().unwrap_or_default();
    next.remove("status");
    for (key, value) in desired.as_object().into_iter().flatten() {
        if key == "metadata" {
            let metadata = next.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
            merge_metadata(metadata, value);
        } else {
            next.insert(key.clone(), value.clone());
        }
    }
    Value::Object(next)
}

fn merge_metadata(live: &mut Value, desired: &Value) {
    let Some(live) = live.as_object_mut() else { return };
    live.remove("managedFields");
    for (key, value) in desired.as_object().into_iter().flatten() {
        match (key.as_str(), live.get_mut(key).and_then(Value::as_object_mut), value.as_object()) {
            ("labels" | "annotations", Some(have), Some(want)) => {
                have.retain(|name, _| {
                    let ours = OUR_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
                    want.contains_key(name) || !ours || KEPT.contains(&name.as_str())
                });
                have.extend(want.clone());
            }
            _ => {
                live.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The JSON merge patch (RFC 7396) that turns `from` into `to`; `None` if they are equal.
pub fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => {
            let mut patch = Map::new();
            for key in from.keys().filter(|key| !to.contains_key(*key)) {
                patch.insert(key.clone(), Value::Null);
            }
            for (key, want) in to {
                let change = match from.get(key) {
                    Some(have) => merge_patch(have, want),
                    None => Some(want.clone()),
                };
                if let Some(change) = change {
                    patch.insert(key.clone(), change);
                }
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ => (from != to).then(|| to.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_of_the_server_are_no_drift() {
        let desired = json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}});
        let live = json!({"metadata": {"uid": "u"}, "spec": {"replicas": 1, "progressDeadlineSeconds": 600,
            "template": {"spec": {"dnsPolicy": "ClusterFirst", "containers": [{"name": "a", "image": "b", "imagePullPolicy": "Always"}]}}}});
        assert!(contains(&live, &desired));
    }

    #[test]
    fn a_changed_removed_or_added_element_is_drift() {
        let desired = json!({"spec": {"ports": [{"port": 80}]}, "metadata": {"labels": {"a": "1"}}});
        assert!(!contains(
            &json!({"spec": {"ports": [{"port": 81}]}, "metadata": {"labels": {"a": "1"}}}),
            &desired
        ));
        assert!(!contains(&json!({"spec": {"ports": []}, "metadata": {"labels": {"a": "1"}}}), &desired));
        assert!(!contains(
            &json!({"spec": {"ports": [{"port": 80}, {"port": 81}]}, "metadata": {"labels": {"a": "1"}}}),
            &desired
        ));
        assert!(!contains(&json!({"spec": {"ports": [{"port": 80}]}, "metadata": {}}), &desired));
    }

    #[test]
    fn empty_values_may_be_left_out() {
        assert!(contains(&json!({"spec": {}}), &json!({"spec": {"ingress": [], "podSelector": {}}})));
        assert!(!contains(&json!({"spec": {}}), &json!({"spec": {"automount": false}})));
    }

    #[test]
    fn quantities_compare_by_value_and_only_where_they_are_quantities() {
        let quota = |cpu: &str| json!({"spec": {"hard": {"limits.cpu": cpu}}});
        assert!(contains(&quota("1"), &quota("1000m")));
        assert!(contains(&quota("1536Mi"), &quota("1.5Gi")));
        assert!(!contains(&quota("2"), &quota("1000m")));
        let env = |value: &str| json!({"env": [{"name": "X", "value": value}]});
        assert!(!contains(&env("1"), &env("1000m")));
    }

    #[test]
    fn a_replacement_keeps_what_others_put_into_the_metadata() {
        let live = json!({"metadata": {"uid": "u", "resourceVersion": "7", "managedFields": [], "finalizers": ["x/y"],
            "labels": {"team": "red", "tenantry.dev/old": "1", "app.kubernetes.io/name": "drifted"}},
            "spec": {"a": 1, "gone": true}, "status": {"s": 1}});
        let desired = json!({"metadata": {"labels": {"app.kubernetes.io/name": "n"}}, "spec": {"a": 2}});
        assert_eq!(
            replacement(&live, &desired),
            json!({"metadata": {"uid": "u", "resourceVersion": "7", "finalizers": ["x/y"],
                "labels": {"team": "red", "app.kubernetes.io/name": "n"}}, "spec": {"a": 2}})
        );
    }

    #[test]
    fn a_record_outlives_a_declaration_that_knows_nothing_of_it() {
        let live = json!({"metadata": {"annotations": {"tenantry.dev/former-tenants": "old", "tenantry.dev/other": "1"}}});
        let desired = json!({"metadata": {"annotations": {"tenantry.dev/owner-uid": "new"}}});
        let annotations = json!({"tenantry.dev/former-tenants": "old", "tenantry.dev/owner-uid": "new"});
        assert_eq!(replacement(&live, &desired), json!({"metadata": {"annotations": annotations}}));
    }

    #[test]
    fn a_merge_patch_says_only_what_differs() {
        let from = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1]});
        assert_eq!(merge_patch(&from, &from), None);
        let to = json!({"a": 1, "b": {"c": 3}, "e": [1, 2]});
        assert_eq!(merge_patch(&from, &to), Some(json!({"b": {"c": 3, "d": null}, "e": [1, 2]})));
    }

    #[test]
    fn the_hash_does_not_depend_on_the_order_of_keys() {
        let a: Value = serde_json::from_str(r#"{"a":1,"b":{"c":2,"d":3}}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"b":{"d":3,"c":2},"a":1}"#).unwrap();
        assert_eq!(declaration_hash(&a), declaration_hash(&b));
        assert_ne!(declaration_hash(&a), declaration_hash(&json!({"a": 1})));
    }

    #[test]
    fn differences_are_named_as_deep_as_they_go_and_only_where_something_is_declared() {
        let live = json!({
            "metadata": {"labels": {"a.b/c": "x", "theirs": "1"}, "uid": "u"},
            "spec": {"replicas": 1, "cpu": "1", "list": [{"name": "a", "port": 1}], "short": [1]},
        });
        let desired = json!({
            "metadata": {"labels": {"a.b/c": "y"}},
            "spec": {"replicas": 2, "cpu": "1000m", "list": [{"name": "a", "port": 2}], "short": [1, 2], "new": {"x": 1}},
        });
        let named = |found: Vec<Difference<'_>>| -> Vec<String> {
            let text = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), ToString::to_string);
            found.iter().map(|it| format!("{} {} {}", it.path, text(it.live), text(it.desired))).collect()
        };
        assert_eq!(
            named(differences(&live, &desired)),
            [
                "metadata.labels[\"a.b/c\"] \"x\" \"y\"",
                "spec.list[0].port 1 2",
                "spec.new - {\"x\":1}",
                "spec.replicas 1 2",
                "spec.short [1] [1,2]",
            ]
        );
        let (before, after) = (json!({"a": 1, "b": {"c": 2}}), json!({"b": {}}));
        assert_eq!(named(changes(&before, &after)), ["a 1 -", "b.c 2 -"]);
    }
}
