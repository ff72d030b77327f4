//! Places for instances. There are never more permits than the pool has places, so that the pool is never exhausted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::wasm::error::CallError;

/// How full the sandbox is with one kind of guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Calls that have a place.
    pub running: usize,
    /// Calls that wait for one.
    pub queued: usize,
}

/// The places of one kind of guest, and the queue in front of them.
pub(super) struct Permits {
    places: usize,
    free: Semaphore,
    queued: AtomicUsize,
    queue_length: usize,
    queue_wait: Duration,
}

/// Leaves the queue when dropped, also when the caller gave up.
struct Queued<'a>(&'a AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Permits {
    pub(super) fn new(places: u32, queue_length: usize, queue_wait: Duration) -> Self {
        let places = places as usize;
        Self { places, free: Semaphore::new(places), queued: AtomicUsize::new(0), queue_length, queue_wait }
    }

    /// Takes a place, waiting for one in turn, no longer than the settings allow and not beyond `deadline`.
    pub(super) async fn acquire(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, CallError> {
        if let Ok(permit) = self.free.try_acquire() {
            return Ok(permit);
        }
        let overloaded = || CallError::Overloaded { retry_after: self.queue_wait.max(Duration::from_secs(1)) };
        let before = self.queued.fetch_add(1, Ordering::Relaxed);
        let _queued = Queued(&self.queued);
        if before >= self.queue_length {
            return Err(overloaded());
        }
        let until = deadline.min(Instant::now() + self.queue_wait);
        match timeout_at(until, self.free.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(overloaded()),
        }
    }

    /// How full it is.
    pub(super) fn occupancy(&self) -> Occupancy {
        let free = self.free.available_permits();
        Occupancy { running: self.places - free, queued: self.queued.load(Ordering::Relaxed) }
    }
}
