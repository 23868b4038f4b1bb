//! A model of PostgreSQL's catalogs: what each statement does to them.

use tenantry::api::names::{CredentialName, PhysicalName};
use tenantry::postgres::extension::Home;
use tenantry::postgres::facts::{
    Acl, Database, Facts, Grantee, Inside, Membership, Privilege, Role, Server, StoredPassword,
};
use tenantry::postgres::issue::Issue;
use tenantry::postgres::settings::Setting;
use tenantry::postgres::statement::{
    Batch, DatabaseChange, ExtensionChange, Object, READ_ONLY, RoleAttribute, Statement,
};

use super::physical;

const ADMIN: &str = "postgres";

/// The truth; [`Model::observe`] shows what can be seen of it.
#[derive(Clone, Debug)]
pub struct Model {
    pub truth: Facts,
    /// Name of the database that is worked in.
    name: String,
}

impl Model {
    pub fn new(superuser: bool) -> Self {
        let server = Server {
            version: "15.18".into(),
            version_number: 150_018,
            template_encoding: "UTF8".into(),
            admin: ADMIN.into(),
            superuser,
            create_role: true,
            create_database: true,
            reads_passwords: superuser,
            forbidden_settings: Setting::PRIVILEGED.into_iter().filter(|_| !superuser).collect(),
            ..Server::default()
        };
        Self { truth: Facts { server, ..Facts::default() }, name: physical().as_str().to_owned() }
    }

