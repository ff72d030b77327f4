//! What is shown of flows and their versions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::audit::AuditActor;
use crate::domain::flow::diff::{DescribedVersion, FlowDiff};
use crate::domain::flow::{Flow, FlowVersion, SourceRevision};
use crate::domain::id::{ConnectionId, Environment, FlowId, Name, Slot, TriggerId};
use crate::http::Api;
use crate::service::flows::Compared;

/// A flow.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FlowView {
    /// Its id, unique on the server.
    #[schema(value_type = String)]
    pub id: FlowId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// Notes.
    pub description: String,
    /// The number of the newest version; 0 before the first push.
    pub latest: u32,
    /// Which version is published in which environment.
    #[schema(value_type = BTreeMap<String, u32>)]
    pub published: BTreeMap<Environment, u32>,
    /// Which connection each slot is bound to, by environment.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, String>>)]
    pub slots: BTreeMap<Environment, BTreeMap<Slot, ConnectionId>>,
    /// Whether it has an HTTP trigger of its own, besides the execute trigger that every flow has.
    pub has_http_trigger: bool,
    /// The id of its execute trigger.
    #[schema(value_type = String)]
    pub execute_trigger: TriggerId,
    /// Where its execute trigger is called: `POST` with an API key.
    pub execute_url: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

/// A pushed version.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// Its number.
    #[schema(example = 3)]
    pub version: u32,
    /// The module's digest: `sha256:` and 64 hexadecimal digits.
    #[schema(example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub digest: String,
    /// The module's size in bytes.
    #[schema(example = 182_272)]
    pub size: u64,
    /// What its author said of it.
    #[schema(example = "Update deals as well")]
    pub note: String,
    /// Who pushed it; absent for versions of earlier servers.
    pub author: Option<AuditActor>,
    /// What it was built from, if its author said.
    pub source: Option<SourceRevision>,
    /// When it was pushed.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// Whether it is a draft: the next push comes in its place, unless it is published before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draft: bool,
}

/// A version with what it says about itself.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionDetails {
    /// What a list shows.
    #[serde(flatten)]
    pub version: VersionView,
    /// The interfaces it imports, with versions.
    #[schema(example = json!(["headgate:runtime/connections@0.1.0"]))]
    pub imports: Vec<String>,
    /// What its `describe` export returned: the schemas of event and answer, and its slots with their connectors and
    /// methods. Empty for a flow that says nothing; such a flow is published without checks.
    #[schema(value_type = Object, example = json!({"slots": [{"name": "crm", "connector": "hubspot", "methods": [{"name": "get_contact"}]}]}))]
    pub manifest: Value,
}

/// Two versions, and what differs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DiffView {
    /// The first one.
    pub before: VersionView,
    /// The second one.
    pub after: VersionView,
    /// What differs. Triggers are the flow's and not its versions'.
    #[serde(flatten)]
    pub diff: FlowDiff,
}

impl FlowView {
    pub(super) fn of(flow: &Flow, api: &Api) -> Self {
        Self {
            id: flow.id.clone(),
            name: flow.name.clone(),
            description: flow.description.clone(),
            latest: flow.latest,
            published: flow.published.iter().map(|(name, publication)| (name.clone(), publication.version)).collect(),
            slots: flow.slots.clone(),
            has_http_trigger: api.service.catalog().triggers_of(&flow.id).next().is_some(),
            execute_trigger: flow.execute.id.clone(),
            execute_url: format!("{}/flows/{}/execute", api.public_url, flow.id),
            created: flow.created,
        }
    }
}

impl From<FlowVersion> for VersionView {
    fn from(version: FlowVersion) -> Self {
        let FlowVersion { flow: _, version, digest, size, note, created, author, source, imports: _, draft } = version;
        Self { version, digest: digest.to_string(), size, note, author, source, created, draft }
    }
}

impl From<DescribedVersion> for VersionDetails {
    fn from(described: DescribedVersion) -> Self {
        let DescribedVersion { version, manifest } = described;
        let imports = version.imports.clone();
        let manifest = serde_json::to_value(manifest).expect("manifests have text keys only");
        Self { version: version.into(), imports, manifest }
    }
}

impl From<Compared> for DiffView {
    fn from(compared: Compared) -> Self {
        let Compared { before, after, diff } = compared;
        Self { before: before.version.into(), after: after.version.into(), diff }
    }
}
