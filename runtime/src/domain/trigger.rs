//! HTTP triggers: who may fire them, how they answer.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::challenge::Challenge;
use crate::domain::cors::Cors;
use crate::domain::id::{ApiKeyId, Environment, FlowId, GroupId, TriggerId};
use crate::domain::idempotency::Idempotency;
use crate::domain::path_template::PathTemplate;
use crate::domain::secret;
use crate::domain::signature::Signature;

/// Letters and digits of a routing key: 142 bits.
pub const ROUTING_KEY_LENGTH: usize = 24;

/// Selects a trigger. Sensitive: it is shown to the group's people and never printed.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoutingKey(Arc<str>);

impl RoutingKey {
    /// A new routing key.
    pub fn generate(fill: impl FnMut(&mut [u8])) -> Self {
        Self(secret::random_text(ROUTING_KEY_LENGTH, fill).into())
    }

    /// The text, for the trigger's URL.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoutingKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = text.len() == ROUTING_KEY_LENGTH && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if valid { Ok(Self(text.into())) } else { Err("a routing key is 24 letters or digits") }
    }
}

impl TryFrom<String> for RoutingKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RoutingKey> for String {
    fn from(key: RoutingKey) -> Self {
        key.0.as_ref().to_owned()
    }
}

impl fmt::Debug for RoutingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoutingKey")
    }
}

/// How a trigger answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Respond {
    /// With the flow's own response.
    #[default]
    Sync,
    /// With 202 and the run's id, as soon as the run is durable.
    Async,
}

/// Which keys of the group a trigger accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptedKeys {
    /// Every key of the group.
    All,
    /// These only.
    Only(BTreeSet<ApiKeyId>),
}

impl AcceptedKeys {
    /// Whether a key is accepted.
    pub fn accepts(&self, key: &ApiKeyId) -> bool {
        match self {
            Self::All => true,
            Self::Only(keys) => keys.contains(key),
        }
    }
}

/// The methods an HTTP trigger can take.
pub const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// What every HTTP trigger has, the built-in execute trigger included.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HttpSettings {
    /// Accepted keys.
    pub keys: AcceptedKeys,
    /// Accepted methods.
    pub methods: BTreeSet<String>,
    /// How it answers.
    pub respond: Respond,
    /// How long a synchronous caller waits at most; the server's default when absent. Milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// The largest body in bytes; the server's default when absent.
    #[serde(default)]
    pub max_body: Option<u64>,
    /// Whether the key may come as `?api_key=` or `?auth-key=`.
    #[serde(default)]
    pub key_in_query: bool,
    /// Whether the key may be the last segment of the path.
    #[serde(default)]
    pub key_in_path: bool,
    /// A check of the request's signature.
    #[serde(default)]
    pub signature: Option<Signature>,
    /// Which pages' scripts may call it; browsers keep theirs from reading the answers when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// How it tells requests that it has had before; each one is run when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
    /// The sender's handshake, which the server answers.
    #[serde(default)]
    pub challenge: Option<Challenge>,
}

impl HttpSettings {
    /// What every trigger begins with: any key of the group, POST, synchronous.
    pub fn initial() -> Self {
        Self {
            keys: AcceptedKeys::All,
            methods: BTreeSet::from(["POST".to_owned()]),
            respond: Respond::Sync,
            timeout_ms: None,
            max_body: None,
            key_in_query: false,
            key_in_path: false,
            signature: None,
            challenge: None,
            cors: None,
            idempotency: None,
        }
    }
}

/// A path of a trigger besides its routing key: `/g/{group}/{template}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerPath {
    /// What the path looks like.
    pub template: PathTemplate,
    /// The environment whose keys find it; those of every environment when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
}

impl TriggerPath {
    /// Whether a key of some environment could find this path and another.
    pub fn meets(&self, other: &Self) -> bool {
        match (&self.environment, &other.environment) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
    }
}

/// A trigger with a routing key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trigger {
    /// Its id.
    pub id: TriggerId,
    /// Whose it is.
    pub group: GroupId,
    /// Which flow it runs.
    pub flow: FlowId,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Selects it.
    pub routing_key: RoutingKey,
    /// Its own path, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<TriggerPath>,
    /// Who may fire it, and how it answers.
    pub settings: Arc<HttpSettings>,
    /// When it was made.
    pub created: Timestamp,
}

/// Any HTTP trigger: one with a routing key, or a flow's built-in execute trigger.
#[derive(Debug, Clone)]
pub struct HttpTrigger {
    /// Its id.
    pub id: TriggerId,
    /// Which flow it runs.
    pub flow: FlowId,
    /// What it is for.
    pub description: String,
    /// Selects it; the execute trigger has none.
    pub routing_key: Option<RoutingKey>,
    /// Its own path, where it has one.
    pub path: Option<TriggerPath>,
    /// Who may fire it, and how it answers.
    pub settings: Arc<HttpSettings>,
    /// When it was made.
    pub created: Timestamp,
}

impl From<&Trigger> for HttpTrigger {
    fn from(trigger: &Trigger) -> Self {
        Self {
            id: trigger.id.clone(),
            flow: trigger.flow.clone(),
            description: trigger.description.clone(),
            routing_key: Some(trigger.routing_key.clone()),
            path: trigger.path.clone(),
            settings: trigger.settings.clone(),
            created: trigger.created,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routing_key_is_not_printed() {
        let key = RoutingKey::generate(|bytes| bytes.fill(3));
        assert_eq!(format!("{key:?}"), "RoutingKey");
        assert_eq!(key.reveal().parse::<RoutingKey>().unwrap(), key);
        assert!("short".parse::<RoutingKey>().is_err());
    }
}
