//! What the pages for people say is so: commands parse, objects fit their schemas, and every field, label and reason is there.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};
use tenantry::{api, cli};

use super::page::{Page, commands};
use super::source::{Source, assert_none, sources};

const OPERATING: &str = "docs/databases.md";

fn pages() -> [Page; 2] {
    ["README.md", OPERATING].map(Page::read)
}

fn schema(crd: &CustomResourceDefinition) -> Value {
    serde_json::to_value(&crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap()
}

/// What of `value` does not fit `schema`. With `whole` what is required has to be there; without, null removes a field.
fn misfits(value: &Value, schema: &Value, at: &str, whole: bool) -> Vec<String> {
    let wrong = |why: String| vec![format!("{at}: {why}")];
    match (value, schema["type"].as_str().unwrap_or("anything")) {
        (Value::Null, _) if !whole => vec![],
        (Value::Object(fields), "object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let lacking = required.filter(|name| whole && !fields.contains_key(*name));
            let lacking = lacking.map(|name| format!("{at}: {name} is required"));
            let of_fields = fields.iter().flat_map(|(name, value)| {
                let (known, others) = (&schema["properties"][name], &schema["additionalProperties"]);
                match if known.is_null() { others } else { known } {
                    Value::Null => wrong(format!("there is no field {name}")),
                    schema => misfits(value, schema, &format!("{at}.{name}"), whole),
                }
            });
            lacking.chain(of_fields).collect()
        }
        (Value::Array(items), "array") => {
            let each =
                items.iter().flat_map(|item| misfits(item, &schema["items"], &format!("{at}[]"), true));
            each.collect()
        }
        (Value::String(text), "string") => match schema["enum"].as_array() {
            Some(words) if !words.contains(value) => wrong(format!("{text} is none of {words:?}")),
            _ => vec![],
        },
        (Value::Number(number), "integer") => {
            let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
            let number = number.as_f64().unwrap();
            let fits = least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most);
            if fits { vec![] } else { wrong(format!("{number} is out of bounds")) }
        }
        (Value::Bool(_), "boolean") => vec![],
        (_, wanted) => wrong(format!("{value} is no {wanted}")),
    }
}

/// Whether there is a field of that path, as in `spec.databases[].name`.
fn has_field(schema: &Value, path: &str) -> bool {
    let mut at = schema;
    for name in path.split('.') {
        at = &at["properties"][name.trim_end_matches("[]")];
        if name.ends_with("[]") {
            at = &at["items"];
        }
    }
    !at.is_null()
}

#[test]
fn every_object_on_the_pages_fits_its_schema() {
    let schemas: BTreeMap<String, Value> =
        api::crds().iter().map(|crd| (crd.spec.names.kind.clone(), schema(crd))).collect();
    let (mut objects, mut offenders) = (0, vec![]);
    for block in pages().iter().flat_map(Page::blocks).filter(|block| block.language == "yaml") {
        let documents: Vec<Map<String, Value>> = serde_saphyr::from_multiple(&block.text).unwrap();
        for mut object in documents {
            // What every object has is no part of a kind's schema.
            let [version, kind, metadata] =
                ["apiVersion", "kind", "metadata"].map(|name| object.remove(name).unwrap_or_default());
            let (version, kind) = (version.as_str().unwrap_or_default(), kind.as_str().unwrap_or_default());
            let at = format!("{} {kind}", block.at);
            if metadata["name"].is_null() {
                offenders.push(format!("{at}: it has no name"));
            }
            if version.starts_with("tenantry.dev/") {
                objects += 1;
                let misfits = schemas.get(kind).map(|it| misfits(&Value::Object(object), it, &at, true));
                offenders.extend(misfits.unwrap_or_else(|| vec![format!("{at}: there is no such kind")]));
            }
        }
    }
    assert_none("what people copy has to be accepted", &offenders);
    assert!(objects >= 6, "only {objects} objects were found");
}

#[test]
fn every_command_on_the_pages_is_one_that_the_program_takes() {
    let (mut found, mut offenders) = (0, vec![]);
    for block in pages().iter().flat_map(Page::blocks).filter(|block| block.language != "yaml") {
        for words in block.text.lines().flat_map(|line| commands(line.trim_start_matches("$ "))) {
            let program = words[0].rsplit('/').next().unwrap();
            // `tenantry / kubectl` is a part of a picture.
            if program == "tenantry" && words.get(1).is_some_and(|word| word != "/") {
                found += 1;
                let parsed = cli::definition(None).try_get_matches_from(&words);
                offenders.extend(parsed.err().map(|why| format!("{}: {words:?}: {why}", block.at)));
            } else if program == "kubectl" && words.get(1).is_some_and(|word| word == "patch") {
                offenders.extend(patch_misfits(&words).into_iter().map(|why| format!("{}: {why}", block.at)));
            }
        }
    }
    assert_none("what people copy has to run", &offenders);
    assert!(found >= 30, "only {found} commands were found");
}

