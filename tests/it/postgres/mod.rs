//! The operator's SQL against a real PostgreSQL 15.

mod bootstrap;
mod connect;
mod converge;
mod crash;
mod fixture;
mod isolation;
mod quote;
