//! `/api/v1/groups/{group}/alerts` and `/api/v1/alerts`

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::domain::alert::{Acknowledgement, Alert, AlertKind, AlertState, Delivery};
use crate::domain::id::{AlertId, Environment, GroupId};
use crate::http::ApiState;
use crate::http::extract::{Body, Named, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;

/// An alert.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AlertView {
    /// Its id.
    #[schema(value_type = String, example = "alr_0aB1cD2eF3gH4iJ5kL6m")]
    pub id: AlertId,
    /// What happens.
    pub kind: AlertKind,
    /// To what. While an alert is open, the same kind and subject open no other.
    #[schema(example = "api-key:k3yIdOfTheEr")]
    pub subject: String,
    /// Where; absent for what is not of one environment.
    #[schema(value_type = Option<String>, example = "production")]
    pub environment: Option<Environment>,
    /// Where it stands.
    pub state: AlertState,
    /// What happens and what to do.
    #[schema(
        example = "The API key \"erp\" expires at 2026-12-01T00:00:00Z. Make a new one, or give it a later expiry"
    )]
    pub message: String,
    /// The same for programs.
    #[schema(value_type = Object)]
    pub details: Value,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    pub opened: Timestamp,
    /// When its cause was seen last.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
    /// How often its cause was seen.
    #[schema(example = 1)]
    pub count: u64,
    /// Who looked at it.
    pub acknowledged: Option<Acknowledgement>,
    /// When its cause was gone.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed: Option<Timestamp>,
    /// What became of the newest message about it; absent where there is no endpoint.
    pub delivery: Option<Delivery>,
}

impl From<Alert> for AlertView {
    fn from(alert: Alert) -> Self {
        Self {
            state: alert.state(),
            id: alert.id,
            kind: alert.cause.kind,
            subject: alert.cause.subject.to_string(),
            environment: alert.environment,
            message: alert.message,
            details: alert.details,
            opened: alert.opened,
            last_seen: alert.last_seen,
            count: alert.count,
            acknowledged: alert.acknowledged,
            closed: alert.closed,
            delivery: alert.delivery,
        }
    }
}

/// Which alerts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    /// Of this state only.
    pub state: Option<AlertState>,
}

/// That somebody looked at an alert.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAcknowledgement {
    /// What they say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "The shop's nightly import; its key is replaced tomorrow.")]
    pub note: Option<String>,
}

/// Lists a group's alerts, newest first, at most 500.
#[utoipa::path(get, path = "/api/v1/groups/{group}/alerts", tag = "alerts", params(("group" = String, Path), ListParams), responses(
    (status = OK, body = Vec<AlertView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Params(params): Params<ListParams>,
) -> Result<Json<Vec<AlertView>>, Problem> {
    let alerts = api.service.list_alerts(&actor, &group, params.state).await?;
    Ok(Json(alerts.into_iter().map(AlertView::from).collect()))
}

/// Acknowledges a group's alert: it stays until its cause is gone, and others see who looks after it.
#[utoipa::path(post, path = "/api/v1/groups/{group}/alerts/{alert}/acknowledge", tag = "alerts", request_body = NewAcknowledgement, params(("group" = String, Path), ("alert" = String, Path)), responses(
    (status = OK, body = AlertView),
    (status = NOT_FOUND, description = "There is no such alert, or it is closed", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn acknowledge(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, alert)): Named<(GroupId, AlertId)>,
    Body(new): Body<NewAcknowledgement>,
) -> Result<Json<AlertView>, Problem> {
    Ok(Json(api.service.acknowledge_alert(&actor, &group, &alert, new.note).await?.into()))
}

/// Lists the server's own alerts, newest first, at most 500.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(ListParams), responses((status = OK, body = Vec<AlertView>)))]
pub async fn list_server(
    actor: Actor,
    State(api): State<ApiState>,
    Params(params): Params<ListParams>,
) -> Result<Json<Vec<AlertView>>, Problem> {
    let alerts = api.service.list_server_alerts(&actor, params.state).await?;
    Ok(Json(alerts.into_iter().map(AlertView::from).collect()))
}

/// Acknowledges an alert of the server.
#[utoipa::path(post, path = "/api/v1/alerts/{alert}/acknowledge", tag = "alerts", request_body = NewAcknowledgement, params(("alert" = String, Path)), responses(
    (status = OK, body = AlertView),
    (status = NOT_FOUND, description = "There is no such alert, or it is closed", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn acknowledge_server(
    actor: Actor,
    State(api): State<ApiState>,
    Named(alert): Named<AlertId>,
    Body(new): Body<NewAcknowledgement>,
) -> Result<Json<AlertView>, Problem> {
    Ok(Json(api.service.acknowledge_server_alert(&actor, &alert, new.note).await?.into()))
}
