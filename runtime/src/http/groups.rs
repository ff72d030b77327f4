//! `/api/v1/groups`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::domain::group::{Group, HostName};
use crate::domain::id::{Environment, GroupId};
use crate::domain::usage::{Allowance, Month, Spent};
use crate::domain::user::Email;
use crate::http::ApiState;
use crate::http::extract::{Body, Named};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::groups;

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
    /// Whether calls with keys outside production have to name their environment (`?_profile=`).
    #[serde(default)]
    pub profile_required: bool,
    /// Whether a connection is disconnected when whoever authorized it leaves the group; otherwise an alert is raised.
    #[serde(default)]
    pub disconnect_when_authorizer_leaves: bool,
    /// What it may use in a month; without bounds when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Allowance>,
    /// Where its alerts are sent: the whole URL for those who may change it, its beginning for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://ops.example.com/headgate-alerts")]
    pub alert_endpoint: Option<String>,
    /// At this host name the paths of its triggers begin at the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "hooks.acme.example")]
    pub host: Option<HostName>,
    /// What it spent in the present month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<MonthView>,
}

/// What a group spent in the present month.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MonthView {
    /// Which month, in UTC.
    #[schema(example = "2026-11")]
    pub month: String,
    /// Runs that ended in it.
    #[schema(example = 61_200)]
    pub runs: u64,
    /// How many seconds they took together.
    #[schema(example = 5_020.5)]
    pub run_seconds: f64,
    /// When the next month begins.
    #[schema(value_type = String, format = DateTime)]
    pub ends: Timestamp,
}

/// What is to be different about a group; what is absent stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupChange {
    /// Notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Orders and invoices")]
    pub description: Option<String>,
    /// All its environments. `production` and `test` stay, and so do those in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["production", "test", "staging"]))]
    pub environments: Option<Vec<Environment>>,
    /// Whether calls with keys outside production have to name their environment (`?_profile=`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_required: Option<bool>,
    /// Whether a connection is disconnected when whoever authorized it leaves the group; otherwise an alert is raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disconnect_when_authorizer_leaves: Option<bool>,
    /// What it may use in a month; `null` takes the bounds away.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Allowance>)]
    pub allowance: Option<Option<Allowance>>,
    /// Where its alerts are sent; `null` sends them nowhere.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<NewAlertEndpoint>)]
    pub alert_endpoint: Option<Option<NewAlertEndpoint>>,
    /// At this host name the paths of its triggers begin at the root; `null` for none. Only operators set it, after making
    /// sure that the name is the group's and leads to this server.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "hooks.acme.example")]
    pub host: Option<Option<HostName>>,
}

/// Where a group's alerts are to be sent, as signed HTTP requests after Standard Webhooks.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAlertEndpoint {
    /// The URL.
    #[schema(value_type = String, example = "https://ops.example.com/headgate-alerts")]
    pub url: Url,
    /// The signing secret: `whsec_` and the base64 of 24 to 64 bytes. When absent the present one stays, or the server makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Whether the server makes a new secret although there is one. The old one signs beside it for 24 hours.
    #[serde(default)]
    pub new_secret: bool,
}

/// A group that was just changed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ChangedGroup {
    /// The group.
    #[serde(flatten)]
    pub group: GroupView,
    /// The signing secret of its endpoint, where the server made one. It is shown here and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub alert_secret: Option<String>,
}

/// Tells a member that is `null` from one that is absent.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl From<&Group> for GroupView {
    fn from(group: &Group) -> Self {
        Self {
            name: group.id.clone(),
            description: group.description.clone(),
            environments: group.environments.clone(),
            created: group.created,
            profile_required: group.profile_required,
            disconnect_when_authorizer_leaves: group.disconnect_when_authorizer_leaves,
            allowance: group.allowance,
            // What follows the host may be a secret of the receiver.
            alert_endpoint: group.alert_endpoint.as_ref().map(|endpoint| endpoint.url.origin().ascii_serialization()),
            host: group.host.clone(),
            month: None,
        }
    }
}

impl GroupView {
    /// A group with all that an actor may see.
    fn whole(api: &ApiState, actor: &Actor, group: &Group) -> Self {
        let mut view = Self::from(group);
        if api.service.may_update_group(actor, &group.id) {
            view.alert_endpoint = group.alert_endpoint.as_ref().map(|endpoint| endpoint.url.to_string());
        }
        let (month, spent) = api.service.spent(&group.id);
        view.month = Some(MonthView::of(month, &spent));
        view
    }
}

impl MonthView {
    /// What was spent in a month.
    pub(super) fn of(month: Month, spent: &Spent) -> Self {
        let run_seconds = spent.run_us as f64 / 1e6;
        Self { month: month.to_string(), runs: spent.runs, run_seconds, ends: month.end() }
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
    Ok((StatusCode::CREATED, Json(GroupView::whole(&api, &actor, &group))))
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
    let group = api.service.get_group(&actor, &group)?;
    Ok(Json(GroupView::whole(&api, &actor, &group)))
}

/// Changes a group: its environments, its monthly allowance, where its alerts are sent.
#[utoipa::path(patch, path = "/api/v1/groups/{group}", tag = "groups", request_body = GroupChange, params(("group" = String, Path)), responses(
    (status = OK, body = ChangedGroup),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "An environment in use is missing", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn update(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Body(change): Body<GroupChange>,
) -> Result<Json<ChangedGroup>, Problem> {
    let endpoint = |new: NewAlertEndpoint| groups::NewAlertEndpoint {
        url: new.url,
        secret: new.secret.map(SecretString::from),
        new_secret: new.new_secret,
    };
    let change = groups::GroupChange {
        description: change.description,
        environments: change.environments,
        profile_required: change.profile_required,
        disconnect_when_authorizer_leaves: change.disconnect_when_authorizer_leaves,
        allowance: change.allowance,
        alert_endpoint: change.alert_endpoint.map(|new| new.map(endpoint)),
        host: change.host,
    };
    let (group, secret) = api.service.update_group(&actor, &group, change).await?;
    let alert_secret = secret.map(|secret| secret.reveal().to_string());
    Ok(Json(ChangedGroup { group: GroupView::whole(&api, &actor, &group), alert_secret }))
}
