//! The `tenantry` binary: install the TLS provider, parse, run, exit code.

use std::process::ExitCode;

use tenantry::cli::{self, Environment};

fn main() -> ExitCode {
    // One TLS provider for kube, sqlx and our own servers, before anything connects. It fails only if one is set.
    _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    cli::main(std::env::args_os(), Environment::read())
}
