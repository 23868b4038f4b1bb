//! `tenantry check`: whether an installation is sound. Every check has a stable id; a failed one has a next step.

mod probes;
mod report;

use clap::Args;

use super::args::Format;
use super::client::Client;
use super::{Exit, Failure, Session, json as go_json};
use report::{Check, Report, Verdict};

/// Flags of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Exit code: 0 if nothing failed (warnings are no failure), 1 if something did.")]
pub(super) struct CheckArgs {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) async fn run(args: &CheckArgs, session: &mut Session) -> Result<Exit, Failure> {
    let mut report = Report::default();
    match reach(session, &mut report).await {
        None => {}
        Some(client) => {
            report.add("kubernetes-api", probes::rights(&client).await);
            report.add("crds", probes::crds(&client).await);
            report.add("operator", probes::operator(&client, session.environment.now).await);
            report.add("database-servers", probes::servers(&client).await);
        }
    }
    match args.output {
        Format::Text => session.output.write(&report.text())?,
        Format::Json => session.output.line(&go_json::pretty(&report.json()))?,
    }
    Ok(if report.verdict() == Verdict::Failed { Exit::Failure } else { Exit::Success })
}

/// The first two checks: without them no other can be made.
async fn reach(session: &mut Session, report: &mut Report) -> Option<std::rc::Rc<Client>> {
    let client = match session.client().await {
        Ok(client) => client,
        Err(failure) => {
            report
                .add("kubernetes-api", vec![Check::failed("K8S-01", "the kubeconfig can be used", &failure)]);
            return None;
        }
    };
    let configured = Check::ok("K8S-01", format!("the kubeconfig can be used ({})", client.server()));
    let (reachable, ok) = probes::reachable(&client).await;
    report.add("kubernetes-api", vec![configured, reachable]);
    ok.then_some(client)
}
