//! A database server of the question, rehearsed: what a managed one consists of.

use super::rehearsal::Rehearsal;
use crate::api::preview::{Action, ObjectChange};
use crate::api::{DatabaseServer, labels};
use crate::controller::apply::{ApplyError, Declared};
use crate::controller::database_server::managed;
use crate::controller::object::{Key, Kind};

impl Rehearsal<'_> {
    /// Everything that would be made for that server. Keys and certificates are made once and then kept, so of those
    /// only that they are missing is worth a line.
    pub(super) async fn server(&mut self, name: &str) -> Result<(), ApplyError> {
        let server: Option<DatabaseServer> = self.world.valid(&Key::cluster(name));
        if self.new_servers.contains(name) {
            let note = format!(
                "DatabaseServer {name} does not exist yet: for databases on it the plan assumes that it is empty and that the operator is its superuser"
            );
            self.so_far().notes.push(note);
        }
        let Some(managed) = server.and_then(|server| server.spec.managed) else { return Ok(()) };
        let secrets = [
            managed::authority_secret_name(name),
            managed::tls_secret_name(name),
            managed::admin_secret_name(name),
        ];
        for secret in secrets {
            let key = Key::namespaced(labels::SERVERS_NAMESPACE, &secret);
            if self.world.gate.child(Kind::Secret, &key).is_none() {
                self.so_far().objects.push(ObjectChange {
                    action: Action::Add,
                    kind: Kind::Secret.to_string(),
                    namespace: Some(labels::SERVERS_NAMESPACE.to_owned()),
                    name: secret,
                    fields: vec![],
                });
            }
        }
        let owner = managed::identity(name);
        let image = self.real.config.postgres_image.clone();
        let set = managed::stateful_set(name, &managed, &image);
        let service = Declared::new(Kind::Service, &owner, &managed::service(name))?;
        for declared in [service, Declared::new(Kind::StatefulSet, &owner, &set)?] {
            self.declare(&declared).await;
        }
        Ok(())
    }
}
