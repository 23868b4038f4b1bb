//! What every controller needs, built once at the start and passed everywhere.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::apply::{Gate, Probe};
use super::brake::Brakes;
use super::child::Child;
use super::database_server::inventory::Inventory;
use super::lease::Term;
use super::metrics::Metrics;
use super::microservice::rollout::Rollouts;
use super::object::{Key, Kind};
use super::own::{Own, OwnKind};
use super::pool::known::Pools;
use super::preview::desk::Desk;
use super::progress::Progress;
use super::queue::{Lane, Queue, Queues};
use super::seeds::Seeds;
use super::server_database::swept::Swept;
use super::servers::Servers;
use super::store::Store;
use super::tenant_database::home::Homes;
use super::tenant_database::quota::Places;
use super::tenant_database::standing::Standings;
use super::verified::Verified;
use crate::api::{Blueprint, DatabaseServer, Microservice, Plan, ServerDatabase, Tenant, TenantDatabase};
use crate::postgres::fence::Fences;
use crate::resilience::brake::Limits;
use crate::{postgres, telemetry};

/// What the operator is told from outside.
#[derive(Clone)]
pub struct OperatorConfig {
    /// Name of this process among the candidates for leadership: the pod's name.
    pub identity: String,
    /// Namespace of the Lease.
    pub namespace: String,
    /// The operator's own image, which builtin microservices run.
    pub image: String,
    /// Image of managed PostgreSQL 15 servers.
    pub postgres_image: String,
    /// Image of the pods that make archives.
    pub archive_image: String,
    /// How many objects of one kind are reconciled at a time.
    pub concurrency: usize,
    /// How long a leader may be silent before another one takes over.
    pub lease_duration: Duration,
    /// How much may be deleted at once without asking.
    pub brake: Limits,
    /// Where previews are asked for.
    pub desk: Desk,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// Called before and after every write to the API server.
    pub probe: Option<Probe>,
    /// Called before and after every effect on a database server.
    pub sql_probe: Option<postgres::execute::Probe>,
}

/// One store for each of our kinds.
#[derive(Default)]
pub struct Stores {
    /// Tenants.
    pub tenants: Store<Own<Tenant>>,
    /// Plans.
    pub plans: Store<Own<Plan>>,
    /// Blueprints.
    pub blueprints: Store<Own<Blueprint>>,
    /// Database servers.
    pub database_servers: Store<Own<DatabaseServer>>,
    /// Server databases.
    pub server_databases: Store<Own<ServerDatabase>>,
    /// Tenant databases.
    pub tenant_databases: Store<Own<TenantDatabase>>,
    /// Microservices.
    pub microservices: Store<Own<Microservice>>,
}

impl Stores {
    /// A copy, to think something through in.
    #[must_use]
    pub fn fork(&self) -> Self {
        let all = |_: &Key| true;
        Self {
            tenants: self.tenants.fork(all),
            plans: self.plans.fork(all),
            blueprints: self.blueprints.fork(all),
            database_servers: self.database_servers.fork(all),
            server_databases: self.server_databases.fork(all),
            tenant_databases: self.tenant_databases.fork(all),
            microservices: self.microservices.fork(all),
        }
    }
}

/// The store of a kind.
pub trait StoreOf<K> {
    /// The store.
    fn store(&self) -> &Store<Own<K>>;
}

macro_rules! store_of {
    ($($kind:ident => $field:ident),*) => {$(
        impl StoreOf<$kind> for Stores {
            fn store(&self) -> &Store<Own<$kind>> {
                &self.$field
            }
        }
    )*};
}

store_of!(
    Tenant => tenants,
    Plan => plans,
    Blueprint => blueprints,
    DatabaseServer => database_servers,
    ServerDatabase => server_databases,
    TenantDatabase => tenant_databases,
    Microservice => microservices
);

/// What every controller needs.
pub struct Context {
    /// Reads from the API server; writes go through [`Context::gate`].
    pub client: Client,
    /// The only writer.
    pub gate: Gate,
    /// Our kinds, as the watches and our own writes show them.
    pub stores: Stores,
    /// Children's metadata, by kind.
    pub children: HashMap<Kind, Arc<Store<Child>>>,
    /// Bodies of the first list.
    pub seeds: Arc<Seeds>,
    /// Which step each object is at, and since when.
    pub progress: Progress,
    /// How far the microservices' Deployments were when they were last read.
    pub rollouts: Rollouts,
    /// Passwords that are known to open their logins.
    pub verified: Verified,
    /// Sessions on the database servers.
    pub servers: Arc<Servers>,
    /// Claims whose databases are known to be as declared.
    pub standings: Standings,
    /// Databases that are about to be made, for their tenants' quotas.
    pub places: Places,
    /// Servers that tenants are about to get for their own.
    pub homes: Homes,
    /// Databases of which nothing is left of an attempt at an archive.
    pub swept: Swept,
    /// What the servers' marker rows name.
    pub inventory: Arc<Inventory>,
    /// The servers' warm pools.
    pub pools: Pools,
    /// What stops deletions that come too thick.
    pub brakes: Arc<Brakes>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Events for people.
    pub recorder: Recorder,
    /// What we were told from outside.
    pub config: OperatorConfig,
    queues: Arc<Queues>,
    random: Mutex<StdRng>,
}

