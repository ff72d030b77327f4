//! Modules on their way in: every one that is pushed, installed or watched is checked here, in the same way.

use std::time::Duration;

use crate::service::Service;
use crate::service::error::ServiceError;
use crate::wasm::{AdmittedConnector, AdmittedFlow, LoadError};

impl Service {
    /// Checks a flow, compiles it, starts it once and asks what it says about itself. Nothing is kept.
    pub(super) async fn admit_flow(&self, bytes: &[u8]) -> Result<AdmittedFlow, ServiceError> {
        Ok(self.wasm.admit_flow(bytes).await?)
    }

    /// Checks a connector in the same way.
    pub(super) async fn admit_connector(&self, bytes: &[u8]) -> Result<AdmittedConnector, ServiceError> {
        Ok(self.wasm.admit_connector(bytes).await?)
    }
}

impl From<LoadError> for ServiceError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Busy { retry_after } => busy(retry_after),
            error @ LoadError::Host { .. } => Self::internal("loading a module")(error),
            error => Self::Module(error.to_string()),
        }
    }
}

fn busy(retry_after: Duration) -> ServiceError {
    ServiceError::Overloaded { what: "No place is free to try the module", retry_after }
}
