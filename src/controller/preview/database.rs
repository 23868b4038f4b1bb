//! A claim's turn, rehearsed, up to the statements; and the release of databases that would lose their claim.

use kube::ResourceExt;

use super::rehearsal::{Rehearsal, Standing};
use crate::api::condition::{Summary, reason};
use crate::api::database_server::DatabaseServerSpec;
use crate::api::deletion::DeletionPolicy;
use crate::api::names::{self, PhysicalName, Side};
use crate::api::preview::{Action, DatabaseChange, KNOWN_AFTER_APPLY, SqlStatement, SqlStep};
use crate::api::server_database::DatabasePhase;
use crate::api::{DatabaseServer, ServerDatabase, Tenant, TenantDatabase};
use crate::controller::apply::ApplyError;
use crate::controller::database::extensions::Wanted;
use crate::controller::database::look::look;
use crate::controller::database::want::{CredentialSpec, PasswordWish};
use crate::controller::database::{plan, project, protection, refusal, tombstone};
use crate::controller::database_server::managed;
use crate::controller::object::{Key, Kind};
use crate::controller::pool::known::Taken;
use crate::controller::server_database::act::GRACE;
use crate::controller::tenant_database::binding::{self, Login, Logins, Secrets};
use crate::controller::tenant_database::choose::{Chosen, choose};
use crate::controller::tenant_database::provision::{self, Possible, Prepared, Provisioned};
use crate::controller::tenant_database::standing::Held;
use crate::controller::tenant_database::validate::{self, Refusal, ValidCredential, Validated};
use crate::controller::tenant_database::{fetch, place, quota, tenancy};
use crate::controller::worker::key_of;
use crate::postgres::facts::{Facts, Marker, Phase, Server};
use crate::postgres::observe::{self, Markers};
use crate::postgres::scram::{Password, Verifier};
use crate::postgres::statement::{Batch, PoolChange, Statement};

/// What would be sent to a server, and what the claim would have afterwards.
struct Planned {
    batches: Vec<Batch>,
    provisioned: Provisioned,
}

