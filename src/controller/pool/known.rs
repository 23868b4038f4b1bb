//! What this process knows of every server's warm pool, so that a turn that needs a database finds one without asking.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::CryptoRng;
use tokio::sync::Notify;

use super::plan::{Wish, Work, work};
use crate::postgres::pool::{Member, MemberPhase, PoolName};
use crate::postgres::scram::{Password, Verifier};

/// A new password. That of a clone's login is in nobody's hands but this process' until a claim is told: the next process makes
/// another one for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The password.
    pub password: Password,
    /// What a server is told of it.
    pub verifier: Verifier,
}

impl Issued {
    /// A new one.
    pub fn new(random: &mut impl CryptoRng) -> Self {
        let password = Password::generate(random);
        let verifier = Verifier::generate(&password, random);
        Self { password, verifier }
    }
}

/// One server's pool.
#[derive(Clone, Debug, Default)]
struct Pool {
    layout: String,
    members: Vec<Member>,
    /// Passwords of the logins of clones that this process has made.
    issued: BTreeMap<PoolName, Issued>,
    /// Clones that turns have taken, with whether the turn is over. What became of one shows when the rows are read
    /// after that.
    taken: BTreeMap<PoolName, bool>,
    /// Why the last filling got nowhere, if it did.
    trouble: Option<String>,
}

impl Pool {
    fn free(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| !self.taken.contains_key(&member.name))
    }
}

/// The pools, by name of their DatabaseServer.
#[derive(Default)]
pub struct Pools {
    all: Mutex<HashMap<String, Pool>>,
    news: Notify,
}

/// Turns that were over when the rows began to be read.
#[derive(Debug)]
pub struct Reading(BTreeSet<PoolName>);

/// A clone that nobody else is given. One that is dropped without having been used is free again.
#[derive(Debug)]
pub struct Taken<'a> {
    pools: &'a Pools,
    server: String,
    name: PoolName,
    issued: Option<Issued>,
    used: bool,
}

impl Pools {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Pool>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy, to think something through with.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { all: Mutex::new(self.all().clone()), news: Notify::new() }
    }

    /// The rows are about to be read.
    pub fn reading(&self, server: &str) -> Reading {
        let all = self.all();
        let taken = all.get(server).into_iter().flat_map(|pool| &pool.taken);
        Reading(taken.filter(|(_, over)| **over).map(|(name, _)| name.clone()).collect())
    }

    /// The rows that were read, and what databases are prepared as now.
    pub fn see(&self, server: &str, reading: &Reading, layout: String, members: Vec<Member>) {
        {
            let mut all = self.all();
            let pool = all.entry(server.to_owned()).or_default();
            pool.taken.retain(|name, _| !reading.0.contains(name));
            pool.issued.retain(|name, _| members.iter().any(|member| member.name == *name));
            (pool.layout, pool.members) = (layout, members);
        }
        self.news.notify_one();
    }

    /// A clone was made, prepared as `layout`, and can be taken while that is what they are prepared as.
    pub fn add(&self, server: &str, name: PoolName, layout: String, issued: Issued) {
        let mut all = self.all();
        let Some(pool) = all.get_mut(server) else { return };
        pool.issued.insert(name.clone(), issued);
        pool.members.push(Member { name, layout, phase: MemberPhase::Ready, settled: false });
    }

    /// A database of the pool is no more to be thought of until the rows are read again: it is gone, or is left as it is.
    pub fn dismiss(&self, server: &str, name: &PoolName) {
        if let Some(pool) = self.all().get_mut(server) {
            pool.issued.remove(name);
            pool.members.retain(|member| member.name != *name);
        }
    }

    /// How the last filling ended. Returns whether something else is wrong than before.
    pub fn ended(&self, server: &str, trouble: Option<String>) -> bool {
        let mut all = self.all();
        let Some(pool) = all.get_mut(server) else { return false };
        let is_news = trouble.is_some() && pool.trouble != trouble;
        pool.trouble = trouble;
        is_news
    }

    /// Why the last filling got nowhere, if it did.
    pub fn trouble(&self, server: &str) -> Option<String> {
        self.all().get(server)?.trouble.clone()
    }

    /// The server is gone.
    pub fn forget(&self, server: &str) {
        self.all().remove(server);
    }

    /// A clone of that server, if there is one that nobody else has been given: the oldest.
    pub fn take(&self, server: &str) -> Option<Taken<'_>> {
        let mut all = self.all();
        let pool = all.get_mut(server)?;
        let ready = |it: &&Member| {
            it.phase == MemberPhase::Ready && it.layout == pool.layout && !it.name.is_template()
        };
        let name = pool.free().find(ready)?.name.clone();
        pool.taken.insert(name.clone(), false);
        let issued = pool.issued.get(&name).cloned();
        Some(Taken { pools: self, server: server.to_owned(), name, issued, used: false })
    }

    /// What has to be done for the pool of that server, as far as is known.
    pub fn work(&self, server: &str, wish: Wish) -> Work {
        let all = self.all();
        let Some(pool) = all.get(server) else { return Work::default() };
        work(wish, &pool.layout, &pool.free().cloned().collect::<Vec<_>>(), |_| true)
    }

    /// Clones that can be taken.
    pub fn ready(&self, server: &str) -> usize {
        let all = self.all();
        let free = all.get(server).into_iter().flat_map(Pool::free);
        free.filter(|it| it.phase == MemberPhase::Ready && !it.name.is_template()).count()
    }

    /// Waits until something has changed since the last time.
    pub async fn news(&self) {
        self.news.notified().await;
    }
}

