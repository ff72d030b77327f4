//! `/api/v1/groups`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::group::Group;
use crate::domain::id::{Environment, GroupId};
use crate::domain::user::Email;
use crate::http::ApiState;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;

/// A group to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// Its name: up to 63 lower-case letters, digits and hyphens.
    #[schema(value_type = String, example = "acme")]
    pub name: GroupId,
    /// Notes.
    #[serde(default)]
    pub description: String,
    /// Environments besides `production` and `test`.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub environments: Vec<Environment>,
    /// The address of the user who becomes its first owner; nobody when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "ada@example.com")]
    pub owner: Option<Email>,
}

/// A group.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GroupView {
    /// Its name.
    #[schema(value_type = String, example = "acme")]
    pub name: GroupId,
    /// Notes.
    pub description: String,
    /// Its environments.
    #[schema(value_type = Vec<String>)]
    pub environments: Vec<Environment>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

impl From<&Group> for GroupView {
    fn from(group: &Group) -> Self {
        Self {
            name: group.id.clone(),
            description: group.description.clone(),
            environments: group.environments.clone(),
            created: group.created,
        }
    }
}

/// Lists the groups.
#[utoipa::path(get, path = "/api/v1/groups", tag = "groups", responses((status = OK, body = Vec<GroupView>)))]
pub async fn list(actor: Actor, State(api): State<ApiState>) -> Result<Json<Vec<GroupView>>, Problem> {
    let groups = api.service.list_groups(&actor)?;
    Ok(Json(groups.iter().map(|group| GroupView::from(&**group)).collect()))
}

/// Makes a group.
#[utoipa::path(post, path = "/api/v1/groups", tag = "groups", request_body = NewGroup, responses(
    (status = CREATED, body = GroupView),
    (status = CONFLICT, description = "The name is taken", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn create(
    actor: Actor,
    State(api): State<ApiState>,
    Body(new): Body<NewGroup>,
) -> Result<(StatusCode, Json<GroupView>), Problem> {
    let group = api.service.create_group(&actor, new.name, new.description, new.environments, new.owner).await?;
    Ok((StatusCode::CREATED, Json(GroupView::from(&*group))))
}

/// Shows a group.
#[utoipa::path(get, path = "/api/v1/groups/{group}", tag = "groups", params(("group" = String, Path)), responses(
    (status = OK, body = GroupView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
) -> Result<Json<GroupView>, Problem> {
    Ok(Json(GroupView::from(&*api.service.get_group(&actor, &group)?)))
}
