//! Extensions of a tenant's database: which of those that are asked for are made, in which order, and why the others are not.
//! Pure.
//!
//! A script of an extension runs with our rights, and finds what it names in the extension's own schema and in those of the
//! extensions that it requires (`search_path`). So each of these has to be one that no tenant can put anything into: `pg_catalog`,
//! or a schema that we made and that is ours alone. A tenant may make schemas in its database and, of what PostgreSQL calls
//! trusted, extensions; whatever it has made there satisfies what its claim asks for, and nothing of ours is built on it.
//!
//! Nothing is ever dropped: tables may be made of an extension's types.

use std::collections::{BTreeMap, BTreeSet};

use super::inside::Known;
use super::names::Names;
use super::privileges::privileges_of;
use crate::api::condition::reason;
use crate::postgres::extension::{Available, CATALOG, Extensions, HOME, Home};
use crate::postgres::facts::{Acl, DATABASE_OWNER, Grantee, Privilege};
use crate::postgres::quote::{Ident, Literal, QuoteError};
use crate::postgres::statement::{ExtensionChange, Object, Statement};

/// How many extensions a message names.
const NAMED: usize = 40;

/// The extensions that a database has to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Their names.
    pub names: BTreeSet<String>,
    /// How those that were missing are made, each after those that it requires.
    pub create: Vec<Creation>,
}

/// How an extension is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// Its name.
    pub name: Ident,
    /// The schema that it is made in.
    pub schema: Ident,
    /// The version that the server was asked about.
    pub version: Literal,
    /// The extensions that it is built on.
    pub requires: BTreeSet<String>,
}

/// Why an extension is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The server does not have it.
    #[error(
        "the server has no extension {name:?}: install its package there, or name another; it has, and lets a claim have, {usable}"
    )]
    Unknown {
        /// Its name.
        name: String,
        /// Those that could be asked for.
        usable: String,
    },
    /// Nobody vouches for it.
    #[error(
        "extension {name:?} is not one that PostgreSQL trusts everybody with: the server's admin has to name it in \
         spec.allowedExtensions of its DatabaseServer"
    )]
    NotAllowed {
        /// Its name.
        name: String,
    },
    /// A tenant could have it run code of its own.
    #[error(
        "extension {name:?} is made in schema {schema}, which is not ours alone, so that it could be made to run what others put there: \
         drop or rename that schema"
    )]
    Exposed {
        /// Its name.
        name: String,
        /// The schema.
        schema: String,
    },
    /// Something that it needs is not there.
    #[error("extension {name:?} needs extension {requires:?}: name that too")]
    Needs {
        /// Its name.
        name: String,
        /// What is not there.
        requires: String,
    },
    /// Something that it needs is where a tenant could put something beside it.
    #[error(
        "extension {name:?} needs extension {requires:?}, which is in schema {schema}, where others could put what it would run: drop \
         that extension, so that it is made again with this one, or have a superuser move it to schema {HOME}"
    )]
    NeedsExposed {
        /// Its name.
        name: String,
        /// What it needs.
        requires: String,
        /// Where that is.
        schema: String,
    },
    /// The database is not ours to make anything in.
    #[error(
        "extension {name:?} is not in the database, which Tenantry did not make: have its owner run CREATE EXTENSION there, or \
         remove it here"
    )]
    NotOurs {
        /// Its name.
        name: String,
    },
    /// A name or version that no statement can hold.
    #[error("extension {name:?} cannot be named: {why}")]
    Unquotable {
        /// Its name.
        name: String,
        /// Why.
        why: QuoteError,
    },
}

impl Refused {
    /// What `Ready` says for it.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => reason::UNKNOWN_EXTENSION,
            Self::NotAllowed { .. } | Self::NotOurs { .. } => reason::EXTENSION_NOT_ALLOWED,
            Self::Exposed { .. } | Self::NeedsExposed { .. } => reason::NAME_CONFLICT,
            Self::Needs { .. } | Self::Unquotable { .. } => reason::INVALID_SPEC,
        }
    }
}

