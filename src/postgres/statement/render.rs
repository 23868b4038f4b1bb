//! How each statement reads in SQL.

use std::collections::BTreeSet;
use std::fmt;

use super::{Backend, DatabaseChange, Object, READ_ONLY, RoleAttribute, Statement, marker};
use crate::postgres::connect::OPERATOR_DATABASE;
use crate::postgres::facts::{Grantee, Privilege};
use crate::postgres::issue;
use crate::postgres::quote::{Ident, Literal, QuoteError};
use crate::postgres::scram::Verifier;

/// The text of a statement, with each verifier as `secret` shows it.
pub(super) fn render(
    statement: &Statement,
    secret: &dyn Fn(&Verifier) -> Result<String, QuoteError>,
) -> Result<String, QuoteError> {
    Ok(match statement {
        Statement::CreateGroup { role } => format!("CREATE ROLE {role} NOLOGIN"),
        Statement::CreateLogin { role, connection_limit, verifier } => format!(
            "CREATE ROLE {role} NOLOGIN NOINHERIT CONNECTION LIMIT {} PASSWORD {}",
            limit(*connection_limit),
            secret(verifier)?
        ),
        Statement::AlterRole { role, attributes } => attributes
            .iter()
            .fold(format!("ALTER ROLE {role}"), |sql, attribute| format!("{sql} {attribute}")),
        Statement::SetPassword { role, verifier } => {
            format!("ALTER ROLE {role} PASSWORD {}", secret(verifier)?)
        }
        Statement::SetGroupInDatabase { role, database, group } => {
            format!("ALTER ROLE {role} IN DATABASE {database} SET role TO {group}")
        }
        Statement::SetReadOnlyInDatabase { role, database } => {
            format!("ALTER ROLE {role} IN DATABASE {database} SET {READ_ONLY} TO on")
        }
        Statement::ResetSettings { role, database } => {
            let place = database.as_ref().map(|name| format!(" IN DATABASE {name}")).unwrap_or_default();
            format!("ALTER ROLE {role}{place} RESET ALL")
        }
        Statement::GrantRole { group, member } => format!("GRANT {group} TO {member}"),
        Statement::RevokeRole { group, member, admin_option_only, granted_by } => {
            let only = if *admin_option_only { "ADMIN OPTION FOR " } else { "" };
            let by = granted_by.as_ref().map(|grantor| format!(" GRANTED BY {grantor}")).unwrap_or_default();
            format!("REVOKE {only}{group} FROM {member}{by} CASCADE")
        }
        Statement::CreateDatabase { name, owner, connection_limit, plain_locale } => {
            let owner = owner.as_ref().map(|owner| format!(" OWNER {owner}")).unwrap_or_default();
            let locale = if *plain_locale { " LOCALE 'C'" } else { "" };
            format!(
                "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'{owner}{locale} \
                 ALLOW_CONNECTIONS false CONNECTION LIMIT {}",
                limit(*connection_limit)
            )
        }
        Statement::AlterDatabase { name, change } => alter_database(name, change),
        Statement::Grant { object, privileges, grantee } => object.privilege_change(
            &format!("GRANT {}", keywords(privileges)),
            &format!("TO {}", quoted(grantee)?),
        ),
        Statement::Revoke { object, privileges, grantee, grant_option_only } => {
            let only = if *grant_option_only { "GRANT OPTION FOR " } else { "" };
            object.privilege_change(
                &format!("REVOKE {only}{}", keywords(privileges)),
                &format!("FROM {} CASCADE", quoted(grantee)?),
            )
        }
        Statement::EndSessions { logins } => end_sessions(logins)?,
        Statement::EndBackend(backend) => end_backend(backend)?,
        Statement::LockMarkers => marker::LOCK.to_owned(),
        Statement::RequireRoom { databases } => marker::require_room(*databases),
        Statement::RequireTenancy { tenant_uid, database, alone } => {
            marker::require_tenancy(tenant_uid, database, *alone)?
        }
        Statement::InsertMarker(marker) => marker::insert(marker)?,
        Statement::UpdateMarker { marker, expected_generation } => {
            marker::update(marker, *expected_generation)?
        }
        Statement::Pool(change) => change.sql()?,
        Statement::Tombstone(change) => change.sql()?,
        Statement::Extension(change) => change.sql(),
        Statement::WriteIssue { database, credential, issue } => issue::write(database, credential, issue)?,
        Statement::CreateOperatorSchema => format!("CREATE SCHEMA {OPERATOR_DATABASE}"),
        Statement::CreateMarkerTable => marker::CREATE_MARKER_TABLE.to_owned(),
        Statement::WidenMarkerTable => marker::WIDEN_MARKER_TABLE.to_owned(),
        Statement::CreateEpochTable => marker::CREATE_EPOCH_TABLE.to_owned(),
        Statement::CreateCredentialTable => issue::CREATE_CREDENTIAL_TABLE.to_owned(),
    })
}

