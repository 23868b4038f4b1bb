//! Quoting, as PostgreSQL itself reads it: a million hostile texts as names, as texts and as values of settings, a
//! hundredth of them in `make test`. None escapes, whatever `standard_conforming_strings` is.

use std::fmt::Write as _;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};
use tenantry::postgres::quote::{Ident, Literal};

use crate::faults::wanted::Share;
use crate::support::Postgres;

/// What breaks quoting where anything does.
const PIECES: [&str; 48] = [
    "\"",
    "'",
    "\\",
    "\\'",
    "\\\\",
    "\"\"",
    "''",
    "$$",
    "$a$",
    "; DROP DATABASE x; --",
    "\"; DROP ROLE x; --",
    "'; DROP TABLE x; --",
    "/*",
    "*/",
    "--",
    "\n",
    "\r\n",
    "\t",
    "\u{8}",
    "\u{1b}",
    "\u{7f}",
    "E'",
    "e'",
    "B'0",
    "X'f",
    "N'",
    "U&\"",
    "U&'",
    "\\x27",
    "\\u0027",
    "\\047",
    "%I",
    "%s",
    "$1",
    ":x",
    "?",
    "{}",
    "select",
    "user",
    "all",
    "PUBLIC",
    "role",
    "TABLE",
    // What looks like quotes, like letters, and what a text looks like whose bytes were no UTF-8.
    "\u{2019}\u{ff07}\u{2bc}",
    "\u{201d}\u{ff02}",
    "\u{430}\u{435}\u{3bf}",
    "\u{fffd}",
    "\u{202e}\u{200b}\u{feff}",
];
/// How many texts there are in one statement.
const AT_ONCE: usize = 250;

/// A hostile text, now and then of about as many bytes as a name may have.
fn hostile(random: &mut StdRng) -> String {
    let mut text = String::new();
    if random.random_ratio(1, 8) {
        // Names that differ only after the 63rd byte, or in the middle of a character.
        text.push_str(&"collision_".repeat(6));
        text.push_str(&"x".repeat(random.random_range(0..4)));
    }
    for _ in 0..random.random_range(1..8) {
        if random.random_ratio(3, 4) {
            text.push_str(PIECES.choose(random).unwrap());
        } else {
            // Any character that there is but NUL.
            let drawn = std::iter::repeat_with(|| char::from_u32(random.random_range(1..=0x0010_ffff)));
            text.extend(drawn.flatten().take(1));
        }
    }
    text
}

#[tokio::test]
async fn no_name_no_text_and_no_setting_escapes_from_its_quotes() {
    let share = Share::of("quoting");
    let mut random = StdRng::seed_from_u64(share.seed);
    let mut connection = Postgres::shared().admin("postgres").await;
    let mut done = 0;
    while done < share.of_all(1_000_000) {
        let conforming = if (done / AT_ONCE).is_multiple_of(2) { "on" } else { "off" };
        let set = format!("SET standard_conforming_strings = {conforming}; SET escape_string_warning = off");
        connection.execute(sqlx::raw_sql(AssertSqlSafe(set))).await.unwrap();
        let texts: Vec<String> = (0..AT_ONCE).map(|_| hostile(&mut random)).collect();
        come_back_as_they_went(&mut connection, &texts, share.seed).await;
        done += texts.len();
    }
    share.say(&format!("{done} hostile texts quoted, 0 escaped"));
}

/// As the texts of a query, the names of its columns and the values of settings.
async fn come_back_as_they_went(connection: &mut PgConnection, texts: &[String], seed: u64) {
    let names: Vec<Option<Ident>> = texts.iter().map(|text| Ident::foreign(text).ok()).collect();
    let literals: Vec<Literal> = texts.iter().map(|text| Literal::new(text).unwrap()).collect();
    for (text, name) in texts.iter().zip(&names) {
        assert_eq!(name.is_some(), text.len() <= 63, "seed {seed}: {text:?}");
    }

    let (mut query, mut settings) = (String::from("SELECT 1 AS first"), String::new());
    for (index, (name, literal)) in names.iter().zip(&literals).enumerate() {
        let name = name.as_ref().map_or_else(|| "\"long\"".to_owned(), Ident::to_string);
        write!(query, ",{literal}AS {name}").unwrap();
        write!(settings, "SET tenantry.text{index} TO{literal};").unwrap();
    }
    let row = sqlx::query(AssertSqlSafe(query)).persistent(false).fetch_one(&mut *connection).await;
    let row = row.unwrap_or_else(|error| panic!("seed {seed}: {error}: {texts:?}"));
    assert_eq!(row.len(), texts.len() + 1, "seed {seed}: {texts:?}");
    for (index, text) in texts.iter().enumerate() {
        let name = sqlx::Column::name(&row.columns()[index + 1]);
        let expected = if text.len() <= 63 { text.as_str() } else { "long" };
        assert_eq!((name, row.get::<&str, _>(index + 1)), (expected, text.as_str()), "seed {seed}");
    }

    let set = connection.execute(sqlx::raw_sql(AssertSqlSafe(settings))).await;
    set.unwrap_or_else(|error| panic!("seed {seed}: {error}: {texts:?}"));
    // What the server itself would have written, and what it holds.
    let wrong = "SELECT text FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS t (text, name, literal, n) \
         WHERE ltrim(literal, ' ') IS DISTINCT FROM quote_literal(text) \
         OR current_setting('tenantry.text' || n - 1) IS DISTINCT FROM text \
         OR CASE WHEN name IS NOT NULL THEN parse_ident(name) IS DISTINCT FROM ARRAY[text] \
            OR name NOT IN (format('%I', text), '\"' || format('%I', text) || '\"') ELSE false END";
    let quoted: Vec<String> = literals.iter().map(Literal::to_string).collect();
    let names: Vec<Option<String>> = names.iter().map(|name| name.as_ref().map(Ident::to_string)).collect();
    let wrong = sqlx::query(wrong).bind(texts).bind(names).bind(quoted).fetch_all(connection).await.unwrap();
    let wrong: Vec<String> = wrong.iter().map(|row| row.get(0)).collect();
    assert_eq!(wrong, Vec::<String>::new(), "seed {seed}");
}
