//! A preview as text. Pure.

use std::fmt::Write;

use serde_json::Value;

use crate::api::preview::{
    Action, DatabaseChange, FieldChange, KNOWN_AFTER_APPLY, ObjectChange, Preview, Problem, SENSITIVE,
    Summary,
};

/// The text, a block for each object and each database.
pub(super) fn render(preview: &Preview, colours: bool) -> String {
    let ink = Ink { colours };
    let mut text = String::new();
    for object in &preview.objects {
        ink.object(&mut text, object);
    }
    for database in &preview.databases {
        ink.database(&mut text, database);
    }
    if preview.is_empty() {
        text.push_str("No changes.\n");
    }
    text.push('\n');
    for note in &preview.notes {
        _ = writeln!(text, "Note: {note}");
    }
    let Summary { add, change, destroy } = preview.summary;
    _ = writeln!(text, "Plan: {add} to add, {change} to change, {destroy} to destroy");
    text
}

/// A problem as a line for stderr.
pub(super) fn problem(problem: &Problem) -> String {
    format!("error: {}: {} ({})", problem.object, problem.message, problem.reason)
}

struct Ink {
    colours: bool,
}

impl Ink {
    fn object(&self, text: &mut String, object: &ObjectChange) {
        let namespace =
            object.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let title = format!("{} {namespace}{}", object.kind, object.name);
        self.line(text, object.action, 0, &title);
        for field in &object.fields {
            self.field(text, field);
        }
    }

    fn field(&self, text: &mut String, FieldChange { path, before, after }: &FieldChange) {
        match (before, after) {
            (None, None) => {}
            (None, Some(after)) => self.line(text, Action::Add, 4, &format!("{path}: {}", value(after))),
            (Some(before), None) => {
                self.line(text, Action::Destroy, 4, &format!("{path}: {}", value(before)));
            }
            (Some(before), Some(after)) => {
                let change = format!("{path}: {} -> {}", value(before), value(after));
                self.line(text, Action::Change, 4, &change);
            }
        }
    }

    fn database(&self, text: &mut String, change: &DatabaseChange) {
        let DatabaseChange { action, namespace, claim, server, database, released, purged, steps } = change;
        let end = match (released, purged) {
            (_, true) => {
                " is released and purged, as its deletionPolicy Delete says: it is renamed out of the way, archived, and dropped after its grace"
            }
            (true, false) => " is released: logins are refused, everything is kept",
            (false, false) => "",
        };
        let title = format!(
            "TenantDatabase {namespace}/{claim} on DatabaseServer {server}: database {database}{end}"
        );
        if !text.is_empty() {
            text.push('\n');
        }
        self.line(text, *action, 0, &title);
        for step in steps {
            let together = if step.transaction { ", in one transaction" } else { "" };
            _ = writeln!(text, "    -- on {}{together}", place(&step.place));
            for statement in &step.statements {
                if statement.destructive {
                    let marked = format!("  ! {}; -- destructive", statement.sql);
                    _ = writeln!(text, "{}", self.painted("31", &marked));
                } else {
                    _ = writeln!(text, "    {};", statement.sql);
                }
            }
        }
    }

    fn line(&self, text: &mut String, action: Action, indent: usize, rest: &str) {
        let (sign, colour) = match action {
            Action::Add => ('+', "32"),
            Action::Change => ('~', "33"),
            Action::Destroy => ('-', "31"),
        };
        let line = format!("{}{sign} {rest}", " ".repeat(indent));
        _ = writeln!(text, "{}", self.painted(colour, &line));
    }

    fn painted(&self, colour: &str, line: &str) -> String {
        if self.colours { format!("\u{1b}[{colour}m{line}\u{1b}[0m") } else { line.to_owned() }
    }
}

fn place(place: &str) -> String {
    if place == "server" { "the server".to_owned() } else { place.to_owned() }
}

