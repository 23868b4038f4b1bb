//! The plan of a tenant's database converges: proven on a model of PostgreSQL's catalogs.

mod adopted;
pub mod meddling;
mod model;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tenantry::api::deletion::DeletionPolicy;
use tenantry::api::names::{CredentialName, DatabaseName, Group, PhysicalName, Side, TenantId};
use tenantry::controller::database::extensions::Wanted;
use tenantry::controller::database::plan::{Conflict, Plan, plan, release};
use tenantry::controller::database::want::{CredentialSpec, DatabaseSpec, PasswordWish};
use tenantry::postgres::facts::{
    Claim, DATABASE_OWNER, Database, Facts, Grantee, Marker, Membership, Phase, Privilege, Role,
    StoredPassword,
};
use tenantry::postgres::scram::{Password, Verifier};
use tenantry::postgres::settings::Settings;
use tenantry::postgres::statement::Statement;

use meddling::{events, happen, seen, specs};
use model::Model;

const TENANT: &str = "0b6cbd8e-7a0c-4d51-9f0b-2a4f3f3f0c11";

fn physical() -> PhysicalName {
    PhysicalName::new(&TenantId::of_uid(TENANT), &DatabaseName::parse("app").unwrap())
}

fn verifier(credential: &str) -> Verifier {
    Verifier::derive(&Password::new(credential), b"0123456789abcdef", 1)
}

fn want(credentials: &[&str], connection_limit: Option<u32>, logins_allowed: bool) -> DatabaseSpec {
    let credential = |name: &&str| {
        let password = PasswordWish::Set(verifier(name));
        CredentialSpec::plain(CredentialName::parse(name).unwrap(), Group::Owner, password)
    };
    DatabaseSpec {
        physical: physical(),
        tenant_uid: TENANT.into(),
        tenant_id: TenantId::of_uid(TENANT).as_str().into(),
        name: DatabaseName::parse("app").unwrap(),
        claim: Claim { namespace: "tenant-acme".into(), name: "app".into(), uid: Some("claim-1".into()) },
        connection_limit,
        settings: Settings::new(),
        credentials: credentials.iter().map(credential).collect(),
        logins_allowed,
        adopted: None,
        deletion_policy: DeletionPolicy::Retain,
        own_server: false,
        extensions: Wanted::default(),
    }
}

/// What a tenant could log in with.
fn open_logins(model: &Model) -> BTreeSet<String> {
    let Some(database) = model.truth.databases.get(physical().as_str()) else { return BTreeSet::new() };
    let connect = |name: &String| {
        database.acl.contains_key(&(Grantee::Role(name.clone()), Privilege::Connect))
            || database.acl.contains_key(&(Grantee::Public, Privilege::Connect))
    };
    let open = model.truth.roles.iter().filter(|(name, role)| role.login && connect(name));
    open.map(|(name, _)| name.clone()).collect()
}

/// Statements that remove something for good. Without an explicit policy no plan has one.
fn drops(plan: &Plan) -> Vec<String> {
    let statements = plan.batches.iter().flat_map(|batch| &batch.statements);
    let removes = |sql: &String| {
        let first = sql.split(';').filter_map(|part| part.split_whitespace().next());
        let mut words = first.chain(sql.split_whitespace().filter(|word| *word == "RENAME"));
        words.any(|word| ["DROP", "DELETE", "TRUNCATE", "REASSIGN", "RENAME"].contains(&word))
    };
    statements.map(|statement| statement.sql().unwrap()).filter(removes).collect()
}

/// Databases, roles and marker rows that were there before and are not after.
fn lost(before: &Facts, after: &Facts) -> Vec<String> {
    let names = |facts: &Facts| -> BTreeSet<String> {
        let rows = facts.markers.iter().map(|row| format!("row {}", row.physical_name));
        facts.databases.keys().chain(facts.roles.keys()).cloned().chain(rows).collect()
    };
    names(before).difference(&names(after)).cloned().collect()
}

