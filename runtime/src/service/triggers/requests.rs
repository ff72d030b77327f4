//! What people say of a trigger's requests: the path they come to, the pages they come from, and how repeated ones are
//! told; and the checks of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::cors::{Cors, CorsError};
use crate::domain::id::{Environment, GroupId, TriggerId};
use crate::domain::idempotency::{DEFAULT_WINDOW, Idempotency, IdempotencyKeyError, KeySource};
use crate::domain::path_template::PathTemplate;
use crate::domain::trigger::{HttpSettings, TriggerPath};
use crate::service::catalog::Catalog;
use crate::service::error::ServiceError;
use crate::service::groups::check_environment;

/// The most triggers of a group with a path: the group's router is made anew in some milliseconds with as many.
const MAX_PATHS: usize = 1000;

/// A path of a trigger, besides its routing key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPath {
    /// What the path looks like. `{name}` takes one segment, `{*name}` at the end takes the rest; the flow gets both as
    /// parameters.
    #[schema(value_type = String, example = "orders/{order_id}/lines/{line}")]
    pub template: PathTemplate,
    /// The environment whose keys find it; those of every environment when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "production")]
    pub environment: Option<Environment>,
}

/// Which pages' scripts may call a trigger.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsRule {
    /// Allowed origins; `*` for every one. Requests of others are refused, and those without an origin are not asked.
    #[schema(example = json!(["https://shop.example.com"]))]
    pub origins: Vec<String>,
    /// Headers of the flow's answer that scripts may read, besides those of the server's own.
    #[serde(default)]
    #[schema(example = json!(["x-order-id"]))]
    pub expose: Vec<String>,
}

/// How a trigger tells requests that it has had before. One key of one API key makes one run, and the same answer again.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IdempotencyRule {
    /// The header with the key; `Idempotency-Key` when neither this nor `pointer` is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "webhook-id")]
    pub header: Option<String>,
    /// The JSON pointer (RFC 6901) of the key in the body, instead of a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// How long an answer is remembered, in seconds: 1 to 2592000 (30 days), 86400 (a day) when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 86_400)]
    pub window_seconds: Option<u64>,
    /// Whether a request without a key is refused; otherwise it runs each time.
    pub required: bool,
}

impl CorsRule {
    pub(super) fn check(&self) -> Result<Cors, CorsError> {
        Cors::new(&self.origins, &self.expose)
    }
}

impl From<&Cors> for CorsRule {
    fn from(cors: &Cors) -> Self {
        Self { origins: cors.origins.iter().cloned().collect(), expose: cors.expose.iter().cloned().collect() }
    }
}

impl IdempotencyRule {
    pub(super) fn check(&self) -> Result<Idempotency, IdempotencyKeyError> {
        let source = KeySource::new(self.header.as_deref(), self.pointer.as_deref())?;
        Idempotency::new(source, self.window_seconds.unwrap_or(DEFAULT_WINDOW), self.required)
    }
}

impl From<&Idempotency> for IdempotencyRule {
    fn from(rule: &Idempotency) -> Self {
        let (header, pointer) = match &rule.source {
            KeySource::Header(name) => (Some(name.clone()), None),
            KeySource::Pointer(pointer) => (None, Some(pointer.clone())),
        };
        Self { header, pointer, window_seconds: Some(rule.window), required: rule.required }
    }
}

impl From<CorsError> for ServiceError {
    fn from(error: CorsError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<IdempotencyKeyError> for ServiceError {
    fn from(error: IdempotencyKeyError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// A trigger's path after the changes, where it can have that one beside the paths of the group's other triggers.
pub(super) fn changed_path(
    catalog: &Catalog,
    group: &GroupId,
    id: &TriggerId,
    settings: &HttpSettings,
    before: Option<TriggerPath>,
    wanted: Option<Option<NewPath>>,
) -> Result<Option<TriggerPath>, ServiceError> {
    let path = match wanted {
        None => before,
        Some(wanted) => wanted.map(|new| TriggerPath { template: new.template, environment: new.environment }),
    };
    let Some(path) = path else { return Ok(None) };
    if settings.key_in_path {
        return Err(ServiceError::Invalid(
            "A trigger with a path of its own takes no key in the path: the template says what every segment is. Let senders use a header or, with key_in_query, the query; or give those that can do neither a trigger without a path".to_owned(),
        ));
    }
    if let Some(environment) = &path.environment {
        check_environment(catalog, group, environment)?;
    }
    let mut others = 0;
    for other in catalog.paths.of(group).filter(|other| other.id != *id) {
        others += 1;
        let Some(other_path) = other.path.as_ref().filter(|other| path.meets(other)) else { continue };
        let shares = path.template.is_like(&other_path.template);
        let stands = if shares {
            settings.methods.is_disjoint(&other.settings.methods)
        } else {
            path.template.stands_beside(&other_path.template)
        };
        if !stands {
            let flow = catalog.flows.get(&other.flow).map_or("another flow", |flow| flow.name.as_str());
            let way_out = if shares { "another path, other methods or another environment" } else { "another path" };
            return Err(ServiceError::Conflict(format!(
                "The path \"{}\" could be meant as well as \"{}\" of the flow \"{flow}\" (trigger {}). Choose {way_out}",
                path.template, other_path.template, other.id
            )));
        }
    }
    if others >= MAX_PATHS {
        let message = format!("A group has at most {MAX_PATHS} triggers with a path. Delete one first");
        return Err(ServiceError::Conflict(message));
    }
    Ok(Some(path))
}
