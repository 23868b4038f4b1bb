//! A tenant's turns, rehearsed: the tenant itself, then its databases, then its services.

use kube::ResourceExt;

use super::rehearsal::{Rehearsal, Standing};
use crate::api::condition::{Summary, reason};
use crate::api::{Microservice, Tenant, TenantDatabase};
use crate::controller::apply::ApplyError;
use crate::controller::object::{Key, Kind};
use crate::controller::tenant::{build, fetch, validate};

impl Rehearsal<'_> {
    /// Everything that would be done for that tenant.
    pub(super) async fn tenant(&mut self, name: &str) -> Result<(), ApplyError> {
        let key = Key::cluster(name);
        let Some(tenant) = self.world.valid::<Tenant>(&key) else {
            let message = format!("Tenant {name} does not exist: create it first, or with the same files");
            self.problem(
                Kind::Tenant,
                &key,
                &Summary::Stalled { reason: reason::NOT_A_TENANT_NAMESPACE, message },
            );
            return Ok(());
        };
        if tenant.metadata.deletion_timestamp.is_some() {
            let note = format!(
                "Tenant {name} is being deleted: its namespace goes, its databases are released, and kept or purged as their deletionPolicy says"
            );
            self.so_far().notes.push(note);
            return Ok(());
        }
        let fetched = fetch::fetch(&self.world, tenant);
        let validated = match validate::validate(&fetched) {
            Ok(validated) => validated,
            Err(problem) => {
                self.problem(Kind::Tenant, &key, &problem);
                return Ok(());
            }
        };
        let built = build::build(&validated)?;
        if self.declare(&built.namespace).await == Standing::Amiss {
            return Ok(());
        }
        for declared in &built.contents {
            self.declare(declared).await;
        }
        for (kind, key, _) in build::obsolete(&validated, &built, &self.world.gate) {
            self.remove(kind, &key);
        }
        if validated.suspended {
            self.stand_still(&validated.namespace);
        }
        for claim in self.world.valid_in::<TenantDatabase>(&validated.namespace) {
            self.claim(claim).await?;
        }
        self.releases(&validated.namespace).await;
        for microservice in self.world.valid_in::<Microservice>(&validated.namespace) {
            self.service(microservice).await?;
        }
        Ok(())
    }

    /// Removes an object, and with a microservice what belongs to it: Kubernetes does that.
    fn remove(&mut self, kind: Kind, key: &Key) {
        let uid = self
            .world
            .valid::<Microservice>(key)
            .filter(|_| kind == Kind::Microservice)
            .and_then(|it| it.uid());
        self.destroy(kind, key);
        let Some(uid) = uid else { return };
        for kind in Kind::CHILDREN {
            for (key, child) in self.world.gate.children_in(kind, &key.namespace) {
                if child.owner_uid.as_deref() == Some(&*uid) {
                    self.destroy(kind, &key);
                }
            }
        }
    }

    /// The workloads of a suspended tenant have ended: what waits for that is part of the preview.
    fn stand_still(&self, namespace: &str) {
        for mut microservice in self.world.valid_in::<Microservice>(namespace) {
            if let Some(status) = &mut microservice.status {
                status.replicas = Some(0);
            }
            self.put(microservice);
        }
    }
}