impl Taken<'_> {
    /// Its name.
    pub fn name(&self) -> &PoolName {
        &self.name
    }

    /// The password of its login, if this process knows it.
    pub fn issued(&self) -> Option<&Issued> {
        self.issued.as_ref()
    }

    /// It is about to be used: what becomes of it the rows tell.
    pub fn uses(&mut self) {
        self.used = true;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut all = self.pools.all();
        if let Some(pool) = all.get_mut(&self.server) {
            if self.used {
                // Whatever became of it: a password is told once.
                pool.issued.remove(&self.name);
                pool.taken.insert(self.name.clone(), true);
            } else {
                pool.taken.remove(&self.name);
            }
        }
        drop(all);
        if self.used {
            self.pools.news.notify_one();
        }
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pools({:?})", self.all())
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn member(number: u64) -> Member {
        let (name, phase) = (PoolName::clone_of(number), MemberPhase::Ready);
        Member { name, layout: "l".into(), phase, settled: true }
    }

    fn issued() -> Issued {
        Issued::new(&mut StdRng::seed_from_u64(7))
    }

    fn see(pools: &Pools, reading: &Reading, numbers: &[u64]) {
        pools.see("main", reading, "l".into(), numbers.iter().map(|it| member(*it)).collect());
    }

    #[test]
    fn a_clone_is_given_to_one_turn_only_whatever_was_read_meanwhile() {
        let pools = Pools::default();
        assert!(pools.take("main").is_none());
        see(&pools, &pools.reading("main"), &[1, 2]);
        let mut first = pools.take("main").unwrap();
        let second = pools.take("main").unwrap();
        assert_eq!((first.name(), second.name()), (&PoolName::clone_of(1), &PoolName::clone_of(2)));
        assert!(pools.take("main").is_none());
        drop(second);
        assert_eq!(pools.ready("main"), 1, "it was not used");

        // Rows that were read while the turn was under way, or that had begun to be read, still name it.
        first.uses();
        let reading = pools.reading("main");
        see(&pools, &reading, &[1, 2]);
        assert_eq!(pools.ready("main"), 1);
        let reading = pools.reading("main");
        drop(first);
        see(&pools, &reading, &[1, 2]);
        assert_eq!(pools.ready("main"), 1);
        // Now the rows say what became of it: the turn got nowhere.
        see(&pools, &pools.reading("main"), &[1, 2]);
        assert_eq!(pools.ready("main"), 2);
    }

    #[test]
    fn the_password_of_a_clone_is_told_once() {
        let pools = Pools::default();
        see(&pools, &pools.reading("main"), &[]);
        pools.add("main", PoolName::clone_of(1), "l".into(), issued());
        // One that was not used is as it was, and what an earlier process made is taken without.
        assert_eq!(pools.take("main").unwrap().issued(), Some(&issued()));
        see(&pools, &pools.reading("main"), &[1, 2]);
        let mut first = pools.take("main").unwrap();
        assert_eq!((first.issued(), pools.take("main").unwrap().issued()), (Some(&issued()), None));
        first.uses();
        drop(first);
        see(&pools, &pools.reading("main"), &[1]);
        assert_eq!(pools.take("main").unwrap().issued(), None);
    }

    #[test]
    fn a_clone_of_another_layout_is_not_given_to_anybody() {
        let pools = Pools::default();
        let reading = pools.reading("main");
        pools.see("main", &reading, "newer".into(), vec![]);
        // What was begun before, and came to its end after that.
        pools.add("main", PoolName::clone_of(1), "l".into(), issued());
        assert!(pools.take("main").is_none());
        assert_eq!(pools.work("main", Wish { size: 1, grows: true }).retire, [PoolName::clone_of(1)]);
    }
}
