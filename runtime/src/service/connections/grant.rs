//! What calls are granted.

use std::collections::BTreeMap;

use crate::domain::connection::Connection;
use crate::domain::grant::{Credential, Grant};
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::vault::Place;

impl Service {
    /// What a call through a connection is granted: its hosts, its credentials, its settings.
    pub(in crate::service) async fn grant(&self, connection: &Connection) -> Result<Grant, ServiceError> {
        let mut secrets = BTreeMap::new();
        for (field, sealed) in &connection.secrets {
            let place = Place { group: connection.group.as_str(), record: connection.id.as_str(), field };
            let secret = self.vault.open_secret(place, sealed).await;
            secrets.insert(field.clone(), secret.map_err(ServiceError::internal("opening a secret"))?);
        }
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
            generation: 0,
        })
    }
}
