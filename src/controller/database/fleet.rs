//! Fleet: the facts of a whole server, and each database's part of them. Pure.
//!
//! One observation serves every database of a server; what a plan looks through is then the part that a look at the one
//! database would have shown, so that the whole server is compared in time that grows with the number of its databases.

use std::collections::BTreeMap;

use super::want::DatabaseSpec;
use crate::postgres::facts::{Facts, Marker, Membership};

/// A server's facts, in an order in which one database's are found.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    facts: Facts,
    /// Memberships by member.
    by_member: BTreeMap<(String, String), Membership>,
    /// Marker rows by physical name.
    by_physical: BTreeMap<String, Marker>,
    /// Physical names by tenant and logical name.
    by_tenant: BTreeMap<(String, String), String>,
}

impl Fleet {
    /// The fleet of a server whose every database was read.
    pub fn new(facts: Facts) -> Self {
        let by_member = |it: &Membership| ((it.member.clone(), it.group.clone()), it.clone());
        let of_tenant =
            |row: &Marker| ((row.tenant_uid.clone(), row.name.clone()), row.physical_name.clone());
        Self {
            by_member: facts.memberships.keys().map(by_member).collect(),
            by_physical: facts.markers.iter().map(|row| (row.physical_name.clone(), row.clone())).collect(),
            by_tenant: facts.markers.iter().map(of_tenant).collect(),
            facts,
        }
    }

    /// What a look at the database of `want` shows, but for what is inside it.
    pub fn of(&self, want: &DatabaseSpec) -> Facts {
        let physical = want.physical.as_str();
        let prefix = want.physical.role_prefix();
        let all = &self.facts;
        let roles = all.roles.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        let first = Membership { group: prefix.clone(), member: String::new() };
        let as_group = all.memberships.range(first..).take_while(|(it, _)| it.group.starts_with(&prefix));
        let first = (prefix.clone(), String::new());
        let as_member = self.by_member.range(first..).take_while(|((it, _), _)| it.starts_with(&prefix));
        let concerned: Vec<&Membership> =
            as_group.map(|(membership, _)| membership).chain(as_member.map(|(_, it)| it)).collect();
        let tenants = self.by_tenant.get(&(want.tenant_uid.clone(), want.name.as_str().to_owned()));
        let tenants = tenants.filter(|name| *name != physical).and_then(|name| self.by_physical.get(name));
        Facts {
            server: all.server.clone(),
            databases: all.databases.get_key_value(physical).map(owned).into_iter().collect(),
            roles: roles.map(owned).collect(),
            memberships: concerned.iter().map(|it| ((*it).clone(), all.memberships[*it])).collect(),
            grantors: concerned.iter().filter_map(|it| all.grantors.get_key_value(*it)).map(owned).collect(),
            markers: self.by_physical.get(physical).into_iter().chain(tenants).cloned().collect(),
            sessions: all.sessions.get_key_value(physical).map(owned).into_iter().collect(),
            issues: BTreeMap::new(),
            inside: BTreeMap::new(),
        }
    }
}

fn owned<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}
