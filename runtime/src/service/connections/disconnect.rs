//! Disconnecting: a connection loses its credentials and keeps everything else, so that it can be connected again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::connection::{Connection, ConnectionKind, OauthPart};
use crate::domain::id::{ConnectionId, GroupId};
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::connections::{ConnectionDetails, find};
use crate::service::error::ServiceError;
use crate::service::oauth::Revoked;
use crate::service::record::Record;

/// A connection that was disconnected.
pub struct Disconnected {
    /// The connection, as it is now.
    pub connection: ConnectionDetails,
    /// Whether the app revoked its tokens; absent where there were none to revoke.
    pub revoked: Option<bool>,
    /// What happened and what is left to do, for people.
    pub message: String,
}

impl Service {
    /// Takes a connection's credentials away: tokens are revoked at the provider where it can and wiped, secrets are
    /// wiped. Its flows keep their bindings and work again when it is connected again.
    pub async fn disconnect_connection(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        id: &ConnectionId,
    ) -> Result<Disconnected, ServiceError> {
        let mut edit = self.edit(actor, group, Action::DisconnectConnection).await?;
        let before = find(edit.catalog(), actor, group, id)?;
        if before.is_client_credentials() {
            let message = "This connection gets its tokens by the client id and secret of its app registration. To end that, change or delete the registration, or delete the connection";
            return Err(ServiceError::Conflict(message.to_owned()));
        }
        let next = Arc::new(Connection {
            secrets: BTreeMap::new(),
            oauth: before.oauth.clone().map(|oauth| OauthPart { authorized_by: None, ..oauth }),
            ..Connection::clone(&before)
        });
        edit.put(Record::Connection(next.clone()));
        self.suspend_tokens(&before).await?;
        edit.save().await?;
        let (revoked, message) = match next.kind {
            ConnectionKind::None => {
                (None, "The connection needs no credentials, so there was nothing to take away".to_owned())
            }
            ConnectionKind::ApiKey => {
                let message = "The secrets were wiped here. If nothing else uses them, revoke them at the app too. To reconnect, enter new ones: headgate connections update";
                (None, message.to_owned())
            }
            ConnectionKind::Oauth | ConnectionKind::OauthAdvanced => {
                let (revoked, what) = match self.end_tokens(before).await? {
                    Revoked::Yes => (true, "The app revoked the tokens, and they were wiped here".to_owned()),
                    Revoked::NotOffered => (false, "The tokens were wiped here. The app offers no way to revoke them: take the access away in the app's own settings".to_owned()),
                    Revoked::Failed(why) => (false, format!("The tokens were wiped here, but the app did not revoke them ({why}): take the access away in the app's own settings")),
                };
                (Some(revoked), format!("{what}. To reconnect: headgate connections authorize {id}"))
            }
        };
        self.forget_credentials(&next).await?;
        Ok(Disconnected { connection: self.connection_details(actor, next), revoked, message })
    }

    /// Closes a connection's tokens before it is changed so that they are no use any more. If the change comes to nothing,
    /// the connection has to be authorized again: that is better than the old tokens in the new connection.
    pub(super) async fn suspend_tokens(self: &Arc<Self>, connection: &Connection) -> Result<(), ServiceError> {
        match connection.oauth {
            Some(_) => self.close_token(connection, false).await,
            None => Ok(()),
        }
    }

    /// Revokes a connection's suspended tokens, as well as it can, and wipes them. It is finished even when the caller has gone
    /// away meanwhile.
    pub(super) async fn end_tokens(self: &Arc<Self>, connection: Arc<Connection>) -> Result<Revoked, ServiceError> {
        if connection.oauth.is_none() {
            return Ok(Revoked::NotOffered);
        }
        let service = self.clone();
        let ending = self.background.spawn(async move { service.wipe_tokens(&connection).await });
        ending.await.map_err(ServiceError::internal("wiping tokens"))?
    }
}
