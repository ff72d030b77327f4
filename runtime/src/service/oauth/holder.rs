//! What is held of tokens in memory: the newest of each connection, and how renewing it goes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use tokio::task::AbortHandle;

use super::{AccessToken, OauthError};
use crate::domain::oauth::StoredToken;
use crate::store::Sequence;

/// A token in memory.
pub(super) struct Token {
    pub(super) stored: StoredToken,
    pub(super) version: Sequence,
    pub(super) access: Option<AccessToken>,
}

/// What came of a renewal.
pub(super) type Outcome = Result<Arc<Token>, OauthError>;

/// What is held of one connection's token.
#[derive(Default)]
pub(super) struct Holder {
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) token: Option<Arc<Token>>,
    /// What the store held before there was a token in memory; absent before somebody looked.
    read: Option<Option<StoredToken>>,
    pub(super) renewal: Option<Renewing>,
    pub(super) trouble: Option<Trouble>,
    /// When a token was got last because an app refused the one before.
    pub(super) refused: Option<Timestamp>,
}

/// A renewal under way.
pub(super) struct Renewing {
    pub(super) outcome: Shared<BoxFuture<'static, Outcome>>,
    pub(super) task: AbortHandle,
}

/// How renewing failed since it succeeded last.
pub(super) struct Trouble {
    pub(super) error: OauthError,
    pub(super) at: Timestamp,
    pub(super) failures: u32,
    pub(super) retry_after: Timestamp,
}

impl Holder {
    /// What is held, for as long as the guard lives.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token as it is stored, or that there is none; absent when only the store knows.
    pub(super) fn known(&self) -> Option<Option<StoredToken>> {
        let state = self.state();
        match &state.token {
            Some(token) => Some(Some(token.stored.clone())),
            None => state.read.clone(),
        }
    }

    /// Notes what the store holds. A token in memory is newer: whatever changes a token puts it there.
    pub(super) fn note_read(&self, token: Option<StoredToken>) {
        self.state().read = Some(token);
    }

    /// Begins anew: somebody authorized the connection, or disconnected it.
    pub(super) fn forget_trouble(&self) {
        let mut state = self.state();
        (state.trouble, state.refused) = (None, None);
    }

    /// When renewing failed last and why, and when it is tried again.
    pub(super) fn trouble(&self) -> (Option<(Timestamp, String)>, Option<Timestamp>) {
        let state = self.state();
        let trouble = state.trouble.as_ref();
        (trouble.map(|t| (t.at, t.error.to_string())), trouble.map(|t| t.retry_after))
    }
}

impl State {
    /// Takes up a token, unless a newer one is there.
    pub(super) fn take_up(&mut self, token: Arc<Token>) {
        if self.token.as_ref().is_none_or(|held| held.version < token.version) {
            self.token = Some(token);
            self.read = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_asked_once_and_never_instead_of_what_is_in_memory() {
        let holder = Holder::default();
        assert!(holder.known().is_none(), "only the store knows");
        holder.note_read(None);
        assert!(holder.known().is_some_and(|known| known.is_none()));
        let stored = |generation| StoredToken { generation, ..StoredToken::none(Timestamp::UNIX_EPOCH) };
        holder.note_read(Some(stored(1)));
        assert_eq!(holder.known().flatten().map(|token| token.generation), Some(1));
        holder.state().take_up(Arc::new(Token { stored: stored(2), version: Sequence::new(2), access: None }));
        // Whoever read before that comes late.
        holder.note_read(Some(stored(1)));
        assert_eq!(holder.known().flatten().map(|token| token.generation), Some(2));
    }
}
