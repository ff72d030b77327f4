//! `/api/v1/groups/{group}/flows/{flow}/triggers`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::id::{ApiKeyId, GroupId, TriggerId};
use crate::domain::trigger::{AcceptedKeys, Respond, SignatureScheme, Trigger};
use crate::http::ApiState;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::triggers;

/// An HTTP trigger to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTrigger {
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The API keys it accepts, by id or name; every key of the group when absent.
    #[serde(default)]
    pub keys: Option<Vec<String>>,
    /// The methods it takes; `POST` when empty.
    #[serde(default)]
    #[schema(example = json!(["POST"]))]
    pub methods: Vec<String>,
    /// How it answers.
    #[serde(default)]
    pub respond: Respond,
    /// How long a synchronous caller waits at most, in milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// The largest body in bytes.
    #[serde(default)]
    pub max_body: Option<u64>,
    /// Whether the key may come as `?api_key=` or `?auth-key=`.
    #[serde(default)]
    pub key_in_query: bool,
    /// Whether the key may come as the last part of the path.
    #[serde(default)]
    pub key_in_path: bool,
    /// A check of the body's signature.
    #[serde(default)]
    pub signature: Option<NewSignature>,
}

/// A check of the body's signature.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSignature {
    /// Whose manner of signing.
    pub scheme: SignatureScheme,
    /// The secret shared with the sender. It is encrypted and never answered again.
    #[schema(value_type = String)]
    pub secret: SecretString,
}

/// An HTTP trigger.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TriggerView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TriggerId,
    /// What it is for.
    pub description: String,
    /// Selects it. Sensitive: whoever knows it knows where to knock.
    pub routing_key: String,
    /// Where it is called.
    pub url: String,
    /// The ids of the keys it accepts; every key of the group when absent.
    #[schema(value_type = Option<Vec<String>>)]
    pub keys: Option<Vec<ApiKeyId>>,
    /// The methods it takes.
    pub methods: Vec<String>,
    /// How it answers.
    pub respond: Respond,
    /// How long a synchronous caller waits at most, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The largest body in bytes.
    pub max_body: Option<u64>,
    /// Whether the key may come in the query.
    pub key_in_query: bool,
    /// Whether the key may come in the path.
    pub key_in_path: bool,
    /// Whose manner of signing is checked.
    pub signature: Option<SignatureScheme>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

impl TriggerView {
    fn of(trigger: &Trigger, public_url: &str) -> Self {
        let settings = &trigger.settings;
        Self {
            id: trigger.id.clone(),
            description: trigger.description.clone(),
            routing_key: trigger.routing_key.reveal().to_owned(),
            url: format!("{public_url}/hooks/{}", trigger.routing_key.reveal()),
            keys: match &settings.keys {
                AcceptedKeys::All => None,
                AcceptedKeys::Only(keys) => Some(keys.iter().cloned().collect()),
            },
            methods: settings.methods.iter().cloned().collect(),
            respond: settings.respond,
            timeout_ms: settings.timeout_ms,
            max_body: settings.max_body,
            key_in_query: settings.key_in_query,
            key_in_path: settings.key_in_path,
            signature: settings.signature.as_ref().map(|signature| signature.scheme),
            created: trigger.created,
        }
    }
}

/// Lists the triggers of a flow.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows/{flow}/triggers", tag = "triggers", params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, body = Vec<TriggerView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
) -> Result<Json<Vec<TriggerView>>, Problem> {
    let triggers = api.service.list_triggers(&actor, &group, &flow)?;
    Ok(Json(triggers.iter().map(|trigger| TriggerView::of(trigger, &api.public_url)).collect()))
}

/// Makes an HTTP trigger. The server gives it its routing key.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/triggers", tag = "triggers", request_body = NewTrigger, params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = CREATED, body = TriggerView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn create(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Body(new): Body<NewTrigger>,
) -> Result<(StatusCode, Json<TriggerView>), Problem> {
    let new = triggers::NewTrigger {
        description: new.description,
        keys: new.keys,
        methods: new.methods,
        respond: new.respond,
        timeout_ms: new.timeout_ms,
        max_body: new.max_body,
        key_in_query: new.key_in_query,
        key_in_path: new.key_in_path,
        signature: new.signature.map(|signature| (signature.scheme, signature.secret)),
    };
    let trigger = api.service.create_trigger(&actor, &group, &flow, new).await?;
    Ok((StatusCode::CREATED, Json(TriggerView::of(&trigger, &api.public_url))))
}

/// Shows a trigger.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows/{flow}/triggers/{trigger}", tag = "triggers", params(("group" = String, Path), ("flow" = String, Path), ("trigger" = String, Path)), responses(
    (status = OK, body = TriggerView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, trigger)): Named<(GroupId, String, TriggerId)>,
) -> Result<Json<TriggerView>, Problem> {
    let trigger = api.service.get_trigger(&actor, &group, &flow, &trigger)?;
    Ok(Json(TriggerView::of(&trigger, &api.public_url)))
}

/// Deletes a trigger: its URL answers 404 from the next request on.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/flows/{flow}/triggers/{trigger}", tag = "triggers", params(("group" = String, Path), ("flow" = String, Path), ("trigger" = String, Path)), responses(
    (status = NO_CONTENT, description = "Done"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn delete(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, trigger)): Named<(GroupId, String, TriggerId)>,
) -> Result<StatusCode, Problem> {
    api.service.delete_trigger(&actor, &group, &flow, &trigger).await?;
    Ok(StatusCode::NO_CONTENT)
}
