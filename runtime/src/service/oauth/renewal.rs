//! Renewing tokens: before they end, and after an app refused them. One renewal of a connection is under way at a time,
//! whoever waits for it is given what came of it, and it goes on when they go away.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use headgate_manifest::OauthGrant;
use jiff::SignedDuration;
use tokio::time::timeout;

use super::holder::{Outcome, Renewing, Token, Trouble};
use super::kept::{Swap, chance};
use super::{AccessToken, OauthError, TokenRequest, Tokens};
use crate::domain::connection::Connection;
use crate::domain::id::ConnectionId;
use crate::domain::oauth::{StoredToken, pause};
use crate::service::Service;

/// How long a call waits for a renewal: longer than the app may take for it.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long after a token was got for one that was refused, another refusal gets none: the token is not what the app
/// dislikes.
const REFUSED_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// Failures in a row after which somebody is told.
const ALERT_AFTER: u32 = 5;

/// Why a token is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It ended, or will soon.
    Ends,
    /// The app refused it.
    Refused,
}

impl Service {
    /// A token that calls may use; it is renewed when it has ended, and beside them shortly before.
    pub(in crate::service) async fn access_token(
        self: &Arc<Self>,
        connection: &Connection,
    ) -> Result<AccessToken, OauthError> {
        let held = self.oauth.holder(&connection.id).state().token.clone();
        let held = match held {
            Some(held) => Some(held),
            None => {
                let read = self.read_token(connection).await?;
                read.inspect(|token| self.oauth.holder(&connection.id).state().take_up(token.clone()))
            }
        };
        let now = self.now();
        if let Some(token) = &held
            && let Some(access) = token.access.as_ref().filter(|_| token.stored.is_usable(now))
        {
            if token.stored.is_due(now) {
                // Nobody waits for it. While it fails, the token is used as long as it lives.
                drop(self.begin_renewal(connection, access.generation, Cause::Ends));
            }
            return Ok(access.clone());
        }
        self.renewed(connection, held.map_or(0, |held| held.stored.generation), Cause::Ends).await
    }

    /// Which scopes the token that calls are given has, where that is known.
    pub(in crate::service) fn granted_scopes(&self, connection: &Connection) -> Option<Vec<String>> {
        let holder = self.oauth.holder_of(connection)?;
        let token = holder.state().token.clone()?;
        token.stored.scopes.clone()
    }

    /// Whether the token of this generation is still what calls are given.
    pub(in crate::service) async fn is_current(
        self: &Arc<Self>,
        connection: &Connection,
        generation: u64,
    ) -> Result<bool, OauthError> {
        Ok(connection.pins.oauth.is_none() || self.access_token(connection).await?.generation == generation)
    }

    /// A newer token than the one of this generation, which an app refused (status 401).
    pub(in crate::service) async fn token_after_refusal(
        self: &Arc<Self>,
        connection: &Connection,
        generation: u64,
    ) -> Result<AccessToken, OauthError> {
        self.renewed(connection, generation, Cause::Refused).await
    }

    /// A newer token than the one of this generation.
    async fn renewed(
        self: &Arc<Self>,
        connection: &Connection,
        generation: u64,
        cause: Cause,
    ) -> Result<AccessToken, OauthError> {
        let outcome = self.begin_renewal(connection, generation, cause);
        let token = timeout(LONGEST_WAIT, outcome).await.map_err(|_| OauthError::Unavailable {
            reason: format!("there was no answer within {} s", LONGEST_WAIT.as_secs()),
            retry_after: None,
        })??;
        token.access.clone().ok_or_else(|| OauthError::needs_authorization(connection, "there is no token"))
    }

