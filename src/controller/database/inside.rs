//! Inside a database: schema public, default privileges, functions that are not for everybody. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::extensions;
use super::names::Names;
use super::privileges::privileges_of;
use super::target::acting_as;
use super::want::DatabaseSpec;
use crate::api::server_database::Management;
use crate::postgres::extension::Extensions;
use crate::postgres::facts::{Acl, DefaultKind, Grantee, Inside, Membership, Privilege, Server};
use crate::postgres::function::RestrictedFunction;
use crate::postgres::quote::{Ident, QuoteError};
use crate::postgres::statement::{Object, Statement};

/// What is known of the inside of a database.
pub(super) enum Known {
    /// This is what it has.
    Has(Inside),
    /// It may have anything: everything is taken and given, which can be run on every state.
    Nothing,
}

/// Statements that make the inside of a database as the layout says.
pub(super) fn statements(
    names: &Names,
    server: &Server,
    memberships: &BTreeMap<Membership, bool>,
    known: &Known,
) -> Result<Vec<Statement>, QuoteError> {
    let mut statements = vec![];
    let worst = worst(names, server.version_number);
    let (have, known) = match known {
        Known::Has(inside) => (inside, true),
        Known::Nothing => (&worst, false),
    };
    if let Some(acl) = &have.public {
        schema(names, acl, known, &mut statements)?;
    }
    statements.extend(of_owner(names, server, memberships, have)?);
    if server.superuser {
        functions(names, have, known, &mut statements);
    }
    Ok(statements)
}

/// Statements by which what the owner group makes serves the others. In a database that somebody else made there are no
/// more: what is there is its owner's.
pub(super) fn of_owner(
    names: &Names,
    server: &Server,
    memberships: &BTreeMap<Membership, bool>,
    have: &Inside,
) -> Result<Vec<Statement>, QuoteError> {
    let defaults = defaults(names, have);
    let admin = Membership { group: names.owner.as_str().to_owned(), member: server.admin.clone() };
    if defaults.is_empty() || server.superuser || memberships.contains_key(&admin) {
        Ok(defaults)
    } else {
        // Only a member of a role may say what its objects grant.
        acting_as(std::slice::from_ref(&names.owner), &server.admin, defaults)
    }
}

/// Whether what a settled database has inside is as the layout says.
pub fn is_right(want: &DatabaseSpec, server: &Server, inside: Inside) -> Result<bool, QuoteError> {
    let (names, nobody) = (Names::new(&want.physical)?, BTreeMap::new());
    let statements = match want.management() {
        Management::Full if !extensions::are_there(&want.extensions, &inside.extensions) => return Ok(false),
        Management::Full => {
            let known = Known::Has(inside);
            let made = extensions::statements(&names, &want.extensions, &known)?;
            [statements(&names, server, &nobody, &known)?, made].concat()
        }
        Management::Adopt => of_owner(&names, server, &nobody, &inside)?,
        Management::Observe => vec![],
    };
    Ok(statements.is_empty())
}

/// Everybody has everything, as far as there is something to take.
fn worst(names: &Names, version_number: u32) -> Inside {
    let everybody = [Grantee::Public].into_iter().chain(names.groups().map(role));
    let all = |privileges: &[Privilege]| -> Acl {
        let pairs = everybody.clone().flat_map(|to| privileges.iter().map(move |it| (to.clone(), *it)));
        pairs.map(|pair| (pair, false)).collect()
    };
    Inside {
        public: Some(all(&[Privilege::Usage, Privilege::Create])),
        defaults: BTreeMap::new(),
        functions: RestrictedFunction::of(version_number)
            .map(|it| (it, all(&[Privilege::Execute])))
            .collect(),
        extensions: Extensions::default(),
    }
}

fn schema(names: &Names, have: &Acl, known: bool, statements: &mut Vec<Statement>) -> Result<(), QuoteError> {
    use Privilege::{Create, Usage};
    let object = Object::Schema(Ident::parse("public")?);
    let wanted = [
        (Grantee::Public, BTreeSet::new()),
        (role(&names.owner), BTreeSet::from([Usage, Create])),
        (role(&names.read_write), BTreeSet::from([Usage])),
        (role(&names.read_only), BTreeSet::from([Usage])),
    ];
    for (grantee, want) in wanted {
        let have: BTreeSet<_> = privileges_of(have, &grantee).into_keys().collect();
        change(&object, grantee, &have, &want, known, statements);
    }
    Ok(())
}

/// What tenants add to their own default privileges is theirs; what we promise to rw and ro has to be there.
fn defaults(names: &Names, have: &Inside) -> Vec<Statement> {
    use Privilege::{Delete, Execute, Insert, Select, Update, Usage};
    let none = Acl::new();
    let mut statements = vec![];
    for kind in DefaultKind::ALL {
        let (read_write, read_only) = match kind {
            DefaultKind::Tables => {
                (BTreeSet::from([Select, Insert, Update, Delete]), BTreeSet::from([Select]))
            }
            DefaultKind::Sequences => (BTreeSet::from([Usage, Select, Update]), BTreeSet::from([Select])),
            DefaultKind::Functions => (BTreeSet::from([Execute]), BTreeSet::from([Execute])),
            DefaultKind::Schemas => (BTreeSet::from([Usage]), BTreeSet::from([Usage])),
        };
        let acl = have.defaults.get(&(names.owner.as_str().to_owned(), kind)).unwrap_or(&none);
        for (group, want) in [(&names.read_write, read_write), (&names.read_only, read_only)] {
            let grantee = role(group);
            let have = privileges_of(acl, &grantee);
            let privileges: BTreeSet<_> = want.into_iter().filter(|it| !have.contains_key(it)).collect();
            if !privileges.is_empty() {
                let object = Object::Default { creator: names.owner.clone(), kind };
                statements.push(Statement::Grant { object, privileges, grantee });
            }
        }
    }
    statements
}

fn functions(names: &Names, have: &Inside, known: bool, statements: &mut Vec<Statement>) {
    let execute = BTreeSet::from([Privilege::Execute]);
    let none = BTreeSet::new();
    for (function, acl) in &have.functions {
        let writers = if function.is_for_writers() { &execute } else { &none };
        let wanted = [
            (Grantee::Public, &none),
            (role(&names.owner), writers),
            (role(&names.read_write), writers),
            (role(&names.read_only), &none),
        ];
        for (grantee, want) in wanted {
            let have: BTreeSet<_> = privileges_of(acl, &grantee).into_keys().collect();
            change(&Object::Function(*function), grantee, &have, want, known, statements);
        }
    }
}

fn change(
    object: &Object,
    grantee: Grantee,
    have: &BTreeSet<Privilege>,
    want: &BTreeSet<Privilege>,
    known: bool,
    statements: &mut Vec<Statement>,
) {
    let extra: BTreeSet<_> = have.difference(want).copied().collect();
    if !extra.is_empty() {
        statements.push(Statement::Revoke {
            object: object.clone(),
            privileges: extra,
            grantee: grantee.clone(),
            grant_option_only: false,
        });
    }
    let privileges: BTreeSet<_> = want.iter().copied().filter(|it| !known || !have.contains(it)).collect();
    if !privileges.is_empty() {
        statements.push(Statement::Grant { object: object.clone(), privileges, grantee });
    }
}

fn role(name: &Ident) -> Grantee {
    Grantee::Role(name.as_str().to_owned())
}