impl Context {
    /// Builds it. Servers are changed while `term` lasts; `random` is seeded by the caller.
    pub fn new(
        client: Client,
        config: OperatorConfig,
        registry: &telemetry::Metrics,
        term: Term,
        mut random: StdRng,
    ) -> Self {
        let metrics = Arc::new(Metrics::register(registry));
        let queues = Arc::new(Queues::new(&metrics));
        let leads = term.clone();
        let fences = Fences::of(Arc::new(move || leads.lasts()));
        let sql = postgres::execute::Gate::new(config.sql_probe.clone(), fences);
        let children: HashMap<Kind, Arc<Store<Child>>> =
            Kind::OWN.iter().chain(&Kind::CHILDREN).map(|kind| (*kind, Arc::default())).collect();
        let seeds = Arc::new(Seeds::default());
        let gate = Gate::new(
            client.clone(),
            children.clone(),
            Arc::clone(&seeds),
            Arc::clone(&metrics),
            config.probe.clone(),
            Some(term),
        );
        let reporter = Reporter { controller: "tenantry".into(), instance: Some(config.identity.clone()) };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            gate,
            stores: Stores::default(),
            children,
            seeds,
            progress: Progress::default(),
            rollouts: Rollouts::default(),
            verified: Verified::default(),
            standings: Standings::default(),
            places: Places::default(),
            homes: Homes::default(),
            swept: Swept::default(),
            inventory: Arc::default(),
            pools: Pools::default(),
            brakes: Arc::default(),
            servers: Arc::new(Servers::new(
                registry,
                sql,
                Arc::clone(&queues),
                StdRng::from_rng(&mut random),
            )),
            metrics,
            config,
            queues,
            random: Mutex::new(random),
        }
    }

    /// The same surroundings over copies of the stores, with the children of those namespaces and the cluster-scoped
    /// ones: what a preview thinks through. It has no queues, and nobody may apply through its gate.
    #[must_use]
    pub fn imagine(&self, namespaces: &BTreeSet<String>) -> Self {
        let near = |key: &Key| key.namespace.is_empty() || namespaces.contains(&*key.namespace);
        let children: HashMap<Kind, Arc<Store<Child>>> =
            self.children.iter().map(|(kind, store)| (*kind, Arc::new(store.fork(near)))).collect();
        let seeds = Arc::new(Seeds::default());
        let metrics = Arc::clone(&self.metrics);
        let gate = Gate::new(
            self.client.clone(),
            children.clone(),
            Arc::clone(&seeds),
            Arc::clone(&metrics),
            None,
            None,
        );
        Self {
            recorder: self.recorder.clone(),
            client: self.client.clone(),
            gate,
            stores: self.stores.fork(),
            children,
            seeds,
            progress: Progress::default(),
            rollouts: Rollouts::default(),
            verified: Verified::default(),
            standings: Standings::default(),
            places: Places::default(),
            homes: Homes::default(),
            swept: Swept::default(),
            servers: Arc::clone(&self.servers),
            inventory: Arc::clone(&self.inventory),
            pools: self.pools.fork(),
            brakes: Arc::clone(&self.brakes),
            metrics,
            config: self.config.clone(),
            queues: Arc::new(Queues::none()),
            random: Mutex::new(self.random(StdRng::from_rng)),
        }
    }

    /// The queue of one of our kinds; `None` for any other.
    pub fn queue(&self, kind: Kind) -> Option<&Queue> {
        self.queues.of(kind)
    }

    /// Asks for a turn of that object.
    pub fn enqueue(&self, kind: Kind, key: &Key, lane: Lane) {
        self.queues.add(kind, key, lane);
    }

    /// The object of that key, if it exists and is readable.
    pub fn valid<K: OwnKind>(&self, key: &Key) -> Option<K>
    where
        Stores: StoreOf<K>,
    {
        self.stores.store().get(key).and_then(|own| own.valid().cloned())
    }

    /// Every readable object of the kind in that namespace.
    pub fn valid_in<K: OwnKind>(&self, namespace: &str) -> Vec<K>
    where
        Stores: StoreOf<K>,
    {
        self.stores
            .store()
            .in_namespace(namespace)
            .iter()
            .filter_map(|(_, own)| own.valid().cloned())
            .collect()
    }

    /// Every readable object of the kind.
    pub fn valid_all<K: OwnKind>(&self) -> Vec<K>
    where
        Stores: StoreOf<K>,
    {
        self.stores.store().all().iter().filter_map(|(_, own)| own.valid().cloned()).collect()
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.config.now)()
    }

    /// Runs `draw` with the source of randomness.
    pub fn random<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number in 0..1, to spread what would otherwise happen at once.
    pub fn jitter(&self) -> f64 {
        self.random(RngExt::random)
    }
}
