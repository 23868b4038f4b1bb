//! Statements: everything that the operator ever asks a server to change, as typed values. Pure.
//!
//! [`Statement::sql`] renders the exact text through [`quote`](super::quote); `Display` shows the same text
//! without password material. Only the [warm pool](PoolChange) drops what is its own, and what ends a [tombstone](DropChange).

mod batch;
mod drop;
mod extension;
mod marker;
mod pool;
mod render;
mod tombstone;

use std::collections::BTreeSet;

use super::facts::{DefaultKind, Facts, Grantee, Marker, Membership, Privilege, Role};
use super::function::RestrictedFunction;
use super::issue::Issue;
use super::quote::{Ident, Literal, QuoteError};
use super::scram::Verifier;
use super::settings::{Setting, Value};
use crate::api::names::{CredentialName, PhysicalName};
pub use batch::{Batch, Place};
pub use drop::DropChange;
pub(super) use drop::{CLIENT, logins_let_in};
pub use extension::ExtensionChange;
pub use pool::PoolChange;
pub(super) use render::optional;
pub use tombstone::TombstoneChange;

/// The setting that makes a login's transactions read-only.
pub const READ_ONLY: &str = "default_transaction_read_only";

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Makes a group role.
    CreateGroup {
        /// Name.
        role: Ident,
    },
    /// Makes a login that may not log in yet.
    CreateLogin {
        /// Name.
        role: Ident,
        /// Greatest number of connections.
        connection_limit: Option<u32>,
        /// Its password.
        verifier: Verifier,
    },
    /// Changes attributes of a role.
    AlterRole {
        /// Name.
        role: Ident,
        /// What changes, and nothing else: naming some attributes takes a superuser even when they stay.
        attributes: Vec<RoleAttribute>,
    },
    /// Changes a password.
    SetPassword {
        /// Name.
        role: Ident,
        /// The new password.
        verifier: Verifier,
    },
    /// Makes a role act as its group from the start in one database, so what one login makes the others own.
    SetGroupInDatabase {
        /// The login.
        role: Ident,
        /// The database.
        database: Ident,
        /// The group.
        group: Ident,
    },
    /// Makes a role's transactions read-only from the start in one database.
    SetReadOnlyInDatabase {
        /// The login.
        role: Ident,
        /// The database.
        database: Ident,
    },
    /// Takes back every setting of a role, those of one database or those for all.
    ResetSettings {
        /// The role.
        role: Ident,
        /// The database; absent for the settings that hold in all.
        database: Option<Ident>,
    },
    /// Makes `member` a member of `group`.
    GrantRole {
        /// The group.
        group: Ident,
        /// The member.
        member: Ident,
    },
    /// Ends a membership, or only the right to pass it on.
    RevokeRole {
        /// The group.
        group: Ident,
        /// The member.
        member: Ident,
        /// Only the right to pass it on.
        admin_option_only: bool,
        /// Whose grant it is, where another's stands by itself (from release 16 on). Absent means ours.
        granted_by: Option<Ident>,
    },
    /// Makes an empty database that accepts no connections.
    CreateDatabase {
        /// Name.
        name: Ident,
        /// Owner; absent means our login.
        owner: Option<Ident>,
        /// Greatest number of connections.
        connection_limit: Option<u32>,
        /// Whether the locale has to be C, because the template's does not go with UTF8.
        plain_locale: bool,
    },
    /// Changes a database.
    AlterDatabase {
        /// Name.
        name: Ident,
        /// What changes.
        change: DatabaseChange,
    },
    /// Gives privileges.
    Grant {
        /// On what.
        object: Object,
        /// Which.
        privileges: BTreeSet<Privilege>,
        /// To whom.
        grantee: Grantee,
    },
    /// Takes privileges, or only the right to pass them on, and what was passed on with them.
    Revoke {
        /// On what.
        object: Object,
        /// Which.
        privileges: BTreeSet<Privilege>,
        /// From whom.
        grantee: Grantee,
        /// Only the right to pass them on.
        grant_option_only: bool,
    },
    /// Ends the sessions of some logins, on whichever database, and waits until they are gone.
    EndSessions {
        /// The logins.
        logins: BTreeSet<String>,
    },
    /// Ends a session, if it is still the one that was seen.
    EndBackend(Backend),
    /// Lets nobody else write a marker row before the transaction has ended.
    LockMarkers,
    /// Goes on only if the server has fewer databases than that.
    RequireRoom {
        /// How many it may have.
        databases: u32,
    },
    /// Goes on only if no other tenant has the server for its own.
    RequireTenancy {
        /// UID of the tenant.
        tenant_uid: String,
        /// Name of its database.
        database: String,
        /// Whether the tenant is to have the server for its own: then no other tenant may have a database there.
        alone: bool,
    },
    /// Writes a new marker row.
    InsertMarker(Marker),
    /// Rewrites a marker row, if its generation is still `expected_generation`.
    UpdateMarker {
        /// The row as it has to be; its physical name says which.
        marker: Marker,
        /// Generation that the row was read with.
        expected_generation: i64,
    },
    /// Changes the warm pool.
    Pool(PoolChange),
    /// Renames a database out of the way, or back.
    Tombstone(TombstoneChange),
    /// Changes what a database has of extensions.
    Extension(ExtensionChange),
    /// Writes the row of a credential.
    WriteIssue {
        /// Its database.
        database: PhysicalName,
        /// Its name.
        credential: CredentialName,
        /// What the row has to say.
        issue: Issue,
    },
    /// Makes the schema of the operator database.
    CreateOperatorSchema,
    /// Makes the marker table.
    CreateMarkerTable,
    /// Gives the marker table the columns that it lacks, on a server that was prepared by an earlier version.
    WidenMarkerTable,
    /// Makes the epoch table with its one row.
    CreateEpochTable,
    /// Makes the credential table.
    CreateCredentialTable,
}

