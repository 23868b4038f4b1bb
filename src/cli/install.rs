//! `tenantry install`: CRDs, namespaces, RBAC, policies and the operator, by server-side apply.

use clap::Args;

use super::{Exit, Failure, Session, manifests, yaml};

/// Flags of `install`.
#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    /// Print everything as YAML, for GitOps; no request is made
    #[arg(long)]
    print: bool,
    /// Image of the operator
    #[arg(long, value_name = "REF", default_value = manifests::DEFAULT_IMAGE)]
    image: String,
}

#[expect(clippy::unused_async, reason = "applies as soon as the client lands")]
pub(super) async fn run(args: &InstallArgs, session: &mut Session) -> Result<Exit, Failure> {
    let objects = manifests::values(&args.image)
        .map_err(|error| Failure::from_error("failed to build the manifests", &error))?;
    for object in &objects {
        session.output.write("---\n")?;
        session.output.write(&yaml::document(object))?;
    }
    Ok(Exit::Success)
}
