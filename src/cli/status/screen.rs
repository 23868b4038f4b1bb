//! What `tenantry status` shows. Pure: objects and the time in, text out.

use std::fmt::Write as _;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::age;
use crate::cli::health::{self, Health};
use crate::cli::table::columns;

/// Most events that are shown.
const EVENTS: usize = 10;

/// One line about a tenant.
pub(super) fn row(tenant: &Value, now: Timestamp) -> Vec<String> {
    let healthy = Health::of(tenant) == Health::Ready;
    let message = health::explanation(tenant).filter(|_| !healthy).unwrap_or_default();
    vec![
        text(&tenant["metadata"]["name"]),
        Health::of(tenant).word().to_owned(),
        text(&tenant["spec"]["planRef"]["name"]),
        age::since(&tenant["metadata"]["creationTimestamp"], now),
        message,
    ]
}

/// A tenant and what belongs to it.
pub(super) struct View {
    /// The tenant.
    pub tenant: Value,
    /// Its claims.
    pub databases: Vec<Value>,
    /// Its microservices.
    pub services: Vec<Value>,
    /// The newest events of its namespace and of itself.
    pub events: Vec<Value>,
}

impl View {
    /// Whether the tenant and all of it are ready.
    pub(super) fn is_ready(&self) -> bool {
        std::iter::once(&self.tenant)
            .chain(&self.databases)
            .chain(&self.services)
            .all(|object| Health::of(object) == Health::Ready)
    }

    /// For programs.
    pub(super) fn report(&self) -> Value {
        let mut report = summary(&self.tenant);
        report["ready"] = json!(self.is_ready());
        report["databases"] = self.databases.iter().map(summary).collect();
        report["services"] = self.services.iter().map(summary).collect();
        report
    }

    /// For people.
    pub(super) fn screen(&self, namespace: &str, now: Timestamp) -> String {
        let tenant = &self.tenant;
        let mut facts = vec![("Name", text(&tenant["metadata"]["name"]))];
        facts.extend(tenant["spec"]["displayName"].as_str().map(|name| ("Display name", name.to_owned())));
        facts.push(("Health", Health::of(tenant).word().to_owned()));
        facts.push(("State", tenant["spec"]["state"].as_str().unwrap_or("Active").to_owned()));
        facts.push(("Plan", text(&tenant["spec"]["planRef"]["name"])));
        facts.push(("Blueprints", list_of_names(&tenant["spec"]["blueprints"])));
        facts.push(("Namespace", namespace.to_owned()));
        facts.push(("Id", text(&tenant["status"]["id"])));
        facts.push(("Age", age::since(&tenant["metadata"]["creationTimestamp"], now)));
        let mut screen = String::new();
        for (name, value) in facts {
            _ = writeln!(screen, "{:<14}{value}", format!("{name}:"));
        }
        let conditions = tenant["status"]["conditions"].as_array().into_iter().flatten().map(|condition| {
            let since = age::since(&condition["lastTransitionTime"], now);
            let cell = |field: &str| text(&condition[field]);
            vec![cell("type"), cell("status"), cell("reason"), since, cell("message")]
        });
        section(
            &mut screen,
            "Conditions",
            &["TYPE", "STATUS", "REASON", "AGE", "MESSAGE"],
            conditions.collect(),
        );
        let titles = ["NAME", "HEALTH", "SERVER", "DATABASE", "MESSAGE"];
        section(&mut screen, "Databases", &titles, self.databases.iter().map(database).collect());
        let titles = ["NAME", "HEALTH", "VERSION", "REPLICAS", "MESSAGE"];
        section(&mut screen, "Services", &titles, self.services.iter().map(service).collect());
        let titles = ["AGE", "TYPE", "REASON", "OBJECT", "MESSAGE"];
        section(
            &mut screen,
            "Events",
            &titles,
            self.events.iter().map(|event| happening(event, now)).collect(),
        );
        screen
    }
}

/// Name, health and conditions of an object.
pub(super) fn summary(object: &Value) -> Value {
    json!({
        "name": object["metadata"]["name"],
        "health": Health::of(object).word(),
        "conditions": object["status"]["conditions"].as_array().cloned().unwrap_or_default(),
    })
}

fn database(claim: &Value) -> Vec<String> {
    let cells = [&claim["metadata"]["name"], &claim["status"]["server"], &claim["status"]["serverDatabase"]];
    let [name, server, database] = cells.map(text);
    vec![name, Health::of(claim).word().to_owned(), server, database, trouble(claim)]
}