    /// The same, to work in a database of another name.
    pub fn adopting(superuser: bool, name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::new(superuser) }
    }

    pub fn observe(&self) -> Facts {
        let mut facts = self.truth.clone();
        facts.inside.retain(|name, _| facts.databases.get(name).is_some_and(|it| it.allow_connections));
        facts
    }

    pub fn apply(&mut self, batches: &[Batch]) {
        for statement in batches.iter().flat_map(|batch| &batch.statements) {
            self.change(statement);
        }
    }

    fn change(&mut self, statement: &Statement) {
        let text = statement.to_string();
        assert!(!text.contains("DROP "), "no plan drops anything: {text}");
        match statement {
            Statement::CreateGroup { role } => self.create_role(role.as_str(), Role::group()),
            Statement::CreateLogin { role, connection_limit, verifier } => self.create_role(
                role.as_str(),
                Role {
                    connection_limit: *connection_limit,
                    password: StoredPassword::Scram(verifier.clone()),
                    ..Role::default()
                },
            ),
            Statement::AlterRole { role, attributes } => {
                let role = self.truth.roles.get_mut(role.as_str()).expect("the role exists");
                for attribute in attributes {
                    alter(role, *attribute);
                }
            }
            Statement::SetPassword { role, verifier } => {
                let role = self.truth.roles.get_mut(role.as_str()).expect("the role exists");
                role.password = StoredPassword::Scram(verifier.clone());
            }
            Statement::SetGroupInDatabase { role, database, group } => {
                assert!(self.truth.databases.contains_key(database.as_str()), "{text}");
                let role = self.truth.roles.get_mut(role.as_str()).expect("the role exists");
                let settings = role.settings.entry(Some(database.as_str().to_owned())).or_default();
                settings.insert("role".into(), group.as_str().into());
            }
            Statement::SetReadOnlyInDatabase { role, database } => {
                assert!(self.truth.databases.contains_key(database.as_str()), "{text}");
                let role = self.truth.roles.get_mut(role.as_str()).expect("the role exists");
                let settings = role.settings.entry(Some(database.as_str().to_owned())).or_default();
                settings.insert(READ_ONLY.into(), "on".into());
            }
            Statement::ResetSettings { role, database } => {
                let role = self.truth.roles.get_mut(role.as_str()).expect("the role exists");
                let scope = database.as_ref().map(|name| name.as_str().to_owned());
                assert!(role.settings.remove(&scope).is_some(), "nothing to reset: {text}");
            }
            Statement::GrantRole { group, member } => {
                let membership = Membership { group: group.as_str().into(), member: member.as_str().into() };
                self.truth.memberships.entry(membership).or_insert(false);
            }
            Statement::RevokeRole { group, member, admin_option_only, granted_by: _ } => {
                let membership = Membership { group: group.as_str().into(), member: member.as_str().into() };
                if *admin_option_only {
                    self.truth.memberships.insert(membership, false);
                } else {
                    self.truth.memberships.remove(&membership);
                }
            }
            Statement::CreateDatabase { name, owner, connection_limit, .. } => {
                let owner = owner.as_ref().expect("tenant databases have an owner").as_str();
                self.create_database(name.as_str(), owner, *connection_limit);
            }
            Statement::AlterDatabase { name, change } => self.alter_database(name.as_str(), change),
            Statement::Grant { object, privileges, grantee } => {
                let acl = self.acl(object);
                for privilege in privileges {
                    acl.entry((grantee.clone(), *privilege)).or_insert(false);
                }
            }
            Statement::Revoke { object, privileges, grantee, grant_option_only } => {
                let acl = self.acl(object);
                for privilege in privileges {
                    let key = (grantee.clone(), *privilege);
                    if *grant_option_only {
                        acl.insert(key, false);
                    } else {
                        acl.remove(&key);
                    }
                }
            }
            Statement::EndSessions { logins } => {
                for sessions in self.truth.sessions.values_mut() {
                    sessions.retain(|login, _| !logins.contains(login));
                }
            }
            Statement::InsertMarker(marker) => {
                assert!(self.truth.marker(&marker.physical_name).is_none(), "physical names are unique");
                self.truth.markers.push(marker.clone());
            }
            Statement::UpdateMarker { marker, expected_generation } => {
                let row = self.truth.markers.iter_mut().find(|row| row.physical_name == marker.physical_name);
                let row = row.expect("the row exists");
                assert_eq!(row.generation, *expected_generation);
                *row = marker.clone();
            }
            Statement::Extension(change) => self.extend(change),
            Statement::WriteIssue { database, credential, issue } => self.record(database, credential, issue),
            Statement::CreateOperatorSchema
            | Statement::CreateMarkerTable
            | Statement::WidenMarkerTable
            | Statement::CreateEpochTable
            | Statement::CreateCredentialTable => panic!("bootstrap's: {text}"),
            _ => panic!("nobody asks a claim's plan for that: {text}"),
        }
    }

    fn extend(&mut self, change: &ExtensionChange) {
        let name = self.name.clone();
        let open = self.truth.databases.get(&name).is_some_and(|it| it.allow_connections);
        let extensions = &mut self.truth.inside.get_mut(&name).expect("the database exists").extensions;
        assert!(open, "nobody can work inside a closed database");
        match change {
            ExtensionChange::CreateHome { schema, owner } => {
                let home = Home { owner: owner.as_str().to_owned(), acl: Acl::new() };
                assert!(
                    extensions.homes.insert(schema.as_str().to_owned(), home).is_none(),
                    "{schema} exists"
                );
            }
            ExtensionChange::Create { name, schema, .. } => {
                assert!(extensions.homes.contains_key(schema.as_str()), "there is no schema {schema}");
                let before =
                    extensions.installed.insert(name.as_str().to_owned(), schema.as_str().to_owned());
                assert!(before.is_none(), "extension {name} exists");
            }
            ExtensionChange::LeadTo { schema, .. } => {
                extensions.search_path = Some(format!("\"$user\", public, {schema}"));
            }
        }
    }

    fn record(&mut self, database: &PhysicalName, credential: &CredentialName, issue: &Issue) {
        assert!(self.truth.marker(database.as_str()).is_some(), "the row refers to its marker");
        self.truth.issues.insert(credential.as_str().to_owned(), issue.clone());
    }

    fn create_role(&mut self, name: &str, role: Role) {
        assert!(self.truth.roles.insert(name.to_owned(), role).is_none(), "role {name} exists");
    }

    fn create_database(&mut self, name: &str, owner: &str, connection_limit: Option<u32>) {
        let own = |privilege| ((Grantee::Role(owner.to_owned()), privilege), false);
        let public = |privilege| ((Grantee::Public, privilege), false);
        let acl = [
            own(Privilege::Connect),
            own(Privilege::Temporary),
            own(Privilege::Create),
            public(Privilege::Connect),
            public(Privilege::Temporary),
        ];
        let database = Database {
            owner: owner.to_owned(),
            admin_is_owner: true,
            connection_limit,
            encoding: "UTF8".into(),
            acl: acl.into(),
            ..Database::default()
        };
        assert!(self.truth.databases.insert(name.to_owned(), database).is_none(), "database {name} exists");
        let inside = Inside::of_new_database(self.truth.server.version_number);
        self.truth.inside.insert(name.to_owned(), inside);
    }

    pub fn alter_database(&mut self, name: &str, change: &DatabaseChange) {
        let database = self.truth.databases.get_mut(name).expect("the database exists");
        match change {
            DatabaseChange::Owner(owner) => {
                let before = std::mem::replace(&mut database.owner, owner.as_str().to_owned());
                let acl = std::mem::take(&mut database.acl);
                for ((grantee, privilege), grantable) in acl {
                    let grantee = match grantee {
                        Grantee::Role(role) if role == before => Grantee::Role(owner.as_str().to_owned()),
                        other => other,
                    };
                    *database.acl.entry((grantee, privilege)).or_default() |= grantable;
                }
            }
            DatabaseChange::AllowConnections(allow) => database.allow_connections = *allow,
            DatabaseChange::ConnectionLimit(count) => database.connection_limit = *count,
            DatabaseChange::Set(setting, _) | DatabaseChange::Reset(setting)
                if self.truth.server.forbidden_settings.contains(setting) =>
            {
                panic!("permission denied to set parameter {}", setting.name())
            }
            DatabaseChange::Set(setting, value) => {
                database.settings.insert(setting.name().to_owned(), value.to_string());
            }
            DatabaseChange::Reset(setting) => drop(database.settings.remove(setting.name())),
            DatabaseChange::Template(template) => database.template = *template,
            DatabaseChange::Comment(text) => database.comment = Some(text.as_str().to_owned()),
        }
    }

    fn acl(&mut self, object: &Object) -> &mut Acl {
        let physical = self.name.clone();
        let open = self.truth.databases.get(&physical).is_some_and(|it| it.allow_connections);
        let inside = self.truth.inside.entry(physical).or_default();
        match object {
            Object::Database(name) => {
                &mut self.truth.databases.get_mut(name.as_str()).expect("the database exists").acl
            }
            _ if !open => panic!("nobody can work inside a closed database"),
            Object::Schema(name) if name.as_str() == "public" => {
                inside.public.as_mut().expect("schema public exists")
            }
            Object::Schema(name) => {
                let home = inside.extensions.homes.get_mut(name.as_str());
                &mut home.expect("the schema exists").acl
            }
            Object::Function(function) => inside.functions.entry(*function).or_default(),
            Object::Default { creator, kind } => {
                let may = self.truth.server.superuser
                    || self
                        .truth
                        .memberships
                        .contains_key(&Membership { group: creator.as_str().into(), member: ADMIN.into() });
                assert!(may, "only a member sets a role's default privileges");
                inside.defaults.entry((creator.as_str().to_owned(), *kind)).or_default()
            }
        }
    }
}

fn alter(role: &mut Role, attribute: RoleAttribute) {
    match attribute {
        RoleAttribute::Login(on) => role.login = on,
        RoleAttribute::Inherit(on) => role.inherit = on,
        RoleAttribute::Superuser(on) => role.superuser = on,
        RoleAttribute::CreateDatabase(on) => role.create_database = on,
        RoleAttribute::CreateRole(on) => role.create_role = on,
        RoleAttribute::Replication(on) => role.replication = on,
        RoleAttribute::BypassRls(on) => role.bypass_rls = on,
        RoleAttribute::ConnectionLimit(count) => role.connection_limit = count,
        RoleAttribute::NeverExpires => role.expires = false,
    }
}
