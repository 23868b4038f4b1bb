//! Adopted: what is done to a database that an admin gave us and that we did not make. Pure.
//!
//! An observed one gets a marker row and nothing else. Of an adopted one we make the three group roles and the claim's
//! logins, and grant them what they have on any database of ours: `CONNECT`, `TEMPORARY`, and `CREATE` to the owner group. Its
//! owner, its limits, what PUBLIC and others have on it and everything inside stay as they are; inside, only what the owner
//! group makes serves the other groups. What was there before is its owner's to grant to the groups, object by object or by making a group a
//! member of a role of theirs, which is left to them ([`Target::is_given`]).
//!
//! No statement here renames, closes, limits or drops the database, or takes anything from somebody else.

use super::inside;
use super::names::Names;
use super::plan::{self, Conflict, Plan};
use super::stages::Stages;
use super::target::Target;
use super::want::DatabaseSpec;
use crate::api::server_database::Management;
use crate::postgres::adoption::Adopted;
use crate::postgres::facts::{Facts, Inside, Marker, Membership, Phase};
use crate::postgres::pool;
use crate::postgres::quote::Ident;
use crate::postgres::statement::Statement;

/// The superuser that nearly every server was made with.
const BOOTSTRAP: &str = "postgres";
/// What the roles of all tenants begin with.
const TENANTS: &str = "t_";

/// Statements that make the server as `want` says.
pub(super) fn plan(want: &DatabaseSpec, adopted: &Adopted, have: &Facts) -> Result<Plan, Conflict> {
    let (marker, physical) = (plan::own_row(want, have)?, want.physical.as_str());
    let Some(database) = have.databases.get(physical) else {
        return Err(Conflict::Absent { name: physical.to_owned() });
    };
    let mut stages = Stages::default();
    if adopted.management == Management::Observe {
        match marker {
            None => stages.first.push(Statement::InsertMarker(plan::bound(want))),
            Some(row) => plan::markers(want, marker, row.logins.clone(), &mut stages),
        }
        return Ok(stages.plan(&Ident::from(&want.physical)));
    }
    if !database.allow_connections {
        return Err(Conflict::Closed { name: physical.to_owned() });
    }
    // A row of an observed database tells of no roles.
    let made = marker.filter(|row| row.management() == Management::Adopt);
    plan::roles_are_ours(want, made, have)?;
    let logins = plan::logins(want, marker, have);
    plan::markers(want, marker, logins.keys().cloned().collect(), &mut stages);
    stages.first.extend(plan::issues(want, have));
    let names = Names::new(&want.physical).map_err(Conflict::Quote)?;
    let target = Target { adopted: true, ..Target::new(names, have, logins) };
    target.groups(&mut stages)?;
    target.logins(want.connection_limit, &mut stages)?;
    target.memberships(&mut stages)?;
    target.own_privileges(&mut stages);
    target.end_sessions(&mut stages)?;
    if let Some(inside) = known_inside(made, have.inside.get(physical)) {
        let statements = inside::of_owner(&target.names, &have.server, &have.memberships, &inside);
        stages.inside = statements.map_err(Conflict::Quote)?;
    }
    Ok(stages.plan(&target.names.database))
}

/// What the inside has to be compared with. `None` where a settled database was not looked into; what was never looked into has
/// nothing of ours.
fn known_inside(made: Option<&Marker>, inside: Option<&Inside>) -> Option<Inside> {
    let settled = made.is_some_and(|row| row.phase == Phase::Bound);
    inside.cloned().or_else(|| (!settled).then(Inside::default))
}

impl Target<'_> {
    /// Whether a membership is how somebody lets a group role of ours use what is theirs. The server's own roles, our admin
    /// and the roles of other tenants reach beyond the database, and are nobody's to give.
    pub(super) fn is_given(&self, Membership { group, member }: &Membership) -> bool {
        let is_known = self.names.is_group(group) || self.logins.contains_key(group);
        let is_ours = [TENANTS, pool::PREFIX].iter().any(|prefix| group.starts_with(prefix));
        let is_servers =
            group.starts_with("pg_") || [BOOTSTRAP, &*self.have.server.admin].contains(&&**group);
        self.adopted && self.names.is_group(member) && !is_known && !is_ours && !is_servers
    }
}
