//! What a plan's schema cannot say. Pure.

use crate::api::condition::{Summary, reason};
use crate::api::plan::PlanSpec;

/// Labels as Kubernetes has them: a selector that no label can match is a mistake.
pub fn validate(spec: &PlanSpec) -> Result<(), Summary> {
    for (name, value) in spec.server_selector.iter().flat_map(|selector| &selector.match_labels) {
        let (prefix, label) = name.split_once('/').map_or((None, name.as_str()), |(at, it)| (Some(at), it));
        let is_value = value.is_empty() || is_word(value);
        if !prefix.is_none_or(is_subdomain) || !is_word(label) || !is_value {
            let message = format!(
                "spec.serverSelector.matchLabels: {name:?}: {value:?} can be no label: names and values have at most 63 letters, digits, \
                 '-', '_' and '.', and begin and end with a letter or digit; a name may have a DNS domain and '/' before it"
            );
            return Err(Summary::Stalled { reason: reason::INVALID_SPEC, message });
        }
    }
    Ok(())
}

/// A label's value, or its name without its prefix.
fn is_word(text: &str) -> bool {
    text.len() <= 63 && is_within(text, |byte| byte.is_ascii_alphanumeric(), b"-_.")
}

fn is_subdomain(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 253 && text.split('.').all(|part| is_within(part, is_letter, b"-"))
}

/// Whether the text begins and ends with a letter, and has nothing but letters and `others`.
fn is_within(text: &str, is_letter: impl Fn(u8) -> bool, others: &[u8]) -> bool {
    let ends = [text.bytes().next(), text.bytes().next_back()];
    ends.into_iter().all(|end| end.is_some_and(&is_letter))
        && text.bytes().all(|byte| is_letter(byte) || others.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::plan::ServerSelector;

    fn takes(name: &str, value: &str) -> bool {
        let selector = ServerSelector { match_labels: [(name.to_owned(), value.to_owned())].into() };
        validate(&PlanSpec { server_selector: Some(selector), ..PlanSpec::default() }).is_ok()
    }

    #[test]
    fn a_selector_names_what_can_be_a_label() {
        let long = "a".repeat(63);
        for name in ["tier", "Tier_1.x", "example.com/tier", "a-b.c/d", &long] {
            assert!(takes(name, "shared") && takes(name, ""), "{name}");
        }
        for name in
            [" ", "a b", "a\"b", "a'b", "$$", "a\"; DROP DATABASE x; --", "a\0b", "-a", "a-", "\u{430}cme"]
        {
            for name in [name.to_owned(), format!("{name}/tier"), format!("example.com/{name}")] {
                assert!(!takes(&name, "shared"), "{name:?}");
            }
            assert!(!takes("tier", name), "{name:?}");
        }
        let longer = "a".repeat(64);
        for name in
            ["", "/tier", "tier/", "a/b/c", "Example.com/tier", "a_b.com/tier", "example..com/tier", &longer]
        {
            assert!(!takes(name, "shared"), "{name:?}");
        }
        assert!(!takes("tier", &longer));
    }
}
