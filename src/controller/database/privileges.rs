//! Privileges: who has what on the database itself. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::stages::Stages;
use super::target::Target;
use crate::postgres::facts::{Acl, DATABASE_OWNER, Grantee, Privilege};
use crate::postgres::quote::Ident;
use crate::postgres::statement::{Object, Statement};

impl Target<'_> {
    /// The database's privileges become exactly those that we declare.
    pub(super) fn privileges(&self, stages: &mut Stages) {
        use Privilege::{Connect, Create, Temporary};
        let mut wanted = self.wanted();
        wanted.insert(Grantee::Role(DATABASE_OWNER.to_owned()), BTreeSet::from([Connect, Temporary, Create]));
        let none = BTreeSet::new();
        let grantees: BTreeSet<&Grantee> = self.database.acl.keys().map(|(grantee, _)| grantee).collect();
        for grantee in
            grantees.into_iter().filter(|grantee| !self.is_owner(grantee) && !self.is_closed(grantee))
        {
            self.take_excess(grantee, wanted.get(grantee).unwrap_or(&none), stages);
        }
        for (grantee, want) in wanted {
            let have = self.privileges_after_transfer(&grantee);
            let privileges: BTreeSet<_> = want.into_iter().filter(|it| !have.contains_key(it)).collect();
            self.give(privileges, grantee, stages);
        }
    }

    /// Our own roles' privileges become exactly those that we declare, on a database whose other grants are somebody else's.
    pub(super) fn own_privileges(&self, stages: &mut Stages) {
        for (grantee, want) in self.wanted().into_iter().filter(|(grantee, _)| !self.is_closed(grantee)) {
            self.take_excess(&grantee, &want, stages);
            let have = privileges_of(&self.database.acl, &grantee);
            let privileges = want.into_iter().filter(|it| !have.contains_key(it)).collect();
            self.give(privileges, grantee, stages);
        }
    }

    /// What our own roles have to have.
    fn wanted(&self) -> BTreeMap<Grantee, BTreeSet<Privilege>> {
        use Privilege::{Connect, Create, Temporary};
        let group = |name: &Ident| Grantee::Role(name.as_str().to_owned());
        let mut wanted = BTreeMap::from([
            (group(&self.names.owner), BTreeSet::from([Connect, Temporary, Create])),
            (group(&self.names.read_write), BTreeSet::from([Connect, Temporary])),
            (group(&self.names.read_only), BTreeSet::from([Connect])),
        ]);
        for (name, login) in &self.logins {
            let connect = if login.open { BTreeSet::from([Connect]) } else { BTreeSet::new() };
            wanted.insert(Grantee::Role(name.clone()), connect);
        }
        wanted
    }

    /// Takes what a grantee has beyond `want`, and the right to pass on any of it.
    fn take_excess(&self, grantee: &Grantee, want: &BTreeSet<Privilege>, stages: &mut Stages) {
        let have = privileges_of(&self.database.acl, grantee);
        let extra: BTreeSet<_> = have.keys().copied().filter(|it| !want.contains(it)).collect();
        let passable = have.iter().filter(|(it, grantable)| **grantable && want.contains(it));
        let passable: BTreeSet<_> = passable.map(|(it, _)| *it).collect();
        for (privileges, grant_option_only) in [(extra, false), (passable, true)] {
            if !privileges.is_empty() {
                stages.reachable.push(self.revoke(privileges, grantee.clone(), grant_option_only));
            }
        }
    }

    fn give(&self, privileges: BTreeSet<Privilege>, grantee: Grantee, stages: &mut Stages) {
        if !privileges.is_empty() {
            let object = Object::Database(self.names.database.clone());
            stages.last.push(Statement::Grant { object, privileges, grantee });
        }
    }

    /// What a grantee has once the database belongs to its owner again: a transfer takes along what the old owner
    /// has.
    fn privileges_after_transfer(&self, grantee: &Grantee) -> BTreeMap<Privilege, bool> {
        let of = |role: &str| privileges_of(&self.database.acl, &Grantee::Role(role.to_owned()));
        match grantee {
            Grantee::Role(role) if role == DATABASE_OWNER => {
                let mut both = of(DATABASE_OWNER);
                both.extend(of(&self.database.owner));
                both
            }
            Grantee::Role(role) if *role == self.database.owner => BTreeMap::new(),
            _ => privileges_of(&self.database.acl, grantee),
        }
    }

    pub(super) fn is_owner(&self, grantee: &Grantee) -> bool {
        matches!(grantee, Grantee::Role(role) if *role == self.database.owner || role == DATABASE_OWNER)
    }

    /// What a refused login has is taken with its LOGIN.
    fn is_closed(&self, grantee: &Grantee) -> bool {
        matches!(grantee, Grantee::Role(role) if self.logins.get(role).is_some_and(|login| !login.open))
    }

    pub(super) fn revoke(
        &self,
        privileges: BTreeSet<Privilege>,
        grantee: Grantee,
        grant_option_only: bool,
    ) -> Statement {
        let object = Object::Database(self.names.database.clone());
        Statement::Revoke { object, privileges, grantee, grant_option_only }
    }
}

/// What PostgreSQL grants on a new database.
pub(super) fn new_acl() -> Acl {
    let owner = Grantee::Role(DATABASE_OWNER.to_owned());
    let of_owner = [Privilege::Connect, Privilege::Temporary, Privilege::Create];
    let of_public = [Privilege::Connect, Privilege::Temporary];
    let pairs =
        of_owner.map(|it| (owner.clone(), it)).into_iter().chain(of_public.map(|it| (Grantee::Public, it)));
    pairs.map(|pair| (pair, false)).collect()
}

/// The privileges of one grantee, with whether each may be passed on.
pub(super) fn privileges_of(acl: &Acl, grantee: &Grantee) -> BTreeMap<Privilege, bool> {
    let own = acl.iter().filter(|((to, _), _)| to == grantee);
    own.map(|((_, privilege), grantable)| (*privilege, *grantable)).collect()
}
