//! Connectors: components that offer the methods of an app.

use std::sync::Arc;

use bytes::Bytes;
use headgate_manifest::Manifest;

use crate::domain::connector::Connector;
use crate::domain::id::{ConnectorName, GroupId};
use crate::domain::permission::Action;
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::record::Record;

impl Service {
    /// A group's connectors, by name.
    pub fn list_connectors(&self, actor: &Actor, group: &GroupId) -> Result<Vec<Arc<Connector>>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::ListConnectors)?;
        let of_group = catalog.connectors.values().filter(|connector| connector.group == *group);
        let mut connectors: Vec<_> = of_group.cloned().collect();
        connectors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(connectors)
    }

    /// One connector.
    pub fn get_connector(
        &self,
        actor: &Actor,
        group: &GroupId,
        name: &ConnectorName,
    ) -> Result<Arc<Connector>, ServiceError> {
        let catalog = self.catalog();
        actor.authorise(&catalog, group, Action::GetConnector)?;
        let connector = catalog.connector(group, name);
        connector.cloned().ok_or(ServiceError::NotFound { what: "Connector" })
    }

    /// Installs a connector from a component, or replaces it. Its name is the one in its manifest.
    ///
    /// Existing connections keep the hosts and placements that were pinned when they were made.
    pub async fn install_connector(
        self: &Arc<Self>,
        actor: &Actor,
        group: &GroupId,
        bytes: Bytes,
    ) -> Result<Arc<Connector>, ServiceError> {
        actor.authorise(&self.catalog(), group, Action::InstallConnector)?;
        let manifest = self.admit_connector(&bytes).await?.manifest;
        let name = check_manifest(&manifest)?;
        let digest = self.modules.put(bytes.clone()).await.map_err(ServiceError::internal("keeping a module"))?;
        let connector = Arc::new(Connector {
            group: group.clone(),
            name,
            digest,
            size: bytes.len() as u64,
            manifest,
            installed: self.now(),
        });
        self.connector_module(&digest).await?;
        let mut edit = self.edit(actor, group, Action::InstallConnector).await?;
        edit.put(Record::Connector(connector.clone()));
        edit.save().await?;
        self.tidy_shelf();
        Ok(connector)
    }
}

/// Checks what the rest of the house relies on; answers the connector's name.
fn check_manifest(manifest: &Manifest) -> Result<ConnectorName, ServiceError> {
    let refused = |reason: String| ServiceError::Module(format!("The connector's manifest cannot be used: {reason}"));
    let name = manifest.name.parse::<ConnectorName>().map_err(|error| refused(error.to_string()))?;
    let faults = manifest.faults();
    if faults.is_empty() { Ok(name) } else { Err(refused(faults.join("; "))) }
}
