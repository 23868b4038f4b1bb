//! YAML exactly as kubectl prints it: a port of what go-yaml v2 emits for a JSON value.
//!
//! Keys are sorted in go-yaml's "natural" order, lists are not indented under their key, long plain and quoted
//! scalars are folded at 80 columns. Byte equality with kubectl is the point, so quirks are kept.

use std::cmp::Ordering;

use serde_json::{Map, Value};

mod scalar;

/// The value as one YAML document, ending in a line break.
pub fn document(value: &Value) -> String {
    let mut emitter = Emitter { text: String::new(), column: 0 };
    match value {
        Value::Object(map) if !map.is_empty() => emitter.mapping(map, 0, false),
        Value::Array(list) if !list.is_empty() => emitter.sequence(list, 0),
        scalar => {
            emitter.leaf(scalar, 0);
            emitter.text.push('\n');
        }
    }
    emitter.text
}

struct Emitter {
    text: String,
    column: usize,
}

impl Emitter {
    /// `continued`: the first key follows the `- ` of its list item on the same line.
    fn mapping(&mut self, map: &Map<String, Value>, indent: usize, mut continued: bool) {
        let mut keys: Vec<&String> = map.keys().collect();
        keys.sort_by(|a, b| natural(a, b));
        for key in keys {
            if !std::mem::take(&mut continued) {
                self.indent(indent);
            }
            self.push(&scalar::key(key));
            self.push(":");
            self.value(&map[key], indent, true);
        }
    }

    fn sequence(&mut self, list: &[Value], indent: usize) {
        for item in list {
            self.indent(indent);
            self.push("-");
            self.value(item, indent, false);
        }
    }

    /// What follows `key:` or `-`, to the end of its lines.
    fn value(&mut self, value: &Value, indent: usize, in_mapping: bool) {
        match value {
            Value::Object(map) if !map.is_empty() && in_mapping => {
                self.end_line();
                self.mapping(map, indent + 2, false);
            }
            Value::Object(map) if !map.is_empty() => {
                self.push(" ");
                self.mapping(map, indent + 2, true);
            }
            Value::Array(list) if !list.is_empty() && in_mapping => {
                self.end_line();
                self.sequence(list, indent);
            }
            Value::Array(list) if !list.is_empty() => self.nested_sequence(list, indent + 2),
            leaf => {
                self.push(" ");
                self.leaf(leaf, indent + 2);
                self.end_line();
            }
        }
    }

    /// A list in a list starts on the line of its parent's dash.
    fn nested_sequence(&mut self, list: &[Value], indent: usize) {
        for (index, item) in list.iter().enumerate() {
            if index == 0 {
                self.push(" ");
            } else {
                self.indent(indent);
            }
            self.push("-");
            self.value(item, indent, false);
        }
    }

    fn leaf(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Null => self.push("null"),
            Value::Bool(value) => self.push(if *value { "true" } else { "false" }),
            Value::Number(number) => self.push(&number.to_string()),
            Value::Array(_) => self.push("[]"),
            Value::Object(_) => self.push("{}"),
            Value::String(text) => {
                let text = scalar::value(text, indent, self.column);
                self.push(&text);
            }
        }
    }

    fn indent(&mut self, indent: usize) {
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.column = indent;
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.column = match text.rfind('\n') {
            Some(at) => text[at + 1..].chars().count(),
            None => self.column + text.chars().count(),
        };
    }

    fn end_line(&mut self) {
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.column = 0;
    }
}

/// go-yaml's order of keys: digits by value, other signs before letters.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(left, right)| left != right) else {
        return a.len().cmp(&b.len());
    };
    match (a[at].is_alphabetic(), b[at].is_alphabetic()) {
        (true, true) => return a[at].cmp(&b[at]),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero inside a number is a digit of it; in front of one it counts for nothing.
    let inside = (a[at] == '0' || b[at] == '0')
        && a[..at].iter().rev().take_while(|c| c.is_numeric()).any(|c| *c != '0');
    let (left, left_digits) = number(&a[at..], inside);
    let (right, right_digits) = number(&b[at..], inside);
    left.cmp(&right).then(left_digits.cmp(&right_digits)).then(a[at].cmp(&b[at]))
}

fn number(text: &[char], inside: bool) -> (i64, usize) {
    let digits = text.iter().take_while(|c| c.is_numeric()).count();
    let value = text[..digits].iter().fold(i64::from(inside), |value, digit| {
        value.wrapping_mul(10).wrapping_add(i64::from(u32::from(*digit)) - i64::from(u32::from('0')))
    });
    (value, digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_look_as_kubectl_prints_them() {
        let value = json!({
            "metadata": {"name": "acme", "labels": {}, "annotations": {"b": "true", "a": "1"}},
            "items": [{"name": "x", "list": [1, 2]}, [], [["deep"]], "plain", null, 1.5, true],
            "empty": [],
        });
        assert_eq!(
            document(&value),
            "empty: []\nitems:\n- list:\n  - 1\n  - 2\n  name: x\n- []\n- - - deep\n- plain\n- null\n- 1.5\n- true\n\
             metadata:\n  annotations:\n    a: \"1\"\n    b: \"true\"\n  labels: {}\n  name: acme\n"
        );
    }

    #[test]
    fn keys_are_in_natural_order() {
        let mut keys = ["a10", "a2", "b", "A", "a.b", "a", "a/b", "1", "10", "2", "a02"];
        keys.sort_by(|a, b| natural(a, b));
        assert_eq!(keys, ["1", "2", "10", "A", "a", "a.b", "a/b", "a2", "a02", "a10", "b"]);
    }
}
