//! Calls to a tenant's user service, through the API server's service proxy.

use http::{Method, Request, header};
use kube::Client;
use serde_json::{Value, json};

/// Creates a user; what the service answered.
pub async fn create_user(client: &Client, tenant: &str, email: &str) -> kube::Result<Value> {
    call(client, Method::POST, tenant, &json!({"email": email, "name": email})).await
}

/// The addresses of all users, sorted.
pub async fn emails(client: &Client, tenant: &str) -> kube::Result<Vec<String>> {
    let page = call(client, Method::GET, tenant, &Value::Null).await?;
    assert_eq!(page["next"], Value::Null, "one page holds all users of a test");
    let users = page["items"].as_array().unwrap();
    let mut emails: Vec<String> = users.iter().map(|user| user["email"].as_str().unwrap().into()).collect();
    emails.sort();
    Ok(emails)
}

async fn call(client: &Client, method: Method, tenant: &str, body: &Value) -> kube::Result<Value> {
    let path = format!("/api/v1/namespaces/tenant-{tenant}/services/user:80/proxy/api/users");
    let body = if body.is_null() { vec![] } else { serde_json::to_vec(body).unwrap() };
    let json = (header::CONTENT_TYPE, "application/json");
    client
        .request(Request::builder().method(method).uri(path).header(json.0, json.1).body(body).unwrap())
        .await
}
