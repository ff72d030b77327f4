//! Things that are used once and run out: kept in memory, bounded.

use std::collections::HashMap;
use std::sync::Mutex;

use jiff::Timestamp;

/// Things by what only their owner knows. When there are too many, the oldest goes.
pub(super) struct Once<T> {
    most: usize,
    all: Mutex<HashMap<String, (Timestamp, T)>>,
}

impl<T> Once<T> {
    /// Holds `most` at a time.
    pub(super) fn new(most: usize) -> Self {
        Self { most, all: Mutex::default() }
    }

    /// Keeps one until it is taken, or until it runs out.
    pub(super) fn keep(&self, key: String, one: T, expires: Timestamp, now: Timestamp) {
        let mut all = self.all.lock().expect("no holder panics");
        if all.len() >= self.most {
            all.retain(|_, (expires, _)| *expires > now);
        }
        if all.len() >= self.most {
            let oldest = all.iter().min_by_key(|(_, (expires, _))| *expires).map(|(key, _)| key.clone());
            oldest.map(|key| all.remove(&key));
        }
        all.insert(key, (expires, one));
    }

    /// Takes one, if it has not run out. It is gone then.
    pub(super) fn take(&self, key: &str, now: Timestamp) -> Option<T> {
        let taken = self.all.lock().expect("no holder panics").remove(key);
        taken.filter(|(expires, _)| *expires > now).map(|(_, one)| one)
    }

    /// Lets go of those that are no longer wanted.
    pub(super) fn retain(&self, mut wanted: impl FnMut(&T) -> bool) {
        self.all.lock().expect("no holder panics").retain(|_, (_, one)| wanted(one));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_for_one_use() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let all = Once::new(10);
        for number in 0..15 {
            all.keep(number.to_string(), number, at(100 + number), at(0));
        }
        assert_eq!(all.all.lock().unwrap().len(), 10);
        assert!(all.take("0", at(0)).is_none(), "the oldest went");
        assert!(all.take("9", at(108)).is_some() && all.take("9", at(108)).is_none());
        assert!(all.take("10", at(110)).is_none(), "it ran out");
        all.retain(|number| *number != 12);
        assert!(all.take("12", at(0)).is_none() && all.take("13", at(0)).is_some());
    }
}
