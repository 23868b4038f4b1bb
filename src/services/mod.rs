//! The services that the one binary can be: `tenantry run NAME`.
//!
//! Each role is a folder: `mod.rs` (its table of routes), `handler.rs` (thin), `logic.rs` (pure), `store.rs` (SQL)
//! and `migrations/`. What all of them share is in [`http`] (the shell round the table), [`database`] (the bound
//! database) and [`serve`] (from start to the last drained request). A service never imports another service.

pub mod archive;
pub mod database;
pub mod http;
pub mod serve;
pub mod user;

pub use serve::{Listeners, ServeError, ServiceConfig};
