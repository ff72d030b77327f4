//! Tokens of OAuth connections: got at the app's token endpoint, kept sealed, renewed before they end.
//!
//! A token lies at `oauth-token/{group}/{connection}`, beside the catalog: it changes by itself, and nobody decided it.
//! Whoever changes it does so by compare-and-swap, and a new token is durable before anybody is given it.

mod endpoint;
mod holder;
mod kept;
mod renewal;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use thiserror::Error;

use crate::domain::connection::Connection;
use crate::domain::id::{ConnectionId, Name};
use crate::domain::oauth::{Refusal, StoredToken};
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::wasm::egress::GuardedClient;
use holder::Holder;
use renewal::broken;

pub use kept::token_key;

/// What becomes a token at the token endpoint.
pub(in crate::service) enum TokenRequest {
    /// The code that an authorization brought.
    Code {
        /// The code.
        code: SecretString,
        /// What its challenge was made of (RFC 7636).
        verifier: Option<SecretString>,
        /// The address it was brought to.
        redirect_uri: String,
    },
    /// A refresh token.
    Refresh(SecretString),
    /// What the client itself has.
    ClientCredentials,
}

/// What the token endpoint gave. `Debug` shows no token.
#[derive(Debug)]
pub(in crate::service) struct Tokens {
    /// The access token.
    pub access: SecretString,
    /// The refresh token.
    pub refresh: Option<SecretString>,
    /// When the access token ends.
    pub expires: Option<Timestamp>,
    /// Which scopes were granted.
    pub scopes: Option<Vec<String>>,
    /// Settings of the connection that were told with it, by their names; not checked yet.
    pub metadata: BTreeMap<String, String>,
}

/// An access token that calls may use.
#[derive(Debug, Clone)]
pub(in crate::service) struct AccessToken {
    /// The token.
    pub secret: SecretString,
    /// Which of the connection's tokens it is.
    pub generation: u64,
}

/// Whether an app revoked a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// It did.
    Yes,
    /// It has no revocation endpoint, there was no token, or nobody asked.
    NotOffered,
    /// It did not, for this reason.
    Failed(String),
}

/// Whether a connection has what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// It was authorized, as far as is known.
    Authorized,
    /// Somebody has to authorize it again.
    NeedsAuthorization,
}

/// What may be shown of a connection's token.
#[derive(Debug, Clone)]
pub struct TokenStatus {
    /// Whether it can be used.
    pub state: TokenState,
    /// Why somebody has to authorize it again.
    pub reason: Option<String>,
    /// Whether that is only because the token ended and nothing renews it.
    pub expired: bool,
    /// When the access token ends, where that is known.
    pub expires: Option<Timestamp>,
    /// When the present token was got.
    pub refreshed: Timestamp,
    /// Which scopes were granted, where that is known.
    pub scopes: Option<Vec<String>>,
    /// When renewing it failed last, and why; absent after it succeeded.
    pub last_error: Option<(Timestamp, String)>,
    /// When it is tried again.
    pub retry_after: Option<Timestamp>,
}

/// Why there is no token. No text holds a secret.
#[derive(Debug, Clone, Error)]
pub(in crate::service) enum OauthError {
    /// Only a person can help.
    #[error("the connection \"{name}\" needs to be authorized: {reason}. Run: headgate connections authorize {id}")]
    NeedsAuthorization { id: ConnectionId, name: Name, reason: String },
    /// The app said no.
    #[error("the app refused to give a token: {0}")]
    Refused(Refusal),
    /// The app cannot be reached, or answers something else.
    #[error("the app's token endpoint gave no token: {reason}")]
    Unavailable { reason: String, retry_after: Option<Duration> },
    /// The connection's manifest, settings or app registration do not fit.
    #[error("no token can be asked for: {0}")]
    Unfit(String),
    /// Our own fault.
    #[error("{0}")]
    Internal(Arc<ServiceError>),
}

impl OauthError {
    fn internal<E>(doing: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| ServiceError::internal(doing)(source).into()
    }

    fn needs_authorization(connection: &Connection, reason: impl Into<String>) -> Self {
        Self::NeedsAuthorization { id: connection.id.clone(), name: connection.name.clone(), reason: reason.into() }
    }
}

impl From<OauthError> for ServiceError {
    fn from(error: OauthError) -> Self {
        match error {
            OauthError::Internal(error) => Self::internal("getting a token")(error),
            error => Self::Conflict(error.to_string()),
        }
    }
}

