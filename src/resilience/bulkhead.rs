//! The bulkhead: so many inside at once, the rest in two lines outside.
//!
//! Nobody blocks in it. Who finds it full is noted and goes away; when a place is free the bulkhead names who is called,
//! and keeps the place for them until they come, or say that they need it no more. So a place is never empty while
//! somebody waits, and who does not come costs nobody their turn.
//!
//! Whoever is inside may ask again and stays inside until it goes away: who had to line up anew in the middle of what it came
//! for would lose its place each time to those who wait, and they theirs to it, for ever.
//!
//! Of five that are called one is of the second line even while the first is full, so nobody starves.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

/// Of so many calls one goes to the second line while the first is not empty.
const SECOND_SHARE: u32 = 5;

/// Which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    /// Those who can wait.
    Second,
    /// Those who go first.
    First,
}

/// Places, who is called to one, and who waits.
#[derive(Debug)]
pub struct Bulkhead<K> {
    places: usize,
    inside: HashSet<K>,
    called: HashSet<K>,
    /// Who found it full and has not [gone away](Bulkhead::pass) since.
    refused: HashSet<K>,
    waiting: HashMap<K, (Line, u64)>,
    first: BTreeMap<u64, K>,
    second: BTreeMap<u64, K>,
    tickets: u64,
    calls: u32,
}

impl<K: Clone + Eq + Hash> Bulkhead<K> {
    /// An empty one.
    pub fn new(places: usize) -> Self {
        Self {
            places,
            inside: HashSet::new(),
            called: HashSet::new(),
            refused: HashSet::new(),
            waiting: HashMap::new(),
            first: BTreeMap::new(),
            second: BTreeMap::new(),
            tickets: 0,
            calls: 0,
        }
    }

    /// Whether `key` may go in; if so it is inside until it [leaves](Self::leave) or [goes away](Self::pass). If not, it waits in
    /// that line.
    pub fn enter(&mut self, key: &K, line: Line) -> bool {
        if self.inside.contains(key) {
            return true;
        }
        if self.called.remove(key) || self.inside.len() + self.called.len() < self.places {
            self.strike(key);
            self.refused.remove(key);
            self.inside.insert(key.clone());
            return true;
        }
        self.refused.insert(key.clone());
        match self.waiting.get(key) {
            Some((held, _)) if *held >= line => {}
            _ => {
                self.strike(key);
                self.tickets += 1;
                let ticket = self.tickets;
                self.waiting.insert(key.clone(), (line, ticket));
                self.line(line).insert(ticket, key.clone());
            }
        }
        false
    }

    /// `key` needs its place no more, if it has one. Returns who is called in.
    pub fn leave(&mut self, key: &K) -> Option<K> {
        if self.inside.remove(key) { self.call() } else { None }
    }

    /// `key` goes away, with its place. If it was called and did not ask for its place, returns who is called in its stead. Who was
    /// called on the way out comes back for it.
    pub fn pass(&mut self, key: &K) -> Option<K> {
        let declined = !self.refused.remove(key) && self.called.remove(key);
        if self.inside.remove(key) || declined { self.call() } else { None }
    }

    /// Whether `key` asked for a place since it came and did not get in: it will get another chance. Who still waits from an
    /// earlier time and has not asked in this one needs none for what it has found out.
    pub fn is_refused(&self, key: &K) -> bool {
        self.refused.contains(key)
    }

    /// Sends everybody away who waits or is called.
    pub fn dismiss(&mut self) -> Vec<K> {
        self.first.clear();
        self.second.clear();
        self.refused.clear();
        self.called.drain().chain(self.waiting.drain().map(|(key, _)| key)).collect()
    }

