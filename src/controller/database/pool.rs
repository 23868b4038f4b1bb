//! The warm pool's databases: how a template and its clones are prepared, given up, and taken. Pure.
//!
//! A *template* is a descendant of `template0` in which PUBLIC has nothing any more. A *clone* is a copy of it with three
//! group roles of its own, which have inside it all that the groups of a tenant's database have, and a login with a
//! password: PostgreSQL computes 4,096 rounds to find that a new one is not empty, half of what taking a clone would
//! cost. Both are closed: nobody but the session that prepares them ever gets in, so they are empty.
//!
//! *Taking* a clone renames it and its roles; everything that was granted goes along, since PostgreSQL knows roles and
//! databases by number. What is left is what has to be done for any tenant's database, and it is the same
//! `Target` that says so: a clone that was taken and a database that was made on demand are the same.
//!
//! What databases are prepared as has a name, the *layout*, made from the statements that prepare them. One that was
//! prepared as something else, by another version or for another login of ours, is never taken but dropped.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

use super::extensions;
use super::inside::{self, Known};
use super::names::Names;
use super::plan::{Conflict, Plan, bound, issues, logins, standing};
use super::stages::Stages;
use super::target::Target;
use super::want::DatabaseSpec;
use crate::api::names::Group;
use crate::postgres::facts::{
    Acl, DATABASE_OWNER, Database, Facts, Grantee, Inside, Membership, Privilege, Role, Server,
};
use crate::postgres::function::RestrictedFunction;
use crate::postgres::pool::{Member, MemberPhase, PoolName};
use crate::postgres::quote::{Ident, QuoteError};
use crate::postgres::scram::{Password, Verifier};
use crate::postgres::settings::Settings;
use crate::postgres::statement::{Batch, DatabaseChange, Object, PoolChange, RoleAttribute, Statement};

/// What databases of the pool on that server are prepared as.
pub fn layout(server: &Server) -> Result<String, Conflict> {
    let (from, to) = (PoolName::template_of(0), PoolName::clone_of(0));
    let prepared = format!(
        "{}{}{}",
        prepare_template(&from, "", server)?,
        prepare_clone(&to, &from, "", server, &Verifier::derive(&Password::new(""), &[], 1))?,
        // Copies of a template whose collation the operating system has changed are refused.
        server.collation_version
    );
    let mut name = BASE32_NOPAD.encode(&Sha256::digest(prepared)).to_ascii_lowercase();
    name.truncate(10);
    Ok(name)
}

/// Statements that make a template.
pub fn prepare_template(name: &PoolName, layout: &str, server: &Server) -> Result<Plan, Conflict> {
    let database = name.database();
    let owner = Ident::parse(DATABASE_OWNER).map_err(Conflict::Quote)?;
    let create = Statement::CreateDatabase {
        name: database.clone(),
        owner: Some(owner),
        connection_limit: None,
        plain_locale: server.template_encoding != "UTF8",
    };
    let from_public = |object, privileges| Statement::Revoke {
        object,
        privileges,
        grantee: Grantee::Public,
        grant_option_only: false,
    };
    let both = BTreeSet::from([Privilege::Connect, Privilege::Temporary]);
    let open = vec![from_public(Object::Database(database.clone()), both), opened(&database, true)];
    let schema = Object::Schema(Ident::parse("public").map_err(Conflict::Quote)?);
    let mut inside = vec![from_public(schema, BTreeSet::from([Privilege::Usage, Privilege::Create]))];
    let functions = RestrictedFunction::of(server.version_number).filter(|_| server.superuser);
    let execute = || BTreeSet::from([Privilege::Execute]);
    inside.extend(functions.map(|function| from_public(Object::Function(function), execute())));
    Ok(Plan {
        batches: vec![
            Batch::server(vec![record(name, layout)]),
            Batch::server(vec![create]),
            Batch::server(open),
            Batch::database(database.clone(), inside),
            Batch::database(database.clone(), vec![Statement::Pool(PoolChange::Compact)]),
            Batch::server(vec![opened(&database, false), ready(name)]),
        ],
    })
}

