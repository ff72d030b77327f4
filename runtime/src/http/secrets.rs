//! `/api/v1/secrets`: the key that all secrets are encrypted under

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::ApiState;
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::secrets::SecretsStatus;

/// The key-encryption key, under which all secrets are encrypted. Ids tell nothing of the keys.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretsView {
    /// The id of the key in use.
    #[schema(example = "9f2c41d07be35a18")]
    pub key: String,
    /// The newest rotation; absent where there was none.
    pub rotation: Option<RotationView>,
    /// Files of keys that were replaced. Nothing needs them but backups of the store from before: keep them as long as those.
    #[schema(example = json!(["/var/lib/headgate/keys/key-encryption-key.3b7e05c2d94f8a16.retired"]))]
    pub retired: Vec<String>,
}

/// How far a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RotationState {
    /// Keys are being wrapped anew.
    Running,
    /// All is done; the old key is not needed any more.
    Finished,
    /// It stopped before its end, and goes on at the server's next start or when it is asked for again.
    Interrupted,
}

/// A replacement of the key-encryption key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RotationView {
    /// The old key's id.
    #[schema(example = "3b7e05c2d94f8a16")]
    pub from: String,
    /// The new key's id.
    #[schema(example = "9f2c41d07be35a18")]
    pub to: String,
    /// Where it stands.
    pub state: RotationState,
    /// When it began.
    #[schema(value_type = String, format = DateTime, example = "2027-01-31T12:00:00Z")]
    pub started: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime, example = "2027-01-31T12:00:01Z")]
    pub finished: Option<Timestamp>,
    /// How many keys were wrapped anew since the server's start.
    #[schema(example = 12)]
    pub done: u64,
    /// How many there are.
    #[schema(example = 12)]
    pub total: u64,
    /// Why it stopped.
    pub failed: Option<String>,
}

impl From<SecretsStatus> for SecretsView {
    fn from(status: SecretsStatus) -> Self {
        let SecretsStatus { key, rotation, progress, retired } = status;
        let rotation = rotation.map(|rotation| RotationView {
            state: match rotation.finished {
                _ if progress.running => RotationState::Running,
                Some(_) => RotationState::Finished,
                None => RotationState::Interrupted,
            },
            from: rotation.from,
            to: rotation.to,
            started: rotation.started,
            finished: rotation.finished,
            done: progress.done,
            total: progress.total,
            failed: progress.failed,
        });
        Self { key, rotation, retired }
    }
}

/// Shows which key secrets are encrypted under, and how far its replacement is.
#[utoipa::path(get, path = "/api/v1/secrets", tag = "secrets", responses(
    (status = OK, body = SecretsView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn show(actor: Actor, State(api): State<ApiState>) -> Result<Json<SecretsView>, Problem> {
    Ok(Json(api.service.secrets_status(&actor)?.into()))
}

/// Replaces the key-encryption key while the server works. It goes on in the background, also after a restart.
#[utoipa::path(post, path = "/api/v1/secrets/rotate", tag = "secrets", responses(
    (status = ACCEPTED, body = SecretsView),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn rotate(actor: Actor, State(api): State<ApiState>) -> Result<(StatusCode, Json<SecretsView>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(api.service.rotate_secrets(&actor).await?.into())))
}
