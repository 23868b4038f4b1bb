//! Drift: what somebody changed on a server behind the operator's back, in words. Pure.
//!
//! A plan for a database that was once made as declared is a list of what differs since. While what is declared is the
//! same as then ([`DatabaseSpec::declared`](super::want::DatabaseSpec::declared)), none of it was asked for.

use std::fmt::Write as _;

use super::plan::Plan;
use crate::postgres::facts::Grantee;
use crate::postgres::quote::Ident;
use crate::postgres::statement::{DatabaseChange, ExtensionChange, Object, RoleAttribute, Statement};

/// How many findings a message names.
const NAMED: usize = 8;

/// What was found to differ, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// What differs, one finding each.
    pub found: Vec<String>,
    /// Whether it is brought back; otherwise it is only told.
    pub corrected: bool,
    /// Whether not all of it could be brought back.
    pub unfinished: bool,
}

impl Drift {
    /// The findings in one line.
    pub fn message(&self) -> String {
        message(&self.found)
    }
}

/// The findings in one line: the first of them, and how many more there are.
pub fn message(found: &[String]) -> String {
    let mut text = found[..found.len().min(NAMED)].join("; ");
    let more = found.len().saturating_sub(NAMED);
    if more > 0 {
        _ = write!(text, "; and {more} more");
    }
    text
}

/// What the statements of `plan` say of the server that they are for. What our own login `admin` is let into for a
/// moment to run them is no finding.
pub fn found(plan: &Plan, admin: &str) -> Vec<String> {
    let mut found: Vec<String> = vec![];
    for statement in plan.batches.iter().flat_map(|batch| &batch.statements) {
        if let Some(finding) = finding(statement, admin).filter(|finding| !found.contains(finding)) {
            found.push(finding);
        }
    }
    found
}

fn finding(statement: &Statement, admin: &str) -> Option<String> {
    Some(match statement {
        Statement::CreateGroup { role } | Statement::CreateLogin { role, .. } => {
            format!("role {} is gone", role.as_str())
        }
        Statement::AlterRole { role, attributes } => {
            format!(
                "role {} is not {}",
                role.as_str(),
                listed(attributes.iter().map(RoleAttribute::to_string))
            )
        }
        Statement::SetPassword { role, .. } => {
            format!("login {} has another password than its Secret", role.as_str())
        }
        Statement::SetGroupInDatabase { role, group, .. } => {
            format!("login {} does not act as {}", role.as_str(), group.as_str())
        }
        Statement::SetReadOnlyInDatabase { role, .. } => {
            format!("login {} is not read-only", role.as_str())
        }
        Statement::ResetSettings { role, database } => match database {
            Some(database) => {
                format!("role {} has settings in database {}", role.as_str(), database.as_str())
            }
            None => format!("role {} has settings", role.as_str()),
        },
        Statement::GrantRole { member, .. } | Statement::RevokeRole { member, .. }
            if member.as_str() == admin =>
        {
            return None;
        }
        Statement::GrantRole { group, member } => {
            format!("{} is no member of {}", member.as_str(), group.as_str())
        }
        Statement::RevokeRole { group, member, admin_option_only: true, .. } => {
            format!("{} may pass on its membership in {}", member.as_str(), group.as_str())
        }
        Statement::RevokeRole { group, member, .. } => {
            format!("{} is a member of {}", member.as_str(), group.as_str())
        }
        Statement::CreateDatabase { name, .. } => format!("database {} is gone", name.as_str()),
        Statement::AlterDatabase { name, change } => of_database(name, change),
        Statement::Grant { object, privileges, grantee } => {
            format!(
                "{} has no {} {}",
                who(grantee),
                listed(privileges.iter().map(|it| it.keyword())),
                on(object)
            )
        }
        Statement::Revoke { object, privileges, grantee, grant_option_only } => {
            let verb = if *grant_option_only { "may pass on" } else { "has" };
            format!(
                "{} {verb} {} {}",
                who(grantee),
                listed(privileges.iter().map(|it| it.keyword())),
                on(object)
            )
        }
        Statement::EndSessions { logins } => {
            format!("refused logins have sessions: {}", listed(logins.iter().map(String::as_str)))
        }
        Statement::InsertMarker(marker) | Statement::UpdateMarker { marker, .. } => {
            format!("the marker row of database {} differs", marker.physical_name)
        }
        Statement::Extension(change) => match change {
            ExtensionChange::CreateHome { schema, .. } => format!("schema {} is gone", schema.as_str()),
            ExtensionChange::Create { name, .. } => format!("extension {} is gone", name.as_str()),
            ExtensionChange::LeadTo { database, schema } => {
                format!("database {} does not look into schema {}", database.as_str(), schema.as_str())
            }
        },
        Statement::EndBackend(_)
        | Statement::Pool(_)
        | Statement::Tombstone(_)
        | Statement::WriteIssue { .. }
        | Statement::CreateCredentialTable
        | Statement::LockMarkers
        | Statement::RequireRoom { .. }
        | Statement::RequireTenancy { .. }
        | Statement::CreateOperatorSchema
        | Statement::CreateMarkerTable
        | Statement::WidenMarkerTable
        | Statement::CreateEpochTable => return None,
    })
}