/// One session among all that there ever were on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its process.
    pub pid: i32,
    /// When it began, as the server writes it.
    pub started: String,
    /// Its login.
    pub login: String,
}

/// An attribute of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the PostgreSQL keyword of the same name")]
pub enum RoleAttribute {
    Login(bool),
    Inherit(bool),
    Superuser(bool),
    CreateDatabase(bool),
    CreateRole(bool),
    Replication(bool),
    BypassRls(bool),
    ConnectionLimit(Option<u32>),
    NeverExpires,
}

/// A change of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseChange {
    /// The owner.
    Owner(Ident),
    /// Whether anybody may connect.
    AllowConnections(bool),
    /// Greatest number of connections.
    ConnectionLimit(Option<u32>),
    /// A setting for whoever connects to it.
    Set(Setting, Value),
    /// What the server sets, for whoever connects to it.
    Reset(Setting),
    /// Whether anybody with CREATEDB may copy it.
    Template(bool),
    /// The comment.
    Comment(Literal),
}

/// What privileges are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A database.
    Database(Ident),
    /// A schema.
    Schema(Ident),
    /// A function that the server gives to everybody and we do not.
    Function(RestrictedFunction),
    /// What `creator` will make.
    Default {
        /// The role that makes it.
        creator: Ident,
        /// The kind of object.
        kind: DefaultKind,
    },
}

impl Statement {
    /// What ends a membership, or the right to pass it on, whoever granted it.
    pub fn revoke_role(
        have: &Facts,
        membership: &Membership,
        admin_option_only: bool,
    ) -> Result<Vec<Self>, QuoteError> {
        let group = Ident::foreign(&membership.group)?;
        let member = Ident::foreign(&membership.member)?;
        let revoke = |granted_by| Self::RevokeRole {
            group: group.clone(),
            member: member.clone(),
            admin_option_only,
            granted_by,
        };
        match have.grantors.get(membership) {
            None => Ok(vec![revoke(None)]),
            Some(grantors) => {
                grantors.iter().map(|grantor| Ok(revoke(Some(Ident::foreign(grantor)?)))).collect()
            }
        }
    }

    /// The text to send. It may hold a verifier: never log it, log `Display`.
    pub fn sql(&self) -> Result<String, QuoteError> {
        render::render(self, &|verifier| Ok(Literal::new(&verifier.expose())?.to_string()))
    }

    /// The marker row that the statement writes.
    pub const fn marker(&self) -> Option<&Marker> {
        match self {
            Self::InsertMarker(marker) | Self::UpdateMarker { marker, .. } => Some(marker),
            _ => None,
        }
    }

