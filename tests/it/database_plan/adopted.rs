//! A database that we did not make: what a plan gives to our roles, and that it takes nothing from anybody else.

use tenantry::api::server_database::Management;
use tenantry::controller::database::drift;
use tenantry::postgres::adoption::Adopted;
use tenantry::postgres::facts::Acl;
use tenantry::postgres::statement::Statement;

use super::*;

const NAME: &str = "Legacy.crm-1";

fn adopted(management: Management, credentials: &[&str]) -> DatabaseSpec {
    DatabaseSpec {
        physical: physical().of_adopted(NAME).unwrap(),
        adopted: Some(Adopted { management, object: "legacy".into() }),
        ..want(credentials, Some(10), true)
    }
}

/// A server with a database of somebody else's.
fn server(superuser: bool) -> Model {
    let mut model = Model::adopting(superuser, NAME);
    let entries = [
        (Grantee::Public, Privilege::Connect),
        (Grantee::Role("crm".into()), Privilege::Connect),
        (Grantee::Role("crm_app".into()), Privilege::Create),
    ];
    let database = Database {
        owner: "crm".into(),
        admin_is_owner: true,
        allow_connections: true,
        template: true,
        connection_limit: Some(42),
        comment: Some("theirs".into()),
        acl: entries.into_iter().map(|entry| (entry, true)).collect(),
        ..Database::default()
    };
    model.truth.databases.insert(NAME.into(), database);
    model
}

/// The database without what our own roles have.
fn theirs(model: &Model) -> Database {
    let mut database = model.truth.databases[NAME].clone();
    let ours = |grantee: &Grantee| matches!(grantee, Grantee::Role(role) if role.starts_with("t_"));
    database.acl = database.acl.into_iter().filter(|((grantee, _), _)| !ours(grantee)).collect::<Acl>();
    database
}

#[test]
fn an_adopted_database_is_granted_to_our_roles_and_stays_as_it_was() {
    for superuser in [false, true] {
        let mut model = server(superuser);
        let (spec, before) = (adopted(Management::Adopt, &["app"]), theirs(&model));
        let first = plan(&spec, &model.observe()).unwrap();
        assert_eq!(drops(&first), Vec::<String>::new());
        model.apply(&first.batches);
        assert_eq!(plan(&spec, &model.observe()).unwrap().to_string(), "", "after {first}");
        let row = model.truth.marker(NAME).cloned().unwrap();
        assert_eq!((row.phase, row.adopted.as_ref()), (Phase::Bound, spec.adopted.as_ref()));
        let login = spec.physical.login(&spec.credentials[0].name, Side::A);
        assert!(login.starts_with(physical().as_str()) && model.truth.roles[&login].login, "{login}");

        let closed = DatabaseSpec { logins_allowed: false, ..spec.clone() };
        model.apply(&plan(&closed, &model.observe()).unwrap().batches);
        assert!(!model.truth.roles[&login].login);
        model.apply(&plan(&spec, &model.observe()).unwrap().batches);
        model.apply(&release(&row, &model.observe()).unwrap().batches);
        assert!(!model.truth.roles[&login].login);
        assert_eq!(theirs(&model), before);
    }
}

#[test]
fn an_adopted_databases_owner_may_let_our_groups_use_what_is_theirs_and_the_server_s_own_roles_are_taken_back()
 {
    let mut model = server(true);
    let spec = adopted(Management::Adopt, &["app"]);
    model.apply(&plan(&spec, &model.observe()).unwrap().batches);
    let readers = spec.physical.group(Group::ReadOnly);
    let login = spec.physical.login(&spec.credentials[0].name, Side::A);
    let mut grant = |group: &str, member: &str| {
        let membership = Membership { group: group.into(), member: member.into() };
        model.truth.memberships.insert(membership, false);
    };
    grant("crm_reader", &readers);
    grant("pg_read_all_data", &readers);
    grant("crm_reader", &login);
    grant(&readers, "mallory");
    let found = drift::found(&plan(&spec, &model.observe()).unwrap(), "postgres");
    let expected = [
        format!("{login} is a member of crm_reader"),
        format!("{readers} is a member of pg_read_all_data"),
        format!("mallory is a member of {readers}"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_observed_database_gets_a_row_and_becomes_an_adopted_one_by_the_next_plan() {
    let mut model = server(true);
    // Nobody's roles matter to whoever only looks.
    let group = physical().group(Group::Owner);
    model.truth.roles.insert(group.clone(), Role::default());
    let (before, roles) = (theirs(&model), model.truth.roles.clone());
    let spec = adopted(Management::Observe, &[]);
    let first = plan(&spec, &model.observe()).unwrap();
    let statements: Vec<&Statement> = first.batches.iter().flat_map(|batch| &batch.statements).collect();
    assert!(matches!(statements[..], [Statement::InsertMarker(_)]), "{first}");
    model.apply(&first.batches);
    assert_eq!(plan(&spec, &model.observe()), Ok(Plan::default()));

    let adopt = adopted(Management::Adopt, &["app"]);
    let taken = Err(Conflict::NameConflict { what: "role", name: group.clone() });
    assert_eq!(plan(&adopt, &model.observe()), taken);
    let row = model.truth.marker(NAME).cloned().unwrap();
    model.apply(&release(&row, &model.observe()).unwrap().batches);
    assert_eq!((theirs(&model), &model.truth.roles), (before.clone(), &roles));

    model.truth.roles.remove(&group);
    model.apply(&plan(&adopt, &model.observe()).unwrap().batches);
    assert_eq!(plan(&adopt, &model.observe()).unwrap().to_string(), "");
    let row = model.truth.marker(NAME).unwrap();
    assert_eq!((row.management(), row.generation), (Management::Adopt, 3));
    assert_eq!(theirs(&model), before);
}

#[test]
fn what_is_not_there_or_lets_nobody_in_is_told_and_a_lost_one_still_refuses_our_logins() {
    let spec = adopted(Management::Adopt, &["app"]);
    let observe = adopted(Management::Observe, &[]);
    let absent = Err(Conflict::Absent { name: NAME.into() });
    let nothing = Model::adopting(true, NAME).observe();
    assert_eq!((plan(&spec, &nothing), plan(&observe, &nothing)), (absent.clone(), absent));
    let mut model = server(true);
    model.truth.databases.get_mut(NAME).unwrap().allow_connections = false;
    assert_eq!(plan(&spec, &model.observe()), Err(Conflict::Closed { name: NAME.into() }));
    assert!(plan(&observe, &model.observe()).is_ok());

    let mut model = server(true);
    model.apply(&plan(&spec, &model.observe()).unwrap().batches);
    model.truth.databases.clear();
    let row = model.truth.marker(NAME).cloned().unwrap();
    model.apply(&release(&row, &model.observe()).unwrap().batches);
    assert!(model.truth.roles.values().all(|role| !role.login));
    assert_eq!(model.truth.marker(NAME).unwrap().phase, Phase::Released);
}
