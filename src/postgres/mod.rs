//! PostgreSQL as the operator sees it: observe → plan → execute.
//!
//! [`connect`] opens verified sessions, [`observe`] reads catalogs into facts, [`statement`] writes typed
//! statements through [`quote`], and [`execute`] is the only place that sends one that changes anything.
//! [`guard`] ends sessions that are in everybody's way. [`bootstrap`] prepares a server once. What a tenant's
//! database has to look like is not decided here but in the controller's `database::plan`.

pub mod adoption;
pub mod bootstrap;
pub mod connect;
pub mod execute;
pub mod extension;
pub mod facts;
pub mod fence;
pub mod function;
pub mod guard;
pub mod issue;
pub mod observe;
pub mod pool;
pub mod quote;
pub mod record;
pub mod scram;
mod sender;
pub mod settings;
pub mod statement;
pub mod tombstone;
