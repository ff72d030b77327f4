//! A clock that goes when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use headgate::service::Clock;
use jiff::{SignedDuration, Timestamp};

/// A clock of the story's own.
#[derive(Debug, Clone)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// A clock that stands at a time.
    pub fn at(time: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(time.as_microsecond())))
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).unwrap()
    }

    /// Puts it forward.
    pub fn forward(&self, by: SignedDuration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// Sets it to a time.
    pub fn set(&self, time: &str) {
        self.0.store(time.parse::<Timestamp>().unwrap().as_microsecond(), Ordering::SeqCst);
    }

    /// The clock as a server takes it.
    pub fn clock(&self) -> Clock {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}
