//! What a user, a query and a cursor are. Pure: no I/O, no clock.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::services::http::{Fault, query};

/// Longest address: what fits into an SMTP path (RFC 5321, 4.5.3.1.3).
const EMAIL_MAX: usize = 254;
/// Longest local part of an address (RFC 5321, 4.5.3.1.1).
const LOCAL_MAX: usize = 64;
/// Longest name, in characters.
const NAME_MAX: usize = 200;
/// Largest profile and largest preferences, as JSON text.
const OBJECT_MAX_BYTES: usize = 16 * 1024;
/// Longest search, in characters.
const SEARCH_MAX: usize = 200;
/// Users on a page: by default, and at most.
const LIMIT_DEFAULT: u8 = 50;
const LIMIT_MAX: u8 = 200;
/// First byte of a cursor, so that another kind of cursor can follow one day.
const CURSOR_VERSION: u8 = 1;

/// A user, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// UUID of version 7: ids sort by the time they were made.
    pub id: Uuid,
    /// Address, in lower case. No two users have the same.
    pub email: String,
    /// Name to show.
    pub name: String,
    /// What the user tells about himself; free form.
    pub profile: Map<String, Value>,
    /// What the user likes to have set; free form.
    pub preferences: Map<String, Value>,
    /// When the user was made.
    pub created_at: Timestamp,
    /// When the user was last replaced.
    pub updated_at: Timestamp,
    /// Grows by one with each change; the entity tag.
    pub version: i64,
}

/// A user, as a caller sends it. A member that is left out of a replacement is emptied: PUT replaces all.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserInput {
    /// Address.
    pub email: String,
    /// Name to show.
    pub name: String,
    /// Free form.
    #[serde(default)]
    pub profile: Map<String, Value>,
    /// Free form.
    #[serde(default)]
    pub preferences: Map<String, Value>,
}

/// A user that may be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidUser {
    /// Address, normalised.
    pub email: String,
    /// Name, trimmed.
    pub name: String,
    /// Free form, of bounded size.
    pub profile: Map<String, Value>,
    /// Free form, of bounded size.
    pub preferences: Map<String, Value>,
}

impl UserInput {
    /// Normalises and checks. All faults are told at once.
    pub fn validate(self) -> Result<ValidUser, Vec<Fault>> {
        let email = self.email.trim().to_ascii_lowercase();
        let name = self.name.trim().to_owned();
        let mut faults = Vec::new();
        if !is_email(&email) {
            let wanted = format!("must be an email address of at most {EMAIL_MAX} characters");
            faults.push(Fault::at("/email", wanted));
        }
        if !(1..=NAME_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            let wanted = format!("must have 1 to {NAME_MAX} characters and no control characters");
            faults.push(Fault::at("/name", wanted));
        }
        faults.extend(object_fault("/profile", &self.profile));
        faults.extend(object_fault("/preferences", &self.preferences));
        if faults.is_empty() {
            Ok(ValidUser { email, name, profile: self.profile, preferences: self.preferences })
        } else {
            Err(faults)
        }
    }
}

/// The addresses that `<input type=email>` accepts (HTML Living Standard), within the lengths of RFC 5321. They are
/// ASCII; an internationalised domain comes in its A-label form.
fn is_email(email: &str) -> bool {
    let Some((local, domain)) = email.rsplit_once('@') else { return false };
    let is_atom = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && bytes[0] != b'-'
            && bytes[bytes.len() - 1] != b'-'
    };
    email.len() <= EMAIL_MAX
        && (1..=LOCAL_MAX).contains(&local.len())
        && local.bytes().all(is_atom)
        && domain.split('.').all(is_label)
}

fn object_fault(pointer: &'static str, object: &Map<String, Value>) -> Option<Fault> {
    // Writing a Map of strings to memory cannot fail; if it did, it would be too large to store.
    let size = serde_json::to_vec(object).map_or(usize::MAX, |bytes| bytes.len());
    if size > OBJECT_MAX_BYTES {
        Some(Fault::at(pointer, format!("must have at most {OBJECT_MAX_BYTES} bytes as JSON")))
    } else if object.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)) {
        Some(Fault::at(pointer, "must not hold the character U+0000"))
    } else {
        None
    }
}

/// PostgreSQL stores no NUL, not even inside jsonb.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(object) => object.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The id in a path: a hyphenated UUID, in either case, and none of the other spellings.
pub fn parse_id(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

/// What to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Most users on the page.
    pub limit: u8,
    /// Only users whose id is greater.
    pub after: Option<Uuid>,
    /// Only users whose name or address holds this, whatever the case.
    pub search: Option<String>,
}

