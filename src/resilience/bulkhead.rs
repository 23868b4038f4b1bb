//! The bulkhead: so many inside at once, the rest in two lines outside.
//!
//! Nobody blocks in it. Who finds it full is noted and goes away; when a place is free the bulkhead names who is called,
//! and keeps the place for them until they come, or say that they need it no more. So a place is never empty while
//! somebody waits, and who does not come costs nobody their turn.
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
    inside: usize,
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
            inside: 0,
            called: HashSet::new(),
            refused: HashSet::new(),
            waiting: HashMap::new(),
            first: BTreeMap::new(),
            second: BTreeMap::new(),
            tickets: 0,
            calls: 0,
        }
    }

    /// Whether `key` may go in; if so it is inside until [`leave`](Self::leave). If not, it waits in that line.
    pub fn enter(&mut self, key: &K, line: Line) -> bool {
        if self.called.remove(key) || self.inside + self.called.len() < self.places {
            self.strike(key);
            self.refused.remove(key);
            self.inside += 1;
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

    /// Somebody is out again. Returns who is called in.
    pub fn leave(&mut self) -> Option<K> {
        self.inside = self.inside.saturating_sub(1);
        self.call()
    }

    /// `key` goes away. If it was called and did not ask for its place, returns who is called in its stead. Who was called on
    /// the way out comes back for it.
    pub fn pass(&mut self, key: &K) -> Option<K> {
        if !self.refused.remove(key) && self.called.remove(key) { self.call() } else { None }
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
    pub const fn inside(&self) -> usize {
        self.inside
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn call(&mut self) -> Option<K> {
        if self.inside + self.called.len() >= self.places {
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
        let mut order = vec![];
        while let Some(key) = bulkhead.leave() {
            assert!(!bulkhead.enter(&"late", Line::Second), "the place is kept");
            bulkhead.strike(&"late");
            assert!(bulkhead.enter(&key, Line::First));
            order.push(key);
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
        assert_eq!(bulkhead.leave(), Some("gone"));
        assert_eq!(bulkhead.pass(&"gone"), None, "it was called on its way out, and comes back");
        assert_eq!(bulkhead.pass(&"next"), None, "it was not called yet");
        assert_eq!(bulkhead.pass(&"gone"), Some("next"));
        assert!(bulkhead.enter(&"next", Line::First));
        assert!(!bulkhead.enter(&"a", Line::First));
        assert_eq!(bulkhead.dismiss(), ["a"]);
        assert_eq!((bulkhead.leave(), bulkhead.waiting()), (None, 0));
    }

    #[test]
    fn who_waits_and_comes_back_for_something_else_was_not_refused() {
        let mut bulkhead = Bulkhead::new(1);
        assert!(bulkhead.enter(&"inside", Line::First));
        assert!(!bulkhead.enter(&"a", Line::Second));
        assert_eq!(bulkhead.pass(&"a"), None, "it waits on");
        // A turn that does not ask for a place, while it waits and when it is called.
        assert!(!bulkhead.is_refused(&"a"));
        assert_eq!(bulkhead.leave(), Some("a"));
        assert!(!bulkhead.is_refused(&"a"));
        assert_eq!(bulkhead.pass(&"a"), None);
        assert!(bulkhead.enter(&"b", Line::First), "its place was given up");
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
            let (mut inside, mut called): (Vec<u8>, HashSet<u8>) = (vec![], HashSet::new());
            let mut refused: HashSet<u8> = HashSet::new();
            for (what, key, urgent) in steps {
                match what {
                    0 | 1 if !inside.contains(&key) => {
                        if bulkhead.enter(&key, if urgent { Line::First } else { Line::Second }) {
                            called.remove(&key);
                            refused.remove(&key);
                            inside.push(key);
                        } else {
                            refused.insert(key);
                        }
                    }
                    2 if inside.pop().is_some() => called.extend(bulkhead.leave()),
                    3 if !inside.contains(&key) => {
                        let next = bulkhead.pass(&key);
                        if !refused.remove(&key) {
                            called.remove(&key);
                        }
                        called.extend(next);
                    }
                    _ => {}
                }
                prop_assert_eq!(bulkhead.inside(), inside.len());
                prop_assert!(inside.len() + called.len() <= places);
                prop_assert!(bulkhead.waiting() == 0 || inside.len() + called.len() == places);
                prop_assert!((0..12).all(|key| bulkhead.is_refused(&key) == refused.contains(&key)));
            }
        }
    }
}
