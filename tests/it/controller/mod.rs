//! The operator against a real API server and a real PostgreSQL.

mod admin;
mod bad_input;
mod brake;
mod change;
mod circuit;
pub mod claims;
mod creation;
mod credentials;
mod database_drift;
mod databases;
mod deletion;
mod drift;
pub mod dropping;
mod fencing;
mod guard;
mod leadership;
mod microservice;
mod owned;
pub mod pool;
mod protection;
mod samples;
pub mod scene;
mod servers;
pub mod shop;
mod shortages;
pub mod site;
mod suspension;
