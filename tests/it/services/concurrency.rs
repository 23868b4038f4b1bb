//! Requests that race: an address is given once, and no update is lost.

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

use super::instance::{Instance, problem, request, settled};
use super::tenant_database::TenantDatabase;

const RACERS: usize = 32;

/// Sorted, so that the order of arrival does not matter.
fn sorted(mut answers: Vec<(u16, Value)>) -> Vec<(u16, Value)> {
    answers.sort_by_key(|(status, _)| *status);
    answers
}

#[tokio::test]
async fn of_many_who_want_one_address_exactly_one_gets_it() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    let bodies: Vec<Value> = (0..RACERS)
        .map(|n| json!({"email": if n % 2 == 0 { "Ada@b.org" } else { "aDA@B.ORG" }, "name": "Ada"}))
        .collect();
    let answers = join_all(bodies.iter().map(|body| service.post("/api/users", body))).await;
    let mut answers = sorted(answers.iter().map(super::instance::Answer::parts).collect());
    let winner = answers.remove(0);
    assert_eq!(
        (winner.0, settled(winner.1.clone())),
        (201, json!({"email": "ada@b.org", "name": "Ada", "profile": {}, "preferences": {}, "version": 1}))
    );
    let taken = problem(409, "Conflict", Some("another user has this email address"));
    assert_eq!(answers, vec![taken.clone(); RACERS - 1]);
    assert_eq!(service.get("/api/users").await.parts(), (200, json!({"items": [winner.1], "next": null})));

    let other = service.post("/api/users", &json!({"email": "b@b.org", "name": "B"})).await.json();
    let path = format!("/api/users/{}", other["id"].as_str().unwrap());
    let body = json!({"email": "ADA@b.org", "name": "B"});
    assert_eq!(service.send(request(Method::PUT, &path, &[], Some(&body))).await.parts(), taken);
    service.stop().await.unwrap();
}

#[tokio::test]
async fn of_many_who_update_one_version_exactly_one_does() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    let user = service.post("/api/users", &json!({"email": "a@b", "name": "n"})).await.json();
    let path = format!("/api/users/{}", user["id"].as_str().unwrap());
    let answers = join_all((0..RACERS).map(|n| {
        let body = json!({"email": "a@b", "name": format!("n{n}")});
        let update = request(Method::PUT, &path, &[("if-match", "\"1\"")], Some(&body));
        service.send(update)
    }))
    .await;
    let mut answers = sorted(answers.iter().map(super::instance::Answer::parts).collect());
    let winner = answers.remove(0);
    assert_eq!((winner.0, &winner.1["version"]), (200, &json!(2)));
    let changed = "the user has changed: read it again and repeat with its new ETag";
    let lost = problem(412, "Precondition Failed", Some(changed));
    assert_eq!(answers, vec![lost.clone(); RACERS - 1]);
    assert_eq!(service.get(&path).await.parts(), (200, winner.1));

    for tag in ["\"1\"", "\"3\"", "W/\"2\""] {
        let stale = request(Method::DELETE, &path, &[("if-match", tag)], None);
        assert_eq!(service.send(stale).await.parts(), lost, "{tag}");
    }
    let any = request(Method::DELETE, &path, &[("if-match", "*")], None);
    assert_eq!(service.send(any).await.parts(), (204, Value::Null));
    service.stop().await.unwrap();
}

#[tokio::test]
async fn updates_without_a_condition_all_count() {
    let database = TenantDatabase::shared().await;
    let service = Instance::ready(&database).await;
    let body = json!({"email": "a@b", "name": "n"});
    let user = service.post("/api/users", &body).await.json();
    let path = format!("/api/users/{}", user["id"].as_str().unwrap());
    let answers =
        join_all((0..RACERS).map(|_| service.send(request(Method::PUT, &path, &[], Some(&body))))).await;
    let mut versions: Vec<i64> =
        answers.iter().map(|answer| answer.json()["version"].as_i64().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=1 + i64::try_from(RACERS).unwrap()).collect::<Vec<_>>());
    service.stop().await.unwrap();
}
