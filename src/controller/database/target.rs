//! Target: one database's part of the facts, beside what has to be. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::inside::Known;
use super::names::Names;
use super::plan::Conflict;
use super::privileges::{new_acl, privileges_of};
use super::stages::Stages;
use super::want::PasswordWish;
use crate::api::names::Group;
use crate::postgres::facts::{
    DATABASE_OWNER, Database, Facts, Grantee, Inside, Membership, Phase, Role, StoredPassword,
};
use crate::postgres::quote::{Ident, QuoteError};
use crate::postgres::scram::Verifier;
use crate::postgres::settings::{Setting, Settings};
use crate::postgres::statement::{DatabaseChange, READ_ONLY, RoleAttribute, Statement};

/// A login as it has to be.
#[derive(Clone, Copy)]
pub(super) struct Login<'a> {
    /// Whether it is let in.
    pub open: bool,
    /// The one group role that it is a member of; absent for a login whose credential is not asked for any more.
    pub group: Option<Group>,
    /// Absent for a login whose credential is not asked for any more.
    pub password: Option<&'a PasswordWish>,
}

impl Login<'_> {
    /// A login that is refused, whatever it was for.
    pub const CLOSED: Self = Self { open: false, group: None, password: None };
}

/// One database's part of the facts, and its logins as they have to be.
pub(super) struct Target<'a> {
    /// Its names.
    pub names: Names,
    pub(super) have: &'a Facts,
    pub(super) logins: BTreeMap<String, Login<'a>>,
    /// The database as it is, or as CREATE DATABASE will make it.
    pub(super) database: Database,
    /// Whether somebody else made it.
    pub adopted: bool,
}

impl<'a> Target<'a> {
    /// The database of those names.
    pub fn new(names: Names, have: &'a Facts, logins: BTreeMap<String, Login<'a>>) -> Self {
        let new = || Database { owner: DATABASE_OWNER.to_owned(), acl: new_acl(), ..Database::default() };
        let database = have.databases.get(names.database.as_str()).cloned().unwrap_or_else(new);
        Self { names, have, logins, database, adopted: false }
    }

    fn exists(&self) -> bool {
        self.have.databases.contains_key(self.names.database.as_str())
    }

    /// The group roles.
    pub fn groups(&self, stages: &mut Stages) -> Result<(), Conflict> {
        for group in self.names.groups() {
            match self.have.roles.get(group.as_str()) {
                None => stages.first.push(Statement::CreateGroup { role: group.clone() }),
                Some(role) => {
                    alter_role(group, role, &Role::group(), &mut stages.first);
                    stages.last.extend(reset_settings(group, role, None)?);
                }
            }
        }
        Ok(())
    }

    /// The logins: their attributes, passwords and settings.
    pub fn logins(&self, connection_limit: Option<u32>, stages: &mut Stages) -> Result<(), Conflict> {
        self.close_logins(stages)?;
        for (name, login) in &self.logins {
            let Some(wish) = login.password else { continue };
            let role = Ident::parse(name).map_err(Conflict::Quote)?;
            let want = Role { connection_limit, ..Role::default() };
            let have = match (self.have.roles.get(name), wish) {
                (Some(have), wish) => {
                    // LOGIN is given last and taken first, the rest changes in between.
                    alter_role(&role, have, &Role { login: have.login, ..want }, &mut stages.first);
                    set_password(&role, have, wish, &mut stages.first);
                    have.clone()
                }
                (None, PasswordWish::Set(verifier) | PasswordWish::Reissue(verifier)) => {
                    let verifier = verifier.clone();
                    stages.first.push(Statement::CreateLogin {
                        role: role.clone(),
                        connection_limit,
                        verifier,
                    });
                    want
                }
                (None, PasswordWish::Keep) => return Err(Conflict::PasswordNeeded { name: name.clone() }),
            };
            self.settings(&role, &have, login.group.unwrap_or(Group::Owner), stages)?;
            if login.open && (!have.login || self.begins_anew(name, login)) {
                let attributes = vec![RoleAttribute::Login(true)];
                stages.last.push(Statement::AlterRole { role, attributes });
            }
        }
        Ok(())
    }

    /// A login's settings are exactly those that we declare: a login may change its own, and so lift what limits it, or
    /// keep another's database from being dropped.
    fn settings(&self, role: &Ident, have: &Role, group: Group, stages: &mut Stages) -> Result<(), Conflict> {
        let (database, acts_as) = (self.names.database.clone(), self.names.group(group).clone());
        let scope = Some(database.as_str().to_owned());
        let mut wanted = BTreeMap::from([("role".to_owned(), acts_as.as_str().to_owned())]);
        let reads = (group == Group::ReadOnly).then(|| (READ_ONLY.to_owned(), "on".to_owned()));
        wanted.extend(reads.clone());
        let right = have.settings.get(&scope) == Some(&wanted);
        stages.last.extend(reset_settings(role, have, scope.filter(|_| right).as_ref())?);
        if !right {
            let set = Statement::SetGroupInDatabase {
                role: role.clone(),
                database: database.clone(),
                group: acts_as,
            };
            stages.last.push(set);
            let read_only = || Statement::SetReadOnlyInDatabase { role: role.clone(), database };
            stages.last.extend(reads.map(|_| read_only()));
        }
        Ok(())
    }