fn service(service: &Value) -> Vec<String> {
    let [name, version] = [&service["metadata"]["name"], &service["spec"]["version"]].map(text);
    let replicas = service["status"]["replicas"].as_i64().unwrap_or(0).to_string();
    vec![name, Health::of(service).word().to_owned(), version, replicas, trouble(service)]
}

fn happening(event: &Value, now: Timestamp) -> Vec<String> {
    let object = &event["involvedObject"];
    let kind = text(&object["kind"]).to_lowercase();
    let [kind_of, reason, message] = [&event["type"], &event["reason"], &event["message"]].map(text);
    vec![age::since(&when(event), now), kind_of, reason, format!("{kind}/{}", text(&object["name"])), message]
}

/// The last time of an event, in whichever of the three places it stands.
fn when(event: &Value) -> Value {
    let places = [&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"]];
    let last = places.into_iter().find(|time| time.is_string());
    last.unwrap_or(&event["metadata"]["creationTimestamp"]).clone()
}

/// The newest events, the oldest of them first.
pub(super) fn newest(mut events: Vec<Value>) -> Vec<Value> {
    let time = |event: &Value| when(event).as_str().and_then(|text| text.parse::<Timestamp>().ok());
    events.sort_by_key(time);
    events.split_off(events.len().saturating_sub(EVENTS))
}

fn trouble(object: &Value) -> String {
    let ready = Health::of(object) == Health::Ready;
    health::explanation(object).filter(|_| !ready).unwrap_or_default()
}

fn section(screen: &mut String, title: &str, titles: &[&str], rows: Vec<Vec<String>>) {
    _ = writeln!(screen, "\n{title}");
    if rows.is_empty() {
        screen.push_str("  <none>\n");
        return;
    }
    for line in columns(titles, rows).lines() {
        _ = writeln!(screen, "  {line}");
    }
}

fn list_of_names(list: &Value) -> String {
    let names: Vec<&str> =
        list.as_array().into_iter().flatten().filter_map(|item| item["name"].as_str()).collect();
    if names.is_empty() { "<none>".to_owned() } else { names.join(", ") }
}

fn text(value: &Value) -> String {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or("<none>").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let ready = json!([{"type": "Ready", "status": "True", "reason": "Reconciled", "message": "all is well",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
        let stalled = json!([
            {"type": "Ready", "status": "False", "reason": "ImagePullFailed", "message": "no such image"},
            {"type": "Stalled", "status": "True", "reason": "ImagePullFailed", "message": "no such image"}]);
        let event = |time: &str, message: &str| {
            json!({"type": "Normal", "reason": "Bound", "message": message, "lastTimestamp": time,
                "involvedObject": {"kind": "TenantDatabase", "name": "main"}})
        };
        View {
            tenant: json!({
                "metadata": {"name": "acme", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"planRef": {"name": "small"}, "blueprints": [{"name": "web"}]},
                "status": {"observedGeneration": 1, "id": "abcdefghij", "conditions": ready},
            }),
            databases: vec![],
            services: vec![json!({
                "metadata": {"name": "web", "generation": 1},
                "spec": {"version": "1.0.0"},
                "status": {"observedGeneration": 1, "replicas": 2, "conditions": stalled},
            })],
            events: newest(vec![
                event("2026-01-01T00:00:50Z", "later"),
                event("2026-01-01T00:00:10Z", "earlier"),
            ]),
        }
    }

    #[test]
    fn one_screen_says_it_all() {
        let screen = view().screen("tenant-acme", "2026-01-01T00:01:00Z".parse().unwrap());
        assert_eq!(
            screen,
            "Name:         acme\nHealth:       Ready\nState:        Active\nPlan:         small\nBlueprints:   web\n\
             Namespace:    tenant-acme\nId:           abcdefghij\nAge:          60s\n\
             \nConditions\n  TYPE    STATUS   REASON       AGE   MESSAGE\n  Ready   True     Reconciled   60s   all is well\n\
             \nDatabases\n  <none>\n\
             \nServices\n  NAME   HEALTH    VERSION   REPLICAS   MESSAGE\n  web    Stalled   1.0.0     2          ImagePullFailed: no such image\n\
             \nEvents\n  AGE   TYPE     REASON   OBJECT                MESSAGE\n  50s   Normal   Bound    tenantdatabase/main   earlier\n  \
             10s   Normal   Bound    tenantdatabase/main   later\n"
        );
    }

    #[test]
    fn a_tenant_is_as_healthy_as_its_worst_part() {
        let mut view = view();
        assert!(!view.is_ready());
        view.services.clear();
        assert!(view.is_ready());
        assert_eq!(view.report()["ready"], true);
    }
}
