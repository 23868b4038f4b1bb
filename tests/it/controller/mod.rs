//! The operator against a real API server and a real PostgreSQL.

mod bad_input;
