//! Quoting, as PostgreSQL itself reads it.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sqlx::{AssertSqlSafe, Row};
use tenantry::postgres::quote::{Ident, Literal};

use crate::support::Postgres;

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just("\\".to_owned()),
        Just("\\'".to_owned()),
        Just("$$".to_owned()),
        Just("; DROP TABLE x; --".to_owned()),
        Just("/*".to_owned()),
        Just("\r\n".to_owned()),
        any::<char>().prop_filter("no NUL", |c| *c != '\0').prop_map(String::from),
    ];
    prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

#[tokio::test]
async fn names_and_texts_come_back_as_they_went() {
    let mut connection = Postgres::shared().admin("postgres").await;
    let mut runner = TestRunner::deterministic();
    let inputs: Vec<String> = (0..500).map(|_| hostile().new_tree(&mut runner).unwrap().current()).collect();
    for conforming in ["on", "off"] {
        let set = format!("SET standard_conforming_strings = {conforming}");
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut connection).await.unwrap();
        for chunk in inputs.chunks(50) {
            let mut sql = String::from("SELECT 1 AS first");
            for input in chunk {
                let name = Ident::foreign(input).map_or_else(|_| "\"long\"".to_owned(), |it| it.to_string());
                write!(sql, ", {} AS {name}", Literal::new(input).unwrap()).unwrap();
            }
            let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
            for (at, input) in chunk.iter().enumerate() {
                assert_eq!(row.get::<String, _>(at + 1), *input);
                let name = sqlx::Column::name(&row.columns()[at + 1]);
                assert_eq!(name, if input.len() <= 63 { input.as_str() } else { "long" });
            }
        }
    }
}
