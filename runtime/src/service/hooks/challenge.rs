//! Handshakes of senders: answered at the door, so that no flow has to know them and no run is made.

use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::challenge::{Challenge, Handshake, Subscription, slack, zoom};
use crate::domain::permission::Denial;
use crate::domain::trigger::HttpSettings;
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::hooks::{Admitted, Call, Request};
use crate::service::triggers::verify_token_place;

/// Whether a request is the handshake its trigger waits for, so that it comes in whatever methods the trigger takes.
pub(super) fn subscribes(settings: &HttpSettings, call: &Call<'_>) -> bool {
    call.subscribes && matches!(settings.challenge, Some(Challenge::Meta { .. }))
}

/// The answer to a handshake that comes as an event is sent, and is signed like one.
pub(super) fn answer_event(
    settings: &HttpSettings,
    request: &Request,
    signed_with: Option<&SecretString>,
) -> Option<Handshake> {
    match settings.challenge.as_ref()? {
        Challenge::Slack => slack(&request.body),
        Challenge::Zoom => zoom(&request.body, signed_with?.expose_secret()),
        Challenge::Meta { .. } => None,
    }
}

impl Service {
    /// The answer to a handshake in the query. It is not signed: the verify token proves whose it is.
    pub(super) async fn answer_subscription(
        &self,
        admitted: &Admitted,
        request: &Request,
    ) -> Result<Option<Handshake>, ServiceError> {
        let Some(Challenge::Meta { verify_token }) = &admitted.settings.challenge else { return Ok(None) };
        let Some(asked) = Subscription::of(&request.method, &request.query) else { return Ok(None) };
        let place = verify_token_place(&admitted.flow.group, &admitted.trigger);
        let token = self.vault.open_secret(place, verify_token).await;
        let token = token.map_err(ServiceError::internal("opening a verify token"))?;
        asked.answer(token.expose_secret()).map(Some).ok_or_else(|| Denial::VerifyToken.into())
    }
}
