//! What people say of a trigger they want, and the checks of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::api_key::PlainApiKey;
use crate::domain::id::{GroupId, TriggerId};
use crate::domain::trigger::{AcceptedKeys, HttpSettings, METHODS, Respond};
use crate::service::Service;
use crate::service::access::Actor;
use crate::service::api_keys::{self, KeyState, NewApiKey, given};
use crate::service::catalog::Catalog;
use crate::service::edit::Edit;
use crate::service::error::ServiceError;
use crate::service::triggers::challenge::check_challenge;
use crate::service::triggers::requests::{CorsRule, IdempotencyRule, NewPath};
use crate::service::triggers::{ChallengeChanges, SignatureChanges};

/// A trigger to be made, or what is to become different about one. What is absent stays as it is, or as every trigger
/// begins: every key of the group, `POST`, answered with the flow's response. `null` puts that back.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TriggerChanges {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Deals that were won")]
    pub description: Option<String>,
    /// The API keys it accepts, by id or name; `null` for every key of the group, an empty list for none.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["crm-production"]))]
    pub keys: Option<Option<Vec<String>>>,
    /// A key to be made and accepted. It is shown in the answer, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_key: Option<NewApiKey>,
    /// The methods it takes; `POST` when empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["POST"]))]
    pub methods: Option<Vec<String>>,
    /// How it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond: Option<Respond>,
    /// How long a synchronous caller waits at most, in milliseconds; `null` for the server's default.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, example = 10_000)]
    pub timeout_ms: Option<Option<u64>>,
    /// The largest body in bytes; `null` for the server's default.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, example = 1_048_576)]
    pub max_body: Option<Option<u64>>,
    /// Whether the key may come as `?api_key=` or `?auth-key=`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_in_query: Option<bool>,
    /// Whether the key may come as the last part of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_in_path: Option<bool>,
    /// A check of the request's signature; `null` for none.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SignatureChanges>)]
    pub signature: Option<Option<SignatureChanges>>,
    /// A path of its own besides the routing key: `/g/{group}/{template}`; `null` for none. It goes without a key in the
    /// path.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<NewPath>)]
    pub path: Option<Option<NewPath>>,
    /// Which pages' scripts may call it; `null` for no rule: browsers keep their scripts from reading the answers.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CorsRule>)]
    pub cors: Option<Option<CorsRule>>,
    /// How it tells requests that it has had before; `null` runs each one.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<IdempotencyRule>)]
    pub idempotency: Option<Option<IdempotencyRule>>,
    /// The sender's handshake, which the server answers in place of the flow; `null` for none.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ChallengeChanges>)]
    pub challenge: Option<Option<ChallengeChanges>>,
}

impl Service {
    /// The settings after the changes, where they are possible, and the key that was made with them.
    pub(super) async fn change_settings(
        &self,
        edit: &mut Edit,
        actor: &Actor,
        group: &GroupId,
        id: &TriggerId,
        mut settings: HttpSettings,
        changes: TriggerChanges,
    ) -> Result<(HttpSettings, Option<(KeyState, PlainApiKey)>), ServiceError> {
        settings.respond = changes.respond.unwrap_or(settings.respond);
        settings.timeout_ms = changes.timeout_ms.unwrap_or(settings.timeout_ms);
        settings.max_body = changes.max_body.unwrap_or(settings.max_body);
        settings.key_in_query = changes.key_in_query.unwrap_or(settings.key_in_query);
        settings.key_in_path = changes.key_in_path.unwrap_or(settings.key_in_path);
        if let Some(methods) = changes.methods {
            settings.methods = check_methods(&methods)?;
        }
        if let Some(cors) = changes.cors {
            settings.cors = cors.map(|rule| rule.check()).transpose()?;
        }
        if let Some(idempotency) = changes.idempotency {
            settings.idempotency = idempotency.map(|rule| rule.check()).transpose()?;
        }
        self.check_bounds(&settings)?;
        if let Some(keys) = changes.keys {
            settings.keys = accepted_keys(edit.catalog(), group, keys)?;
        }
        if let Some(signature) = changes.signature {
            settings.signature = match signature {
                Some(new) => Some(self.change_signature(group, id, settings.signature.as_ref(), new).await?),
                None => None,
            };
        }
        if let Some(challenge) = changes.challenge {
            settings.challenge = match challenge {
                Some(wanted) => Some(self.change_challenge(group, id, settings.challenge.as_ref(), wanted).await?),
                None => None,
            };
        }
        check_challenge(&settings)?;
        let Some(new_key) = changes.new_key else { return Ok((settings, None)) };
        let (key, plain) = self.make_key(edit, actor, group, new_key)?;
        if let AcceptedKeys::Only(keys) = &mut settings.keys {
            keys.insert(key.id);
        }
        Ok((settings, Some((self.key_state(key), plain))))
    }
}

fn check_methods(methods: &[String]) -> Result<BTreeSet<String>, ServiceError> {
    if methods.is_empty() {
        return Ok(BTreeSet::from(["POST".to_owned()]));
    }
    match methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
        Some(unknown) => Err(ServiceError::Invalid(format!(
            "\"{unknown}\" is not a method a trigger can take. Choose among {}",
            METHODS.join(", ")
        ))),
        None => Ok(methods.iter().cloned().collect()),
    }
}

fn accepted_keys(catalog: &Catalog, group: &GroupId, keys: Option<Vec<String>>) -> Result<AcceptedKeys, ServiceError> {
    let Some(keys) = keys else { return Ok(AcceptedKeys::All) };
    let ids = keys.iter().map(|key| match api_keys::find(catalog, group, key) {
        Ok(key) => Ok(key.id),
        Err(_) => Err(ServiceError::Invalid(format!("The group has no API key \"{key}\". Create it first"))),
    });
    Ok(AcceptedKeys::Only(ids.collect::<Result<_, _>>()?))
}
