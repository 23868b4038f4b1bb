//! The whole end state of a test, with what no two runs have in common masked: two runs compare as values.
//!
//! A state is every object of ours and every catalog entry that mentions the test's prefix or one of its tenants.
//! UIDs become the name of their object, tenants' ids the name of their tenant, the prefix itself `PREFIX`; times,
//! resourceVersions and generations go; passwords, hashes and keys keep their place but not their value. A status
//! that is about an older spec says so.

mod catalog;
mod mask;
mod objects;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{ControlPlane, Postgres, Prefix};
use mask::Mask;

/// Objects and catalog entries by name, masked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WholeState(pub BTreeMap<String, Value>);

impl WholeState {
    /// What there is now of the test with that prefix.
    pub async fn of(plane: &ControlPlane, postgres: &Postgres, prefix: &Prefix) -> Self {
        let client = plane.client().await;
        let objects = objects::all(&client, prefix).await;
        let mut mask = Mask::new(prefix, &objects);
        let catalog = catalog::all(postgres, &mask.ids(), &adopted(&objects)).await;
        mask.replace(&postgres.access().port.to_string(), "PORT");
        let mut state = BTreeMap::new();
        for object in objects {
            let name = mask.text(&objects::title(&object));
            assert!(state.insert(name.clone(), mask.object(object)).is_none(), "two objects are {name}");
        }
        let mut entries: Vec<(String, Value)> =
            catalog.into_iter().map(|(name, value)| (mask.text(&name), mask.value(value))).collect();
        // Rows of a table have one name and no order: what they say, once it is masked, gives them a number.
        entries.sort_by_cached_key(|(name, value)| (name.clone(), value.to_string()));
        let mut before = (String::new(), 0);
        for (name, value) in entries {
            before.1 = if name == before.0 { before.1 + 1 } else { 0 };
            let numbered = if before.1 == 0 { name.clone() } else { format!("{name} {}", before.1) };
            before.0 = name;
            assert!(state.insert(numbered.clone(), value).is_none(), "two entries are {numbered}");
        }
        Self(state)
    }

    /// Fails with the entries that differ, if any does.
    pub fn assert_equals(&self, expected: &Self) {
        let difference = self.difference(expected);
        assert!(difference.is_none(), "the end state differs:\n{}", difference.unwrap());
    }

    /// The entries that differ, if any does.
    pub fn difference(&self, expected: &Self) -> Option<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(expected.0.keys()).collect();
        let differences: Vec<String> = names
            .into_iter()
            .filter(|name| self.0.get(*name) != expected.0.get(*name))
            .map(|name| {
                format!("{name}\n  is       {}\n  expected {}", show(self, name), show(expected, name))
            })
            .collect();
        (!differences.is_empty()).then(|| differences.join("\n"))
    }
}

/// The databases among those objects that somebody else made.
fn adopted(objects: &[Value]) -> Vec<String> {
    let databases = objects.iter().filter(|object| object["kind"] == "ServerDatabase");
    let physical = databases.filter_map(|object| object["spec"]["physicalName"].as_str());
    physical.filter(|name| !name.starts_with("t_")).map(str::to_owned).collect()
}

fn show(state: &WholeState, name: &str) -> String {
    state.0.get(name).map_or("absent".into(), Value::to_string)
}
