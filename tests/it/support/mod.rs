//! What tests stand on: a real control plane, a real PostgreSQL, an operator, and one place that waits.
//!
//! Servers are started on first use, shared by all test processes of one target folder, and end with the last of them.
//! `TENANTRY_TEST_LOCALCLUSTER` names the `localcluster` program that starts control planes and has `kubectl` beside it;
//! otherwise it is `target/bin/localcluster`.

mod audit_log;
mod control_plane;
mod full_cluster;
mod kubelet;
mod lifeline;
mod operator;
mod port;
pub mod postgres;
mod prefix;
mod relay;
pub mod s3;
mod state;
mod wait;

pub use audit_log::Write;
pub use control_plane::{ControlPlane, client, kubectl};
pub use full_cluster::{FullCluster, kill_operator_process};
pub use kubelet::{CRASHING, PENDING, UNPULLABLE, UNSCHEDULABLE, volume};
pub use operator::{Operator, OperatorProcess};
pub use port::free_address;
pub use postgres::Postgres;
pub use prefix::Prefix;
pub use relay::{Relay, Relaying};
pub use state::WholeState;
pub use wait::wait_until;