    /// Whether there is a tenant's database afterwards that was not there before.
    pub const fn makes_database(&self) -> bool {
        matches!(self, Self::CreateDatabase { .. } | Self::Pool(PoolChange::RenameDatabase { .. }))
    }

    /// Whether it takes something from people who use the database: their sessions, or that they can log in. PUBLIC is no person.
    pub fn is_destructive(&self) -> bool {
        match self {
            Self::EndSessions { .. }
            | Self::EndBackend(_)
            | Self::Pool(PoolChange::DropDatabase(_) | PoolChange::DropRole(..) | PoolChange::DropLogin(_)) => {
                true
            }
            Self::Tombstone(change) => change.is_destructive(),
            Self::AlterRole { attributes, .. } => attributes.contains(&RoleAttribute::Login(false)),
            Self::AlterDatabase { change, .. } => *change == DatabaseChange::AllowConnections(false),
            Self::Revoke { object: Object::Database(_), privileges, grantee, grant_option_only } => {
                !grant_option_only
                    && privileges.contains(&Privilege::Connect)
                    && matches!(grantee, Grantee::Role(_))
            }
            Self::CreateGroup { .. }
            | Self::CreateLogin { .. }
            | Self::SetPassword { .. }
            | Self::SetGroupInDatabase { .. }
            | Self::SetReadOnlyInDatabase { .. }
            | Self::ResetSettings { .. }
            | Self::GrantRole { .. }
            | Self::RevokeRole { .. }
            | Self::CreateDatabase { .. }
            | Self::Grant { .. }
            | Self::Revoke { .. }
            | Self::LockMarkers
            | Self::RequireRoom { .. }
            | Self::RequireTenancy { .. }
            | Self::InsertMarker(_)
            | Self::UpdateMarker { .. }
            | Self::Pool(_)
            | Self::Extension(_)
            | Self::WriteIssue { .. }
            | Self::CreateCredentialTable
            | Self::CreateOperatorSchema
            | Self::CreateMarkerTable
            | Self::WidenMarkerTable
            | Self::CreateEpochTable => false,
        }
    }

    /// Whether it takes as long as it takes: DROP DATABASE waits for a checkpoint of the whole server, and what is cut short
    /// of it is no database any more.
    pub const fn is_unhurried(&self) -> bool {
        matches!(
            self,
            Self::Pool(PoolChange::DropDatabase(_))
                | Self::Tombstone(TombstoneChange::End(DropChange::Database(_)))
        )
    }

    /// Number of rows that have to change, for statements where another number means that somebody was faster.
    pub const fn expected_rows(&self) -> Option<u64> {
        match self {
            Self::RequireRoom { .. }
            | Self::RequireTenancy { .. }
            | Self::InsertMarker(_)
            | Self::UpdateMarker { .. }
            | Self::WriteIssue { .. } => Some(1),
            Self::Pool(change) => change.expected_rows(),
            Self::Tombstone(change) => change.expected_rows(),
            _ => None,
        }
    }
}