/// A value as JSON; what only stands for one as it is.
fn value(value: &Value) -> String {
    match value.as_str() {
        Some(text) if text == KNOWN_AFTER_APPLY || text == SENSITIVE => text.to_owned(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::preview::{SqlStatement, SqlStep};

    fn preview() -> Preview {
        let field = |path: &str, before: Value, after: Value| FieldChange {
            path: path.into(),
            before: Some(before).filter(|value| !value.is_null()),
            after: Some(after).filter(|value| !value.is_null()),
        };
        let object = |action, kind: &str, namespace: Option<&str>, name: &str, fields| ObjectChange {
            action,
            kind: kind.into(),
            namespace: namespace.map(Into::into),
            name: name.into(),
            fields,
        };
        let sql = |sql: &str, destructive| SqlStatement { sql: sql.into(), destructive };
        let mut preview = Preview {
            objects: vec![
                object(Action::Add, "Namespace", None, "tenant-acme", vec![]),
                object(
                    Action::Change,
                    "Secret",
                    Some("tenant-acme"),
                    "app-app",
                    vec![
                        field("data.password", json!(SENSITIVE), json!(SENSITIVE)),
                        field("spec.replicas", json!(1), json!(2)),
                        field("spec.new", Value::Null, json!({"a": "b"})),
                        field("spec.old", json!("x"), Value::Null),
                    ],
                ),
                object(Action::Destroy, "TenantDatabase", Some("tenant-acme"), "orders", vec![]),
            ],
            databases: vec![DatabaseChange {
                action: Action::Change,
                namespace: "tenant-acme".into(),
                claim: "orders".into(),
                server: "main".into(),
                database: "t_x_orders".into(),
                released: true,
                purged: false,
                steps: vec![
                    SqlStep {
                        place: "server".into(),
                        transaction: true,
                        statements: vec![sql("UPDATE a", false), sql("ALTER ROLE \"b\" NOLOGIN", true)],
                    },
                    SqlStep {
                        place: "database t_x_orders".into(),
                        transaction: false,
                        statements: vec![sql("SELECT 1", false)],
                    },
                ],
            }],
            notes: vec!["a note".into()],
            ..Preview::default()
        };
        preview.count();
        preview
    }

    #[test]
    fn a_plan_reads_from_top_to_bottom() {
        let expected = "\
+ Namespace tenant-acme
~ Secret tenant-acme/app-app
    ~ data.password: (sensitive) -> (sensitive)
    ~ spec.replicas: 1 -> 2
    + spec.new: {\"a\":\"b\"}
    - spec.old: \"x\"
- TenantDatabase tenant-acme/orders

~ TenantDatabase tenant-acme/orders on DatabaseServer main: database t_x_orders is released: logins are refused, everything is kept
    -- on the server, in one transaction
    UPDATE a;
  ! ALTER ROLE \"b\" NOLOGIN; -- destructive
    -- on database t_x_orders
    SELECT 1;

Note: a note
Plan: 1 to add, 2 to change, 1 to destroy
";
        assert_eq!(render(&preview(), false), expected);
        let painted = render(&preview(), true);
        assert!(painted.starts_with("\u{1b}[32m+ Namespace tenant-acme\u{1b}[0m\n"), "{painted}");
        let plain = painted.replace("\u{1b}[0m", "");
        assert_eq!(
            ["32", "33", "31"].iter().fold(plain, |text, ink| text.replace(&format!("\u{1b}[{ink}m"), "")),
            expected
        );
    }

    #[test]
    fn a_database_that_is_dropped_in_the_end_counts_as_destroyed() {
        let mut preview = preview();
        let database = &mut preview.databases[0];
        (database.action, database.purged) = (Action::Destroy, true);
        preview.count();
        let text = render(&preview, false);
        let title = "\n- TenantDatabase tenant-acme/orders on DatabaseServer main: database t_x_orders is released and purged, as";
        assert!(text.contains(title) && text.ends_with("1 to add, 1 to change, 2 to destroy\n"), "{text}");
    }

    #[test]
    fn an_empty_plan_says_so() {
        assert_eq!(
            render(&Preview::default(), false),
            "No changes.\n\nPlan: 0 to add, 0 to change, 0 to destroy\n"
        );
    }
}