/// Decides about those of `asked` that the database does not have, by what its server could make and what its admin allows
/// beyond what PostgreSQL trusts everybody with. What is refused is not wanted: it is asked for anew when it no longer is.
pub fn resolve(
    asked: &BTreeSet<String>,
    have: &Extensions,
    available: &[Available],
    allowed: &BTreeSet<String>,
) -> (Wanted, Vec<Refused>) {
    let may = |it: &Available| it.trusted || allowed.contains(&it.name);
    let usable = || listed(available.iter().filter(|it| may(it)).map(|it| it.name.as_str()));
    let (mut open, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for name in asked.iter().filter(|name| !have.installed.contains_key(*name)) {
        let found = available.iter().find(|it| it.name == *name);
        let decided = match found {
            None => Err(Refused::Unknown { name: name.clone(), usable: usable() }),
            Some(it) if !may(it) => Err(Refused::NotAllowed { name: name.clone() }),
            Some(it) => creation(it, have).map(|creation| (it, creation)),
        };
        match decided {
            Ok(it) => drop(open.insert(name.as_str(), it)),
            Err(why) => drop(refused.insert(name.as_str(), why)),
        }
    }
    let mut create: Vec<Creation> = vec![];
    let lacks = |it: &Available, create: &[Creation]| {
        let is_made = |name: &str| create.iter().any(|made| made.name.as_str() == name);
        // Whoever owns it can put another in its place while ours is made: in a schema of ours too, where no right of ours is asked.
        let is_safe = |name: &str| {
            let schema = have.installed.get(name).filter(|_| !have.of_others.contains(name));
            schema.is_some_and(|schema| have.is_safe(schema))
        };
        it.requires.iter().find(|name| !is_made(name) && !is_safe(name)).cloned()
    };
    while let Some(next) = open.iter().find(|(_, (it, _))| lacks(it, &create).is_none()) {
        let name = *next.0;
        create.extend(open.remove(name).map(|(_, creation)| creation));
    }
    for (name, (it, _)) in open {
        let requires = lacks(it, &create).unwrap_or_default();
        let name_of = name.to_owned();
        let why = match have.installed.get(&requires).cloned() {
            Some(schema) => Refused::NeedsExposed { name: name_of, requires, schema },
            None => Refused::Needs { name: name_of, requires },
        };
        refused.insert(name, why);
    }
    let names = asked.iter().filter(|name| !refused.contains_key(name.as_str())).cloned().collect();
    (Wanted { names, create }, refused.into_values().collect())
}

/// How it is made, if nobody else can have a hand in it.
fn creation(it: &Available, have: &Extensions) -> Result<Creation, Refused> {
    let schema = it.schema.as_deref().unwrap_or(HOME);
    // A schema of that name that is not among ours is a tenant's, or is not there and is made with the extension.
    let is_taken = schema == "public" || have.homes.contains_key(schema) && !have.is_safe(schema);
    if is_taken {
        return Err(Refused::Exposed { name: it.name.clone(), schema: schema.to_owned() });
    }
    let unquotable = |why| Refused::Unquotable { name: it.name.clone(), why };
    Ok(Creation {
        name: Ident::foreign(&it.name).map_err(unquotable)?,
        schema: Ident::foreign(schema).map_err(unquotable)?,
        version: Literal::new(&it.version).map_err(unquotable)?,
        requires: it.requires.clone(),
    })
}

/// Statements that make what is missing, and keep what was made within reach of the database's groups.
pub(super) fn statements(names: &Names, want: &Wanted, known: &Known) -> Result<Vec<Statement>, QuoteError> {
    let Known::Has(inside) = known else { return Ok(vec![]) };
    let have = &inside.extensions;
    let create: Vec<&Creation> =
        want.create.iter().filter(|it| !have.installed.contains_key(it.name.as_str())).collect();
    let home = Ident::parse(HOME)?;
    let is_home = |name: &String| have.installed.get(name).is_some_and(|schema| schema == HOME);
    let mut homes: BTreeSet<&Ident> =
        create.iter().map(|it| &it.schema).filter(|it| it.as_str() != CATALOG).collect();
    homes.extend(want.names.iter().any(is_home).then_some(&home));
    // What somebody else has made of one is not ours to open.
    homes.retain(|schema| have.homes.get(schema.as_str()).is_none_or(Home::is_ours_alone));
    let (mut statements, nobody) = (vec![], Acl::new());
    for schema in &homes {
        let acl = match have.homes.get(schema.as_str()) {
            None => {
                let owner = Ident::parse(DATABASE_OWNER)?;
                let make = ExtensionChange::CreateHome { schema: Ident::clone(schema), owner };
                statements.push(Statement::Extension(make));
                &nobody
            }
            Some(there) => &there.acl,
        };
        for group in names.groups() {
            let grantee = Grantee::Role(group.as_str().to_owned());
            if !privileges_of(acl, &grantee).contains_key(&Privilege::Usage) {
                let (object, privileges) = (Object::Schema(Ident::clone(schema)), [Privilege::Usage].into());
                statements.push(Statement::Grant { object, privileges, grantee });
            }
        }
    }
    statements.extend(create.into_iter().map(|Creation { name, schema, version, requires }| {
        let (name, schema, version) = (name.clone(), schema.clone(), version.clone());
        Statement::Extension(ExtensionChange::Create { name, schema, version, requires: requires.clone() })
    }));
    // One that an admin has set for the database stays.
    if homes.contains(&home) && have.search_path.is_none() {
        let (database, schema) = (names.database.clone(), home.clone());
        statements.push(Statement::Extension(ExtensionChange::LeadTo { database, schema }));
    }
    Ok(statements)
}

/// Whether the database has all of them.
pub(super) fn are_there(want: &Wanted, have: &Extensions) -> bool {
    want.names.iter().all(|name| have.installed.contains_key(name))
}

/// Names in one line: the first of them, and how many more there are.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let text = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 if text.is_empty() => "none".to_owned(),
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn available(name: &str, trusted: bool, schema: Option<&str>, requires: &[&str]) -> Available {
        Available {
            name: name.into(),
            version: "1.0".into(),
            trusted,
            schema: schema.map(Into::into),
            requires: requires.iter().map(ToString::to_string).collect(),
        }
    }

    fn server() -> Vec<Available> {
        vec![
            available("adminpack", false, Some("pg_catalog"), &[]),
            available("cube", true, None, &[]),
            available("dblink", false, None, &[]),
            available("earthdistance", false, None, &["cube"]),
            available("legacy", true, Some("public"), &[]),
            available("pg_trgm", true, None, &[]),
        ]
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn ours(create: Option<Grantee>) -> Home {
        let acl = create.map(|grantee| ((grantee, Privilege::Create), false));
        Home { owner: DATABASE_OWNER.into(), acl: acl.into_iter().collect() }
    }

    fn has(installed: &[(&str, &str)], home: Option<Home>) -> Extensions {
        Extensions {
            installed: installed.iter().map(|(name, schema)| ((*name).into(), (*schema).into())).collect(),
            homes: home.map(|home| (HOME.to_owned(), home)).into_iter().collect(),
            ..Extensions::default()
        }
    }

    /// What is made, in this order, and what is refused for which reason.
    fn decided(asked: &[&str], have: &Extensions, allowed: &[&str]) -> (Vec<String>, Vec<&'static str>) {
        let (wanted, refused) = resolve(&set(asked), have, &server(), &set(allowed));
        let made = wanted.create.iter().map(|it| format!("{} {}", it.schema.as_str(), it.name.as_str()));
        (made.collect(), refused.iter().map(Refused::reason).collect())
    }

    #[test]
    fn what_is_trusted_or_allowed_is_made_after_what_it_requires_and_the_rest_is_refused_for_itself() {
        let new = Extensions::of_new_database();
        let made = |names: &[&str]| names.iter().map(|name| format!("extensions {name}")).collect::<Vec<_>>();
        assert_eq!(decided(&["plpgsql"], &new, &[]), (vec![], vec![]));
        assert_eq!(
            decided(&["pg_trgm", "dblink", "nonesuch"], &new, &[]),
            (made(&["pg_trgm"]), vec!["ExtensionNotAllowed", "UnknownExtension"])
        );
        assert_eq!(
            decided(&["earthdistance", "cube"], &new, &["earthdistance"]),
            (made(&["cube", "earthdistance"]), vec![])
        );
        assert_eq!(decided(&["earthdistance"], &new, &["earthdistance"]), (vec![], vec!["InvalidSpec"]));
        let fixed = decided(&["adminpack"], &new, &["adminpack"]);
        assert_eq!(fixed, (vec!["pg_catalog adminpack".into()], vec![]));
        let (wanted, refused) = resolve(&set(&["nonesuch", "cube"]), &new, &server(), &set(&["dblink"]));
        assert_eq!(wanted.names, set(&["cube"]), "what is refused is not declared");
        assert!(refused[0].to_string().ends_with("have, cube, dblink, legacy, pg_trgm"), "{}", refused[0]);
    }

    #[test]
    fn nothing_is_made_where_others_could_put_what_it_runs() {
        let tenants = Home { owner: "t_x_app_owner".into(), acl: Acl::new() };
        let refused = (vec![], vec!["NameConflict"]);
        assert_eq!(decided(&["pg_trgm"], &has(&[], Some(tenants)), &[]), refused);
        for others in [Grantee::Public, Grantee::Role("t_x_app_owner".into())] {
            assert_eq!(decided(&["pg_trgm"], &has(&[], Some(ours(Some(others)))), &[]), refused);
        }
        assert_eq!(decided(&["legacy"], &has(&[], None), &[]), refused);
        let only_us = ours(Some(Grantee::Role(DATABASE_OWNER.into())));
        assert_eq!(
            decided(&["pg_trgm"], &has(&[], Some(only_us)), &[]),
            (vec!["extensions pg_trgm".into()], vec![])
        );
        // What a tenant has made is there, and nothing is built on it.
        let own = has(&[("cube", "public")], None);
        assert_eq!(decided(&["cube"], &own, &[]), (vec![], vec![]));
        assert_eq!(decided(&["cube", "earthdistance"], &own, &["earthdistance"]), refused);
        let moved = has(&[("cube", HOME)], Some(ours(None)));
        assert_eq!(decided(&["earthdistance"], &moved, &["earthdistance"]).1, Vec::<&str>::new());
    }
}
