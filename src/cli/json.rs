//! JSON exactly as kubectl prints it: sorted keys, four spaces, Go's escapes.

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// The value over several lines, without a line break at the end.
pub(super) fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    if value.serialize(&mut serializer).is_err() {
        // A `Value` always serialises, and a Vec takes every byte.
        return String::new();
    }
    // Go escapes what HTML or JavaScript would take for its own; outside of strings none of them occurs.
    String::from_utf8_lossy(&bytes)
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn go_would_print_the_same() {
        assert_eq!(
            pretty(&json!({"b": [], "a": {"x": "<&>"}, "c": [1, {}]})),
            "{\n    \"a\": {\n        \"x\": \"\\u003c\\u0026\\u003e\"\n    },\n    \"b\": [],\n    \"c\": [\n        1,\n        {}\n    ]\n}"
        );
    }
}