impl RoleAttribute {
    /// The attributes that have to change to make `have` like `want`. Passwords and settings are not attributes.
    pub fn drift(have: &Role, want: &Role) -> Vec<Self> {
        let mut attributes = vec![];
        let mut flag = |have: bool, want: bool, attribute: fn(bool) -> Self| {
            if have != want {
                attributes.push(attribute(want));
            }
        };
        flag(have.login, want.login, Self::Login);
        flag(have.inherit, want.inherit, Self::Inherit);
        flag(have.superuser, want.superuser, Self::Superuser);
        flag(have.create_database, want.create_database, Self::CreateDatabase);
        flag(have.create_role, want.create_role, Self::CreateRole);
        flag(have.replication, want.replication, Self::Replication);
        flag(have.bypass_rls, want.bypass_rls, Self::BypassRls);
        if have.connection_limit != want.connection_limit {
            attributes.push(Self::ConnectionLimit(want.connection_limit));
        }
        if have.expires && !want.expires {
            attributes.push(Self::NeverExpires);
        }
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::deletion::DeletionPolicy;
    use crate::postgres::facts::{Claim, Phase};
    use crate::postgres::scram::Password;

    fn ident(name: &str) -> Ident {
        Ident::foreign(name).unwrap()
    }

    fn verifier() -> Verifier {
        Verifier::derive(&Password::new("hunter2"), b"0123456789abcdef", 4096)
    }

    fn marker() -> Marker {
        Marker {
            tenant_uid: "it's a uid".into(),
            name: "app".into(),
            tenant_id: "abc".into(),
            physical_name: "t_abc_app".into(),
            claim: Claim { namespace: "tenant-acme".into(), name: "app".into(), uid: None },
            phase: Phase::Creating,
            generation: 1,
            epoch: 0,
            logins: BTreeSet::from(["t_abc_app_x_a".into()]),
            adopted: None,
            deletion_policy: DeletionPolicy::Retain,
            own_server: false,
        }
    }

    #[test]
    fn display_shows_the_statement_without_the_password() {
        let statement = Statement::SetPassword { role: ident("a"), verifier: verifier() };
        assert_eq!(statement.to_string(), "ALTER ROLE \"a\" PASSWORD '********'");
        assert!(statement.sql().unwrap().starts_with("ALTER ROLE \"a\" PASSWORD 'SCRAM-SHA-256$4096:"));
        let statement =
            Statement::CreateLogin { role: ident("a"), connection_limit: None, verifier: verifier() };
        for shown in [statement.to_string(), format!("{statement:?}")] {
            assert!(!shown.contains("SCRAM"), "{shown}");
        }
    }

    #[test]
    fn every_name_and_text_is_quoted() {
        let evil = "a\"; DROP DATABASE b; --";
        let sql = |statement: Statement| statement.sql().unwrap();
        assert_eq!(
            sql(Statement::Grant {
                object: Object::Database(ident(evil)),
                privileges: BTreeSet::from([Privilege::Connect, Privilege::Temporary]),
                grantee: Grantee::Role(evil.into()),
            }),
            "GRANT CONNECT, TEMPORARY ON DATABASE \"a\"\"; DROP DATABASE b; --\" TO \"a\"\"; DROP DATABASE b; --\""
        );
        assert_eq!(
            sql(Statement::Revoke {
                object: Object::Default { creator: ident("o"), kind: DefaultKind::Tables },
                privileges: BTreeSet::from([Privilege::Select]),
                grantee: Grantee::Public,
                grant_option_only: true,
            }),
            "ALTER DEFAULT PRIVILEGES FOR ROLE \"o\" REVOKE GRANT OPTION FOR SELECT ON TABLES FROM PUBLIC CASCADE"
        );
        assert!(sql(Statement::InsertMarker(marker())).contains("VALUES ('it''s a uid', 'app', 'abc',"));
        assert!(
            sql(Statement::InsertMarker(marker()))
                .contains("NULL, 'Creating', 1, (SELECT epoch FROM tenantry.epoch), ARRAY['t_abc_app_x_a']")
        );
    }

    #[test]
    fn a_text_with_nul_is_refused_before_it_is_sent() {
        let marker = Marker { tenant_uid: "a\0b".into(), ..marker() };
        let refused = Err(QuoteError::Nul("a\0b".into()));
        assert_eq!(Statement::InsertMarker(marker.clone()).sql(), refused);
        assert_eq!(Statement::UpdateMarker { marker, expected_generation: 1 }.sql(), refused);
    }

    #[test]
    fn attributes_read_as_postgresql_writes_them() {
        let statement = Statement::AlterRole {
            role: ident("a"),
            attributes: vec![
                RoleAttribute::Login(false),
                RoleAttribute::Superuser(false),
                RoleAttribute::Inherit(true),
                RoleAttribute::ConnectionLimit(Some(5)),
                RoleAttribute::ConnectionLimit(None),
            ],
        };
        assert_eq!(
            statement.to_string(),
            "ALTER ROLE \"a\" NOLOGIN NOSUPERUSER INHERIT CONNECTION LIMIT 5 CONNECTION LIMIT -1"
        );
    }

    #[test]
    fn a_database_is_made_closed_and_from_the_clean_template() {
        let statement = Statement::CreateDatabase {
            name: ident("t_abc_app"),
            owner: Some(ident("tenantry_databases")),
            connection_limit: Some(10),
            plain_locale: false,
        };
        assert_eq!(
            statement.to_string(),
            "CREATE DATABASE \"t_abc_app\" TEMPLATE template0 ENCODING 'UTF8' OWNER \"tenantry_databases\" \
             ALLOW_CONNECTIONS false CONNECTION LIMIT 10"
        );
    }
}