/// Statements that make a clone whose login has that password.
pub fn prepare_clone(
    name: &PoolName,
    template: &PoolName,
    layout: &str,
    server: &Server,
    verifier: &Verifier,
) -> Result<Plan, Conflict> {
    let names = Names::of_member(name).map_err(Conflict::Quote)?;
    let none = Facts { server: server.clone(), ..Facts::default() };
    let target = Target::new(names.clone(), &none, BTreeMap::new());
    let mut stages = Stages::default();
    stages.first.push(record(name, layout));
    target.groups(&mut stages)?;
    let (role, verifier) = (Ident::parse(&name.login()).map_err(Conflict::Quote)?, verifier.clone());
    let member = role.clone();
    stages.first.push(Statement::CreateLogin { role, connection_limit: None, verifier });
    stages.first.push(Statement::GrantRole { group: names.owner.clone(), member });
    target.database(None, &Settings::new(), &mut stages)?;
    stages.create = Some(Statement::Pool(PoolChange::Copy {
        name: name.database(),
        template: template.clone(),
        owner: Ident::parse(DATABASE_OWNER).map_err(Conflict::Quote)?,
        connection_limit: None,
    }));
    let known = Known::Has(inside_of_copy(server));
    let statements = inside::statements(&names, server, &BTreeMap::new(), &known);
    stages.inside = statements.map_err(Conflict::Quote)?;
    stages.last.extend([opened(&names.database, false), ready(name)]);
    Ok(stages.plan(&names.database))
}

/// What a copy of a template has inside: nobody has anything.
fn inside_of_copy(server: &Server) -> Inside {
    let mut inside = Inside::of_new_database(server.version_number);
    inside.public = Some(Acl::new());
    if server.superuser {
        inside.functions.values_mut().for_each(Acl::clear);
    }
    inside
}

/// Statements that drop a database of the pool, whose row says that it is ours and was never taken. `None` if it is to be
/// left as it is: its maker may still be at it, or somebody else has made something of it.
pub fn retire(member: &Member, have: &Facts) -> Option<Plan> {
    let Member { name, phase, settled, layout: _ } = member;
    let database = have.databases.get(name.as_str());
    match database {
        None if *phase == MemberPhase::Preparing && !settled => return None,
        Some(it) if it.owner != DATABASE_OWNER || it.template => return None,
        // It was closed when it was ready. Whoever opened it may have put something into it.
        Some(it) if it.allow_connections && *phase == MemberPhase::Ready => return None,
        _ => {}
    }
    let mut first = vec![];
    if *phase != MemberPhase::Retiring {
        let (from, to) = (*phase, MemberPhase::Retiring);
        first.push(Statement::Pool(PoolChange::Advance { name: name.clone(), from, to }));
    }
    if database.is_some_and(|it| it.allow_connections) {
        first.push(opened(&name.database(), false));
    }
    let drop = database.map(|_| Statement::Pool(PoolChange::DropDatabase(name.clone())));
    let roles = Group::ALL.into_iter().filter(|group| have.roles.contains_key(&name.group(*group)));
    let mut last: Vec<Statement> =
        roles.map(|group| Statement::Pool(PoolChange::DropRole(name.clone(), group))).collect();
    let login = have.roles.contains_key(&name.login());
    last.extend(login.then(|| Statement::Pool(PoolChange::DropLogin(name.clone()))));
    last.push(Statement::Pool(PoolChange::Forget { name: name.clone(), phase: MemberPhase::Retiring }));
    let batches = [first, drop.into_iter().collect(), last];
    Some(Plan { batches: batches.into_iter().filter(|it| !it.is_empty()).map(Batch::server).collect() })
}

/// Statements that make a clone the wanted database: one effect. `None` if the clone is not as it was prepared, if nobody is to
/// have its login, or if there is a database already.
pub fn adopt(want: &DatabaseSpec, have: &Facts, clone: &PoolName) -> Result<Option<Plan>, Conflict> {
    let first = want.credentials.first().filter(|it| it.password.verifier().is_some());
    let Some(first) = first.filter(|_| is_whole(clone, have)) else {
        return standing(want, have).map(|_| None);
    };
    if standing(want, have)?.is_some() {
        return Ok(None);
    }
    let names = Names::new(&want.physical).map_err(Conflict::Quote)?;
    let login = Ident::parse(&want.physical.login(&first.name, first.side)).map_err(Conflict::Quote)?;
    let of_clone = Names::of_member(clone).map_err(Conflict::Quote)?;
    let renamed = renamed(have, &of_clone, &names, (&clone.login(), login.as_str()));
    let target = Target::new(names, &renamed, logins(want, None, have));
    let mut stages = Stages::default();
    target.logins(want.connection_limit, &mut stages)?;
    target.memberships(&mut stages)?;
    target.database(want.connection_limit, &want.settings, &mut stages)?;
    let mut statements = taken(clone, &target.names, login);
    statements.push(Statement::InsertMarker(bound(want)));
    statements.extend(issues(want, have));
    for part in [stages.first, stages.reachable, stages.last] {
        statements.extend(part);
    }
    let known = Known::Has(inside_of_copy(&have.server));
    let made = extensions::statements(&target.names, &want.extensions, &known).map_err(Conflict::Quote)?;
    let mut batches = vec![Batch::server(statements)];
    if !made.is_empty() {
        batches.push(Batch::database(target.names.database.clone(), made));
    }
    Ok(Some(Plan { batches }))
}

