//! What no two runs have in common, and what stands for it. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};
use tenantry::api::names::TenantId;

use super::objects::title;
use crate::support::Prefix;

/// Metadata that counts or dates writes.
const VOLATILE: [&str; 5] =
    ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "managedFields"];
/// Fields that the API server draws, and times, wherever they are.
const DRAWN: [&str; 8] = [
    "clusterIP",
    "clusterIPs",
    "nodePort",
    "lastTransitionTime",
    "lastUpdateTime",
    "droppableWhen",
    "currentRevision",
    "updateRevision",
];

/// Replacements, the longer of two that start alike first.
pub struct Mask {
    replacements: Vec<(String, String)>,
    ids: Vec<String>,
}

impl Mask {
    /// The mask of a test with that prefix and those objects.
    pub fn new(prefix: &Prefix, objects: &[Value]) -> Self {
        let mut mask = Self { replacements: vec![], ids: vec![] };
        for object in objects {
            let uid = object["metadata"]["uid"].as_str().unwrap();
            if object["kind"] == "Tenant" {
                let id = TenantId::of_uid(uid).to_string();
                mask.replace(&id, &format!("ID({})", object["metadata"]["name"].as_str().unwrap()));
                mask.ids.push(id);
            }
            mask.replace(uid, &format!("UID({})", title(object)));
        }
        // Databases of tenants that are gone: their claims tell the namespace, the names hold the id.
        for object in objects.iter().filter(|object| object["kind"] == "ServerDatabase") {
            let physical = object["spec"]["physicalName"].as_str().unwrap();
            // The name of one that was adopted has none in it.
            let Some(id) = physical.strip_prefix("t_").and_then(|name| name.split('_').next()) else {
                continue;
            };
            let id = id.to_owned();
            if !mask.ids.contains(&id) {
                let claim = &object["spec"]["claimRef"];
                let namespace = claim["namespace"].as_str().unwrap();
                mask.replace(&id, &format!("FORMER-ID({namespace})"));
                mask.ids.push(id);
                for uid in [&claim["uid"], &object["status"]["tenantUID"]] {
                    if let Some(uid) = uid.as_str() {
                        mask.replace(uid, &format!("FORMER-UID({namespace})"));
                    }
                }
            }
            // A claim that is gone while its tenant is not.
            let claim = &object["spec"]["claimRef"];
            if let Some(uid) = claim["uid"].as_str() {
                let former = format!("{}/{}", claim["namespace"], claim["name"]).replace('"', "");
                mask.replace(uid, &format!("FORMER-UID({former})"));
            }
        }
        // Last, since what stands for an id or a UID has the prefix in it.
        mask.replace(prefix.as_str(), "PREFIX");
        mask
    }

    /// The ids of the test's tenants, former ones too.
    pub fn ids(&self) -> Vec<String> {
        self.ids.clone()
    }

    /// Has `to` stand for `from`.
    pub fn replace(&mut self, from: &str, to: &str) {
        self.replacements.push((from.to_owned(), to.to_owned()));
    }

    /// A text with everything replaced.
    pub fn text(&self, text: &str) -> String {
        let replace = |text: String, (from, to): &(String, String)| text.replace(from.as_str(), to);
        self.replacements.iter().fold(text.to_owned(), replace)
    }

    /// A value with every text in it replaced, and what is drawn or dated removed.
    pub fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&undated(&text))),
            Value::Number(number) => {
                let text = number.to_string();
                let stands = self.replacements.iter().find(|(from, _)| *from == text);
                stands.map_or(Value::Number(number), |(_, to)| to.as_str().into())
            }
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => {
                let kept = fields.into_iter().filter(|(name, _)| !DRAWN.contains(&name.as_str()));
                kept.map(|(name, value)| (self.text(&name), self.value(value))).collect()
            }
            other => other,
        }
    }

    /// An object, see the module.
    pub fn object(&self, mut object: Value) -> Value {
        let generation = object["metadata"]["generation"].clone();
        relate_generations(&mut object["status"], &generation);
        let secret = object["kind"] == "Secret";
        let quota = object["kind"] == "ResourceQuota";
        let fields = object.as_object_mut().unwrap();
        // What is used, as a controller of Kubernetes counts it, some time later.
        if quota {
            fields.remove("status");
        }
        fields.retain(|_, value| !value.is_null());
        let metadata = fields["metadata"].as_object_mut().unwrap();
        metadata.retain(|name, _| !VOLATILE.contains(&name.as_str()) && name != "generation");
        // How often a database was bound and released is history, as in its marker row.
        if let Some(status) = object["status"].as_object_mut() {
            status.remove("generation");
        }
        // Another one each time: its name is drawn, and what is in it has times.
        if let Some(archive) = object.pointer_mut("/status/archive") {
            *archive = "ARCHIVE".into();
        }
        // A list by type: in which order they were first said is history.
        if let Some(conditions) = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
            conditions.sort_by_cached_key(|condition| condition["type"].to_string());
        }
        hide_hashes(&mut object);
        if secret && let Some(data) = object["data"].as_object_mut() {
            hide_secrets(data);
        }
        self.value(object)
    }
}

/// A text with `TIME` for each time that is a word of it, and `ARCHIVE` for each archive.
fn undated(text: &str) -> String {
    let is_time = |word: &str| word.trim_end_matches([';', ',', '.']).parse::<Timestamp>().is_ok();
    let words = text.split(' ').map(|word| match word {
        word if is_time(word) => "TIME",
        word if word.starts_with("file:///") => "ARCHIVE",
        word => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `observedGeneration` says how it relates to the generation, which itself counts how often a spec was changed.
fn relate_generations(status: &mut Value, generation: &Value) {
    match status {
        Value::Array(items) => items.iter_mut().for_each(|item| relate_generations(item, generation)),
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "observedGeneration" {
                    *value = if value == generation { "current".into() } else { "STALE".into() };
                } else {
                    relate_generations(value, generation);
                }
            }
        }
        _ => {}
    }
}

/// Annotations whose value depends on UIDs and passwords, on objects and on pod templates.
fn hide_hashes(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(hide_hashes),
        Value::Object(fields) => {
            for (name, value) in fields {
                if name.starts_with("tenantry.dev/") && name.contains("-hash") {
                    *value = "HASH".into();
                } else {
                    hide_hashes(value);
                }
            }
        }
        _ => {}
    }
}

/// What a Secret says, but for the password and keys.
fn hide_secrets(data: &mut Map<String, Value>) {
    let decode = |value: &Value| {
        String::from_utf8_lossy(&STANDARD.decode(value.as_str().unwrap()).unwrap()).into_owned()
    };
    let password = data.get("password").map(decode).filter(|password| !password.is_empty());
    for value in data.values_mut() {
        let text = decode(value);
        *value = match &password {
            _ if text.starts_with("-----BEGIN") => "PEM".into(),
            Some(password) => text.replace(password.as_str(), "PASSWORD").into(),
            None => text.into(),
        };
    }
}
