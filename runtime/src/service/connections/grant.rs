//! What calls are granted.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::connection::Connection;
use crate::domain::grant::{Credential, Grant};
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::oauth::{AccessToken, OauthError};
use crate::service::vault::Place;

/// By which name an OAuth connection's placements speak of its token.
const ACCESS_TOKEN: &str = "access_token";

impl Service {
    /// What a call through a connection is granted: its hosts, its credentials, its settings.
    pub(in crate::service) async fn grant(self: &Arc<Self>, connection: &Connection) -> Result<Grant, OauthError> {
        let token = match &connection.pins.oauth {
            Some(_) => Some(self.access_token(connection).await?),
            None => None,
        };
        Ok(self.grant_with(connection, token).await?)
    }

    /// What a call is granted after an app refused the token of a generation; the same as before, with a newer one.
    pub(in crate::service) async fn grant_after_refusal(
        self: &Arc<Self>,
        connection: &Connection,
        generation: u64,
    ) -> Result<Grant, OauthError> {
        let token = self.token_after_refusal(connection, generation).await?;
        Ok(self.grant_with(connection, Some(token)).await?)
    }

    async fn grant_with(&self, connection: &Connection, token: Option<AccessToken>) -> Result<Grant, ServiceError> {
        let mut secrets = BTreeMap::new();
        for (field, sealed) in &connection.secrets {
            let place = Place { group: connection.group.as_str(), record: connection.id.as_str(), field };
            let secret = self.vault.open_secret(place, sealed).await;
            secrets.insert(field.clone(), secret.map_err(ServiceError::internal("opening a secret"))?);
        }
        let generation = token.as_ref().map_or(0, |token| token.generation);
        secrets.extend(token.map(|token| (ACCESS_TOKEN.to_owned(), token.secret)));
        let credentials = Credential::from_placements(&connection.pins.placements, &connection.config, &secrets)
            .map_err(ServiceError::internal("placing a credential"))?;
        let scrub = Credential::scrubber(&credentials, secrets.values());
        Ok(Grant {
            group: connection.group.clone(),
            connection: connection.id.clone(),
            connection_name: connection.name.to_string(),
            connector: connection.connector.to_string(),
            allow: connection.base_urls.clone(),
            credentials,
            config: connection.config.clone(),
            scrub,
            generation,
        })
    }
}
