//! Lists: pages that neither repeat nor miss, and searches that mean what was typed.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};

use super::instance::Instance;
use super::tenant_database::TenantDatabase;

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_neither_repeat_nor_miss_while_users_are_added() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    // Ids of version 7 from the year 2001 on, so that they sort before whatever is added now.
    let insert = "INSERT INTO user_service.users (id, email, name)
                  SELECT ('00e40000-' || lpad(to_hex(n), 4, '0') || '-7000-8000-000000000000')::uuid,
                         'u' || n || '@b.org', 'U' || n
                  FROM generate_series(1, 500) AS n ORDER BY random()";
    database.admin().await.execute(insert).await.unwrap();
    let before: BTreeSet<String> =
        (1..=500).map(|n| format!("00e40000-{n:04x}-7000-8000-000000000000")).collect();

    let mut seen = Vec::new();
    let mut path = "/api/users?limit=37".to_owned();
    for round in 0.. {
        let answer = service.get(&path).await;
        let page = answer.json();
        assert!(ids(&page).len() <= 37);
        seen.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        assert_eq!(answer.header("link"), format!("<{next}>; rel=\"next\""));
        path = format!("/api/users{next}");
        if round < 12 {
            let added = json!({"email": format!("new{round}@b.org"), "name": "New"});
            assert_eq!(service.post("/api/users", &added).await.status, 201);
        }
    }
    let distinct: BTreeSet<String> = seen.iter().cloned().collect();
    assert_eq!(distinct.len(), seen.len(), "a user was listed twice");
    assert!(seen.is_sorted());
    assert_eq!(before.difference(&distinct).collect::<Vec<_>>(), Vec::<&String>::new());
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_page_holds_50_users_unless_asked_for_more() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    let insert = "INSERT INTO user_service.users (id, email, name)
                  SELECT gen_random_uuid(), 'u' || n || '@b.org', 'U' FROM generate_series(1, 201) AS n";
    database.admin().await.execute(insert).await.unwrap();
    for (query, count, more) in [("", 50, true), ("?limit=1", 1, true), ("?limit=200", 200, true)] {
        let page = service.get(&format!("/api/users{query}")).await.json();
        assert_eq!((ids(&page).len(), page["next"].is_string()), (count, more), "{query}");
    }
    let second = service.get("/api/users?limit=200").await.json();
    let last = service.get(&format!("/api/users{}", second["next"].as_str().unwrap())).await.json();
    assert_eq!((ids(&last).len(), &last["next"]), (1, &Value::Null));
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_search_means_its_characters_literally() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    for (n, name) in ["100% sure", "100 sure", "snake_case", "snakeXcase", r"back\slash", "Grüße", "O'Brien"]
        .iter()
        .enumerate()
    {
        let user = json!({"email": format!("u{n}@search.org"), "name": name});
        assert_eq!(service.post("/api/users", &user).await.status, 201);
    }
    let cases: [(&str, &[&str]); 11] = [
        ("0%25", &["100% sure"]),
        ("%25", &["100% sure"]),
        ("_", &["snake_case"]),
        ("%5C", &[r"back\slash"]),
        ("%5C%25", &[]),
        ("SNAKE", &["snake_case", "snakeXcase"]),
        ("GR%C3%9C", &["Grüße"]),
        ("'", &["O'Brien"]),
        ("U4@SEARCH", &[r"back\slash"]),
        ("nobody", &[]),
        ("100+s", &["100 sure"]),
    ];
    for (query, wanted) in cases {
        let page = service.get(&format!("/api/users?q={query}")).await.json();
        let names: Vec<&str> =
            page["items"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap()).collect();
        assert_eq!(names, wanted, "{query}");
    }
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_search_is_paged_like_any_list() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    let insert = format!(
        "INSERT INTO user_service.users (id, email, name)
         SELECT gen_random_uuid(), 'u' || n || '@b.org', CASE WHEN n % 3 = 0 THEN '{}' ELSE 'other' END
         FROM generate_series(1, 30) AS n",
        "a&b=c d%"
    );
    database.admin().await.execute(AssertSqlSafe(insert)).await.unwrap();
    let mut found = Vec::new();
    let mut path = "/api/users?q=A%26B=c%20D%25&limit=4".to_owned();
    loop {
        let page = service.get(&path).await.json();
        found.push(ids(&page).len());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/users{next}");
    }
    assert_eq!(found, [4, 4, 2]);
    service.stop().await.unwrap();
}
