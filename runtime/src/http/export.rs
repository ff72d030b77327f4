//! `/api/v1/groups/{group}/export` and `/api/v1/imports`

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use axum::Json;
use axum::body::Body as AxumBody;
use axum::extract::{FromRequest, FromRequestParts as _, Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use crate::domain::id::GroupId;
use crate::domain::permission::Role;
use crate::http::ApiState;
use crate::http::extract::{MaybeBody, Named, Params, read_body};
use crate::http::problem::{Problem, ProblemBody};
use crate::service::access::Actor;
use crate::service::export::Exported;
use crate::service::import::{ImportOptions, Imported};

/// The header with an archive's passphrase: its UTF-8 bytes in base64, as headers hold ASCII only.
pub const PASSPHRASE: &str = "headgate-passphrase";
/// How long a sender or a reader may take over an archive: 512 MiB at 4 Mbit/s.
const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// An archive is sent in pieces of so many bytes.
const PIECE: usize = 1 << 20;
/// How long a reader may take over one: who is this slow has gone, or holds the place for nothing.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// How a group is to be exported.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// Seals the secrets into the archive; without it they stay behind. At least 12 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "seven lamps under the bridge")]
    pub passphrase: Option<SecretString>,
}

/// How an archive is to be imported.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// The group's name here; the one it had when absent.
    #[serde(rename = "as")]
    #[param(value_type = Option<String>, example = "acme")]
    pub name: Option<GroupId>,
    /// Leaves the archive's secrets sealed, as if it had none.
    #[serde(default)]
    pub without_secrets: bool,
    /// Gives the API keys new values, which are answered once; otherwise they are disabled until somebody does.
    #[serde(default)]
    pub new_keys: bool,
}

/// What an import made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ImportView {
    /// The group.
    #[schema(value_type = String, example = "acme")]
    pub group: GroupId,
    /// How many records of each kind.
    #[schema(example = json!({"group": 1, "flow": 2, "flow-version": 5, "trigger": 2}))]
    pub records: BTreeMap<String, u64>,
    /// How many modules.
    #[schema(example = 4)]
    pub modules: usize,
    /// Whether the secrets came along.
    pub with_secrets: bool,
    /// Ids that were taken on this server, and what they were replaced by.
    #[schema(example = json!({"flw_0123456789abcdefghij": "flw_abcdefghij0123456789"}))]
    pub renamed: BTreeMap<String, String>,
    /// The triggers with a routing key.
    pub triggers: Vec<ImportedTriggerView>,
    /// API keys with new values. They are shown here and never again.
    pub api_keys: Vec<ImportedKeyView>,
    /// What is left to do before all works as it did.
    pub left_to_do: Vec<LeftToDoView>,
    /// Who belonged to the group where it was exported. Nobody was made a member.
    pub members: Vec<FormerMember>,
}

/// A trigger that was imported.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ImportedTriggerView {
    /// Its id.
    #[schema(example = "trg_0123456789abcdefghij")]
    pub id: String,
    /// Its id before.
    #[schema(example = "trg_0123456789abcdefghij")]
    pub old_id: String,
    /// Its flow.
    #[schema(example = "update-lead-status")]
    pub flow: String,
    /// What it is for.
    pub description: String,
    /// Where it is called.
    #[schema(example = "https://flows.example.com/hooks/0123456789abcdefghijABCD")]
    pub url: String,
    /// Whether its routing key is the one it had; otherwise whoever calls it needs the new URL.
    pub routing_key_kept: bool,
}

/// An API key with its new value.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ImportedKeyView {
    /// Its name.
    #[schema(example = "erp")]
    pub name: String,
    /// The whole key.
    #[schema(example = "hg_live_0123456789ab_...")]
    pub api_key: String,
}

/// Something a person has to do.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LeftToDoView {
    /// What kind of thing it is about.
    #[schema(example = "connection")]
    pub kind: String,
    /// Its id.
    #[schema(example = "con_0123456789abcdefghij")]
    pub id: String,
    /// Its name.
    #[schema(example = "crm (production)")]
    pub name: String,
    /// Why something is to be done.
    #[schema(example = "it needs authorization")]
    pub why: String,
    /// What to do.
    #[schema(example = "headgate -g acme connections authorize con_0123456789abcdefghij")]
    pub remedy: String,
}

/// Somebody who belonged to the group.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FormerMember {
    /// Their address.
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// Their role.
    pub role: Role,
}

impl ImportView {
    fn of(imported: Imported, public_url: &str) -> Self {
        let triggers = imported.triggers.into_iter().map(|trigger| ImportedTriggerView {
            id: trigger.id,
            old_id: trigger.old_id,
            flow: trigger.flow.to_string(),
            description: trigger.description,
            url: format!("{public_url}/hooks/{}", trigger.routing_key.reveal()),
            routing_key_kept: trigger.kept,
        });
        let key = |(name, key): (_, crate::domain::api_key::PlainApiKey)| ImportedKeyView {
            name: String::from(name),
            api_key: key.reveal().to_owned(),
        };
        let left = imported.left.into_iter().map(|left| LeftToDoView {
            kind: left.kind,
            id: left.id,
            name: left.name,
            why: left.why,
            remedy: left.remedy,
        });
        let members = imported.members.into_iter();
        Self {
            group: imported.group,
            records: imported.records,
            modules: imported.modules,
            with_secrets: imported.with_secrets,
            renamed: imported.renamed,
            triggers: triggers.collect(),
            api_keys: imported.keys.into_iter().map(key).collect(),
            left_to_do: left.collect(),
            members: members.map(|member| FormerMember { email: member.email, role: member.role }).collect(),
        }
    }
}

