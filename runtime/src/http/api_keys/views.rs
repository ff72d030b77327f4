//! What is shown of API keys.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::api_key::{KeyClass, KeyStatus, Network, PlainApiKey, SecretSlot};
use crate::domain::audit::AuditEntry;
use crate::domain::id::{ApiKeyId, Environment, FlowId, Name, TriggerId};
use crate::domain::permission::Scope;
use crate::domain::usage::Tally;
use crate::http::usage::{self, AddressView, FlowView};
use crate::service::api_keys::{Investigation, KeyState, KeyUses, Permission};

/// A key, without its secret.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyView {
    /// Its public part.
    #[schema(value_type = String, example = "4fzDkMv0sXqL")]
    pub id: ApiKeyId,
    /// Its name.
    #[schema(value_type = String, example = "erp-order-sync-production")]
    pub name: Name,
    /// How its values begin.
    #[schema(example = "hg_live_4fzDkMv0sXqL")]
    pub prefix: String,
    /// Where it works.
    #[schema(value_type = String, example = "production")]
    pub environment: Environment,
    /// What it is used for.
    pub class: KeyClass,
    /// Notes.
    pub description: String,
    /// `active`, `expiring` (soon), `expired`, `disabled` or `revoked`.
    pub status: KeyStatus,
    /// Whether its primary value is older than recommended for its class.
    pub rotation_due: bool,
    /// Whether it has not been used for long.
    pub unused: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it was used last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used: Option<Timestamp>,
    /// From where it was used last.
    #[schema(value_type = Option<String>, example = "203.0.113.7")]
    pub last_address: Option<IpAddr>,
    /// When it expires.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
    /// Which flows it is for.
    pub permission: Permission,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// Requests in any minute; the server's default when absent.
    pub rate_per_minute: Option<u32>,
    /// Requests in a day; the server's default when absent.
    pub daily_quota: Option<u64>,
    /// The networks it may be used from; from everywhere when empty.
    #[schema(value_type = Vec<String>, example = json!(["203.0.113.0/24"]))]
    pub networks: Vec<Network>,
    /// Its values, without what is secret of them.
    pub secrets: Vec<SecretView>,
}

/// One value of a key, without what is secret of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretView {
    /// Which one; `overlap` is an old one that was rotated.
    pub slot: SecretSlot,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it ends on its own.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_after: Option<Timestamp>,
}

/// A key that was just made, or got a new value.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedApiKey {
    /// The key in clear. It is shown here and never again.
    #[schema(example = "hg_live_4fzDkMv0sXqL_...")]
    pub api_key: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub view: ApiKeyView,
}

/// A key's page.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyPage {
    /// Its configuration.
    #[serde(flatten)]
    pub view: ApiKeyView,
    /// What it can be used for at present.
    pub used_by: UsedBy,
}

/// What a key can be used for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UsedBy {
    /// The flows it can run, by name.
    pub flows: Vec<UsedFlowView>,
    /// The triggers it can fire or that name it, the latter first.
    pub triggers: Vec<UsedTriggerView>,
}

/// A flow that a key can run.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UsedFlowView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: FlowId,
    /// Its name.
    #[schema(value_type = String, example = "update-lead-status")]
    pub name: Name,
    /// Whether the key's permission, or a trigger of the flow, names the two together.
    pub named: bool,
}

/// A trigger that a key can fire, or that names it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UsedTriggerView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TriggerId,
    /// Whether it is the flow's built-in execute trigger.
    pub execute: bool,
    /// What it is for.
    pub description: String,
    /// The id of the flow it runs.
    #[schema(value_type = String)]
    pub flow: FlowId,
    /// The flow's name.
    #[schema(value_type = String, example = "update-lead-status")]
    pub flow_name: Name,
    /// Whether it names the key, rather than accept every key of the group.
    pub named: bool,
}

/// Everything about one key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct InvestigationView {
    /// Its configuration, and what it can be used for.
    #[serde(flatten)]
    pub page: ApiKeyPage,
    /// The newest entries of the audit log about it, or made with it.
    pub audit: Vec<AuditEntry>,
    /// Whether there may be older entries than these.
    pub older_audit: bool,
    /// What it was used for in the last 30 days.
    pub usage: Tally,
    /// The same by flow.
    pub flows: Vec<FlowView>,
    /// The same by the address that requests came from.
    pub addresses: Vec<AddressView>,
    /// What stands out.
    #[schema(example = json!(["It may be used from every network"]))]
    pub findings: Vec<String>,
    /// What to do if the key is in wrong hands, in this order.
    #[schema(example = json!(["Stop it at once: headgate keys revoke crm-production"]))]
    pub next_steps: Vec<String>,
}

impl ApiKeyView {
    pub(in crate::http) fn of(state: &KeyState) -> Self {
        let key = &state.key;
        let limits = key.limits.as_deref().copied().unwrap_or_default();
        let secret = |secret: &crate::domain::api_key::KeySecret| SecretView {
            slot: secret.slot,
            created: secret.created.as_deref().copied().unwrap_or(key.created),
            not_after: secret.not_after,
        };
        Self {
            id: key.id,
            name: key.name.clone(),
            prefix: key.prefix(),
            environment: key.environment.clone(),
            class: key.class(),
            description: key.description.to_string(),
            status: state.status,
            rotation_due: state.rotation_due,
            unused: state.unused,
            created: key.created,
            last_used: state.last_used.map(|last| last.at),
            last_address: state.last_used.and_then(|last| last.address),
            expires: key.expires,
            permission: Permission::from(&key.permission),
            scopes: key.scopes.iter().collect(),
            rate_per_minute: limits.rate_per_minute,
            daily_quota: limits.daily_quota,
            networks: key.networks.iter().copied().map(Network).collect(),
            secrets: key.secrets.iter().map(secret).collect(),
        }
    }
}

impl CreatedApiKey {
    pub(in crate::http) fn of((state, plain): &(KeyState, PlainApiKey)) -> Self {
        Self { api_key: plain.reveal().to_owned(), view: ApiKeyView::of(state) }
    }
}

impl ApiKeyPage {
    pub(super) fn of(state: &KeyState, uses: KeyUses) -> Self {
        let flow =
            |flow: crate::service::api_keys::UsedFlow| UsedFlowView { id: flow.id, name: flow.name, named: flow.named };
        let trigger = |trigger: crate::service::api_keys::UsedTrigger| UsedTriggerView {
            id: trigger.id,
            execute: trigger.execute,
            description: trigger.description,
            flow: trigger.flow,
            flow_name: trigger.flow_name,
            named: trigger.named,
        };
        let used_by = UsedBy {
            flows: uses.flows.into_iter().map(flow).collect(),
            triggers: uses.triggers.into_iter().map(trigger).collect(),
        };
        Self { view: ApiKeyView::of(state), used_by }
    }
}

impl InvestigationView {
    pub(super) fn of(found: Investigation) -> Self {
        Self {
            page: ApiKeyPage::of(&found.state, found.uses),
            audit: found.audit,
            older_audit: found.older,
            usage: found.usage.sum,
            flows: usage::flows(found.usage.flows),
            addresses: usage::addresses(found.usage.addresses),
            findings: found.findings,
            next_steps: found.next_steps,
        }
    }
}
