//! What may happen to a server: the operator works and dies, and somebody changes things behind its back.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use tenantry::api::names::{CredentialName, Group, Side};
use tenantry::controller::database::extensions::{Creation, Wanted};
use tenantry::controller::database::plan::{plan, release};
use tenantry::controller::database::want::{CredentialSpec, DatabaseSpec, PasswordWish};
use tenantry::postgres::extension::HOME;
use tenantry::postgres::facts::{Acl, DefaultKind, Grantee, Membership, Phase, Privilege, StoredPassword};
use tenantry::postgres::function::RestrictedFunction;
use tenantry::postgres::issue::{Earlier, Issue};
use tenantry::postgres::quote::{Ident, Literal};
use tenantry::postgres::settings::{Setting, Value};
use tenantry::postgres::statement::DatabaseChange;

use super::model::Model;
use super::{physical, verifier, want};

/// What somebody does behind our back.
#[derive(Clone, Copy, Debug)]
pub enum Meddling {
    Attribute { role: usize, attribute: usize },
    DropRole(usize),
    Password(usize),
    ForgetSetting(usize),
    Setting { role: usize, place: usize },
    GrantDatabase { grantee: usize, privilege: usize, grantable: bool },
    RevokeDatabase { grantee: usize, privilege: usize },
    Membership { group: usize, member: usize, admin: bool },
    Leave { group: usize, member: usize },
    Owner(usize),
    Limit(Option<u32>),
    DatabaseSetting(usize),
    Close,
    Template,
    PublicSchema { grantee: usize, privilege: usize, grant: bool },
    ForgetDefaults(usize),
    Functions { function: usize, grantee: usize, grant: bool },
    Session(usize),
}

/// What happens to a server.
#[derive(Clone, Debug)]
pub enum Event {
    /// The operator works, and dies after so many effects.
    Work {
        want: Box<DatabaseSpec>,
        effects: usize,
    },
    Release {
        effects: usize,
    },
    Meddle(Meddling),
}

/// The credentials that there may be.
pub const CREDENTIALS: [&str; 2] = ["app", "b-c"];
/// How many roles there may be that are the database's own.
const OWN: usize = Group::ALL.len() + 2 * CREDENTIALS.len();

fn role_names() -> Vec<String> {
    let physical = physical();
    let login = |(name, side)| physical.login(&CredentialName::parse(name).unwrap(), side);
    let logins =
        [Side::A, Side::B].into_iter().flat_map(|side| CREDENTIALS.map(|name| (name, side))).map(login);
    let groups = Group::ALL.map(|group| physical.group(group));
    groups.into_iter().chain(logins).chain(["stranger".to_owned()]).collect()
}

fn grantees() -> Vec<Grantee> {
    role_names().into_iter().map(Grantee::Role).chain([Grantee::Public]).collect()
}