impl ListQuery {
    /// Reads a query string. All faults are told at once.
    pub fn parse(query: &str) -> Result<Self, Vec<Fault>> {
        let mut list = Self { limit: LIMIT_DEFAULT, after: None, search: None };
        let mut faults = Vec::new();
        for (name, value) in query::parse(query, &["limit", "cursor", "q"])? {
            match name {
                "limit" => match value.parse() {
                    Ok(limit @ 1..=LIMIT_MAX) => list.limit = limit,
                    _ => faults
                        .push(Fault::parameter("limit", format!("must be a number from 1 to {LIMIT_MAX}"))),
                },
                "cursor" => match decode_cursor(&value) {
                    Some(after) => list.after = Some(after),
                    None => faults.push(Fault::parameter("cursor", "must be one that a `next` link holds")),
                },
                _ if value.chars().count() > SEARCH_MAX || value.contains('\0') => {
                    let wanted = format!("must have at most {SEARCH_MAX} characters and no U+0000");
                    faults.push(Fault::parameter("q", wanted));
                }
                // An empty search is what a form with nothing typed in sends: it means all.
                _ => list.search = Some(value).filter(|search| !search.is_empty()),
            }
        }
        if faults.is_empty() { Ok(list) } else { Err(faults) }
    }
}

/// One page of users.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// The users, in the order of their ids.
    pub items: Vec<User>,
    /// Reference to the next page, relative to this one's URL (so it holds behind any proxy); null on the last page.
    pub next: Option<String>,
}

impl Page {
    /// Cuts what the store found to a page. It was asked for one user more than fits, to know whether more follow.
    pub fn new(mut found: Vec<User>, query: &ListQuery) -> Self {
        let limit = usize::from(query.limit);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| {
            let mut parameters = vec![("limit", query.limit.to_string()), ("cursor", encode_cursor(last.id))];
            parameters.extend(query.search.clone().map(|search| ("q", search)));
            format!("?{}", query::format(&parameters))
        });
        Self { items: found, next }
    }
}