    /// Whether no session of a login that is let in may last from before: it has another group's rights now, or is issued
    /// anew.
    fn begins_anew(&self, name: &str, login: &Login<'_>) -> bool {
        let member = |group: &Ident| {
            let membership = Membership { group: group.as_str().to_owned(), member: name.to_owned() };
            self.have.memberships.contains_key(&membership)
        };
        let wanted = login.group.map(|group| self.names.group(group));
        let regrouped = |wanted| !member(wanted) && self.names.groups().into_iter().any(member);
        let stored = self.have.roles.get(name).map(|have| &have.password);
        let reissued = matches!(login.password, Some(PasswordWish::Reissue(verifier))
            if !matches!(stored, Some(StoredPassword::Scram(stored)) if stored == verifier));
        reissued || wanted.is_some_and(regrouped)
    }

    /// Takes LOGIN from the logins that have to be refused, for good or until they begin anew; from the former CONNECT too.
    pub fn close_logins(&self, stages: &mut Stages) -> Result<(), Conflict> {
        let closing = |(name, login): &(&String, &Login<'_>)| !login.open || self.begins_anew(name, login);
        for (name, login) in self.logins.iter().filter(closing) {
            let role = Ident::parse(name).map_err(Conflict::Quote)?;
            if self.have.roles.get(name).is_some_and(|have| have.login) {
                let attributes = vec![RoleAttribute::Login(false)];
                stages.first.push(Statement::AlterRole { role, attributes });
            }
            if login.open {
                continue;
            }
            let grantee = Grantee::Role(name.clone());
            let privileges = privileges_of(&self.database.acl, &grantee);
            if !privileges.is_empty() && !self.is_owner(&grantee) {
                stages.first.push(self.revoke(privileges.into_keys().collect(), grantee, false));
            }
        }
        Ok(())
    }

    /// Sessions of refused logins end, those that a login opened just before it was refused too. What a login that is
    /// refused now has left over ends before it is let in.
    pub fn end_sessions(&self, stages: &mut Stages) -> Result<(), Conflict> {
        let closed = self.logins.iter().filter(|(name, login)| {
            let have = self.have.roles.get(*name);
            have.is_some_and(|have| !login.open || !have.login || self.begins_anew(name, login))
        });
        let closed: BTreeSet<String> = closed.map(|(name, _)| name.clone()).collect();
        let open_now = closed.iter().any(|name| self.have.roles[name].login);
        let sessions = self.have.sessions_of(&closed);
        if closed.is_empty() || !self.exists() || (!open_now && sessions == 0) {
            return Ok(());
        }
        let end = Statement::EndSessions { logins: closed.clone() };
        stages.sessions = if self.have.server.superuser {
            vec![end]
        } else {
            // Only a member of a login may end its sessions.
            let groups: Result<Vec<_>, _> = closed.iter().map(|name| Ident::parse(name)).collect();
            acting_as(&groups.map_err(Conflict::Quote)?, &self.have.server.admin, vec![end])
                .map_err(Conflict::Quote)?
        };
        Ok(())
    }

    /// Every login is a member of its one group and of nothing else, and nobody else is a member of a role of
    /// ours but our own login, which the server makes one of what it creates.
    pub fn memberships(&self, stages: &mut Stages) -> Result<(), Conflict> {
        let ours = |role: &str| self.names.is_group(role) || self.logins.contains_key(role);
        for (membership, admin_option) in &self.have.memberships {
            let Membership { group, member } = membership;
            let concerns = (ours(group) || ours(member)) && !self.is_given(membership);
            if !concerns || *member == self.have.server.admin {
                continue;
            }
            let wanted = self.logins.get(member).is_some_and(|login| match login.group {
                Some(own) => group == self.names.group(own).as_str(),
                None => self.names.is_group(group),
            });
            if !wanted || *admin_option {
                let revoked = Statement::revoke_role(self.have, membership, wanted);
                stages.first.extend(revoked.map_err(Conflict::Quote)?);
            }
        }
        for (name, login) in self.logins.iter().filter(|(_, login)| login.password.is_some()) {
            let Some(group) = login.group.map(|group| self.names.group(group)) else { continue };
            let membership = Membership { group: group.as_str().to_owned(), member: name.clone() };
            if !self.have.memberships.contains_key(&membership) {
                let member = Ident::parse(name).map_err(Conflict::Quote)?;
                stages.first.push(Statement::GrantRole { group: group.clone(), member });
            }
        }
        Ok(())
    }

    /// The database itself: limits, owner, who may enter.
    pub fn database(
        &self,
        connection_limit: Option<u32>,
        settings: &Settings,
        stages: &mut Stages,
    ) -> Result<(), Conflict> {
        let name = &self.names.database;
        let owner = Ident::parse(DATABASE_OWNER).map_err(Conflict::Quote)?;
        let alter = |change| Statement::AlterDatabase { name: name.clone(), change };
        if !self.exists() {
            stages.create = Some(Statement::CreateDatabase {
                name: name.clone(),
                owner: Some(owner.clone()),
                connection_limit,
                plain_locale: self.have.server.template_encoding != "UTF8",
            });
        } else if self.database.connection_limit != connection_limit {
            stages.last.push(alter(DatabaseChange::ConnectionLimit(connection_limit)));
        }
        stages.last.extend(self.settings_of_database(settings).into_iter().map(alter));
        if self.database.owner != DATABASE_OWNER {
            stages.reachable.push(alter(DatabaseChange::Owner(owner)));
        }
        if self.database.template {
            stages.reachable.push(alter(DatabaseChange::Template(false)));
        }
        self.privileges(stages);
        if !self.database.allow_connections {
            stages.reachable.push(alter(DatabaseChange::AllowConnections(true)));
        }
        Ok(())
    }

    /// The limits that stand with the database. Its other settings are not ours: who may set them is its owner or a superuser.
    /// What our login may not set stays as it is, and holds nothing else up.
    fn settings_of_database(&self, want: &Settings) -> Vec<DatabaseChange> {
        let change = |setting: Setting| {
            let have = self.database.settings.get(setting.name());
            match (want.get(&setting), have) {
                (Some(value), have) if have != Some(&value.to_string()) => {
                    Some(DatabaseChange::Set(setting, *value))
                }
                (None, Some(_)) => Some(DatabaseChange::Reset(setting)),
                _ => None,
            }
        };
        let forbidden = &self.have.server.forbidden_settings;
        Setting::ALL.into_iter().filter(|it| !forbidden.contains(it)).filter_map(change).collect()
    }

    /// What the inside has to be compared with. `None` where a settled database was not looked into.
    pub fn known_inside(&self, phase: Option<Phase>) -> Option<Known> {
        match self.have.inside.get(self.names.database.as_str()) {
            _ if !self.exists() => Some(Known::Has(Inside::of_new_database(self.have.server.version_number))),
            Some(inside) => Some(Known::Has(inside.clone())),
            None if phase == Some(Phase::Bound) && self.database.allow_connections => None,
            None => Some(Known::Nothing),
        }
    }
}

fn alter_role(name: &Ident, have: &Role, want: &Role, statements: &mut Vec<Statement>) {
    let attributes = RoleAttribute::drift(have, want);
    if !attributes.is_empty() {
        statements.push(Statement::AlterRole { role: name.clone(), attributes });
    }
}

/// Takes back the settings of a role but those in the database `right`.
fn reset_settings(name: &Ident, have: &Role, right: Option<&String>) -> Result<Vec<Statement>, Conflict> {
    let wrong = have.settings.keys().filter(|scope| right.is_none() || scope.as_ref() != right);
    let reset = |scope: &Option<String>| {
        let database = scope.as_deref().map(Ident::foreign).transpose()?;
        Ok(Statement::ResetSettings { role: name.clone(), database })
    };
    wrong.map(reset).collect::<Result<_, QuoteError>>().map_err(Conflict::Quote)
}

fn set_password(name: &Ident, have: &Role, wish: &PasswordWish, statements: &mut Vec<Statement>) {
    let stored: Option<&Verifier> = match &have.password {
        StoredPassword::Scram(verifier) => Some(verifier),
        _ => None,
    };
    if let Some(verifier) = wish.verifier()
        && stored != Some(verifier)
    {
        statements.push(Statement::SetPassword { role: name.clone(), verifier: verifier.clone() });
    }
}

/// `statements` with our login a member of `groups` while they run.
pub(super) fn acting_as(
    groups: &[Ident],
    admin: &str,
    statements: Vec<Statement>,
) -> Result<Vec<Statement>, QuoteError> {
    let admin = Ident::foreign(admin)?;
    let grant = |group: &Ident| Statement::GrantRole { group: group.clone(), member: admin.clone() };
    let revoke = |group: &Ident| Statement::RevokeRole {
        group: group.clone(),
        member: admin.clone(),
        admin_option_only: false,
        granted_by: None,
    };
    Ok(groups.iter().map(grant).chain(statements).chain(groups.iter().map(revoke)).collect())
}
