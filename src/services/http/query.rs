//! Query strings, read strictly: what is misspelt, repeated or not UTF-8 is refused instead of ignored. Pure.

use std::fmt::Write;

use super::problem::Fault;

/// The parameters of a query string, in order, decoded.
///
/// `allowed` are the names that the route knows; each may stand once.
pub fn parse(
    query: &str,
    allowed: &'static [&'static str],
) -> Result<Vec<(&'static str, String)>, Vec<Fault>> {
    let mut parameters: Vec<(&'static str, String)> = Vec::new();
    let mut faults = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = decode(name).and_then(|name| allowed.iter().find(|allowed| **allowed == name));
        let Some(&name) = known else {
            let detail = format!("is unknown; known are: {}", allowed.join(", "));
            faults.push(Fault::parameter("(unknown)", detail));
            continue;
        };
        match decode(value) {
            _ if parameters.iter().any(|(seen, _)| *seen == name) => {
                faults.push(Fault::parameter(name, "stands more than once"));
            }
            Some(value) => parameters.push((name, value)),
            None => faults.push(Fault::parameter(name, "is not percent-encoded UTF-8")),
        }
    }
    if faults.is_empty() { Ok(parameters) } else { Err(faults) }
}

/// Writes parameters as a query string.
pub fn format(parameters: &[(&str, String)]) -> String {
    let encoded: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    encoded.join("&")
}

/// Undoes percent-encoding, with `+` for a space as HTML forms write it.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALLOWED: &[&str] = &["limit", "q"];

    #[test]
    fn parameters_are_decoded_in_order() {
        assert_eq!(
            parse("q=a%20b+c%26&&limit=5", ALLOWED),
            Ok(vec![("q", "a b c&".to_owned()), ("limit", "5".to_owned())])
        );
        assert_eq!(parse("", ALLOWED), Ok(vec![]));
        assert_eq!(parse("q", ALLOWED), Ok(vec![("q", String::new())]));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert_eq!(
            parse("limit=1&limit=2&Q=x&q=%ff", ALLOWED),
            Err(vec![
                Fault::parameter("limit", "stands more than once"),
                Fault::parameter("(unknown)", "is unknown; known are: limit, q"),
                Fault::parameter("q", "is not percent-encoded UTF-8"),
            ])
        );
        for bad in ["q=%", "q=%4", "q=%zz", "q=%c3%28"] {
            assert_eq!(
                parse(bad, ALLOWED),
                Err(vec![Fault::parameter("q", "is not percent-encoded UTF-8")]),
                "{bad}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in ".*") {
            let query = format(&[("q", value.clone())]);
            prop_assert!(query.is_ascii());
            prop_assert_eq!(parse(&query, ALLOWED), Ok(vec![("q", value)]));
        }
    }
}
