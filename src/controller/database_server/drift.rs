//! Drift on a server: one look compares every database with what its claim declares, and the server's roles with those that
//! its admin vouches for.
//!
//! A claim whose database is not as it was left gets a turn, which looks for itself and does what is to be done; nobody
//! else does. A role is an admin's own: it is named, and left as it is.

use std::collections::BTreeSet;

use kube::Resource;

use super::fetch::Fetched;
use super::reach::Reached;
use crate::api::condition::{self, DRIFTED};
use crate::api::names::Group;
use crate::controller::context::Context;
use crate::controller::database::drift::message;
use crate::controller::object::Kind;
use crate::controller::publish;
use crate::controller::queue::Lane;
use crate::controller::tenant_database::standing::Compared;
use crate::postgres::facts::{ElevatedRole, Marker, Phase};

/// What a look at a server found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Roles with elevated rights that nobody has declared, one finding each.
    roles: Vec<String>,
    /// What the look said of the claims on the server.
    claims: Compared,
    /// How many bound databases it said nothing of: of each its own claim knows first what it was left as, and some it cannot know.
    unknown: usize,
}

impl Found {
    /// What is said of the roles; `None` without any.
    pub fn privileged(&self) -> Option<String> {
        let next = "take these rights away, or name the roles in spec.privilegedRoles";
        (!self.roles.is_empty()).then(|| format!("{}: {next}", message(&self.roles)))
    }

    /// Everything that is not as declared. What becomes of a database is its claim's to say.
    pub fn findings(&self) -> Vec<String> {
        let Compared { compared, drifted, differing: _ } = &self.claims;
        let databases =
            (*drifted > 0).then(|| format!("{drifted} of {} databases are not as declared", compared.len()));
        let unknown = (self.unknown > 0).then(|| {
            format!("databases that were not compared: {} (their claims look for themselves)", self.unknown)
        });
        self.roles.iter().cloned().chain(databases).chain(unknown).collect()
    }
}

/// Compares, and gives turns to the claims that differ.
pub(super) fn compare(context: &Context, fetched: &Fetched, reached: &Reached) -> Found {
    let claims = context.standings.compare(&fetched.name, &reached.fleet, reached.at);
    context.metrics.compared(&fetched.name, claims.drifted);
    for claim in &claims.differing {
        tracing::info!(server.name = fetched.name, claim = %claim, "a database is not as it was left");
        context.enqueue(Kind::TenantDatabase, claim, Lane::Background);
    }
    let declared = fetched.server.spec.privileged_roles.iter().flatten().map(String::as_str);
    let roles = undeclared(&reached.elevated, &reached.markers, &claims.compared, &declared.collect());
    let roles =
        roles.iter().map(|role| format!("role {} is {}", role.name, role.rights.join(", "))).collect();
    let bound = reached.markers.iter().filter(|row| row.phase == Phase::Bound);
    let unknown = bound.filter(|row| !claims.compared.contains(&row.physical_name)).count();
    Found { roles, claims, unknown }
}

/// Records an Event about roles that were not named until now. `fetched` is as it was before the status of this turn.
pub(super) async fn tell(context: &Context, fetched: &Fetched, found: &Found) {
    let Some(found) = found.privileged() else { return };
    let before = fetched.server.status.as_ref();
    let before = before.and_then(|status| condition::find(&status.conditions, DRIFTED));
    if before.is_none_or(|before| before.message != condition::cut(&found)) {
        let about = fetched.server.object_ref(&());
        publish::warn(context, &about, "PrivilegedRoles", "Compare", found).await;
    }
}

/// Those that are neither declared nor of a database that was compared: what a tenant's login or group has too much, its own
/// claim tells. Of a database that nobody claims, or whose claim cannot be worked on, nobody else does. Of one that we did not
/// make the claim lets be what others gave its groups.
fn undeclared<'a>(
    elevated: &'a [ElevatedRole],
    markers: &[Marker],
    compared: &BTreeSet<String>,
    declared: &BTreeSet<&str>,
) -> Vec<&'a ElevatedRole> {
    let told = || markers.iter().filter(|row| row.adopted.is_none() && compared.contains(&row.physical_name));
    let groups = told().filter_map(|row| row.physical().ok());
    let mut theirs: BTreeSet<String> =
        groups.flat_map(|physical| Group::ALL.map(|group| physical.group(group))).collect();
    theirs.extend(told().flat_map(|row| row.logins.iter().cloned()));
    let is_news = |role: &&ElevatedRole| !theirs.contains(&role.name) && !declared.contains(&*role.name);
    elevated.iter().filter(is_news).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::api::server_database::Management;
    use crate::postgres::adoption::Adopted;

    #[test]
    fn a_look_says_of_how_many_databases_it_can_say_nothing() {
        let compared = ["t_i_app".to_owned(), "t_i_other".to_owned()].into();
        let found = Found {
            roles: vec!["role mallory is SUPERUSER".into()],
            claims: Compared { compared, drifted: 1, ..Compared::default() },
            unknown: 3,
        };
        let expected = [
            "role mallory is SUPERUSER",
            "1 of 2 databases are not as declared",
            "databases that were not compared: 3 (their claims look for themselves)",
        ];
        assert_eq!(found.findings(), expected);
        assert_eq!(Found::default().findings(), [""; 0]);
    }

    #[test]
    fn only_roles_that_nobody_vouches_for_are_named() {
        let role = |name: &str| ElevatedRole { name: name.into(), rights: vec!["SUPERUSER".into()] };
        let row = Marker {
            tenant_id: "i".into(),
            physical_name: "t_i_app".into(),
            phase: Phase::Bound,
            generation: 1,
            logins: ["t_i_app_app_a".to_owned()].into(),
            ..Marker::sample()
        };
        let elevated = ["dba", "mallory", "t_i_app_app_a", "t_i_app_owner", "t_i_app_nobodys"].map(role);
        let names = |row: &Marker, compared: &[&str]| -> Vec<&str> {
            let compared = compared.iter().map(|name| (*name).to_owned()).collect();
            let found = undeclared(&elevated, std::slice::from_ref(row), &compared, &["dba"].into());
            found.into_iter().map(|role| role.name.as_str()).collect()
        };
        let all = ["mallory", "t_i_app_app_a", "t_i_app_owner", "t_i_app_nobodys"];
        assert_eq!(names(&row, &["t_i_app"]), ["mallory", "t_i_app_nobodys"]);
        assert_eq!(names(&row, &[]), all);
        let adopted = Adopted { management: Management::Adopt, object: "legacy".into() };
        let row = Marker { adopted: Some(adopted), ..row };
        assert_eq!(names(&row, &["t_i_app"]), all, "nobody else tells of its roles");
    }
}
