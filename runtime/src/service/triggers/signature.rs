//! What people say of the check of a request's signature, and the rotation of its secret.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::domain::id::{GroupId, TriggerId};
use crate::domain::scrub::MIN_SECRET;
use crate::domain::sealed::Sealed;
use crate::domain::signature::{
    DEFAULT_TOLERANCE, MAX_SECRETS, MAX_TOLERANCE, PreviousSecret, Signature, SignatureScheme,
};
use crate::service::Service;
use crate::service::error::ServiceError;
use crate::service::vault::Place;

/// The longest signing secret, in bytes: several times what senders make.
const LONGEST_SECRET: usize = 1024;

/// How long a replaced secret may be good at most, in seconds: 30 days, for senders that are changed by hand.
const MAX_KEPT_SECS: u64 = 30 * 24 * 60 * 60;

/// A check of the request's signature, or what is to become different about it. What is absent stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureChanges {
    /// Whose manner of signing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<SignatureScheme>,
    /// The secret shared with the sender; at Standard Webhooks `whsec_...`. It is encrypted and never answered again.
    /// One that was there ends at once, unless `keep_previous_secs` is given.
    #[serde(default, serialize_with = "on_its_way_to_the_server", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "a secret shared with the sender")]
    pub secret: Option<SecretString>,
    /// How long the secret that is replaced is good beside the new one, in seconds; up to 30 days. 0 without a secret ends
    /// all that were replaced before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 86_400)]
    pub keep_previous_secs: Option<u64>,
    /// How far the signature's time may be from the server's, in seconds, where the sender signs one: 300 at first, up to
    /// 86400, and 0 for any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 300)]
    pub tolerance_secs: Option<u64>,
}

/// In clear: only the command line writes it, into its request.
pub(super) fn on_its_way_to_the_server<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => serializer.serialize_some(secret.expose_secret()),
        None => serializer.serialize_none(),
    }
}

impl Service {
    /// A trigger's signature after the changes, where they are possible.
    pub(super) async fn change_signature(
        &self,
        group: &GroupId,
        id: &TriggerId,
        old: Option<&Signature>,
        changes: SignatureChanges,
    ) -> Result<Signature, ServiceError> {
        let scheme = changes.scheme.as_ref().or(old.map(|old| &old.scheme)).ok_or_else(|| {
            invalid("Name the scheme of the signature, such as github, standard_webhooks or stripe".to_owned())
        })?;
        check_scheme(scheme, &changes)?;
        let tolerance_secs = changes.tolerance_secs.or(old.map(|old| old.tolerance_secs)).unwrap_or(DEFAULT_TOLERANCE);
        let other_scheme = old.is_some_and(|old| old.scheme != *scheme);
        let previous = kept(old.filter(|_| !other_scheme), &changes, self.now())?;
        let secret = match (&changes.secret, old) {
            (Some(secret), _) => {
                check_secret(scheme, secret)?;
                self.seal_signing_secret(group, id, old.map_or(1, |old| old.secret.version + 1), secret).await?
            }
            (None, Some(old)) if !other_scheme => old.secret.clone(),
            _ => return Err(invalid("Give the secret that is shared with the sender".to_owned())),
        };
        Ok(Signature { scheme: scheme.clone(), secret, previous, tolerance_secs })
    }

    /// Seals a signing secret. `version` counts the trigger's secrets, so that an older one cannot be put back.
    async fn seal_signing_secret(
        &self,
        group: &GroupId,
        id: &TriggerId,
        version: u32,
        secret: &SecretString,
    ) -> Result<Sealed, ServiceError> {
        let sealed = self.vault.seal(signature_place(group, id), version, secret.expose_secret()).await;
        sealed.map_err(ServiceError::internal("sealing a signing secret"))
    }
}

/// What a trigger's signing secrets are bound to.
pub(in crate::service) fn signature_place<'a>(group: &'a GroupId, id: &'a TriggerId) -> Place<'a> {
    Place { group: group.as_str(), record: id.as_str(), field: "signature" }
}

fn invalid(message: String) -> ServiceError {
    ServiceError::Invalid(message)
}

fn check_scheme(scheme: &SignatureScheme, changes: &SignatureChanges) -> Result<(), ServiceError> {
    if let SignatureScheme::Hmac(settings) = scheme {
        settings.check().map_err(invalid)?;
    }
    match changes.tolerance_secs {
        Some(tolerance) if tolerance > MAX_TOLERANCE => {
            Err(invalid(format!("tolerance_secs must be at most {MAX_TOLERANCE}, a day")))
        }
        Some(1..) if !scheme.has_time() => Err(invalid(
            "A sender of this scheme signs no time, so that tolerance_secs means nothing. Leave it out".to_owned(),
        )),
        _ => Ok(()),
    }
}

fn check_secret(scheme: &SignatureScheme, secret: &SecretString) -> Result<(), ServiceError> {
    let length = secret.expose_secret().len();
    if !(MIN_SECRET..=LONGEST_SECRET).contains(&length) {
        return Err(invalid(format!(
            "The signing secret must have at least {MIN_SECRET} bytes and at most {LONGEST_SECRET}"
        )));
    }
    let form = scheme.check_secret(secret.expose_secret());
    form.map_err(|form| {
        invalid(format!("The secret has not the form of this scheme: {form}. Copy it whole from the sender"))
    })
}

/// The secrets from before that are good besides the present one.
fn kept(
    old: Option<&Signature>,
    changes: &SignatureChanges,
    now: Timestamp,
) -> Result<Vec<PreviousSecret>, ServiceError> {
    let keep = match changes.keep_previous_secs {
        Some(keep) if keep > MAX_KEPT_SECS => {
            return Err(invalid(format!("keep_previous_secs must be at most {MAX_KEPT_SECS}, 30 days")));
        }
        Some(1..) if changes.secret.is_none() || old.is_none() => {
            return Err(invalid(
                "keep_previous_secs is for a new secret in place of an old one of the same scheme. Give the new secret, or leave it out".to_owned(),
            ));
        }
        Some(0) => return Ok(Vec::new()),
        Some(keep) => keep,
        // A replaced secret ends at once, and so do those before it: somebody may have stolen them.
        None if changes.secret.is_some() => return Ok(Vec::new()),
        None => 0,
    };
    let Some(old) = old else { return Ok(Vec::new()) };
    let mut previous: Vec<_> = old.previous.iter().filter(|previous| previous.until > now).cloned().collect();
    if changes.secret.is_some() {
        let until = now + SignedDuration::from_secs(i64::try_from(keep).unwrap_or(i64::MAX));
        previous.insert(0, PreviousSecret { secret: old.secret.clone(), until });
    }
    if previous.len() >= MAX_SECRETS {
        return Err(invalid(format!(
            "A signature can have {MAX_SECRETS} secrets at a time. Wait until one ends, or end the old ones: keep_previous_secs 0"
        )));
    }
    Ok(previous)
}
