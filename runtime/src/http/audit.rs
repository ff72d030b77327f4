//! `/api/v1/groups/{group}/audit` and `/api/v1/audit`

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::audit::AuditEntry;
use crate::domain::id::GroupId;
use crate::http::ApiState;
use crate::http::extract::{Named, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::audit::{AuditCheck, AuditPage, AuditPlace, AuditQuery};

/// Which entries are wanted.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditParams {
    /// Entries before this one; the newest when absent.
    #[serde(default)]
    pub before: Option<u64>,
    /// How many at most: 1 to 500; 100 when absent.
    #[serde(default)]
    #[param(example = 100)]
    pub limit: Option<usize>,
    /// Entries that changed this kind of thing.
    #[serde(default)]
    #[param(example = "api-key")]
    pub noun: Option<String>,
}

/// Some entries, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditListView {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// The `before` of the next page; absent at the beginning of the log.
    #[schema(example = 7)]
    pub next: Option<u64>,
}

/// What is expected of the log.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VerifyParams {
    /// A `head` that was noted earlier: it must still be a part of the log.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub expect: Option<AuditPlace>,
}

/// What checking the whole log found.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditCheckView {
    /// How many entries there are.
    #[schema(example = 7)]
    pub entries: u64,
    /// The newest entry, `SEQUENCE:HASH`. Kept elsewhere, it shows later that nothing was cut off.
    #[schema(example = "7:5f0c...")]
    pub head: String,
    /// Whether every entry is as it was written, and none is missing.
    pub ok: bool,
    /// The first one that is not.
    pub broken: Option<BrokenEntry>,
}

/// An entry that is not as it was written.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BrokenEntry {
    /// Its number.
    #[schema(example = 3)]
    pub sequence: u64,
    /// What is wrong with it.
    #[schema(example = "it was changed after it was written")]
    pub reason: String,
}

impl From<AuditParams> for AuditQuery {
    fn from(params: AuditParams) -> Self {
        let AuditParams { before, limit, noun } = params;
        Self { before, limit, noun }
    }
}

impl From<AuditPage> for AuditListView {
    fn from(page: AuditPage) -> Self {
        Self { entries: page.entries, next: page.next }
    }
}

impl From<AuditCheck> for AuditCheckView {
    fn from(check: AuditCheck) -> Self {
        let broken = check.broken.map(|(sequence, reason)| BrokenEntry { sequence, reason: reason.to_owned() });
        Self { entries: check.head.sequence, head: check.head.to_string(), ok: broken.is_none(), broken }
    }
}

/// Lists the changes in a group, newest first.
#[utoipa::path(get, path = "/api/v1/groups/{group}/audit", tag = "audit", params(("group" = String, Path), AuditParams), responses(
    (status = OK, body = AuditListView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    Params(params): Params<AuditParams>,
) -> Result<Json<AuditListView>, Problem> {
    Ok(Json(api.service.list_audit(&actor, &group, &params.into())?.into()))
}

/// Lists the changes on the whole server, newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(AuditParams), responses(
    (status = OK, body = AuditListView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list_server(
    actor: Actor,
    State(api): State<ApiState>,
    Params(params): Params<AuditParams>,
) -> Result<Json<AuditListView>, Problem> {
    Ok(Json(api.service.list_server_audit(&actor, &params.into())?.into()))
}

/// Checks that every entry of the audit log is as it was written, and that none is missing.
#[utoipa::path(get, path = "/api/v1/audit/verify", tag = "audit", params(VerifyParams), responses(
    (status = OK, body = AuditCheckView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn verify(
    actor: Actor,
    State(api): State<ApiState>,
    Params(params): Params<VerifyParams>,
) -> Result<Json<AuditCheckView>, Problem> {
    Ok(Json(api.service.verify_audit(&actor, params.expect).await?.into()))
}
