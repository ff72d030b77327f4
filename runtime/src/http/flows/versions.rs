//! `/api/v1/groups/{group}/flows/{flow}/versions` and `.../diff`

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::domain::flow::SourceRevision;
use crate::domain::id::GroupId;
use crate::http::ApiState;
use crate::http::extract::{Module, Named, Params};
use crate::http::flows::{DiffView, VersionDetails, VersionView};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::error::ServiceError;
use crate::service::flows::{NewVersion, VersionName};

/// What accompanies a push.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PushParams {
    /// What its author says of it.
    #[serde(default)]
    #[param(example = "Update deals as well")]
    pub note: String,
    /// The revision of the source it was built from, such as a commit's hash.
    #[serde(default)]
    #[param(example = "4f1c2a9d0b7e4c55a1e2f3a4b5c6d7e8f9a0b1c2")]
    pub revision: Option<String>,
    /// Whether there were changes that the revision does not have.
    #[serde(default)]
    pub dirty: bool,
    /// Whether it is a draft: the next push comes in its place, under its number, unless it is published before.
    #[serde(default)]
    pub draft: bool,
}

/// Which versions are wanted.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Those before this one: the next page.
    #[serde(default)]
    #[param(example = 51)]
    pub before: Option<u32>,
    /// At most this many, up to 500; 50 when absent.
    #[serde(default)]
    #[param(example = 50)]
    pub limit: Option<usize>,
}

/// Which versions are compared.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CompareParams {
    /// A version's number, or an environment: what is published there. The version before `to` when absent.
    #[serde(default)]
    #[param(example = "production")]
    pub from: Option<String>,
    /// Likewise; the newest version when absent.
    #[serde(default)]
    #[param(example = "test")]
    pub to: Option<String>,
}

impl PushParams {
    fn source(&self) -> Option<SourceRevision> {
        self.revision.clone().map(|revision| SourceRevision { revision, dirty: self.dirty })
    }
}

/// Lists the versions of a flow, newest first.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows/{flow}/versions", tag = "flows", params(("group" = String, Path), ("flow" = String, Path), ListParams), responses(
    (status = OK, body = Vec<VersionView>),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list_versions(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Params(params): Params<ListParams>,
) -> Result<Json<Vec<VersionView>>, Problem> {
    let versions = api.service.list_versions(&actor, &group, &flow, params.before, params.limit)?;
    Ok(Json(versions.into_iter().map(VersionView::from).collect()))
}

/// Shows a version with what it says about itself.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows/{flow}/versions/{version}", tag = "flows", params(("group" = String, Path), ("flow" = String, Path), ("version" = u32, Path)), responses(
    (status = OK, body = VersionDetails),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn get_version(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow, version)): Named<(GroupId, String, u32)>,
) -> Result<Json<VersionDetails>, Problem> {
    Ok(Json(api.service.get_version(&actor, &group, &flow, version).await?.into()))
}

/// Pushes a version. The module is checked and compiled first; nothing that runs changes. The same bytes as those of
/// the newest version are that version, and no other is made.
#[utoipa::path(put, path = "/api/v1/groups/{group}/flows/{flow}/versions", tag = "flows", request_body(content = Vec<u8>, content_type = "application/wasm"), params(("group" = String, Path), ("flow" = String, Path), PushParams), responses(
    (status = CREATED, body = VersionView),
    (status = OK, description = "The newest version is this module already", body = VersionView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "The module is refused", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn push_version(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Params(params): Params<PushParams>,
    Module(bytes): Module,
) -> Result<(StatusCode, Json<VersionView>), Problem> {
    let source = params.source();
    let new = NewVersion { bytes, note: params.note, source, draft: params.draft };
    let pushed = api.service.push_version(&actor, &group, &flow, new).await?;
    let status = if pushed.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(pushed.version.into())))
}

/// Compares two versions of a flow, or what is published in two environments.
#[utoipa::path(get, path = "/api/v1/groups/{group}/flows/{flow}/diff", tag = "flows", params(("group" = String, Path), ("flow" = String, Path), CompareParams), responses(
    (status = OK, body = DiffView),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, description = "Nothing is published there", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn compare_versions(
    actor: Actor,
    State(api): State<ApiState>,
    Named((group, flow)): Named<(GroupId, String)>,
    Params(params): Params<CompareParams>,
) -> Result<Json<DiffView>, Problem> {
    let name = |text: String| text.parse::<VersionName>().map_err(ServiceError::Invalid);
    let (from, to) = (params.from.map(name).transpose()?, params.to.map(name).transpose()?);
    Ok(Json(api.service.compare_versions(&actor, &group, &flow, from.as_ref(), to.as_ref()).await?.into()))
}
