//! The check of a request's signature, where its trigger asks for one: over the raw body, before anything parses it.

use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::flow::Flow;
use crate::domain::id::TriggerId;
use crate::domain::permission::Denial;
use crate::domain::signature::{Signature, Signed};
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::hooks::{Admitted, Request};
use crate::service::triggers::signature_place;

impl Admitted {
    /// Whether the sender signs the URL it calls, so that the check needs it.
    pub fn signs_url(&self) -> bool {
        self.settings.signature.as_ref().is_some_and(|signature| signature.scheme.covers_url())
    }
}

impl Service {
    /// Refuses a request that its sender did not sign as its trigger wants; answers the secret it was signed with.
    pub(super) async fn check_signature(
        &self,
        flow: &Flow,
        trigger: &TriggerId,
        signature: &Signature,
        request: &Request,
    ) -> Result<SecretString, ServiceError> {
        let now = self.now();
        let mut secrets = Vec::new();
        for sealed in signature.secrets(now) {
            let secret = self.vault.open_secret(signature_place(&flow.group, trigger), sealed).await;
            secrets.push(secret.map_err(ServiceError::internal("opening a signing secret"))?);
        }
        let plain: Vec<_> = secrets.iter().map(|secret| secret.expose_secret()).collect();
        let signed = Signed {
            method: &request.method,
            url: request.url.as_ref().map_or("", |url| url.expose_secret()),
            headers: &request.headers,
            body: &request.body,
        };
        let fits = signature.scheme.verify(&plain, &signed, now, signature.tolerance_secs);
        let fits = fits.map_err(Denial::Signature)?;
        Ok(secrets.swap_remove(fits))
    }
}