impl IntoResponse for Exported {
    fn into_response(self) -> Response {
        let Self { parts, size, turn } = self;
        let body = AxumBody::from_stream(sent_in_time(parts, turn));
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
            (header::CONTENT_LENGTH, HeaderValue::from(size)),
        ];
        (headers, body).into_response()
    }
}

/// The parts of an archive, in pieces. The place in memory is held until the last one is on its way, and no longer than
/// the reader may take: one who reads slowly, or no more, finds its archive cut off.
fn sent_in_time(parts: Vec<Bytes>, turn: OwnedSemaphorePermit) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let sending = async {
            for mut part in parts {
                while !part.is_empty() {
                    let piece = part.split_to(part.len().min(PIECE));
                    if sender.send_timeout(Ok(piece), PIECE_TIMEOUT).await.is_err() {
                        return false;
                    }
                }
            }
            true
        };
        // What was not sent is dropped before somebody else's archive takes the place.
        let whole = timeout(ARCHIVE_TIMEOUT, sending).await.unwrap_or_default();
        drop(turn);
        if !whole {
            let _gone = sender.send(Err(io::Error::from(io::ErrorKind::TimedOut))).await;
        }
    });
    futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}

/// An archive that an operator sends, and its place in memory.
pub struct Sent {
    bytes: Bytes,
    passphrase: Option<SecretString>,
    turn: OwnedSemaphorePermit,
}

impl FromRequest<ApiState> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &ApiState) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        // Nobody else fills the server's memory.
        let actor = Actor::from_request_parts(&mut parts, api).await?;
        let turn = api.service.begin_import(&actor).await?;
        let passphrase = passphrase(&parts.headers)?;
        let bytes = read_body(&parts.headers, body, api.service.settings().max_archive, ARCHIVE_TIMEOUT).await?;
        Ok(Self { bytes, passphrase, turn })
    }
}

fn passphrase(headers: &HeaderMap) -> Result<Option<SecretString>, Problem> {
    let Some(value) = headers.get(PASSPHRASE) else { return Ok(None) };
    let text = BASE64.decode(value.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let message = format!("The header {PASSPHRASE} holds the passphrase in base64");
    let text = text.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "invalid_request", message))?;
    Ok(Some(text.into()))
}

/// Exports everything of a group as one file, without its secrets or with them, sealed with a passphrase. That is an
/// operator's.
#[utoipa::path(post, path = "/api/v1/groups/{group}/export", tag = "groups", request_body = Option<ExportRequest>, params(("group" = String, Path)), responses(
    (status = OK, description = "The archive", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn export(
    actor: Actor,
    State(api): State<ApiState>,
    Named(group): Named<GroupId>,
    MaybeBody(wanted): MaybeBody<ExportRequest>,
) -> Result<Exported, Problem> {
    Ok(api.service.export_group(&actor, &group, wanted.passphrase).await?)
}

/// Makes a group of an archive, or fills one that has nothing but members: all of it or nothing.
#[utoipa::path(post, path = "/api/v1/imports", tag = "groups", request_body(content = Vec<u8>, content_type = "application/octet-stream"), params(
    ImportQuery,
    ("headgate-passphrase" = Option<String>, Header, description = "What the archive's secrets are sealed with, in base64"),
), responses(
    (status = CREATED, body = ImportView),
    (status = BAD_REQUEST, body = ProblemBody, content_type = "application/problem+json"),
    (status = FORBIDDEN, body = ProblemBody, content_type = "application/problem+json"),
    (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json"),
    (status = UNPROCESSABLE_ENTITY, description = "A module is refused", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn import(
    actor: Actor,
    State(api): State<ApiState>,
    Params(query): Params<ImportQuery>,
    sent: Sent,
) -> Result<(StatusCode, Json<ImportView>), Problem> {
    let Sent { bytes, passphrase, turn } = sent;
    let ImportQuery { name, without_secrets, new_keys } = query;
    let options = ImportOptions { name, passphrase, without_secrets, new_keys };
    let imported = api.service.import_group(&actor, bytes, options).await?;
    drop(turn);
    Ok((StatusCode::CREATED, Json(ImportView::of(imported, &api.public_url))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::StreamExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn an_archive_is_sent_whole_and_whoever_goes_away_frees_the_place() {
        let places = Arc::new(Semaphore::new(1));
        let parts = vec![Bytes::from(vec![1; 2 * PIECE + 1]), Bytes::new(), Bytes::from_static(b"end")];
        let turn = places.clone().acquire_owned().await.unwrap();
        let sent: Vec<_> = sent_in_time(parts.clone(), turn).map(Result::unwrap).collect().await;
        assert_eq!(sent.concat(), parts.concat());
        assert!(sent.iter().all(|piece| piece.len() <= PIECE));
        let turn = places.clone().acquire_owned().await.unwrap();
        let mut sending = Box::pin(sent_in_time(parts, turn));
        assert_eq!(sending.next().await.unwrap().unwrap().len(), PIECE);
        assert_eq!(places.available_permits(), 0);
        drop(sending);
        let _free = places.acquire().await.unwrap();
    }
}