impl Model {
    fn meddle(&mut self, meddling: Meddling) {
        let roles = role_names();
        let name = physical().as_str().to_owned();
        let exists = |role: &str| self.truth.roles.contains_key(role) || role == "stranger";
        match meddling {
            Meddling::Attribute { role, attribute } => {
                let Some(role) = self.truth.roles.get_mut(&roles[role]) else { return };
                match attribute {
                    0 => role.login = !role.login,
                    1 => role.inherit = !role.inherit,
                    2 => role.superuser = true,
                    3 => role.create_database = true,
                    4 => role.create_role = true,
                    5 => role.replication = true,
                    6 => role.bypass_rls = true,
                    7 => role.connection_limit = Some(99),
                    _ => role.expires = true,
                }
            }
            Meddling::DropRole(role) => {
                let role = &roles[role];
                if self.truth.databases.values().any(|it| it.owner == *role) {
                    return;
                }
                if self.truth.roles.remove(role).is_some() {
                    self.truth.memberships.retain(|it, _| it.group != *role && it.member != *role);
                    let own = |grantee: &Grantee| matches!(grantee, Grantee::Role(it) if it == role);
                    self.truth
                        .databases
                        .values_mut()
                        .for_each(|it| it.acl.retain(|(grantee, _), _| !own(grantee)));
                    for inside in self.truth.inside.values_mut() {
                        inside.defaults.retain(|(creator, _), _| creator != role);
                        let homes = inside.extensions.homes.values_mut().map(|home| &mut home.acl);
                        let acls = inside.public.iter_mut().chain(homes).chain(inside.defaults.values_mut());
                        acls.chain(inside.functions.values_mut())
                            .for_each(|acl| acl.retain(|(grantee, _), _| !own(grantee)));
                    }
                    self.truth.sessions.values_mut().for_each(|it| it.retain(|login, _| login != role));
                }
            }
            Meddling::Password(role) => {
                if let Some(role) = self.truth.roles.get_mut(&roles[role]) {
                    role.password = StoredPassword::Scram(verifier("changed"));
                }
            }
            Meddling::ForgetSetting(role) => {
                if let Some(role) = self.truth.roles.get_mut(&roles[role]) {
                    role.settings.clear();
                }
            }
            Meddling::Setting { role, place } => {
                if let Some(role) = self.truth.roles.get_mut(&roles[role]) {
                    let place = [None, Some(name), Some("elsewhere".to_owned())][place].clone();
                    let settings = role.settings.entry(place).or_default();
                    settings.insert("statement_timeout".into(), "0".into());
                }
            }
            Meddling::GrantDatabase { grantee, privilege, grantable } => {
                let grantee = grantees().swap_remove(grantee);
                if matches!(&grantee, Grantee::Role(role) if !exists(role)) {
                    return;
                }
                let privilege = [Privilege::Connect, Privilege::Temporary, Privilege::Create][privilege];
                if let Some(database) = self.truth.databases.get_mut(&name) {
                    database.acl.insert((grantee, privilege), grantable);
                }
            }
            Meddling::RevokeDatabase { grantee, privilege } => {
                let privilege = [Privilege::Connect, Privilege::Temporary, Privilege::Create][privilege];
                if let Some(database) = self.truth.databases.get_mut(&name) {
                    database.acl.remove(&(grantees().swap_remove(grantee), privilege));
                }
            }
            Meddling::Membership { group, member, admin } => {
                if exists(&roles[group]) && exists(&roles[member]) && group != member {
                    let (group, member) = (roles[group].clone(), roles[member].clone());
                    self.truth.memberships.insert(Membership { group, member }, admin);
                }
            }
            Meddling::Leave { group, member } => {
                let (group, member) = (roles[group].clone(), roles[member].clone());
                self.truth.memberships.remove(&Membership { group, member });
            }
            Meddling::Session(role) => {
                if self.truth.roles.contains_key(&roles[role]) && self.truth.databases.contains_key(&name) {
                    self.truth.sessions.entry(name).or_default().insert(roles[role].clone(), 1);
                }
            }
            // While a database is being made, another owner means another maker: that is a conflict.
            Meddling::Owner(role) => {
                let settled = self.truth.marker(&name).is_some_and(|marker| marker.phase != Phase::Creating);
                if settled && exists(&roles[role]) && self.truth.databases.contains_key(&name) {
                    self.alter_database(&name, &DatabaseChange::Owner(Ident::parse(&roles[role]).unwrap()));
                }
            }
            inside => self.meddle_with_database(&name, inside),
        }
    }

    fn meddle_with_database(&mut self, name: &str, meddling: Meddling) {
        let (Some(database), Some(inside)) =
            (self.truth.databases.get_mut(name), self.truth.inside.get_mut(name))
        else {
            return;
        };
        let edit = |acl: &mut Acl, grantee: usize, privilege, grant| {
            let key = (grantees().swap_remove(grantee), privilege);
            if grant {
                acl.insert(key, false);
            } else {
                acl.remove(&key);
            }
        };
        match meddling {
            Meddling::Limit(count) => database.connection_limit = count,
            Meddling::DatabaseSetting(setting) => {
                let name = ["statement_timeout", "temp_file_limit", "search_path"][setting];
                database.settings.insert(name.into(), "0".into());
                if name == "search_path" {
                    inside.extensions.search_path = Some("0".into());
                }
            }
            Meddling::Close => database.allow_connections = false,
            Meddling::Template => database.template = true,
            _ if !database.allow_connections => {}
            Meddling::PublicSchema { grantee, privilege, grant } => {
                let privilege = [Privilege::Usage, Privilege::Create][privilege];
                edit(inside.public.get_or_insert_default(), grantee, privilege, grant);
            }
            Meddling::ForgetDefaults(kind) => {
                inside.defaults.retain(|(_, it), _| *it != DefaultKind::ALL[kind]);
            }
            Meddling::Functions { function, grantee, grant } => {
                let acl = inside.functions.entry(RestrictedFunction::ALL[function]).or_default();
                edit(acl, grantee, Privilege::Execute, grant);
            }
            _ => {}
        }
    }
}

/// How far a credential's rotation is: whether its second login is in use, and whether the other one still works; `None` for one that
/// was never rotated.
fn rotations() -> impl Strategy<Value = Option<(bool, bool)>> {
    prop::option::of((any::<bool>(), any::<bool>()))
}

/// A credential as it is wanted when its rotation is that far.
fn rotated(credential: &mut CredentialSpec, (second, earlier_works): (bool, bool)) {
    credential.side = if second { Side::B } else { Side::A };
    credential.earlier_works = earlier_works;
    let earlier = if earlier_works { Earlier::Rolling } else { Earlier::Refused };
    let rotated_for = Some("asked".to_owned());
    credential.issue =
        Some(Issue { side: credential.side, earlier, rotated_for, ..Issue::first(Timestamp::UNIX_EPOCH) });
    credential.password = PasswordWish::Reissue(verifier(credential.name.as_str()));
}

