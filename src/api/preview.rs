//! Previews: what the operator would do, as it answers `tenantry plan`. Pure.
//!
//! The operator decides and can reach the database servers, so it is the one that is asked: with the names of tenants,
//! or with objects as they would be after an apply. Nothing in an answer is secret, and what exists only afterwards
//! is [`KNOWN_AFTER_APPLY`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Service of the operator with the port that previews are asked on, as the API server's service proxy has it.
pub const SERVICE: &str = "operator:http";
/// Path of the question, which is POSTed.
pub const PATH: &str = "/preview";
/// Header with a token of [`ACCOUNT`] for [`AUDIENCE`].
pub const TOKEN_HEADER: &str = "x-tenantry-token";
/// Service account in the operator's namespace: whoever may ask for its tokens may ask for previews.
pub const ACCOUNT: &str = "tenantry-plan";
/// Audience of those tokens: they are good for nothing else.
pub const AUDIENCE: &str = "tenantry-plan";

/// Stands for a value that nobody knows yet.
pub const KNOWN_AFTER_APPLY: &str = "(known after apply)";
/// Stands for the id of a tenant that does not exist yet, inside names.
pub const UNKNOWN_ID: &str = "<id>";
/// Stands for a value that is nobody's to see.
pub const SENSITIVE: &str = "(sensitive)";

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    /// Tenants to look at as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<String>,
    /// Objects of ours as they would be; every tenant that they concern is looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Value>,
}

/// What the operator would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Kubernetes objects that would change, in order.
    pub objects: Vec<ObjectChange>,
    /// Databases that would change, in order.
    pub databases: Vec<DatabaseChange>,
    /// What stands against going further.
    pub problems: Vec<Problem>,
    /// What one has to know to read the rest.
    pub notes: Vec<String>,
    /// How many would change how.
    pub summary: Summary,
}

/// What happens to an object or a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is made.
    Add,
    /// It is changed.
    Change,
    /// It is removed.
    Destroy,
}

/// An object that would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectChange {
    /// What happens to it.
    pub action: Action,
    /// Its kind.
    pub kind: String,
    /// Its namespace, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Fields that change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// A field that would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Its path in the object.
    pub path: String,
    /// Its value now; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Its value afterwards; absent if it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// A database that would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseChange {
    /// What happens to it.
    pub action: Action,
    /// Namespace of its claim.
    pub namespace: String,
    /// Name of its claim.
    pub claim: String,
    /// The server that it is on.
    pub server: String,
    /// Its name there.
    pub database: String,
    /// Whether it loses its claim: logins are refused, everything is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
    /// Whether it is purged with that, as its deletion policy says: renamed out of the way, then archived, and dropped when its grace
    /// has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purged: bool,
    /// What is sent to the server, in order.
    pub steps: Vec<SqlStep>,
}

/// Statements that take effect together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqlStep {
    /// Where they run: `server` or `database NAME`.
    pub place: String,
    /// Whether they are one transaction.
    pub transaction: bool,
    /// The statements.
    pub statements: Vec<SqlStatement>,
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqlStatement {
    /// Its text, without password material.
    pub sql: String,
    /// Whether it takes something from people who use the database.
    pub destructive: bool,
}

/// What stands against going further with one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The object, as people name it: `TenantDatabase tenant-acme/app`.
    pub object: String,
    /// The reason that its condition would have.
    pub reason: String,
    /// The message that its condition would have.
    pub message: String,
}

/// How many objects and databases would change how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Made.
    pub add: usize,
    /// Changed.
    pub change: usize,
    /// Removed.
    pub destroy: usize,
}

impl Preview {
    /// Counts what is in it.
    pub fn count(&mut self) {
        let objects = self.objects.iter().map(|object| object.action);
        let actions: Vec<Action> = objects.chain(self.databases.iter().map(|it| it.action)).collect();
        let count = |wanted| actions.iter().filter(|action| **action == wanted).count();
        self.summary = Summary {
            add: count(Action::Add),
            change: count(Action::Change),
            destroy: count(Action::Destroy),
        };
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.databases.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_shape_that_programs_read_stays() {
        let object = ObjectChange {
            action: Action::Change,
            kind: "Deployment".into(),
            namespace: Some("tenant-acme".into()),
            name: "users".into(),
            fields: vec![FieldChange { path: "spec.replicas".into(), before: Some(json!(1)), after: None }],
        };
        let database = DatabaseChange {
            action: Action::Change,
            namespace: "tenant-acme".into(),
            claim: "app".into(),
            server: "main".into(),
            database: "t_x_app".into(),
            released: true,
            purged: false,
            steps: vec![SqlStep {
                place: "server".into(),
                transaction: false,
                statements: vec![SqlStatement { sql: "SELECT 1".into(), destructive: true }],
            }],
        };
        let problem =
            Problem { object: "Tenant a".into(), reason: "PlanNotFound".into(), message: "m".into() };
        let mut preview = Preview {
            objects: vec![object],
            databases: vec![database],
            problems: vec![problem],
            ..Preview::default()
        };
        preview.count();
        let shape = json!({
            "objects": [{
                "action": "change", "kind": "Deployment", "namespace": "tenant-acme", "name": "users",
                "fields": [{"path": "spec.replicas", "before": 1}],
            }],
            "databases": [{
                "action": "change", "namespace": "tenant-acme", "claim": "app", "server": "main",
                "database": "t_x_app", "released": true,
                "steps": [{
                    "place": "server", "transaction": false,
                    "statements": [{"sql": "SELECT 1", "destructive": true}],
                }],
            }],
            "problems": [{"object": "Tenant a", "reason": "PlanNotFound", "message": "m"}],
            "notes": [],
            "summary": {"add": 0, "change": 2, "destroy": 0},
        });
        assert_eq!(serde_json::to_value(&preview).unwrap(), shape);
        assert_eq!(serde_json::from_value::<Preview>(shape).unwrap(), preview);
    }
}
