//! Quoting: the only place where a name or a text becomes part of an SQL statement. Pure.
//!
//! An [`Ident`] is always printed between double quotes and a [`Literal`] always as a string constant, so a
//! statement that is put together from them cannot be escaped from, whatever they hold. NUL, which PostgreSQL
//! cannot store, is refused and not dropped: a shortened name would be another name.

use std::fmt;

use super::pool::PoolName;
use super::tombstone::TombstoneName;
use crate::api::names::PhysicalName;

/// PostgreSQL keeps the first 63 bytes of an identifier; a longer one would silently name something else.
const MAX_BYTES: usize = 63;

/// Why a name or text cannot be part of a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// A name that we would not give.
    #[error("name {0:?} is not valid: it must match ^[a-z_][a-z0-9_]{{0,62}}$")]
    NotOurs(String),
    /// A name that no PostgreSQL catalog can hold.
    #[error("name {0:?} is not valid: it must have 1 to 63 bytes and no NUL")]
    NotAName(String),
    /// A text with a NUL character.
    #[error("text {0:?} is not valid: PostgreSQL stores no NUL character")]
    Nul(String),
}

/// The name of a database, role, schema or setting. `Display` prints it quoted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ident(String);

impl Ident {
    /// A name that we give: `^[a-z_][a-z0-9_]{0,62}$`.
    pub fn parse(name: &str) -> Result<Self, QuoteError> {
        let start = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        let valid = name.len() <= MAX_BYTES
            && name.bytes().next().is_some_and(start)
            && name.bytes().all(|byte| start(byte) || byte.is_ascii_digit());
        if valid { Ok(Self(name.to_owned())) } else { Err(QuoteError::NotOurs(name.to_owned())) }
    }

    /// A name that somebody else gave and that a catalog holds: any text without NUL of 1 to 63 bytes.
    pub fn foreign(name: &str) -> Result<Self, QuoteError> {
        if (1..=MAX_BYTES).contains(&name.len()) && !name.contains('\0') {
            Ok(Self(name.to_owned()))
        } else {
            Err(QuoteError::NotAName(name.to_owned()))
        }
    }

    /// The name itself, unquoted.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&PhysicalName> for Ident {
    /// A physical name is 1 to 63 ASCII letters, digits, underscores, hyphens and dots: always a name that a catalog can hold.
    fn from(name: &PhysicalName) -> Self {
        Self(name.as_str().to_owned())
    }
}

impl From<&PoolName> for Ident {
    /// A name of the pool is `tenantry_`, a word and ten digits: always a name of ours.
    fn from(name: &PoolName) -> Self {
        Self(name.as_str().to_owned())
    }
}

impl From<&TombstoneName> for Ident {
    /// A tombstone's name is `tombstone_` and a physical name, 48 characters at most: always a name of ours.
    fn from(name: &TombstoneName) -> Self {
        Self(name.as_str().to_owned())
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A string constant. `Display` prints it quoted, in a form that means the same whatever
/// `standard_conforming_strings` is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Literal(String);

impl Literal {
    /// Any text without NUL.
    pub fn new(text: &str) -> Result<Self, QuoteError> {
        if text.contains('\0') { Err(QuoteError::Nul(text.to_owned())) } else { Ok(Self(text.to_owned())) }
    }

    /// The text itself, unquoted.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doubled = self.0.replace('\'', "''");
        if doubled.contains('\\') {
            // The space keeps the E apart from whatever word stands before it.
            write!(f, " E'{}'", doubled.replace('\\', "\\\\"))
        } else {
            write!(f, "'{doubled}'")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What PostgreSQL's lexer reads at the start of `sql`: the decoded token and the rest.
    fn lex(sql: &str) -> (String, &str) {
        let sql = sql.trim_start_matches(' ');
        let (quote, backslashes, body) = match sql.as_bytes() {
            [b'"', ..] => ('"', false, &sql[1..]),
            [b'\'', ..] => ('\'', false, &sql[1..]),
            [b'E', b'\'', ..] => ('\'', true, &sql[2..]),
            _ => panic!("no quoted token: {sql}"),
        };
        let mut token = String::new();
        let mut chars = body.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                if chars.next_if(|(_, next)| *next == quote).is_none() {
                    return (token, &body[at + 1..]);
                }
                token.push(quote);
            } else if backslashes && c == '\\' {
                let (_, next) = chars.next().expect("an escape has a second character");
                assert_eq!(next, '\\', "only backslashes are escaped by backslash");
                token.push('\\');
            } else {
                token.push(c);
            }
        }
        panic!("unterminated: {sql}");
    }

    /// Text that is likely to break quoting.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("\"".to_owned()),
            Just("'".to_owned()),
            Just("\\".to_owned()),
            Just("$$".to_owned()),
            Just("; DROP DATABASE x --".to_owned()),
            Just("/*".to_owned()),
            Just("\n".to_owned()),
            Just("E'".to_owned()),
            Just("U&\"".to_owned()),
            Just("\u{2019}\u{ff07}".to_owned()),
            any::<char>().prop_filter("no NUL", |c| *c != '\0').prop_map(String::from),
        ];
        prop::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_escapes_from_a_quoted_name(name in hostile(), tail in hostile()) {
            if let Ok(ident) = Ident::foreign(&name) {
                let sql = format!("{ident} {tail}");
                let rest = format!(" {tail}");
                prop_assert_eq!(lex(&sql), (name, rest.as_str()));
            } else {
                prop_assert!(name.len() > 63);
            }
        }

        #[test]
        fn nothing_escapes_from_a_literal(text in hostile(), tail in hostile()) {
            let sql = format!("{},{tail}", Literal::new(&text).unwrap());
            let rest = format!(",{tail}");
            prop_assert_eq!(lex(&sql), (text, rest.as_str()));
        }

        #[test]
        fn a_name_of_ours_needs_no_quoting(name in "[a-z_][a-z0-9_]{0,62}") {
            let ident = Ident::parse(&name).unwrap();
            prop_assert_eq!(ident.to_string(), format!("\"{name}\""));
        }

        #[test]
        fn every_other_name_is_refused_as_ours(name in hostile()) {
            prop_assume!(!name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            prop_assert_eq!(Ident::parse(&name), Err(QuoteError::NotOurs(name)));
        }
    }

    #[test]
    fn names_that_no_catalog_holds_are_refused() {
        for bad in ["", "a\0b", &"a".repeat(64), &"ä".repeat(32)] {
            assert_eq!(Ident::foreign(bad), Err(QuoteError::NotAName(bad.to_owned())));
        }
        for bad in ["", "A", "1a", "a-b", "a b", "a\"b", "ä", "a\0", &"a".repeat(64)] {
            assert_eq!(Ident::parse(bad), Err(QuoteError::NotOurs(bad.to_owned())));
        }
        assert_eq!(Literal::new("a\0b"), Err(QuoteError::Nul("a\0b".to_owned())));
    }

    #[test]
    fn quoting_is_exact() {
        let ident = |name: &str| Ident::foreign(name).unwrap().to_string();
        let literal = |text: &str| Literal::new(text).unwrap().to_string();
        assert_eq!(ident(r#"a"; DROP DATABASE x; --"#), r#""a""; DROP DATABASE x; --""#);
        assert_eq!(ident("select"), "\"select\"");
        assert_eq!(ident("$$"), "\"$$\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"\'"), r" E'\\'''");
        assert_eq!(literal("$$"), "'$$'");
        assert_eq!(literal(""), "''");
    }
}