impl Rehearsal<'_> {
    /// Everything that would be done for that claim.
    pub(super) async fn claim(&mut self, claim: TenantDatabase) -> Result<(), ApplyError> {
        let key = key_of(&claim);
        let mut fetched = fetch::fetch(&self.world, claim);
        if fetched.leaving {
            return Ok(());
        }
        for server in fetched.servers.iter_mut().filter(|server| self.new_servers.contains(&server.name)) {
            (server.open, server.looked_at) = (true, true);
        }
        let validated = match validate::validate(&fetched) {
            Ok(validated) => validated,
            Err(refusal) => {
                self.problem(Kind::TenantDatabase, &key, &said(refusal));
                return Ok(());
            }
        };
        let planned = match binding::fetch(&self.world, &self.real.gate, &validated).await? {
            Ok(secrets) => self.planned(&validated, &secrets).await,
            Err(summary) => Err(summary),
        };
        let planned = match planned {
            Ok(planned) => planned,
            Err(summary) => {
                self.problem(Kind::TenantDatabase, &key, &summary);
                return Ok(());
            }
        };
        let Planned { batches, provisioned } = planned;
        if !validated.extensions.is_empty() && self.new_servers.contains(&validated.server) {
            self.so_far().notes.push(format!(
                "the extensions of TenantDatabase {key} are made when DatabaseServer {} has said which it has",
                validated.server
            ));
        }
        let protected = protection::of(&self.world, &provisioned.marker);
        let mut declared = binding::declare(&fetched, &validated, &provisioned)?;
        declared.push(project::declared(&provisioned.marker, &validated.server, protected)?);
        let mut standing = Standing::Firm;
        for declared in &declared {
            if self.declare(declared).await == Standing::Amiss {
                standing = Standing::Amiss;
            }
        }
        if let Some(problem) = &provisioned.lacking {
            self.problem(Kind::TenantDatabase, &key, problem);
        }
        if !batches.is_empty() {
            let physical = &provisioned.physical;
            self.send(&key, &validated.server, physical, &batches);
            let statements = batches.iter().flat_map(|batch| &batch.statements);
            if statements.clone().any(|it| matches!(it, Statement::Pool(PoolChange::RenameDatabase { .. }))) {
                self.so_far().notes.push(format!(
                    "database {physical} is taken from the warm pool of DatabaseServer {}; if that one is taken by then, \
                     it is another one, or is made",
                    validated.server
                ));
            }
        }
        if standing == Standing::Firm && provisioned.lacking.is_none() {
            self.has_database(fetched.claim, &validated, &provisioned);
        }
        Ok(())
    }

    /// What would be sent for the claim, by what its server has.
    async fn planned(&self, claim: &Validated, secrets: &Secrets) -> Result<Planned, Summary> {
        let Some(pool) = self.real.servers.pool(&claim.server) else {
            let new = self.new_servers.contains(&claim.server);
            return if new { self.planned_on_new(claim) } else { Err(place::not_ready(&claim.server)) };
        };
        let gate = self.real.servers.gate();
        let session = gate.open(&pool, provision::cause(claim, "preview")).await;
        let mut session = session.map_err(|error| refusal::of_execute(&error))?;
        let prepared = provision::prepare(&self.world, &pool, &mut session, claim, secrets).await;
        session.close().await;
        let Prepared {
            chosen,
            batches,
            logins,
            logins_allowed,
            rotating: _,
            again: _,
            mut taken,
            held: _,
            lacking,
        } = prepared?;
        // Another claim of the question gets another one.
        taken.iter_mut().for_each(Taken::uses);
        let target = pool.target();
        let at =
            At { host: target.host.clone(), port: target.port, ca: target.ca_pem.clone(), logins_allowed };
        let provisioned = Provisioned { lacking, ..at.provisioned(chosen, &batches, logins)? };
        Ok(Planned { batches, provisioned })
    }

    /// The same for a server that does not exist yet: nothing is on it, and we are its superuser.
    fn planned_on_new(&self, claim: &Validated) -> Result<Planned, Summary> {
        let chosen = choose(claim, &[])?;
        quota::ask(&self.world, claim)?;
        let server = Server {
            template_encoding: "UTF8".to_owned(),
            admin: managed::SUPERUSER.to_owned(),
            superuser: true,
            ..Server::default()
        };
        let (mut credentials, mut logins) = (Vec::new(), Logins::new());
        for ValidCredential { name, secret, access, asked: _ } in &claim.credentials {
            let password = self.world.random(Password::generate);
            let verifier = self.world.random(|random| Verifier::generate(&password, random));
            let login = chosen.physical.login(name, Side::A);
            logins.insert(secret.clone(), Login { name: login, password, issued_at: None });
            let password = PasswordWish::Set(verifier);
            credentials.push(CredentialSpec::plain(name.clone(), access.group(), password));
        }
        let possible = Possible {
            logins_allowed: claim.logins_allowed,
            settings: claim.settings.clone(),
            extensions: Wanted::default(),
        };
        let want = provision::want(claim, &chosen, credentials, possible);
        let plan = plan::plan(&want, &Facts { server, ..Facts::default() });
        let mut batches = plan.map_err(|conflict| refusal::of_conflict(&conflict))?.batches;
        tenancy::hold(&mut batches, None, &claim.tenant_uid);
        let spec = self.world.valid::<DatabaseServer>(&Key::cluster(&claim.server)).map(|server| server.spec);
        let at = At::of_new(&claim.server, spec.unwrap_or_default(), claim.logins_allowed);
        Ok(Planned { provisioned: at.provisioned(chosen, &batches, logins)?, batches })
    }

    /// The claim as it would be afterwards: services wait for its status.
    fn has_database(&self, mut claim: TenantDatabase, validated: &Validated, provisioned: &Provisioned) {
        let generation = claim.metadata.generation.unwrap_or_default();
        let mut status = claim.status.take().unwrap_or_default();
        let ready = Summary::Ready { message: String::new() };
        ready.write(&mut status.conditions, generation, self.real.now());
        status.observed_generation = Some(generation);
        status.server = Some(validated.server.clone());
        status.server_database = Some(provisioned.marker.object_name());
        claim.status = Some(status);
        self.put(claim);
    }

    /// Databases of the namespace that would have no claim any more.
    pub(super) async fn releases(&mut self, namespace: &str) {
        let claims: Vec<TenantDatabase> = self.world.valid_in(namespace);
        let is_claimed = |database: &ServerDatabase| {
            claims.iter().any(|claim| {
                claim.name_any() == database.spec.claim_ref.name
                    && claim.metadata.deletion_timestamp.is_none()
            })
        };
        let all: Vec<ServerDatabase> = self.world.valid_all();
        let bound = all.into_iter().filter(|database| {
            let phase = database.status.as_ref().and_then(|status| status.phase);
            database.spec.claim_ref.namespace == namespace
                && phase == Some(DatabasePhase::Bound)
                && !is_claimed(database)
        });
        for database in bound {
            match self.released(&database).await {
                Ok(Some(change)) => self.so_far().databases.push(change),
                Ok(None) => {}
                Err(summary) => {
                    self.problem(Kind::ServerDatabase, &Key::cluster(&database.name_any()), &summary);
                }
            }
        }
    }

    async fn released(&self, database: &ServerDatabase) -> Result<Option<DatabaseChange>, Summary> {
        let server = &database.spec.server_ref.name;
        let pool = self.real.servers.pool(server).ok_or_else(|| place::not_ready(server))?;
        let mut reader = pool.operator().await.map_err(|error| refusal::of_connect(&error))?;
        let rows = observe::markers(&mut reader, &Markers::Physical(&database.spec.physical_name)).await;
        let rows = rows.map_err(|error| refusal::of_observe(&error))?;
        let Some(row) = rows.first().filter(|row| row.phase == Phase::Bound).cloned() else {
            reader.release().await;
            return Ok(None);
        };
        let physical = row.physical().map_err(|error| Summary::Stalled {
            reason: reason::NAME_CONFLICT,
            message: error.to_string(),
        })?;
        let facts = look(&pool, &mut reader, &physical, rows).await;
        reader.release().await;
        let facts = facts.map_err(|error| refusal::of_look(&error))?;
        let policy = self.policy(&row);
        let row = Marker { deletion_policy: policy, ..row };
        let mut batches =
            plan::release(&row, &facts).map_err(|conflict| refusal::of_conflict(&conflict))?.batches;
        let purged = policy == DeletionPolicy::Delete;
        if purged {
            let released = Marker { phase: Phase::Released, generation: row.generation + 1, ..row.clone() };
            let buried = tombstone::bury(&physical, &released, &facts, GRACE);
            // By then its logins are refused.
            batches.extend(buried.map_err(|conflict| refusal::of_conflict(&conflict))?.batches.pop());
        }
        Ok(Some(DatabaseChange {
            action: if purged { Action::Destroy } else { Action::Change },
            namespace: row.claim.namespace,
            claim: row.claim.name,
            server: server.clone(),
            database: physical.to_string(),
            released: true,
            purged,
            steps: steps(&batches),
        }))
    }

    /// What would become of the bound database of that row: what the row says, unless its tenant keeps more.
    fn policy(&self, row: &Marker) -> DeletionPolicy {
        let tenant = names::tenant_of_namespace(&row.claim.namespace);
        let tenant: Option<Tenant> = tenant.and_then(|name| self.world.valid(&Key::cluster(name)));
        let own = tenant.filter(|it| it.metadata.uid.as_deref() == Some(&*row.tenant_uid));
        let said = own.map(|tenant| tenant.spec.deletion_policy.unwrap_or_default());
        said.filter(|_| row.adopted.is_none()).max(Some(row.deletion_policy)).unwrap_or_default()
    }

    fn send(&mut self, claim: &Key, server: &str, physical: &PhysicalName, batches: &[Batch]) {
        let mut statements = batches.iter().flat_map(|batch| &batch.statements);
        let new = statements.any(Statement::makes_database);
        self.so_far().databases.push(DatabaseChange {
            action: if new { Action::Add } else { Action::Change },
            namespace: claim.namespace.to_string(),
            claim: claim.name.to_string(),
            server: server.to_owned(),
            database: physical.to_string(),
            released: false,
            purged: false,
            steps: steps(batches),
        });
    }
}

