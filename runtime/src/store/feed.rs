//! The change feed: the newest commits, held in memory, for followers to read in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::{Commit, Sequence, StoreError, lock};

/// The most commits held for followers.
const MAX_COMMITS: usize = 256;
/// The most bytes of changes held for followers.
const MAX_BYTES: usize = 16 << 20;

/// A reader of the commits after a sequence, in order and without gaps.
///
/// Only the newest commits are held (256 of them or 16 MiB): a follower that falls further behind gets
/// [`StoreError::FeedGone`] and has to read the records anew.
#[derive(Debug)]
pub struct Feed {
    recent: Arc<Recent>,
    latest: watch::Receiver<Sequence>,
    position: Sequence,
}

impl Feed {
    /// The next commit; waits until there is one. Fails with [`StoreError::Closed`] after the last commit of
    /// a closed store. Cancellation loses nothing.
    pub async fn next(&mut self) -> Result<Arc<Commit>, StoreError> {
        loop {
            if let Some(commit) = self.try_next()? {
                return Ok(commit);
            }
            let position = self.position;
            self.latest.wait_for(|latest| *latest > position).await.map_err(|_| StoreError::Closed)?;
        }
    }

    /// The next commit, if it is there already.
    pub fn try_next(&mut self) -> Result<Option<Arc<Commit>>, StoreError> {
        let next = self.recent.after(self.position)?;
        if let Some(commit) = &next {
            self.position = commit.sequence;
        }
        Ok(next)
    }
}

/// The newest commits, and who is to be told of further ones.
#[derive(Debug)]
pub(super) struct Recent(Mutex<Held>);

#[derive(Debug)]
struct Held {
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
    floor: Sequence,
    /// Taken away when the store closes, so that waiting followers end.
    followers: Option<watch::Sender<Sequence>>,
}

impl Recent {
    /// Holds nothing yet; the next commit will be the one after `floor`.
    pub(super) fn new(floor: Sequence) -> Self {
        let followers = Some(watch::Sender::new(floor));
        Self(Mutex::new(Held { commits: VecDeque::new(), bytes: 0, floor, followers }))
    }

    /// Adds the next commits and wakes the followers.
    pub(super) fn extend(&self, commits: impl IntoIterator<Item = Arc<Commit>>) {
        let mut held = lock(&self.0);
        for commit in commits {
            held.bytes += weight(&commit);
            held.commits.push_back(commit);
        }
        while held.commits.len() > MAX_COMMITS || held.bytes > MAX_BYTES {
            let Some(oldest) = held.commits.pop_front() else {
                break;
            };
            held.bytes -= weight(&oldest);
            held.floor = oldest.sequence;
        }
        if let Some(followers) = &held.followers {
            followers.send_replace(held.latest());
        }
    }

    /// The newest commit.
    pub(super) fn latest(&self) -> Sequence {
        lock(&self.0).latest()
    }

    /// Ends the waiting of all followers.
    pub(super) fn close(&self) {
        lock(&self.0).followers.take();
    }

    pub(super) fn feed(self: &Arc<Self>, after: Sequence) -> Result<Feed, StoreError> {
        self.after(after)?;
        let latest = lock(&self.0).followers.as_ref().ok_or(StoreError::Closed)?.subscribe();
        Ok(Feed { recent: Arc::clone(self), latest, position: after })
    }

    fn after(&self, position: Sequence) -> Result<Option<Arc<Commit>>, StoreError> {
        let held = lock(&self.0);
        let (floor, latest) = (held.floor, held.latest());
        if position < floor || position > latest {
            return Err(StoreError::FeedGone { after: position, floor, latest });
        }
        let index = (position.get() - floor.get()) as usize;
        Ok(held.commits.get(index).cloned())
    }
}

impl Held {
    fn latest(&self) -> Sequence {
        self.commits.back().map_or(self.floor, |commit| commit.sequence)
    }
}

fn weight(commit: &Commit) -> usize {
    commit.changes.iter().map(|change| change.key.len() + change.value.as_ref().map_or(0, bytes::Bytes::len)).sum()
}
