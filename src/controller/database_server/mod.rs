//! DatabaseServer: a PostgreSQL server, external or managed.

pub mod certificate;
pub mod managed;
