//! What people say of a key they want, and the checks of it.

use std::collections::BTreeSet;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::domain::api_key::{ApiKey, Expiry, KeyClass, KeyLimits, KeyPermission, Network};
use crate::domain::id::{Environment, GroupId, Name};
use crate::domain::permission::{Scope, ScopeSet};
use crate::service::access::Actor;
use crate::service::catalog::Catalog;
use crate::service::check_description;
use crate::service::error::ServiceError;
use crate::service::flows;

/// Flows a key can be for, and networks it can be used from: both are held in memory and searched at each request.
const MAX_SELECTED: usize = 1000;
const MAX_NETWORKS: usize = 100;

/// Which flows a key is for, as people say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Permission {
    /// Every flow of the group.
    AllFlows {},
    /// These flows, and their runs.
    SelectedFlows {
        /// Their ids or names; answers have ids.
        #[schema(example = json!(["update-lead-status"]))]
        flows: Vec<String>,
    },
    /// Reads, and runs nothing.
    ReadOnly {},
}

impl Default for Permission {
    fn default() -> Self {
        Self::AllFlows {}
    }
}

impl From<&KeyPermission> for Permission {
    fn from(permission: &KeyPermission) -> Self {
        match permission {
            KeyPermission::AllFlows => Self::AllFlows {},
            KeyPermission::SelectedFlows(flows) => {
                Self::SelectedFlows { flows: flows.iter().map(ToString::to_string).collect() }
            }
            KeyPermission::ReadOnly => Self::ReadOnly {},
        }
    }
}

/// A key to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// Its name, unique in the group; flows are told `Key: NAME`.
    #[schema(value_type = String, example = "erp-order-sync-production")]
    pub name: Name,
    /// Notes.
    #[serde(default)]
    #[schema(example = "Used by the ERP system to trigger order sync flows")]
    pub description: String,
    /// Where it works.
    #[serde(default = "Environment::production")]
    #[schema(value_type = String, example = "production")]
    pub environment: Environment,
    /// What it is used for, which decides when it should be rotated; derived from the environment when absent.
    #[serde(default)]
    #[schema(example = "production")]
    pub class: Option<KeyClass>,
    /// When it expires: a time, or a span from now such as `30d`, `90d` or `1y`; never when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "90d")]
    pub expires: Option<Expiry>,
    /// Which flows it is for; all when absent.
    #[serde(default)]
    pub permission: Permission,
    /// What it may be used for; what its permission gives when absent.
    #[serde(default)]
    #[schema(example = json!(["flows:execute", "runs:read"]))]
    pub scopes: Option<Vec<Scope>>,
    /// Requests in any minute; the server's default when absent.
    #[serde(default)]
    #[schema(example = 600)]
    pub rate_per_minute: Option<u32>,
    /// Requests in a day (UTC); the server's default when absent.
    #[serde(default)]
    #[schema(example = 100_000)]
    pub daily_quota: Option<u64>,
    /// The networks it may be used from, in CIDR notation or as addresses; from everywhere when empty.
    #[serde(default)]
    #[schema(value_type = Vec<String>, example = json!(["203.0.113.0/24"]))]
    pub networks: Vec<Network>,
}

impl NewApiKey {
    /// A key for all flows that never expires.
    pub fn named(name: Name, environment: Environment) -> Self {
        Self {
            name,
            description: String::new(),
            environment,
            class: None,
            expires: None,
            permission: Permission::default(),
            scopes: None,
            rate_per_minute: None,
            daily_quota: None,
            networks: Vec::new(),
        }
    }
}

/// What is to become different about a key. What is absent stays; `null` puts back what a new key would have.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeyChanges {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "erp-order-sync-production")]
    pub name: Option<Name>,
    /// Notes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Used by the ERP system to trigger order sync flows")]
    pub description: Option<String>,
    /// What it is used for.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<KeyClass>, example = "partner")]
    pub class: Option<Option<KeyClass>>,
    /// When it expires.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "1y")]
    pub expires: Option<Option<Expiry>>,
    /// Which flows it is for. A key that had all scopes its permission gives by default gets those of the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission: Option<Permission>,
    /// What it may be used for.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Scope>>, example = json!(["flows:execute"]))]
    pub scopes: Option<Option<Vec<Scope>>>,
    /// Requests in any minute.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, example = 600)]
    pub rate_per_minute: Option<Option<u32>>,
    /// Requests in a day.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, example = 100_000)]
    pub daily_quota: Option<Option<u64>>,
    /// The networks it may be used from.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["203.0.113.0/24"]))]
    pub networks: Option<Option<Vec<Network>>>,
}

