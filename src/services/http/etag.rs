//! Entity tags of versioned rows, and the two conditions on them that we obey (RFC 9110, 13.1). Pure.

use axum::http::HeaderMap;
use axum::http::header::{AsHeaderName, IF_MATCH, IF_NONE_MATCH};

use super::problem::Fault;

/// The entity tag of a version: `"3"`.
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// What `If-Match` asks of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// No condition, or `*`: any version will do, as long as there is one.
    Any,
    /// One of these versions. Tags that are none of ours are left out: they match nothing.
    Versions(Vec<i64>),
}

impl IfMatch {
    /// Reads the condition. Weak tags match nothing here: `If-Match` compares strongly.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, Fault> {
        Ok(match tags(headers, IF_MATCH, "if-match")? {
            None | Some(Tags::Any) => Self::Any,
            Some(Tags::List(tags)) => {
                Self::Versions(tags.iter().filter(|tag| !tag.weak).filter_map(Tag::version).collect())
            }
        })
    }
}

/// Whether `If-None-Match` says that the client already has this version. Weak tags count.
pub fn client_has(headers: &HeaderMap, version: i64) -> Result<bool, Fault> {
    Ok(match tags(headers, IF_NONE_MATCH, "if-none-match")? {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::List(tags)) => tags.iter().any(|tag| tag.version() == Some(version)),
    })
}

#[derive(Debug)]
enum Tags {
    Any,
    List(Vec<Tag>),
}

#[derive(Debug)]
struct Tag {
    weak: bool,
    opaque: String,
}

impl Tag {
    /// The version that a tag of ours stands for. `"07"` and `"+7"` are not what [`etag`] writes.
    fn version(&self) -> Option<i64> {
        self.opaque.parse().ok().filter(|version: &i64| version.to_string() == self.opaque)
    }
}

fn tags(headers: &HeaderMap, name: impl AsHeaderName, shown: &'static str) -> Result<Option<Tags>, Fault> {
    let fault = || Fault::header(shown, "must be * or a list of entity tags, for example \"3\"");
    let mut lines = Vec::new();
    for line in headers.get_all(name) {
        lines.push(line.to_str().map_err(|_| fault())?);
    }
    if lines.is_empty() {
        return Ok(None);
    }
    // Several lines of one header mean the same as one line with commas (RFC 9110, 5.3).
    let value = lines.join(",");
    if value.trim() == "*" {
        return Ok(Some(Tags::Any));
    }
    parse_list(&value).map(|list| Some(Tags::List(list))).ok_or_else(fault)
}

/// A list of entity tags. The opaque part may hold commas, so it cannot simply be split.
fn parse_list(value: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut rest = value.trim_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
        if opaque.contains([' ', '\t']) {
            return None;
        }
        tags.push(Tag { weak, opaque: opaque.to_owned() });
        let trimmed = after.trim_start_matches([' ', '\t']);
        if !trimmed.is_empty() && !trimmed.starts_with(',') {
            return None;
        }
        rest = trimmed.trim_start_matches([' ', '\t', ',']);
    }
    if tags.is_empty() { None } else { Some(tags) }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), line.parse().unwrap())).collect()
    }

    #[test]
    fn if_match_compares_strongly() {
        let cases: [(&[&str], IfMatch); 7] = [
            (&[], IfMatch::Any),
            (&["*"], IfMatch::Any),
            (&["\"3\""], IfMatch::Versions(vec![3])),
            (&["\"3\", \"4\" ,", "\"5\""], IfMatch::Versions(vec![3, 4, 5])),
            (&["W/\"3\""], IfMatch::Versions(vec![])),
            (&["\"a,b\", \"7\""], IfMatch::Versions(vec![7])),
            (&["\"03\", \"+3\", \"\", \"9223372036854775808\""], IfMatch::Versions(vec![])),
        ];
        for (lines, wanted) in cases {
            assert_eq!(IfMatch::from_headers(&headers(&IF_MATCH, lines)), Ok(wanted), "{lines:?}");
        }
    }

    #[test]
    fn a_malformed_condition_is_refused_rather_than_ignored() {
        for bad in ["", ",", "3", "\"3", "\"3\" \"4\"", "w/\"3\"", "*, \"3\"", "\"a b\""] {
            let fault = IfMatch::from_headers(&headers(&IF_MATCH, &[bad])).unwrap_err();
            assert_eq!(
                fault,
                Fault::header("if-match", "must be * or a list of entity tags, for example \"3\""),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for (line, has) in
            [("\"3\"", true), ("W/\"3\"", true), ("\"2\", \"3\"", true), ("*", true), ("\"4\"", false)]
        {
            assert_eq!(client_has(&headers(&IF_NONE_MATCH, &[line]), 3), Ok(has), "{line}");
        }
        assert_eq!(client_has(&HeaderMap::new(), 3), Ok(false));
        assert!(client_has(&headers(&IF_NONE_MATCH, &["3"]), 3).is_err());
    }
}
