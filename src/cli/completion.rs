//! `tenantry completion`: a shell's completion script.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit, Failure, Session};

/// Flags of `completion`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  source <(tenantry completion bash)\n  tenantry completion zsh > \"${fpath[1]}/_tenantry\""
)]
pub(super) struct CompletionArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn run(args: &CompletionArgs, session: &mut Session) -> Result<Exit, Failure> {
    session.output.write(&script(args.shell))?;
    Ok(Exit::Success)
}

/// The completion script of a shell.
pub(super) fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tenantry", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
