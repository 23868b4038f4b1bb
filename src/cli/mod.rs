//! The command line: one enum, one exhaustive match, one exit code.
//!
//! `args` are the flags that many commands share, `connection` turns them into a client, `client` reads, `write`
//! writes as the user, `output` is the only writer to the terminal. Every command is a file of its own.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use clap::{Command as Clap, CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

mod age;
mod api_error;
mod archive;
mod args;
mod check;
mod client;
mod completion;
mod connection;
mod create;
mod delete;
mod environment;
mod failure;
mod generate;
mod get;
mod health;
mod install;
mod json;
mod kinds;
pub mod manifests;
mod operator;
mod output;
mod plan;
mod proxy;
mod purge;
mod reconcile;
mod reference;
mod run;
mod status;
mod suspend;
mod table;
mod undelete;
mod uninstall;
mod until;
mod user;
mod version;
mod wait;
mod write;
mod yaml;

pub use environment::Environment;

use client::Client;
use failure::{Exit, Failure};
use output::Output;

/// Gives every tenant its own namespace, PostgreSQL databases and services.
#[derive(Debug, Parser)]
#[command(name = "tenantry", version, disable_help_subcommand = true, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    connection: args::Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install the CRDs, the operator and its policies, or bring them up to date
    Install(install::InstallArgs),
    /// Remove the operator, its rights and its policies; objects and databases stay
    Uninstall(uninstall::UninstallArgs),
    /// Check the installation
    Check(check::CheckArgs),
    /// Create a tenant
    Create(create::CreateArgs),
    /// Print objects
    Get(get::GetArgs),
    /// Show how a tenant does, or all tenants
    Status(status::StatusArgs),
    /// Show what the operator would do: the Kubernetes changes and the SQL
    Plan(plan::PlanArgs),
    /// Wait until a condition holds or an object is gone
    Wait(wait::WaitArgs),
    /// Suspend a tenant: workloads at zero, logins refused, data kept
    Suspend(suspend::StateArgs),
    /// Resume a suspended tenant
    Resume(suspend::StateArgs),
    /// Compare databases with what is declared, now, and print what differs
    Reconcile(reconcile::ReconcileArgs),
    /// Delete objects; databases are kept
    Delete(delete::DeleteArgs),
    /// Give released or purged databases back to the claims of their names
    Undelete(undelete::UndeleteArgs),
    /// Ask for the end of a released database: it is renamed out of the way and kept
    Purge(purge::PurgeArgs),
    /// Print the version of this program, of the operator and of the API server
    Version(version::VersionArgs),
    /// Run a role of the platform; this is what its pods do
    Run(run::RunArgs),
    /// Print a shell's completion script
    Completion(completion::CompletionArgs),
    /// Write the generated files: CRDs, completion scripts and the CLI reference
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
}

/// What a command works with.
struct Session {
    output: Output,
    environment: Environment,
    connection: args::Connection,
    client: Option<Rc<Client>>,
}

impl Session {
    /// The connection to the API server, made on first use.
    async fn client(&mut self) -> Result<Rc<Client>, Failure> {
        if let Some(client) = &self.client {
            return Ok(Rc::clone(client));
        }
        let client = Rc::new(Client::connect(&self.connection, &self.environment).await?);
        self.client = Some(Rc::clone(&client));
        Ok(client)
    }

    /// Ends the command; what the API server warned of is said once.
    fn finish(mut self, result: Result<Exit, Failure>) -> Exit {
        let warnings = self.client.map(|client| client.take_warnings()).unwrap_or_default();
        for warning in warnings.into_iter().collect::<BTreeSet<_>>() {
            self.output.note(&format!("Warning: {warning}"));
        }
        self.output.finish(result)
    }
}

/// Parses `args`, runs the command and says how the process exits.
pub fn main(args: impl IntoIterator<Item = OsString>, environment: Environment) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let parsed = definition(args.first()).try_get_matches_from(&args).and_then(|m| Cli::from_arg_matches(&m));
    let exit = match parsed {
        Ok(cli) => run(cli, environment),
        Err(error) => {
            // Help and version are "errors" that go to stdout and end well.
            _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Success }
        }
    };
    ExitCode::from(exit.code())
}

/// The command line's definition. As a kubectl plugin (`kubectl-tenantry`) its usage says `kubectl tenantry`.
pub fn definition(program: Option<&OsString>) -> Clap {
    let name = program.and_then(|program| Path::new(program).file_stem());
    let definition = Cli::command();
    if name.is_some_and(|name| name == "kubectl-tenantry") {
        definition.bin_name("kubectl tenantry")
    } else {
        definition
    }
}

fn run(cli: Cli, environment: Environment) -> Exit {
    let output = Output::new(&environment);
    let mut session = Session { output, environment, connection: cli.connection, client: None };
    // A role works until it is told to stop, and stops in order when it is.
    let role = matches!(cli.command, Command::Run(_));
    let result = match runtime(role) {
        Ok(runtime) if role => runtime.block_on(dispatch(cli.command, &mut session)),
        Ok(runtime) => runtime.block_on(async {
            tokio::select! {
                result = dispatch(cli.command, &mut session) => result,
                _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
            }
        }),
        Err(error) => Err(Failure::from_error("failed to start the runtime", &error)),
    };
    session.finish(result)
}

/// Two threads for a role. One for a command: it makes a handful of requests, and starting threads would cost more.
fn runtime(role: bool) -> std::io::Result<Runtime> {
    let mut builder = if role { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.worker_threads(2).enable_all().build()
}

async fn dispatch(command: Command, session: &mut Session) -> Result<Exit, Failure> {
    match command {
        Command::Install(args) => install::run(&args, session).await,
        Command::Uninstall(args) => uninstall::run(&args, session).await,
        Command::Check(args) => check::run(&args, session).await,
        Command::Create(args) => create::run(&args, session).await,
        Command::Get(args) => get::run(&args, session).await,
        Command::Status(args) => status::run(&args, session).await,
        Command::Plan(args) => plan::run(&args, session).await,
        Command::Wait(args) => wait::run(&args, session).await,
        Command::Suspend(args) => suspend::run(&args, suspend::State::Suspended, session).await,
        Command::Resume(args) => suspend::run(&args, suspend::State::Active, session).await,
        Command::Reconcile(args) => reconcile::run(&args, session).await,
        Command::Delete(args) => delete::run(&args, session).await,
        Command::Undelete(args) => undelete::run(&args, session).await,
        Command::Purge(args) => purge::run(&args, session).await,
        Command::Version(args) => version::run(&args, session).await,
        Command::Run(args) => run::run(args, session).await,
        Command::Completion(args) => completion::run(&args, session),
        Command::Generate(args) => generate::run(&args, session),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn as_a_kubectl_plugin_usage_says_so() {
        let usage = |program: &str| definition(Some(&OsString::from(program))).render_usage().to_string();
        assert!(usage("/usr/bin/kubectl-tenantry").contains("kubectl tenantry "));
        assert!(!usage("/usr/bin/tenantry").contains("kubectl"));
    }
}
