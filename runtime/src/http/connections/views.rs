//! What is shown of connections.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::connection::{ConnectionKind, Health, LastError, PinChange, TestReport};
use crate::domain::id::{AppRegistrationId, ConnectionId, ConnectorName, Environment, FlowId, Name, Slot, TriggerId};
use crate::service::connections::{ConnectionDetails, ConnectionScopes, ConnectionUse, Disconnected};

/// A connection. Of its secrets only the names are shown.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectionView {
    /// Its id.
    #[schema(value_type = String, example = "con_0aB1cD2eF3gH4iJ5kL6m")]
    pub id: ConnectionId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// Where it works.
    #[schema(value_type = String)]
    pub environment: Environment,
    /// For which connector.
    #[schema(value_type = String)]
    pub connector: ConnectorName,
    /// Of which kind.
    #[schema(example = "api_key")]
    pub kind: ConnectionKind,
    /// Which of the connector's ways to authenticate.
    pub auth: String,
    /// Where its requests may go, pinned when it was made.
    #[schema(example = json!(["https://api.hubapi.com/"]))]
    pub base_urls: Vec<String>,
    /// Non-secret settings.
    pub config: BTreeMap<String, String>,
    /// The names of its secret fields.
    pub secrets: Vec<String>,
    /// How it stands.
    #[schema(example = "green")]
    pub health: Health,
    /// Why, and what to do.
    #[schema(example = "It works, as far as is known")]
    pub health_reason: String,
    /// When a method was called through it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used: Option<Timestamp>,
    /// When its token was got last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_refreshed: Option<Timestamp>,
    /// When its token ends; it is refreshed before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
    /// The last call, or refresh of its token, that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// The last test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_test: Option<TestReport>,
    /// Whose account it is, where the app said so at a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "ada@example.com")]
    pub account: Option<String>,
    /// Whose OAuth client it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "app_0aB1cD2eF3gH4iJ5kL6m")]
    pub registration: Option<AppRegistrationId>,
    /// Its scopes, where it is an OAuth connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<ScopesView>,
    /// Who consented at the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "ada@example.com")]
    pub authorized_by: Option<String>,
    /// Whether whoever consented is no member of the group any more.
    pub authorizer_left: bool,
    /// The slots that are bound to it.
    pub used_by: Vec<UseView>,
    /// What its connector offers today instead of what is pinned. Calls go on with what is pinned until an owner consents.
    pub upgrade: Vec<PinChange>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

/// The scopes of a connection.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ScopesView {
    /// Those it asks for.
    #[schema(example = json!(["crm.objects.contacts.read"]))]
    pub wanted: Vec<String>,
    /// Those the app granted; absent before it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["crm.objects.contacts.read"]))]
    pub granted: Option<Vec<String>>,
    /// The methods that were called through it and lack a scope.
    pub missing: Vec<MissingView>,
}

/// A method without a scope it needs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MissingView {
    /// The method.
    #[schema(example = "update_contact")]
    pub method: String,
    /// The scopes of which it needs one.
    #[schema(example = json!(["crm.objects.contacts.write"]))]
    pub any_of: Vec<String>,
}

/// A slot that is bound to a connection.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UseView {
    /// The flow's id.
    #[schema(value_type = String, example = "flw_0aB1cD2eF3gH4iJ5kL6m")]
    pub flow: FlowId,
    /// The flow's name.
    #[schema(value_type = String, example = "update-lead-status")]
    pub name: Name,
    /// Where.
    #[schema(value_type = String, example = "production")]
    pub environment: Environment,
    /// The slot.
    #[schema(value_type = String, example = "crm")]
    pub slot: Slot,
    /// The flow's triggers.
    pub triggers: Vec<TriggerUseView>,
}

/// A trigger of a flow that uses a connection.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TriggerUseView {
    /// Its id.
    #[schema(value_type = String, example = "trg_0aB1cD2eF3gH4iJ5kL6m")]
    pub id: TriggerId,
    /// What it is for.
    #[schema(example = "Zendesk: ticket solved")]
    pub description: String,
}

/// A connection that was disconnected.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DisconnectedView {
    /// The connection.
    pub connection: ConnectionView,
    /// Whether the app revoked the tokens; absent where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<bool>,
    /// What happened and what is left to do.
    #[schema(example = "The app revoked the tokens, and they were wiped here")]
    pub message: String,
}

impl From<ConnectionDetails> for ConnectionView {
    fn from(details: ConnectionDetails) -> Self {
        let ConnectionDetails { connection, record, .. } = details;
        Self {
            id: connection.id.clone(),
            name: connection.name.clone(),
            environment: connection.environment.clone(),
            connector: connection.connector.clone(),
            kind: connection.kind,
            auth: connection.auth.clone(),
            base_urls: connection.base_urls.iter().map(ToString::to_string).collect(),
            config: connection.config.clone(),
            secrets: connection.secrets.keys().cloned().collect(),
            health: details.health,
            health_reason: details.reason,
            last_used: record.last_used,
            last_refreshed: details.refreshed,
            expires: details.expires,
            last_error: record.last_error,
            last_test: record.last_test,
            account: record.account,
            registration: connection.oauth.as_ref().map(|oauth| oauth.registration.clone()),
            scopes: details.scopes.map(ScopesView::from),
            authorized_by: details.authorized_by.map(|email| email.to_string()),
            authorizer_left: details.authorizer_left,
            used_by: details.used_by.into_iter().map(UseView::from).collect(),
            upgrade: details.upgrade,
            created: connection.created,
        }
    }
}

impl From<ConnectionScopes> for ScopesView {
    fn from(scopes: ConnectionScopes) -> Self {
        let ConnectionScopes { wanted, granted, missing } = scopes;
        let missing = missing.into_iter().map(|one| MissingView { method: one.method, any_of: one.any_of });
        Self { wanted, granted, missing: missing.collect() }
    }
}

impl From<ConnectionUse> for UseView {
    fn from(one: ConnectionUse) -> Self {
        let ConnectionUse { flow, name, environment, slot, triggers } = one;
        let triggers = triggers.into_iter().map(|(id, description)| TriggerUseView { id, description });
        Self { flow, name, environment, slot, triggers: triggers.collect() }
    }
}

impl From<Disconnected> for DisconnectedView {
    fn from(done: Disconnected) -> Self {
        let Disconnected { connection, revoked, message } = done;
        Self { connection: connection.into(), revoked, message }
    }
}
