//! The one integration-test target. `support` holds what tests stand on, `support_itself` proves that it holds, `tidy` keeps the house rules.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cli;
mod controller;
mod database_plan;
mod e2e;
mod faults;
mod generated;
mod postgres;
mod services;
mod support;
mod support_itself;
mod tidy;
