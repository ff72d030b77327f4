//! Modules on their way in: every one that is pushed, installed, imported or watched is checked here, in the same way.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::module_signature::{TrustedKey, verify};
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::flows::check_manifest;
use crate::wasm::{AdmittedConnector, AdmittedFlow, LoadError, inspect};

/// Which modules are taken in, and from where. All are settings under `modules`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModuleSettings {
    /// Ed25519 public keys, as PEM or base64. With one or more, only modules signed with one of them are taken in; what
    /// was taken in before goes on running. None.
    pub trusted_keys: Vec<TrustedKey>,
    /// A folder whose modules are pushed, installed and published as they appear. None.
    pub dir: Option<PathBuf>,
    /// How often that folder is looked through, besides when the system says that something changed: network file
    /// systems do not say so. 30 s.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub rescan: Duration,
}

impl Default for ModuleSettings {
    fn default() -> Self {
        Self { trusted_keys: Vec::new(), dir: None, rescan: Duration::from_secs(30) }
    }
}

impl Service {
    /// Checks a flow and its signature, compiles it, starts it once and asks what it says about itself. Nothing is kept.
    pub(super) async fn admit_flow(&self, bytes: &Bytes) -> Result<AdmittedFlow, ServiceError> {
        self.check_module_signature(bytes).await?;
        let admitted = self.wasm.admit_flow(bytes).await?;
        check_manifest(&admitted.manifest)
            .map_err(|fault| ServiceError::Module(format!("What the flow says of itself cannot be used: {fault}")))?;
        Ok(admitted)
    }

    /// Checks a connector in the same way.
    pub(super) async fn admit_connector(&self, bytes: &Bytes) -> Result<AdmittedConnector, ServiceError> {
        self.check_module_signature(bytes).await?;
        Ok(self.wasm.admit_connector(bytes).await?)
    }

    async fn check_module_signature(&self, bytes: &Bytes) -> Result<(), ServiceError> {
        let trusted = self.module_settings.trusted_keys.clone();
        if trusted.is_empty() {
            return Ok(());
        }
        let bytes = bytes.clone();
        let checked = tokio::task::spawn_blocking(move || {
            verify(&bytes, &trusted).map(drop).map_err(|unsigned| match inspect(&bytes) {
                // What is no component at all is told so.
                Err(error) => ServiceError::from(error),
                Ok(_) => ServiceError::Module(unsigned.to_string()),
            })
        });
        checked.await.map_err(ServiceError::internal("checking a module's signature"))?
    }
}

impl From<LoadError> for ServiceError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Busy { retry_after } => {
                Self::Overloaded { what: "No place is free to try the module", retry_after }
            }
            error @ LoadError::Host { .. } => Self::internal("loading a module")(error),
            error => Self::Module(error.to_string()),
        }
    }
}
