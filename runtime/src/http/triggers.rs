//! `/api/v1/groups/{group}/flows/{flow}/triggers`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::challenge::{Challenge, ChallengeKind};
use crate::domain::id::{ApiKeyId, Environment, FlowId, GroupId, TriggerId};
use crate::domain::path_template::PathTemplate;
use crate::domain::signature::{Signature, SignatureScheme};
use crate::domain::trigger::{AcceptedKeys, HttpTrigger, Respond, RoutingKey};
use crate::http::ApiState;
use crate::http::api_keys::CreatedApiKey;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::triggers::ChangedTrigger;

pub use crate::service::triggers::{
    ChallengeChanges, CorsRule, IdempotencyRule, NewPath, SignatureChanges, TriggerChanges,
};

/// An HTTP trigger.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TriggerView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TriggerId,
    /// Which flow it runs.
    #[schema(value_type = String)]
    pub flow: FlowId,
    /// What it is for.
    #[schema(example = "Deals that were won")]
    pub description: String,
    /// Selects it; the execute trigger has none. Sensitive: whoever knows it knows where to knock.
    pub routing_key: Option<String>,
    /// Where it is called.
    pub url: String,
    /// The ids of the keys it accepts; every key of the group when absent.
    #[schema(value_type = Option<Vec<String>>)]
    pub keys: Option<Vec<ApiKeyId>>,
    /// The methods it takes.
    #[schema(example = json!(["POST"]))]
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
    /// The check of the request's signature.
    pub signature: Option<SignatureView>,
    /// Its own path besides the routing key.
    #[serde(default)]
    pub path: Option<PathView>,
    /// Which pages' scripts may call it.
    #[serde(default)]
    pub cors: Option<CorsRule>,
    /// How it tells requests that it has had before.
    #[serde(default)]
    pub idempotency: Option<IdempotencyRule>,
    /// Whose handshake the server answers.
    pub challenge: Option<ChallengeKind>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

/// A trigger's own path.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PathView {
    /// What the path looks like.
    #[schema(value_type = String, example = "orders/{order_id}/lines/{line}")]
    pub template: PathTemplate,
    /// The environment whose keys find it; those of every environment when absent.
    #[schema(value_type = Option<String>, example = "production")]
    pub environment: Option<Environment>,
    /// Where it is called.
    #[schema(example = "https://flows.example.com/g/acme/orders/{order_id}/lines/{line}")]
    pub url: String,
}

/// A check of the request's signature. Its secrets are not shown.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SignatureView {
    /// Whose manner of signing.
    pub scheme: SignatureScheme,
    /// The header that carries the signature.
    #[schema(example = "x-hub-signature-256")]
    pub header: String,
    /// How far the signature's time may be from the server's, in seconds, 0 for any time; absent where none is signed.
    #[schema(example = 300)]
    pub tolerance_secs: Option<u64>,
    /// When the secrets end that were replaced, the newest first.
    #[schema(value_type = Vec<String>, example = json!(["2026-11-02T09:00:00Z"]))]
    pub previous_until: Vec<Timestamp>,
}

impl SignatureView {
    fn of(signature: &Signature) -> Self {
        let scheme = signature.scheme.clone();
        Self {
            header: scheme.header().to_owned(),
            tolerance_secs: scheme.has_time().then_some(signature.tolerance_secs),
            scheme,
            previous_until: signature.previous.iter().map(|previous| previous.until).collect(),
        }
    }
}

/// A trigger that was made or changed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ChangedTriggerView {
    /// The trigger.
    #[serde(flatten)]
    pub trigger: TriggerView,
    /// The key that was made with it, in clear. It is shown here and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_key: Option<CreatedApiKey>,
}