/// Where clients find a server, and whether they are let in.
struct At {
    host: String,
    port: u16,
    ca: String,
    logins_allowed: bool,
}

impl At {
    fn of_new(name: &str, spec: DatabaseServerSpec, logins_allowed: bool) -> Self {
        let external = spec.external.map(|external| (external.host, external.port));
        let (host, port) = external.unwrap_or_else(|| (managed::host(name), None));
        let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(managed::PORT);
        Self { host, port, ca: KNOWN_AFTER_APPLY.to_owned(), logins_allowed }
    }

    fn provisioned(self, chosen: Chosen, batches: &[Batch], logins: Logins) -> Result<Provisioned, Summary> {
        let statements = batches.iter().flat_map(|batch| &batch.statements);
        let written: Option<&Marker> = statements.filter_map(Statement::marker).next_back();
        let Some(marker) = written.or_else(|| chosen.rows.first()).cloned() else {
            let message = format!("database {} would have no marker row", chosen.physical);
            return Err(Summary::Progressing { reason: reason::DATABASE_MISSING, message });
        };
        let Self { host, port, ca, logins_allowed } = self;
        Ok(Provisioned {
            physical: chosen.physical,
            marker,
            host,
            port,
            ca,
            logins,
            logins_allowed,
            rotating: Vec::new(),
            again: None,
            held: Held::default(),
            lacking: None,
        })
    }
}

fn said(refusal: Refusal) -> Summary {
    match refusal {
        Refusal::Because(summary) => summary,
        Refusal::Unknown => Summary::Progressing {
            reason: reason::PROGRESSING,
            message: "its plan, or a server that was not looked at since the operator started, is not known yet: ask again"
                .to_owned(),
        },
    }
}

fn steps(batches: &[Batch]) -> Vec<SqlStep> {
    let statement = |it: &Statement| SqlStatement { sql: it.to_string(), destructive: it.is_destructive() };
    let step = |batch: &Batch| SqlStep {
        place: batch.place.to_string(),
        transaction: batch.statements.len() > 1,
        statements: batch.statements.iter().map(statement).collect(),
    };
    batches.iter().map(step).collect()
}
