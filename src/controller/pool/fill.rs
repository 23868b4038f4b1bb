//! One filling of a server's warm pool: look, drop what is not to be kept, make what is missing.

use futures::{TryStreamExt, stream};
use rand::RngExt;

use super::known::Issued;
use super::plan::{Wish, Work, work};
use crate::controller::context::Context;
use crate::controller::database::plan::{Conflict, Plan};
use crate::controller::database::pool as layout;
use crate::postgres::connect::ServerPool;
use crate::postgres::execute::{ExecuteError, Session};
use crate::postgres::facts::{Facts, Server};
use crate::postgres::observe::{self, ObserveError, Scope};
use crate::postgres::pool::{Member, MemberPhase, PoolName};
use crate::postgres::record::Cause;

/// Databases of one server that are made at once.
const AT_ONCE: usize = 2;

/// Why a pool was not filled. What is there is consistent, and the next filling goes on from it.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The rows or the catalogs could not be read.
    #[error("failed to look at the warm pool")]
    Look(#[source] ObserveError),
    /// A name that no statement can hold.
    #[error("failed to plan the warm pool")]
    Plan(#[source] Conflict),
    /// A database could not be made or dropped.
    #[error("failed to fill the warm pool")]
    Execute(#[source] ExecuteError),
    /// A database is not ours alone any more.
    #[error(
        "failed to drop database {0} of the warm pool, which somebody has opened or given to another owner: what it holds is \
         not ours to drop; drop it by hand, or close it again and give it back to tenantry_databases"
    )]
    NotOurs(PoolName),
}

/// Brings the pool to what `wish` says, until that is `None`: somebody else needs the server now.
pub async fn fill(
    context: &Context,
    server: &str,
    wish: impl Fn() -> Option<Wish> + Sync,
) -> Result<(), FillError> {
    let Some(visit) = context.servers.for_pool(server) else { return Ok(()) };
    let filling = Filling { context, server, pool: visit.apart(), wish };
    filling.run().await
}

struct Filling<'a, W> {
    context: &'a Context,
    server: &'a str,
    /// Sessions that turns do not wait for.
    pool: ServerPool,
    wish: W,
}

impl<W: Fn() -> Option<Wish> + Sync> Filling<'_, W> {
    async fn run(&self) -> Result<(), FillError> {
        let Some(wish) = (self.wish)() else { return Ok(()) };
        let reading = self.context.pools.reading(self.server);
        let (members, facts) = self.look().await?;
        let prepared_as = layout::layout(&facts.server).map_err(FillError::Plan)?;
        self.context.pools.see(self.server, &reading, prepared_as.clone(), members.clone());
        let whole = |name: &PoolName| match facts.databases.get(name.as_str()) {
            Some(it) if name.is_template() => !it.allow_connections,
            _ => layout::is_whole(name, &facts),
        };
        let work = work(wish, &prepared_as, &members, whole);
        // One that cannot be dropped, because a tenant has granted something to its roles, keeps nobody from the others.
        let mut trouble = Ok(());
        for name in &work.retire {
            match self.retire(name).await {
                Err(error @ (FillError::NotOurs(_) | FillError::Execute(ExecuteError::Refused { .. }))) => {
                    trouble = trouble.and(Err(error));
                }
                other => other?,
            }
        }
        self.grow(&work, &prepared_as, &facts.server).await?;
        trouble
    }

    async fn grow(&self, work: &Work, prepared_as: &str, server: &Server) -> Result<(), FillError> {
        if work.clones == 0 {
            return Ok(());
        }
        let template = match &work.template {
            Some(template) => template.clone(),
            None => self.make_template(prepared_as, server).await?,
        };
        let missing = (0..work.clones).map(Ok::<usize, FillError>);
        let make = |_| self.make_clone(&template, prepared_as, server);
        stream::iter(missing).try_for_each_concurrent(AT_ONCE, make).await
    }

    async fn look(&self) -> Result<(Vec<Member>, Facts), FillError> {
        let mut session = self.session("look").await?;
        let members = observe::pool(session.reader()).await.map_err(FillError::Look)?;
        let facts = observe::catalog(session.reader(), &Scope::pool()).await.map_err(FillError::Look)?;
        session.close().await;
        Ok((members, facts))
    }

    /// Drops a database of the pool, on what the session that drops it has read of it.
    async fn retire(&self, name: &PoolName) -> Result<(), FillError> {
        let mut session = self.session("retire").await?;
        let members = observe::pool(session.reader()).await.map_err(FillError::Look)?;
        let facts =
            observe::catalog(session.reader(), &Scope::member(name)).await.map_err(FillError::Look)?;
        let member = members.iter().find(|member| member.name == *name);
        let Some(plan) = member.and_then(|member| layout::retire(member, &facts)) else {
            session.close().await;
            self.context.pools.dismiss(self.server, name);
            let is_being_made = member.is_none_or(|member| member.phase == MemberPhase::Preparing);
            let exists = facts.databases.contains_key(name.as_str());
            return if is_being_made && !exists { Ok(()) } else { Err(FillError::NotOurs(name.clone())) };
        };
        tracing::info!(server.name = self.server, database.name = %name, "drops a database of the warm pool");
        session.run(&plan.batches).await.map_err(FillError::Execute)?;
        self.context.pools.dismiss(self.server, name);
        Ok(())
    }

    async fn make_template(&self, prepared_as: &str, server: &Server) -> Result<PoolName, FillError> {
        let name = PoolName::template_of(self.context.random(RngExt::random));
        let plan = layout::prepare_template(&name, prepared_as, server).map_err(FillError::Plan)?;
        self.make(&name, &plan).await?;
        Ok(name)
    }

    async fn make_clone(
        &self,
        template: &PoolName,
        prepared_as: &str,
        server: &Server,
    ) -> Result<(), FillError> {
        if (self.wish)().is_none() {
            return Ok(());
        }
        let name = PoolName::clone_of(self.context.random(RngExt::random));
        let issued = self.context.random(Issued::new);
        let plan = layout::prepare_clone(&name, template, prepared_as, server, &issued.verifier);
        self.make(&name, &plan.map_err(FillError::Plan)?).await?;
        self.context.pools.add(self.server, name, prepared_as.to_owned(), issued);
        Ok(())
    }

    async fn make(&self, name: &PoolName, plan: &Plan) -> Result<(), FillError> {
        let session = self.session("prepare").await?;
        session.run(&plan.batches).await.map_err(FillError::Execute)?;
        tracing::debug!(server.name = self.server, database.name = %name, "the warm pool has another database");
        Ok(())
    }

    async fn session(&self, reason: &'static str) -> Result<Session<'_>, FillError> {
        let cause = Cause::new(format_args!("warm pool of DatabaseServer {}", self.server), reason);
        self.context.servers.gate().open(&self.pool, cause).await.map_err(FillError::Execute)
    }
}
