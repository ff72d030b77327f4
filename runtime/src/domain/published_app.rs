//! Published apps: flows offered under a name of their own, with a description of what they take.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::id::{FlowId, GroupId, Name, TriggerId};
use crate::domain::input_schema::InputSchema;
use crate::domain::trigger::HttpSettings;

/// A flow offered as an app: `POST /apps/{slug}/execute`. It runs what is published in the environment of the caller's key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublishedApp {
    /// Whose it is. The path names no group: the caller's key does.
    pub group: GroupId,
    /// Its name in the path, unique in the group.
    pub slug: Name,
    /// Which flow it runs.
    pub flow: FlowId,
    /// Its trigger's id, as runs name it.
    pub trigger: TriggerId,
    /// What people call it.
    pub title: String,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// What its input has to be; anything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<InputSchema>,
    /// An input that it takes, to begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Value>,
    /// How it answers: the settings any HTTP trigger has.
    pub settings: Arc<HttpSettings>,
    /// When it was made.
    pub created: Timestamp,
}
