//! The world stops at one effect of the operator, and everything still ends as if it had not.
//!
//! The real operator, in a process that really dies, works through two proxies, one before the real API server and one
//! before the real PostgreSQL. They tell a trap of every write and every statement before it passes, and the trap stops
//! the world at one of them: it kills the operator before or after the effect, or loses the request or the answer, or has
//! PostgreSQL refuse sessions, have none left, take no writes or say nothing. The whole end state (objects, Secrets,
//! catalogs) has to equal that of a run without a fault, and then the operator rests: its queues are empty, no turn is under
//! way, and nothing is written for a second, in each scenario once for ten.
//!
//! A plan is a line, `SCENARIO POSITION EFFECT #INDEX`, where effects are counted by what they do: it says the same in
//! every run, whatever ran beside it, and nothing in it is drawn. `make test` takes a sample; `make test-faults` takes all of
//! them, or those that `TENANTRY_FAULTS` names: a scenario's, or one plan.

mod api;
mod deletions;
mod leaders;
mod plan;
mod scenario;
mod sql;
mod stale;
mod trap;
pub mod wanted;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api as KubeApi;
use kube::api::DeleteParams;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tenantry::api::labels::SYSTEM_NAMESPACE;
use tenantry::controller::lease::LEASE;

use self::api::Api;
use self::plan::Plan;
use self::scenario::Scenario;
use self::sql::Sql;
use self::trap::{Effect, Position, Trap};
use self::wanted::Wanted;
use crate::controller::scene::A_MINUTE;
use crate::controller::site::{Site, Stage};
use crate::support::{ControlPlane, OperatorProcess, Postgres, WholeState, wait_until};

/// How long nothing may be written before a run counts as over.
const QUIET: Duration = Duration::from_secs(1);
/// The same once in each scenario: whatever comes back in a while would come within it.
const LONG_QUIET: Duration = Duration::from_secs(10);
/// How many plans share a control plane and a server: what they leave behind slows down those that follow.
const SHIFT: usize = 30;
/// How many plans of which scenarios `make test` takes. What else there is begins as these do, or ends.
const SAMPLED: [(Scenario, usize); 5] = [
    (Scenario::Create, 2),
    (Scenario::Change, 1),
    (Scenario::Rotate, 1),
    (Scenario::Purge, 2),
    (Scenario::Delete, 1),
];
/// By which draw.
const SEED: u64 = 11;

/// A control plane and a server behind proxies.
struct World {
    site: Site,
    api: Api,
    trap: Trap,
    _sql: Sql,
    _direct: Postgres,
}

impl World {
    async fn new() -> Self {
        let (plane, direct, trap) = (ControlPlane::own().await, Postgres::own(), Trap::new());
        let (api, sql) = (Api::before(&plane, trap.clone()), Sql::before(&direct, trap.clone()));
        Self { site: Site::of(plane, sql.postgres()).await, api, trap, _sql: sql, _direct: direct }
    }

    async fn operator(&self) -> OperatorProcess {
        let kubeconfig = self.api.operator_kubeconfig(&self.site).await;
        OperatorProcess::start_with(&self.site, kubeconfig).await
    }

    /// The Lease of an operator that died is waited for; a test has no time for that.
    async fn forget_leader(&self) {
        let leases: KubeApi<Lease> = KubeApi::namespaced(self.site.client().await, SYSTEM_NAMESPACE);
        leases.delete(LEASE, &DeleteParams::default()).await.unwrap();
    }

    /// Whether the operator rests: it has nothing to do, and has written nothing for so long.
    async fn rests(&self, operator: &OperatorProcess, quiet: Duration) -> bool {
        let is_quiet = || self.trap.quiet() >= quiet;
        // Asked in between: a turn that has ended since has written nothing either.
        is_quiet() && operator.is_idle().await && is_quiet()
    }

    /// Waits until it does.
    async fn rest(&self, operator: &OperatorProcess, quiet: Duration) {
        wait_until(A_MINUTE, "the operator rests", async || {
            let rests = self.rests(operator, quiet).await;
            let last = || format!("the last effect was {:?} ago", self.trap.quiet());
            if rests { Ok(()) } else { Err(last()) }
        })
        .await;
    }

