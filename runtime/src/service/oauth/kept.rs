//! Tokens at rest: sealed, and changed by compare-and-swap.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use super::holder::Token;
use super::renewal::broken;
use super::{AccessToken, OauthError, Tokens};
use crate::domain::connection::Connection;
use crate::domain::oauth::StoredToken;
use crate::domain::sealed::Sealed;
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::record::{Record, decode, encode};
use crate::service::vault::{Place, random};
use crate::store::{Batch, Sequence, StoreError};

/// How often a change is tried again after somebody else was faster.
const MOST_TRIES: u32 = 5;

const DISCONNECTED: &str = "it was disconnected";

/// Where a connection's token lies.
pub fn token_key(connection: &Connection) -> String {
    format!("oauth-token/{}/{}", connection.group, connection.id)
}

impl Service {
    /// A connection's token as it is stored, and by which commit.
    pub(super) fn read_stored(&self, connection: &Connection) -> Result<Option<(StoredToken, Sequence)>, ServiceError> {
        let record = self.store.get(&token_key(connection)).map_err(ServiceError::internal("reading a token"))?;
        record.map(|record| Ok((decode(&record.value)?, record.version))).transpose()
    }

    /// A connection's token, opened.
    pub(super) async fn read_token(&self, connection: &Connection) -> Result<Option<Arc<Token>>, ServiceError> {
        let Some((stored, version)) = self.read_stored(connection)? else { return Ok(None) };
        let access = match &stored.access {
            None => None,
            Some(sealed) => {
                let secret = self.open_token(connection, "access_token", sealed).await?;
                Some(AccessToken { secret, generation: stored.generation })
            }
        };
        Ok(Some(Arc::new(Token { stored, version, access })))
    }

    pub(super) async fn open_token(
        &self,
        connection: &Connection,
        field: &str,
        sealed: &Sealed,
    ) -> Result<SecretString, ServiceError> {
        let opened = self.vault.open_secret(token_place(connection, field), sealed).await;
        opened.map_err(ServiceError::internal("opening a token"))
    }

    /// Puts tokens in the place of `before`; nobody may have changed it meanwhile. Without a refresh token among them the
    /// one before is kept, where `keep` says so.
    pub(super) async fn swap_token(
        &self,
        connection: &Connection,
        before: Option<(&StoredToken, Sequence)>,
        tokens: &Tokens,
        keep: bool,
    ) -> Result<Arc<Token>, Swap> {
        let (before, version) = before.unzip();
        let generation = before.map_or(0, |before| before.generation) + 1;
        let seal = async |field, secret: &SecretString| {
            // The version is bound to the ciphertext. There are no 4 billion tokens of one connection.
            let version = u32::try_from(generation).unwrap_or(u32::MAX);
            let sealed = self.vault.seal(token_place(connection, field), version, secret.expose_secret()).await;
            sealed.map_err(ServiceError::internal("sealing a token"))
        };
        let refresh = match &tokens.refresh {
            Some(refresh) => Some(seal("refresh_token", refresh).await?),
            None => before.filter(|_| keep).and_then(|before| before.refresh.clone()),
        };
        // An answer that tells no scopes to a refresh means those from before (RFC 6749, section 6).
        let scopes = tokens.scopes.clone();
        let scopes = scopes.or_else(|| before.filter(|_| keep).and_then(|before| before.scopes.clone()));
        let access = Some(seal("access_token", &tokens.access).await?);
        // Tokens that come while the connection is being disconnected are kept to be revoked.
        let broken = before.filter(|_| keep).and_then(|before| broken(connection, before));
        let mut stored = StoredToken { generation, access, refresh, scopes, broken, ..StoredToken::none(self.now()) };
        stored.set_expiry(tokens.expires, chance());
        let access = AccessToken { secret: tokens.access.clone(), generation };
        self.swap(connection, version, stored, Some(access)).await
    }

    /// Puts a token in the place of what the commit `before` wrote, of a connection that still exists.
    pub(super) async fn swap(
        &self,
        connection: &Connection,
        before: Option<Sequence>,
        stored: StoredToken,
        access: Option<AccessToken>,
    ) -> Result<Arc<Token>, Swap> {
        let key = token_key(connection);
        let batch = Batch::new().require_present(Record::Connection(Arc::new(connection.clone())).key());
        let batch = match before {
            Some(before) => batch.require_version(&key, before),
            None => batch.require_absent(&key),
        };
        match self.store.commit(batch.put(key, encode(&stored))).await {
            Ok(version) => Ok(Arc::new(Token { stored, version, access })),
            Err(StoreError::Conflict { .. }) => Err(Swap::Conflict),
            Err(error) => Err(ServiceError::internal("writing a token")(error).into()),
        }
    }

    /// The tokens of an authorization, in place of whatever there was.
    pub(super) async fn replace_token(
        self: &Arc<Self>,
        connection: &Connection,
        tokens: &Tokens,
    ) -> Result<(), ServiceError> {
        for _ in 0..MOST_TRIES {
            // It need not open: whoever authorizes has other tokens.
            let before = self.read_stored(connection)?;
            let before = before.as_ref().map(|(stored, version)| (stored, *version));
            // The refresh token from before may be of another account.
            match self.swap_token(connection, before, tokens, false).await {
                Ok(token) => {
                    self.publish_token(connection, token);
                    self.oauth.holder(&connection.id).forget_trouble();
                    return Ok(());
                }
                Err(Swap::Conflict) => {}
                Err(Swap::Failed(error)) => return Err(error),
            }
        }
        Err(deleted())
    }

    /// Marks that the connection was disconnected; with `wipe` takes the tokens away.
    pub(in crate::service) async fn close_token(
        self: &Arc<Self>,
        connection: &Connection,
        wipe: bool,
    ) -> Result<(), ServiceError> {
        for _ in 0..MOST_TRIES {
            let (kept, before) = self.read_stored(connection)?.unzip();
            let kept = kept.unwrap_or_else(|| StoredToken::none(self.now()));
            let mut stored = StoredToken {
                generation: kept.generation + 1,
                broken: Some(DISCONNECTED.to_owned()),
                expired: false,
                ..kept
            };
            if wipe {
                (stored.access, stored.refresh) = (None, None);
                (stored.expires, stored.due, stored.scopes) = (None, None, None);
            }
            match self.swap(connection, before, stored, None).await {
                Ok(token) => {
                    self.publish_token(connection, token);
                    self.oauth.holder(&connection.id).forget_trouble();
                    return Ok(());
                }
                Err(Swap::Conflict) => {}
                Err(Swap::Failed(error)) => return Err(error),
            }
        }
        Err(deleted())
    }
}

/// Why a token was not written.
pub(super) enum Swap {
    /// Somebody changed it, or deleted the connection.
    Conflict,
    /// Our own fault.
    Failed(ServiceError),
}

impl From<ServiceError> for Swap {
    fn from(error: ServiceError) -> Self {
        Self::Failed(error)
    }
}

impl From<Swap> for OauthError {
    fn from(error: Swap) -> Self {
        match error {
            Swap::Conflict => deleted().into(),
            Swap::Failed(error) => error.into(),
        }
    }
}

fn deleted() -> ServiceError {
    ServiceError::Conflict("The connection was changed or deleted meanwhile. Look at it and try again".to_owned())
}

fn token_place<'a>(connection: &'a Connection, field: &'a str) -> Place<'a> {
    Place { group: connection.group.as_str(), record: connection.id.as_str(), field }
}

/// A random number.
pub(super) fn chance() -> u8 {
    let mut byte = [0];
    random(&mut byte);
    byte[0]
}