/// Tells `null` from what is absent.
pub(in crate::service) fn given<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// Makes the changes in a key of a catalog, where they are possible.
pub(super) fn apply(
    changes: KeyChanges,
    key: &mut ApiKey,
    catalog: &Catalog,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), ServiceError> {
    if let Some(name) = changes.name.filter(|name| *name != key.name) {
        check_name(catalog, &key.group, &name)?;
        key.name = name;
    }
    if let Some(text) = changes.description {
        key.description = description(text)?;
    }
    if let Some(class) = changes.class {
        key.class = class;
    }
    if let Some(wanted) = changes.expires {
        key.expires = wanted.map(|wanted| expiry(&wanted, now)).transpose()?;
    }
    let had_default_scopes = key.scopes == key.permission.default_scopes();
    if let Some(wanted) = &changes.permission {
        key.permission = permission(catalog, actor, &key.group, wanted)?;
    }
    key.scopes = match changes.scopes {
        Some(wanted) => scopes(wanted, &key.permission)?,
        None if had_default_scopes => key.permission.default_scopes(),
        None => scopes(Some(key.scopes.into()), &key.permission)?,
    };
    let mut bounds = key.limits.as_deref().copied().unwrap_or_default();
    bounds.rate_per_minute = changes.rate_per_minute.unwrap_or(bounds.rate_per_minute);
    bounds.daily_quota = changes.daily_quota.unwrap_or(bounds.daily_quota);
    key.limits = limits(bounds)?;
    if let Some(wanted) = changes.networks {
        key.networks = networks(&wanted.unwrap_or_default())?;
    }
    Ok(())
}

pub(super) fn check_name(catalog: &Catalog, group: &GroupId, name: &Name) -> Result<(), ServiceError> {
    match catalog.key_named(group, name) {
        Some(_) => {
            Err(ServiceError::Conflict(format!("An API key named \"{name}\" exists already. Choose another name")))
        }
        None => Ok(()),
    }
}

pub(super) fn description(text: String) -> Result<Box<str>, ServiceError> {
    check_description(&text)?;
    Ok(text.into())
}

pub(super) fn expiry(wanted: &Expiry, now: Timestamp) -> Result<Timestamp, ServiceError> {
    match wanted.timestamp(now).map_err(ServiceError::Invalid)? {
        end if end <= now => Err(ServiceError::Invalid("The expiry lies in the past. Give a later time".to_owned())),
        end => Ok(end),
    }
}

pub(super) fn permission(
    catalog: &Catalog,
    actor: &Actor,
    group: &GroupId,
    wanted: &Permission,
) -> Result<KeyPermission, ServiceError> {
    let names = match wanted {
        Permission::AllFlows {} => return Ok(KeyPermission::AllFlows),
        Permission::ReadOnly {} => return Ok(KeyPermission::ReadOnly),
        Permission::SelectedFlows { flows } => flows,
    };
    if names.is_empty() || names.len() > MAX_SELECTED {
        return Err(ServiceError::Invalid(format!(
            "A key for selected flows names 1 to {MAX_SELECTED} flows. Name some, or give the key another permission"
        )));
    }
    let mut selected = BTreeSet::new();
    for name in names {
        let flow = flows::find(catalog, group, name).ok().filter(|flow| actor.sees_flow(&flow.id));
        let unknown = || ServiceError::Invalid(format!("The group has no flow \"{name}\". Create it first"));
        selected.insert(flow.ok_or_else(unknown)?.id.clone());
    }
    Ok(KeyPermission::SelectedFlows(Box::new(selected)))
}

pub(super) fn scopes(wanted: Option<Vec<Scope>>, permission: &KeyPermission) -> Result<ScopeSet, ServiceError> {
    let Some(wanted) = wanted else { return Ok(permission.default_scopes()) };
    let (wanted, possible) = (ScopeSet::of(&wanted), permission.possible_scopes());
    let impossible = wanted.without(possible);
    if !impossible.is_empty() {
        let kind = match permission {
            KeyPermission::AllFlows => "for all flows",
            KeyPermission::SelectedFlows(_) => "for selected flows",
            KeyPermission::ReadOnly => "that is read-only",
        };
        return Err(ServiceError::Invalid(format!(
            "A key {kind} cannot have the scopes {impossible}. It can have {possible}. Leave them out, or give the key another permission"
        )));
    }
    if wanted.is_empty() {
        let message = "A key without scopes can do nothing. Name some, or disable the key".to_owned();
        return Err(ServiceError::Invalid(message));
    }
    Ok(wanted)
}

pub(super) fn limits(wanted: KeyLimits) -> Result<Option<Box<KeyLimits>>, ServiceError> {
    for (name, zero) in
        [("rate_per_minute", wanted.rate_per_minute == Some(0)), ("daily_quota", wanted.daily_quota == Some(0))]
    {
        if zero {
            return Err(ServiceError::Invalid(format!("{name} must be at least 1. To stop a key, disable it")));
        }
    }
    Ok((wanted != KeyLimits::default()).then(|| Box::new(wanted)))
}

pub(super) fn networks(wanted: &[Network]) -> Result<Box<[IpNet]>, ServiceError> {
    if wanted.len() > MAX_NETWORKS {
        let message = format!("A key can name {MAX_NETWORKS} networks at most. Name larger ones");
        return Err(ServiceError::Invalid(message));
    }
    Ok(wanted.iter().map(|network| network.0).collect())
}