    /// A run without a fault: its effects and its end, after which nothing is written for so long.
    async fn undisturbed(&self, scenario: Scenario, quiet: Duration) -> Undisturbed {
        let operator = self.operator().await;
        let scene = self.staged(scenario, &operator).await;
        self.trap.set(&scene.prefix, None, operator.id());
        scenario.act(&scene).await;
        scenario.done(&scene).await;
        self.rest(&operator, quiet).await;
        let (effects, state) = (self.trap.effects(), scene.state().await);
        drop(operator.terminate());
        Undisturbed { effects, state }
    }

    async fn staged(&self, scenario: Scenario, operator: &OperatorProcess) -> Stage<'_> {
        let scene = scenario.prepare(&self.site).await;
        self.rest(operator, QUIET).await;
        scene
    }

    /// A run with a fault, if its effect comes. `Err` says how it went wrong.
    async fn run(&self, plan: &Plan, undisturbed: &Undisturbed) -> Result<Run, String> {
        let mut operator = self.operator().await;
        let scene = self.staged(plan.scenario, &operator).await;
        self.trap.set(&scene.prefix, Some((plan.effect.clone(), plan.position)), operator.id());
        plan.scenario.act(&scene).await;
        let mut difference = None;
        let mut differs = async || {
            difference = scene.state().await.difference(&undisturbed.state);
            difference.is_some()
        };
        let over = async || self.trap.sprung() || self.trap.quiet() >= QUIET && !differs().await;
        if !within(A_MINUTE, over).await {
            let effects: Vec<String> = self.trap.effects().iter().map(Effect::to_string).collect();
            return Err(format!("the effect was not reached. There were:\n  {}", effects.join("\n  ")));
        }
        let reached = self.trap.sprung();
        if reached && plan.position.kills() {
            self.forget_leader().await;
            operator = self.operator().await;
        }
        // A session that hangs is waited for.
        if !within(2 * A_MINUTE, async || !differs().await).await {
            return Err(format!("the end state differs:\n{}", difference.unwrap_or_default()));
        }
        if !within(A_MINUTE, async || self.rests(&operator, QUIET).await).await {
            return Err("it goes on writing, or its queues are never empty".to_owned());
        }
        let difference = scene.state().await.difference(&undisturbed.state);
        drop(operator.terminate());
        let run = if reached { Run::Disturbed } else { Run::Undisturbed };
        difference.map_or(Ok(run), |difference| Err(format!("the end state did not last:\n{difference}")))
    }
}

/// What became of a plan that ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    /// The world stopped where it said.
    Disturbed,
    /// Its effect did not come: a status that is told in between, say, may be told in most runs and not in all.
    Undisturbed,
}

/// What a run without a fault does, and how it ends.
struct Undisturbed {
    effects: Vec<Effect>,
    state: WholeState,
}

impl Undisturbed {
    /// Everything that can go wrong in such a run, once.
    fn plans(&self, scenario: Scenario) -> impl Iterator<Item = Plan> {
        let everywhere = self.effects.iter().flat_map(move |effect| {
            Position::EVERYWHERE.map(|position| Plan { scenario, position, effect: effect.clone() })
        });
        let statements = self.effects.iter().filter(|effect| effect.is_sql());
        let of_sessions = statements.zip(Position::OF_SESSIONS.into_iter().cycle());
        everywhere.chain(of_sessions.map(move |(effect, position)| Plan {
            scenario,
            position,
            effect: effect.clone(),
        }))
    }
}

/// How the runs of each scenario have to end.
type Ends = BTreeMap<Scenario, Undisturbed>;

/// Whether it is so within that time.
async fn within(limit: Duration, mut so: impl AsyncFnMut() -> bool) -> bool {
    let looking = async {
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        while !so().await {
            looks.tick().await;
        }
    };
    tokio::time::timeout(limit, looking).await.is_ok()
}

/// The effects of every run of a scenario: those of one run alone may be chance, as where a status is told in between.
async fn undisturbed(world: &World, scenario: Scenario) -> Undisturbed {
    let (first, second) =
        (world.undisturbed(scenario, QUIET).await, world.undisturbed(scenario, LONG_QUIET).await);
    second.state.assert_equals(&first.state);
    let effects = first.effects.into_iter().filter(|effect| second.effects.contains(effect)).collect();
    Undisturbed { effects, state: first.state }
}

