//! `-f`: files, directories and standard input, as kubectl reads them: YAML with several documents, JSON, and Lists.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::api;
use crate::cli::Failure;
use crate::cli::kinds::{KINDS, Resource};

/// Names of files that are read in a directory end so.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

/// An object of ours from a file.
#[derive(Debug)]
pub(super) struct Manifest {
    /// The file.
    pub source: String,
    /// Its kind.
    pub resource: Resource,
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The object as it is written.
    pub object: Value,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Objects of ours, in order.
    pub manifests: Vec<Manifest>,
    /// Objects of others, by name.
    pub left_out: Vec<String>,
}

/// Reads them. An object that names no namespace is in `namespace`.
pub(super) fn read(paths: &[PathBuf], namespace: &str) -> Result<Files, Failure> {
    let mut files = Files::default();
    for path in paths {
        if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Failure::from_error("failed to read standard input", &error))?;
            files.add("standard input", &text, namespace)?;
            continue;
        }
        for file in expand(path)? {
            let text = fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
            files.add(&file.display().to_string(), &text, namespace)?;
        }
    }
    if files.manifests.is_empty() && files.left_out.is_empty() {
        return Err(Failure::new("no objects passed to plan"));
    }
    Ok(files)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Failure::new(format_args!("the path {:?} does not exist", path.display().to_string()));
    }
    Failure::from_error(format_args!("failed to read {}", path.display()), error)
}

/// The file, or the files of the directory in the order of their names; directories in it are not entered.
fn expand(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let about = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !about.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
    let all: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = all.map_err(|error| unreadable(path, &error))?;
    let ends = |file: &PathBuf| file.extension().is_some_and(|end| ENDINGS.iter().any(|known| end == *known));
    files.retain(|file| ends(file) && file.is_file());
    files.sort();
    Ok(files)
}

impl Files {
    /// Adds the documents of one text.
    fn add(&mut self, source: &str, text: &str, namespace: &str) -> Result<(), Failure> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text)
            .map_err(|error| Failure::new(format_args!("error parsing {source}: {error}")))?;
        for document in documents {
            self.document(source, document, namespace)?;
        }
        Ok(())
    }

    fn document(&mut self, source: &str, mut object: Value, namespace: &str) -> Result<(), Failure> {
        if object.is_null() {
            return Ok(());
        }
        let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        if kind.is_empty() || version.is_empty() {
            let missing = if kind.is_empty() { "kind" } else { "apiVersion" };
            return Err(Failure::new(format_args!("error validating {source:?}: {missing} not set")));
        }
        if kind.ends_with("List")
            && let Some(Value::Array(items)) = object.get_mut("items").map(Value::take)
        {
            return items.into_iter().try_for_each(|item| self.document(source, item, namespace));
        }
        let name = text(&object["metadata"]["name"]);
        let known = KINDS.iter().map(|known| known.resource);
        let mut known = known.filter(|known| known.kind == kind && known.api_version() == version);
        let Some(resource) = known.next() else {
            if version.split('/').next() == Some(api::GROUP) {
                return Err(Failure::new(format_args!(
                    "resource mapping not found for name: {name:?} from {source:?}: no matches for kind {kind:?} in version {version:?}"
                )));
            }
            self.left_out.push(format!("{source}: {version} {kind} {name:?}"));
            return Ok(());
        };
        if name.is_empty() {
            return Err(Failure::new(format_args!("error from {source:?}: a {kind} has no metadata.name")));
        }
        let own = text(&object["metadata"]["namespace"]);
        let namespace = if own.is_empty() { namespace.to_owned() } else { own };
        let namespace = Some(namespace).filter(|_| resource.namespaced);
        if let Some(namespace) = &namespace {
            object["metadata"]["namespace"] = namespace.as_str().into();
        }
        self.manifests.push(Manifest { source: source.to_owned(), resource, namespace, name, object });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Files, String> {
        let mut files = Files::default();
        files.add("x.yaml", text, "tenant-here").map_err(|failure| failure.lines.join("\n"))?;
        Ok(files)
    }

    #[test]
    fn documents_lists_and_json_are_read_and_others_objects_are_named() {
        let text = "---\n---\napiVersion: tenantry.dev/v1alpha1\nkind: Plan\nmetadata: {name: a}\n---\n\
            apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n---\n\
            apiVersion: v1\nkind: List\nitems:\n- apiVersion: tenantry.dev/v1alpha1\n  kind: TenantDatabase\n  metadata: {name: b}\n";
        let files = read_text(text).unwrap();
        let names: Vec<_> =
            files.manifests.iter().map(|it| (it.resource.kind, &*it.name, it.namespace.as_deref())).collect();
        assert_eq!(names, [("Plan", "a", None), ("TenantDatabase", "b", Some("tenant-here"))]);
        assert_eq!(files.manifests[1].object["metadata"]["namespace"], "tenant-here");
        assert_eq!(files.left_out, ["x.yaml: v1 Secret \"s\""]);
        let json = r#"{"apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "j"}}"#;
        assert_eq!(read_text(json).unwrap().manifests[0].name, "j");
    }

    #[test]
    fn what_cannot_be_meant_is_named_with_its_file() {
        let refused = |text: &str| read_text(text).unwrap_err();
        assert_eq!(refused("kind: Plan\n"), "error: error validating \"x.yaml\": apiVersion not set");
        assert_eq!(
            refused("apiVersion: tenantry.dev/v1alpha1\nkind: Tennant\nmetadata: {name: a}\n"),
            "error: resource mapping not found for name: \"a\" from \"x.yaml\": no matches for kind \"Tennant\" in version \"tenantry.dev/v1alpha1\""
        );
        assert!(refused("a: [\n").starts_with("error: error parsing x.yaml: "));
        assert_eq!(
            refused("apiVersion: tenantry.dev/v1alpha1\nkind: Plan\n"),
            "error: error from \"x.yaml\": a Plan has no metadata.name"
        );
    }
}
