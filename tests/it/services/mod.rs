//! The services, on real ports and a real PostgreSQL, as the tenant's own login.

mod archive;
mod bad_input;
mod concurrency;
mod cost;
mod instance;
mod lifecycle;
mod listing;
mod outage;
mod process;
mod routes;
mod secrets;
mod tenant_database;
