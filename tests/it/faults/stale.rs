//! The operator misses what happens: its watches say nothing while people change things, and what they would have said is
//! lost. It acts on what it knows, which is old; when it hears again, everything ends as if it had always heard.

use super::api::Api;
use super::scenario::Scenario;
use super::sql::Sql;
use super::trap::Trap;
use super::wanted::Share;
use super::{A_MINUTE, QUIET};
use crate::controller::site::Site;
use crate::support::{ControlPlane, OperatorProcess, Postgres, wait_until};

/// What people do while nobody hears. Each in a tenant of its own; `make test` takes the first.
const UNHEARD: [Scenario; 6] = [
    Scenario::Change,
    Scenario::Suspend,
    Scenario::Release,
    Scenario::Return,
    Scenario::Purge,
    Scenario::Delete,
];

/// Waits until nothing has been written for a while: longer than elsewhere, for nothing tells that an operator with old
/// news is still at work.
async fn quiet(trap: &Trap) {
    wait_until(A_MINUTE, "nothing is written any more", async || {
        let quiet = trap.quiet();
        if quiet >= 3 * QUIET { Ok(()) } else { Err(format!("something was, {quiet:?} ago")) }
    })
    .await;
}

#[tokio::test]
async fn what_no_watch_tells_is_done_as_soon_as_it_is_heard_of() {
    let (plane, direct, trap) = (ControlPlane::own().await, Postgres::own(), Trap::new());
    let (api, sql) = (Api::before(&plane, trap.clone()), Sql::before(&direct, trap.clone()));
    let site = Site::of(plane, sql.postgres()).await;
    let operator = OperatorProcess::start_with(&site, api.operator_kubeconfig(&site).await).await;
    let scenarios = if Share::of("unheard").is_whole() { &UNHEARD[..] } else { &UNHEARD[..1] };
    let mut unheard = 0;
    for scenario in scenarios {
        let scene = scenario.prepare(&site).await;
        quiet(&trap).await;
        trap.set(&scene.prefix, None, operator.id());
        scenario.act(&scene).await;
        scenario.done(&scene).await;
        quiet(&trap).await;
        let heard = scene.state().await;

        let scene = scenario.prepare(&site).await;
        quiet(&trap).await;
        api.ears().send_replace(false);
        trap.set(&scene.prefix, None, operator.id());
        scenario.act(&scene).await;
        quiet(&trap).await;
        unheard += usize::from(scene.state().await.difference(&heard).is_some());
        api.ears().send_replace(true);
        scene.returns_to(&heard).await;
        quiet(&trap).await;
        scene.state().await.assert_equals(&heard);
    }
    // A look at the server, which comes now and then, may tell of one.
    assert!(unheard + 2 > scenarios.len() && unheard > 0, "only {unheard} were not heard of");
    drop(operator.terminate());
}
