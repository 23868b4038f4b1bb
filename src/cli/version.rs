//! `tenantry version`: of this program, of the operator and of the API server.

use clap::Args;

use super::{Exit, Failure, Session};

/// Version of this program.
pub(super) const CLIENT: &str = env!("CARGO_PKG_VERSION");

/// Flags of `version`.
#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// Only the version of this program; no request is made
    #[arg(long)]
    client: bool,
}

#[expect(clippy::unused_async, reason = "asks the API server as soon as the client lands")]
pub(super) async fn run(_args: &VersionArgs, session: &mut Session) -> Result<Exit, Failure> {
    session.output.line(&format!("Client Version: v{CLIENT}"))?;
    Ok(Exit::Success)
}
