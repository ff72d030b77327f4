//! `/api/v1/groups/{group}/flows/{flow}/publish`, `promote`, `rollback`, `unpublish`, and the history of all of it

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::audit::AuditActor;
use crate::domain::flow::publication::{PublicationEntry, PublicationReason};
use crate::domain::id::{Environment, GroupId};
use crate::http::extract::{Body, Named, Params};
use crate::http::flows::FlowView;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::{Api, ApiState};
use crate::service::access::Actor;
use crate::service::flows::Published;

/// Which version is to be published where.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// The version; the newest when absent.
    #[serde(default)]
    #[schema(example = 3)]
    pub version: Option<u32>,
    /// Where.
    #[serde(default = "Environment::production")]
    #[schema(value_type = String, example = "production")]
    pub environment: Environment,
}

/// From where a version is to be published where.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// The environment in which it is published.
    #[serde(default = "Environment::test")]
    #[schema(value_type = String, example = "test")]
    pub from: Environment,
    /// The environment in which it is to be published, too.
    #[serde(default = "Environment::production")]
    #[schema(value_type = String, example = "production")]
    pub to: Environment,
}

/// What is to be published again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Where.
    #[serde(default = "Environment::production")]
    #[schema(value_type = String, example = "production")]
    pub environment: Environment,
    /// A version that was published there; the newest other than the present one when absent.
    #[serde(default)]
    #[schema(example = 2)]
    pub version: Option<u32>,
}

/// Where nothing is to be published any more.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unpublish {
    /// Where. There is no default: it ends what runs there.
    #[schema(value_type = String, example = "test")]
    pub environment: Environment,
}

/// What was published, or not, from then on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PublicationView {
    /// Its number in the flow's history of this environment; 1 for the first.
    #[schema(example = 7)]
    pub number: u32,
    /// Where.
    #[schema(value_type = String, example = "production")]
    pub environment: Environment,
    /// Which version; absent where it was unpublished.
    #[schema(example = 3)]
    pub version: Option<u32>,
    /// The module's digest.
    #[schema(example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub digest: Option<String>,
    /// What was published until then.
    #[schema(example = 2)]
    pub replaced: Option<u32>,
    /// How it came: `publish`, `promote`, `rollback` or `unpublish`.
    #[serde(flatten)]
    pub reason: PublicationReason,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who did it.
    pub by: AuditActor,
}

/// A flow after something was published.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PublishedView {
    /// The flow.
    #[serde(flatten)]
    pub flow: FlowView,
    /// What was done.
    pub publication: PublicationView,
    /// Whether its slots, connections and methods were checked. A version that does not say which slots it opens cannot
    /// be.
    #[schema(example = true)]
    pub checked: bool,
}

/// Which entries of the history are wanted.
#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PublicationParams {
    /// Of which environment.
    #[serde(default = "Environment::production")]
    #[param(value_type = String, example = "production")]
    pub environment: Environment,
    /// Those before this one: the next page.
    #[serde(default)]
    #[param(example = 51)]
    pub before: Option<u32>,
    /// At most this many, up to 500; 50 when absent.
    #[serde(default)]
    #[param(example = 50)]
    pub limit: Option<usize>,
}

impl From<PublicationEntry> for PublicationView {
    fn from(entry: PublicationEntry) -> Self {
        let PublicationEntry { number, environment, version, digest, replaced, reason, at, by } = entry;
        Self { number, environment, version, digest: digest.map(|digest| digest.to_string()), replaced, reason, at, by }
    }
}

impl PublishedView {
    fn of(published: Published, api: &Api) -> Self {
        let Published { flow, entry, is_checked } = published;
        Self { flow: FlowView::of(&flow, api), publication: entry.into(), checked: is_checked }
    }
}

/// Publishes a version in an environment, from the next request on. Refused, with all that is missing, while a slot
/// that it declares is not bound to a usable connection, or a method is not what it was built for.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/publish", tag = "flows", request_body = Publish, params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, body = PublishedView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "It needs what is not there", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn publish(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Body(publish): Body<Publish>,
) -> Result<Json<PublishedView>, Problem> {
    let published = api.service.publish(&actor, &group, &flow, publish.version, publish.environment).await?;
    Ok(Json(PublishedView::of(published, &api)))
}

/// Publishes in one environment what is published in another.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/promote", tag = "flows", request_body = Promote, params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, body = PublishedView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "Nothing is published there, or it needs what is not here", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn promote(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Body(Promote { from, to }): Body<Promote>,
) -> Result<Json<PublishedView>, Problem> {
    let published = api.service.promote(&actor, &group, &flow, from, to).await?;
    Ok(Json(PublishedView::of(published, &api)))
}

/// Publishes again what was published in an environment before.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/rollback", tag = "flows", request_body = Rollback, params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, body = PublishedView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "Nothing else was published there", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn roll_back(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Body(Rollback { environment, version }): Body<Rollback>,
) -> Result<Json<PublishedView>, Problem> {
    let published = api.service.roll_back(&actor, &group, &flow, environment, version).await?;
    Ok(Json(PublishedView::of(published, &api)))
}

/// Publishes nothing any more in an environment: the next request there is refused.
#[utoipa::path(post, path = "/api/v1/groups/{group}/flows/{flow}/unpublish", tag = "flows", request_body = Unpublish, params(("group" = String, Path), ("flow" = String, Path)), responses(
    (status = OK, body = PublishedView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "Nothing is published there", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn unpublish(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Body(Unpublish { environment }): Body<Unpublish>,
) -> Result<Json<PublishedView>, Problem> {
    let published = api.service.unpublish(&actor, &group, &flow, environment).await?;
    Ok(Json(PublishedView::of(published, &api)))
}

/// Lists what was published in an environment, newest first.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows/{flow}/publications", tag = "flows", params(("group" = String, Path), ("flow" = String, Path), PublicationParams), responses(
    (status = OK, body = Vec<PublicationView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list_publications(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Params(PublicationParams { environment, before, limit }): Params<PublicationParams>,
) -> Result<Json<Vec<PublicationView>>, Problem> {
    let entries = api.service.list_publications(&actor, &group, &flow, &environment, before, limit)?;
    Ok(Json(entries.into_iter().map(PublicationView::from).collect()))
}
