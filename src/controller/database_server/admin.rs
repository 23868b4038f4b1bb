//! The login of the admin: the one of the admin Secret, and as long as the server refuses that, the one that has worked until
//! now. Whichever of Secret and server is changed first, nobody is locked out.

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

/// Chooses the login. One that has not been used yet is tried before the other is given up.
pub async fn choose(context: &Context, server: &str, asked: AdminTarget) -> Admin {
    let used = context.servers.target(server).filter(|used| {
        context.servers.is_usable(server)
            && *used != asked
            && (&used.host, used.port, &used.ca_pem) == (&asked.host, asked.port, &asked.ca_pem)
    });
    let Some(used) = used else { return Admin { target: asked, refused: None } };
    match login(&asked).await {
        // Only if the other one still works does it help.
        Err(error @ ConnectError::AuthenticationFailed { .. }) if login(&used).await.is_ok() => {
            Admin { target: used, refused: Some(chain(&error)) }
        }
        _ => Admin { target: asked, refused: None },
    }
}

async fn login(target: &AdminTarget) -> Result<(), ConnectError> {
    let pool = ServerPool::new(target.clone(), Counter::default())?;
    // Nothing keeps the pool, so the session ends with it.
    any_session(&pool).await?.release().await;
    Ok(())
}