    /// How many are inside.
    pub fn inside(&self) -> usize {
        self.inside.len()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn call(&mut self) -> Option<K> {
        if self.inside.len() + self.called.len() >= self.places {
            return None;
        }
        self.calls = self.calls.wrapping_add(1);
        let (one, other) = if self.calls.is_multiple_of(SECOND_SHARE) {
            (&mut self.second, &mut self.first)
        } else {
            (&mut self.first, &mut self.second)
        };
        let (_, key) = one.pop_first().or_else(|| other.pop_first())?;
        self.waiting.remove(&key);
        self.called.insert(key.clone());
        Some(key)
    }

    fn strike(&mut self, key: &K) {
        if let Some((line, ticket)) = self.waiting.remove(key) {
            self.line(line).remove(&ticket);
        }
    }

    const fn line(&mut self, line: Line) -> &mut BTreeMap<u64, K> {
        match line {
            Line::First => &mut self.first,
            Line::Second => &mut self.second,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_line_goes_first_and_the_second_does_not_starve() {
        let mut bulkhead = Bulkhead::new(1);
        assert!(bulkhead.enter(&"inside", Line::Second));
        for key in ["s1", "s2"] {
            assert!(!bulkhead.enter(&key, Line::Second));
        }
        for key in ["f1", "f2", "f3", "f4", "f5"] {
            assert!(!bulkhead.enter(&key, Line::First));
        }
        // It became urgent while it waited.
        assert!(!bulkhead.enter(&"s2", Line::First));
        let (mut order, mut inside) = (vec![], "inside");
        while let Some(key) = bulkhead.leave(&inside) {
            assert!(!bulkhead.enter(&"late", Line::Second), "the place is kept");
            bulkhead.strike(&"late");
            assert!(bulkhead.enter(&key, Line::First));
            order.push(key);
            inside = key;
        }
        assert_eq!(order, ["f1", "f2", "f3", "f4", "s1", "f5", "s2"]);
    }

    #[test]
    fn who_is_called_and_does_not_come_costs_nobody_their_turn() {
        let mut bulkhead = Bulkhead::new(1);
        assert!(bulkhead.enter(&"inside", Line::First));
        assert!(!bulkhead.enter(&"gone", Line::First));
        assert!(!bulkhead.enter(&"next", Line::First));
        assert!(bulkhead.is_refused(&"gone"));
        assert_eq!(bulkhead.leave(&"inside"), Some("gone"));
        assert_eq!(bulkhead.pass(&"gone"), None, "it was called on its way out, and comes back");
        assert_eq!(bulkhead.pass(&"next"), None, "it was not called yet");
        assert_eq!(bulkhead.pass(&"gone"), Some("next"));
        assert!(bulkhead.enter(&"next", Line::First));
        assert!(!bulkhead.enter(&"a", Line::First));
        assert_eq!(bulkhead.dismiss(), ["a"]);
        assert_eq!((bulkhead.leave(&"next"), bulkhead.waiting()), (None, 0));
    }

    #[test]
    fn who_waits_and_comes_back_for_something_else_was_not_refused() {
        let mut bulkhead = Bulkhead::new(1);
        assert!(bulkhead.enter(&"inside", Line::First));
        assert!(!bulkhead.enter(&"a", Line::Second));
        assert_eq!(bulkhead.pass(&"a"), None, "it waits on");
        // A turn that does not ask for a place, while it waits and when it is called.
        assert!(!bulkhead.is_refused(&"a"));
        assert_eq!(bulkhead.leave(&"inside"), Some("a"));
        assert!(!bulkhead.is_refused(&"a"));
        assert_eq!(bulkhead.pass(&"a"), None);
        assert!(bulkhead.enter(&"b", Line::First), "its place was given up");
    }

    #[test]
    fn who_is_inside_asks_again_and_is_not_sent_back_into_the_line() {
        let mut bulkhead = Bulkhead::new(1);
        assert!(bulkhead.enter(&"a", Line::Second));
        assert!(!bulkhead.enter(&"b", Line::First));
        assert!(bulkhead.enter(&"a", Line::Second), "it is inside");
        assert_eq!((bulkhead.inside(), bulkhead.is_refused(&"a")), (1, false));
        assert_eq!(bulkhead.leave(&"a"), Some("b"), "it needs its place no more");
        assert_eq!(bulkhead.pass(&"a"), None, "its place is another's by now");
        assert!(bulkhead.enter(&"b", Line::First));
        assert_eq!(bulkhead.pass(&"b"), None);
        assert_eq!(bulkhead.inside(), 0);
    }

    proptest! {
        /// Keys are tasks that try to enter, and when called try again or give up: no place is ever given twice, and
        /// none stays empty while somebody waits.
        #[test]
        fn places_are_never_overbooked_and_never_empty_while_somebody_waits(
            places in 1..5_usize,
            steps in prop::collection::vec((0..4_u8, 0..12_u8, any::<bool>()), 0..200),
        ) {
            let mut bulkhead = Bulkhead::new(places);
            let (mut inside, mut called): (HashSet<u8>, HashSet<u8>) = Default::default();
            let mut refused: HashSet<u8> = HashSet::new();
            for (what, key, urgent) in steps {
                match what {
                    0 | 1 => {
                        if bulkhead.enter(&key, if urgent { Line::First } else { Line::Second }) {
                            called.remove(&key);
                            refused.remove(&key);
                            inside.insert(key);
                        } else {
                            prop_assert!(!inside.contains(&key));
                            refused.insert(key);
                        }
                    }
                    2 => {
                        inside.remove(&key);
                        called.extend(bulkhead.leave(&key));
                    }
                    _ => {
                        let next = bulkhead.pass(&key);
                        inside.remove(&key);
                        if !refused.remove(&key) {
                            called.remove(&key);
                        }
                        called.extend(next);
                    }
                }
                prop_assert_eq!(bulkhead.inside(), inside.len());
                prop_assert!(inside.len() + called.len() <= places);
                prop_assert!(bulkhead.waiting() == 0 || inside.len() + called.len() == places);
                prop_assert!((0..12).all(|key| bulkhead.is_refused(&key) == refused.contains(&key)));
            }
        }
    }
}