/// A cursor is opaque to clients: only this file knows that it is the last id seen.
fn encode_cursor(after: Uuid) -> String {
    let mut bytes = vec![CURSOR_VERSION];
    bytes.extend(after.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode_cursor(cursor: &str) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (version, id) = bytes.split_first()?;
    if *version == CURSOR_VERSION { Uuid::from_slice(id).ok() } else { None }
}

/// A pattern for `ILIKE … ESCAPE '\'` that matches text holding `search` literally.
pub fn like_pattern(search: &str) -> String {
    let mut pattern = String::with_capacity(search.len() + 2);
    pattern.push('%');
    for character in search.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn input(email: &str, name: &str) -> UserInput {
        UserInput {
            email: email.to_owned(),
            name: name.to_owned(),
            profile: Map::new(),
            preferences: Map::new(),
        }
    }

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { unreachable!("an object is given") };
        object
    }

    fn user(number: u128) -> User {
        User {
            id: Uuid::from_u128(number),
            email: format!("u{number}@example.org"),
            name: "U".to_owned(),
            profile: Map::new(),
            preferences: Map::new(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            version: 1,
        }
    }

    #[test]
    fn addresses_and_names_are_normalised() {
        let valid = input("  Ada.Lovelace+x@Example.ORG ", " Ada Lovelace\u{3000}").validate().unwrap();
        assert_eq!(
            (valid.email.as_str(), valid.name.as_str()),
            ("ada.lovelace+x@example.org", "Ada Lovelace")
        );
    }

    #[test]
    fn only_addresses_are_addresses() {
        let longest_local = format!("{}@x.org", "a".repeat(64));
        let longest = format!("{}@{}.{}.{}", "a".repeat(64), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        assert_eq!(longest.len(), 254);
        for good in ["a@b", "a.b@c-d.example", "a'b@c.d", "#!x@c.d", &longest_local, &longest] {
            assert!(is_email(good), "{good:?}");
        }
        let too_long_local = format!("{}@x.org", "a".repeat(65));
        let too_long = format!("{longest}e");
        let long_label = format!("a@{}.org", "b".repeat(64));
        for bad in [
            "",
            "@",
            "a",
            "a@",
            "@b",
            "a@b@c",
            "a b@c",
            "a@b c",
            "a@-b",
            "a@b-",
            "a@b..c",
            "a@.b",
            "a@b.",
            "ä@b",
            "a@ä",
            "\"a\"@b",
            "a@[1.2.3.4]",
            "a\0@b",
            "a@b\0",
            "a@b\n",
            "<a@b>",
            &too_long_local,
            &too_long,
            &long_label,
        ] {
            assert!(!is_email(bad), "{bad:?}");
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faulty = UserInput {
            email: "nobody".to_owned(),
            name: " \t".to_owned(),
            profile: object(json!({"a": ["b", {"c\u{0}": 1}]})),
            preferences: object(json!({"a": "x".repeat(16 * 1024)})),
        };
        assert_eq!(
            faulty.validate(),
            Err(vec![
                Fault::at("/email", "must be an email address of at most 254 characters"),
                Fault::at("/name", "must have 1 to 200 characters and no control characters"),
                Fault::at("/profile", "must not hold the character U+0000"),
                Fault::at("/preferences", "must have at most 16384 bytes as JSON"),
            ])
        );
    }

    #[test]
    fn names_are_counted_in_characters() {
        assert!(input("a@b", &"ж".repeat(200)).validate().is_ok());
        for bad in ["", "a\0b", "a\nb", "a\u{85}b", &"ж".repeat(201)] {
            assert!(input("a@b", bad).validate().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_query_has_defaults_and_bounds() {
        assert_eq!(ListQuery::parse(""), Ok(ListQuery { limit: 50, after: None, search: None }));
        assert_eq!(ListQuery::parse("limit=200&q="), Ok(ListQuery { limit: 200, after: None, search: None }));
        let cursor = encode_cursor(Uuid::from_u128(7));
        assert_eq!(
            ListQuery::parse(&format!("q=a%25b&cursor={cursor}&limit=1")),
            Ok(ListQuery { limit: 1, after: Some(Uuid::from_u128(7)), search: Some("a%b".to_owned()) })
        );
        let limit = || Fault::parameter("limit", "must be a number from 1 to 200");
        for bad in ["0", "201", "-1", "1.0", "99999999999999999999", "", "a"] {
            assert_eq!(ListQuery::parse(&format!("limit={bad}")), Err(vec![limit()]), "{bad:?}");
        }
        assert_eq!(
            ListQuery::parse(&format!("limit=0&cursor=x&q={}", "a".repeat(201))),
            Err(vec![
                limit(),
                Fault::parameter("cursor", "must be one that a `next` link holds"),
                Fault::parameter("q", "must have at most 200 characters and no U+0000"),
            ])
        );
        assert!(ListQuery::parse("q=a%00b").is_err());
    }

    #[test]
    fn hostile_cursors_are_refused() {
        let good = encode_cursor(Uuid::from_u128(7));
        let other_version = URL_SAFE_NO_PAD.encode([&[2], Uuid::nil().as_bytes().as_slice()].concat());
        for bad in
            ["", "A", "AQ", "!!!!", "ä", "' OR 1=1 --", &good[1..], &format!("{good}A"), &other_version]
        {
            assert_eq!(decode_cursor(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_page_points_to_the_next_only_if_there_is_one() {
        let query = ListQuery { limit: 2, after: None, search: Some("a&b".to_owned()) };
        let cursor = encode_cursor(Uuid::from_u128(2));
        assert_eq!(
            Page::new(vec![user(1), user(2), user(3)], &query),
            Page { items: vec![user(1), user(2)], next: Some(format!("?limit=2&cursor={cursor}&q=a%26b")) }
        );
        assert_eq!(
            Page::new(vec![user(1), user(2)], &query),
            Page { items: vec![user(1), user(2)], next: None }
        );
        assert_eq!(Page::new(vec![], &query), Page { items: vec![], next: None });
    }

    #[test]
    fn a_user_is_shown_in_camel_case_with_rfc_3339_times() {
        let time = |text: &str| text.parse().unwrap();
        let shown = User {
            created_at: time("2023-11-14T22:13:20Z"),
            updated_at: time("2023-11-14T22:13:20.123456Z"),
            ..user(7)
        };
        assert_eq!(
            serde_json::to_value(shown).unwrap(),
            json!({
                "id": "00000000-0000-0000-0000-000000000007",
                "email": "u7@example.org",
                "name": "U",
                "profile": {},
                "preferences": {},
                "createdAt": "2023-11-14T22:13:20Z",
                "updatedAt": "2023-11-14T22:13:20.123456Z",
                "version": 1,
            })
        );
    }

    #[test]
    fn an_id_has_one_spelling() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(parse_id(id), Uuid::try_parse(id).ok());
        assert_eq!(parse_id(&id.to_uppercase()), Uuid::try_parse(id).ok());
        for bad in [
            "",
            "1",
            "01890a5dac96774bbcceb302099a8057",
            "{01890a5d-ac96-774b-bcce-b302099a8057}",
            "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",
            "01890a5d-ac96-774b-bcce-b302099a805g",
        ] {
            assert_eq!(parse_id(bad), None, "{bad:?}");
        }
    }

    /// What PostgreSQL's LIKE does with a pattern whose only wildcards are the outer two.
    fn literal_of(pattern: &str) -> Option<String> {
        let inner = pattern.strip_prefix('%')?.strip_suffix('%')?;
        let mut literal = String::new();
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => literal.push(characters.next()?),
                '%' | '_' => return None,
                other => literal.push(other),
            }
        }
        Some(literal)
    }

    proptest! {
        #[test]
        fn a_pattern_means_its_search_literally(search in "[a-z%_\\\\]{0,12}|.*") {
            prop_assert_eq!(literal_of(&like_pattern(&search)), Some(search));
        }

        #[test]
        fn a_cursor_is_read_back(id in any::<u128>()) {
            prop_assert_eq!(decode_cursor(&encode_cursor(Uuid::from_u128(id))), Some(Uuid::from_u128(id)));
        }
    }
}
