//! Who wrote what: the API server's own audit log, read back.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

/// A mutating request that the API server answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Write {
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// Plural name of the kind.
    pub resource: String,
    /// Namespace, empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name of the object, empty if the server made one up.
    pub name: String,
    /// `status`, `scale` …, empty for the object itself.
    pub subresource: String,
    /// Whose rights counted.
    pub user: String,
    /// The program, as it calls itself.
    pub user_agent: String,
    /// HTTP status of the answer.
    pub code: u16,
}

/// A place in the log.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    response_status: Option<Status>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    namespace: String,
    name: String,
    subresource: String,
}

#[derive(Deserialize)]
struct Status {
    code: u16,
}

/// The end of the log as it is now.
pub fn end(log: &Path) -> Mark {
    Mark(log.metadata().map_or(0, |metadata| metadata.len()))
}

/// Every request logged since `mark`, oldest first. A line that is still being written is left out.
pub fn since(log: &Path, mark: Mark) -> Vec<Write> {
    let mut file = File::open(log).unwrap();
    file.seek(SeekFrom::Start(mark.0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete.lines().map(parse).collect()
}

fn parse(line: &str) -> Write {
    let event: Event = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    Write {
        verb: event.verb,
        resource: event.object_ref.resource,
        namespace: event.object_ref.namespace,
        name: event.object_ref.name,
        subresource: event.object_ref.subresource,
        user: event.impersonated_user.unwrap_or(event.user).username,
        user_agent: event.user_agent,
        code: event.response_status.map_or(0, |status| status.code),
    }
}
