//! Schema pieces that derive cannot say, and the rules that every CRD of ours keeps.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A reference by name to an object whose kind and namespace the field fixes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

impl NameRef {
    /// A reference to `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

/// A duration in whole hours, minutes and seconds, kept as it was written (`720h`, `1h30m`, `45s`).
pub fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 2,
        "maxLength": 24,
        "pattern": "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$",
    })
}

/// A [`duration`] of at least a minute.
pub fn interval(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = duration(generator);
    let rules = json!([{"rule": "duration(self) >= duration('1m')", "message": "must be at least 1m"}]);
    schema.insert("x-kubernetes-validations".to_owned(), rules);
    schema
}

/// A [`duration`] that PostgreSQL takes as a timeout: it counts milliseconds in 32 bits.
pub fn timeout(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = duration(generator);
    let rules = json!([{
        "rule": "duration(self) >= duration('1s') && duration(self) <= duration('576h')",
        "message": "must be from 1s to 576h",
    }]);
    schema.insert("x-kubernetes-validations".to_owned(), rules);
    schema
}

/// A number of bytes as a whole number of Ki, Mi, Gi or Ti, at most 1Ti, kept as it was written (`512Mi`).
pub fn file_size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 12,
        "pattern": "^[1-9][0-9]{0,9}(Ki|Mi|Gi|Ti)$",
        "x-kubernetes-validations": [{
            "rule": "quantity(self).compareTo(quantity('1Ti')) <= 0",
            "message": "must be at most 1Ti",
        }],
    })
}

/// KiB of a [`file_size`]; `None` if it is none.
pub fn kibibytes(file_size: &str) -> Option<u32> {
    let (unit, shift) = [("Ki", 0), ("Mi", 10), ("Gi", 20), ("Ti", 30)]
        .into_iter()
        .find(|(unit, _)| file_size.ends_with(unit))?;
    let amount: u64 = file_size.strip_suffix(unit)?.parse().ok()?;
    amount
        .checked_mul(1 << shift)
        .and_then(|size| u32::try_from(size).ok())
        .filter(|size| (1..=1 << 30).contains(size))
}

/// The length of a [`duration`]; `None` if it is none.
pub fn length(duration: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (duration, 0u64);
    for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((amount, further)) = rest.split_once(unit) {
            seconds += amount.parse::<u32>().ok().map(u64::from)? * factor;
            rest = further;
        }
    }
    (rest.is_empty() && !duration.is_empty()).then(|| Duration::from_secs(seconds))
}

/// A Kubernetes quantity, kept as it was written (`500m`, `1Gi`).
pub fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 24,
        "pattern": "^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$",
    })
}

/// Labels that something must carry: values as Kubernetes has them. Names cannot be told by a schema.
pub fn match_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {
            "type": "string",
            "maxLength": 63,
            "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        },
    })
}

/// A point in time.
pub fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// Conditions as a list-map by type, as kubectl, server-side apply and kstatus expect them.
pub fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {"type": "string", "maxLength": 316, "description": "Type of the condition, CamelCase."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether the condition holds."},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0, "description": "Generation of the spec that the condition was set for."},
                "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When the status last changed."},
                "reason": {"type": "string", "maxLength": 1024, "minLength": 1, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", "description": "Reason of the last transition, CamelCase, for programs."},
                "message": {"type": "string", "maxLength": 32768, "description": "Names the culprit and the next step, for people."},
            },
        },
    })
}

/// Brings a derived CRD into the shape that all of ours share.
///
/// `status` gets the default `{observedGeneration: -1}`, since kstatus reads an object without any status as
/// Current. Nothing else has a default. `nullable` goes: a field is absent or has a value. Formats that the API
/// server does not know (`uint32` …) go too; bounds say the same.
pub fn normalise(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else {
            continue;
        };
        tidy(root);
        if let Some(status) = root.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
        }
    }
    crd
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.default = None;
    if schema.format.as_deref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = None;
    }
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(tidy);
    match schema.items.as_mut() {
        Some(JSONSchemaPropsOrArray::Schema(items)) => tidy(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
    if let Some(
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrBool::Schema(
            values,
        ),
    ) = schema.additional_properties.as_mut()
    {
        tidy(values);
    }
}

/// Steps as a list-map by name.
pub fn steps(generator: &mut SchemaGenerator) -> Schema {
    let item = <super::step::Step as JsonSchema>::json_schema(generator);
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": item,
    })
}