/// Every plan of those scenarios, and how each has to end.
async fn plans(world: &World, scenarios: &[Scenario]) -> (Vec<Plan>, Ends) {
    let (mut plans, mut ends) = (vec![], Ends::new());
    for scenario in scenarios {
        let undisturbed = undisturbed(world, *scenario).await;
        plans.extend(undisturbed.plans(*scenario));
        ends.insert(*scenario, undisturbed);
    }
    (plans, ends)
}

/// What became of the plans of a campaign.
#[derive(Default)]
struct Outcome {
    /// How many stopped the world.
    disturbed: usize,
    red: Vec<String>,
}

/// Runs those plans one after the other.
async fn campaign(mut world: World, plans: &[&Plan], ends: &Ends) -> Outcome {
    let mut outcome = Outcome::default();
    for (number, plan) in plans.iter().enumerate() {
        if number > 0 && number % SHIFT == 0 {
            drop(world);
            world = World::new().await;
            say(&format!("{number} of {} fault plans, {} red", plans.len(), outcome.red.len()));
        }
        match world.run(plan, &ends[&plan.scenario]).await {
            Ok(Run::Disturbed) => outcome.disturbed += 1,
            Ok(Run::Undisturbed) => say(&format!("not reached: {plan}")),
            Err(why) => {
                say(&format!("red: {plan}\n  {why}"));
                outcome.red.push(format!("{plan}\n  {why}"));
                // What it left behind is not known.
                drop(world);
                world = World::new().await;
            }
        }
    }
    outcome
}

#[expect(clippy::print_stdout, reason = "who waits for a long campaign wants to know how it goes")]
fn say(what: &str) {
    println!("{what}");
}

/// A few plans of some scenarios. Each scenario has one run without a fault; the operator of the last one has what all of them
/// left behind, and rests for long. What may be told in one run and not in another, and what takes long, is left to the campaign.
async fn sample(world: &World) -> (Vec<Plan>, Ends) {
    let (mut plans, mut ends) = (vec![], Ends::new());
    let mut random = StdRng::seed_from_u64(SEED);
    for (scenario, count) in SAMPLED {
        let is_last = ends.len() + 1 == SAMPLED.len();
        let quiet = if is_last { LONG_QUIET } else { QUIET };
        let undisturbed = world.undisturbed(scenario, quiet).await;
        let lasting = |plan: &Plan| !plan.effect.name.ends_with("/status") && plan.position != Position::Hung;
        let all: Vec<Plan> = undisturbed.plans(scenario).filter(lasting).collect();
        plans.extend(all.sample(&mut random, count).cloned());
        ends.insert(scenario, undisturbed);
    }
    (plans, ends)
}

#[tokio::test]
async fn wherever_the_world_stops_everything_ends_as_if_it_had_not() {
    let world = World::new().await;
    let (plans, ends) = match wanted::plans() {
        Wanted::Sample => sample(&world).await,
        Wanted::All => plans(&world, &Scenario::ALL).await,
        Wanted::Named(name) => match (name.parse::<Scenario>(), name.parse::<Plan>()) {
            (Ok(scenario), _) => plans(&world, &[scenario]).await,
            (_, plan) => {
                let plan = plan.unwrap();
                let (_, ends) = plans(&world, &[plan.scenario]).await;
                (vec![plan], ends)
            }
        },
    };
    let half = |first: usize| plans.iter().skip(first).step_by(2).collect::<Vec<_>>();
    let Outcome { disturbed, red } = if plans.len() > SHIFT {
        let (first, second) = (half(0), half(1));
        let beside = async { campaign(World::new().await, &second, &ends).await };
        let (mut one, two) = tokio::join!(campaign(world, &first, &ends), beside);
        one.red.extend(two.red);
        Outcome { disturbed: one.disturbed + two.disturbed, red: one.red }
    } else {
        campaign(world, &plans.iter().collect::<Vec<_>>(), &ends).await
    };
    say(&format!("{disturbed} fault plans, {} red", red.len()));
    assert!(red.is_empty(), "{} of {} fault plans are red:\n{}", red.len(), plans.len(), red.join("\n"));
    assert!(disturbed * 5 >= plans.len() * 4, "only {disturbed} of {} plans were reached", plans.len());
}
