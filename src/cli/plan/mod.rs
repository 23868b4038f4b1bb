//! `tenantry plan`: what the operator would do, before anybody does it.
//!
//! The operator decides, and it alone reaches the database servers; so it is asked, through the API server's service
//! proxy. What files would make of the cluster's objects is asked of the API server first, by dry runs as the user:
//! an object that it would refuse is refused here in its words.

mod dry_run;
mod files;
mod render;

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::api_error::ApiError;
use super::args::Format;
use super::client::Client;
use super::get;
use super::kinds::TENANT;
use super::{Exit, Failure, Session, json as go_json, write};
use crate::api::labels::SYSTEM_NAMESPACE;
use crate::api::preview::{ACCOUNT, AUDIENCE, PATH, Preview, Question, SERVICE, TOKEN_HEADER};

/// Flags of `plan`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tenantry plan -f tenants/\n  tenantry plan tenant acme --detailed-exitcode\n  kustomize build . | tenantry plan -f - -o json"
)]
pub(super) struct PlanArgs {
    /// Tenants as they are: tenant NAME, or tn/NAME
    #[arg(value_name = "TYPE NAME", conflicts_with = "files", required_unless_present = "files")]
    target: Vec<String>,
    /// File or directory of objects as they would be, or - for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Exit with 0 if nothing would change, 2 if something would, and 1 if the plan cannot be made
    #[arg(long)]
    detailed_exitcode: bool,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) async fn run(args: &PlanArgs, session: &mut Session) -> Result<Exit, Failure> {
    let question = if args.files.is_empty() {
        Question { tenants: tenants(&args.target)?, ..Question::default() }
    } else {
        Question { objects: objects(&args.files, session).await?, ..Question::default() }
    };
    let client = session.client().await?;
    let preview = match question {
        // Files without any object of ours change nothing.
        Question { ref tenants, ref objects } if tenants.is_empty() && objects.is_empty() => {
            Preview::default()
        }
        question => ask(&client, &question).await?,
    };
    match args.output {
        Format::Text => session.output.write(&render::render(&preview, session.output.has_colours()))?,
        Format::Json => {
            let value = serde_json::to_value(&preview).map_err(ApiError::Malformed)?;
            session.output.line(&go_json::pretty(&value))?;
        }
    }
    let problems: Vec<String> = preview.problems.iter().map(render::problem).collect();
    if !problems.is_empty() {
        session.output.flush()?;
        return Err(Failure { exit: Exit::Failure, lines: problems, hint: None });
    }
    let changes = args.detailed_exitcode && !preview.is_empty();
    Ok(if changes { Exit::Changes } else { Exit::Success })
}

fn tenants(words: &[String]) -> Result<Vec<String>, Failure> {
    let named = get::named(words)?;
    named
        .into_iter()
        .map(|(kind, name)| {
            if kind.resource == TENANT {
                return Ok(name.to_owned());
            }
            let singular = kind.singular;
            Err(Failure::usage(format_args!("a plan is made of tenants and files, not of a {singular}"))
                .hint("name its tenant: tenantry plan tenant NAME"))
        })
        .collect()
}

/// The objects of the files as they would be after an apply.
async fn objects(files: &[PathBuf], session: &mut Session) -> Result<Vec<Value>, Failure> {
    let client = session.client().await?;
    let read = files::read(files, client.namespace())?;
    for left_out in &read.left_out {
        session.output.note(&format!("Warning: {left_out} is not of tenantry.dev: left out of the plan"));
    }
    let mut objects = Vec::new();
    for manifest in &read.manifests {
        objects.push(dry_run::applied(&client, manifest, &read.manifests).await?);
    }
    Ok(objects)
}

async fn ask(client: &Client, question: &Question) -> Result<Preview, Failure> {
    let token = match write::token(client, SYSTEM_NAMESPACE, ACCOUNT, AUDIENCE).await {
        Ok(token) => token,
        Err(error) => {
            let missing = error.is_not_found();
            let failure = Failure::from(error);
            return Err(if missing {
                failure.hint("bring the operator up to date: tenantry install")
            } else {
                failure
            });
        }
    };
    let path = format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}/services/{SERVICE}/proxy{PATH}");
    let body = serde_json::to_vec(question).map_err(ApiError::Malformed)?;
    match client.post_with(&path, (TOKEN_HEADER, &token), body).await {
        Ok(answer) => Ok(serde_json::from_slice(&answer).map_err(ApiError::Malformed)?),
        Err(error) => Err(not_found(client, error, &question.tenants).await),
    }
}

/// A tenant that does not exist is most often a typing mistake.
async fn not_found(client: &Client, error: ApiError, tenants: &[String]) -> Failure {
    let missing = error.is_not_found();
    let mut failure = Failure::from(error);
    let said = |name: &&String| failure.lines.iter().any(|line| line.contains(&format!("\"{name}\"")));
    if let Some(name) = tenants.iter().find(said).filter(|_| missing) {
        failure.hint = get::suggestion(client, &TENANT, None, name).await;
    }
    failure
}
