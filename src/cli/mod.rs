//! The command line: one enum, one exhaustive match, one exit code.
//!
//! `args` are the flags that many commands share, `output` is the only writer to the terminal. Every command is a
//! file of its own.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Command as Clap, CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

#[expect(dead_code, reason = "the commands that use it land next")]
mod args;
mod completion;
mod environment;
#[expect(dead_code, reason = "the commands that use it land next")]
mod failure;
mod generate;
mod install;
#[expect(dead_code, reason = "the commands that use it land next")]
mod kinds;
pub mod manifests;
mod operator;
#[expect(dead_code, reason = "the commands that use it land next")]
mod output;
mod reference;
mod run;
mod version;
mod yaml;

pub use environment::Environment;

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
    #[expect(dead_code, reason = "the commands that use it land next")]
    environment: Environment,
    connection: args::Connection,
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
fn definition(program: Option<&OsString>) -> Clap {
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
    let mut session = Session { output, environment, connection: cli.connection };
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
    session.output.finish(result)
}

/// Two threads for a role. One for a command: it makes a handful of requests, and starting threads would cost more.
fn runtime(role: bool) -> std::io::Result<Runtime> {
    let mut builder = if role { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.worker_threads(2).enable_all().build()
}

async fn dispatch(command: Command, session: &mut Session) -> Result<Exit, Failure> {
    match command {
        Command::Install(args) => install::run(&args, session).await,
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
