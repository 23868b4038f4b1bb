//! What databases cost, on real servers: docs/benchmarks.md says how to read the result.
//!
//! `no-op`, `pool` and `fleet` as arguments ask for one part alone, which is printed and not written down.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot go on has failed")]

mod fleet;
mod no_op;
mod pool;
mod report;
#[path = "../tests/it/controller/scene.rs"]
#[expect(dead_code, reason = "tests need more of it")]
mod scene;
#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "tests need more of it")]
mod support;

#[tokio::main]
async fn main() {
    let part = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    match part.as_deref() {
        Some("no-op") => report::print(&no_op::measure().await),
        Some("pool") => report::print(&pool::measure().await),
        Some("fleet") => report::print(&fleet::measure().await),
        Some(other) => panic!("{other} is no part of this bench; no-op, pool and fleet are"),
        None => {
            let mut measures = no_op::measure().await;
            measures.extend(pool::measure().await);
            measures.extend(fleet::measure().await);
            report::publish("database", &measures);
        }
    }
}
