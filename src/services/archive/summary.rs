//! What is in a database, so that two can be compared. Pure values.
//!
//! A thing is anything that has a name: a table, a right, a comment, the rows of a table. What it is like is a JSON object
//! with one member for each property, so that a difference can be named without showing what may be nobody's to see.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::expression::canonical;

/// The kind under which the rows of a table are kept.
pub const ROWS: &str = "rows of table";
/// The kind of a schema.
pub const SCHEMA: &str = "schema";
/// The kind of a sequence.
pub const SEQUENCE: &str = "sequence";
/// The kind of a large object.
pub const LARGE_OBJECT: &str = "large object";
/// The kind under which the bytes of a large object are kept.
pub const CONTENT: &str = "content of large object";
/// The kind under which the position of a sequence is kept.
pub const POSITION: &str = "position of sequence";

/// Everything in a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// By kind and name. Nothing forces names to be unique: what has the same name is compared as a sorted list.
    things: BTreeMap<(String, String), Vec<Value>>,
    rows: u64,
}

/// The rows of a table, in no order: their number, and the sum of their hashes.
///
/// A sum does not depend on the order in which rows are read, which a restore changes. It has 256 bits in four parts; one
/// row more, less or other changes all of them but for a chance of 2^-256.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    count: u64,
    sum: [u64; 4],
    row: Sha256,
    within_row: bool,
}

impl Summary {
    /// Adds what has a name.
    pub fn add(&mut self, kind: &str, name: &str, definition: Value) {
        let same_name = self.things.entry((kind.to_owned(), name.to_owned())).or_default();
        same_name.push(definition);
        same_name.sort_by_cached_key(Value::to_string);
    }

    /// Forgets what has that name.
    pub fn forget(&mut self, kind: &str, name: &str) {
        self.things.remove(&(kind.to_owned(), name.to_owned()));
    }

    /// Adds the rows of a table.
    pub fn add_rows(&mut self, table: &str, rows: &Rows) {
        self.rows += rows.count;
        self.add(ROWS, table, json!({"rows": rows.count, "content": rows.content()}));
    }

    /// How many things of that kind there are.
    pub fn count(&self, kind: &str) -> u64 {
        let things = self.things.iter().filter(|((of, _), _)| of == kind);
        things.map(|(_, same_name)| same_name.len() as u64).sum()
    }

    /// Rows in all tables.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// SHA-256 of everything.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for ((kind, name), definitions) in &self.things {
            // JSON ends where it ends: no two lists of things have the same text.
            hash.update(json!([kind, name, definitions]).to_string());
        }
        hex(&hash.finalize())
    }

    /// What of this was restored otherwise, by name. Empty if nothing was.
    pub fn differences(&self, restored: &Self) -> Vec<String> {
        let names: BTreeSet<_> = self.things.keys().chain(restored.things.keys()).collect();
        let mut differences = vec![];
        for key @ (kind, name) in names {
            let found = match (self.things.get(key), restored.things.get(key)) {
                (Some(ours), Some(theirs)) if ours.len() == theirs.len() => {
                    let properties: BTreeSet<String> =
                        ours.iter().zip(theirs).flat_map(|(ours, theirs)| properties(ours, theirs)).collect();
                    if properties.is_empty() {
                        continue;
                    }
                    properties.into_iter().collect::<Vec<_>>().join(", ")
                }
                (Some(_), None) => "not restored".to_owned(),
                (None, _) => "restored, but not in the database".to_owned(),
                (Some(ours), Some(theirs)) => format!("{} restored as {}", ours.len(), theirs.len()),
            };
            differences.push(format!("{kind} {name}: {found}"));
        }
        differences
    }
}

/// The properties that differ. Numbers are shown, texts are not: they are the tenant's.
fn properties(ours: &Value, theirs: &Value) -> Vec<String> {
    let empty = Map::new();
    let (ours, theirs) = (ours.as_object().unwrap_or(&empty), theirs.as_object().unwrap_or(&empty));
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let null = Value::Null;
    let mut found = vec![];
    for name in names {
        let (ours, theirs) = (ours.get(name).unwrap_or(&null), theirs.get(name).unwrap_or(&null));
        if ours == theirs || one_spelling(ours) == one_spelling(theirs) {
            continue;
        }
        let shown = |value: &Value| value.is_number() || value.is_boolean();
        found.push(if shown(ours) && shown(theirs) {
            format!("{name} {ours} restored as {theirs}")
        } else {
            format!("{name} differs")
        });
    }
    found
}

