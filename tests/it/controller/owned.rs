//! Which fields of a live object are the operator's, by the API server's own account (`managedFields`), and how
//! somebody could change each of them. Pure.

use serde_json::{Map, Value, json};
use tenantry::api::FIELD_MANAGER;

/// Everything that the operator owns in `object`, as JSON pointers: fields, list items, and values of sets.
pub fn pointers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let ours = entries
        .iter()
        .filter(|entry| entry["manager"] == FIELD_MANAGER && entry.get("subresource").is_none());
    let mut found = vec![];
    for entry in ours {
        walk(object, entry["fieldsV1"].as_object().unwrap(), "", &mut found);
    }
    found.sort();
    found.dedup();
    found
}

fn walk(live: &Value, fields: &Map<String, Value>, at: &str, found: &mut Vec<String>) {
    let inner = fields.iter().filter(|(name, _)| *name != ".");
    for (name, below) in inner {
        // What is gone since, or what a later writer took over, is not there to be changed.
        let Some((step, value)) = step(live, name) else { continue };
        let at = format!("{at}/{step}");
        let below = below.as_object().unwrap();
        if below.keys().all(|name| name == ".") {
            found.push(at);
        } else {
            walk(value, below, &at, found);
        }
    }
}

/// `f:NAME` is a field, `k:{…}` an item of a list by its keys, `v:…` a value of a set.
fn step<'a>(live: &'a Value, name: &str) -> Option<(String, &'a Value)> {
    let (kind, rest) = name.split_once(':').unwrap();
    let items = || live.as_array().into_iter().flatten().enumerate();
    match kind {
        "f" => Some((rest.replace('~', "~0").replace('/', "~1"), live.get(rest)?)),
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).unwrap();
            let (index, item) =
                items().find(|(_, item)| keys.iter().all(|(key, want)| item[key] == *want))?;
            Some((index.to_string(), item))
        }
        "v" => {
            let wanted: Value = serde_json::from_str(rest).unwrap();
            let (index, item) = items().find(|(_, item)| **item == wanted)?;
            Some((index.to_string(), item))
        }
        _ => panic!("managedFields has {name}"),
    }
}

/// JSON patches (RFC 6902) that change what is at `pointer`, the likeliest to be accepted first.
pub fn changes(object: &Value, pointer: &str) -> Vec<Value> {
    let replace = |value: Value| json!([{"op": "replace", "path": pointer, "value": value}]);
    let mut changes = match object.pointer(pointer).unwrap() {
        // Another finalizer in its place would be somebody else's, and stay.
        _ if pointer.starts_with("/metadata/finalizers/") => vec![],
        Value::String(text) => {
            // One of these fits almost every field, whatever values it takes.
            let longer = format!("{text}x");
            let others =
                [longer.as_str(), "7", "UDP", "NodePort", "DoNotSchedule", "Unconfined", "Always", "Delete"];
            others.map(|other| replace(json!(other))).into()
        }
        Value::Array(items) if items.len() > 1 => vec![replace(json!(items[1..]))],
        Value::Number(number) => vec![replace(json!(number.as_i64().unwrap() + 1))],
        Value::Bool(yes) => vec![replace(json!(!yes))],
        _ => vec![],
    };
    changes.push(json!([{"op": "remove", "path": pointer}]));
    changes
}

/// What of an object the operator can be asked to keep: no status, no versions, no times.
pub fn essence(object: &Value) -> Value {
    let mut essence = object.clone();
    // Items of a list do not repeat their type.
    for field in ["apiVersion", "kind", "status"] {
        essence.as_object_mut().unwrap().remove(field);
    }
    let metadata = essence["metadata"].as_object_mut().unwrap();
    for volatile in ["resourceVersion", "generation", "managedFields"] {
        metadata.remove(volatile);
    }
    essence
}

#[test]
fn owned_fields_are_found_and_changed() {
    let object = json!({
        "metadata": {"labels": {"a/b": "1"}, "managedFields": [
            {"manager": "tenantry", "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:a/b": {}}},
                "f:spec": {"f:ports": {"k:{\"port\":80}": {".": {}, "f:name": {}, "f:port": {}}}, "f:gone": {}},
            }},
            {"manager": "tenantry", "subresource": "status", "fieldsV1": {"f:status": {"f:x": {}}}},
            {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:foreign": {}}}},
        ]},
        "spec": {"ports": [{"port": 70}, {"port": 80, "name": "http"}], "foreign": 1},
        "status": {"x": 1},
    });
    let expected = ["/metadata/labels/a~1b", "/spec/ports/1/name", "/spec/ports/1/port"];
    assert_eq!(pointers(&object), expected);
    let changed = json!([{"op": "replace", "path": "/spec/ports/1/port", "value": 81}]);
    let removed = json!([{"op": "remove", "path": "/spec/ports/1/port"}]);
    assert_eq!(changes(&object, "/spec/ports/1/port"), [changed, removed]);
}
