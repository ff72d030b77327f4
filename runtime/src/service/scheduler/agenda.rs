//! What is to be looked at when: a heap of times, and nothing else while nothing is due.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use jiff::Timestamp;

use crate::domain::id::TriggerId;

/// The heap may have so many entries that count no more, besides as many as there are entries that count.
const SPARE: usize = 64;

/// When triggers are to be looked at. Each stands in it once at most.
#[derive(Default)]
pub(in crate::service) struct Agenda {
    /// What counts.
    at: HashMap<TriggerId, Timestamp>,
    /// The same in the order of time, among entries that count no more.
    heap: BinaryHeap<Reverse<(Timestamp, TriggerId)>>,
}

impl Agenda {
    /// Has a trigger looked at then, and not before.
    pub(in crate::service) fn set(&mut self, id: TriggerId, at: Timestamp) {
        if self.at.insert(id.clone(), at) != Some(at) {
            self.heap.push(Reverse((at, id)));
        }
        if self.heap.len() > 2 * self.at.len() + SPARE {
            self.heap = self.at.iter().map(|(id, at)| Reverse((*at, id.clone()))).collect();
        }
    }

    /// Has a trigger not looked at any more.
    pub(in crate::service) fn remove(&mut self, id: &TriggerId) {
        self.at.remove(id);
    }

    /// When something is to be looked at next.
    pub(in crate::service) fn next(&mut self) -> Option<Timestamp> {
        loop {
            let Reverse((at, id)) = self.heap.peek()?;
            if self.at.get(id) == Some(at) {
                return Some(*at);
            }
            self.heap.pop();
        }
    }

    /// Takes out one that is to be looked at now, the one that has waited longest.
    pub(in crate::service) fn take_due(&mut self, now: Timestamp) -> Option<TriggerId> {
        self.next().filter(|at| *at <= now)?;
        let Reverse((_, id)) = self.heap.pop()?;
        self.at.remove(&id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> TriggerId {
        TriggerId::from_random(&format!("{n:020}")).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_due_comes_in_the_order_of_time_and_once() {
        let mut agenda = Agenda::default();
        for (n, second) in [(1, 30), (2, 10), (3, 20), (4, 40)] {
            agenda.set(id(n), at(second));
        }
        agenda.set(id(2), at(25));
        agenda.remove(&id(3));
        assert_eq!(agenda.next(), Some(at(25)));
        assert_eq!(agenda.take_due(at(24)), None);
        assert_eq!(agenda.take_due(at(30)), Some(id(2)));
        assert_eq!(agenda.take_due(at(30)), Some(id(1)));
        assert_eq!((agenda.take_due(at(30)), agenda.next()), (None, Some(at(40))));
        agenda.set(id(1), at(30));
        assert_eq!(agenda.take_due(at(30)), Some(id(1)), "again, as it was taken out before");
    }

    #[test]
    fn entries_that_count_no_more_do_not_pile_up() {
        let mut agenda = Agenda::default();
        for n in 0..10_000 {
            agenda.set(id(n % 10), at(n as i64));
        }
        assert!(agenda.heap.len() <= 2 * 10 + SPARE + 1, "{}", agenda.heap.len());
        let due: Vec<_> = std::iter::from_fn(|| agenda.take_due(at(10_000))).collect();
        assert_eq!(due, (0..10).map(id).collect::<Vec<_>>());
    }
}