pub fn specs() -> impl Strategy<Value = DatabaseSpec> {
    let credentials = prop_oneof![Just(vec!["app"]), Just(vec!["b-c"]), Just(CREDENTIALS.to_vec())];
    let settings = prop::collection::btree_map(
        prop_oneof![Just(Setting::StatementTimeout), Just(Setting::TempFileLimit)],
        (1u32..3).prop_map(Value::Number),
        0..3,
    );
    let each = prop::array::uniform2((0usize..3, rotations()));
    let extensions = prop::sample::subsequence(vec!["citext", "cube"], 0..=2);
    (credentials, prop::option::of(1u32..5), settings, any::<bool>(), each, extensions).prop_map(
        |(credentials, limit, settings, allowed, each, extensions)| {
            let mut want = DatabaseSpec { settings, ..want(&credentials, limit, allowed) };
            for (credential, (group, rotation)) in want.credentials.iter_mut().zip(each) {
                credential.group = Group::ALL[group];
                if let Some(rotation) = rotation {
                    rotated(credential, rotation);
                }
            }
            want.extensions = extensions_of(&extensions);
            want
        },
    )
}

/// Those extensions, as they are made where none of them is.
fn extensions_of(names: &[&str]) -> Wanted {
    let creation = |name: &&str| Creation {
        name: Ident::parse(name).unwrap(),
        schema: Ident::parse(HOME).unwrap(),
        version: Literal::new("1.0").unwrap(),
        requires: BTreeSet::new(),
    };
    Wanted {
        names: names.iter().map(ToString::to_string).collect(),
        create: names.iter().map(creation).collect(),
    }
}

fn meddlings() -> impl Strategy<Value = Meddling> {
    let (role, grantee) = (0..=OWN, 0..=OWN + 1);
    prop_oneof![
        (role.clone(), 0usize..9).prop_map(|(role, attribute)| Meddling::Attribute { role, attribute }),
        (0..OWN).prop_map(Meddling::DropRole),
        role.clone().prop_map(Meddling::Password),
        role.clone().prop_map(Meddling::ForgetSetting),
        (role.clone(), 0usize..3).prop_map(|(role, place)| Meddling::Setting { role, place }),
        (grantee.clone(), 0usize..3, any::<bool>()).prop_map(|(grantee, privilege, grantable)| {
            Meddling::GrantDatabase { grantee, privilege, grantable }
        }),
        (grantee.clone(), 0usize..3)
            .prop_map(|(grantee, privilege)| Meddling::RevokeDatabase { grantee, privilege }),
        (role.clone(), role.clone(), any::<bool>()).prop_map(|(group, member, admin)| Meddling::Membership {
            group,
            member,
            admin
        }),
        (role.clone(), role.clone()).prop_map(|(group, member)| Meddling::Leave { group, member }),
        role.clone().prop_map(Meddling::Owner),
        prop::option::of(1u32..9).prop_map(Meddling::Limit),
        (0usize..3).prop_map(Meddling::DatabaseSetting),
        Just(Meddling::Close),
        Just(Meddling::Template),
        (grantee.clone(), 0usize..2, any::<bool>())
            .prop_map(|(grantee, privilege, grant)| { Meddling::PublicSchema { grantee, privilege, grant } }),
        (0usize..4).prop_map(Meddling::ForgetDefaults),
        (0usize..5, grantee, any::<bool>())
            .prop_map(|(function, grantee, grant)| { Meddling::Functions { function, grantee, grant } }),
        role.prop_map(Meddling::Session),
    ]
}

pub fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (specs(), 0usize..9).prop_map(|(want, effects)| Event::Work { want: Box::new(want), effects }),
        1 => (0usize..4).prop_map(|effects| Event::Release { effects }),
        4 => meddlings().prop_map(Event::Meddle),
    ]
}

/// What is asked of a database that nobody can look into: its extensions wait until somebody can.
pub fn seen(want: &DatabaseSpec, model: &Model) -> DatabaseSpec {
    let is_closed = model.truth.databases.get(physical().as_str()).is_some_and(|it| !it.allow_connections);
    let extensions = if is_closed { Wanted::default() } else { want.extensions.clone() };
    DatabaseSpec { extensions, ..want.clone() }
}

pub fn happen(model: &mut Model, event: &Event) {
    match event {
        Event::Work { want, effects } => {
            let plan = plan(&seen(want, model), &model.observe()).unwrap();
            model.apply(&plan.batches[..plan.batches.len().min(*effects)]);
        }
        Event::Release { effects } => {
            let Some(marker) = model.truth.marker(physical().as_str()).cloned() else { return };
            let plan = release(&marker, &model.observe()).unwrap();
            model.apply(&plan.batches[..plan.batches.len().min(*effects)]);
        }
        Event::Meddle(meddling) => model.meddle(*meddling),
    }
}