fn one_spelling(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(canonical(text)),
        Value::Array(values) => Value::Array(values.iter().map(one_spelling).collect()),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), one_spelling(value))).collect())
        }
        other => other.clone(),
    }
}

impl Rows {
    /// Takes the next bytes of what `COPY … TO STDOUT` sends: a row is a line, and a line break in a value is escaped.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.row.update(&rest[..end]);
            self.end_row();
            rest = &rest[end + 1..];
        }
        self.row.update(rest);
        self.within_row |= !rest.is_empty();
    }

    fn end_row(&mut self) {
        let hash = self.row.finalize_reset();
        for (sum, part) in self.sum.iter_mut().zip(hash.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_be_bytes(*part));
        }
        self.count += 1;
        self.within_row = false;
    }

    /// Whether what was fed ends with a whole row.
    pub const fn is_whole(&self) -> bool {
        !self.within_row
    }

    fn content(&self) -> String {
        hex(&self.sum.map(u64::to_be_bytes).concat())
    }
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(lines: &str) -> Rows {
        let mut rows = Rows::default();
        rows.feed(lines.as_bytes());
        rows
    }

    fn content(lines: &str) -> (u64, String) {
        (rows(lines).count, rows(lines).content())
    }

    fn users(lines: &str) -> Summary {
        let mut summary = Summary::default();
        summary.add("table", "public.users", json!({"owner": "o", "columns": ["id"], "rls": false}));
        summary.add_rows("public.users", &rows(lines));
        summary
    }

    #[test]
    fn rows_are_a_set_in_which_each_counts() {
        assert_eq!(content("a\nb\n"), content("b\na\n"));
        for other in ["a\n", "a\nb\nb\n", "a\nc\n", "ab\n\n", "\nab\n", ""] {
            assert_ne!(content("a\nb\n"), content(other), "{other:?}");
        }
        assert_eq!(rows("\n\n").count, 2);
    }

    #[test]
    fn rows_may_arrive_in_pieces() {
        let mut pieces = Rows::default();
        for piece in ["on", "e\ntw", "o", "\n", "three\nfour\nf"] {
            pieces.feed(piece.as_bytes());
        }
        assert!(!pieces.is_whole());
        pieces.feed(b"ive\n");
        assert!(pieces.is_whole());
        assert_eq!((pieces.count, pieces.content()), content("one\ntwo\nthree\nfour\nfive\n"));
    }

    #[test]
    fn equal_databases_differ_in_nothing() {
        assert_eq!(users("1\n2\n").differences(&users("2\n1\n")), [""; 0]);
        assert_eq!(users("1\n").sha256(), users("1\n").sha256());
        assert_ne!(users("1\n").sha256(), users("2\n").sha256());
        assert_eq!((users("1\n2\n").count(ROWS), users("1\n2\n").rows()), (1, 2));
    }

    #[test]
    fn a_difference_is_named_and_texts_are_not_shown() {
        let differences = users("1\n2\n").differences(&users("1\n"));
        assert_eq!(differences, ["rows of table public.users: content differs, rows 2 restored as 1"]);
        let mut other = users("1\n");
        other.things.insert(
            ("table".into(), "public.users".into()),
            vec![json!({"owner": "secret", "columns": ["id"], "rls": true})],
        );
        other.add("view", "public.v", json!({}));
        other.things.remove(&(ROWS.into(), "public.users".into()));
        assert_eq!(
            users("1\n").differences(&other),
            [
                "rows of table public.users: not restored",
                "table public.users: owner differs, rls false restored as true",
                "view public.v: restored, but not in the database",
            ]
        );
    }

    #[test]
    fn things_of_one_name_are_compared_as_a_list() {
        let (mut ours, mut theirs) = (Summary::default(), Summary::default());
        for (summary, order) in [(&mut ours, ["a", "b"]), (&mut theirs, ["b", "a"])] {
            for definition in order {
                summary.add("constraint", "public.t", json!({"definition": definition}));
            }
        }
        assert_eq!(ours.differences(&theirs), [""; 0]);
        theirs.add("constraint", "public.t", json!({"definition": "a"}));
        assert_eq!(ours.differences(&theirs), ["constraint public.t: 2 restored as 3"]);
    }

    #[test]
    fn an_expression_in_two_spellings_is_no_difference() {
        let (mut ours, mut theirs) = (Summary::default(), Summary::default());
        ours.add("c", "x", json!({"definition": "(ARRAY['a'::character varying])::text[]"}));
        theirs.add("c", "x", json!({"definition": "ARRAY[('a'::character varying)::text]"}));
        assert_eq!(ours.differences(&theirs), [""; 0]);
    }
}
