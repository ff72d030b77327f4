//! Modules that are ready to run, by digest.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use bytes::Bytes;

use crate::domain::digest::ModuleDigest;
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::wasm::{ConnectorModule, FlowModule};

/// Ready modules. What nobody refers to any more is dropped by `Service::tidy_shelf`; a run that still uses it holds it.
#[derive(Default)]
pub struct Shelf {
    flows: RwLock<HashMap<ModuleDigest, Arc<FlowModule>>>,
    connectors: RwLock<HashMap<ModuleDigest, Arc<ConnectorModule>>>,
}

const POISONED: &str = "no holder of the shelf panics";

impl Service {
    /// A flow's module, made ready when it is not.
    pub(super) async fn flow_module(&self, digest: &ModuleDigest) -> Result<Arc<FlowModule>, ServiceError> {
        if let Some(module) = self.shelf.flows.read().expect(POISONED).get(digest) {
            return Ok(module.clone());
        }
        let module = self.wasm.load_flow(&self.module_bytes(digest).await?).await?;
        self.shelf.flows.write().expect(POISONED).insert(*digest, module.clone());
        Ok(module)
    }

    /// A connector's module, made ready when it is not.
    pub(super) async fn connector_module(&self, digest: &ModuleDigest) -> Result<Arc<ConnectorModule>, ServiceError> {
        if let Some(module) = self.shelf.connectors.read().expect(POISONED).get(digest) {
            return Ok(module.clone());
        }
        let module = self.wasm.load_connector(&self.module_bytes(digest).await?).await?;
        self.shelf.connectors.write().expect(POISONED).insert(*digest, module.clone());
        Ok(module)
    }

    async fn module_bytes(&self, digest: &ModuleDigest) -> Result<Bytes, ServiceError> {
        let doing = "reading a module";
        let bytes = self.modules.get(*digest).await.map_err(ServiceError::internal(doing))?;
        bytes.ok_or_else(|| ServiceError::internal(doing)(format!("the file of {digest} is missing")))
    }

    /// Makes every published module ready, so that the first request after a start waits for none.
    pub(super) async fn load_published(&self) -> Result<(), ServiceError> {
        let catalog = self.catalog();
        for flow in catalog.flows.values() {
            for publication in flow.published.values() {
                if let Err(error) = self.flow_module(&publication.digest).await {
                    tracing::error!(flow = %flow.name, group = %flow.group, version = publication.version, %error, "a published module cannot be loaded; its flow will answer 500 until it is pushed again");
                }
            }
        }
        for connector in catalog.connectors.values() {
            if let Err(error) = self.connector_module(&connector.digest).await {
                tracing::error!(connector = %connector.name, group = %connector.group, %error, "a connector's module cannot be loaded; push it again");
            }
        }
        Ok(())
    }

    /// Lets go of modules that are published nowhere.
    pub(super) fn tidy_shelf(&self) {
        let catalog = self.catalog();
        let published = |digest: &ModuleDigest| {
            catalog.flows.values().any(|flow| flow.published.values().any(|publication| publication.digest == *digest))
        };
        self.shelf.flows.write().expect(POISONED).retain(|digest, _| published(digest));
        let installed =
            |digest: &ModuleDigest| catalog.connectors.values().any(|connector| connector.digest == *digest);
        self.shelf.connectors.write().expect(POISONED).retain(|digest, _| installed(digest));
    }
}
