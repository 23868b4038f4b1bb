//! Generated files are fresh, and the CRDs keep the rules that all of ours share.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tenantry::api;

#[test]
fn generated_files_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let check = Command::new(env!("CARGO_BIN_EXE_tenantry"))
        .args(["generate", "--check", "--out"])
        .arg(root)
        .output()
        .unwrap();
    let said = String::from_utf8(check.stderr).unwrap();
    assert!(check.status.success(), "{said}run make generate");
}

#[test]
fn every_field_says_what_it_is_for() {
    let undescribed = fields(&|path, schema| {
        (schema["description"].as_str().unwrap_or_default().len() < 4).then(|| path.to_owned())
    });
    assert_eq!(undescribed, Vec::<String>::new());
}

#[test]
fn only_status_has_a_default() {
    let defaults = fields(&|path, schema| schema.get("default").map(|default| format!("{path} {default}")));
    let expected: Vec<String> = api::crds()
        .iter()
        .map(|crd| format!("{}.status {{\"observedGeneration\":-1}}", crd.spec.names.plural))
        .collect();
    assert_eq!(defaults, expected);
}

#[test]
fn every_list_map_and_text_is_bounded() {
    let unbounded = fields(&|path, schema| {
        let bounded = match schema["type"].as_str() {
            Some("array") => schema["maxItems"].is_u64(),
            Some("object") if schema.get("additionalProperties").is_some() => {
                schema["maxProperties"].is_u64()
            }
            Some("string") => {
                ["maxLength", "enum", "format"].iter().any(|bound| schema.get(*bound).is_some())
            }
            _ => true,
        };
        (!bounded).then(|| path.to_owned())
    });
    assert_eq!(unbounded, Vec::<String>::new());
}

#[test]
fn nothing_in_status_is_required_but_keys_and_conditions() {
    let required = fields(&|path, schema| {
        let list = schema["required"].as_array()?;
        (path.contains(".status") && !path.contains(".conditions[]")).then(|| format!("{path} {list:?}"))
    });
    let keys_only = |line: &String| line.ends_with("[String(\"name\")]");
    assert_eq!(required.iter().filter(|line| !keys_only(line)).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// What `judge` says of every field of every kind, with its path.
fn fields(judge: &dyn Fn(&str, &Value) -> Option<String>) -> Vec<String> {
    let mut said = vec![];
    for crd in api::crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap();
        for version in crd["spec"]["versions"].as_array().unwrap() {
            let properties = &version["schema"]["openAPIV3Schema"]["properties"];
            for root in ["spec", "status"] {
                visit(&format!("{plural}.{root}"), &properties[root], judge, &mut said);
            }
        }
    }
    said
}

fn visit(path: &str, schema: &Value, judge: &dyn Fn(&str, &Value) -> Option<String>, said: &mut Vec<String>) {
    said.extend(judge(path, schema));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        visit(&format!("{path}.{name}"), property, judge, said);
    }
    // An item has no description of its own to show: its list has.
    let item = &schema["items"];
    for (name, property) in item["properties"].as_object().into_iter().flatten() {
        visit(&format!("{path}[].{name}"), property, judge, said);
    }
}
