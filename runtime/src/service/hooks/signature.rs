//! The check of a request's signature, where its trigger asks for one: over the raw body, before anything parses it.

use secrecy::ExposeSecret as _;

use crate::domain::flow::Flow;
use crate::domain::id::TriggerId;
use crate::domain::permission::Denial;
use crate::domain::trigger::Signature;
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::hooks::Request;
use crate::service::triggers::signature_place;

impl Service {
    /// Refuses a request that its sender did not sign as its trigger wants.
    pub(super) async fn check_signature(
        &self,
        flow: &Flow,
        trigger: &TriggerId,
        signature: &Signature,
        request: &Request,
    ) -> Result<(), ServiceError> {
        let secret = self.vault.open_secret(signature_place(&flow.group, trigger), &signature.secret).await;
        let secret = secret.map_err(ServiceError::internal("opening a signing secret"))?;
        let name = signature.scheme.header();
        let value = request.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str());
        let valid =
            value.is_some_and(|value| signature.scheme.verify(secret.expose_secret().as_bytes(), &request.body, value));
        if valid {
            return Ok(());
        }
        Err(ServiceError::from(Denial::Signature(match value {
            None => format!("The signature is missing. This trigger wants it in the header {name}"),
            Some(_) => format!(
                "The signature in {name} does not fit the body. Check that sender and trigger have the same secret, and that nothing in between changes the body"
            ),
        })))
    }
}
