//! `/api/v1/groups/{group}/apps`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::id::{Environment, FlowId, GroupId, Name};
use crate::domain::trigger::Respond;
use crate::http::ApiState;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::published_apps::AppState;

pub use crate::service::published_apps::AppChanges;

/// A flow offered as an app.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AppView {
    /// Its name in the path.
    #[schema(value_type = String, example = "order-entry")]
    pub slug: Name,
    /// What people call it.
    #[schema(example = "Order entry")]
    pub title: String,
    /// What it does.
    #[schema(example = "Books an order and answers its number")]
    pub description: String,
    /// Which flow it runs.
    #[schema(value_type = String, example = "flw_0aB1cD2eF3gH4iJ5kL6m")]
    pub flow: FlowId,
    /// The flow's name.
    #[schema(value_type = String, example = "orders")]
    pub flow_name: Name,
    /// Where it is called, with a key that has the scope `apps:execute`.
    #[schema(example = "https://flows.example.com/apps/order-entry/execute")]
    pub url: String,
    /// The JSON Schema of its input; any input when absent.
    #[schema(value_type = Option<Object>, example = json!({"type": "object", "required": ["sku"]}))]
    pub schema: Option<Value>,
    /// An input that it takes, to begin with.
    #[schema(value_type = Option<Object>, example = json!({"sku": "A-1"}))]
    pub sample: Option<Value>,
    /// How it answers.
    pub respond: Respond,
    /// How long a synchronous caller waits at most, in milliseconds.
    #[schema(example = 10_000)]
    pub timeout_ms: Option<u64>,
    /// The largest input in bytes.
    #[schema(example = 65_536)]
    pub max_body: Option<u64>,
    /// The environments where its flow is published: keys of these can run it.
    #[schema(value_type = Vec<String>, example = json!(["production"]))]
    pub available: Vec<Environment>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

impl AppView {
    fn of(state: &AppState, public_url: &str) -> Self {
        let AppState { app, flow, available } = state;
        Self {
            slug: app.slug.clone(),
            title: app.title.clone(),
            description: app.description.clone(),
            flow: app.flow.clone(),
            flow_name: flow.clone(),
            url: format!("{public_url}/apps/{}/execute", app.slug),
            schema: app.schema.as_ref().map(|schema| schema.as_value().clone()),
            sample: app.sample.clone(),
            respond: app.settings.respond,
            timeout_ms: app.settings.timeout_ms,
            max_body: app.settings.max_body,
            available: available.clone(),
            created: app.created,
        }
    }
}

/// Lists a group's apps. A key with `apps:execute` sees those it may run.
#[utoipa::path(get, path = "/api/v1/groups/{group}/apps", tag = "apps", params(("group" = String, Path)), responses(
    (status = OK, body = Vec<AppView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
) -> Result<Json<Vec<AppView>>, Problem> {
    let apps = api.service.list_apps(&actor, &group)?;
    Ok(Json(apps.iter().map(|app| AppView::of(app, &api.public_url)).collect()))
}

/// Offers a flow as an app.
#[utoipa::path(post, path = "/api/v1/groups/{group}/apps", tag = "apps", request_body = AppChanges, params(("group" = String, Path)), responses(
    (status = CREATED, body = AppView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn create(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Body(new): Body<AppChanges>,
) -> Result<(StatusCode, Json<AppView>), Problem> {
    let made = api.service.create_app(&actor, &group, new).await?;
    Ok((StatusCode::CREATED, Json(AppView::of(&made, &api.public_url))))
}

/// Shows an app.
#[utoipa::path(get, path = "/api/v1/groups/{group}/apps/{app}", tag = "apps", params(("group" = String, Path), ("app" = String, Path)), responses(
    (status = OK, body = AppView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, app)): Named<(GroupId, Name)>,
) -> Result<Json<AppView>, Problem> {
    let app = api.service.get_app(&actor, &group, &app)?;
    Ok(Json(AppView::of(&app, &api.public_url)))
}

/// Changes an app, from the next request on.
#[utoipa::path(patch, path = "/api/v1/groups/{group}/apps/{app}", tag = "apps", request_body = AppChanges, params(("group" = String, Path), ("app" = String, Path)), responses(
    (status = OK, body = AppView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn update(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, app)): Named<(GroupId, Name)>,
    Body(changes): Body<AppChanges>,
) -> Result<Json<AppView>, Problem> {
    let changed = api.service.update_app(&actor, &group, &app, changes).await?;
    Ok(Json(AppView::of(&changed, &api.public_url)))
}

/// Offers the flow no longer: the app's URL answers 404 from the next request on.
#[utoipa::path(delete, path = "/api/v1/groups/{group}/apps/{app}", tag = "apps", params(("group" = String, Path), ("app" = String, Path)), responses(
    (status = NO_CONTENT, description = "Done"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn delete(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, app)): Named<(GroupId, Name)>,
) -> Result<StatusCode, Problem> {
    api.service.delete_app(&actor, &group, &app).await?;
    Ok(StatusCode::NO_CONTENT)
}