/// What is wrong with `kubectl patch TYPE NAME … -p PATCH`.
fn patch_misfits(words: &[String]) -> Vec<String> {
    let crds = api::crds();
    let is_named = |crd: &&CustomResourceDefinition| {
        let names = &crd.spec.names;
        let short = names.short_names.iter().flatten().map(String::as_str);
        let all = short.chain([&*names.plural]).chain(names.singular.as_deref());
        all.into_iter().any(|name| name == words[2])
    };
    let crd = crds.iter().find(is_named);
    let patch = words.iter().skip_while(|word| *word != "-p").nth(1);
    match (crd, patch.map(|patch| serde_json::from_str::<Value>(patch))) {
        (Some(crd), Some(Ok(patch))) => misfits(&patch, &schema(crd), &words[2], false),
        _ => vec![format!("{words:?} patches nothing of ours, or with no JSON")],
    }
}

#[test]
fn every_field_and_label_that_the_pages_name_is_one_that_there_is() {
    let schemas: Vec<Value> = api::crds().iter().map(schema).collect();
    let labels =
        sources("src/api").into_iter().find(|source| source.file_name() == "labels.rs").unwrap().text;
    let (mut found, mut offenders) = (0, vec![]);
    for page in pages() {
        for span in page.spans() {
            let is_of_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '[' | ']');
            let path = span.split(|c| !is_of_path(c)).next().unwrap();
            if ["spec.", "status."].iter().any(|start| path.starts_with(start)) {
                found += 1;
                let known = schemas.iter().any(|schema| has_field(schema, path));
                offenders.extend((!known).then(|| format!("{}: {path}", page.path)));
            }
        }
        let is_of_label = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '/');
        for word in page.text.split(|c| !is_of_label(c)).filter(|word| word.contains("tenantry.dev/")) {
            // Some begin with what is theirs and end with the name of a credential.
            let start = word.split_inclusive('/').next().unwrap();
            let known = [word, start].iter().any(|name| labels.contains(&format!("\"{name}\"")));
            let known = known || word == "tenantry.dev/v1alpha1";
            offenders.extend((!known).then(|| format!("{}: {word}", page.path)));
        }
    }
    assert_none("there is no such field, label or annotation", &offenders);
    assert!(found >= 20, "only {found} fields were found");
}

#[test]
fn the_operators_page_has_every_reason_of_databases_and_no_other() {
    let page = Page::read(OPERATING);
    let told: BTreeSet<String> =
        ["reason", "reason in the metric"].iter().flat_map(|title| page.column(title)).collect();
    let all = sources("src");
    let literal = |word: &&String| all.iter().any(|source| source.text.contains(&format!("\"{word}\"")));
    let unknown: Vec<String> = told.iter().filter(|word| !literal(word)).cloned().collect();
    assert_none("docs/databases.md tells of reasons that there are none of", &unknown);
    let conditions = all.iter().find(|source| source.path == "src/api/condition.rs").unwrap();
    let reasons = conditions.text.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix("pub const ")?.split_once(": &str = \"")?;
        Some((name, value.strip_suffix("\";")?))
    });
    let of_databases = |source: &&Source| {
        let folders = ["database", "database_server", "server_database", "tenant_database", "brake.rs"];
        let path = source.path.strip_prefix("src/controller/").unwrap_or_default();
        folders.iter().any(|folder| path.split('/').next() == Some(folder))
    };
    let used: BTreeSet<String> =
        all.iter().filter(of_databases).flat_map(|source| source.code_words_after("reason::")).collect();
    let untold = reasons.filter(|(name, value)| used.contains(*name) && !told.contains(*value));
    let untold: Vec<String> = untold.map(|(_, value)| value.to_owned()).collect();
    assert_none("say in docs/databases.md what it means and what to do", &untold);
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let offenders: Vec<String> = pages().iter().flat_map(Page::dead_links).collect();
    assert_none("a link leads nowhere", &offenders);
}