proptest! {
    #[test]
    fn whatever_happened_one_plan_makes_it_right(
        superuser in any::<bool>(),
        history in prop::collection::vec(events(), 0..12),
        want in specs(),
    ) {
        let mut model = Model::new(superuser);
        for event in &history {
            happen(&mut model, event);
        }

        let want = seen(&want, &model);
        let first = plan(&want, &model.observe()).unwrap();
        let facts = model.truth.clone();
        prop_assert_eq!(drops(&first), Vec::<String>::new());
        model.apply(&first.batches);
        prop_assert_eq!(lost(&facts, &model.truth), Vec::<String>::new(), "by {}", first);
        let second = plan(&want, &model.observe()).unwrap();
        prop_assert_eq!(second.to_string(), "", "after {}", first);

        let mut groups = BTreeSet::new();
        for credential in &want.credentials {
            let (login, group) = (want.physical.login(&credential.name, credential.side), want.physical.group(credential.group));
            groups.insert((login.clone(), group.clone()));
            // A session keeps the role that it began with.
            let other = Group::ALL.map(|it| want.physical.group(it)).into_iter().any(|it| {
                it != group && facts.memberships.contains_key(&Membership { group: it, member: login.clone() })
            });
            let own = facts.memberships.contains_key(&Membership { group, member: login.clone() });
            let of_login = BTreeSet::from([login]);
            let sessions = model.truth.sessions_of(&of_login);
            prop_assert!(!other || own || sessions == 0, "sessions last from before by {}", first);
        }
        let asked = |it: &&Membership| groups.iter().any(|(login, _)| *login == it.member);
        let memberships = model.truth.memberships.keys().filter(asked);
        let memberships: BTreeSet<_> = memberships.map(|it| (it.member.clone(), it.group.clone())).collect();
        prop_assert_eq!(memberships, groups);
        let logins = want.credentials.iter().map(|it| want.physical.login(&it.name, it.side));
        // One of before works if it is to and was there: nobody has the password of one that is made again.
        let recorded = facts.marker(want.physical.as_str()).map(|row| row.logins.clone()).unwrap_or_default();
        let earlier = want.credentials.iter().filter(|it| it.earlier_works);
        let earlier = earlier.map(|it| want.physical.login(&it.name, it.side.other()));
        let earlier = earlier.filter(|login| recorded.contains(login) && facts.roles.contains_key(login));
        let expected = if want.logins_allowed { logins.chain(earlier).collect() } else { BTreeSet::new() };
        prop_assert_eq!(open_logins(&model), expected);
        let installed = &model.truth.inside[want.physical.as_str()].extensions.installed;
        prop_assert!(want.extensions.names.iter().all(|name| installed.contains_key(name)), "{:?}", installed);
        for credential in want.credentials.iter().filter(|it| it.issue.is_some()) {
            prop_assert_eq!(model.truth.issues.get(credential.name.as_str()), credential.issue.as_ref());
        }
    }

    #[test]
    fn a_released_database_lets_nobody_in_and_keeps_everything(
        superuser in any::<bool>(),
        history in prop::collection::vec(events(), 0..12),
    ) {
        let mut model = Model::new(superuser);
        for event in &history {
            happen(&mut model, event);
        }
        let Some(marker) = model.truth.marker(physical().as_str()).cloned() else { return Ok(()) };
        let before = model.truth.clone();

        let released = release(&marker, &model.observe()).unwrap();
        prop_assert_eq!(drops(&released), Vec::<String>::new());
        model.apply(&released.batches);
        prop_assert_eq!(lost(&before, &model.truth), Vec::<String>::new(), "by {}", released);
        let again = model.truth.marker(physical().as_str()).cloned().unwrap();
        prop_assert_eq!(release(&again, &model.observe()).unwrap().to_string(), "");
        if marker.phase != Phase::Creating {
            prop_assert!(marker.logins.iter().all(|login| !model.truth.roles.get(login).is_some_and(|it| it.login)));
        }
        prop_assert_eq!(model.truth.inside, before.inside);
        prop_assert_eq!(
            model.truth.roles.keys().collect::<Vec<_>>(),
            before.roles.keys().collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_new_database_takes_five_effects_in_this_order() {
    let mut model = Model::new(true);
    let plan = plan(&want(&["app"], Some(10), true), &model.observe()).unwrap();
    model.apply(&plan.batches);
    assert_eq!(plan.to_string(), include_str!("new.sql"));
}

#[test]
fn suspension_takes_two_effects_and_resume_one() {
    let mut model = Model::new(true);
    model.apply(&plan(&want(&["app"], None, true), &model.observe()).unwrap().batches);
    let suspend = plan(&want(&["app"], None, false), &model.observe()).unwrap();
    model.apply(&suspend.batches);
    let resume = plan(&want(&["app"], None, true), &model.observe()).unwrap();
    assert_eq!(format!("{suspend}{resume}"), include_str!("suspended.sql"));
}

#[test]
fn what_is_not_ours_is_a_conflict() {
    let spec = want(&["b-c"], None, true);
    let conflict = |change: &dyn Fn(&mut Facts)| {
        let mut facts = Model::new(true).truth;
        change(&mut facts);
        plan(&spec, &facts)
    };
    let taken = |what, name: &str| Err(Conflict::NameConflict { what, name: name.into() });
    let name = spec.physical.as_str();
    assert_eq!(
        conflict(&|facts| drop(facts.databases.insert(name.into(), Database::default()))),
        taken("database", name)
    );
    let group = spec.physical.group(Group::ReadOnly);
    assert_eq!(
        conflict(&|facts| drop(facts.roles.insert(group.clone(), Role::default()))),
        taken("role", &group)
    );
    let login = spec.physical.login(&spec.credentials[0].name, Side::A);
    assert_eq!(
        conflict(&|facts| drop(facts.roles.insert(login.clone(), Role::default()))),
        taken("role", &login)
    );
}

#[test]
fn one_login_is_never_shared_by_two_claims() {
    let mut model = Model::new(true);
    model.apply(&plan(&want(&["b-c"], None, true), &model.observe()).unwrap().batches);
    let name = DatabaseName::parse("app-b").unwrap();
    let other = DatabaseSpec {
        physical: PhysicalName::new(&TenantId::of_uid(TENANT), &name),
        claim: Claim { name: "app-b".into(), ..want(&[], None, true).claim },
        name,
        ..want(&["c"], None, true)
    };
    let login = other.physical.login(&other.credentials[0].name, Side::A);
    assert_eq!(
        login,
        want(&["b-c"], None, true).physical.login(&CredentialName::parse("b-c").unwrap(), Side::A)
    );
    assert_eq!(plan(&other, &model.observe()), Err(Conflict::NameConflict { what: "role", name: login }));
}

#[test]
fn a_database_that_is_gone_is_not_made_again_in_silence() {
    let mut model = Model::new(true);
    let spec = want(&["app"], None, true);
    model.apply(&plan(&spec, &model.observe()).unwrap().batches);
    model.truth.databases.clear();
    let missing = Conflict::Missing { name: spec.physical.as_str().into() };
    assert_eq!(plan(&spec, &model.observe()), Err(missing.clone()));
    assert_eq!(release(&model.truth.markers[0].clone(), &model.observe()), Err(missing));
}

#[test]
fn a_released_database_goes_to_the_claim_that_an_admin_names_and_to_no_other() {
    let mut model = Model::new(true);
    model.apply(&plan(&want(&["app"], None, true), &model.observe()).unwrap().batches);
    let marker = model.truth.markers[0].clone();
    model.apply(&release(&marker, &model.observe()).unwrap().batches);

    let claim = Claim { uid: Some("claim-2".into()), ..marker.claim.clone() };
    let taker = DatabaseSpec { tenant_uid: "another".into(), claim, ..want(&["app"], None, true) };
    let refused = Err(Conflict::Claimed {
        name: taker.physical.as_str().into(),
        namespace: "tenant-acme".into(),
        claim: "app".into(),
    });
    assert_eq!(plan(&taker, &model.observe()), refused);
    model.truth.markers[0].claim.uid = Some("claim-3".into());
    assert_eq!(plan(&taker, &model.observe()), refused);

    model.truth.markers[0].claim.uid = Some("claim-2".into());
    model.apply(&plan(&taker, &model.observe()).unwrap().batches);
    let expected = Marker {
        tenant_uid: "another".into(),
        claim: taker.claim.clone(),
        phase: Phase::Bound,
        generation: 3,
        ..marker
    };
    assert_eq!(model.truth.markers, [expected]);
    assert_eq!(plan(&taker, &model.observe()), Ok(Plan::default()));
}

#[test]
fn a_tenant_has_one_database_of_a_name() {
    let mut model = Model::new(true);
    model.apply(&plan(&want(&["app"], None, true), &model.observe()).unwrap().batches);
    let physical = PhysicalName::parse("t_old_app").unwrap();
    let second = DatabaseSpec { physical, ..want(&["app"], None, true) };
    let name = self::physical().as_str().to_owned();
    assert_eq!(plan(&second, &model.observe()), Err(Conflict::SecondDatabase { name }));
}

#[test]
fn a_password_that_stays_is_not_written() {
    let mut model = Model::new(true);
    let mut spec = want(&["app"], None, true);
    spec.credentials[0].password = PasswordWish::Keep;
    let name = spec.physical.login(&spec.credentials[0].name, Side::A);
    assert_eq!(plan(&spec, &model.observe()), Err(Conflict::PasswordNeeded { name: name.clone() }));
    model.apply(&plan(&want(&["app"], None, true), &model.observe()).unwrap().batches);
    model.truth.roles.get_mut(&name).unwrap().password = StoredPassword::Other;
    assert_eq!(plan(&spec, &model.observe()), Ok(Plan::default()));
    spec.credentials[0].password = PasswordWish::Set(verifier("new"));
    let expected = format!("-- server\nALTER ROLE \"{name}\" PASSWORD '********';\n");
    assert_eq!(plan(&spec, &model.observe()).unwrap().to_string(), expected);
}

#[test]
fn a_database_nobody_looked_into_is_left_as_it_is_inside() {
    let mut model = Model::new(true);
    let spec = want(&["app"], None, true);
    model.apply(&plan(&spec, &model.observe()).unwrap().batches);
    let facts = Facts { inside: BTreeMap::new(), ..model.observe() };
    assert_eq!(plan(&spec, &facts), Ok(Plan::default()));
    assert_eq!(model.truth.databases[physical().as_str()].owner, DATABASE_OWNER);
}

#[test]
fn a_kept_database_is_kept_until_it_is_bound_whatever_its_next_claim_says() {
    let mut model = Model::new(true);
    model.apply(&plan(&want(&["app"], None, true), &model.observe()).unwrap().batches);
    let row = model.truth.marker(physical().as_str()).unwrap().clone();
    model.apply(&release(&row, &model.observe()).unwrap().batches);
    let next = DatabaseSpec { deletion_policy: DeletionPolicy::Delete, ..want(&["app", "late"], None, true) };
    let bind = plan(&next, &model.observe()).unwrap();
    let statements = bind.batches.iter().flat_map(|batch| &batch.statements);
    let written: Vec<_> = statements
        .filter_map(|statement| match statement {
            Statement::UpdateMarker { marker, .. } => Some((marker.phase, marker.deletion_policy)),
            _ => None,
        })
        .collect();
    assert_eq!(written, [(Phase::Released, DeletionPolicy::Retain), (Phase::Bound, DeletionPolicy::Delete)]);
}
