//! kubectl's grammar of what is asked for: kinds, kinds with names, or pairs of both. Pure.

use crate::cli::failure::Failure;
use crate::cli::kinds::{self, KINDS, Kind};

/// All objects of a kind, or one by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The kind.
    pub kind: &'static Kind,
    /// The name; None for all.
    pub name: Option<&'a str>,
}

/// kubectl's grammar: `TYPE[,TYPE…] [NAME…]` or `TYPE/NAME…`.
pub(super) fn parse(words: &[String]) -> Result<Vec<Target<'_>>, Failure> {
    let pairs = words.iter().filter(|word| word.contains('/')).count();
    if pairs == words.len() {
        return words.iter().map(|word| pair(word)).collect();
    }
    if pairs > 0 {
        return Err(Failure::usage(
            "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. 'tenantry get resource/<resource_name>' instead of 'tenantry get resource resource/<resource_name>'",
        ));
    }
    let kinds: Vec<&Kind> = words[0].split(',').map(kind).collect::<Result<_, _>>()?;
    let names = &words[1..];
    let all = |kind| Target { kind, name: None };
    if names.is_empty() {
        return Ok(kinds.into_iter().map(all).collect());
    }
    let one = |kind| names.iter().map(move |name| Target { kind, name: Some(name) });
    Ok(kinds.into_iter().flat_map(one).collect())
}

fn pair(word: &str) -> Result<Target<'_>, Failure> {
    match word.split_once('/') {
        Some((kind_word, name)) if !name.is_empty() && !name.contains('/') => {
            Ok(Target { kind: kind(kind_word)?, name: Some(name) })
        }
        _ => Err(Failure::usage("arguments in resource/name form must have a single resource and name")),
    }
}

/// Targets that all have names.
pub(in crate::cli) fn named(words: &[String]) -> Result<Vec<(&'static Kind, &str)>, Failure> {
    let nameless = || Failure::usage("resource(s) were provided, but no name was specified");
    parse(words)?.into_iter().map(|target| Ok((target.kind, target.name.ok_or_else(nameless)?))).collect()
}

/// The kind that a word names.
fn kind(word: &str) -> Result<&'static Kind, Failure> {
    kinds::find(word).ok_or_else(|| {
        let bare = word.split('.').next().unwrap_or(word);
        let failure = Failure::new(format_args!("the server doesn't have a resource type \"{bare}\""));
        let words = KINDS.iter().flat_map(|kind| [kind.singular, kind.resource.plural]);
        match kinds::nearest(&word.to_ascii_lowercase(), words) {
            Some(near) => failure.hint(format!("did you mean {near}?")),
            None => failure.hint(format!(
                "tenantry knows {}; for others use kubectl",
                KINDS.map(|kind| kind.resource.plural).join(", ")
            )),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Vec<(&'static str, Option<String>)>, String> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let targets = parse(&words).map_err(|failure| failure.lines.join("\n"))?;
        Ok(targets
            .iter()
            .map(|target| (target.kind.resource.plural, target.name.map(str::to_owned)))
            .collect())
    }

    #[test]
    fn targets_follow_kubectls_grammar() {
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(parsed(&["tn"]), Ok(vec![("tenants", None)]));
        assert_eq!(parsed(&["tn,plan"]), Ok(vec![("tenants", None), ("plans", None)]));
        assert_eq!(parsed(&["tn", "a", "b"]), Ok(vec![("tenants", some("a")), ("tenants", some("b"))]));
        assert_eq!(parsed(&["tn/a", "bp/b"]), Ok(vec![("tenants", some("a")), ("blueprints", some("b"))]));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for words in [&["tn/a", "b"][..], &["tn/"], &["tn/a/b"], &["tn,bp/b"], &["pods"], &["tn,"], &[""]] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
        assert_eq!(kind("tennants").unwrap_err().hint.as_deref(), Some("did you mean tenants?"));
    }
}
