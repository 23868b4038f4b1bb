//! `tenantry run ROLE`: what a pod of ours runs. One binary, many roles.

use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::failure::{Exit, Failure};
use super::{Session, archive, operator, user};

/// Flags of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The operator: turns tenants, plans, blueprints, servers, databases and microservices into what they ask for
    Operator(operator::OperatorArgs),
    /// The user service: the users of one tenant, at /api/users
    User(user::UserArgs),
    /// One verified archive of one tenant's database; ends with 0 when what is stored was restored and nothing differs
    Archive(archive::ArchiveArgs),
}

/// Runs the role until it ends or the process is asked to.
pub async fn run(args: RunArgs, session: &Session) -> Result<Exit, Failure> {
    let shutdown = CancellationToken::new();
    let asked = shutdown.clone();
    // From now on, not from when the task first runs.
    let watch = |kind: SignalKind, name: &str| {
        signal(kind).map_err(|error| Failure::from_error(format!("failed to watch for {name}"), &error))
    };
    let mut terminate = watch(SignalKind::terminate(), "SIGTERM")?;
    let mut interrupt = watch(SignalKind::interrupt(), "SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked.cancel();
    });
    match args.role {
        Role::Operator(args) => operator::run(args, session, shutdown).await,
        Role::User(args) => user::run(args, shutdown).await,
        Role::Archive(args) => archive::run(args, shutdown).await,
    }
}
