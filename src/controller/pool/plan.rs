//! What has to be done for a server's warm pool. Pure.

use crate::api::DatabaseServer;
use crate::api::database_server::Scheduling;
use crate::postgres::pool::{Member, MemberPhase, PoolName};

/// What is asked of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Clones that it holds.
    pub size: usize,
    /// Whether those that are missing are made.
    pub grows: bool,
}

/// What has to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Databases that are dropped.
    pub retire: Vec<PoolName>,
    /// The template that there is.
    pub template: Option<PoolName>,
    /// Clones that are missing.
    pub clones: usize,
}

impl Wish {
    /// What the spec asks for, when the server has so many databases: no more clones than could become databases. A server
    /// that goes, or is to be emptied, has nothing of ours left on it but the operator database.
    pub fn of(server: &DatabaseServer, databases: usize) -> Self {
        let spec = &server.spec;
        let goes = server.metadata.deletion_timestamp.is_some() || spec.scheduling() == Scheduling::Draining;
        let size = spec.warm_pool.as_ref().filter(|_| !goes).map_or(0, |pool| pool.size);
        let size = usize::try_from(size).unwrap_or(0);
        let room = spec.capacity().and_then(|capacity| usize::try_from(capacity).ok());
        let room = room.map_or(size, |capacity| capacity.saturating_sub(databases));
        Self { size: size.min(room), grows: spec.scheduling() == Scheduling::Active }
    }
}

impl Work {
    /// Whether the pool is as it has to be.
    pub fn is_empty(&self) -> bool {
        self.retire.is_empty() && self.clones == 0
    }
}

/// Compares the pool's rows with what is asked for. `whole` says whether a database that is ready is still as it was
/// prepared. Only one filling of a pool goes on at a time, so what is being prepared now was left by an earlier one.
pub fn work(wish: Wish, layout: &str, members: &[Member], whole: impl Fn(&PoolName) -> bool) -> Work {
    let mut work = Work::default();
    let mut clones = 0;
    for Member { name, layout: prepared, phase, settled: _ } in members.iter().filter(|it| !it.is_scratch()) {
        let good = *phase == MemberPhase::Ready && prepared == layout && wish.size > 0 && whole(name);
        if good && name.is_template() && work.template.is_none() {
            work.template = Some(name.clone());
        } else if good && !name.is_template() && clones < wish.size {
            clones += 1;
        } else {
            work.retire.push(name.clone());
        }
    }
    work.clones = if wish.grows { wish.size - clones } else { 0 };
    work
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: PoolName, layout: &str, phase: MemberPhase) -> Member {
        Member { name, layout: layout.into(), phase, settled: false }
    }

    #[test]
    fn a_pool_is_filled_up_and_what_is_too_much_or_of_another_layout_is_dropped() {
        use MemberPhase::{Preparing, Ready, Retiring};
        let (clone, template) = (PoolName::clone_of, PoolName::template_of);
        let members = [
            member(template(1), "old", Ready),
            member(template(2), "new", Ready),
            member(template(3), "new", Ready),
            member(clone(1), "old", Ready),
            member(clone(2), "new", Preparing),
            member(clone(3), "new", Retiring),
            member(clone(4), "new", Ready),
            member(clone(5), "new", Ready),
            member(clone(6), "new", Ready),
            // Scratch databases of archives are none of its own.
            member(clone(7), "archive-t_x_app", Preparing),
            member(clone(8), "archive-t_x_app", Retiring),
        ];
        let names = |numbers: &[u64]| numbers.iter().map(|number| clone(*number)).collect::<Vec<_>>();
        let old = [vec![template(1), template(3)], names(&[1, 2, 3])].concat();
        let with = |size: usize, broken: Option<PoolName>| {
            work(Wish { size, grows: true }, "new", &members, |name| Some(name) != broken.as_ref())
        };
        let expected =
            |retire: Vec<PoolName>, clones: usize| Work { retire, template: Some(template(2)), clones };
        assert_eq!(with(5, None), expected(old.clone(), 2));
        assert_eq!(with(2, None), expected([old.clone(), names(&[6])].concat(), 0));
        assert_eq!(with(3, Some(clone(5))), expected([old, names(&[5])].concat(), 1));
        let all = Work {
            retire: members[..9].iter().map(|it| it.name.clone()).collect(),
            template: None,
            clones: 0,
        };
        assert_eq!(with(0, None), all);
        assert!(work(Wish::default(), "new", &[], |_| true).is_empty());
        assert_eq!(work(Wish { size: 5, grows: false }, "new", &members[1..2], |_| true).clones, 0);
    }

    #[test]
    fn a_pool_is_no_larger_than_the_room_that_is_left() {
        let wish = |spec: serde_json::Value, databases: usize| {
            Wish::of(&DatabaseServer::new("main", serde_json::from_value(spec).unwrap()), databases)
        };
        let spec = |scheduling: &str, databases: u32| serde_json::json!({"warmPool": {"size": 4}, "scheduling": scheduling, "capacity": {"databases": databases}});
        let cases = [
            (spec("Active", 10), 2, 4, true),
            (spec("Active", 10), 7, 3, true),
            (spec("Active", 10), 12, 0, true),
            (spec("Paused", 10), 2, 4, false),
            (spec("Draining", 10), 2, 0, false),
            (serde_json::json!({"warmPool": {"size": 4}}), 99, 4, true),
            (serde_json::json!({}), 0, 0, true),
        ];
        for (spec, databases, size, grows) in cases {
            assert_eq!(wish(spec.clone(), databases), Wish { size, grows }, "{spec} {databases}");
        }
    }
}