impl From<ServiceError> for OauthError {
    fn from(error: ServiceError) -> Self {
        Self::Internal(Arc::new(error))
    }
}

/// What is held of tokens in memory, and how they are asked for.
pub(super) struct TokenBook {
    client: GuardedClient,
    holders: Mutex<HashMap<ConnectionId, Arc<Holder>>>,
}

impl TokenBook {
    /// Nothing is read before the first call that needs it.
    pub(super) fn new(client: GuardedClient) -> Self {
        Self { client, holders: Mutex::default() }
    }

    /// What is held of a connection, if anything is.
    fn holder_of(&self, connection: &Connection) -> Option<Arc<Holder>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner).get(&connection.id).cloned()
    }

    fn holder(&self, connection: &ConnectionId) -> Arc<Holder> {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        match holders.get(connection) {
            Some(holder) => holder.clone(),
            None => holders.entry(connection.clone()).or_default().clone(),
        }
    }
}

impl Service {
    /// After an authorization: the connection's first or next token. It is durable when this returns.
    pub(in crate::service) async fn keep_tokens(
        self: &Arc<Self>,
        connection: &Connection,
        tokens: &Tokens,
    ) -> Result<(), ServiceError> {
        self.replace_token(connection, tokens).await
    }

    /// Asks the app to revoke tokens that were closed (RFC 7009), as well as it can, and forgets them.
    pub(in crate::service) async fn wipe_tokens(
        self: &Arc<Self>,
        connection: &Connection,
    ) -> Result<Revoked, ServiceError> {
        // The app may be giving others for them at this moment.
        self.await_renewal(connection).await;
        let revoked = match self.read_stored(connection)? {
            Some((stored, _)) => self.revoke_tokens(connection, &stored).await?,
            None => Revoked::NotOffered,
        };
        self.close_token(connection, true).await?;
        Ok(revoked)
    }

    /// A connection's token as it is kept, to be revoked after the connection was deleted.
    pub(in crate::service) fn kept_token(&self, connection: &Connection) -> Option<StoredToken> {
        connection.oauth.as_ref()?;
        let read = self.read_stored(connection).inspect_err(|error| not_revoked(connection, error));
        read.ok()?.map(|(stored, _)| stored)
    }

    /// Asks the app to revoke the token of a connection that was deleted, as well as it can.
    pub(in crate::service) async fn revoke_kept(&self, connection: &Connection, kept: &StoredToken) {
        if let Err(error) = self.revoke_tokens(connection, kept).await {
            not_revoked(connection, &error);
        }
    }

    /// What may be shown of a connection's token; nothing before the first authorization. The store is read once.
    pub(in crate::service) fn token_status(
        &self,
        connection: &Connection,
    ) -> Result<Option<TokenStatus>, ServiceError> {
        let holder = self.oauth.holder_of(connection);
        let known = holder.as_ref().and_then(|holder| holder.known());
        let token = match known {
            Some(token) => token,
            None => {
                let token = self.read_stored(connection)?.map(|(token, _)| token);
                // Nobody would let go of what is held of a connection that was deleted meanwhile.
                if self.catalog.load().connections.contains_key(&connection.id) {
                    self.oauth.holder(&connection.id).note_read(token.clone());
                }
                token
            }
        };
        let Some(token) = token else { return Ok(None) };
        let (last_error, retry_after) = holder.map_or((None, None), |holder| holder.trouble());
        let reason = broken(connection, &token);
        let state = if reason.is_some() { TokenState::NeedsAuthorization } else { TokenState::Authorized };
        Ok(Some(TokenStatus {
            state,
            reason,
            expired: token.expired,
            expires: token.expires,
            refreshed: token.obtained,
            scopes: token.scopes,
            last_error,
            retry_after,
        }))
    }

    /// Lets go of what is held of a deleted connection's token.
    pub(in crate::service) fn drop_token(&self, connection: &ConnectionId) {
        self.oauth.holders.lock().unwrap_or_else(PoisonError::into_inner).remove(connection);
    }
}

fn not_revoked(connection: &Connection, error: &ServiceError) {
    tracing::error!(
        connection = %connection.id,
        error = error as &dyn std::error::Error,
        "the token of a connection that is deleted could not be revoked"
    );
}