/// The clone gets the names; if somebody was faster, its row is not there.
fn taken(clone: &PoolName, names: &Names, login: Ident) -> Vec<Statement> {
    let (from, phase) = (clone.clone(), MemberPhase::Ready);
    let mut changes = vec![
        PoolChange::Forget { name: clone.clone(), phase },
        PoolChange::RenameDatabase { from, to: names.database.clone() },
    ];
    for (group, to) in Group::ALL.into_iter().zip(names.groups()) {
        changes.push(PoolChange::RenameRole { from: clone.clone(), group, to: to.clone() });
    }
    changes.push(PoolChange::RenameLogin { from: clone.clone(), to: login });
    changes.into_iter().map(Statement::Pool).collect()
}

/// Whether a clone is as it was prepared, as far as the server's catalogs tell.
pub fn is_whole(clone: &PoolName, have: &Facts) -> bool {
    let whole = |it: &Database| {
        it.owner == DATABASE_OWNER
            && !it.allow_connections
            && !it.template
            && it.connection_limit.is_none()
            && it.settings.is_empty()
    };
    let groups = Group::ALL.map(|group| clone.group(group));
    let role = |name: &String, wanted: &Role| {
        have.roles
            .get(name)
            .is_some_and(|role| RoleAttribute::drift(role, wanted).is_empty() && role.settings.is_empty())
    };
    let login = clone.login();
    let own = |it: &Membership| it.group == clone.group(Group::Owner) && it.member == login;
    let right = |(it, admin): (&Membership, &bool)| it.member == have.server.admin || own(it) && !admin;
    let ours = |role: &String| groups.contains(role) || *role == login;
    have.databases.get(clone.as_str()).is_some_and(whole)
        && groups.iter().all(|group| role(group, &Role::group()))
        && role(&login, &Role::default())
        && have.memberships.iter().filter(|(it, _)| ours(&it.group) || ours(&it.member)).all(right)
}

/// The facts as they are after the renames.
fn renamed(have: &Facts, from: &Names, to: &Names, login: (&str, &str)) -> Facts {
    let groups = from.groups().into_iter().zip(to.groups());
    let groups = groups.map(|(from, to)| (from.as_str(), to.as_str()));
    let roles: BTreeMap<&str, &str> = groups.chain([login]).collect();
    let named = |name: &String| roles.get(name.as_str()).map_or_else(|| name.clone(), |to| (*to).to_owned());
    let mut facts = have.clone();
    if let Some(mut database) = facts.databases.remove(from.database.as_str()) {
        let acl = std::mem::take(&mut database.acl).into_iter();
        let entry = |((grantee, privilege), grantable)| match grantee {
            Grantee::Role(role) => ((Grantee::Role(named(&role)), privilege), grantable),
            Grantee::Public => ((Grantee::Public, privilege), grantable),
        };
        database.acl = acl.map(entry).collect();
        facts.databases.insert(to.database.as_str().to_owned(), database);
    }
    facts.roles = facts.roles.into_iter().map(|(name, role)| (named(&name), role)).collect();
    let member = |it: Membership| Membership { group: named(&it.group), member: named(&it.member) };
    facts.memberships = facts.memberships.into_iter().map(|(it, admin)| (member(it), admin)).collect();
    facts
}

fn record(name: &PoolName, layout: &str) -> Statement {
    Statement::Pool(PoolChange::Record { name: name.clone(), layout: layout.to_owned() })
}

fn ready(name: &PoolName) -> Statement {
    let (from, to) = (MemberPhase::Preparing, MemberPhase::Ready);
    Statement::Pool(PoolChange::Advance { name: name.clone(), from, to })
}

fn opened(name: &Ident, open: bool) -> Statement {
    Statement::AlterDatabase { name: name.clone(), change: DatabaseChange::AllowConnections(open) }
}

impl Names {
    /// The names of a database of the pool.
    fn of_member(member: &PoolName) -> Result<Self, QuoteError> {
        let group = |group| Ident::parse(&member.group(group));
        Ok(Self {
            database: member.database(),
            owner: group(Group::Owner)?,
            read_write: group(Group::ReadWrite)?,
            read_only: group(Group::ReadOnly)?,
        })
    }
}
