//! Taking a component in: everything that is pushed, installed or watched comes this way before it is kept.

use std::sync::Arc;

use headgate_manifest::{FlowManifest, Manifest};

use crate::wasm::error::{CallError, LoadError};
use crate::wasm::host::WasmHost;
use crate::wasm::inspect::World;
use crate::wasm::module::{ConnectorModule, FlowModule};

/// What wasmtime says of a function that has other parameters or results than it is called with.
const TYPE_MISMATCH: &str = "type mismatch";

/// A component that was taken in.
pub struct Admitted<M, D> {
    /// Ready to run.
    pub module: Arc<M>,
    /// What it says about itself.
    pub manifest: D,
}

/// A flow that was taken in.
pub type AdmittedFlow = Admitted<FlowModule, FlowManifest>;
/// A connector that was taken in.
pub type AdmittedConnector = Admitted<ConnectorModule, Manifest>;

impl WasmHost {
    /// Loads a flow that is not known yet: it is started once under the limits of a run, and asked what it says about
    /// itself. Nothing that runs changes.
    pub async fn admit_flow(self: &Arc<Self>, bytes: &[u8]) -> Result<AdmittedFlow, LoadError> {
        let module = self.load_flow(bytes).await?;
        self.start_flow(&module).await.map_err(|error| not_started(World::Flow, error))?;
        let manifest = self.describe_flow(&module).await.map_err(|error| not_described(World::Flow, error))?;
        Ok(Admitted { module, manifest })
    }

    /// Loads a connector that is not known yet, in the same way.
    pub async fn admit_connector(self: &Arc<Self>, bytes: &[u8]) -> Result<AdmittedConnector, LoadError> {
        let module = self.load_connector(bytes).await?;
        self.start_connector(&module).await.map_err(|error| not_started(World::Connector, error))?;
        let manifest = self.describe(&module).await.map_err(|error| not_described(World::Connector, error))?;
        Ok(Admitted { module, manifest })
    }
}

fn not_started(world: World, error: CallError) -> LoadError {
    match error {
        CallError::Overloaded { retry_after } => LoadError::Busy { retry_after },
        // The types of exports are compared only now.
        CallError::Host(reason) if reason.contains(TYPE_MISMATCH) => {
            let reason = format!(
                "it exports the interface of a {world} in another form than this server calls it. First difference: {reason}"
            );
            LoadError::Mismatch { reason }
        }
        CallError::Fault { message, .. } => LoadError::Start { world, reason: message },
        error => LoadError::Start { world, reason: error.to_string() },
    }
}

fn not_described(world: World, error: CallError) -> LoadError {
    match error {
        CallError::Overloaded { retry_after } => LoadError::Busy { retry_after },
        error => LoadError::Describe { world, reason: error.to_string() },
    }
}
