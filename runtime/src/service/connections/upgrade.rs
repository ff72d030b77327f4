//! Consent to a connector's manifest of today, where it differs from what is pinned on a connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use headgate_manifest::{Auth, Manifest};

use crate::domain::connection::{self, Connection, ConnectionError, OauthPart, PinChange, Pins};
use crate::domain::id::{ConnectionId, GroupId};
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::connections::{ConnectionDetails, find};
use crate::service::error::ServiceError;
use crate::service::record::Record;

impl Service {
    /// Pins on a connection what its connector offers today. `seen` is what the owner consents to: the differences they
    /// were shown, so that nothing else comes in with them.
    pub async fn accept_upgrade(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        id: &ConnectionId,
        seen: &[PinChange],
    ) -> Result<ConnectionDetails, ServiceError> {
        let mut edit = self.edit(actor, group, Action::AcceptUpgrade).await?;
        let before = find(edit.catalog(), actor, group, id)?;
        let connector = edit.catalog().connector(group, &before.connector).cloned();
        let connector = connector.ok_or_else(|| {
            ServiceError::Conflict(format!(
                "The connector \"{}\" is not installed any more. Push it again",
                before.connector
            ))
        })?;
        let manifest = &connector.manifest;
        let auth = before.auth_in(manifest).ok_or_else(|| {
            ServiceError::Conflict(format!(
                "The connector \"{}\" does not offer the authentication \"{}\" any more. Make a new connection: headgate connections create",
                before.connector, before.auth
            ))
        })?;
        if before.upgrade(manifest) != seen {
            let message = "The connector offers something else than what you consent to. Look at the connection again: headgate connections show";
            return Err(ServiceError::Conflict(message.to_owned()));
        }
        let next = Arc::new(repinned(&before, manifest, auth)?);
        if !next.secrets.is_empty() {
            self.check_placed(&next, &BTreeMap::new()).await?;
        }
        edit.put(Record::Connection(next.clone()));
        let ends = before.oauth.is_some() && needs_authorization(&before, &next);
        if ends {
            self.suspend_tokens(&before).await?;
        }
        edit.save().await?;
        if ends {
            self.end_tokens(before).await?;
            self.forget_credentials(&next).await?;
        }
        Ok(self.connection_details(actor, next))
    }
}

fn repinned(before: &Connection, manifest: &Manifest, auth: &Auth) -> Result<Connection, ServiceError> {
    let refused = |error: ConnectionError| {
        ServiceError::Invalid(format!(
            "The connection cannot go over to the new manifest: {error}. Change the connection first: headgate connections update"
        ))
    };
    let pins = Pins::of(manifest, auth);
    let config = connection::complete_config(manifest, auth, &before.config).map_err(refused)?;
    let base_urls = pins.base_urls(&config).map_err(refused)?;
    let mut next = Connection { pins, config, base_urls, ..before.clone() };
    if let Some(oauth) = &before.oauth {
        let offered = next.pins.oauth.as_ref().map(|oauth| oauth.scopes.as_slice()).unwrap_or_default();
        let still: Vec<_> =
            oauth.scopes.iter().filter(|name| offered.iter().any(|scope| scope.name == **name)).cloned().collect();
        let scopes = connection::choose_scopes(next.pins.oauth.as_ref(), Some(&still)).map_err(refused)?;
        let kept = before.pins.keeps_tokens(&next.pins) && scopes == oauth.scopes;
        let authorized_by = oauth.authorized_by.clone().filter(|_| kept);
        next.oauth = Some(OauthPart { scopes, authorized_by, ..oauth.clone() });
    }
    Ok(next)
}

/// Whether a connection's tokens are no use any more: they were got elsewhere, go elsewhere, or for other scopes.
fn needs_authorization(before: &Connection, next: &Connection) -> bool {
    let scopes = |of: &Connection| of.oauth.as_ref().map(|oauth| oauth.scopes.clone());
    !before.pins.keeps_tokens(&next.pins) || scopes(before) != scopes(next)
}
