//! Components that were loaded: checked, compiled, linked, ready to be instantiated.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::Component;

use crate::domain::digest::ModuleDigest;
use crate::wasm::bindings::connector::ConnectorPre;
use crate::wasm::bindings::flow::FlowPre;
use crate::wasm::connector::ConnectorPart;
use crate::wasm::error::LoadError;
use crate::wasm::guest::{FlowPart, Guest};
use crate::wasm::host::WasmHost;
use crate::wasm::inspect::{World, inspect};
use crate::wasm::mismatch::mismatch;
use crate::wasm::trusted::{self, Authentic};

/// A flow's component.
pub struct FlowModule {
    digest: ModuleDigest,
    pub(super) pre: FlowPre<Guest<FlowPart>>,
}

impl FlowModule {
    /// What names it.
    pub fn digest(&self) -> &ModuleDigest {
        &self.digest
    }
}

/// A connector's component.
pub struct ConnectorModule {
    digest: ModuleDigest,
    pub(super) pre: ConnectorPre<Guest<ConnectorPart>>,
}

impl ConnectorModule {
    /// What names it.
    pub fn digest(&self) -> &ModuleDigest {
        &self.digest
    }
}

impl WasmHost {
    /// Loads a flow. The first time its bytes are compiled, apart from the threads that serve requests; from then on
    /// the compiled form comes from the cache.
    pub async fn load_flow(self: &Arc<Self>, bytes: &[u8]) -> Result<Arc<FlowModule>, LoadError> {
        let (digest, component) = self.component(bytes, World::Flow).await?;
        self.linked_flow(digest, &component)
    }

    /// Loads a flow that was loaded before from its compiled form alone; `None` when the cache does not have it.
    pub async fn load_cached_flow(
        self: &Arc<Self>,
        digest: &ModuleDigest,
    ) -> Result<Option<Arc<FlowModule>>, LoadError> {
        let component = self.cached(*digest).await?;
        component.map(|component| self.linked_flow(*digest, &component)).transpose()
    }

    fn linked_flow(&self, digest: ModuleDigest, component: &Component) -> Result<Arc<FlowModule>, LoadError> {
        let pre = self.flow_linker.instantiate_pre(component).and_then(FlowPre::new);
        let pre = pre.map_err(|error| mismatch(World::Flow, &self.engine, component, &error))?;
        Ok(Arc::new(FlowModule { digest, pre }))
    }

    /// Loads a connector, in the same way.
    pub async fn load_connector(self: &Arc<Self>, bytes: &[u8]) -> Result<Arc<ConnectorModule>, LoadError> {
        let (digest, component) = self.component(bytes, World::Connector).await?;
        let pre = self.connector_linker.instantiate_pre(&component).and_then(ConnectorPre::new);
        let pre = pre.map_err(|error| mismatch(World::Connector, &self.engine, &component, &error))?;
        Ok(Arc::new(ConnectorModule { digest, pre }))
    }

    /// How many components this host has compiled, as opposed to taken from the cache.
    pub fn compilations(&self) -> u64 {
        self.compilations.load(Ordering::Relaxed)
    }

    async fn component(self: &Arc<Self>, bytes: &[u8], world: World) -> Result<(ModuleDigest, Component), LoadError> {
        let limit = self.settings.component_bytes;
        if bytes.len() > limit {
            return Err(LoadError::TooLarge { length: bytes.len(), limit });
        }
        let bytes: Arc<[u8]> = bytes.into();
        let uploaded = Arc::clone(&bytes);
        let digest = blocking(move || {
            let inspection = inspect(&uploaded)?;
            inspection.check(world)?;
            Ok(inspection.digest)
        })
        .await?;
        if let Some(component) = self.cached(digest).await? {
            return Ok((digest, component));
        }
        Ok((digest, self.compiled(digest, bytes).await?))
    }

    async fn cached(self: &Arc<Self>, digest: ModuleDigest) -> Result<Option<Component>, LoadError> {
        let _permit = self.readers.acquire().await.map_err(|error| host_failed(&error))?;
        let host = Arc::clone(self);
        blocking(move || Ok(host.read_cache(&digest))).await
    }

    fn read_cache(&self, digest: &ModuleDigest) -> Option<Component> {
        self.cache.read(digest, self.compatibility, |code| trusted::component(&self.engine, code))
    }

    async fn compiled(self: &Arc<Self>, digest: ModuleDigest, bytes: Arc<[u8]>) -> Result<Component, LoadError> {
        let _permit = self.compiler_permit().await?;
        // Somebody else may have compiled the same bytes while this call waited.
        if let Some(component) = self.cached(digest).await? {
            return Ok(component);
        }
        self.compilations.fetch_add(1, Ordering::Relaxed);
        let code = self.compiler.compile(&self.engine, self.compatibility, &self.settings, bytes).await?;
        let host = Arc::clone(self);
        blocking(move || {
            let component = trusted::component(&host.engine, &Authentic(&code))
                .map_err(|error| LoadError::TooMuch { reason: format!("{error:#}") })?;
            if let Err(error) = host.cache.write(&digest, host.compatibility, &code) {
                tracing::warn!(%digest, %error, "a compiled component could not be kept; a restart compiles it again");
            }
            Ok(component)
        })
        .await
    }

    /// Waits for its turn to compile, no longer than one compilation may take.
    async fn compiler_permit(&self) -> Result<OwnedSemaphorePermit, LoadError> {
        let limit = self.settings.compile;
        let waited = tokio::time::timeout(limit, Arc::clone(&self.compilers).acquire_owned()).await;
        waited.map_err(|_| LoadError::Busy { retry_after: limit })?.map_err(|error| host_failed(&error))
    }
}

fn host_failed(error: &dyn std::error::Error) -> LoadError {
    LoadError::Host { reason: error.to_string() }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| host_failed(&error))?
}
