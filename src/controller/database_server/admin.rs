//! The login of the admin: the one of the admin Secret, and until that one has logged in, the one that was proven last. Whichever
//! of Secret and server is changed first, nobody is locked out, however long the server is silent in between. The proven
//! one is in this process' memory alone: an operator that starts has what the Secret says.

use prometheus_client::metrics::counter::Counter;

use super::reach::any_session;
use crate::controller::context::Context;
use crate::postgres::connect::{AdminTarget, ConnectError, ServerPool, chain};

/// How a server is reached.
#[derive(Clone, Debug)]
pub struct Admin {
    /// By which login.
    pub target: AdminTarget,
    /// What the server says of the login that the Secret has, if another one is used.
    pub refused: Option<String>,
}

/// Chooses the login. One that is new is tried before the proven one is given up.
pub async fn choose(context: &Context, server: &str, asked: AdminTarget) -> Admin {
    let proven = context.servers.proven(server).filter(|proven| {
        *proven != asked
            && (&proven.host, proven.port, &proven.ca_pem) == (&asked.host, asked.port, &asked.ca_pem)
    });
    let by = |target, refused| Admin { target, refused };
    let Some(proven) = proven else { return by(asked, None) };
    if !context.servers.is_heard(server) {
        return by(proven, None);
    }
    match login(&asked).await {
        Ok(()) => by(asked, None),
        Err(refused @ (ConnectError::AuthenticationFailed { .. } | ConnectError::NotPermitted { .. })) => {
            match login(&proven).await {
                // Neither works: the one that people can read is to be put right.
                Err(ConnectError::AuthenticationFailed { .. }) => by(asked, None),
                _ => by(proven, Some(chain(&refused))),
            }
        }
        // Silence tells nothing about a login.
        Err(_) => by(proven, None),
    }
}

async fn login(target: &AdminTarget) -> Result<(), ConnectError> {
    let pool = ServerPool::new(target.clone(), Counter::default())?;
    // Nothing keeps the pool, so the session ends with it.
    any_session(&pool).await?.release().await;
    Ok(())
}