    /// Begins a renewal, or joins the one under way.
    fn begin_renewal(
        self: &Arc<Self>,
        connection: &Connection,
        generation: u64,
        cause: Cause,
    ) -> Shared<BoxFuture<'static, Outcome>> {
        let now = self.now();
        let known = |outcome: Outcome| futures::future::ready(outcome).boxed().shared();
        let holder = self.oauth.holder(&connection.id);
        let mut state = holder.state();
        if let Some(token) = state.token.as_ref().filter(|token| token.stored.generation > generation)
            && token.stored.is_usable(now)
        {
            return known(Ok(token.clone()));
        }
        if let Some(broken) = state.token.as_ref().and_then(|token| broken(connection, &token.stored)) {
            return known(Err(OauthError::needs_authorization(connection, broken)));
        }
        if let Some(renewal) = state.renewal.as_ref().filter(|renewal| !renewal.task.is_finished()) {
            return renewal.outcome.clone();
        }
        if let Some(trouble) = state.trouble.as_ref().filter(|trouble| now < trouble.retry_after) {
            return known(Err(trouble.error.clone()));
        }
        if cause == Cause::Refused && state.refused.is_some_and(|at| now.duration_since(at) < REFUSED_AGAIN) {
            let reason = "the app refuses its new token too".to_owned();
            return known(Err(OauthError::Unavailable { reason, retry_after: None }));
        }
        let task = self.background.spawn(self.clone().renew(connection.id.clone(), generation, cause));
        let abort = task.abort_handle();
        let outcome =
            task.map(|ended| ended.unwrap_or_else(|panic| Err(OauthError::internal("renewing a token")(panic))));
        let outcome = outcome.boxed().shared();
        state.renewal = Some(Renewing { outcome: outcome.clone(), task: abort });
        outcome
    }

    /// One renewal; what comes of it is known to everybody when it ends.
    async fn renew(self: Arc<Self>, id: ConnectionId, generation: u64, cause: Cause) -> Outcome {
        let Some(connection) = self.catalog().connections.get(&id).cloned() else {
            self.drop_token(&id);
            return Err(OauthError::Unfit("the connection was deleted".to_owned()));
        };
        let outcome = self.renew_now(&connection, generation).await;
        let now = self.now();
        let failures = {
            let holder = self.oauth.holder(&id);
            let mut state = holder.state();
            state.renewal = None;
            match &outcome {
                Ok(token) => {
                    state.take_up(token.clone());
                    if cause == Cause::Refused {
                        state.refused = Some(now);
                    }
                    state.trouble.take().map_or(0, |trouble| trouble.failures)
                }
                Err(OauthError::NeedsAuthorization { .. }) => 0,
                Err(error) => {
                    let failures = state.trouble.as_ref().map_or(0, |trouble| trouble.failures) + 1;
                    let asked = match error {
                        OauthError::Unavailable { retry_after: Some(asked), .. } => {
                            SignedDuration::try_from(*asked).ok()
                        }
                        _ => None,
                    };
                    let retry_after = now.checked_add(pause(failures, asked, chance())).unwrap_or(now);
                    state.trouble = Some(Trouble { error: error.clone(), at: now, failures, retry_after });
                    failures
                }
            }
        };
        if let Err(error) = &outcome {
            tracing::warn!(connection = %id, group = %connection.group, failures, %error, "a token could not be renewed");
        }
        if !self.catalog().connections.contains_key(&id) {
            self.drop_token(&id);
        } else if failures >= ALERT_AFTER {
            self.tend_connection_alert(&connection).await;
        }
        outcome
    }

    async fn renew_now(self: &Arc<Self>, connection: &Connection, generation: u64) -> Outcome {
        let before = self.read_token(connection).await?;
        if let Some(token) = &before
            && (broken(connection, &token.stored).is_some()
                || (token.stored.generation > generation && token.stored.is_usable(self.now())))
        {
            return self.found(connection, token.clone());
        }
        let grant = connection.pins.oauth.as_ref().map(|oauth| oauth.grant);
        let refresh = before.as_ref().and_then(|before| before.stored.refresh.as_ref());
        let request = match (grant, refresh) {
            (Some(OauthGrant::ClientCredentials), _) => TokenRequest::ClientCredentials,
            (_, Some(sealed)) => TokenRequest::Refresh(self.open_token(connection, "refresh_token", sealed).await?),
            (_, None) if before.is_none() => {
                return Err(OauthError::needs_authorization(connection, "nobody authorized it yet"));
            }
            // One refusal may be a passing fault of the app; it is counted where the call ends.
            (_, None) if before.as_ref().is_some_and(|before| before.stored.is_usable(self.now())) => {
                let reason = "the app refuses its token, and gave no refresh token";
                return Err(OauthError::needs_authorization(connection, reason));
            }
            (_, None) => {
                let reason = "its token ended, and the app gave no refresh token";
                return self.give_up(connection, before.as_deref(), reason, true).await;
            }
        };
        match self.request_tokens(connection, request).await {
            Ok(tokens) => self.keep_renewed(connection, before, tokens).await,
            // Nobody consented to client credentials, so nobody can do so again.
            Err(OauthError::Refused(refusal)) if refusal.is_final() && !connection.is_client_credentials() => {
                // Somebody else may have renewed it meanwhile, so that what was refused is only old.
                let version = before.as_ref().map(|before| before.version);
                let now = self.read_stored(connection)?.map(|(_, version)| version);
                if now != version {
                    return self.found_instead(connection).await;
                }
                let reason = format!("the app takes its refresh token no more: {refusal}");
                self.give_up(connection, before.as_deref(), &reason, false).await
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps the tokens of a renewal, unless somebody authorized the connection meanwhile. Where it is being disconnected,
    /// they take the place of those that are to be revoked; where it was, they are revoked.
    async fn keep_renewed(
        self: &Arc<Self>,
        connection: &Connection,
        before: Option<Arc<Token>>,
        tokens: Tokens,
    ) -> Outcome {
        let mut before = before.map(|before| (before.stored.clone(), before.version));
        loop {
            let replaced = before.as_ref().map(|(stored, version)| (stored, *version));
            match self.swap_token(connection, replaced, &tokens, true).await {
                Ok(token) if token.stored.broken.is_some() => return self.found(connection, token),
                Ok(token) => {
                    self.publish_token(connection, token.clone());
                    return Ok(token);
                }
                Err(Swap::Failed(error)) => return Err(error.into()),
                Err(Swap::Conflict) => {}
            }
            let present = self.read_stored(connection)?;
            let closed = present.as_ref().is_none_or(|(stored, _)| stored.broken.is_some());
            match (&present, &before) {
                // It may be the same token still, of which only its end was learnt.
                (Some((new, now)), Some((old, then))) if new.generation == old.generation && now != then => {
                    before = present;
                }
                // The same, which is to be revoked.
                (Some((new, _)), Some((old, _)))
                    if broken(connection, new).is_some()
                        && new.refresh.is_some()
                        && new.generation == old.generation + 1 =>
                {
                    before = present;
                }
                _ => {
                    if closed {
                        self.revoke_unkept(connection, &tokens).await;
                    }
                    return self.found_instead(connection).await;
                }
            }
        }
    }

    /// Waits for the renewal of a connection's token that is under way, if one is; no longer than a call would.
    pub(super) async fn await_renewal(&self, connection: &Connection) {
        let Some(holder) = self.oauth.holder_of(connection) else { return };
        let renewal = holder.state().renewal.as_ref().map(|renewal| renewal.outcome.clone());
        if let Some(renewal) = renewal {
            // Whatever comes of it, it is over then.
            drop(timeout(LONGEST_WAIT, renewal).await);
        }
    }

    /// What somebody else wrote meanwhile.
    async fn found_instead(self: &Arc<Self>, connection: &Connection) -> Outcome {
        match self.read_token(connection).await? {
            Some(token) => self.found(connection, token),
            None => Err(OauthError::needs_authorization(connection, "nobody authorized it yet")),
        }
    }

    fn found(&self, connection: &Connection, token: Arc<Token>) -> Outcome {
        self.oauth.holder(&connection.id).state().take_up(token.clone());
        match broken(connection, &token.stored) {
            Some(reason) => Err(OauthError::needs_authorization(connection, reason)),
            None if token.stored.is_usable(self.now()) => Ok(token),
            None => {
                Err(OauthError::Unavailable { reason: "its token changed meanwhile".to_owned(), retry_after: None })
            }
        }
    }

    /// Marks that only a person can help, and tells them. Nothing is sent for the connection until then.
    async fn give_up(
        self: &Arc<Self>,
        connection: &Connection,
        before: Option<&Token>,
        reason: &str,
        expired: bool,
    ) -> Outcome {
        if let Some(before) = before {
            let stored = StoredToken { broken: Some(reason.to_owned()), expired, ..before.stored.clone() };
            match self.swap(connection, Some(before.version), stored, before.access.clone()).await {
                Ok(token) => self.oauth.holder(&connection.id).state().take_up(token),
                Err(Swap::Conflict) => return self.found_instead(connection).await,
                Err(Swap::Failed(error)) => return Err(error.into()),
            }
        }
        self.tend_connection_alert(connection).await;
        Err(OauthError::needs_authorization(connection, reason))
    }

    /// Lets everybody see a new token.
    pub(super) fn publish_token(self: &Arc<Self>, connection: &Connection, token: Arc<Token>) {
        self.oauth.holder(&connection.id).state().take_up(token.clone());
        let looks = connection.pins.oauth.as_ref().is_some_and(|oauth| oauth.introspection_url.is_some());
        if looks && token.stored.expires.is_none() && token.access.is_some() {
            self.background.spawn(self.clone().learn_expiry(connection.clone(), token));
        }
    }

    /// Asks once when a token ends whose answer did not say so.
    async fn learn_expiry(self: Arc<Self>, connection: Connection, token: Arc<Token>) {
        let Some(access) = &token.access else { return };
        let learnt = match self.introspect(&connection, &access.secret).await {
            Ok(None) => return,
            Ok(expires) => {
                let mut stored = token.stored.clone();
                stored.set_expiry(expires, chance());
                self.swap(&connection, Some(token.version), stored, token.access.clone())
                    .await
                    .map_err(OauthError::from)
            }
            Err(error) => Err(error),
        };
        match learnt {
            Ok(token) => self.oauth.holder(&connection.id).state().take_up(token),
            Err(error) => {
                tracing::info!(connection = %connection.id, %error, "it is not known when a token ends; it is renewed when it is refused");
            }
        }
    }

    /// Why a connection has no token and will have none without a person, as far as is known.
    pub(in crate::service) fn token_fault(&self, connection: &Connection) -> Option<String> {
        let holder = self.oauth.holder_of(connection)?;
        let state = holder.state();
        let broken = state.token.as_ref().and_then(|token| broken(connection, &token.stored));
        let trouble = state.trouble.as_ref().filter(|trouble| trouble.failures >= ALERT_AFTER);
        broken.or_else(|| trouble.map(|trouble| trouble.error.to_string()))
    }
}

/// Why only a person can help. With client credentials nobody has to: a token that is no use gives way to the next.
pub(super) fn broken(connection: &Connection, stored: &StoredToken) -> Option<String> {
    stored.broken.clone().filter(|_| !connection.is_client_credentials())
}
