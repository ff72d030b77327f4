//! What people say of the handshake that a trigger answers.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::challenge::{Challenge, ChallengeKind};
use crate::domain::id::{GroupId, TriggerId};
use crate::domain::scrub::MIN_SECRET;
use crate::domain::signature::SignatureScheme;
use crate::domain::trigger::HttpSettings;
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::triggers::signature::on_its_way_to_the_server;
use crate::service::vault::Place;

/// The longest verify token, in bytes: it comes in a URL.
const LONGEST_TOKEN: usize = 255;

/// The handshake that a trigger answers in place of its flow.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengeChanges {
    /// Whose handshake. Zoom's is answered with the signature's secret, and wants the scheme `zoom`.
    pub kind: ChallengeKind,
    /// The text that Meta repeats in `hub.verify_token`, made up by you. It is encrypted and never answered again; where it
    /// is absent the one that was there stays.
    #[serde(default, serialize_with = "on_its_way_to_the_server", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "a text of your own")]
    pub verify_token: Option<SecretString>,
}

impl Service {
    /// A trigger's handshake after the changes, where they are possible.
    pub(super) async fn change_challenge(
        &self,
        group: &GroupId,
        id: &TriggerId,
        old: Option<&Challenge>,
        wanted: ChallengeChanges,
    ) -> Result<Challenge, ServiceError> {
        let kind = match (wanted.kind, &wanted.verify_token, old) {
            (ChallengeKind::Meta, Some(token), _) => return self.seal_verify_token(group, id, old, token).await,
            (ChallengeKind::Meta, None, Some(old @ Challenge::Meta { .. })) => return Ok(old.clone()),
            (ChallengeKind::Meta, None, _) => {
                let message = "Give the verify_token that you entered at Meta: Meta repeats it, which proves whose handshake it is";
                return Err(ServiceError::Invalid(message.to_owned()));
            }
            (kind, None, _) => kind,
            (_, Some(_), _) => {
                return Err(ServiceError::Invalid("Only Meta's handshake has a verify_token. Leave it out".to_owned()));
            }
        };
        Ok(if kind == ChallengeKind::Zoom { Challenge::Zoom } else { Challenge::Slack })
    }

    async fn seal_verify_token(
        &self,
        group: &GroupId,
        id: &TriggerId,
        old: Option<&Challenge>,
        token: &SecretString,
    ) -> Result<Challenge, ServiceError> {
        let text = token.expose_secret();
        if !(MIN_SECRET..=LONGEST_TOKEN).contains(&text.len()) {
            let message = format!("The verify_token must have at least {MIN_SECRET} bytes and at most {LONGEST_TOKEN}");
            return Err(ServiceError::Invalid(message));
        }
        let version = match old {
            Some(Challenge::Meta { verify_token }) => verify_token.version + 1,
            _ => 1,
        };
        let sealed = self.vault.seal(verify_token_place(group, id), version, text).await;
        Ok(Challenge::Meta { verify_token: sealed.map_err(ServiceError::internal("sealing a verify token"))? })
    }
}

/// Refuses a handshake that the trigger's signature does not allow.
pub(super) fn check_challenge(settings: &HttpSettings) -> Result<(), ServiceError> {
    let zoom = settings.signature.as_ref().is_some_and(|signature| signature.scheme == SignatureScheme::Zoom);
    if matches!(settings.challenge, Some(Challenge::Zoom)) && !zoom {
        let message = "Zoom's handshake is answered with the signature's secret. Give the trigger a signature of the scheme zoom, or no challenge";
        return Err(ServiceError::Invalid(message.to_owned()));
    }
    Ok(())
}

/// What a trigger's verify token is bound to.
pub(in crate::service) fn verify_token_place<'a>(group: &'a GroupId, id: &'a TriggerId) -> Place<'a> {
    Place { group: group.as_str(), record: id.as_str(), field: "verify_token" }
}
