//! What tests stand on: a real control plane, a real PostgreSQL, an operator, and one place that waits.
//!
//! # Environment
//!
//! `make test` may start the servers itself and name them here. What is unset is started on first use, shared by
//! all test processes of one target folder, and ended with the last of them.
//!
//! | variable | value | if unset |
//! |---|---|---|
//! | `TENANTRY_TEST_KUBECONFIG` | kubeconfig of a control plane with nothing of ours in it; the API server's audit log (JSON lines, mutating requests, stage ResponseComplete) is `audit.log` beside it | `localcluster up --control-plane-only --name test-HASH` |
//! | `TENANTRY_TEST_LOCALCLUSTER` | the `localcluster` program, also used for the pool of [`ControlPlane::own`] | `target/bin/localcluster` |
//! | `TENANTRY_TEST_PG15` | superuser's access to a PostgreSQL 15 as JSON: `{"host":"127.0.0.1","port":PORT,"username":"postgres","password":"…","ca":"/path/of/ca.crt"}` | one is started from `/usr/lib/postgresql/15/bin`, as user `postgres` when root runs the tests |
//! | `TENANTRY_TEST_PG18` | the same for a PostgreSQL 18 that speaks no TLS; `server.crt` and `server.key` lie beside `ca.crt`, and the tests put TLS before the server with them | one is started from what `tests/postgres18.sh` installs |
//!
//! A server that is named here belongs to who named it: tests neither stop nor remove it.

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