fn of_database(name: &Ident, change: &DatabaseChange) -> String {
    let name = name.as_str();
    match change {
        DatabaseChange::Owner(owner) => format!("database {name} does not belong to {}", owner.as_str()),
        DatabaseChange::AllowConnections(true) => format!("database {name} takes no connections"),
        DatabaseChange::AllowConnections(false) => format!("database {name} takes connections"),
        DatabaseChange::ConnectionLimit(Some(limit)) => {
            format!("database {name} has not the connection limit {limit}")
        }
        DatabaseChange::ConnectionLimit(None) => format!("database {name} has a connection limit"),
        DatabaseChange::Set(setting, value) => {
            format!("database {name} has not the setting {} = {value}", setting.name())
        }
        DatabaseChange::Reset(setting) => format!("database {name} has a setting {}", setting.name()),
        DatabaseChange::Template(true) => format!("database {name} is no template"),
        DatabaseChange::Template(false) => format!("database {name} is a template"),
        DatabaseChange::Comment(_) => format!("database {name} has another comment"),
    }
}

fn who(grantee: &Grantee) -> &str {
    match grantee {
        Grantee::Public => "PUBLIC",
        Grantee::Role(name) => name,
    }
}

fn on(object: &Object) -> String {
    match object {
        Object::Database(name) => format!("on database {}", name.as_str()),
        Object::Schema(name) => format!("on schema {}", name.as_str()),
        Object::Function(function) => format!("on function {}", function.signature()),
        Object::Default { creator, kind } => {
            format!("on {} that {} makes", kind.keyword(), creator.as_str())
        }
    }
}

fn listed(words: impl Iterator<Item = impl Into<String>>) -> String {
    words.map(Into::into).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::postgres::facts::{DefaultKind, Privilege};
    use crate::postgres::settings::Setting;
    use crate::postgres::statement::Batch;

    fn ident(name: &str) -> Ident {
        Ident::foreign(name).unwrap()
    }

    #[test]
    fn what_differs_is_named_once_and_our_own_login_is_not() {
        let limit = DatabaseChange::ConnectionLimit(Some(5));
        let leave = |member: &str| Statement::RevokeRole {
            group: ident("t_a_app_owner"),
            member: ident(member),
            admin_option_only: false,
            granted_by: Some(ident("stranger")),
        };
        let plan = Plan {
            batches: vec![Batch::server(vec![
                Statement::AlterDatabase { name: ident("t_a_app"), change: limit },
                Statement::AlterRole {
                    role: ident("t_a_app_app_a"),
                    attributes: vec![RoleAttribute::Superuser(false), RoleAttribute::ConnectionLimit(None)],
                },
                Statement::AlterDatabase {
                    name: ident("t_a_app"),
                    change: DatabaseChange::Reset(Setting::StatementTimeout),
                },
                leave("mallory"),
                leave("mallory"),
                leave("postgres"),
                Statement::Revoke {
                    object: Object::Database(ident("t_a_app")),
                    privileges: BTreeSet::from([Privilege::Connect, Privilege::Temporary]),
                    grantee: Grantee::Public,
                    grant_option_only: false,
                },
                Statement::Grant {
                    object: Object::Default { creator: ident("t_a_app_owner"), kind: DefaultKind::Tables },
                    privileges: BTreeSet::from([Privilege::Select]),
                    grantee: Grantee::Role("t_a_app_ro".into()),
                },
            ])],
        };
        assert_eq!(
            found(&plan, "postgres"),
            [
                "database t_a_app has not the connection limit 5",
                "role t_a_app_app_a is not NOSUPERUSER, CONNECTION LIMIT -1",
                "database t_a_app has a setting statement_timeout",
                "mallory is a member of t_a_app_owner",
                "PUBLIC has CONNECT, TEMPORARY on database t_a_app",
                "t_a_app_ro has no SELECT on TABLES that t_a_app_owner makes",
            ]
        );
    }

    #[test]
    fn a_message_names_the_first_findings_and_counts_the_rest() {
        let found: Vec<String> = (0..10).map(|number| format!("finding {number}")).collect();
        assert_eq!(message(&found[..2]), "finding 0; finding 1");
        assert!(message(&found).ends_with("finding 7; and 2 more"));
    }
}
