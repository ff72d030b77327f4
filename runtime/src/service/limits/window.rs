//! How many requests were admitted within any minute.
//!
//! The window slides: at every moment the admissions of the last 60 s are counted, so that there is no minute with
//! more of them than the limit. A token bucket (GCRA) is smaller and does not promise that: it lets through the limit
//! at once and, while it fills again, the limit once more within the same minute.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How long an admission counts.
pub(super) const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// Admissions this close to each other are counted together, until the last of them is over. It bounds a window to 61
/// spans, and at worst an admission counts for this much longer.
const SPAN: SignedDuration = SignedDuration::from_secs(1);

/// How far the time may go back unnoticed, as clocks do that are kept right. Beyond it the clock was set by hand.
const SLIP: SignedDuration = SignedDuration::from_secs(1);

/// The admissions of the last minute.
#[derive(Debug, Default)]
pub(super) struct Window {
    spans: VecDeque<Span>,
    /// When the newest span began.
    began: Timestamp,
    /// The sum of all spans.
    admitted: u32,
}

#[derive(Debug)]
struct Span {
    last: Timestamp,
    count: u32,
}

impl Window {
    /// How many more requests are admitted now.
    pub(super) fn remaining(&mut self, limit: u32, now: Timestamp) -> u32 {
        self.forget(now);
        limit.saturating_sub(self.admitted)
    }

    /// Counts an admission.
    pub(super) fn admit(&mut self, now: Timestamp) {
        self.forget(now);
        let now = self.spans.back().map_or(now, |newest| newest.last.max(now));
        self.admitted += 1;
        match self.spans.back_mut() {
            Some(newest) if now.duration_since(self.began) < SPAN => {
                newest.last = now;
                newest.count += 1;
            }
            _ => {
                self.began = now;
                self.spans.push_back(Span { last: now, count: 1 });
            }
        }
    }

    /// How long until fewer than `limit` are counted.
    pub(super) fn wait(&self, limit: u32, now: Timestamp) -> Duration {
        let mut counted = self.admitted;
        let freeing = self.spans.iter().find(|span| {
            counted -= span.count;
            counted < limit
        });
        // A limit of 0 admits nothing, however long one waits.
        freeing.map_or(WINDOW.unsigned_abs(), |span| left(span, now))
    }

    /// How long until the oldest admissions stop to count, and `remaining` grows.
    pub(super) fn until_growth(&self, now: Timestamp) -> Duration {
        self.spans.front().map_or(Duration::ZERO, |span| left(span, now))
    }

    /// Whether nothing is counted any more.
    pub(super) fn is_idle(&mut self, now: Timestamp) -> bool {
        self.forget(now);
        self.spans.is_empty()
    }

    fn forget(&mut self, now: Timestamp) {
        self.follow_clock(now);
        while let Some(oldest) = self.spans.front()
            && now.duration_since(oldest.last) >= WINDOW
        {
            self.admitted -= oldest.count;
            self.spans.pop_front();
        }
    }

    /// When the clock was set back, what was admitted counts from now: for a minute, and not until the clock has come
    /// to where it was.
    fn follow_clock(&mut self, now: Timestamp) {
        let Some(newest) = self.spans.back() else { return };
        if newest.last.duration_since(now) > SLIP {
            self.spans = VecDeque::from([Span { last: now, count: self.admitted }]);
            self.began = now;
        }
    }
}

fn left(span: &Span, now: Timestamp) -> Duration {
    let left = WINDOW.saturating_sub(now.duration_since(span.last));
    if left.is_negative() { Duration::ZERO } else { left.unsigned_abs() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    fn ask(window: &mut Window, limit: u32, millis: i64) -> bool {
        let admitted = window.remaining(limit, at(millis)) > 0;
        if admitted {
            window.admit(at(millis));
        }
        admitted
    }

    #[test]
    fn the_limit_is_free_again_a_minute_later_and_no_sooner() {
        let mut window = Window::default();
        let asked = [(0, true), (100, true), (100, false), (60_099, false), (60_100, true), (60_100, true)];
        for (at, admitted) in asked {
            assert_eq!(ask(&mut window, 2, at), admitted, "{at}");
        }
        let mut window = Window::default();
        for (at, admitted) in [(0, true), (30_000, true), (59_999, false), (60_000, true), (60_000, false)] {
            assert_eq!(ask(&mut window, 2, at), admitted, "{at}");
        }
    }

    #[test]
    fn it_says_how_long_to_wait() {
        let mut window = Window::default();
        for millis in [0, 20_000, 40_000] {
            window.admit(at(millis));
        }
        let now = at(50_000);
        for (limit, seconds) in [(3, 10), (2, 30), (1, 50), (0, 60)] {
            assert_eq!(window.wait(limit, now), Duration::from_secs(seconds), "{limit}");
        }
        assert_eq!(window.until_growth(now), Duration::from_secs(10));
        assert!(window.is_idle(at(100_000)));
        assert_eq!(window.until_growth(now), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_is_set_back_frees_nothing_and_blocks_for_a_minute_only() {
        let mut window = Window::default();
        window.admit(at(3_600_000));
        window.admit(at(3_600_000));
        assert!(!ask(&mut window, 2, 3_599_500));
        assert!(!ask(&mut window, 2, 0));
        assert!(!ask(&mut window, 2, 59_999));
        assert!(ask(&mut window, 2, 60_000));
    }

    #[test]
    fn it_stays_small() {
        let mut window = Window::default();
        for millis in 0..300_000 {
            window.admit(at(millis));
            assert!(window.spans.len() <= 61);
        }
    }

    proptest! {
        /// Whatever comes when, no minute has more admissions than the limit, and none waits longer than it is told.
        #[test]
        fn no_minute_has_more_than_the_limit(limit in 1u32..20, pauses in prop::collection::vec(0i64..9_000, 1..300)) {
            let (mut window, mut now, mut admitted) = (Window::default(), 0, Vec::new());
            for pause in pauses {
                now += pause;
                if ask(&mut window, limit, now) {
                    admitted.push(now);
                } else {
                    let wait = i64::try_from(window.wait(limit, at(now)).as_millis()).unwrap();
                    prop_assert!(wait <= 60_000);
                    prop_assert!(window.remaining(limit, at(now + wait - 1)) == 0);
                    now += wait;
                    prop_assert!(ask(&mut window, limit, now));
                    admitted.push(now);
                }
            }
            for (first, from) in admitted.iter().enumerate() {
                let within = admitted[first..].iter().filter(|at| **at < from + 60_000).count();
                prop_assert!(within <= limit as usize, "{within} from {from}");
            }
        }
    }
}