fn alter_database(name: &Ident, change: &DatabaseChange) -> String {
    match change {
        DatabaseChange::Owner(owner) => format!("ALTER DATABASE {name} OWNER TO {owner}"),
        DatabaseChange::AllowConnections(allow) => format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allow}"),
        DatabaseChange::ConnectionLimit(count) => {
            format!("ALTER DATABASE {name} CONNECTION LIMIT {}", limit(*count))
        }
        DatabaseChange::Set(setting, value) => {
            format!("ALTER DATABASE {name} SET {} = {value}", setting.name())
        }
        DatabaseChange::Reset(setting) => format!("ALTER DATABASE {name} RESET {}", setting.name()),
        DatabaseChange::Template(template) => format!("ALTER DATABASE {name} IS_TEMPLATE {template}"),
        DatabaseChange::Comment(text) => format!("COMMENT ON DATABASE {name} IS {text}"),
    }
}

/// The statement as people may read it: password material is left out.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match render(self, &|_| Ok("'********'".to_owned())) {
            Ok(sql) => f.write_str(&sql),
            Err(error) => write!(f, "-- {error}"),
        }
    }
}

impl fmt::Display for RoleAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (on, keyword) = match self {
            Self::Login(on) => (*on, "LOGIN"),
            Self::Inherit(on) => (*on, "INHERIT"),
            Self::Superuser(on) => (*on, "SUPERUSER"),
            Self::CreateDatabase(on) => (*on, "CREATEDB"),
            Self::CreateRole(on) => (*on, "CREATEROLE"),
            Self::Replication(on) => (*on, "REPLICATION"),
            Self::BypassRls(on) => (*on, "BYPASSRLS"),
            Self::ConnectionLimit(count) => return write!(f, "CONNECTION LIMIT {}", limit(*count)),
            Self::NeverExpires => return f.write_str("VALID UNTIL 'infinity'"),
        };
        write!(f, "{}{keyword}", if on { "" } else { "NO" })
    }
}

impl Object {
    fn privilege_change(&self, what: &str, whom: &str) -> String {
        match self {
            Self::Database(name) => format!("{what} ON DATABASE {name} {whom}"),
            Self::Schema(name) => format!("{what} ON SCHEMA {name} {whom}"),
            Self::Function(function) => {
                format!("{what} ON FUNCTION pg_catalog.{} {whom}", function.signature())
            }
            Self::Default { creator, kind } => {
                format!("ALTER DEFAULT PRIVILEGES FOR ROLE {creator} {what} ON {} {whom}", kind.keyword())
            }
        }
    }
}

fn limit(count: Option<u32>) -> i64 {
    count.map_or(-1, i64::from)
}

fn keywords(privileges: &BTreeSet<Privilege>) -> String {
    privileges.iter().map(|privilege| privilege.keyword()).collect::<Vec<_>>().join(", ")
}

fn quoted(grantee: &Grantee) -> Result<String, QuoteError> {
    match grantee {
        Grantee::Public => Ok("PUBLIC".to_owned()),
        Grantee::Role(name) => Ok(Ident::foreign(name)?.to_string()),
    }
}

/// Texts as an array.
pub(super) fn array(texts: &BTreeSet<String>) -> Result<String, QuoteError> {
    let literals: Result<Vec<_>, _> =
        texts.iter().map(|text| Literal::new(text).map(|it| it.to_string())).collect();
    Ok(format!("ARRAY[{}]::text[]", literals?.join(", ")))
}

/// The aggregate tells all of them to end before the first is waited for. 2 s are enough for a session that is
/// not stuck in the kernel; one that is will be found again.
fn end_sessions(logins: &BTreeSet<String>) -> Result<String, QuoteError> {
    Ok(format!(
        "WITH told AS MATERIALIZED (\
         SELECT array_agg(a.pid) AS pids, count(*) FILTER (WHERE pg_terminate_backend(a.pid)) AS ended \
         FROM pg_stat_get_activity(NULL) a \
         JOIN pg_roles r ON r.oid = a.usesysid WHERE r.rolname = ANY ({})) \
         SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 2000)) FROM told, unnest(told.pids) AS pid",
        array(logins)?
    ))
}

/// Process ids come back: what a session was seen with is compared in the same breath.
fn end_backend(backend: &Backend) -> Result<String, QuoteError> {
    Ok(format!(
        "SELECT pg_terminate_backend(a.pid) FROM pg_stat_get_activity({}) a \
         WHERE a.backend_start::text = {} AND pg_get_userbyid(a.usesysid) = {}",
        backend.pid,
        Literal::new(&backend.started)?,
        Literal::new(&backend.login)?
    ))
}

/// A text, or NULL.
pub fn optional(text: Option<&str>) -> Result<String, QuoteError> {
    text.map_or_else(|| Ok("NULL".to_owned()), |text| Literal::new(text).map(|literal| literal.to_string()))
}