impl TriggerView {
    fn of(trigger: &HttpTrigger, api: &ApiState, group: &GroupId) -> Self {
        let public_url = &api.public_url;
        let settings = &trigger.settings;
        let routing_key = trigger.routing_key.as_ref().map(RoutingKey::reveal);
        Self {
            id: trigger.id.clone(),
            flow: trigger.flow.clone(),
            description: trigger.description.clone(),
            routing_key: routing_key.map(str::to_owned),
            url: match routing_key {
                Some(routing_key) => format!("{public_url}/hooks/{routing_key}"),
                None => format!("{public_url}/flows/{}/execute", trigger.flow),
            },
            keys: match &settings.keys {
                AcceptedKeys::All => None,
                AcceptedKeys::Only(keys) => Some(keys.iter().copied().collect()),
            },
            methods: settings.methods.iter().cloned().collect(),
            respond: settings.respond,
            timeout_ms: settings.timeout_ms,
            max_body: settings.max_body,
            key_in_query: settings.key_in_query,
            key_in_path: settings.key_in_path,
            signature: settings.signature.as_ref().map(SignatureView::of),
            path: trigger.path.as_ref().map(|path| PathView {
                template: path.template.clone(),
                environment: path.environment.clone(),
                url: format!("{}/{}", api.service.root_of(group), path.template),
            }),
            cors: settings.cors.as_ref().map(CorsRule::from),
            idempotency: settings.idempotency.as_ref().map(IdempotencyRule::from),
            challenge: settings.challenge.as_ref().map(Challenge::kind),
            created: trigger.created,
        }
    }
}

impl ChangedTriggerView {
    fn of(changed: &ChangedTrigger, api: &ApiState, group: &GroupId) -> Self {
        Self {
            trigger: TriggerView::of(&changed.trigger, api, group),
            new_key: changed.new_key.as_ref().map(CreatedApiKey::of),
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
    Ok(Json(triggers.iter().map(|trigger| TriggerView::of(trigger, &api, &group)).collect()))
}

/// Makes an HTTP trigger. The server gives it its routing key.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/triggers", tag = "triggers", request_body = TriggerChanges, params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = CREATED, body = ChangedTriggerView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn create(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Body(wanted): Body<TriggerChanges>,
) -> Result<(StatusCode, Json<ChangedTriggerView>), Problem> {
    let made = api.service.create_trigger(&actor, &group, &flow, wanted).await?;
    Ok((StatusCode::CREATED, Json(ChangedTriggerView::of(&made, &api, &group))))
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
    Ok(Json(TriggerView::of(&trigger, &api, &group)))
}

/// Changes a trigger, the built-in execute trigger included, from the next request on.
#[utoipa::path(patch, path = "/api/v1/groups/{group}/flows/{flow}/triggers/{trigger}", tag = "triggers", request_body = TriggerChanges, params(("group" = String, Path), ("flow" = String, Path), ("trigger" = String, Path)), responses(
    (status = OK, body = ChangedTriggerView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn update(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, trigger)): Named<(GroupId, String, TriggerId)>,
    Body(changes): Body<TriggerChanges>,
) -> Result<Json<ChangedTriggerView>, Problem> {
    let changed = api.service.update_trigger(&actor, &group, &flow, &trigger, changes).await?;
    Ok(Json(ChangedTriggerView::of(&changed, &api, &group)))
}

/// Gives a trigger a new routing key: its old URL answers 404 from the next request on.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/triggers/{trigger}/routing-key", tag = "triggers", params(("group" = String, Path), ("flow" = String, Path), ("trigger" = String, Path)), responses(
    (status = OK, body = TriggerView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn renew_routing_key(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, trigger)): Named<(GroupId, String, TriggerId)>,
) -> Result<Json<TriggerView>, Problem> {
    let trigger = api.service.renew_routing_key(&actor, &group, &flow, &trigger).await?;
    Ok(Json(TriggerView::of(&trigger, &api, &group)))
}

/// Deletes a trigger: its URL answers 404 from the next request on.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/flows/{flow}/triggers/{trigger}", tag = "triggers", params(("group" = String, Path), ("flow" = String, Path), ("trigger" = String, Path)), responses(
    (status = NO_CONTENT, description = "Done"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn delete(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, trigger)): Named<(GroupId, String, TriggerId)>,
) -> Result<StatusCode, Problem> {
    api.service.delete_trigger(&actor, &group, &flow, &trigger).await?;
    Ok(StatusCode::NO_CONTENT)
}
