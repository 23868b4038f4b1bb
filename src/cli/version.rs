//! `tenantry version`: of this program, of the operator and of the API server.

use clap::Args;
use serde_json::{Value, json};

use super::args::Format;
use super::client::JSON;
use super::kinds::DEPLOYMENT;
use super::{Exit, Failure, Session, json as go_json};
use crate::api::labels::{APP_VERSION, SYSTEM_NAMESPACE};

/// Version of this program.
pub(super) const CLIENT: &str = env!("CARGO_PKG_VERSION");

/// Flags of `version`.
#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// Only the version of this program; no request is made
    #[arg(long)]
    client: bool,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) async fn run(args: &VersionArgs, session: &mut Session) -> Result<Exit, Failure> {
    let mut versions = vec![("clientVersion", "Client Version", format!("v{CLIENT}"))];
    let mut failure = None;
    if !args.client {
        match remote(session).await {
            Ok((operator, server)) => {
                versions.extend(
                    operator.map(|version| ("operatorVersion", "Operator Version", format!("v{version}"))),
                );
                versions.push(("serverVersion", "Server Version", server));
            }
            Err(unreachable) => failure = Some(unreachable),
        }
    }
    match args.output {
        Format::Text => {
            for (_, title, version) in &versions {
                session.output.line(&format!("{title}: {version}"))?;
            }
        }
        Format::Json => {
            let object: Value =
                versions.iter().map(|(key, _, version)| ((*key).to_owned(), json!(version))).collect();
            session.output.line(&go_json::pretty(&object))?;
        }
    }
    failure.map_or(Ok(Exit::Success), Err)
}

/// Versions of the operator, if it is installed and may be seen, and of the API server.
async fn remote(session: &mut Session) -> Result<(Option<String>, String), Failure> {
    let client = session.client().await?;
    let (server, operator) = futures::join!(
        client.read::<Value>("/version", JSON),
        client.find(&DEPLOYMENT, Some(SYSTEM_NAMESPACE), "operator")
    );
    let server = server?["gitVersion"].as_str().unwrap_or("unknown").to_owned();
    Ok((operator.ok().flatten().as_ref().and_then(operator_version), server))
}

/// The version that the installer noted on the operator's Deployment.
pub(super) fn operator_version(deployment: &Value) -> Option<String> {
    deployment["metadata"]["labels"][APP_VERSION].as_str().map(str::to_owned)
}
